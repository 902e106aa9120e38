//! Deletion by predicate over HTTP.
use crate::harness::{Server, encoded};
use serde_json::{Value, json};

fn count(server: &Server, query: &str) -> usize {
    let answer = server.get(&format!("/select/logsql/query?query={}", encoded(query)));
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text.lines().count()
}

fn delete(server: &Server, body: &Value) -> Value {
    let answer = server.post("/api/v1/admin/delete", body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[test]
fn what_a_filter_and_a_time_mean_is_gone_and_a_dry_run_only_counts() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_on(data.path());
    let begin = 1_790_000_000_000u64;
    let mut lines = String::new();
    for n in 0..20 {
        let (service, time) = (if n % 2 == 0 { "shop" } else { "web" }, begin + n * 60_000);
        lines
            .push_str(&format!("{{\"service_name\":\"{service}\",\"_time\":{time},\"_msg\":\"card {n} declined\"}}\n"));
    }
    assert_eq!(server.post("/insert/jsonline", &lines).status, 200);
    let ask = |dry_run: bool| {
        json!({
            "query": "service_name:=shop declined", "since": begin + 60_000, "until": begin + 360_000, "dry_run": dry_run,
        })
    };
    let dry = delete(&server, &ask(true));
    assert_eq!((&dry["rows"], &dry["by_service"], &dry["id"]), (&json!(3), &json!({"shop": 3}), &Value::Null));
    assert_eq!(
        (&dry["oldest_timestamp"], &dry["newest_timestamp"]),
        (&json!(begin + 120_000), &json!(begin + 360_000))
    );
    assert_eq!(count(&server, "declined service_name:in(shop,web)"), 20);
    let done = delete(&server, &ask(false));
    assert!(done["rows"] == 3 && done["id"].is_string() && done["dry_run"] == false, "{done}");
    assert_eq!(
        (count(&server, "declined service_name:in(shop,web)"), count(&server, "service_name:=shop declined")),
        (17, 7)
    );
    assert_eq!(delete(&server, &ask(false))["rows"], 0);
    let audited = "service_name:=logyard metadata.action:=records.delete metadata.after.rows:=3";
    assert_eq!(count(&server, audited), 1);
    let range = format!("metadata.after.since:={} metadata.after.until:={}", begin + 60_000, begin + 360_000);
    assert_eq!(count(&server, &format!("{audited} {range} metadata.target:*declined*")), 1);
    // What comes later is not meant.
    assert_eq!(server.post("/insert/jsonline", &lines).status, 200);
    assert_eq!(count(&server, "declined service_name:in(shop,web)"), 37);
    server.kill();
    let server = Server::start_on(data.path());
    assert_eq!(count(&server, "declined service_name:in(shop,web)"), 37);
    let params = format!("/api/v1/admin/delete?dry_run=1&query={}", encoded("card web or shop"));
    let answer = server.post(&params, "");
    assert_eq!((answer.status, &answer.json()["dry_run"]), (200, &json!(true)), "{}", answer.text);
}

#[test]
fn what_cannot_be_deleted_by_is_refused_and_deletes_nothing() {
    let server = Server::start();
    assert_eq!(server.post("/insert/jsonline", r#"{"service_name":"a","_msg":"m 5"}"#).status, 200);
    for (wrong, said) in [
        (json!({}), "query is missing"),
        (json!({"query": ""}), "query is missing"),
        (json!({"query": "* | limit 1"}), "without pipes"),
        (json!({"query": "_msg:~\"m [0-9]+\""}), "cannot delete"),
        (json!({"query": "service_name:~\"^a\""}), "cannot delete"),
        (json!({"query": "*", "since": "then"}), "since must be"),
        (json!({"query": "*", "force": true}), "force"),
        (json!([]), "JSON object"),
    ] {
        let answer = server.post("/api/v1/admin/delete", wrong.to_string());
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text);
        assert!(answer.json()["error"].as_str().unwrap().contains(said), "{wrong}: {}", answer.text);
    }
    assert_eq!(count(&server, "*"), 1);
}

#[test]
fn what_was_asked_for_is_written_down_as_it_was_asked() {
    let server = Server::start();
    for range in [json!({}), json!({"since": "2d"}), json!({"since": null, "until": "2026-05"})] {
        let mut asked = json!({"query": "service_name:=nothing"});
        asked.as_object_mut().unwrap().extend(range.as_object().unwrap().clone());
        delete(&server, &asked);
        let found = server.get("/api/v1/logs/search?service=logyard&order=desc&limit=1").json();
        let id = found["logs"][0]["id"].as_str().unwrap();
        let after = server.get(&format!("/api/v1/logs/{id}")).json()["log"]["metadata"]["after"].clone();
        assert_eq!((&after["rows"], &after["since"], &after["until"]), (&json!(0), &range["since"], &range["until"]));
        assert!(after.as_object().unwrap().contains_key("since"), "{after}");
    }
}

#[test]
fn a_regular_expression_that_says_only_what_occurs_is_meant_as_that() {
    let server = Server::start();
    let lines = ["ace", "back", "dog"].map(|service| json!({"service_name": service, "_msg": "m"}).to_string() + "\n");
    assert_eq!(server.post("/insert/jsonline", lines.concat()).status, 200);
    let done = delete(&server, &json!({"query": "service_name:~\"c.*\""}));
    assert_eq!((&done["rows"], &done["by_service"]), (&json!(2), &json!({"ace": 1, "back": 1})));
    assert_eq!(count(&server, "service_name:=dog"), 1);
}

#[test]
fn a_service_that_was_deleted_is_not_listed() {
    let server = Server::start();
    let lines = ["a", "a", "b", "c"].map(|service| json!({"service_name": service, "_msg": "m"}).to_string() + "\n");
    assert_eq!(server.post("/insert/jsonline", lines.concat()).status, 200);
    let listed = |query: &str| server.get(&format!("/api/v1/logs/services{query}")).json()["services"].clone();
    for sealed in [false, true] {
        assert_eq!(listed(""), if sealed { json!(["b", "c"]) } else { json!(["a", "b", "c"]) });
        let query = if sealed { "service_name:=b" } else { "service_name:=a" };
        if sealed {
            server.post("/api/v1/admin/seal", "");
        }
        delete(&server, &json!({ "query": query }));
        assert_eq!(listed(""), if sealed { json!(["c"]) } else { json!(["b", "c"]) });
    }
    // What comes later is.
    assert_eq!(server.post("/insert/jsonline", &lines[0]).status, 200);
    assert_eq!((listed(""), listed("?all=1")), (json!(["a", "c"]), json!(["a", "c", "logyard"])));
    server.post("/api/v1/admin/compact", "");
    assert_eq!(listed(""), json!(["a", "c"]));
}
