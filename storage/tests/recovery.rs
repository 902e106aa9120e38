//! Starts that cannot read everything: what they serve, what they say, and that the next one has all of it again.
use crate::power::client::everything;
use logyard_storage::Effect;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, CheckReport, Engine, Options, Search, check};
use logyard_storage::env::Env;
use logyard_storage::env::sim::{Fault, IoKind, SimEnv};
use logyard_storage::error::Result;
use logyard_storage::record::RecordId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn open(env: &SimEnv) -> Result<Arc<Engine>> {
    let options = Options { background: false, wal_file_bytes: 256 << 10, ..Options::new("/data") };
    Engine::open(Arc::new(env.process()), options)
}

/// Every other row is of the service `web`, the rest of `db`.
fn append(engine: &Engine, rows: std::ops::Range<u64>) {
    let mut builder = BatchBuilder::new();
    for number in rows {
        builder.begin_row();
        builder.string("service_name", if number % 2 == 0 { "web" } else { "db" });
        builder.string("_msg", &format!("request {number} was answered"));
        builder.commit_row();
    }
    engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
}

/// Two segments of thirty rows, and ten rows in the log.
fn store() -> SimEnv {
    let env = SimEnv::new(21);
    let engine = open(&env).unwrap();
    append(&engine, 0..30);
    engine.seal().unwrap();
    append(&engine, 30..60);
    engine.seal().unwrap();
    append(&engine, 60..70);
    drop(engine);
    env.kill();
    env
}

fn shown(engine: &Engine) -> Vec<(u64, String)> {
    let mut rows: Vec<_> = everything(engine).unwrap().iter().map(|r| (r.seq, r.to_json(|_| true))).collect();
    rows.sort();
    rows
}

/// The file of the first segment.
fn oldest(env: &SimEnv) -> PathBuf {
    let is_oldest = |path: &PathBuf| path.ends_with("0000000000000001.seg");
    env.files().into_iter().map(|(path, _)| path).find(is_oldest).unwrap()
}

fn unreadable(kind: IoKind) -> Fault {
    Fault::nth(1).of(kind).under("0000000000000001.seg").forever()
}

#[test]
fn a_segment_that_cannot_be_read_is_left_out_named_and_back_after_the_next_start() {
    for kind in [IoKind::Open, IoKind::Read, IoKind::Stat] {
        let env = store();
        let all = shown(&open(&env).unwrap());
        assert_eq!(all.len(), 70);
        let (path, stored) = (oldest(&env), env.read_raw(&oldest(&env)).unwrap());
        env.fail(unreadable(kind));
        for _ in 0..2 {
            let engine = open(&env).unwrap();
            let troubles = engine.troubles();
            let named = |what: &String| what.contains("records 0 to 29") && what.contains(path.to_str().unwrap());
            assert!(troubles.len() == 1 && troubles.iter().all(named), "{troubles:?}");
            assert!(shown(&engine).iter().map(|row| row.0).eq(30..70));
            engine.seal().unwrap();
            engine.compact().unwrap();
            engine.retain(false).unwrap();
            engine.scrub().unwrap();
            engine.close().unwrap();
        }
        env.clear_faults();
        assert_eq!(env.read_raw(&path).unwrap(), stored, "nothing has touched the file");
        let engine = open(&env).unwrap();
        assert_eq!(engine.troubles(), Vec::<String>::new());
        assert_eq!(shown(&engine), all);
        engine.compact().unwrap();
        assert_eq!(shown(&engine), all);
    }
}

#[test]
fn what_is_deleted_while_a_segment_cannot_be_read_stays_deleted_when_it_can() {
    let env = store();
    env.fail(unreadable(IoKind::Open));
    let engine = open(&env).unwrap();
    let search = Search { services: vec!["web".into()], ..Search::default() };
    assert_eq!(engine.delete(&search, false).unwrap().rows, 20);
    engine.seal().unwrap();
    engine.compact().unwrap();
    assert_eq!(engine.pending_deletions().len(), 1, "it is done everywhere but there");
    engine.close().unwrap();
    drop(engine);
    env.clear_faults();
    let engine = open(&env).unwrap();
    assert!(shown(&engine).iter().map(|row| row.0).eq((0..70).filter(|seq| seq % 2 == 1)));
    engine.compact().unwrap();
    assert_eq!(engine.pending_deletions().len(), 0);
    assert_eq!(shown(&engine).len(), 35);
}

/// The file of a segment.
fn segment(env: &SimEnv, id: u64) -> PathBuf {
    let name = format!("{id:016x}.seg");
    env.files().into_iter().map(|(path, _)| path).find(|path| path.ends_with(&name)).unwrap()
}

fn never_readable(kind: IoKind, id: u64) -> Fault {
    Fault::nth(1).of(kind).under(format!("{id:016x}.seg")).forever()
}

fn lose_catalog(env: &SimEnv) {
    env.remove_file(Path::new("/data/catalog.redb")).unwrap();
}

