//! Records out in open formats and in again, over HTTP and on the command line.
use crate::access::make;
use crate::harness::{KEY, Server, client, encoded, run, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// What a command says on standard output, as JSON.
fn said(server: &Server, home: &Path, args: &[&str]) -> Value {
    let (code, out, err) = run(client(server, home).args(["archive"]).args(args));
    assert_eq!(code, 0, "{args:?}: {err}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
}

/// How many records a query finds.
fn count(server: &Server, query: &str) -> u64 {
    let answer = server.post("/select/logsql/query", format!("query={}", encoded(&format!("{query} | count() n"))));
    assert_eq!(answer.status, 200, "{}", answer.text);
    let line = answer.text.lines().next().unwrap_or("{\"n\":\"0\"}");
    serde_json::from_str::<Value>(line).unwrap()["n"].as_str().unwrap().parse().unwrap()
}

/// Both faces of all records, without what an import gives anew.
fn faces(server: &Server) -> (Vec<String>, Vec<String>) {
    let logs = server.get("/api/v1/logs/search?limit=1000").json();
    let without = |mut row: Value, names: &[&str]| {
        let row = row.as_object_mut().unwrap();
        names.iter().for_each(|name| drop(row.remove(*name)));
        serde_json::to_string(row).unwrap()
    };
    let rows = logs["logs"].as_array().unwrap().iter();
    let mut rows: Vec<String> = rows.map(|row| without(row.clone(), &["id", "_id_sent"])).collect();
    let answer =
        server.post("/select/logsql/query", format!("query={}&limit=1000", encoded("* -service_name:=logyard")));
    let lines = answer.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut flat: Vec<String> = lines.map(|row| without(row, &["_id", "_id_sent", "_stream_id"])).collect();
    rows.sort();
    flat.sort();
    (rows, flat)
}

/// All files below a folder.
fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { files(&entry, found) } else { found.push(entry) }
    }
}

const LINES: [&str; 7] = [
    r#"{"_time":"2026-05-28T10:00:00.123456789Z","service_name":"shop","level":"INFO","_msg":"m","n":1,"d":1.5,"b":true,"deep":{"a":{"b":2}}}"#,
    r#"{"_time":"2026-05-28T10:00:01Z","service_name":"shop","n":-7,"d":1.50,"s":"","mixed":"1","deep":{"a":{"b":3}},"deep.a.b":4}"#,
    r#"{"_time":"2026-05-28T11:00:02Z","service_name":"b/c","n":null,"d":1e3,"list":[1,2],"empty":{},"level":30,"message":"m"}"#,
    r#"{"_time":"2026-05-27T10:00:03Z","service_name":"shop","d":12345678901234567890123,"n":1,"n":2,"metadata":{}}"#,
    r#"{"_time":"2026-05-28T10:00:04Z","_msg":{"a":1},"r2_key":"k","timestamp":5}"#,
    r#"{"_time":"2026-05-28T10:59:59.999999999Z","service_name":"shop","level":"","metadata":{"a":[{"b":1}]},"source_type":"http"}"#,
    r#"{"_time":"2026-05-28T10:00:06Z","service_name":"shop","_msg":"two\nlines\u0000","level":"ERROR"}"#,
];

