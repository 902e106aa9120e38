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
