//! docs/moving.md, walked through: each command of it is run, in its order, with the files that it speaks of.
use crate::harness::{KEY, Server, client, encoded};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;

const PAGE: &str = include_str!("../docs/moving.md");

/// What old systems gave.
fn lay_out(home: &Path) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/moving");
    assert!(Command::new("cp").args(["-r"]).arg(fixtures.join(".")).arg(home).status().unwrap().success());
    let packed = |text: &[u8]| {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text).unwrap();
        gz.finish().unwrap()
    };
    let tokens = std::fs::read(home.join("token_usage.jsonl")).unwrap();
    std::fs::write(home.join("token_usage.jsonl.gz"), packed(&tokens)).unwrap();
    // The log of the index whose message the bucket has whole, and one that only the bucket has.
    let whole = json!({
        "id": "0b6fd0cb-6a4b-4a0e-8b4e-6c0a6f9b0a01", "service_name": "payments-api", "level": "ERROR",
        "message": "card declined; it's blocked, and all that the index left out", "timestamp": 1_763_690_000_123u64,
        "metadata": {"order": 42, "amount": 1.5}, "source_type": "http", "r2_key": null,
    });
    let alone = json!({
        "id": "0b6fd0cb-6a4b-4a0e-8b4e-6c0a6f9b0a09", "service_name": "payments-api", "level": "INFO",
        "message": "only here", "timestamp": 1_763_690_000_999u64, "metadata": {},
    });
    let folder = home.join("logs/payments-api/2025-11-21");
    std::fs::create_dir_all(&folder).unwrap();
    for log in [whole, alone] {
        let name = format!("{}.json.gz", log["id"].as_str().unwrap());
        std::fs::write(folder.join(name), packed(log.to_string().as_bytes())).unwrap();
    }
}

fn rows(server: &Server, query: &str) -> Vec<Value> {
    let answer = server.post("/select/logsql/query", format!("query={}", encoded(query)));
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_command_of_the_page_works_and_adds_nothing_the_second_time() {
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    lay_out(home.path());
    let blocks = PAGE.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let commands: Vec<&str> = blocks.flat_map(str::lines).filter(|line| !line.is_empty()).collect();
    assert!(commands.len() >= 13);
    let mut imported: BTreeMap<&str, u64> = BTreeMap::new();
    for again in [false, true] {
        for command in &commands {
            let program = env!("CARGO_BIN_EXE_logyard");
            let mut shell = Command::new("sh");
            let line = command.replacen("logyard", program, 1);
            assert!(command.starts_with("logyard "), "{command}");
            let environment = client(&server, home.path());
            for (name, value) in environment.get_envs() {
                value.map(|value| shell.env(name, value));
            }
            let output = shell.args(["-c", &line]).current_dir(home.path()).output().unwrap();
            let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{command}: {out}{err}");
            if command.contains("archive import") {
                let said: Value = serde_json::from_str(out.trim()).unwrap();
                let count = said["imported"].as_u64().unwrap();
                assert!(!again || count == 0, "{command}: {said}");
                imported.entry(command).or_insert(count);
            } else if command.contains("logyard query") {
                assert_eq!(out.lines().count(), 1, "{command}: {out}");
            }
        }
    }
    let counts: Vec<u64> = imported.values().copied().collect();
    assert_eq!(counts.iter().sum::<u64>(), 2 + 3 + 3 + 2 + 2 + 2 + 3, "{imported:?}");
    // What came over.
    let whole = &rows(&server, "id:=0b6fd0cb-6a4b-4a0e-8b4e-6c0a6f9b0a01")[0];
    assert!(whole["_msg"].as_str().unwrap().ends_with("left out"));
    assert_eq!((&whole["_time"], &whole["metadata.order"]), (&json!("2025-11-21T01:53:20.123Z"), &json!("42")));
    let log = server.get("/api/v1/logs/0b6fd0cb-6a4b-4a0e-8b4e-6c0a6f9b0a02").json();
    assert_eq!((&log["log"]["message"], &log["log"]["source_type"]), (&json!("two\nlines"), &json!("tail")));
    let audit = &rows(&server, "service_name:=cloudflare-audit action_type:=purge")[0];
    assert_eq!(
        (&audit["metadata.zone_name"], &audit["raw_event.action.type"]),
        (&json!("example.com"), &json!("purge"))
    );
    assert_eq!(audit["_time"], "2026-11-20T10:31:48.87573Z");
    assert_eq!(
        rows(&server, "service_name:=cloudflare-audit-pg event_id:=e-1")[0]["_time"],
        "2026-11-20T10:19:48.87573Z"
    );
    assert_eq!(rows(&server, "service_name:=audit token_id:=tok_1").len(), 2);
    assert_eq!(rows(&server, "service_name:=cron busy").len(), 2, "two equal lines are two records");
    assert_eq!(server.post_as(KEY, "/api/v1/admin/seal", "").status, 200);
    // None of it is too old to be kept.
    assert_eq!(rows(&server, "* -service_name:=logyard").len(), 17);
}
