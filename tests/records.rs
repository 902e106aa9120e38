//! What is written down of requests and changes.
use crate::access::{make, raw};
use crate::harness::{KEY, Server, encoded, until};
use crate::hostile::{SLOW, filled, form, send};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn server(log: &str) -> (Server, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).env("LOGYARD_ACCESS_LOG", log);
    });
    (server, data)
}

/// Rows that a query selects, oldest first.
fn rows(server: &Server, query: &str) -> Vec<Value> {
    let answer = server.get(&format!("/select/logsql/query?query={}", encoded(&format!("{query} | sort by (_time)"))));
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn reads_leave_records_and_ingest_does_not() {
    let (server, _data) = server("true");
    let log = r#"{"service_name":"shop","level":"INFO","message":"m"}"#;
    assert_eq!(server.try_post("/api/v1/logs/ingest", log.as_bytes(), &[]).unwrap().status, 200);
    let headers = [("authorization", "Bearer test-key"), ("x-request-id", "mine-7")];
    assert_eq!(server.get_with("/api/v1/logs/search?service=shop&token=hidden", &headers).unwrap().status, 200);
    assert_eq!(server.get_with("/api/v1/admin/storage", &[("x-request-id", "mine-8")]).unwrap().status, 401);
    let until = Instant::now() + Duration::from_secs(20);
    let of =
        |id: &str| rows(&server, &format!("service_name:=logyard metadata.event:=access metadata.request_id:={id}"));
    let (read, refused) = loop {
        if let ([read], [refused]) = (of("mine-7").as_slice(), of("mine-8").as_slice()) {
            break (read.clone(), refused.clone());
        }
        assert!(Instant::now() < until, "no access record");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(read["_msg"], "GET /api/v1/logs/search was answered with 200");
    for (field, value) in [
        ("method", "GET"),
        ("path", "/api/v1/logs/search"),
        ("parameters", "service=shop"),
        ("status", "200"),
        ("key", "admin"),
        ("address", "127.0.0.1"),
    ] {
        assert_eq!(read[format!("metadata.{field}")], value, "{read}");
    }
    assert_eq!((&refused["metadata.status"], &refused["metadata.key"]), (&json!("401"), &Value::Null), "{refused}");
    assert_eq!(rows(&server, "metadata.event:=access metadata.path:ingest"), [] as [Value; 0]);
    // The API's own reads leave them out.
    assert_eq!(server.get("/api/v1/logs/search").json()["count"], 1);
}

#[test]
fn guesses_where_there_is_no_route_leave_records() {
    let (server, _data) = server("true");
    for (method, path) in [("GET", "/api/v1/nothing"), ("PATCH", "/api/v1/keys"), ("FROB", "/select/logsql/query")] {
        assert_eq!(raw(&server, method, path, &[("Authorization", "Bearer wrong")], "").0, 403, "{method} {path}");
    }
    let query =
        "service_name:=logyard metadata.event:=access metadata.status:=403 | fields metadata.method, metadata.path";
    until("three records", || rows(&server, query).len() == 3);
    let told: Vec<String> = rows(&server, query).iter().map(Value::to_string).collect();
    for (method, path) in [("GET", "/api/v1/nothing"), ("PATCH", "/api/v1/keys"), ("other", "/select/logsql/query")] {
        let is_told = |row: &&String| row.contains(&format!("\"{method}\"")) && row.contains(&format!("\"{path}\""));
        assert_eq!(told.iter().filter(is_told).count(), 1, "{method} {path}: {told:?}");
    }
}

#[test]
fn a_read_that_its_client_left_leaves_a_record() {
    let started = filled(&[("LOGYARD_ACCESS_LOG", "true"), ("LOGYARD_QUERY_MAX_DURATION", "1h")], 4_000);
    let server = &started.server;
    let slow = send(server, &form(SLOW));
    let running =
        || server.get_with("/metrics", &[]).unwrap().text.lines().any(|line| line == "logyard_queries_running 1");
    until("a query that runs", running);
    drop(slow);
    let of = || rows(server, "service_name:=logyard metadata.event:=access metadata.status:=499");
    until("a record", || !of().is_empty());
    let left = of();
    assert_eq!((left.len(), &left[0]["metadata.path"]), (1, &json!("/select/logsql/query")), "{left:?}");
    assert_eq!((&left[0]["metadata.key"], &left[0]["metadata.method"]), (&json!("admin"), &json!("POST")), "{left:?}");
}

#[test]
fn each_change_is_written_down_with_what_was_before() {
    let (server, _data) = server("false");
    let headers = [("x-request-id", "change-1")];
    assert_eq!(server.put("/api/v1/logs/config/shop", r#"{"ttl_days":7}"#).status, 200);
    assert_eq!(server.put("/api/v1/logs/config/shop", r#"{"ttl_days":9}"#).status, 200);
    assert_eq!(server.put("/api/v1/logs/config/shop", r#"{"ttl_days":"x"}"#).status, 400);
    let (admin_id, admin) = make(&server, &json!({"name": "boss", "scopes": ["admin"]}));
    let (id, secret) = make(&server, &json!({"name": "n", "scopes": ["read"], "services": ["shop"]}));
    let auth = format!("Bearer {admin}");
    let (status, _) =
        raw(&server, "DELETE", &format!("/api/v1/keys/{id}"), &[("Authorization", &auth), headers[0]], "");
    assert_eq!(status, 200);
    let all = rows(&server, "service_name:=logyard metadata.event:=audit");
    let actions: Vec<&str> = all.iter().map(|row| row["metadata.action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["config.set", "config.set", "key.create", "key.create", "key.revoke"]);
    let [_, set, _, made, revoked] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(
        (
            &set["metadata.target"],
            &set["metadata.before.ttl_days"],
            &set["metadata.after.ttl_days"],
            &set["metadata.key"]
        ),
        (&json!("shop"), &json!("7"), &json!("9"), &json!("admin"))
    );
    assert_eq!(
        (&made["metadata.target"], &made["metadata.after.services"], &made["metadata.before.name"]),
        (&json!(id), &json!("[\"shop\"]"), &Value::Null)
    );
    assert_eq!(
        (&revoked["metadata.before.name"], &revoked["metadata.key"], &revoked["metadata.request_id"]),
        (&json!("n"), &json!(admin_id), &json!("change-1"))
    );
    assert_eq!(revoked["metadata.address"], "127.0.0.1");
    assert!(!format!("{all:?}").contains(&secret[secret.len() - 64..]));
}
