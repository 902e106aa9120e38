//! `ack=archive`: answers that wait until the archive has what was sent.
use super::*;
use crate::harness::until;

fn one(server: &Server, service: &str, parameters: &str) -> Answer {
    let log = json!({ "service_name": service, "level": "INFO", "message": "one to be kept" });
    server.post(&format!("/api/v1/logs/ingest?{parameters}"), log.to_string())
}

fn said(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.header("x-logyard-ack"))
}

#[test]
fn an_answer_says_archive_when_the_archive_has_it_and_never_before() {
    let directory = tempfile::tempdir().unwrap();
    let (data, target) = (directory.path().join("data"), directory.path().join("archive"));
    let server = start_with(&data, &target, &[("LOGYARD_ARCHIVE_ACK_TIMEOUT", "10s")]);
    assert_eq!(said(&one(&server, "shop", "ack=wal")), (200, Some("wal")));
    assert_eq!(segments(&target).len(), 0);
    let answer = one(&server, "shop", "ack=archive");
    assert_eq!(said(&answer), (200, Some("archive")), "{}", answer.text);
    // What was sent before went along.
    assert_eq!((segments(&target).len(), segments(&data).len()), (1, 1));
    let lines = "{\"_msg\":\"a\",\"service_name\":\"shop\"}\n{\"_msg\":\"b\",\"service_name\":\"shop\"}\n";
    assert_eq!(said(&server.post("/insert/jsonline?ack=archive", lines)), (200, Some("archive")));
    let batch = json!({ "logs": [{ "service_name": "pay", "level": "INFO", "message": "of a batch" }] });
    let answer = server.post("/api/v1/logs/ingest/batch?ack=archive", batch.to_string());
    assert_eq!((said(&answer), answer.json()["ingested"].as_u64()), ((200, Some("archive")), Some(1)));

    // A service that is kept out of the archive is never in it.
    let config = server.put("/api/v1/logs/config/own", json!({ "archive": false }).to_string());
    assert_eq!(config.status, 200, "{}", config.text);
    assert_eq!(said(&one(&server, "own", "ack=archive")), (202, Some("wal")));
    assert_eq!(said(&one(&server, "shop", "ack=archive")), (200, Some("archive")));
}

#[test]
fn an_answer_that_the_archive_keeps_waiting_says_what_was_reached() {
    let directory = tempfile::tempdir().unwrap();
    let (data, target) = (directory.path().join("data"), directory.path().join("archive"));
    // A file where the target's directory should be: nothing can be made there.
    std::fs::write(&target, "in the way").unwrap();
    let server = start_with(&data, &target, &[("LOGYARD_ARCHIVE_ACK_TIMEOUT", "1500ms")]);
    let answer = one(&server, "shop", "ack=archive");
    assert_eq!(said(&answer), (202, Some("wal")), "{}", answer.text);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(server.get(&format!("/api/v1/logs/{id}")).status, 200, "it is stored");
    std::fs::remove_file(&target).unwrap();
    // The upload goes on by itself.
    until("the object is there", || segments(&target).len() == 1);
}

#[test]
fn without_an_archive_nobody_can_wait_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY);
    });
    let answer = one(&server, "shop", "ack=archive");
    assert!(answer.status == 400 && answer.text.contains("none is configured"), "{}", answer.text);
    assert_eq!(server.get("/api/v1/logs/recent/shop").json()["count"], 0);
}
