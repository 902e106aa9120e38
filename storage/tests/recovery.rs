//! Starts that cannot read everything: what they serve, what they say, and that the next one has all of it again.
use crate::power::client::everything;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine, Options, Search};
use logyard_storage::env::Env;
use logyard_storage::env::sim::{Fault, IoKind, SimEnv};
use logyard_storage::error::Result;
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

#[test]
fn a_catalog_is_made_again_from_every_segment_or_by_a_later_start() {
    let env = store();
    let all: Vec<u64> = shown(&open(&env).unwrap()).iter().map(|row| row.0).collect();
    env.remove_file(Path::new("/data/catalog.redb")).unwrap();
    let (path, before) = (oldest(&env), env.files().len());
    env.fail(unreadable(IoKind::Open));
    for _ in 0..2 {
        let refused = open(&env).err().unwrap().to_string();
        assert!(refused.contains(path.to_str().unwrap()), "{refused}");
    }
    env.clear_faults();
    assert!(env.files().len() >= before, "nothing is removed");
    assert!(shown(&open(&env).unwrap()).iter().map(|row| row.0).eq(all));
}
