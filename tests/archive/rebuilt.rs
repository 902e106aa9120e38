//! Machines that are lost, and what an archive gives back of them.
use super::*;
use crate::harness::{client, logyard, run};

/// A server with records, a configuration and a key, all of which are in the archive; and then it is gone.
fn lost(directory: &Path) -> (PathBuf, Vec<Vec<String>>) {
    let (data, target) = (directory.join("data"), directory.join("archive"));
    let server = start(&data, &target);
    fill(&server);
    let config = server.put("/api/v1/logs/config/shop", json!({ "ttl_days": 4_000 }).to_string());
    assert_eq!(config.status, 200, "{}", config.text);
    let key = server.post("/api/v1/keys", json!({ "name": "shipper", "scopes": ["ingest"] }).to_string());
    assert!(key.status < 300, "{}", key.text);
    offload(&server, "");
    let answers = answers(&server);
    drop(server);
    std::fs::remove_dir_all(&data).unwrap();
    (target, answers)
}

fn command(args: &[&str]) -> (i32, String, String) {
    run(logyard().args(["archive"]).args(args))
}

#[test]
fn a_new_machine_gets_everything_back_with_one_command() {
    let directory = tempfile::tempdir().unwrap();
    let (target, before) = lost(directory.path());
    let (from, data) = (target.to_str().unwrap(), directory.path().join("rebuilt"));
    let at = data.to_str().unwrap();
    let (code, out, told) = command(&["verify", "--from", from]);
    let proof: Value = serde_json::from_str(&out).unwrap_or_default();
    assert_eq!((code, &proof["success"]), (0, &json!(true)), "{out}{told}");
    // The server's own are among them.
    assert!(proof["rows"].as_u64() > Some(RECORDS), "{out}");
    let (code, out, told) = command(&["rebuild", "--from", from, "--data", at]);
    assert_eq!(code, 0, "{out}{told}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["rows"], report["target"].as_str()), (&proof["rows"], Some("main")));
    let (code, out, told) = command(&["verify", "--from", from, "--data", at]);
    assert_eq!(code, 0, "{out}{told}");

    let server = start(&data, &target);
    assert_eq!(count(&server), RECORDS);
    assert_eq!(answers(&server), before);
    assert_eq!(server.get("/api/v1/logs/config/shop").json()["config"]["ttl_days"], 4_000);
    assert!(server.get("/api/v1/keys").text.contains("shipper"));
    // It goes on where the lost one was.
    let answer = server
        .post("/api/v1/logs/ingest", json!({ "service_name": "shop", "level": "INFO", "message": "new" }).to_string());
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(offload(&server, "")["segments"].as_u64() >= Some(1));
    // Nothing is made over something.
    let (code, _, told) = command(&["rebuild", "--from", from, "--data", at]);
    assert!(code == 1 && told.contains("not empty"), "{told}");
}

#[test]
fn an_archive_can_be_looked_at_where_it_is_and_stays_whose_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (target, before) = lost(directory.path());
    let data = directory.path().join("rebuilt");
    let args = [
        "rebuild",
        "--from",
        target.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
        "--in-place",
        "--leave-owner",
    ];
    let (code, out, told) = command(&args);
    assert_eq!(code, 0, "{out}{told}");
    assert_eq!(segments(&data).len(), 0);
    let server = start(&data, &target);
    assert_eq!(answers(&server), before);
    let log = json!({ "service_name": "shop", "level": "INFO", "message": "new" });
    assert_eq!(server.post("/api/v1/logs/ingest", log.to_string()).status, 200);
    let refused = server.post("/api/v1/archive/offload", "");
    assert!(refused.status == 503 && refused.text.contains("belongs to the data directory"), "{}", refused.text);
    crate::harness::until("it is told", || {
        let is_logged = !lines(&server, "service_name:=logyard \"belongs to the data directory\"").is_empty();
        is_logged && server.get("/health").json()["status"] == "degraded"
    });
    // Unless it is taken over.
    let (code, out, told) = run(client(&server, directory.path()).args(["archive", "take-over", "--target", "main"]));
    assert!(code == 0 && out.contains("before"), "{out}{told}");
    assert!(offload(&server, "")["segments"].as_u64() >= Some(1));
    let (code, out, told) = run(client(&server, directory.path()).args(["archive", "collect", "--dry-run"]));
    let report: Value = serde_json::from_str(&out).unwrap_or_default();
    assert_eq!((code, &report["orphans"]), (0, &json!(0)), "{out}{told}");
    let (code, _, told) = run(client(&server, directory.path()).args(["archive", "take-over", "--target", "other"]));
    assert!(code == 1 && told.contains("there are main"), "{told}");
}

