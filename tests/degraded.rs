//! Data directories that are not as a server left them: damaged, in part unreadable, or copied. Every start ends in serving.
use crate::harness::Server;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Puts something that no read can follow where a file is, which is elsewhere then.
fn hide(path: &Path, to: &Path) {
    std::fs::rename(path, to).unwrap();
    std::os::unix::fs::symlink(path, path).unwrap();
}

/// The only segment's file.
fn segment(data: &Path) -> PathBuf {
    let files = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = files(data.join("segments")).flat_map(files);
    let path = found.next().unwrap();
    assert_eq!(found.next(), None);
    path
}

#[test]
fn a_start_without_catalog_and_with_a_segment_that_cannot_be_read_serves_and_says_that_it_is_degraded() {
    let (data, hidden) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = |n: u32| format!(r#"{{"service_name":"a","level":"INFO","message":"m {n}"}}"#);
    let mut server = Server::start_on(data.path());
    for n in 0..3 {
        assert_eq!(server.post("/api/v1/logs/ingest", log(n)).status, 200);
    }
    assert_eq!(server.post("/api/v1/admin/seal", "").status, 200);
    let health = server.get("/health").json();
    assert_eq!((&health["status"], health.get("troubles")), (&"healthy".into(), None));
    server.kill();
    let (path, kept) = (segment(data.path()), hidden.path().join("kept"));
    hide(&path, &kept);
    std::fs::remove_file(data.path().join("catalog.redb")).unwrap();
    for n in 3..5 {
        let mut server = Server::start_on(data.path());
        let health = server.get("/health");
        assert_eq!((health.status, &health.json()["status"]), (200, &"degraded".into()), "{}", health.text);
        assert!(health.json()["troubles"].as_u64().unwrap() > 0, "{}", health.text);
        assert!(!health.text.contains("segments"), "no key was asked for: {}", health.text);
        assert_eq!(server.get("/ready").status, 200);
        assert_eq!(server.post("/api/v1/logs/ingest", log(n)).status, 200);
        server.kill();
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::rename(&kept, &path).unwrap();
    for _ in 0..2 {
        let mut server = Server::start_on(data.path());
        let found = server.get("/api/v1/logs/search").json();
        let mut texts: Vec<&str> =
            found["logs"].as_array().unwrap().iter().map(|l| l["message"].as_str().unwrap()).collect();
        texts.sort_unstable();
        assert_eq!(texts, ["m 0", "m 1", "m 2", "m 3", "m 4"]);
        server.kill();
    }
    let server = Server::start_on(data.path());
    assert_eq!(server.get("/health").json()["status"], "healthy");
}

#[test]
fn a_server_that_found_damage_is_degraded_until_a_start_that_finds_none() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_on(data.path());
    assert_eq!(server.post("/api/v1/logs/ingest", r#"{"service_name":"a","level":"INFO","message":"m"}"#).status, 200);
    assert_eq!(server.post("/api/v1/admin/seal", "").status, 200);
    server.kill();
    let path = segment(data.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 40;
    bytes[at] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    for status in ["degraded", "healthy"] {
        let mut server = Server::start_on(data.path());
        let health = server.get("/health");
        assert_eq!((health.status, &health.json()["status"]), (200, &status.into()), "{}", health.text);
        server.kill();
    }
}

#[test]
fn a_copied_directory_gives_ids_of_its_own_and_knows_the_old_ones() {
    let (original, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = r#"{"service_name":"a","level":"INFO","message":"m"}"#;
    let ingest = |server: &Server| {
        let answer = server.post("/api/v1/logs/ingest", log);
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    let ids = |server: &Server| -> BTreeSet<String> {
        let found = server.get("/api/v1/logs/search").json();
        found["logs"].as_array().unwrap().iter().map(|log| log["id"].as_str().unwrap().to_owned()).collect()
    };
    let mut server = Server::start_on(original.path());
    (0..3).for_each(|_| ingest(&server));
    let known = ids(&server);
    server.kill();
    let copied = Command::new("cp").arg("-a").arg(original.path().join(".")).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    let servers = [original.path(), copy.path()].map(Server::start_on);
    for server in &servers {
        (0..3).for_each(|_| ingest(server));
        for id in ids(server) {
            assert_eq!(server.get(&format!("/api/v1/logs/{id}")).status, 200, "{id}");
        }
    }
    let [one, other] = servers.each_ref().map(ids);
    assert_eq!((one.len(), other.len()), (6, 6));
    assert_eq!(one.intersection(&other).cloned().collect::<BTreeSet<_>>(), known);
}
