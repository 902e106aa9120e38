//! Deletions: hidden at once, gone from each file later.
use super::super::worker::Chores;
use super::{HOUR, kind, on_disk, open, open_with, options, put, shown, span};
use crate::batch::BatchBuilder;
use crate::engine::{Ack, Append, Engine, Options, Search};
use crate::env::Env;
use crate::env::sim::SimEnv;
use crate::error::ErrorKind;
use crate::scan::filter::{Filter, Test};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

#[test]
fn deleted_rows_are_hidden_at_once_and_really_gone_later() {
    let env = SimEnv::new(12);
    let mut engine = open(&env);
    put(&engine, &env, "web", 0..30);
    put(&engine, &env, "db", 30..60);
    engine.seal().unwrap();
    put(&engine, &env, "web", 60..90);
    let all = shown(&engine);
    let red = Search { services: vec!["web".into()], ..kind("red") };
    let dry = engine.delete(&red, true).unwrap();
    assert_eq!((dry.id, dry.rows), (None, 20));
    assert_eq!(shown(&engine), all);
    let done = engine.delete(&red, false).unwrap();
    assert_eq!((done.rows, &done.by_service), (20, &BTreeMap::from([("web".to_string(), 20)])));
    assert!(done.id.is_some() && done.from <= done.until && done.from.is_some());
    let left: Vec<u32> = all.iter().copied().filter(|n| n % 3 != 0 || (30..60).contains(n)).collect();
    assert_eq!(shown(&engine), left);
    assert_eq!(engine.delete(&red, true).unwrap().rows, 0);
    // The same content, but later.
    put(&engine, &env, "web", 90..99);
    let with_later: Vec<u32> = left.iter().copied().chain(90..99).collect();
    assert_eq!(shown(&engine), with_later);
    for restart in [false, true] {
        if restart {
            drop(engine);
            env.power_cut();
            env.power_on();
            engine = open(&env);
        }
        assert_eq!(shown(&engine), with_later);
        assert_eq!(engine.pending_deletions(), [done.id.unwrap()]);
    }
    // A lost catalog does not bring them back.
    env.kill();
    env.remove_file(Path::new("/data/catalog.redb")).unwrap();
    let engine = open(&env);
    assert_eq!(shown(&engine), with_later, "{:?}", engine.troubles());
    put(&engine, &env, "web", 99..102);
    let with_later: Vec<u32> = with_later.into_iter().chain(99..102).collect();
    assert_eq!(shown(&engine), with_later);
    assert_eq!(on_disk(&env), 60);
    engine.compact().unwrap();
    assert_eq!(engine.pending_deletions().len(), 1);
    assert_eq!(on_disk(&env), 50);
    engine.seal().unwrap();
    engine.compact().unwrap();
    assert_eq!(engine.pending_deletions(), Vec::<u64>::new());
    assert_eq!(on_disk(&env), with_later.len() as u64);
    assert_eq!(shown(&engine), with_later);
    drop(engine);
    assert_eq!(shown(&open(&env)), with_later);
    assert!(env.files().iter().all(|(path, _)| !path.to_string_lossy().contains("config-copy/deletion")));
}

#[test]
fn a_deletion_is_carried_out_within_a_day_though_there_is_never_time() {
    let env = SimEnv::new(19);
    // Whatever is hot is over half of the budget, and stays hot.
    let engine = open_with(&env, Options { hot_bytes_max: 1, seal_age: 720 * HOUR, ..options() });
    let shared = engine.shared_for_tests();
    let mut chores = Chores::new(shared, std::sync::Arc::default());
    put(&engine, &env, "web", 0..30);
    engine.seal().unwrap();
    engine.delete(&kind("red"), false).unwrap();
    put(&engine, &env, "web", 30..60);
    for hour in 0..24 {
        chores.work(shared);
        let waits = hour < 12;
        assert_eq!(on_disk(&env), if waits { 30 } else { 20 }, "after {hour} hours");
        assert_eq!(engine.pending_deletions().is_empty(), !waits, "after {hour} hours");
        env.advance(HOUR);
    }
    assert_eq!(shown(&engine), [span(0..30).into_iter().filter(|n| n % 3 != 0).collect(), span(30..60)].concat());
    // Where the clock was set back nobody knows how long it has waited.
    engine.delete(&kind("blue"), false).unwrap();
    engine.seal().unwrap();
    put(&engine, &env, "web", 60..70);
    chores.work(shared);
    let before = on_disk(&env);
    env.set_now(env.now() - HOUR.as_nanos() as i64);
    (0..4).for_each(|_| chores.work(shared));
    assert!(engine.pending_deletions().is_empty() && on_disk(&env) < before);
    assert_eq!(engine.troubles(), Vec::<String>::new());
}

