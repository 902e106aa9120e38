//! Servers that are killed while segments go to the archive and come back.
use super::*;
use std::thread;
use std::time::Duration;

#[test]
fn a_server_that_is_killed_while_it_offloads_has_everything_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (data, target) = (directory.path().join("data"), directory.path().join("archive"));
    // So slow that there is a middle.
    let slow = [("LOGYARD_ARCHIVE_BANDWIDTH", "64KiB")];
    let mut server = start_with(&data, &target, &slow);
    fill(&server);
    assert_eq!(server.post("/api/v1/admin/seal", "").status, 200);
    let before = answers(&server);
    for killed_with in 1..4 {
        thread::scope(|scope| {
            // It breaks off.
            let _broken = scope.spawn(|| server.try_post("/api/v1/archive/offload", br#"{"evict":true}"#, &[]).is_ok());
            crate::harness::until("some are copied", || segments(&target).len() >= killed_with);
            server.signal("KILL");
        });
        server.wait();
        server = start_with(&data, &target, &slow);
        assert_eq!(answers(&server), before);
    }
    drop(server);
    let server = start(&data, &target);
    offload(&server, r#"{"evict":true}"#);
    assert_eq!((segments(&data).len(), answers(&server), count(&server)), (0, before, RECORDS));
    assert_eq!(status(&server)["targets"][0]["waiting"], 0);
}

#[test]
fn a_server_that_is_killed_while_it_restores_has_everything_once_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (data, target) = (directory.path().join("data"), directory.path().join("archive"));
    let mut server = start(&data, &target);
    fill(&server);
    let before = answers(&server);
    offload(&server, r#"{"evict":true}"#);
    let body = br#"{"since":"2025-01-01","before":"2026-01-01","ttl":"1h"}"#;
    for pause in [0, 3, 10, 30] {
        thread::scope(|scope| {
            let _broken_or_not = scope.spawn(|| server.try_post("/api/v1/archive/restore", body, &[]).is_ok());
            thread::sleep(Duration::from_millis(pause));
            server.signal("KILL");
        });
        server.wait();
        server = start(&data, &target);
        assert_eq!((answers(&server), count(&server)), (before.clone(), RECORDS));
    }
    let done = server.try_post("/api/v1/archive/restore", body, &[]).unwrap().json();
    let (back, here) = (done["segments"].as_u64().unwrap(), done["here"].as_u64().unwrap());
    assert_eq!(back + here, segments(&data).len() as u64, "{done}");
    assert_eq!((answers(&server), count(&server)), (before, RECORDS));
}
