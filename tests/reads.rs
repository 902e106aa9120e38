//! What the routes of logs read: searches, logs by id, the newest, services and their counts.
use crate::harness::Server;
use serde_json::{Value, json};
use std::fmt::Write as _;

fn filled() -> Server {
    let server = Server::start();
    let log = |service: &str, level: &str, message: &str, time: u64| json!({"service_name": service, "level": level, "message": message, "timestamp": 1_763_690_000_000u64 + time});
    let logs = json!([
        log("a", "INFO", "user alice logged in", 1),
        log("b", "ERROR", "user bob was Refused", 2),
        log("a", "ERROR", "disk full", 3),
        log("a", "INFO", "user carol logged in", 3),
        log("logyard", "INFO", "user of our own", 4),
    ]);
    assert_eq!(server.post("/api/v1/logs/ingest/batch", json!({ "logs": logs }).to_string()).status, 200);
    server
}

fn messages(server: &Server, query: &str) -> Vec<String> {
    let answer = server.get(&format!("/api/v1/logs/search?{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    let logs: Vec<&Value> = body["logs"].as_array().unwrap().iter().collect();
    assert_eq!(body["count"], logs.len());
    logs.iter().map(|log| log["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_search_narrows_by_everything_it_is_given() {
    let server = filled();
    let (alice, bob, disk, carol) =
        ("user alice logged in", "user bob was Refused", "disk full", "user carol logged in");
    assert_eq!(messages(&server, ""), [carol, disk, bob, alice]);
    assert_eq!(messages(&server, "service=a"), [carol, disk, alice]);
    assert_eq!(messages(&server, "service=logyard"), ["user of our own"]);
    assert_eq!(messages(&server, "level=ERROR"), [disk, bob]);
    assert_eq!(messages(&server, "level=error"), [disk, bob]);
    assert_eq!(messages(&server, "order=asc"), [alice, bob, disk, carol]);
    assert_eq!(messages(&server, "order=oldest&limit=1&offset=1"), [bob]);
    assert_eq!(messages(&server, "start_time=1763690000002&end_time=1763690000003"), [carol, disk, bob]);
    assert_eq!(messages(&server, "end_time=1763690000001"), [alice]);
    assert_eq!(messages(&server, "q=USER%20refused"), [bob]);
    assert_eq!(messages(&server, "q=use"), [""; 0]);
    assert_eq!(messages(&server, "q=use*%20-logged"), [bob]);
    assert_eq!(messages(&server, "q=%22BOB%20was%22"), [bob]);
    assert_eq!(messages(&server, "q=message:refuzed~1%20level:error"), [bob]);
    assert_eq!(messages(&server, "q=service_name:%3Da%20logged&service=b"), [""; 0]);
    let read = server.get("/api/v1/logs/search?q=refuzed~1");
    assert_eq!(read.header("x-logyard-query"), Some("fuzzy(refuzed,1)"));
    assert_eq!(messages(&server, "q=in%20or%20bob&order=relevance"), [carol, bob, alice]);
    for own in ["service_name:logyard", "service_name:%3Dlogyard", "bob%20or%20service_name:Logyard%20own"] {
        assert_eq!(messages(&server, &format!("q={own}%20user"))[0], "user of our own", "{own}");
    }
    assert_eq!(messages(&server, "q=user%20-service_name:logyard"), [carol, bob, alice]);
    assert_eq!(server.get("/api/v1/logs/search?order=sideways").status, 400);
    let wrong = server.get("/api/v1/logs/search?q=user%20%7C%20stats%20count()");
    assert_eq!((wrong.status, wrong.json()["position"].as_u64()), (400, Some(5)));
    assert_eq!(messages(&server, "service=a&q=logged&level=INFO&start_time=1763690000002"), [carol]);
}

#[test]
fn pages_follow_each_other() {
    let server = filled();
    let page = |offset: usize| server.get(&format!("/api/v1/logs/search?limit=3&offset={offset}")).json();
    assert_eq!((&page(0)["count"], &page(0)["has_more"]), (&json!(3), &json!(true)));
    assert_eq!((&page(3)["count"], &page(3)["has_more"]), (&json!(1), &json!(false)));
    assert_eq!((&page(1)["count"], &page(1)["has_more"]), (&json!(3), &json!(false)));
    for wrong in ["limit=-1", "limit=x", "offset=1.5", "start_time=yesterday", "end_time=2025-11-21", "%ff=%zz&limit=+"]
    {
        let answer = server.get(&format!("/api/v1/logs/search?{wrong}"));
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.json()["error"].is_string());
    }
}

#[test]
fn an_offset_beyond_its_bound_is_refused_and_says_how_to_go_on() {
    let server = filled();
    let search = |query: &str| server.get(&format!("/api/v1/logs/search?{query}"));
    assert_eq!(
        search("offset=1000000").json(),
        json!({"logs": [], "count": 0, "has_more": false, "next_cursor": null})
    );
    let cursor = search("limit=1").json()["next_cursor"].as_str().unwrap().to_owned();
    for beyond in [
        "offset=1000001",
        "offset=50000000",
        &format!("offset={}", "9".repeat(40)),
        &format!("offset=1000001&cursor={cursor}"),
    ] {
        let answer = search(beyond);
        assert_eq!(answer.status, 400, "{beyond}: {}", answer.text);
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains("1000000") && error.contains("next_cursor"), "{error}");
    }
    let ranked = search("offset=50000000&order=relevance");
    assert!(ranked.status == 400 && ranked.json()["error"].as_str().unwrap().contains("10000"), "{}", ranked.text);
    let none = json!({"logs": [], "count": 0, "has_more": false, "next_cursor": null});
    assert_eq!((search("limit=0").json(), search("limit=0&order=relevance").json()), (none.clone(), none));
    assert_eq!(search(&format!("limit={}", "9".repeat(40))).json()["count"], 4);
}

#[test]
fn what_came_as_json_lines_is_read_as_it_was_sent() {
    let server = Server::start();
    let lines = [
        r#"{"service_name":"lines","message":"by its usual name","timestamp":5,"_time":"2025-11-21T01:53:20Z"}"#,
        r#"{"service_name":"lines","message":"beside","_msg":"the message","id":"mine","_time":"2025-11-21T01:53:21Z"}"#,
    ];
    assert_eq!(server.post("/insert/jsonline", lines.join("\n")).json()["ingested"], 2);
    let check = || {
        let found = server.get("/api/v1/logs/search?service=lines");
        // Of a name that comes twice the last is read.
        let rows = found.json()["logs"].clone();
        assert_eq!((&rows[0]["message"], &rows[1]["message"]), (&json!("the message"), &json!("by its usual name")));
        assert_eq!(rows[1]["timestamp"], 1_763_690_000_000u64);
        for (row, sent) in [(0, r#"{"message":"beside","id":"mine","id":""#), (1, r#"{"timestamp":5,"id":""#)]
            .map(|(row, sent): (usize, &str)| (&rows[row], sent))
        {
            let id = row["id"].as_str().unwrap();
            assert!(found.text.contains(&format!("{sent}{id}\"")), "{}", found.text);
            for path in [id, &format!("{id}/full")] {
                let whole = server.get(&format!("/api/v1/logs/{path}"));
                assert_eq!(&whole.json()["log"], row);
                assert!(whole.text.contains(sent), "{}", whole.text);
            }
        }
        assert_eq!(server.get("/api/v1/logs/recent/lines").json()["logs"], rows);
    };
    check();
    server.post("/api/v1/admin/seal", "");
    check();
}

#[test]
fn levels_are_understood_as_they_are_stored() {
    let server = Server::start();
    for (sent, message) in [("WARNING", "w"), ("FATAL", "f"), ("trace", "t"), ("Error", "e")] {
        let log = json!({"service_name": "a", "level": sent, "message": message});
        assert_eq!(server.post("/api/v1/logs/ingest", log.to_string()).status, 200);
    }
    // Other ways in keep what was sent.
    let line = "{\"service_name\":\"a\",\"level\":\"warning\",\"_msg\":\"as sent\",\"_time\":\"2020-01-01T00:00:00Z\"}";
    assert_eq!(server.post("/insert/jsonline", line).status, 200);
    assert_eq!(messages(&server, "level=WARNING"), ["w"]);
    assert_eq!(messages(&server, "level=warning"), ["w", "as sent"]);
    assert_eq!(messages(&server, "level=WARN"), ["w"]);
    assert_eq!(
        (messages(&server, "level=FATAL"), messages(&server, "level=CRITICAL")),
        (vec!["f".into()], vec!["f".into()])
    );
    assert_eq!(
        (messages(&server, "level=TRACE"), messages(&server, "level=DEBUG")),
        (vec!["t".into()], vec!["t".into()])
    );
    assert_eq!(messages(&server, "level=ODD"), [""; 0]);
    let of = |severity: &str| {
        server.get(&format!("/select/logsql/query?query=_severity:%3D{severity}+%7C+fields+_msg")).text
    };
    assert_eq!(of("CRITICAL"), "{\"_msg\":\"f\"}\n");
    assert_eq!(of("WARN").lines().count(), 2);
}

#[test]
fn pages_by_cursor_have_each_log_once_while_logs_arrive() {
    const LOGS: usize = 600;
    const TIME: usize = 1_763_690_000_000;
    let server = Server::start();
    // Fifty of each millisecond, so that most have the time of others.
    let log = |message: String, time: usize| json!({"service_name": "a", "level": "INFO", "message": message, "timestamp": TIME + time});
    let store = |logs: Vec<Value>| {
        assert_eq!(server.post("/api/v1/logs/ingest/batch", json!({ "logs": logs }).to_string()).status, 200);
    };
    store((0..LOGS).map(|n| log(format!("first {n}"), n / 50)).collect());
    let mut arrived = 0;
    for (order, by_default) in [("desc", ""), ("asc", "order=asc&")] {
        let (mut ids, mut first, mut cursor) = (Vec::new(), Vec::new(), String::new());
        loop {
            let query = if cursor.is_empty() { by_default.into() } else { format!("cursor={cursor}&") };
            let page = server.get(&format!("/api/v1/logs/search?{query}service=a&limit=37")).json();
            for row in page["logs"].as_array().unwrap() {
                ids.push(row["id"].as_str().unwrap().to_owned());
                let message = row["message"].as_str().unwrap();
                first.extend(message.strip_prefix("first ").map(|n| n.parse::<usize>().unwrap()));
            }
            // Before, at and behind the place where the page ended.
            store((0..6).map(|n| log(format!("later {}", arrived + n), (arrived + n) % 15)).collect());
            arrived += 6;
            if arrived % 5 == 0 {
                server.post("/api/v1/admin/seal", "");
            }
            assert_eq!(page["has_more"], page["next_cursor"].is_string());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        let expected: Vec<usize> = if order == "asc" { (0..LOGS).collect() } else { (0..LOGS).rev().collect() };
        assert_eq!(first, expected, "{order}");
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "a log came twice");
    }
    let page = server.get("/api/v1/logs/search?limit=1").json();
    let cursor = page["next_cursor"].as_str().unwrap();
    for wrong in [
        "cursor=x",
        &format!("cursor={cursor}0"),
        &format!("order=asc&cursor={cursor}"),
        &format!("q=first&order=relevance&cursor={cursor}"),
    ] {
        let answer = server.get(&format!("/api/v1/logs/search?{wrong}"));
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text);
    }
    let second = server.get(&format!("/api/v1/logs/search?limit=1&order=desc&cursor={cursor}")).json();
    assert_eq!(second["logs"], server.get("/api/v1/logs/search?limit=1&offset=1").json()["logs"]);
    assert_eq!(server.get("/api/v1/logs/search?limit=5000").json()["count"], 600 + arrived);
}

#[test]
fn what_is_not_there_is_not_found() {
    let server = filled();
    let found = server.get("/api/v1/logs/search?limit=1").json();
    let id = found["logs"][0]["id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/api/v1/logs/{id}")).json()["log"], found["logs"][0]);
    for missing in ["00000000-0000-7000-8000-000000000000", "x", "%ff", &id.replace('-', "")] {
        let answer = server.get(&format!("/api/v1/logs/{missing}"));
        assert_eq!((answer.status, answer.json()), (404, json!({"error": "Log not found"})), "{missing}");
    }
    assert_eq!(server.get("/api/v1/logs/services").json(), json!({"services": ["a", "b"]}));
    assert_eq!(server.get("/api/v1/logs/services?all=1").json(), json!({"services": ["a", "b", "logyard"]}));
}

#[test]
fn a_log_is_whole_under_each_of_its_paths() {
    let server = filled();
    let log = server.get("/api/v1/logs/search?limit=1").json()["logs"][0].clone();
    let id = log["id"].as_str().unwrap();
    for path in [id, &format!("{id}/full"), &format!("logs/{id}"), &format!("logs/{id}/full")] {
        assert_eq!(server.get(&format!("/api/v1/logs/{path}")).json(), json!({ "log": log }), "{path}");
    }
    for missing in ["x/full", "logs/x/full"] {
        assert_eq!(
            server.get(&format!("/api/v1/logs/{missing}")).json(),
            json!({"error": "Log not found"}),
            "{missing}"
        );
    }
}

#[test]
fn the_newest_logs_of_a_service_are_given() {
    let server = filled();
    let recent = |path: &str| server.get(&format!("/api/v1/logs/recent/{path}")).json();
    let newest = recent("a?limit=2");
    assert_eq!((&newest["count"], newest["logs"].as_array().unwrap().len()), (&json!(2), 2));
    assert_eq!(
        (&newest["logs"][0]["message"], &newest["logs"][1]["message"]),
        (&json!("user carol logged in"), &json!("disk full"))
    );
    assert_eq!(recent("a")["count"], 3);
    assert_eq!(recent("logyard")["count"], 1);
    assert_eq!(recent("nobody"), json!({"logs": [], "count": 0}));
    assert_eq!(server.get("/api/v1/logs/recent/a?limit=few").status, 400);
}

#[test]
fn the_logs_of_a_service_are_counted() {
    let server = filled();
    let bytes =
        |path: &str| server.get(&format!("/api/v1/logs/stats/{path}")).json()["stats"]["bytes"].as_u64().unwrap();
    let stats = |path: &str| {
        let mut stats = server.get(&format!("/api/v1/logs/stats/{path}")).json();
        stats["stats"].as_object_mut().unwrap().remove("bytes").unwrap();
        stats
    };
    let in_memory = (bytes("a"), bytes("b"), bytes("nobody"));
    assert!(in_memory.0 > in_memory.1 && in_memory.1 > 0 && in_memory.2 == 0, "{in_memory:?}");
    let first = 1_763_690_000_001u64;
    let of_all = json!({"service": "a", "stats": {"total": 3, "by_level": {"ERROR": 1, "INFO": 2}, "oldest_timestamp": first, "newest_timestamp": first + 2}});
    assert_eq!(stats("a"), of_all);
    server.post("/api/v1/admin/seal", "");
    assert_eq!(stats("a"), of_all);
    let segments = server.get("/api/v1/admin/storage").json()["bytes"]["segments"].as_u64().unwrap();
    assert!((bytes("a") + bytes("b") + bytes("logyard")).abs_diff(segments) < 3, "each has its share");
    assert_eq!(stats(&format!("a?start_time={}&end_time={}", first + 1, first + 2))["stats"]["total"], 2);
    assert_eq!(stats(&format!("a?end_time={first}"))["stats"]["by_level"], json!({"INFO": 1}));
    let nothing = json!({"total": 0, "by_level": {}, "oldest_timestamp": null, "newest_timestamp": null});
    assert_eq!(stats("nobody%22%20or%20%22"), json!({"service": "nobody\" or \"", "stats": nothing}));
    assert_eq!(server.get("/api/v1/logs/stats/a?start_time=noon").status, 400);
}

#[test]
fn storage_survives_sealing_and_compaction() {
    let server = filled();
    let before = server.get("/api/v1/logs/search").json();
    for act in ["seal", "compact"] {
        assert_eq!(server.post(&format!("/api/v1/admin/{act}"), "").json(), json!({"success": true}));
        assert_eq!(server.get("/api/v1/logs/search").json(), before);
    }
    let storage = server.get("/api/v1/admin/storage").json();
    assert_eq!(storage["rows"], 5);
    assert!(storage["segments"].is_u64());
    for part in ["wal", "segments", "catalog"] {
        assert!(storage["bytes"][part].is_u64(), "{storage}");
    }
}

#[test]
fn logsql_is_answered_in_lines_within_its_time_and_limit() {
    let server = filled();
    let of = |query: &str| {
        let answer = server.get(&format!("/select/logsql/query?{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    assert_eq!(of("query=logged+%7C+count()+n"), [json!({"n": "2"})]);
    let newest = of("query=service_name:a&limit=2");
    let messages: Vec<&str> = newest.iter().map(|row| row["_msg"].as_str().unwrap()).collect();
    assert_eq!(messages, ["user carol logged in", "disk full"]);
    assert_eq!(of("query=user+%7C+uniq+by+(service_name)&limit=1").len(), 1);
    assert_eq!(of("query=*+%7C+count()+n&start=1763690000002&end=1763690000003"), [json!({"n": "3"})]);
    assert_eq!(of("query=*+%7C+count()+n&start=2025-11-21&end=2025-11-21"), [json!({"n": "5"})]);
    assert_eq!(of("query=nobody"), [Value::Null; 0]);
    let form = server.post("/select/logsql/query", "query=bob+%7C+fields+level&timeout=5s");
    assert_eq!((form.status, form.text.as_str()), (200, "{\"level\":\"ERROR\"}\n"));
    let plain = server.post("/select/logsql/query", "query=bob | fields level");
    assert_eq!((plain.status, plain.text.as_str()), (200, "{\"level\":\"ERROR\"}\n"));
    for (wrong, says) in [
        (&b"query=bob 100%"[..], "%25"),
        (b"query=\xff", "UTF-8"),
        (b"{\"query\":\"*\",\"a\":\"x&query=*\"}", "the body is no form"),
        (b"bob | fields level", "query is missing"),
    ] {
        let answer = server.post("/select/logsql/query", wrong);
        assert!(answer.status == 400 && answer.text.contains(says), "{says}: {}", answer.text);
    }
    let log = json!({"service_name": "s", "level": "INFO", "message": "die straße"}).to_string();
    assert_eq!(server.post("/api/v1/logs/ingest", log).status, 200);
    assert_eq!(server.post("/select/logsql/query", "query=straße").text.lines().count(), 1);
    let long = format!("query=bob+or+{}nobody", "no+or+".repeat(20_000));
    let answer = server.post("/select/logsql/query", long);
    assert_eq!((answer.status, answer.text.lines().count()), (200, 1), "{}", answer.text);
    assert_eq!(of("query=service_name:a&limit=0").len(), 3);
    for (wrong, says) in [
        ("", "query is missing"),
        ("query=a+(b", "(at byte 4 of the query)"),
        ("query=*&start=soon", "start must be"),
        ("query=*&timeout=-1s", "timeout must be"),
        ("query=*&limit=many", "limit must be"),
    ] {
        let answer = server.get(&format!("/select/logsql/query?{wrong}"));
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text);
        assert!(answer.json()["error"].as_str().unwrap().contains(says), "{wrong}: {}", answer.text);
    }
    let wrong = server.get("/select/logsql/query?query=a+(b").json();
    assert_eq!(wrong["position"], 4);
    assert!(wrong["reason"].as_str().unwrap().contains("')'"), "{wrong}");
    let late = server.get("/select/logsql/query?query=*&timeout=0s");
    assert_eq!(late.status, 503, "{}", late.text);
}

#[test]
fn a_query_over_http_says_how_it_is_answered() {
    let server = filled();
    server.post("/api/v1/admin/seal", "");
    let answer = server.get("/select/logsql/query?query=logged+%7C+fields+level&explain=1");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    for part in
        ["query      logged | fields level", "has the phrase \"logged\"", "1 of 1 segments", "2 rows are the answer"]
    {
        assert!(answer.text.contains(part), "{part} is not in:\n{}", answer.text);
    }
    assert_eq!(server.get("/select/logsql/query?query=logged&explain=0").text.lines().count(), 2);
    assert_eq!(server.get("/select/logsql/query?query=logged+%7C&explain=1").status, 400);
}

#[test]
fn counts_by_more_levels_than_an_answer_has_room_for_are_refused() {
    let server = Server::start();
    let mut lines = String::new();
    for level in 0..90_000 {
        writeln!(lines, "{{\"service_name\":\"many\",\"_msg\":\"m\",\"level\":\"{level:0120}\"}}").unwrap();
    }
    assert_eq!(server.post("/insert/jsonline", lines).json()["ingested"], 90_000);
    let refused = server.get("/api/v1/logs/stats/many");
    assert_eq!(refused.status, 422, "{} bytes", refused.text.len());
    assert!(refused.json()["error"].as_str().unwrap().contains("more than 32 MiB"), "{}", refused.text);
}
