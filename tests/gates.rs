//! What records have to pass: masks, and how many a service may have a day.
use crate::access::make;
use crate::harness::Server;
use serde_json::{Value, json};

const ONE: &str = "/api/v1/logs/ingest";
const BATCH: &str = "/api/v1/logs/ingest/batch";
const LINES: &str = "/insert/jsonline";

fn configure(server: &Server, service: &str, change: Value) {
    let answer = server.put(&format!("/api/v1/logs/config/{service}"), change.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text);
}

fn log(service: &str) -> Value {
    json!({"service_name": service, "level": "INFO", "message": "m"})
}

/// Every byte of every file under a directory.
fn has_bytes(directory: &std::path::Path, wanted: &[u8]) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return has_bytes(&path, wanted);
        }
        std::fs::read(&path).unwrap().windows(wanted.len()).any(|window| window == wanted)
    })
}

#[test]
fn what_is_masked_or_dropped_is_never_written() {
    let server = Server::start();
    configure(&server, "shop", json!({"mask_fields": ["password"], "drop_fields": ["metadata.token"]}));
    configure(&server, "_default", json!({"mask_patterns": ["\\d{4}-\\d{4}-\\d{4}"]}));
    let sent = json!({
        "service_name": "shop", "level": "INFO", "message": "card 1111-2222-3333 of visitor",
        "metadata": {"password": "hush-one", "token": "hush-two", "list": [{"password": "hush-three"}, "4444-5555-6666"]},
    });
    let id = server.post(ONE, sent.to_string()).json()["id"].as_str().unwrap().to_owned();
    let found = server.get(&format!("/api/v1/logs/{id}")).json();
    assert_eq!(found["log"]["message"], "card *** of visitor");
    assert_eq!(found["log"]["metadata"], json!({"password": "***", "list": [{"password": "***"}, "***"]}));
    let batch = json!({"logs": [sent]}).to_string();
    assert_eq!(server.post(BATCH, batch).status, 200);
    let line = json!({"service_name": "shop", "_msg": "1111-2222-3333", "password": "hush-four", "n": 7}).to_string();
    assert_eq!(server.post(&format!("{LINES}?_stream_fields=password,n"), line).status, 200);
    let line = json!({"_msg": "any service: 7777-8888-9999", "password": "public"}).to_string();
    server.post(LINES, line);
    let all = server.post("/select/logsql/query", "query=*").text;
    assert!(!all.contains("hush") && all.contains("public") && all.contains("any service: ***"), "{all}");
    assert!(all.contains(r#"{n=\"7\",password=\"***\"}"#), "{all}");
    server.post("/api/v1/admin/seal", "");
    for secret in ["hush-", "2222-3333", "8888-9999"] {
        assert!(!has_bytes(server.data(), secret.as_bytes()), "{secret}");
    }
    let metrics = server.get("/metrics").text;
    for line in ["masked_values_total 11", "dropped_values_total 2", "rows_total 4"] {
        assert!(metrics.contains(&format!("logyard_ingest_{line}\n")), "{line}: {metrics}");
    }
    // A change holds at once, and what is removed masks nothing.
    configure(&server, "shop", json!({"mask_fields": null, "drop_fields": []}));
    let id = server.post(ONE, sent.to_string()).json()["id"].as_str().unwrap().to_owned();
    assert_eq!(server.get(&format!("/api/v1/logs/{id}")).json()["log"]["metadata"]["password"], "hush-one");
}

#[test]
fn a_name_that_a_sender_gives_a_field_is_no_way_around_masks() {
    let server = Server::start();
    configure(
        &server,
        "_default",
        json!({"mask_fields": ["Body", "log.secret"], "drop_fields": ["token", "event.text"]}),
    );
    configure(&server, "shop", json!({"mask_fields": ["born"]}));
    configure(&server, "free", json!({"ttl_days": 3}));
    let send = |names: &str, line: &str| {
        let answer = server.post(&format!("{LINES}?{names}"), format!("{line}\n{line}\n"));
        assert_eq!(answer.json()["ingested"], 2, "{}", answer.text);
    };
    send("_msg_field=body", r#"{"service_name":"a","body":"hush-one","n":1}"#);
    send("_msg_field=token", r#"{"service_name":"b","token":"hush-two","n":1}"#);
    send("_msg_field=event.text", r#"{"event":{"text":"hush-three","a":1},"service_name":"c"}"#);
    send("_msg_field=x,event.body.y", r#"{"event":{"body":{"y":"hush-four"}},"service_name":"d"}"#);
    send("_msg_field=log", r#"{"log":[{"secret":"hush-five"}],"service_name":"e"}"#);
    send(
        "_time_field=born&_msg_field=m",
        r#"{"born":"1999-12-31T23:59:59.123456789Z","m":"kept","service_name":"shop"}"#,
    );
    send("_time_field=token", r#"{"token":"4102444800777","_msg":"kept","service_name":"g"}"#);
    // Of a service that asks for nothing of the kind it is the time, and any other name is a message.
    send("_time_field=born&_msg_field=m", r#"{"born":"1999-12-31T23:59:58Z","m":"kept","service_name":"free"}"#);
    let headers = [("vl-msg-field", "body")];
    server.try_post(LINES, br#"{"service_name":"h","body":"hush-six"}"#, &headers).unwrap();
    // What a record has instead of a time that is too far ahead.
    configure(&server, "late", json!({"mask_fields": ["timestamp"]}));
    let late = json!({"service_name": "late", "level": "INFO", "message": "m", "timestamp": 4_102_444_800_999u64});
    assert_eq!(server.post(ONE, late.to_string()).status, 200);

    let rows = |service: &str| server.get(&format!("/api/v1/logs/recent/{service}")).json()["logs"].clone();
    for (service, message) in [
        ("a", "***"),
        ("b", ""),
        ("c", ""),
        ("d", "***"),
        ("e", "***"),
        ("shop", "kept"),
        ("g", "kept"),
        ("free", "kept"),
        ("h", "***"),
    ] {
        assert_eq!(rows(service)[0]["message"], message, "{service}");
    }
    assert_eq!((&rows("c")[0]["event"], &rows("a")[1]["n"]), (&json!({"a": 1}), &json!(1)));
    assert_eq!(rows("free")[0]["timestamp"], 946_684_798_000u64);
    assert!(rows("shop")[0]["timestamp"].as_u64().unwrap() > 1_700_000_000_000, "it has the time at which it came");
    let sent = ["shop", "g", "late"].map(|service| rows(service)[0]["_time_sent"].clone());
    assert_eq!(sent, [json!("***"), Value::Null, json!("***")]);
    let metrics = server.get("/metrics").text;
    for line in ["masked_values_total 10", "dropped_values_total 6"] {
        assert!(metrics.contains(&format!("logyard_ingest_{line}\n")), "{line}: {metrics}");
    }
    server.post("/api/v1/admin/seal", "");
    let born = 946_684_799_123_456_789u64.to_le_bytes();
    for secret in [&b"hush-"[..], b"59.123456789", &born, &946_684_799_123u64.to_le_bytes(), b"4102444800"] {
        assert!(!has_bytes(server.data(), secret), "{}", String::from_utf8_lossy(secret));
    }
}

#[test]
fn wrong_masks_are_refused_by_their_name() {
    let server = Server::start();
    for (change, said) in [
        (json!({"mask_fields": "password"}), "mask_fields"),
        (json!({"mask_fields": [5]}), "mask_fields"),
        (json!({"drop_fields": ["service_name"]}), "service_name"),
        (json!({"mask_patterns": ["("]}), "mask_patterns"),
        (json!({"mask_patterns": ["x*"]}), "empty text"),
        (json!({"mask_patterns": ["(a{1000}){1000}"]}), "mask_patterns"),
    ] {
        for service in ["a", "_default"] {
            let answer = server.put(&format!("/api/v1/logs/config/{service}"), change.to_string());
            assert_eq!(answer.status, 400, "{change}");
            assert!(answer.json()["error"].as_str().unwrap().contains(said), "{change}: {}", answer.text);
        }
    }
    assert_eq!(server.get("/api/v1/logs/configs").json(), json!({"configs": []}));
}

#[test]
fn a_service_has_so_many_logs_a_day() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_on(data.path());
    // What came before there was a limit is one of the day's.
    assert_eq!(server.post(ONE, log("busy").to_string()).status, 200);
    configure(&server, "busy", json!({"max_logs_per_day": 5}));
    assert_eq!(server.post(ONE, log("busy").to_string()).status, 200);
    let logs = json!({"logs": [log("busy"), log("free"), {"level": "INFO"}, log("busy"), log("busy"), log("busy")]});
    let answer = server.post(BATCH, logs.to_string()).json();
    assert_eq!((&answer["ingested"], &answer["failed"]), (&json!(4), &json!(2)), "{answer}");
    let reason = answer["errors"][1].as_str().unwrap();
    assert!(reason.starts_with("logs[5]: busy has had the 5 logs that it may have today"), "{reason}");
    let refused = |server: &Server| {
        let answer = server.post(ONE, log("busy").to_string());
        assert_eq!(answer.status, 429, "{}", answer.text);
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=86_400).contains(&seconds), "{seconds}");
        assert!(answer.json()["error"].as_str().unwrap().contains("the day ends at 00:00 UTC"));
        let answer = server.post(BATCH, json!({"logs": [log("busy"), log("busy")]}).to_string());
        assert_eq!((answer.status, &answer.json()["failed"]), (429, &json!(2)));
        assert!(answer.header("retry-after").is_some());
        let lines = format!("{}\n{}\n", log("busy"), log("free"));
        let answer = server.post(LINES, lines);
        assert_eq!((answer.status, answer.header("x-logyard-rejected")), (200, Some("1")));
        assert_eq!(server.get("/api/v1/logs/stats/busy").json()["stats"]["total"], 5);
    };
    refused(&server);
    server.kill();
    let mut server = Server::start_on(data.path());
    refused(&server);
    server.post("/api/v1/admin/seal", "");
    server.kill();
    let server = Server::start_on(data.path());
    refused(&server);
    let metrics = server.get("/metrics").text;
    // One alone, two of a batch and one line.
    let counted = metrics.lines().any(|line| line.contains("reason=\"daily_limit\"") && line.ends_with(" 4"));
    assert!(counted, "{metrics}");
    configure(&server, "busy", json!({"max_logs_per_day": 6}));
    assert_eq!(server.post(ONE, log("busy").to_string()).status, 200);
    assert_eq!(server.post(ONE, log("busy").to_string()).status, 429);
    configure(&server, "busy", json!({"max_logs_per_day": null}));
    assert_eq!(server.post(ONE, log("busy").to_string()).status, 200);
}

#[test]
fn records_without_a_service_have_a_day_too_and_are_called_so() {
    let server = Server::start();
    configure(&server, "_default", json!({"max_logs_per_day": 2}));
    let answer = server.post(LINES, "{\"_msg\":\"m\"}\n".repeat(3));
    let answer = answer.json();
    assert_eq!((&answer["ingested"], &answer["rejected"]), (&json!(2), &json!(1)), "{answer}");
    let reason = answer["errors"][0].as_str().unwrap();
    assert!(reason.starts_with("line 3: the service without a name has had the 2 logs"), "{reason}");
}

#[test]
fn who_has_no_key_for_a_service_learns_nothing_of_its_day() {
    let server = Server::start();
    configure(&server, "bank", json!({"max_logs_per_day": 1}));
    assert_eq!(server.post(ONE, log("bank").to_string()).status, 200);
    let (_, shop) = make(&server, &json!({"name": "shop", "scopes": ["ingest"], "services": ["shop"]}));
    let rows = || server.get("/api/v1/admin/storage").json()["rows"].as_u64().unwrap();
    let before = rows();
    for (path, body) in [
        (ONE, log("bank").to_string()),
        (BATCH, json!({"logs": [log("shop"), log("bank")]}).to_string()),
        (LINES, format!("{}\n{}\n", log("shop"), log("bank"))),
    ] {
        let answer = server.post_as(&shop, path, body);
        assert_eq!((answer.status, rows()), (403, before), "{path}: {}", answer.text);
        assert!(answer.json()["error"].as_str().unwrap().contains("not for the service bank"), "{}", answer.text);
    }
}

#[test]
fn as_many_get_in_at_once_as_there_is_room_for() {
    let server = Server::start();
    configure(&server, "_default", json!({"max_logs_per_day": 50}));
    let server = &server;
    let stored: usize = std::thread::scope(|scope| {
        let send =
            |_| scope.spawn(|| (0..20).filter(|_| server.post(ONE, log("crowd").to_string()).status == 200).count());
        let senders: Vec<_> = (0..6).map(send).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    assert_eq!(stored, 50);
    assert_eq!(server.get("/api/v1/logs/stats/crowd").json()["stats"]["total"], 50);
    let lines = format!("{}\n", log("other")).repeat(60);
    let answer = server.post(LINES, lines);
    assert_eq!((&answer.json()["ingested"], &answer.json()["rejected"]), (&json!(50), &json!(10)));
}

#[test]
fn defaults_hold_for_all_services() {
    let server = Server::start();
    configure(&server, "own", json!({"ttl_days": 90, "max_logs_per_day": 7}));
    configure(&server, "_default", json!({"ttl_days": 10, "max_logs_per_day": 9, "alert_on_errors": true}));
    let config = |service: &str| server.get(&format!("/api/v1/logs/config/{service}")).json()["config"].clone();
    let of = |service: &str| {
        let config = config(service);
        (config["ttl_days"].as_i64(), config["max_logs_per_day"].as_i64(), config["alert_on_errors"].as_bool())
    };
    assert_eq!(of("own"), (Some(90), Some(7), Some(false)));
    assert_eq!(of("new"), (Some(10), Some(9), Some(true)));
    assert_eq!(of("_default"), (Some(10), Some(9), Some(true)));
    assert!(config("_default")["created_at"].is_u64() && config("_default")["updated_at"].is_u64());
    let all = server.get("/api/v1/logs/configs").json();
    assert_eq!(all["configs"], json!([config("_default"), config("own")]));
    // The policy is the one that the days come from.
    let policy = |service: &str| (config(service)["ttl_days"].as_i64(), config(service)["retention_policy"].clone());
    configure(&server, "_default", json!({"ttl_days": 0, "retention_policy": "minimal"}));
    configure(&server, "said", json!({"retention_policy": "standard"}));
    configure(&server, "longer", json!({"retention_policy": "extended"}));
    assert_eq!((policy("_default"), policy("new")), ((Some(7), json!("minimal")), (Some(7), json!("minimal"))));
    assert_eq!((policy("said"), policy("own")), ((Some(7), json!("minimal")), (Some(90), json!("standard"))));
    assert_eq!(policy("longer"), (Some(90), json!("extended")));
    configure(&server, "_default", json!({"ttl_days": 10}));
    assert_eq!(policy("new").0, Some(10));
    // Whether it alerts, a service takes over when it is first configured.
    configure(&server, "fresh", json!({"ttl_days": 1}));
    configure(&server, "_default", json!({"alert_on_errors": false}));
    assert_eq!(
        ["own", "fresh", "new"].map(|service| config(service)["alert_on_errors"].as_bool()),
        [Some(false), Some(true), Some(false)]
    );
    for wrong in [json!({"size_budget": "1GB"}), json!({"archive": false})] {
        assert_eq!(server.put("/api/v1/logs/config/_default", wrong.to_string()).status, 400);
    }
}
