//! Targets that do not give back what is in them: answers without it say so, and who wants all has an error.
use super::*;
use crate::harness::{client, run};

/// A server whose sealed records are in the archive alone, of which it has nothing in memory; and some that are here.
fn away(directory: &Path) -> (Server, PathBuf) {
    let (data, target) = (directory.join("data"), directory.join("archive"));
    let server = start(&data, &target);
    fill(&server);
    offload(&server, r#"{"evict":true}"#);
    drop(server);
    let server = start(&data, &target);
    let here = json!({ "service_name": "shop", "level": "INFO", "message": "this receipt is here" });
    assert_eq!(server.post("/api/v1/logs/ingest", here.to_string()).status, 200);
    (server, target)
}

#[test]
fn an_answer_without_what_a_target_lost_says_so_and_who_wants_all_has_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let (server, target) = away(directory.path());
    let aside = directory.path().join("aside");
    std::fs::rename(&target, &aside).unwrap();

    let found = ask(&server, "receipt service_name:=shop", "");
    assert_eq!((found.status, found.text.lines().count()), (200, 1), "{}", found.text);
    let note = found.header("x-logyard-partial").unwrap();
    assert!(note.contains("segments that could not be fetched from the archive"), "{note}");
    let all = ask(&server, "receipt service_name:=shop", "&partial=0");
    assert!(all.status == 503 && all.text.contains("in the archive"), "{}", all.text);

    let search = server.get("/api/v1/logs/search?service=shop&q=receipt");
    let body = search.json();
    assert_eq!((body["count"].as_u64(), search.header("x-logyard-partial").is_some()), (Some(1), true));
    assert!(body["note"].as_str().unwrap().contains("archive"), "{body}");
    assert_eq!(server.get("/api/v1/logs/search?service=shop&q=receipt&partial=0").status, 503);
    assert!(server.get("/api/v1/logs/recent/shop").json()["note"].is_string());
    for route in ["hits", "field_names", "streams"] {
        let answer = server.get(&format!("/select/logsql/{route}?query=receipt"));
        assert!(answer.status == 200 && answer.header("x-logyard-partial").is_some(), "{route}: {}", answer.text);
        assert_eq!(server.get(&format!("/select/logsql/{route}?query=receipt&partial=0")).status, 503, "{route}");
    }
    // What lies elsewhere in time is not missed.
    let today = ask(&server, "receipt _time:1h", "");
    assert_eq!((today.status, today.header("x-logyard-partial")), (200, None));

    let query =
        |args: &[&str]| run(client(&server, directory.path()).args(["query", "receipt service_name:=shop"]).args(args));
    let (code, out, told) = query(&[]);
    assert!(code == 0 && out.lines().count() == 1 && told.contains("the answer is without"), "{told}");
    let (code, _, told) = query(&["--all"]);
    assert!(code == 1 && told.contains("in the archive"), "{told}");

    // Neither can it be brought back, which is no fault of who asks.
    let restore = server.post("/api/v1/archive/restore", r#"{"since":"2025-01-01","before":"2026-01-01"}"#);
    assert!(restore.status == 503 && restore.text.contains("archive"), "{}", restore.text);
    // It serves, and takes logs.
    assert_eq!(server.get("/ready").status, 200);

    // Once it is back, all is as before.
    std::fs::remove_dir_all(&target).unwrap_or_default();
    std::fs::rename(&aside, &target).unwrap();
    let all = ask(&server, "receipt service_name:=shop", "&partial=0");
    assert_eq!((all.status, all.text.lines().count() as u64), (200, RECORDS / 3 + 1), "{}", all.text);
}

#[test]
fn a_record_that_cannot_be_fetched_is_not_said_to_be_missing() {
    let directory = tempfile::tempdir().unwrap();
    let (server, target) = away(directory.path());
    let found = server.get("/api/v1/logs/search?service=web&limit=1&q=day1").json();
    let id = found["logs"][0]["id"].as_str().unwrap().to_owned();
    let data = server.data().to_owned();
    drop(server);
    let server = start(&data, &target);
    std::fs::rename(&target, directory.path().join("aside")).unwrap();
    let answer = server.get(&format!("/api/v1/logs/{id}"));
    assert!(answer.status == 503 && answer.text.contains("in the archive"), "{}", answer.text);
}

#[test]
fn a_target_that_takes_nothing_is_named_and_keeps_no_server_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let (data, target) = (directory.path().join("data"), directory.path().join("archive"));
    // A file where the directory would be.
    std::fs::write(&target, "").unwrap();
    let server = start(&data, &target);
    fill(&server);
    let trouble = || status(&server)["targets"][0]["trouble"].as_str().map(str::to_owned);
    crate::harness::until("the target is named", || trouble().is_some());
    assert!(trouble().unwrap().contains("archive"), "{:?}", trouble());
    let health = server.get_with("/health", &[]).unwrap().json();
    assert_eq!((&health["status"], &health["troubles"]), (&json!("degraded"), &json!(1)));
    assert!(server.get("/metrics").text.contains("logyard_archive_target_up{target=\"main\"} 0"));
    let offloaded = server.post("/api/v1/archive/offload", r#"{"evict":true}"#);
    let told = offloaded.json();
    assert_eq!((offloaded.status, &told["evicted"]), (503, &json!(0)), "{told}");
    assert!(!told["failed"].as_array().unwrap().is_empty());
    assert_eq!(count(&server), RECORDS);
    std::fs::remove_file(&target).unwrap();
    let is_well = || server.get_with("/health", &[]).unwrap().json()["status"] == "healthy";
    crate::harness::until("the target is well again", is_well);
    assert!(offload(&server, r#"{"evict":true}"#)["evicted"].as_u64().unwrap() >= DAYS);
    assert_eq!(trouble(), None);
    assert_eq!(count(&server), RECORDS);
}

#[test]
fn what_one_target_lost_another_one_gives() {
    let directory = tempfile::tempdir().unwrap();
    let (data, config) = (directory.path().join("data"), directory.path().join("logyard.toml"));
    let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
    let text = format!(
        "[[archive]]\nname = \"first\"\ntarget = \"file://{}\"\n[[archive]]\nname = \"second\"\ntarget = \"file://{}\"\n",
        first.display(),
        second.display()
    );
    std::fs::write(&config, text).unwrap();
    let start = || {
        Server::start_with(&data, |command| {
            command.env("LOGYARD_ADMIN_KEY", KEY).env("LOGYARD_CONFIG", &config);
        })
    };
    let server = start();
    fill(&server);
    let before = answers(&server);
    offload(&server, r#"{"evict":true}"#);
    assert_eq!(segments(&first).len(), segments(&second).len());
    drop(server);
    let server = start();
    std::fs::rename(&first, directory.path().join("aside")).unwrap();
    assert_eq!((answers(&server), count(&server)), (before, RECORDS));
    let body = r#"{"since":"2025-01-01","before":"2026-01-01"}"#;
    assert_eq!(server.post("/api/v1/archive/restore", body).json()["rows"], RECORDS);
}