#[test]
fn deletions_are_bounded_and_keep_any_predicate() {
    let env = SimEnv::new(13);
    let engine = open(&env);
    put(&engine, &env, "web", 0..90);
    let field = |name: &str, test: Test| Filter::Field(name.into(), test);
    let filter = Filter::Or(vec![
        Filter::And(vec![
            field("kind", Test::Substring("re".into())),
            Filter::Not(Box::new(field("n", Test::exact("3")))),
        ]),
        field("_msg", Test::phrase("NUMBER 7", true)),
        field("_msg", Test::phrase("number 8 of", false)),
        field("_msg", Test::prefix("NUMBER 50 of SOME", true)),
        field("nothing", Test::Any),
    ]);
    let now = env.now();
    let search =
        Search { filter, from: Some(0), until: Some(now + 1), exclude_services: vec!["x".into()], ..Search::default() };
    let rows = engine.delete(&search, false).unwrap().rows;
    // Red and green have `re` in them.
    let gone = |n: u32| n % 3 != 2 && n != 3 || [7, 8, 50].contains(&n);
    let left: Vec<u32> = (0..90).filter(|n| !gone(*n)).collect();
    assert_eq!(rows, 90 - left.len() as u64);
    assert_eq!(shown(&engine), left);
    drop(engine);
    let engine = open(&env);
    assert_eq!(shown(&engine), left);
    let mut deep = Filter::All;
    for _ in 0..100 {
        deep = Filter::Not(Box::new(deep));
    }
    let deep = Search { filter: deep, ..Search::default() };
    assert_eq!(engine.delete(&deep, true).unwrap_err().kind(), ErrorKind::Invalid);
    for _ in 1..64 {
        engine.delete(&kind("none"), false).unwrap();
    }
    assert_eq!(engine.delete(&kind("none"), false).unwrap_err().kind(), ErrorKind::Busy);
    engine.seal().unwrap();
    engine.compact().unwrap();
    assert!(engine.pending_deletions().is_empty());
    assert_eq!(shown(&engine), left);
}

/// Files in which these bytes are.
fn files_with(env: &SimEnv, bytes: &[u8]) -> Vec<std::path::PathBuf> {
    let has = |path: &Path| {
        let found = env.read_raw(path).unwrap_or_default();
        found.windows(bytes.len()).any(|window| window == bytes)
    };
    env.files().into_iter().map(|(path, _)| path).filter(|path| has(path)).collect()
}

#[test]
fn the_bytes_of_deleted_rows_are_in_no_file_once_the_deletion_is_done() {
    const SECRET: &str = "the password of Alice is swordfish";
    for crash in [false, true] {
        let env = SimEnv::new(25);
        let mut engine = open(&env);
        let fill = |engine: &Engine, secret: &str| {
            let mut builder = BatchBuilder::new();
            for number in 0..600u64 {
                builder.begin_row();
                builder.string("n", &number.to_string());
                builder.string("kind", if number % 60 == 0 && !secret.is_empty() { "red" } else { "green" });
                let noise = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let text = if number % 60 == 0 { secret } else { "nothing" };
                builder.string("_msg", &format!("{text} {noise:x} {:x}", noise.rotate_left(17)));
                builder.commit_row();
            }
            engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
        };
        // Recycled files, the current one, what is left in it of its life before, and segments.
        for _ in 0..30 {
            fill(&engine, SECRET);
        }
        engine.seal().unwrap();
        fill(&engine, "");
        fill(&engine, SECRET);
        let is_of = |path: &Path, ending: &str| path.extension().is_some_and(|extension| extension == ending);
        let found = files_with(&env, SECRET.as_bytes());
        assert!(found.iter().any(|path| is_of(path, "spare")) && found.iter().any(|path| is_of(path, "wal")));
        let deleted = engine.delete(&kind("red"), false).unwrap();
        assert_eq!(deleted.rows, 310);
        engine.seal().unwrap();
        engine.compact().unwrap();
        assert!(engine.pending_deletions().is_empty());
        if crash {
            drop(engine);
            env.power_cut();
            env.power_on();
            engine = open(&env);
            engine.seal().unwrap();
        }
        // The log goes on in a new file once it is idle for a moment.
        let mut found = files_with(&env, SECRET.as_bytes());
        for _ in 0..200 {
            if found.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            engine.shared_for_tests().seal_what_is_due().unwrap();
            found = files_with(&env, SECRET.as_bytes());
        }
        assert_eq!(found, Vec::<std::path::PathBuf>::new(), "{crash}");
        fill(&engine, "");
        assert_eq!(engine.count(&Search::default()).unwrap(), 600 * 33 - 310);
    }
}