#[test]
fn what_is_damaged_in_an_archive_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (target, _) = lost(directory.path());
    let object = segments(&target).remove(0);
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&object, bytes).unwrap();
    let from = target.to_str().unwrap();
    let (code, out, told) = command(&["verify", "--from", from]);
    let name = object.file_name().unwrap().to_str().unwrap();
    assert!(code == 1 && told.contains(name) && out.contains("\"success\":false"), "{out}{told}");
    let data = directory.path().join("rebuilt");
    let (code, _, told) = command(&["rebuild", "--from", from, "--data", data.to_str().unwrap()]);
    assert!(code == 1 && told.contains(name), "{told}");
    let empty = directory.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let (code, _, told) = command(&["verify", "--from", empty.to_str().unwrap()]);
    assert!(code == 1 && told.contains("no archive of Logyard"), "{told}");
    // Nothing is made where there is nothing to be had.
    let nothing = directory.path().join("nothing");
    let (code, _, told) = command(&["rebuild", "--from", empty.to_str().unwrap(), "--data", nothing.to_str().unwrap()]);
    assert!(code == 1 && told.contains("no archive of Logyard") && !nothing.exists(), "{told}");
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
    let (code, _, told) = command(&["verify", "--from", "/there/is/none"]);
    assert!(code == 1 && told.contains("there is no directory"), "{told}");
    let (code, _, told) = command(&["verify"]);
    assert!(code == 2 && told.contains("--from"), "{told}");
}

#[test]
fn a_backup_in_a_directory_is_rebuilt_the_same_way() {
    let directory = tempfile::tempdir().unwrap();
    let (data, backup, rebuilt) =
        (directory.path().join("data"), directory.path().join("backup"), directory.path().join("rebuilt"));
    let server = start(&data, &directory.path().join("archive"));
    fill(&server);
    let (code, out, told) = run(client(&server, directory.path()).args(["backup", backup.to_str().unwrap()]));
    assert_eq!(code, 0, "{out}{told}");
    drop(server);
    let (code, _, told) = command(&["verify", "--from", backup.to_str().unwrap()]);
    assert!(code == 2 && told.contains("logyard check --data"), "{told}");
    let (code, out, told) =
        command(&["rebuild", "--from", backup.to_str().unwrap(), "--data", rebuilt.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{told}");
    let server = start(&rebuilt, &directory.path().join("other"));
    assert_eq!(count(&server), RECORDS);
}

#[test]
fn a_backup_in_a_target_of_the_archive_is_rebuilt_too() {
    let directory = tempfile::tempdir().unwrap();
    let (data, target, rebuilt) =
        (directory.path().join("data"), directory.path().join("archive"), directory.path().join("rebuilt"));
    let server = start(&data, &target);
    fill(&server);
    let backup = |folder: &str, archive: &str| {
        run(client(&server, directory.path()).args(["backup", "--archive", archive, folder]))
    };
    let (code, out, told) = backup("backups/one", "main");
    assert_eq!(code, 0, "{out}{told}");
    let again: Value = serde_json::from_str(&backup("backups/one", "main").1).unwrap();
    assert!(again["success"] == true && again["target"].as_str().unwrap().ends_with("/backups/one"), "{again}");
    for (folder, archive, said) in [
        ("backups/../owner", "main", "such as backups/2026-05-28"),
        ("segments/x", "main", "such as backups/2026-05-28"),
        ("backups/one", "other", "no target other"),
    ] {
        let (code, _, told) = backup(folder, archive);
        assert!(code == 1 && told.contains(said), "{folder} {archive}: {told}");
    }
    let answers = answers(&server);
    drop(server);
    let from = target.join("backups/one");
    let (code, out, told) =
        command(&["rebuild", "--from", from.to_str().unwrap(), "--data", rebuilt.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{told}");
    let server = start(&rebuilt, &directory.path().join("other"));
    assert_eq!((count(&server), self::answers(&server)), (RECORDS, answers));
}

#[test]
fn a_backup_has_what_is_in_the_archive_alone_and_a_check_says_where_that_is() {
    let directory = tempfile::tempdir().unwrap();
    let (data, backup) = (directory.path().join("data"), directory.path().join("backup"));
    let server = start(&data, &directory.path().join("archive"));
    fill(&server);
    let (code, out, told) = run(client(&server, directory.path()).args(["archive", "offload", "--evict"]));
    assert_eq!(code, 0, "{out}{told}");
    let (code, out, told) = run(client(&server, directory.path()).args(["backup", backup.to_str().unwrap()]));
    assert_eq!(code, 0, "{out}{told}");
    let here = Server::start_on(&backup);
    assert_eq!(count(&here), RECORDS);
    drop((server, here));
    let (code, out, told) = run(crate::harness::logyard().args(["check", "--data", data.to_str().unwrap()]));
    assert!(code == 0 && out.contains("in the archive alone"), "{out}{told}");
}
