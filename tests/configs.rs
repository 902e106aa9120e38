//! How each service wants its records kept: got, changed in part, refused by the key that is wrong.
use crate::harness::Server;
use serde_json::{Value, json};

fn config(server: &Server, service: &str) -> Value {
    let answer = server.get(&format!("/api/v1/logs/config/{service}"));
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["config"].clone()
}

#[test]
fn a_configuration_is_changed_in_part_and_kept() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_on(data.path());
    let unset = config(&server, "shop");
    assert_eq!(
        unset,
        json!({
            "service_name": "shop", "ttl_days": 30, "local_days": null, "retention_policy": "standard", "size_budget": null,
            "archive": true, "alert_on_errors": false, "max_logs_per_day": null,
            "mask_fields": [], "drop_fields": [], "mask_patterns": [], "created_at": null, "updated_at": null,
        })
    );
    assert_eq!(server.get("/api/v1/logs/configs").json(), json!({"configs": []}));

    let answer =
        server.put("/api/v1/logs/config/shop", r#"{"ttl_days":7,"alert_on_errors":true,"size_budget":"10GB"}"#);
    assert_eq!((answer.status, &answer.json()["success"]), (200, &json!(true)), "{}", answer.text);
    let first = config(&server, "shop");
    assert_eq!(answer.json()["config"], first);
    assert_eq!(
        (&first["ttl_days"], &first["alert_on_errors"], &first["size_budget"]),
        (&json!(7), &json!(true), &json!(10_000_000_000u64))
    );
    assert!(first["created_at"].as_u64().unwrap() > 1_700_000_000_000 && first["created_at"] == first["updated_at"]);

    // What was got can be put again, with a change.
    let mut changed = first.clone();
    changed["max_logs_per_day"] = json!(1_000);
    changed["size_budget"] = Value::Null;
    assert_eq!(server.put("/api/v1/logs/config/shop", changed.to_string()).status, 200);
    let second = config(&server, "shop");
    changed["updated_at"] = second["updated_at"].clone();
    assert_eq!(second, changed);
    assert!(second["updated_at"].as_u64() >= first["updated_at"].as_u64());

    for (policy, days) in [("extended", 90), ("minimal", 7), ("standard", 30)] {
        let body = json!({"ttl_days": null, "retention_policy": policy}).to_string();
        assert_eq!(server.put("/api/v1/logs/config/other", body).json()["config"]["ttl_days"], days, "{policy}");
    }
    assert_eq!(server.put("/api/v1/logs/config/other", r#"{"ttl_days":-1}"#).json()["config"]["ttl_days"], -1);
    let all = server.get("/api/v1/logs/configs").json();
    assert_eq!(all["configs"], json!([config(&server, "other"), second]));
    server.kill();
    assert_eq!(Server::start_on(data.path()).get("/api/v1/logs/configs").json(), all);
}

#[test]
fn what_cannot_be_kept_is_refused_by_its_name() {
    let server = Server::start();
    for (body, key) in [
        (r#"{"ttl_days":-2}"#, "ttl_days"),
        (r#"{"ttl_days":1.5}"#, "ttl_days"),
        (r#"{"ttl_days":"7"}"#, "ttl_days"),
        (r#"{"ttl_days":4294967297}"#, "ttl_days"),
        (r#"{"local_days":3}"#, "local_days"),
        (r#"{"retention_policy":"eternal"}"#, "retention_policy"),
        (r#"{"retention_policy":5}"#, "retention_policy"),
        (r#"{"size_budget":"-1GB"}"#, "size_budget"),
        (r#"{"size_budget":"much"}"#, "size_budget"),
        (r#"{"size_budget":0}"#, "size_budget"),
        (r#"{"archive":null}"#, "archive"),
        (r#"{"alert_on_errors":"yes"}"#, "alert_on_errors"),
        (r#"{"max_logs_per_day":0}"#, "max_logs_per_day"),
        (r#"{"service_name":"b"}"#, "service_name"),
        (r#"{"ttl_days":5,"colour":"red"}"#, "colour"),
        (r#"[1]"#, "JSON object"),
        ("{", "JSON object"),
    ] {
        let answer = server.put("/api/v1/logs/config/a", body);
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
        assert!(answer.json()["error"].as_str().unwrap().contains(key), "{body}: {}", answer.text);
    }
    assert_eq!(server.get("/api/v1/logs/configs").json(), json!({"configs": []}));
    for path in ["/api/v1/logs/configs", "/api/v1/logs/config/a", "/api/v1/logs/recent/a", "/api/v1/logs/stats/a"] {
        assert_eq!(server.get_with(path, &[]).unwrap().status, 401, "{path}");
    }
}
