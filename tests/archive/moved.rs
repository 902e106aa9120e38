//! What moves to the archive and back, and is answered as before wherever it is.
use super::*;
use crate::harness::{client, run};

#[test]
fn what_is_in_the_archive_alone_is_answered_as_before_and_comes_back_for_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let (data, target) = (directory.path().join("data"), directory.path().join("archive"));
    let server = start(&data, &target);
    fill(&server);
    assert_eq!(server.post("/api/v1/admin/seal", "").status, 200);
    let (before, here) = (answers(&server), segments(&data).len());
    assert!(here as u64 >= DAYS);

    // Copied, and still here.
    let copied = offload(&server, "");
    assert_eq!((&copied["success"], &copied["evicted"]), (&json!(true), &json!(0)), "{copied}");
    assert!(copied["segments"].as_u64().unwrap() >= DAYS && copied["bytes"].as_u64().unwrap() > 0);
    assert!(segments(&data).len() >= here && segments(&target).len() as u64 >= DAYS);
    assert_eq!(answers(&server), before);

    // Here no more.
    let evicted = offload(&server, r#"{"evict":true}"#);
    assert!(evicted["evicted"].as_u64().unwrap() >= DAYS, "{evicted}");
    assert_eq!(segments(&data), [] as [PathBuf; 0]);
    assert_eq!(answers(&server), before);
    let away = status(&server);
    assert_eq!((away["here"]["segments"].as_u64(), &away["targets"][0]["trouble"]), (Some(0), &Value::Null), "{away}");
    assert!(away["away"]["segments"].as_u64().unwrap() >= DAYS && away["fetched"]["requests"].as_u64().unwrap() > 0);
    let metrics = server.get("/metrics").text;
    let sample = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(sample("logyard_archive_segments{files=\"away\"}") >= DAYS as f64);
    assert!(sample("logyard_archive_uploads_total{target=\"main\"}") >= DAYS as f64);
    assert!(sample("logyard_archive_fetches_total") > 0.0 && sample("logyard_archive_fetched_bytes_total") > 0.0);
    assert_eq!(sample("logyard_archive_segments{files=\"here\"}"), 0.0);
    assert_eq!(server.get("/api/v1/admin/storage").json()["bytes"]["segments"], 0);

    // The seed's reads say where a record is.
    let found = server.get("/api/v1/logs/search?service=pay&limit=1").json();
    let (id, object) = (found["logs"][0]["id"].as_str().unwrap(), found["logs"][0]["r2_key"].as_str().unwrap());
    assert!(object.starts_with("segments/") && target.join(object).is_file(), "{object}");
    for path in [format!("/api/v1/logs/{id}"), format!("/api/v1/logs/{id}/full")] {
        let log = server.get(&path).json();
        assert_eq!((&log["log"]["r2_key"], &log["log"]["message"]), (&json!(object), &found["logs"][0]["message"]));
    }

    // A start finds them there, with nothing in memory; what it will take and did take is told.
    drop(server);
    let server = start(&data, &target);
    let explained = ask(&server, "\"day3\" service_name:=web | sort by (_time desc) limit 5", "&explain=1").text;
    let line = |begin: &str| explained.lines().find(|line| line.starts_with(begin)).unwrap_or_default().to_owned();
    assert!(line("would fetch").contains("segments in the archive"), "{explained}");
    let fetched: Vec<u64> = line("did fetch").split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(fetched[0] > 0 && fetched[1] > 0, "{explained}");
    assert_eq!((answers(&server), count(&server)), (before.clone(), RECORDS));

    // Back for a while: as lines, so that the progress is seen.
    let body = r#"{"since":"2025-01-01","before":"2026-01-01","ttl":"2d"}"#;
    let lines =
        server.try_post("/api/v1/archive/restore", body.as_bytes(), &[("accept", "application/x-ndjson")]).unwrap();
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = lines.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, progress) = lines.split_last().unwrap();
    assert!(progress[0]["total"].as_u64().unwrap() > 0, "{lines:?}");
    assert_eq!((&last["success"], &last["rows"]), (&json!(true), &json!(RECORDS)), "{last}");
    assert_eq!(segments(&data).len() as u64, last["segments"].as_u64().unwrap());
    let back = status(&server);
    assert_eq!(back["restored"]["segments"], last["segments"]);
    assert_eq!((answers(&server), count(&server)), (before.clone(), RECORDS));
    // Once more is nothing, but that it stays as long.
    let again = server.post("/api/v1/archive/restore", body).json();
    assert_eq!((&again["segments"], &again["here"]), (&json!(0), &last["segments"]));
    assert_eq!(count(&server), RECORDS);

    // What was done is written down.
    let audits = super::lines(
        &server,
        "service_name:=logyard metadata.event:=audit metadata.action:archive* | fields metadata.action",
    );
    assert!(audits.len() >= 4, "{audits:?}");
}

#[test]
fn the_command_line_offloads_restores_and_says_what_is_where() {
    let directory = tempfile::tempdir().unwrap();
    let (data, target) = (directory.path().join("data"), directory.path().join("archive"));
    let server = start(&data, &target);
    fill(&server);
    let archive = |args: &[&str]| run(client(&server, directory.path()).arg("archive").args(args));
    let (code, out, told) = archive(&["offload", "--evict"]);
    let done: Value = serde_json::from_str(&out).unwrap();
    assert!(code == 0 && done["evicted"].as_u64().unwrap() >= DAYS, "{told}");
    let (code, out, _) = archive(&["status"]);
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &status["targets"][0]["name"]), (0, &json!("main")));
    let range = ["restore", "--since", "2025-05-01", "--before", "2025-06-01", "--service", "shop", "--ttl", "12h"];
    let (code, out, told) = archive(&range);
    let done: Value = serde_json::from_str(&out).unwrap();
    assert!(code == 0 && done["segments"].as_u64().unwrap() >= DAYS, "{told}");
    // What is wrong is named by its flag, and nothing is asked.
    let (code, _, told) = archive(&["restore", "--since", "soon", "--before", "now"]);
    assert!(code == 2 && told.contains("--since has to be a time"), "{told}");
    let (code, _, told) = archive(&["restore", "--since", "1d", "--before", "now", "--ttl", "x"]);
    assert!(code == 2 && told.contains("--ttl"), "{told}");
    let (code, _, told) = archive(&["restore", "--since", "now", "--before", "2d"]);
    assert!(code == 2 && told.contains("since must be earlier"), "{told}");
}

#[test]
fn without_an_archive_nothing_is_offloaded_and_it_is_said_what_to_do() {
    let server = Server::start();
    assert_eq!(status(&server)["targets"], json!([]));
    for (path, body) in [("offload", ""), ("restore", r#"{"since":"1d","before":"now"}"#)] {
        let answer = server.post(&format!("/api/v1/archive/{path}"), body);
        assert!(answer.status == 400 && answer.text.contains("[[archive]]"), "{}", answer.text);
    }
    assert_eq!(server.post("/api/v1/archive/offload", r#"{"evcit":true}"#).status, 400);
}
