//! A lost catalog gets its effects back from footers, whatever became of the segments that they were sealed in.
use crate::batch::{BatchBuilder, Stream};
use crate::catalog::ServiceConfig;
use crate::engine::{Ack, Append, Engine, Options, Search, locked};
use crate::env::Env;
use crate::env::sim::SimEnv;
use crate::payload::Effect;
use crate::retention::DAY_NANOS;
use crate::scan::filter::{Filter, Test};
use crate::segment::Segment;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

fn open(env: &SimEnv) -> Arc<Engine> {
    let options = Options { background: false, wal_file_bytes: 256 << 10, ..Options::new("/data") };
    Engine::open(Arc::new(env.process()), options).unwrap()
}

/// Appends rows and sets, or takes away, effects.
fn put(engine: &Engine, service: &str, rows: u32, effects: &[(&str, Option<&str>, Option<i64>)]) {
    let mut builder = BatchBuilder::new();
    for row in 0..rows {
        builder.begin_row();
        builder.string("_msg", &format!("row {row}"));
        builder.commit_row_in(&Stream { service: service.into(), tags: "{}".into() });
    }
    let effect = |(key, value, expires): &(&str, Option<&str>, Option<i64>)| Effect {
        key: key.as_bytes().to_vec(),
        value: value.map(|value| value.as_bytes().to_vec()),
        expires: *expires,
    };
    let batch = (rows > 0).then(|| builder.finish().unwrap());
    engine.append(Append { batch, effects: effects.iter().map(effect).collect(), ack: Ack::Wal }).unwrap();
}

fn get(engine: &Engine, key: &str) -> Option<String> {
    engine.effect(key.as_bytes()).map(|value| String::from_utf8(value).unwrap())
}

/// Ends in order, so that no log is left, and starts without the catalog.
fn lose_catalog(engine: Arc<Engine>, env: &SimEnv) -> Arc<Engine> {
    engine.close().unwrap();
    drop(engine);
    let log: Vec<_> = env.files().into_iter().map(|(path, _)| path).filter(|p| p.starts_with("/data/wal")).collect();
    log.iter().for_each(|path| env.remove_file(path).unwrap());
    env.remove_file(Path::new("/data/catalog.redb")).unwrap();
    let engine = open(env);
    let mut troubles = engine.troubles();
    troubles.retain(|trouble| !trouble.contains("configuration"));
    assert_eq!(troubles, Vec::<String>::new());
    engine
}