fn filled() -> Server {
    let server = Server::start();
    assert_eq!(server.post("/insert/jsonline", LINES.join("\n")).json()["ingested"], LINES.len());
    let pods = [r#"{"_time":"2026-05-28T10:00:07Z","service_name":"shop","pod":"a","_msg":"p"}"#; 2].join("\n");
    assert_eq!(server.post("/insert/jsonline?_stream_fields=pod", pods).json()["ingested"], 2);
    server
}

#[test]
fn what_goes_out_comes_in_again_as_it_was_and_once() {
    for (format, folder) in [("parquet", "parquet"), ("ndjson", "logs")] {
        let (server, home) = (filled(), tempfile::tempdir().unwrap());
        let to = home.path().join("lake");
        let to = to.to_str().unwrap();
        let first = said(&server, home.path(), &["export", "--to", to, "--format", format]);
        assert_eq!(first["rows"], 9, "{first}");
        let again = said(&server, home.path(), &["export", "--to", to, "--format", format]);
        assert_eq!((&again["rows"], &again["parts"]), (&json!(0), &json!(0)), "{again}");
        // Where it came from, nothing is new.
        let path = format!("{to}/{folder}");
        let own = said(&server, home.path(), &["import", &path]);
        assert_eq!((&own["imported"], &own["known"]), (&json!(0), &json!(9)), "{own}");
        let other = Server::start();
        let there = said(&other, home.path(), &["import", &path]);
        assert_eq!((&there["read"], &there["imported"], &there["bad"]), (&json!(9), &json!(9), &json!(0)), "{there}");
        assert_eq!(said(&other, home.path(), &["import", &path])["known"], 9);
        assert_eq!(other.post("/api/v1/admin/seal", "").status, 200);
        assert_eq!(said(&other, home.path(), &["import", &path])["imported"], 0);
        let (was, is) = (faces(&server), faces(&other));
        assert_eq!(was.0, is.0, "{format}");
        assert_eq!(was.1, is.1, "{format}");
        // A record is found by the id that it had.
        let logs = server.get("/api/v1/logs/search?service=shop&q=two").json();
        let old = logs["logs"][0]["id"].as_str().unwrap();
        let found = other.get(&format!("/api/v1/logs/{old}")).json();
        assert_eq!((&found["log"]["message"], &found["log"]["_id_sent"]), (&json!("two\nlines\0"), &json!(old)));
        // A third one takes both for the same.
        let again = home.path().join("again");
        said(&other, home.path(), &["export", "--to", again.to_str().unwrap(), "--format", format]);
        assert_eq!(said(&server, home.path(), &["import", again.to_str().unwrap()])["imported"], 0);
    }
}

#[test]
fn what_comes_while_an_hour_is_written_is_the_next_part_s() {
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    let lake = home.path().join("lake");
    let send = |from: u64| {
        let line = |n: u64| format!("{{\"_time\":\"2026-05-28T10:00:00Z\",\"service_name\":\"shop\",\"n\":{n}}}\n");
        let lines: String = (from..from + 200).map(line).collect();
        assert_eq!(server.post("/insert/jsonline", lines).json()["ingested"], 200);
    };
    let written = std::thread::scope(|scope| {
        let sending = scope.spawn(|| (0..60).for_each(|turn| send(turn * 200)));
        let mut written = 0;
        while !sending.is_finished() {
            let done = said(&server, home.path(), &["export", "--to", lake.to_str().unwrap()]);
            written += done["rows"].as_u64().unwrap();
        }
        written
    });
    let rest = said(&server, home.path(), &["export", "--to", lake.to_str().unwrap()]);
    assert_eq!(written + rest["rows"].as_u64().unwrap(), 12_000);
    let other = Server::start();
    let there = said(&other, home.path(), &["import", lake.to_str().unwrap()]);
    assert_eq!((&there["read"], &there["imported"]), (&json!(12_000), &json!(12_000)), "{there}");
}

#[test]
fn late_records_become_parts_and_are_merged() {
    let (server, home) = (filled(), tempfile::tempdir().unwrap());
    let to = home.path().join("lake");
    let to = to.to_str().unwrap();
    said(&server, home.path(), &["export", "--to", to]);
    for n in 0..3 {
        let late = format!(r#"{{"_time":"2026-05-28T10:30:00Z","service_name":"shop","late":{n}}}"#);
        assert_eq!(server.post("/insert/jsonline", late).status, 200);
        let found = said(&server, home.path(), &["export", "--to", to, "--service", "shop"]);
        assert_eq!((&found["parts"], &found["rows"]), (&json!(1), &json!(1)), "{found}");
    }
    let merged = said(&server, home.path(), &["export", "--to", to, "--since", "2026-05-28", "--repack"]);
    assert_eq!((&merged["parts"], &merged["removed"]), (&json!(1), &json!(4)), "{merged}");
    let hour = format!("{to}/parquet/year=2026/month=05/day=28/hour=10/service=shop");
    assert_eq!(std::fs::read_dir(hour).unwrap().count(), 1);
    assert_eq!(said(&server, home.path(), &["export", "--to", to, "--repack"])["parts"], 0);
    let other = Server::start();
    assert_eq!(said(&other, home.path(), &["import", to])["imported"], 12);
}

#[test]
fn an_hour_that_is_not_over_waits() {
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    assert_eq!(server.post("/insert/jsonline", r#"{"service_name":"now","_msg":"x"}"#).status, 200);
    let to = home.path().join("lake");
    let to = to.to_str().unwrap();
    assert_eq!(said(&server, home.path(), &["export", "--to", to, "--service", "now"])["rows"], 0);
    // Asked for, it is written as far as it is there.
    assert_eq!(
        said(&server, home.path(), &["export", "--to", to, "--service", "now", "--before", "2200-01-01"])["rows"],
        1
    );
}

#[test]
fn an_import_counts_by_service_time_and_id() {
    let server = Server::start();
    let import = |lines: &[&str]| {
        let answer = server.post("/api/v1/archive/import", lines.join("\n"));
        assert_eq!(answer.status, 200, "{}", answer.text);
        let said = answer.json();
        ["ingested", "known", "failed"].map(|name| said[name].as_u64().unwrap())
    };
    let a = r#"{"_time":"2020-01-01T00:00:00Z","service_name":"s","id":"1","_msg":"a"}"#;
    let other_time = r#"{"_time":"2020-01-01T00:00:01Z","service_name":"s","id":"1","_msg":"a"}"#;
    let other_service = r#"{"_time":"2020-01-01T00:00:00Z","service_name":"t","id":"1","_msg":"a"}"#;
    let future = r#"{"_time":"2199-01-01T00:00:00Z","service_name":"s","id":"2","_msg":"f"}"#;
    assert_eq!(import(&[a, a, "", other_time, "{", r#"{"id":"1"}"#, future]), [3, 1, 2]);
    assert_eq!(import(&[a, other_time, other_service, future]), [1, 3, 0]);
    server.post("/api/v1/admin/seal", "");
    assert_eq!(import(&[a, other_time, other_service, future]), [0, 4, 0]);
    assert_eq!(count(&server, "id:=1"), 3);
    let many = "{}\n".repeat(10_002);
    assert_eq!(server.post("/api/v1/archive/import", many).status, 400);
    // Imported today, it is not removed for the age that it came with.
    let retained = server.get("/api/v1/logs/search?service=s").json();
    assert_eq!(retained["count"], 3);
    let (_, ours) = make(&server, &json!({"name": "ours", "scopes": ["ingest"], "services": ["t"]}));
    assert_eq!(server.post_as(&ours, "/api/v1/archive/import", a).status, 403);
    assert_eq!(server.post_as(&ours, "/api/v1/archive/import", other_service).json()["known"], 1);
    let old = server.get("/api/v1/logs/1").json();
    assert_eq!(old["log"]["timestamp"], 1_577_836_801_000u64);
    assert_eq!(server.get("/api/v1/logs/3").status, 404);
}

#[test]
fn lines_without_an_id_are_told_apart_and_bad_ones_named() {
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    let file = home.path().join("a.jsonl.zst");
    let lines = [
        r#"{"ts":"2026-01-01 10:00:00.5+00","msg":"same","n":1}"#,
        r#"{"ts":"2026-01-01 10:00:00.5+00","msg":"same","n":1}"#,
        "no JSON",
        r#"{"msg":"no time"}"#,
        r#"{"ts":1767261600,"msg":"other","service_name":"own"}"#,
    ];
    std::fs::write(&file, zstd::encode_all(lines.join("\n").as_bytes(), 1).unwrap()).unwrap();
    for imported in [3, 0] {
        let mut command = client(&server, home.path());
        let (code, out, err) = run(command.args(["archive", "import", "a.jsonl.zst", "--service", "old"]));
        assert_eq!(code, 1, "{err}");
        let said: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&said["imported"], &said["bad"]), (&json!(imported), &json!(2)), "{said}");
        assert!(err.contains("a.jsonl.zst: line 3") && err.contains("line 4: it has no time"), "{err}");
    }
    assert_eq!((count(&server, "service_name:=old same"), count(&server, "service_name:=own")), (2, 1));
    // A file that is none of these, and one that is nowhere.
    std::fs::write(home.path().join("x.sql"), "hello").unwrap();
    let (code, _, err) = run(client(&server, home.path()).args(["archive", "import", "x.sql"]));
    assert!(code == 1 && err.contains("none of what can be imported"), "{err}");
    let (code, _, err) = run(client(&server, home.path()).args(["archive", "import", "nowhere"]));
    assert!(code == 1 && err.contains("nowhere"), "{err}");
    let mut broken = std::fs::File::create(home.path().join("b.parquet")).unwrap();
    broken.write_all(b"PAR1 and nothing that follows from it, PAR1").unwrap();
    let (code, _, err) = run(client(&server, home.path()).args(["archive", "import", "b.parquet"]));
    assert!(code == 1 && err.contains("b.parquet") && !err.contains("panicked"), "{err}");
}

#[test]
fn a_damaged_file_keeps_no_other_from_being_imported() {
    let (server, home) = (filled(), tempfile::tempdir().unwrap());
    let lake = home.path().join("lake");
    said(&server, home.path(), &["export", "--to", lake.to_str().unwrap()]);
    let folder = lake.join("a-first");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("broken.parquet"), b"PAR1 and nothing that follows from it, PAR1").unwrap();
    let packed =
        zstd::encode_all(&b"{\"_time\":\"2026-05-28T10:00:00Z\",\"service_name\":\"s\",\"id\":\"1\"}\n"[..], 1);
    let mut packed = packed.unwrap();
    packed.truncate(packed.len() - 4);
    std::fs::write(folder.join("cut.jsonl.zst"), packed).unwrap();
    let other = Server::start();
    let (code, out, err) = run(client(&other, home.path()).args(["archive", "import", lake.to_str().unwrap()]));
    let sums: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &sums["imported"], &sums["broken"]), (1, &json!(9), &json!(2)), "{out}{err}");
    for name in ["broken.parquet", "cut.jsonl.zst", "2 of"] {
        assert!(err.contains(name), "{name}: {err}");
    }
    // A part of ours that was changed since is told by its name.
    let mut parts = Vec::new();
    files(&lake, &mut parts);
    let part = parts.iter().find(|path| path.to_string_lossy().contains("part-")).unwrap();
    let mut bytes = std::fs::read(part).unwrap();
    let at = bytes.len() / 3;
    bytes[at] ^= 0x10;
    std::fs::write(part, bytes).unwrap();
    let (code, _, err) = run(client(&other, home.path()).args(["archive", "import", part.to_str().unwrap()]));
    assert!(code == 1 && err.contains("it is damaged"), "{err}");
    // Texts of Windows begin with a mark.
    std::fs::write(home.path().join("w.jsonl"), "\u{feff}{\"time\":1780000000,\"id\":\"1\"}\n").unwrap();
    assert_eq!(
        said(&other, home.path(), &["import", home.path().join("w.jsonl").to_str().unwrap(), "--service", "w"])["imported"],
        1
    );
}

#[test]
fn many_records_go_out_and_in_between_two_servers() {
    let (server, other, home) = (Server::start(), Server::start(), tempfile::tempdir().unwrap());
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    let mut lines = String::new();
    for n in 0..30_000u64 {
        let service = ["web", "db", "cron"][n as usize % 3];
        *sums.entry(service.into()).or_default() += 1;
        let (minute, second) = (n / 60 % 60, n % 60);
        lines.push_str(&format!(
            "{{\"_time\":\"2026-05-{:02}T{:02}:{minute:02}:{second:02}Z\",\"service_name\":\"{service}\",\"n\":{n},\"_msg\":\"request {n}\"}}\n",
            n % 3 + 1,
            n / 3_600 % 24
        ));
    }
    assert_eq!(server.post("/insert/jsonline", lines).json()["ingested"], 30_000);
    server.post("/api/v1/admin/seal", "");
    let to = home.path().join("lake");
    let to = to.to_str().unwrap();
    assert_eq!(said(&server, home.path(), &["export", "--to", to])["rows"], 30_000);
    assert_eq!(said(&other, home.path(), &["import", to])["imported"], 30_000);
    assert_eq!(said(&other, home.path(), &["import", to])["known"], 30_000);
    for (service, sum) in sums {
        assert_eq!(count(&other, &format!("service_name:={service}")), sum);
    }
    assert_eq!(server.post_as(KEY, "/api/v1/archive/export", "{}").status, 400);
}

#[test]
fn hours_that_are_over_are_written_to_a_target_by_itself() {
    let (data, lake, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut server = Server::start_on(data.path());
    for ago in [3 * 3_600, 2 * 3_600, 0] {
        let line = format!(r#"{{"_time":{},"service_name":"shop","_msg":"x"}}"#, now - ago);
        assert_eq!(server.post("/insert/jsonline", line).json()["ingested"], 1);
    }
    server.kill();
    drop(server);
    let target = format!("file://{}", lake.path().display());
    let server = Server::start_with(data.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).env("LOGYARD_ARCHIVE_TARGET", &target);
        command.env("LOGYARD_ARCHIVE_PARQUET", "true").env("LOGYARD_ARCHIVE_PARQUET_AFTER", "1s");
    });
    let status = || server.get("/api/v1/archive/status").json()["targets"][0]["parquet"].clone();
    until("the hours that are over are written", || status()["rows"] == 2);
    assert_eq!((&status()["parts"], &status()["trouble"]), (&json!(2), &Value::Null));
    let again = said(&server, home.path(), &["export", "--target", "main", "--service", "shop"]);
    assert_eq!(again["rows"], 0, "{again}");
    let other = Server::start();
    let path = lake.path().join("parquet");
    assert_eq!(said(&other, home.path(), &["import", path.to_str().unwrap()])["imported"], 2);
    let (code, _, err) = run(client(&server, home.path()).args(["archive", "export", "--target", "nowhere"]));
    assert!(code == 2 && err.contains("nowhere"), "{code} {err}");
}
