//! Backups from outside: of a server that is written to meanwhile, and of a directory that none has.
use crate::harness::{KEY, Server, encoded, logyard, run, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

fn backup(data: &Path, target: &Path, set: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = logyard();
    command.arg("backup").arg(target).arg("--data").arg(data).current_dir(data).envs(set.iter().copied());
    run(&mut command)
}

fn ingest(server: &Server, n: u64) -> String {
    let log = json!({"service_name": "shop", "level": "INFO", "message": format!("order {n}"), "metadata": {"n": n}});
    let answer = server.post("/api/v1/logs/ingest", log.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// The number of every record that a server has, as often as it has it.
fn numbers(server: &Server) -> Vec<u64> {
    let answer =
        server.post("/select/logsql/query", format!("query={}", encoded("service_name:=shop | fields metadata.n")));
    let lines = answer.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found: Vec<u64> = lines.map(|row| row["metadata.n"].as_str().unwrap().parse().unwrap()).collect();
    found.sort_unstable();
    found
}

#[test]
fn a_backup_of_a_server_that_is_written_to_has_all_that_was_acknowledged_before() {
    let (home, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start_on(data.path());
    assert_eq!(server.put("/api/v1/logs/config/shop", r#"{"ttl_days":7}"#).status, 200);
    let mut ids: Vec<String> = (0..300).map(|n| ingest(&server, n)).collect();
    assert_eq!(server.post("/api/v1/admin/seal", "").status, 200);
    ids.extend((300..400).map(|n| ingest(&server, n)));
    let (next, is_done) = (AtomicU64::new(400), AtomicBool::new(false));
    let target = home.path().join("copy");
    let target_text = target.to_str().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(Ordering::SeqCst) {
                    ingest(&server, next.fetch_add(1, Ordering::SeqCst));
                }
            });
        }
        until("more comes in", || next.load(Ordering::SeqCst) > 440);
        let set = [("LOGYARD_URL", server.address.as_str()), ("LOGYARD_API_KEY", KEY)];
        let (code, out, error) = backup(data.path(), &target, &set);
        is_done.store(true, Ordering::SeqCst);
        assert_eq!((code, error.as_str()), (0, ""), "{out}");
        let said: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (&said["success"], &said["damaged"], &said["target"]),
            (&json!(true), &json!([]), &json!(target_text))
        );
        assert!(said["files"].as_u64().unwrap() > 2 && said["bytes"].as_u64().unwrap() > 0, "{said}");
        let (code, _, error) = backup(data.path(), &target, &set);
        assert!(code == 1 && error.contains("is not empty"), "{error}");
    });
    let audited = server
        .post(
            "/select/logsql/query",
            format!("query={}", encoded("service_name:=logyard metadata.action:=backup.create")),
        )
        .text;
    assert!(audited.contains(target_text), "{audited}");

    let (code, out, _) = run(logyard().args(["check", "--data", target_text]));
    assert_eq!(code, 0, "{out}");
    let copy = Server::start_on(&target);
    let found = numbers(&copy);
    let each: BTreeSet<u64> = found.iter().copied().collect();
    assert_eq!(each.len(), found.len(), "each is there once");
    assert!((0..400).all(|n| each.contains(&n)), "{found:?}");
    for (n, id) in ids.iter().enumerate() {
        let found = copy.get(&format!("/api/v1/logs/{id}"));
        assert!(found.status == 200 && found.text.contains(&format!("\"order {n}\"")), "{}", found.text);
    }
    assert_eq!(copy.get("/api/v1/logs/config/shop").json()["config"]["ttl_days"], 7);
    let theirs = ingest(&copy, 1_000_000);
    assert_eq!(server.get(&format!("/api/v1/logs/{theirs}")).status, 404);
}

