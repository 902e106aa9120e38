//! Data directories as earlier versions left them: this version opens each, finds every record, and says that it is sound.
//!
//! A fixture is named by the format it is in and, from the second of a format on, by what it has that those before have not:
//! `fixtures/format-<n>[-<what>].zst`. It is every file of a directory that was not closed in order, and `expected`, which has
//! a line for each record that it shows. Once a format is released its fixtures never change; what is kept anew comes in a
//! fixture of its own. After a change of format:
//! `cargo test -p logyard-storage --test main -- --ignored make_the_frozen_directory`
use crate::rows;
use logyard_storage::Effect;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::catalog::{KeyRecord, ServiceConfig};
use logyard_storage::engine::{Ack, Append, Engine, Options, Search, check};
use logyard_storage::env::Env;
use logyard_storage::env::sim::SimEnv;
use logyard_storage::layout::FORMAT_VERSION;
use logyard_storage::record::Record;
use logyard_storage::scan::filter::{Filter, Test};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DATA: &str = "/data";
const EXPECTED: &str = "expected";
const UNPACKED_BYTES_MAX: usize = 64 << 20;

fn options() -> Options {
    Options {
        background: false,
        wal_file_bytes: 64 << 10,
        copy_rows_min: 40,
        default_ttl_days: None,
        ..Options::new(DATA)
    }
}

fn open(env: &SimEnv) -> Arc<Engine> {
    Engine::open(Arc::new(env.process()), options()).unwrap()
}

fn checked(env: &SimEnv) {
    let env: Arc<dyn Env> = Arc::new(env.process());
    let report = check(&env, Path::new(DATA), false).unwrap();
    assert!(report.ok, "{:?}", report.lines);
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The name of the last fixture of a format; the first one has neither keys nor whole texts of several lines, and the second
/// a log whose frames say no epoch.
fn name(format: u32) -> String {
    format!("format-{format}-epochs.zst")
}

/// The key that is in the directory, under this id.
const KEY: &str = "k-frozen";

fn key() -> KeyRecord {
    KeyRecord {
        name: "of the frozen directory".into(),
        hash: std::array::from_fn(|i| i as u8 * 7),
        scopes: vec!["ingest".into(), "read".into()],
        services: vec!["web".into()],
        created_at: rows::STARTED,
        expires_at: Some(i64::MAX),
        last_used_at: None,
    }
}

/// A record with all that is kept of it, whatever the order of its fields.
fn line(record: &Record) -> String {
    let mut record = record.clone();
    record.fields.sort_by(|a, b| a.0.cmp(&b.0));
    format!("{} {} {} {}", record.id(), record.time, record.arrival, record.to_json(|_| true))
}

fn lines(engine: &Engine) -> BTreeSet<String> {
    let mut found = Vec::new();
    engine.for_each(|record| found.push(line(&record))).unwrap();
    let lines: BTreeSet<String> = found.iter().cloned().collect();
    assert_eq!(lines.len(), found.len(), "a record is there twice");
    let all = engine.search(&Search { limit: usize::MAX, ..Search::default() }).unwrap();
    assert_eq!(all.iter().map(line).collect::<BTreeSet<_>>(), lines);
    lines
}

fn messages_with(phrase: &str) -> Search {
    Search { filter: Filter::Field("_msg".into(), Test::phrase(phrase, true)), limit: usize::MAX, ..Search::default() }
}

/// `| path | length | bytes |` of each file, the first two as lines of text, all together compressed.
fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (path, bytes) in files {
        out.extend_from_slice(format!("{path}\n{}\n", bytes.len()).as_bytes());
        out.extend_from_slice(bytes);
    }
    zstd::bulk::compress(&out, 19).unwrap()
}

fn unpack(packed: &[u8]) -> Vec<(String, Vec<u8>)> {
    let unpacked = zstd::bulk::decompress(packed, UNPACKED_BYTES_MAX).unwrap();
    let (mut rest, mut files) = (unpacked.as_slice(), Vec::new());
    while !rest.is_empty() {
        let mut text = || {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
            let text = std::str::from_utf8(&rest[..end]).unwrap().to_string();
            rest = &rest[end + 1..];
            text
        };
        let (path, len) = (text(), text().parse().unwrap());
        files.push((path, rest[..len].to_vec()));
        rest = &rest[len..];
    }
    files
}

/// Rows whose columns take the kinds that those of [`rows::row`] do not.
fn put_more(builder: &mut BatchBuilder, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        builder.begin_row();
        builder.time(rows::STARTED + n as i64 * 250_000_000);
        builder.string("service_name", "kinds");
        builder.string("_msg", &format!("job {n} of worker-{} ended with {:03} in {mixed:x}", n % 7, n % 911));
        builder.string("uuid", &format!("{:08x}-0000-4000-8000-{:012x}", n, mixed >> 16));
        builder.string("digest", &format!("{mixed:016X}{:016X}{mixed:08X}", mixed.rotate_left(9)));
        builder.string("when", &format!("2026-06-01T12:{:02}:{:02}.{:03}+02:00", n / 60 % 60, n % 60, mixed % 1_000));
        builder.number("load", &format!("{}.{:02}", n * 7 % 600, n % 100));
        builder.int("constant", 7);
        builder.int("rising", (n * n) as i64);
        builder.int("random", (mixed >> 1) as i64 % 1_000_000_007);
        builder.number("large", &format!("{}e{}", n, n % 40));
        builder.string("whole", &format!("{} 日本 {}", "word ".repeat((n % 40) as usize), "1 ".repeat(70)));
        if n % 3 == 0 {
            builder.string("stack", &stack(n));
        }
        builder.commit_row();
    }
}

