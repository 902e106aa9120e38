//! What `check` finds in a directory that nobody has open, and what a repair leaves of it.
use crate::power::client::everything;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::catalog::ServiceConfig;
use logyard_storage::engine::{Ack, Append, CheckReport, Engine, Options, check};
use logyard_storage::env::Env;
use logyard_storage::env::sim::{Fault, IoKind, SimEnv};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const CATALOG: &str = "/data/catalog.redb";

/// Makes something of a store unreadable.
type Damage = fn(&SimEnv);

fn open(env: &SimEnv) -> Arc<Engine> {
    let options = Options { background: false, wal_file_bytes: 256 << 10, ..Options::new("/data") };
    Engine::open(Arc::new(env.process()), options).unwrap()
}

fn append(engine: &Engine, rows: Range<u64>) {
    let mut builder = BatchBuilder::new();
    for number in rows {
        builder.begin_row();
        builder.string("service_name", "web");
        builder.string("_msg", &format!("request {number} of user u{} was answered", number % 7));
        builder.commit_row();
    }
    engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
}

/// Two segments of thirty rows, closed in order.
fn sealed() -> SimEnv {
    let env = SimEnv::new(22);
    let engine = open(&env);
    for rows in [0..30, 30..60] {
        append(&engine, rows);
        engine.seal().unwrap();
    }
    engine.close().unwrap();
    env
}

fn checked(env: &SimEnv, repair: bool) -> CheckReport {
    let env: Arc<dyn Env> = Arc::new(env.process());
    check(&env, Path::new("/data"), repair).unwrap()
}

#[track_caller]
fn finds(env: &SimEnv, whats: &[&str]) {
    let report = checked(env, false);
    assert!(!report.ok, "{report:?}");
    for what in whats {
        assert!(report.lines.iter().any(|line| line.contains(what)), "{what} is not in {report:?}");
    }
}

/// A repair is done, the next check finds nothing, and the records are these.
#[track_caller]
fn repairs(env: &SimEnv, left: impl Iterator<Item = u64>) {
    let report = checked(env, true);
    assert!(report.ok, "{report:?}");
    let again = checked(env, false);
    assert!(again.ok, "{again:?}");
    let engine = open(env);
    assert_eq!(engine.troubles(), Vec::<String>::new());
    let mut found: Vec<u64> = everything(&engine).unwrap().iter().map(|record| record.seq).collect();
    found.sort_unstable();
    assert!(found.iter().copied().eq(left), "{found:?}");
}

fn file(env: &SimEnv, end: &str) -> PathBuf {
    env.files().into_iter().map(|(path, _)| path).find(|path| path.to_string_lossy().ends_with(end)).unwrap()
}

fn damage_catalog(env: &SimEnv) {
    (0..64).for_each(|at| env.flip_bit(Path::new(CATALOG), at * 7, 3).unwrap());
}

/// A bit of the first block of the first segment.
fn damage_segment(env: &SimEnv) {
    env.flip_bit(&file(env, "0000000000000001.seg"), 40, 3).unwrap();
}

#[test]
fn damage_in_the_middle_of_the_log_is_named_with_its_end_and_the_rest_is_kept() {
    let env = SimEnv::new(23);
    let engine = open(&env);
    append(&engine, 0..20);
    let log = file(&env, ".wal");
    let before = env.read_raw(&log).unwrap();
    append(&engine, 20..40);
    let after = env.read_raw(&log).unwrap();
    append(&engine, 40..60);
    drop(engine);
    env.kill();
    let new: Vec<usize> = (0..after.len()).filter(|at| before.get(*at) != Some(&after[*at])).collect();
    let middle = (new[0] + new[new.len() - 1]) / 2;
    env.flip_bit(&log, middle as u64, 5).unwrap();
    finds(&env, &["records 20 to 39: a frame fails its checksum", "2 batches with 40 records"]);
    repairs(&env, (0..20).chain(40..60));
}

#[test]
fn without_a_catalog_every_segment_is_verified() {
    let cases: [(&str, Damage); 2] = [
        ("the next start sets it aside and rebuilds it", damage_catalog),
        ("the next start makes it from the segments", |env| env.remove_file(Path::new(CATALOG)).unwrap()),
    ];
    for (says, damage) in cases {
        let env = sealed();
        damage(&env);
        finds(&env, &[says, "2 files with 60 records"]);
        repairs(&env, 0..60);
        let env = sealed();
        damage(&env);
        damage_segment(&env);
        finds(&env, &[says, "records 0 to 29, 30 of them"]);
        repairs(&env, 30..60);
    }
}

#[test]
fn a_footer_is_verified_too_where_there_is_no_catalog() {
    let env = sealed();
    let path = file(&env, "0000000000000001.seg");
    let len = env.read_raw(&path).unwrap().len() as u64;
    env.flip_bit(&path, len - 40, 1).unwrap();
    finds(&env, &["records 0 to 29, 30 of them"]);
    damage_catalog(&env);
    finds(&env, &["nothing else says which records are in it", "1 files with 30 records"]);
    repairs(&env, 30..60);
}

#[test]
fn a_catalog_that_cannot_be_read_is_not_said_to_be_damaged() {
    let env = sealed();
    damage_segment(&env);
    env.fail(Fault::nth(1).of(IoKind::Read).under("catalog.redb").forever());
    finds(&env, &["there is no start until it can be read", "records 0 to 29, 30 of them"]);
    let report = checked(&env, true);
    assert!(!report.ok && report.lines.iter().any(|line| line.starts_with("not repaired: ")), "{report:?}");
    env.clear_faults();
    repairs(&env, 30..60);
}

#[test]
fn a_segment_that_cannot_be_read_is_left_by_a_repair_which_says_so() {
    let env = sealed();
    env.fail(Fault::nth(1).of(IoKind::Open).under("0000000000000001.seg").forever());
    finds(&env, &["records 0 to 29, 30 of them"]);
    let report = checked(&env, true);
    assert!(!report.ok && report.lines.iter().any(|line| line.contains("still wrong")), "{report:?}");
    env.clear_faults();
    assert!(checked(&env, false).ok);
    assert_eq!(everything(&open(&env)).unwrap().len(), 60);
}

#[test]
fn copies_of_configurations_are_verified() {
    let env = sealed();
    let engine = open(&env);
    engine.set_config("web", ServiceConfig { ttl_days: 7, ..ServiceConfig::default() }).unwrap();
    engine.close().unwrap();
    drop(engine);
    assert!(checked(&env, false).ok);
    let path = Path::new("/data/config-copy/service-web.conf");
    let sound = env.read_raw(path).unwrap();
    env.flip_bit(path, 9, 1).unwrap();
    finds(&env, &["service-web.conf is no copy to go by"]);
    // And one of which nothing else is known.
    env.write_raw(Path::new("/data/config-copy/service-gone.conf"), b"ttl_days = 3\n").unwrap();
    finds(&env, &["service-web.conf", "service-gone.conf"]);
    repairs(&env, 0..60);
    assert_eq!(env.read_raw(path).unwrap(), sound);
    assert!(env.exists(Path::new("/data/quarantine/service-gone.conf")).unwrap());
}