/// The numbers and messages of all rows. No number, and no id, is there twice.
fn messages(engine: &Engine) -> BTreeMap<u64, String> {
    let records = everything(engine).unwrap();
    let ids: BTreeSet<RecordId> = records.iter().map(|record| record.id()).collect();
    let messages: BTreeMap<u64, String> = records.iter().map(|r| (r.seq, r.get("_msg").to_owned())).collect();
    assert_eq!((ids.len(), messages.len()), (records.len(), records.len()), "a row is there twice");
    messages
}

/// All that goes on in an engine without anybody's doing.
fn maintain(engine: &Engine) {
    engine.seal().unwrap();
    engine.compact().unwrap();
    engine.retain(false).unwrap();
    engine.scrub().unwrap();
}

fn checked(env: &SimEnv, repair: bool) -> CheckReport {
    let env: Arc<dyn Env> = Arc::new(env.process());
    check(&env, Path::new("/data"), repair).unwrap()
}

#[test]
fn without_a_catalog_a_segment_that_cannot_be_read_is_left_out_named_and_back_when_it_can() {
    for (kind, id) in [IoKind::Open, IoKind::Read, IoKind::Stat].into_iter().flat_map(|kind| [(kind, 1), (kind, 2)]) {
        let env = store();
        let all = messages(&open(&env).unwrap());
        let (path, stored) = (segment(&env, id), env.read_raw(&segment(&env, id)).unwrap());
        lose_catalog(&env);
        env.fail(never_readable(kind, id));
        let mut epoch = 0;
        for life in 0..3 {
            let engine = open(&env).unwrap();
            let troubles = engine.troubles();
            let name = format!("segment {id:016x}, and nothing else says which records are in it, cannot be read");
            assert!(troubles.iter().any(|what| what.contains(&name)), "{troubles:?}");
            // What is sealed in the last segment is in the log too.
            let shown = messages(&engine);
            let wanted = all.iter().filter(|(seq, _)| id == 2 || **seq >= 30).map(|(seq, said)| (*seq, said.clone()));
            assert_eq!(
                shown.range(..70).map(|(seq, said)| (*seq, said.clone())).collect::<Vec<_>>(),
                wanted.collect::<Vec<_>>()
            );
            assert_eq!(shown.len() - shown.range(..70).count(), 10 * life, "{shown:?}");
            append(&engine, 70 + life as u64 * 10..80 + life as u64 * 10);
            assert!(life == 0 || epoch == engine.epoch());
            epoch = engine.epoch();
            maintain(&engine);
            if life == 1 {
                engine.close().unwrap();
            }
            drop(engine);
            env.kill();
        }
        let says = |report: &CheckReport, what: &str| report.lines.iter().any(|line| line.contains(what));
        let report = checked(&env, true);
        assert!(!report.ok && says(&report, "cannot be read"), "{report:?}");
        env.clear_faults();
        assert_eq!(env.read_raw(&path).unwrap(), stored, "nothing has touched the file");
        let report = checked(&env, false);
        assert!(!report.ok && says(&report, "can be read again"), "{report:?}");
        if kind == IoKind::Read {
            let report = checked(&env, true);
            assert!(report.ok, "{report:?}");
        }
        let engine = open(&env).unwrap();
        let back = messages(&engine);
        assert!(back.range(..70).eq(all.iter()), "{back:?}");
        assert_eq!(back.range(70..).count(), 30);
        // Its rows are served from it, or it is kept where they are served from elsewhere.
        let aside = Path::new("/data/quarantine").join(path.file_name().unwrap());
        assert_eq!(env.exists(&aside).unwrap(), id == 2);
        maintain(&engine);
        assert_eq!(messages(&engine), back);
        engine.close().unwrap();
        drop(engine);
        assert!(checked(&env, false).ok);
        let engine = open(&env).unwrap();
        assert_eq!((engine.troubles(), messages(&engine)), (Vec::new(), back));
    }
}

#[test]
fn only_those_rows_come_back_that_are_nowhere_else() {
    let env = store();
    let (first, bytes) = (segment(&env, 1), env.read_raw(&segment(&env, 1)).unwrap());
    let engine = open(&env).unwrap();
    let all = messages(&engine);
    engine.seal().unwrap();
    engine.compact().unwrap();
    engine.close().unwrap();
    drop(engine);
    // As if the power had gone before the first one was removed, and the second one was.
    env.write_raw(&first, &bytes).unwrap();
    let merged = env.files().into_iter().map(|(path, _)| path).filter(|path| path.ends_with("0000000000000004.seg"));
    assert_eq!(merged.count(), 1);
    lose_catalog(&env);
    env.fail(never_readable(IoKind::Open, 4));
    let engine = open(&env).unwrap();
    assert!(messages(&engine).keys().copied().eq(0..30));
    append(&engine, 70..80);
    engine.close().unwrap();
    drop(engine);
    env.clear_faults();
    for _ in 0..2 {
        let engine = open(&env).unwrap();
        let back = messages(&engine);
        assert!(back.range(..70).eq(all.iter()), "{back:?}");
        assert_eq!(back.len(), 80);
        maintain(&engine);
        assert_eq!(messages(&engine), back);
        engine.close().unwrap();
    }
    assert!(env.exists(Path::new("/data/quarantine/0000000000000004.seg")).unwrap());
    assert!(checked(&env, false).ok);
}