/// A text of several lines with more variables than a shape can have.
fn stack(n: u64) -> String {
    let frame = |depth: u64| format!("\tat frame{depth} (worker.rs:{}:{})\r\n", n * 31 % 997 + depth, depth % 80);
    format!("panicked: job {n}\n{}caused by: nothing\n\n", (0..40).map(frame).collect::<String>())
}

/// Leaves a directory with all kinds of files: segments of one and of several blocks, one of them merged, a deletion that is
/// not carried out, effects, configurations, a key, and a log with rows that are not sealed.
fn make() -> (SimEnv, BTreeSet<String>) {
    let env = SimEnv::new(20_261);
    let engine = open(&env);
    engine.set_config("web", ServiceConfig { ttl_days: 3_650, alert_on_errors: true, ..Default::default() }).unwrap();
    engine.set_config("db", ServiceConfig { ttl_days: -1, size_budget: Some(1 << 40), ..Default::default() }).unwrap();
    engine.add_key(KEY, key()).unwrap();
    let mut builder = BatchBuilder::new();
    let mut append = |keys: std::ops::Range<u64>, effect: &str| {
        let known: Vec<Record> = keys.clone().map(rows::row).collect();
        let batch = rows::batch(&mut builder, &known);
        let effects = vec![Effect { key: effect.into(), value: Some(keys.end.to_string().into()), expires: None }];
        engine.append(Append { batch: Some(batch), effects, ack: Ack::Wal }).unwrap();
        put_more(&mut builder, keys);
        engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
    };
    append(0..60, "sealed");
    engine.seal().unwrap();
    append(60..100, "sealed");
    engine.seal().unwrap();
    engine.compact().unwrap();
    append(100..130, "sealed");
    engine.seal().unwrap();
    append(130..140, "hot");
    append(140..150, "hot");
    engine.delete(&messages_with("reset"), false).unwrap();
    let expected = lines(&engine);
    drop(engine);
    env.kill();
    (env, expected)
}

/// Whole texts of several lines are there, byte for byte, and found by what is on any of their lines.
fn has_stacks(engine: &Engine) {
    let wanted: BTreeSet<String> = (0..150).filter(|n| n % 3 == 0).map(stack).collect();
    for test in
        [Test::Any, Test::phrase("frame39", false), Test::Substring("rs:".into()), Test::Substring(")\r\n".into())]
    {
        let filter = Filter::Field("stack".into(), test.clone());
        let found = engine.search(&Search { filter, limit: usize::MAX, ..Search::default() }).unwrap();
        let texts: BTreeSet<String> = found.iter().map(|record| record.get("stack").to_owned()).collect();
        assert_eq!((found.len(), texts), (wanted.len(), wanted.clone()), "{test:?}");
    }
}

#[test]
fn every_frozen_directory_opens_with_every_record() {
    let mut formats = Vec::new();
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        formats.push(path.file_name().unwrap().to_string_lossy().into_owned());
        let has_keys = path.file_stem().is_some_and(|name| name != "format-1");
        let env = SimEnv::new(1);
        let mut expected = BTreeSet::new();
        for (path, bytes) in unpack(&std::fs::read(&path).unwrap()) {
            match path.as_str() {
                EXPECTED => expected = String::from_utf8(bytes).unwrap().lines().map(str::to_string).collect(),
                path => env.write_raw(Path::new(path), &bytes).unwrap(),
            }
        }
        assert!(expected.len() > 200, "{}", path.display());
        checked(&env);
        for life in 0..3 {
            let engine = open(&env);
            assert_eq!(lines(&engine), expected, "{}, life {life}", path.display());
            assert_eq!(engine.troubles(), Vec::<String>::new());
            let (effect, config) = (|key: &str| engine.effect(key.as_bytes()), engine.config("web"));
            assert_eq!((effect("sealed"), effect("hot")), (Some(b"130".to_vec()), Some(b"150".to_vec())));
            assert_eq!((config.ttl_days, config.alert_on_errors), (3_650, true));
            assert_eq!(engine.config("db").size_budget, Some(1 << 40));
            if has_keys {
                assert_eq!(engine.keys(), BTreeMap::from([(KEY.to_owned(), key())]));
                has_stacks(&engine);
            } else {
                assert!(engine.keys().is_empty());
            }
            for phrase in ["request", "ended with", "worker"] {
                let has = |line: &&String| {
                    let json: serde_json::Value = serde_json::from_str(line.splitn(4, ' ').last().unwrap()).unwrap();
                    Test::phrase(phrase, true).matches(json["_msg"].as_str().unwrap_or_default())
                };
                let search = messages_with(phrase);
                let wanted: BTreeSet<String> = expected.iter().filter(has).cloned().collect();
                assert!(wanted.len() > 20, "{phrase}");
                assert_eq!(engine.search(&search).unwrap().iter().map(line).collect::<BTreeSet<_>>(), wanted);
                assert_eq!(engine.count(&search).unwrap(), wanted.len() as u64, "{phrase}");
            }
            if life == 1 {
                engine.seal().unwrap();
                engine.compact().unwrap();
                assert!(engine.pending_deletions().is_empty());
                engine.close().unwrap();
                drop(engine);
                checked(&env);
            }
        }
    }
    assert!(formats.contains(&name(FORMAT_VERSION)), "no directory of this format is frozen: {formats:?}");
}

#[test]
#[ignore = "writes the fixture of this format anew"]
fn make_the_frozen_directory() {
    let (env, expected) = make();
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for (path, _) in env.files() {
        files.push((path.to_string_lossy().into_owned(), env.read_raw(&path).unwrap()));
    }
    let text: String = expected.iter().map(|line| format!("{line}\n")).collect();
    files.push((EXPECTED.into(), text.into_bytes()));
    std::fs::write(fixtures().join(name(FORMAT_VERSION)), pack(&files)).unwrap();
}
