//! More than can be sealed: writers are told to come back, memory stays flat, nothing acknowledged is lost, and it goes on by itself.
//!
//! Sealing is held back from outside: there is a file where its segments' folder has to be, until that is put right.
use super::high_water_kib;
use crate::harness::{KEY, Server};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const WRITERS: usize = 6;
/// Of a field; large ones fill memory with few rows.
const FIELD_BYTES: usize = 1 << 20;
const METADATA_BYTES: usize = 40 << 10;
/// What may be in memory of rows that are not sealed, in the engine.
const BUDGET_KIB: u64 = 128 << 10;
/// What lies there twice while it is tried to be sealed, and bodies on their way.
const BESIDE_KIB: u64 = 128 << 10;

/// Puts a file in the way of new segments, and the folder back.
struct HeldBack<'a> {
    data: &'a Path,
}

impl<'a> HeldBack<'a> {
    fn new(data: &'a Path) -> Self {
        std::fs::rename(data.join("segments"), data.join("aside")).unwrap();
        std::fs::write(data.join("segments"), "in the way").unwrap();
        Self { data }
    }

    fn end(self) {
        std::fs::remove_file(self.data.join("segments")).unwrap();
        std::fs::rename(self.data.join("aside"), self.data.join("segments")).unwrap();
    }
}

/// Writes until it is told to come back, and gives the names of what was acknowledged.
fn write_until_refused(server: &Server, writer: usize, acknowledged: &Mutex<BTreeSet<String>>) {
    for at in 0.. {
        let names: Vec<String> = (0..1 + at % 2).map(|row| format!("{writer}-{at}-{row}")).collect();
        // Not the same twice, so that nothing of it is kept once for all.
        let much = |name: &String, bytes: usize| format!("{name} ").repeat(bytes / (name.len() + 1));
        // One of them by the API, where records are smaller.
        let answer = if writer == 0 {
            let log = |name: &String| {
                let metadata = json!({"much": much(name, METADATA_BYTES)});
                json!({"service_name": "much", "level": "INFO", "message": name, "metadata": metadata})
            };
            let logs: Vec<Value> = names.iter().map(log).collect();
            server.post("/api/v1/logs/ingest/batch", json!({ "logs": logs }).to_string())
        } else {
            let line = |name: &String| {
                json!({"service_name": "much", "_msg": name, "much": much(name, FIELD_BYTES)}).to_string() + "\n"
            };
            server.post("/insert/jsonline", names.iter().map(line).collect::<String>())
        };
        let ingested = answer.json()["ingested"].as_u64().unwrap() as usize;
        let count = names.len();
        acknowledged.lock().unwrap().extend(names.into_iter().take(ingested));
        if answer.status == 200 {
            assert_eq!(ingested, count, "{}", answer.text);
            continue;
        }
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|n| n > 0)));
        assert!(answer.json()["error"].as_str().unwrap().contains("try again later"), "{}", answer.text);
        return;
    }
}

/// The names of all that is there.
fn found(server: &Server) -> Vec<String> {
    let query = crate::harness::encoded("service_name:=much | fields _msg");
    let answer = server.get(&format!("/select/logsql/query?query={query}"));
    assert_eq!(answer.status, 200, "{}", answer.text);
    let rows = answer.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| row["_msg"].as_str().unwrap().to_owned()).collect()
}

#[test]
#[ignore = "takes a minute and more: an append waits for room for half of one"]
fn who_writes_more_than_can_be_sealed_is_told_to_come_back() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_on(data.path());
    assert_eq!(server.post("/api/v1/logs/ingest", r#"{"service_name":"a","level":"INFO","message":"m"}"#).status, 200);
    let before = high_water_kib(&server);
    let held_back = HeldBack::new(data.path());
    let (acknowledged, refused) = (Mutex::new(BTreeSet::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (server, acknowledged, refused) = (&server, &acknowledged, &refused);
            scope.spawn(move || {
                write_until_refused(server, writer, acknowledged);
                refused.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    let grown = high_water_kib(&server) - before;
    let mut wanted = acknowledged.into_inner().unwrap();
    println!("{} rows, {grown} KiB more", wanted.len());
    assert_eq!(refused.into_inner(), WRITERS);
    // As many as there is room for, and all there to be read.
    assert!(wanted.len() > 64, "{} rows", wanted.len());
    assert!(grown < BUDGET_KIB + BESIDE_KIB, "{grown} KiB more");
    assert_eq!(server.get("/health").status, 200);
    let there = found(&server);
    assert_eq!((there.len(), there.into_iter().collect::<BTreeSet<_>>()), (wanted.len(), wanted.clone()));
    // It goes on by itself once it can.
    held_back.end();
    let much = json!({"service_name": "much", "_msg": "later", "much": "x".repeat(FIELD_BYTES)}).to_string();
    let is_stored = (0..20).any(|_| server.post("/insert/jsonline", &much).status == 200);
    assert!(is_stored, "there is no room again");
    wanted.insert("later".into());
    assert!(server.get("/api/v1/admin/storage").json()["segments"].as_u64().unwrap() > 0);
    server.kill();
    let server = Server::start_with(data.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY);
    });
    let there = found(&server);
    assert_eq!((there.len(), there.into_iter().collect::<BTreeSet<_>>()), (wanted.len(), wanted));
}
