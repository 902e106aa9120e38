//! A data directory that is copied, where both go on: no new record of one has the id of a record of the other.
use crate::power::client::everything;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine, Options};
use logyard_storage::env::sim::SimEnv;
use logyard_storage::env::{Env, RealEnv};
use logyard_storage::record::RecordId;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

fn open(env: Arc<dyn Env>, data: &Path) -> Arc<Engine> {
    let options = Options { background: false, wal_file_bytes: 256 << 10, ..Options::new(data) };
    Engine::open(env, options).unwrap()
}

/// Appends so many records with a time that all have.
fn append(engine: &Engine, rows: u64) {
    let mut builder = BatchBuilder::new();
    for number in 0..rows {
        builder.begin_row();
        builder.time(1_780_000_000_000_000_000);
        builder.string("_msg", &format!("order {number} was sent"));
        builder.commit_row();
    }
    engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
}

fn ids(engine: &Engine) -> BTreeSet<RecordId> {
    let records = everything(engine).unwrap();
    let ids: BTreeSet<RecordId> = records.iter().map(|record| record.id()).collect();
    assert_eq!(ids.len(), records.len(), "an id is there twice");
    ids
}

/// Both directories go on from `known`, and share nothing else.
fn go_on(known: &BTreeSet<RecordId>, open: [&dyn Fn() -> Arc<Engine>; 2], closing: bool) {
    let mut all = [BTreeSet::new(), BTreeSet::new()];
    for life in 1..=3 {
        for (open, all) in open.iter().zip(&mut all) {
            let engine = open();
            let before = ids(&engine);
            assert!(before.is_superset(known) && (life == 1 || before == *all), "ids stay what they were");
            assert_eq!(before.len(), known.len() + (life - 1) * 20);
            append(&engine, 20);
            // Found by their ids, in memory, sealed, and beside those of other epochs.
            let found = |id: &RecordId| engine.get(*id).unwrap().is_some_and(|record| record.id() == *id);
            *all = ids(&engine);
            assert!(all.iter().all(found));
            if life == 2 {
                engine.seal().unwrap();
                engine.compact().unwrap();
                assert!(all.iter().all(found) && ids(&engine) == *all);
            }
            if closing {
                engine.close().unwrap();
            }
        }
        let [one, other] = &all;
        assert_eq!(one.intersection(other).copied().collect::<BTreeSet<_>>(), *known);
    }
}

#[test]
fn a_copy_gives_other_ids_than_the_original() {
    for closing in [false, true] {
        let data = Path::new("/data");
        let env = SimEnv::new(31);
        let engine = open(Arc::new(env.process()), data);
        append(&engine, 30);
        engine.seal().unwrap();
        append(&engine, 30);
        let (known, epoch) = (ids(&engine), engine.epoch());
        if closing {
            engine.close().unwrap();
        }
        drop(engine);
        env.kill();
        let copy = SimEnv::from_snapshot(&env.snapshot(), 32);
        copy.move_to("another");
        let start = |env: &SimEnv| {
            env.kill();
            open(Arc::new(env.process()), data)
        };
        go_on(&known, [&|| start(&env), &|| start(&copy)], closing);
        assert_eq!(start(&env).epoch(), epoch, "where it was it goes on as it did");
        let moved = start(&copy).epoch();
        assert_ne!(moved, epoch);
        assert_eq!(start(&copy).epoch(), moved, "one epoch for each place, not for each start");
    }
}

#[test]
fn rows_in_the_log_keep_their_ids_wherever_their_directory_goes() {
    let env = SimEnv::new(33);
    let mut known = BTreeSet::new();
    let mut epochs = BTreeSet::new();
    for place in ["a", "b", "b", "c", "a"] {
        env.kill();
        env.move_to(place);
        let engine = open(Arc::new(env.process()), Path::new("/data"));
        assert_eq!(ids(&engine), known, "at {place}");
        append(&engine, 10);
        known = ids(&engine);
        epochs.insert(engine.epoch());
    }
    assert_eq!(epochs.len(), 4);
    let engine = open(Arc::new(env.process()), Path::new("/data"));
    engine.seal().unwrap();
    assert_eq!(ids(&engine), known);
}

#[test]
fn a_copied_directory_of_the_real_file_system_is_told_from_the_original() {
    let (original, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start = |data: &Path| open(Arc::new(RealEnv::new()), data);
    let engine = start(original.path());
    append(&engine, 30);
    let (known, epoch) = (ids(&engine), engine.epoch());
    drop(engine);
    copy_tree(original.path(), copy.path());
    go_on(&known, [&|| start(original.path()), &|| start(copy.path())], false);
    if std::fs::exists("/proc/sys/kernel/random/boot_id").unwrap() {
        assert_eq!(start(original.path()).epoch(), epoch);
    }
    assert_ne!(start(copy.path()).epoch(), epoch);
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