#[test]
fn what_is_deleted_while_nobody_knows_what_a_segment_has_stays_deleted() {
    let env = store();
    lose_catalog(&env);
    env.fail(never_readable(IoKind::Open, 1));
    let engine = open(&env).unwrap();
    let search = Search { services: vec!["web".into()], ..Search::default() };
    assert_eq!(engine.delete(&search, false).unwrap().rows, 20);
    append(&engine, 70..80);
    maintain(&engine);
    assert_eq!(engine.pending_deletions().len(), 1, "it is done everywhere but there");
    engine.close().unwrap();
    drop(engine);
    env.clear_faults();
    let engine = open(&env).unwrap();
    let left = messages(&engine);
    assert!(left.range(..70).map(|(seq, _)| *seq).eq((0..70).filter(|seq| seq % 2 == 1)));
    assert_eq!(left.range(70..).count(), 10, "what came later is not meant");
    engine.compact().unwrap();
    assert_eq!((engine.pending_deletions().len(), messages(&engine)), (0, left));
}

#[test]
fn effects_of_a_segment_that_came_back_count_where_none_came_after_them() {
    let env = SimEnv::new(23);
    let engine = open(&env).unwrap();
    let put = |engine: &Engine, key: &str, value: Option<&str>| {
        let effect = Effect { key: key.into(), value: value.map(Into::into), expires: None };
        engine.append(Append { batch: None, effects: vec![effect], ack: Ack::Wal }).unwrap();
    };
    let keys = ["kept", "changed", "gone"];
    keys.iter().for_each(|key| put(&engine, key, Some("old")));
    append(&engine, 0..30);
    engine.seal().unwrap();
    append(&engine, 30..60);
    engine.close().unwrap();
    drop(engine);
    lose_catalog(&env);
    env.fail(never_readable(IoKind::Open, 1));
    let values = |engine: &Engine| keys.map(|key| engine.effect(key.as_bytes()).map(|v| String::from_utf8(v).unwrap()));
    let engine = open(&env).unwrap();
    assert_eq!(values(&engine), [None, None, None]);
    put(&engine, "changed", Some("new"));
    put(&engine, "gone", None);
    append(&engine, 60..70);
    engine.seal().unwrap();
    engine.compact().unwrap();
    drop(engine);
    env.kill();
    env.clear_faults();
    for _ in 0..2 {
        let engine = open(&env).unwrap();
        assert_eq!(values(&engine), [Some("old".into()), Some("new".into()), None]);
        assert_eq!(messages(&engine).len(), 70);
        engine.close().unwrap();
    }
}

#[test]
fn a_start_that_takes_back_a_segment_can_be_cut_short_anywhere() {
    let whole = store();
    let all = messages(&open(&whole).unwrap());
    lose_catalog(&whole);
    whole.fail(never_readable(IoKind::Open, 1));
    let engine = open(&whole).unwrap();
    append(&engine, 70..80);
    drop(engine);
    whole.kill();
    let snapshot = whole.snapshot();
    for cut in 1.. {
        let env = SimEnv::from_snapshot(&snapshot, cut);
        env.cut_at_io(cut);
        let started = open(&env).is_ok();
        if started && env.is_powered() {
            assert!(cut > 5, "a start changes something");
            break;
        }
        env.cancel_cut();
        env.power_on();
        let engine = open(&env).unwrap();
        let back = messages(&engine);
        assert!(back.range(..70).eq(all.iter()) && back.len() == 80, "cut {cut}: {back:?}");
    }
}

#[test]
fn the_number_of_a_segment_in_quarantine_is_not_used_again() {
    let env = store();
    open(&env).unwrap().close().unwrap();
    let path = segment(&env, 3);
    let len = env.read_raw(&path).unwrap().len() as u64;
    env.flip_bit(&path, len - 40, 1).unwrap();
    for life in 0..3 {
        let engine = open(&env).unwrap();
        assert_eq!(engine.troubles().is_empty(), life > 0, "{:?}", engine.troubles());
        if life > 0 {
            append(&engine, 70..80);
        }
        engine.close().unwrap();
    }
    let files =
        env.files().into_iter().map(|(path, _)| path).filter(|path| path.extension().is_some_and(|e| e == "seg"));
    let names: Vec<_> = files.map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    assert!(env.exists(Path::new("/data/quarantine/0000000000000003.seg")).unwrap());
}