#[test]
fn a_directory_at_rest_is_backed_up_with_its_key_and_what_is_in_its_log() {
    let (home, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut server = Server::start_with(data.path(), |_| {});
    let key = std::fs::read_to_string(data.path().join("admin.key")).unwrap();
    let log = r#"{"service_name":"shop","level":"INFO","message":"order 1","metadata":{"n":1}}"#;
    assert_eq!(server.post_as(key.trim(), "/api/v1/logs/ingest", log).status, 200);
    server.kill();
    let target = home.path().join("copy");
    let (code, out, error) = backup(data.path(), &target, &[]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(!target.join("admin.key").exists(), "the key itself is no part of it");
    let copy = Server::start_with(&target, |_| {});
    let header = format!("Bearer {}", key.trim());
    let found = copy.get_with("/api/v1/logs/search?service=shop", &[("authorization", &header)]).unwrap();
    assert_eq!(found.json()["count"], 1, "{}", found.text);
    let none = home.path().join("none");
    let empty = tempfile::tempdir().unwrap();
    let (code, _, error) = backup(empty.path(), &none, &[]);
    assert!(code == 1 && error.contains("is no data directory") && !none.exists(), "{error}");
}

#[test]
fn a_backup_that_was_killed_is_not_served() {
    let (home, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut server = Server::start_on(data.path());
    // So much that copying it takes a while.
    let noise = |seed: u64| -> String {
        let next = |x: u64| x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (0..40)
            .scan(seed, |x, _| {
                *x = next(*x);
                Some(format!("{:016x}", *x ^ (*x >> 29)))
            })
            .collect()
    };
    let lines: String =
        (0..20_000).map(|n| format!("{{\"service_name\":\"shop\",\"_msg\":\"{}\"}}\n", noise(n))).collect();
    assert_eq!(server.post("/insert/jsonline", lines).status, 200);
    server.signal("TERM");
    assert!(server.wait().success());
    let killed = |attempt: u32| {
        let target = home.path().join(format!("copy-{attempt}"));
        let mut command = logyard();
        command.arg("backup").arg(&target).arg("--data").arg(data.path()).stdout(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        while !target.join("UNFINISHED-BACKUP").exists() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        target.join("UNFINISHED-BACKUP").exists().then_some(target)
    };
    // Where nobody looked in time, it was done before it was killed.
    let target = (0..20).find_map(killed).expect("one that is killed in the middle");
    let (code, _, error) = run(logyard().args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&target));
    assert!(code == 1 && error.contains("is a backup that was not finished"), "{error}");
    let (code, out, _) = run(logyard().args(["check", "--repair", "--data"]).arg(&target));
    assert!(code == 1 && out.contains("was not finished"), "{out}");
    let (code, _, error) = backup(data.path(), &target, &[]);
    assert!(code == 1 && error.contains("is not empty"), "{error}");
}

#[test]
fn a_server_is_asked_for_a_backup_in_its_own_words_and_of_its_own_data() {
    let (home, data, other) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start_on(data.path());
    let ask = |body: Value| server.post("/api/v1/admin/backup", body.to_string());
    for (status, body, said) in [
        (400, json!({}), "target is missing"),
        (400, json!({"target": "copy"}), "whole path"),
        (400, json!({"target": data.path().join("copy")}), "one in the other"),
        (400, json!({"target": home.path().join("a/b")}), "make it first"),
        (400, json!({"target": "/proc/logyard"}), "name a directory that can be written to"),
        (409, json!({"target": home.path().join("copy"), "data": other.path()}), "data is in"),
        (409, json!({"target": data.path().parent().unwrap().join("copy"), "data": "/"}), "data is in"),
    ] {
        let answer = ask(body.clone());
        assert!(answer.status == status && answer.text.contains(said), "{body}: {} {}", answer.status, answer.text);
    }
    let answer = ask(json!({"target": home.path().join("copy"), "data": data.path()}));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
    let lines: Vec<Value> = answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 1 && lines[0]["stage"] == "copying" && lines.last().unwrap()["success"] == true, "{lines:?}");
}