fn segments(env: &SimEnv) -> Vec<Segment> {
    let files = env.files().into_iter().map(|(path, _)| path);
    let segments = files.filter(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.map(|path| Segment::open(env, &path, &Arc::default()).unwrap()).collect()
}

/// How many effects there are in footers.
fn in_footers(env: &SimEnv) -> usize {
    segments(env).iter().map(|segment| segment.effects().unwrap().len()).sum()
}

fn known(engine: &Engine) -> usize {
    locked(&engine.shared_for_tests().effects).len()
}

#[test]
fn a_lost_catalog_gets_effects_back_from_footers() {
    let env = SimEnv::new(1);
    let engine = open(&env);
    put(&engine, "a", 5, &[("checkpoint", Some("1"), None), ("dedupe/1", Some("x"), Some(env.now() + 9 * DAY_NANOS))]);
    put(&engine, "b", 5, &[("checkpoint", Some("2"), None), ("gone", Some("y"), None)]);
    engine.seal().unwrap();
    put(&engine, "a", 3, &[("checkpoint", Some("3"), None), ("gone", None, None)]);
    // Two after each other under one number, in segments of their own.
    engine.seal().unwrap();
    put(&engine, "a", 0, &[("position", Some("4"), None)]);
    engine.seal().unwrap();
    put(&engine, "a", 0, &[("position", Some("5"), None)]);
    let check = |engine: &Engine| {
        let found = ["checkpoint", "dedupe/1", "gone", "position"].map(|key| get(engine, key));
        assert_eq!(found, [Some("3".into()), Some("x".into()), None, Some("5".into())]);
        assert_eq!(engine.count(&Search::default()).unwrap(), 13);
    };
    check(&engine);
    let engine = lose_catalog(engine, &env);
    check(&engine);
    engine.compact().unwrap();
    assert_eq!(segments(&env).len(), 1);
    // The newest of each key, and nothing that was taken away.
    assert_eq!(in_footers(&env), 3);
    let engine = lose_catalog(engine, &env);
    check(&engine);
    // A new value is newer than what came out of footers.
    put(&engine, "a", 1, &[("checkpoint", Some("6"), None)]);
    let engine = lose_catalog(engine, &env);
    assert_eq!(get(&engine, "checkpoint").as_deref(), Some("6"));
}

#[test]
fn a_damaged_table_of_effects_is_filled_from_footers() {
    let env = SimEnv::new(2);
    let engine = open(&env);
    put(&engine, "a", 5, &[("checkpoint", Some("1"), None)]);
    engine.seal().unwrap();
    let mut change = crate::catalog::Change::new();
    // A row that is no effect.
    change.put(crate::catalog::Table::Effects, b"checkpoint", &7u8).unwrap();
    engine.shared_for_tests().commit_catalog(&change, &crate::catalog::Change::new()).unwrap();
    engine.close().unwrap();
    drop(engine);
    let engine = open(&env);
    assert_eq!(engine.troubles().len(), 1, "{:?}", engine.troubles());
    assert_eq!(get(&engine, "checkpoint").as_deref(), Some("1"));
    engine.close().unwrap();
    drop(engine);
    let engine = open(&env);
    assert_eq!(engine.troubles(), Vec::<String>::new());
    assert_eq!(get(&engine, "checkpoint").as_deref(), Some("1"));
}

#[test]
fn effects_outlive_the_rows_that_they_came_with() {
    let env = SimEnv::new(3);
    let engine = open(&env);
    engine.set_config("short", ServiceConfig { ttl_days: 2, ..ServiceConfig::default() }).unwrap();
    put(&engine, "short", 5, &[("checkpoint", Some("1"), None), ("old", Some("1"), Some(env.now() + DAY_NANOS))]);
    engine.seal().unwrap();
    env.advance(3 * DAY);
    assert_eq!(engine.retain(false).unwrap().segments_removed, 1);
    assert_eq!(engine.count(&Search::default()).unwrap(), 0);
    assert_eq!((segments(&env).len(), in_footers(&env)), (1, 1));
    let engine = lose_catalog(engine, &env);
    assert_eq!((get(&engine, "checkpoint").as_deref(), get(&engine, "old")), (Some("1"), None));
    // Deleted rows, or none from the start, make no difference; segments for effects alone do not add up.
    put(&engine, "web", 5, &[("other", Some("1"), None)]);
    engine.seal().unwrap();
    let all = Search { filter: Filter::Field("_msg".into(), Test::Any), ..Search::default() };
    assert_eq!(engine.delete(&all, false).unwrap().rows, 5);
    engine.compact().unwrap();
    for value in ["2", "3", "4"] {
        put(&engine, "web", 0, &[("other", Some(value), None)]);
        engine.seal().unwrap();
    }
    engine.compact().unwrap();
    assert_eq!((segments(&env).len(), in_footers(&env)), (1, 2));
    let engine = lose_catalog(engine, &env);
    assert_eq!((get(&engine, "checkpoint").as_deref(), get(&engine, "other").as_deref()), (Some("1"), Some("4")));
    // They go along with the next rows that are merged, and a retention pass leaves them.
    for _ in 0..2 {
        put(&engine, "web", 5, &[]);
        engine.seal().unwrap();
    }
    engine.retain(false).unwrap();
    engine.compact().unwrap();
    assert_eq!((segments(&env).len(), in_footers(&env)), (1, 2));
    assert_eq!(engine.count(&Search::default()).unwrap(), 10);
}

#[test]
fn damaged_effects_come_from_the_catalog() {
    let env = SimEnv::new(6);
    let engine = open(&env);
    for (key, rows) in [("one", 3), ("two", 4)] {
        put(&engine, "web", rows, &[(key, Some("1"), None)]);
        engine.seal().unwrap();
    }
    let damaged = segments(&env).remove(0);
    env.flip_bit(damaged.path(), damaged.footer.effects[0].offset, 1).unwrap();
    assert_eq!(engine.scrub().unwrap().damaged.len(), 1);
    assert_eq!(engine.count(&Search::default()).unwrap(), 7);
    engine.compact().unwrap();
    assert_eq!((segments(&env).len(), in_footers(&env)), (1, 2));
    let engine = lose_catalog(engine, &env);
    assert_eq!(["one", "two"].map(|key| get(&engine, key)), [Some("1".into()), Some("1".into())]);
}

#[test]
fn effects_that_are_over_are_forgotten_everywhere() {
    let env = SimEnv::new(4);
    let engine = open(&env);
    let soon = env.now() + DAY_NANOS / 2;
    for segment in 0..2 {
        for effect in 0..10 {
            let key = format!("dedupe/{segment}/{effect}");
            put(&engine, "web", 1, &[(&key, Some("x"), Some(soon))]);
        }
        put(&engine, "web", 1, &[("stays", Some("y"), Some(soon + 9 * DAY_NANOS))]);
        engine.seal().unwrap();
    }
    put(&engine, "web", 0, &[("hot", Some("z"), Some(soon))]);
    engine.retain(false).unwrap();
    assert_eq!((known(&engine), in_footers(&env)), (22, 22));
    env.advance(DAY);
    engine.retain(true).unwrap();
    assert_eq!(known(&engine), 22);
    engine.retain(false).unwrap();
    // What is still in the log stays until it is sealed.
    assert_eq!((known(&engine), get(&engine, "hot")), (2, None));
    engine.compact().unwrap();
    assert_eq!(in_footers(&env), 1);
    put(&engine, "web", 1, &[]);
    engine.seal().unwrap();
    engine.retain(false).unwrap();
    assert_eq!(known(&engine), 1);
    drop(engine);
    let engine = open(&env);
    assert_eq!((known(&engine), get(&engine, "stays").as_deref()), (1, Some("y")));
    // A wrong clock forgets nothing.
    env.set_now(env.now() + 400 * DAY_NANOS);
    engine.retain(false).unwrap();
    assert_eq!(known(&engine), 1);
}

#[test]
fn what_was_taken_away_or_is_over_does_not_uncover_what_was_before() {
    let env = SimEnv::new(5);
    let engine = open(&env);
    engine.set_config("b", ServiceConfig { ttl_days: 9, ..ServiceConfig::default() }).unwrap();
    put(&engine, "a", 3, &[("removed", Some("1"), None), ("passing", Some("1"), None)]);
    engine.seal().unwrap();
    // In a segment of another day and a shorter life, which is never merged with the first.
    env.advance(DAY);
    let soon = env.now() + DAY_NANOS / 2;
    put(&engine, "b", 3, &[("removed", None, None), ("passing", Some("2"), Some(soon))]);
    engine.seal().unwrap();
    env.advance(DAY);
    for _ in 0..2 {
        put(&engine, "c", 3, &[("later", Some("1"), Some(env.now() + DAY_NANOS / 4))]);
        engine.seal().unwrap();
    }
    engine.retain(false).unwrap();
    let check = |engine: &Engine| {
        let found = ["removed", "passing"].map(|key| get(engine, key));
        assert_eq!(found, [None, None]);
    };
    check(&engine);
    let engine = lose_catalog(engine, &env);
    check(&engine);
    engine.compact().unwrap();
    let engine = lose_catalog(engine, &env);
    check(&engine);
    for _ in 0..9 {
        env.advance(DAY);
        engine.retain(false).unwrap();
        engine.compact().unwrap();
    }
    let services: Vec<String> = engine.services();
    assert_eq!(services, ["a", "c"]);
    let engine = lose_catalog(engine, &env);
    check(&engine);
    // Nothing is left to be covered once the oldest are gone, nor anything that covers.
    for _ in 0..40 {
        env.advance(DAY);
        engine.retain(false).unwrap();
        engine.compact().unwrap();
    }
    assert_eq!(segments(&env).len(), 0);
    check(&engine);
}
