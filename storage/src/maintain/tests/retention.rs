//! Lives: rows expire, whole segments go, configurations and clocks change.
use super::super::worker::Chores;
use super::{DAY, HOUR, kind, numbers, on_disk, open, put, rows, shown, span, ttl};
use crate::catalog::{ServiceConfig, TTL_FOREVER};
use crate::engine::{DEFAULTS, Search};
use crate::env::Env;
use crate::env::sim::SimEnv;
use crate::error::ErrorKind;
use crate::privacy::Privacy;
use crate::retention::DAY_NANOS;
use std::path::Path;

const YEAR_NANOS: i64 = 365 * DAY_NANOS;

#[test]
fn rows_are_hidden_from_the_moment_they_expire() {
    for sealed in [false, true] {
        let env = SimEnv::new(1);
        let engine = open(&env);
        engine.set_config("short", ttl(2)).unwrap();
        engine.set_config("ever", ttl(TTL_FOREVER)).unwrap();
        let now = env.now();
        engine.append(rows("short", 0..100, |_| now)).unwrap();
        engine.append(rows("ever", 100..200, |_| now)).unwrap();
        engine.append(rows("other", 200..300, |_| now)).unwrap();
        // Older than their life by their own time, but they only just came.
        engine.append(rows("short", 300..310, |_| now - 400 * DAY_NANOS)).unwrap();
        // From the day after tomorrow.
        engine.append(rows("short", 310..320, |_| now + DAY_NANOS)).unwrap();
        let id =
            engine.search(&Search { services: vec!["short".into()], offset: 15, ..Search::default() }).unwrap()[0].id();
        if sealed {
            engine.seal().unwrap();
        }
        env.set_now(now + 2 * DAY_NANOS - 1_000_000_000);
        assert_eq!(shown(&engine), span(0..320));
        assert!(engine.get(id).unwrap().is_some());
        env.set_now(now + 2 * DAY_NANOS + 1_000_000_000);
        assert_eq!(shown(&engine), numbers(&[100..300, 310..320]));
        assert!(engine.get(id).unwrap().is_none());
        env.set_now(now + 30 * DAY_NANOS + 1_000_000_000);
        assert_eq!(shown(&engine), span(100..200));
        // Nothing was deleted, and a longer life shows them again.
        engine.set_config("short", ttl(40)).unwrap();
        assert_eq!(shown(&engine), numbers(&[0..200, 300..320]));
        engine.remove_config("short").unwrap();
        assert_eq!(shown(&engine), numbers(&[100..200, 310..320]));
    }
}

#[test]
fn whole_segments_go_when_all_their_rows_are_past_their_lives() {
    let env = SimEnv::new(2);
    let engine = open(&env);
    engine.set_config("short", ttl(3)).unwrap();
    engine.set_config("ever", ttl(TTL_FOREVER)).unwrap();
    put(&engine, &env, "short", 0..50);
    put(&engine, &env, "ever", 50..80);
    engine.seal().unwrap();
    for _ in 0..4 {
        env.advance(DAY);
        assert!(engine.retain(true).unwrap().services.is_empty() || env.now() > 3 * DAY_NANOS);
    }
    put(&engine, &env, "short", 80..90);
    engine.seal().unwrap();
    assert_eq!(on_disk(&env), 90);
    let dry = engine.retain(true).unwrap();
    assert_eq!(on_disk(&env), 90);
    assert_eq!(dry.services.len(), 1);
    let removed = dry.services["short"];
    assert_eq!((removed.rows, removed.oldest_days), (50, 4));
    assert!(removed.bytes > 100);
    let done = engine.retain(false).unwrap();
    assert_eq!((done.services, done.segments_removed), (dry.services, 1));
    assert_eq!(on_disk(&env), 40);
    assert_eq!(shown(&engine), span(50..90));
    assert_eq!(engine.retain(false).unwrap().segments_removed, 0);
    drop(engine);
    env.power_cut();
    env.power_on();
    let engine = open(&env);
    assert_eq!(shown(&engine), span(50..90));
    assert_eq!(engine.troubles(), Vec::<String>::new());
}

#[test]
fn a_lost_catalog_does_not_take_the_rest_of_a_seal_for_unfinished() {
    let env = SimEnv::new(3);
    let engine = open(&env);
    engine.set_config("short", ttl(1)).unwrap();
    put(&engine, &env, "short", 0..50);
    put(&engine, &env, "long", 50..80);
    engine.seal().unwrap();
    env.advance(2 * DAY);
    engine.retain(false).unwrap();
    engine.close().unwrap();
    drop(engine);
    // A start without the log's files, as if they had retired.
    let wal: Vec<_> = env.files().into_iter().map(|(path, _)| path).filter(|p| p.starts_with("/data/wal")).collect();
    wal.iter().for_each(|path| env.remove_file(path).unwrap());
    env.remove_file(Path::new("/data/catalog.redb")).unwrap();
    let engine = open(&env);
    assert_eq!(shown(&engine), span(50..80));
    assert_eq!(engine.config("short").ttl_days, 1);
    assert!(engine.troubles().iter().any(|trouble| trouble.contains("short")), "{:?}", engine.troubles());
}

#[test]
fn a_clock_that_jumps_deletes_nothing() {
    for jump in [YEAR_NANOS, -YEAR_NANOS] {
        let env = SimEnv::new(4);
        let mut engine = open(&env);
        put(&engine, &env, "web", 0..50);
        engine.seal().unwrap();
        env.advance(DAY);
        put(&engine, &env, "web", 50..60);
        let right = env.now();
        env.set_now(right + jump);
        for hour in 0..23 {
            if hour % 5 == 0 {
                // A start does not believe it either.
                drop(engine);
                engine = open(&env);
                put(&engine, &env, "web", 100 + hour..101 + hour);
                engine.seal().unwrap();
            }
            engine.retain(false).unwrap();
            engine.compact().unwrap();
            env.advance(HOUR);
        }
        env.set_now(right + 23 * 3_600_000_000_000);
        let mut all = span(0..60);
        all.extend([100, 105, 110, 115, 120]);
        assert_eq!(shown(&engine), all, "{jump}");
        engine.retain(false).unwrap();
        engine.compact().unwrap();
        assert_eq!(shown(&engine), all, "{jump}");
        // What came while the clock was wrong does not look old when it is right.
        for _ in 0..30 {
            env.advance(HOUR);
            engine.retain(false).unwrap();
        }
        assert_eq!(shown(&engine), all, "{jump}");
        // A jump that stays is the time in the end.
        env.set_now(env.now() + YEAR_NANOS);
        engine.retain(false).unwrap();
        assert!(on_disk(&env) >= 50);
        for _ in 0..26 {
            env.advance(HOUR);
            engine.seal().unwrap();
            engine.retain(false).unwrap();
        }
        let left = if jump > 0 { on_disk(&env) } else { 0 };
        assert!(left <= 5, "{left} rows, which came in the wrong year");
    }
}

#[test]
fn configurations_survive_the_catalog_and_stay_as_they_were() {
    let env = SimEnv::new(5);
    let engine = open(&env);
    let first = engine.set_config("a", ttl(7)).unwrap();
    env.advance(HOUR);
    let config = ServiceConfig { size_budget: Some(5), retention_policy: Some("minimal".into()), ..ttl(0) };
    let second = engine.set_config("a", config.clone()).unwrap();
    assert_eq!(second.created_at, first.created_at);
    assert!(second.updated_at > first.updated_at);
    engine.set_config("b", ttl(TTL_FOREVER)).unwrap();
    engine.set_config("c", ttl(9)).unwrap();
    assert!(engine.remove_config("c").unwrap() && !engine.remove_config("c").unwrap());
    for bad in [ttl(-2), ServiceConfig { retention_policy: Some("huge".into()), ..ttl(0) }] {
        assert_eq!(engine.set_config("d", bad).unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(engine.set_config("", ttl(1)).unwrap_err().kind(), ErrorKind::Invalid);
    let all = engine.configs();
    assert_eq!(all.len(), 2);
    for lose in [false, true] {
        if lose {
            for at in 0..64 {
                env.flip_bit(Path::new("/data/catalog.redb"), at * 7, 3).unwrap();
            }
        }
        env.kill();
        let engine = open(&env);
        assert_eq!(engine.configs(), all);
        assert_eq!(engine.config("nobody"), ServiceConfig::default());
    }
    drop(engine);
}

#[test]
fn what_is_said_for_all_holds_where_a_service_says_nothing() {
    let env = SimEnv::new(25);
    let engine = open(&env);
    engine.set_config("own", ttl(9)).unwrap();
    engine.set_config("silent", ttl(0)).unwrap();
    engine.set_config(DEFAULTS, ttl(3)).unwrap();
    let days = |service: &str| engine.shared_for_tests().lives().days(service);
    assert_eq!([days("own"), days("silent"), days("nobody")], [Some(9), Some(3), Some(3)]);
    assert_eq!(engine.default_days(), Some(3));
    let budget = ServiceConfig { size_budget: Some(5), ..ttl(0) };
    assert_eq!(engine.set_config(DEFAULTS, budget).unwrap_err().kind(), ErrorKind::Invalid);
    let privacy = Privacy { mask_patterns: vec!["(".into()], ..Privacy::default() };
    assert_eq!(engine.set_config("own", ServiceConfig { privacy, ..ttl(9) }).unwrap_err().kind(), ErrorKind::Invalid);
    drop(engine);
    env.kill();
    assert_eq!(open(&env).default_days(), Some(3));
}

#[test]
fn days_on_this_disk_are_refused_while_there_is_no_archive() {
    let env = SimEnv::new(24);
    let engine = open(&env);
    let refused = engine.set_config("web", ServiceConfig { local_days: Some(3), ..ttl(0) }).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().contains("archive"));
    assert_eq!(engine.config("web"), ServiceConfig::default());
}

#[test]
fn a_changed_policy_moves_rows_at_the_next_compaction() {
    let env = SimEnv::new(7);
    let engine = open(&env);
    put(&engine, &env, "a", 0..50);
    put(&engine, &env, "b", 50..100);
    engine.seal().unwrap();
    assert_eq!(engine.stats().unwrap().segments, 1);
    engine.set_config("a", ttl(2)).unwrap();
    engine.compact().unwrap();
    assert_eq!(engine.stats().unwrap().segments, 2);
    env.advance(3 * DAY);
    let report = engine.retain(false).unwrap();
    assert_eq!((report.segments_removed, report.segments_rewritten), (1, 0));
    assert_eq!(shown(&engine), span(50..100));
    assert_eq!(on_disk(&env), 50);
}

#[test]
fn a_segment_is_written_anew_once_a_quarter_of_it_is_gone() {
    let env = SimEnv::new(8);
    let engine = open(&env);
    let now = env.now();
    // One day apart in one segment: the class is the same, the day of arrival too.
    engine.set_config("a", ttl(2)).unwrap();
    put(&engine, &env, "a", 0..20);
    env.advance(HOUR);
    put(&engine, &env, "a", 20..100);
    engine.seal().unwrap();
    assert!(env.now() < now + DAY_NANOS);
    env.advance(2 * DAY - HOUR / 2);
    assert_eq!(shown(&engine), span(20..100));
    engine.compact().unwrap();
    assert_eq!(on_disk(&env), 100);
    let report = engine.retain(false).unwrap();
    assert_eq!(report.segments_rewritten, 0);
    put(&engine, &env, "a", 100..200);
    engine.set_config("a", ttl(1)).unwrap();
    assert_eq!(shown(&engine), span(100..200));
    let report = engine.retain(false).unwrap();
    assert_eq!((report.services["a"].rows, report.segments_removed), (100, 1));
    engine.set_config("a", ttl(2)).unwrap();
    put(&engine, &env, "b", 200..260);
    engine.seal().unwrap();
    engine.set_config("b", ttl(2)).unwrap();
    engine.compact().unwrap();
    env.advance(HOUR);
    assert_eq!(engine.stats().unwrap().segments, 1);
    engine.set_config("b", ttl(1)).unwrap();
    env.advance(DAY);
    // Without a compaction between, retention does it.
    let report = engine.retain(false).unwrap();
    assert_eq!((report.services["b"].rows, report.segments_rewritten), (60, 1));
    assert_eq!(on_disk(&env), 100);
    assert_eq!(shown(&engine), span(100..200));
}

#[test]
fn the_worker_does_it_all_by_itself() {
    let env = SimEnv::new(16);
    let engine = open(&env);
    engine.set_config("web", ttl(2)).unwrap();
    let shared = engine.shared_for_tests();
    let mut chores = Chores::new(shared, std::sync::Arc::default());
    for part in 0..8u32 {
        put(&engine, &env, "web", part * 10..part * 10 + 10);
        engine.seal().unwrap();
        if part < 7 {
            chores.look(shared);
            assert_eq!(engine.stats().unwrap().segments, u64::from(part) + 1);
        }
    }
    chores.look(shared);
    assert_eq!(engine.stats().unwrap().segments, 1);
    engine.delete(&kind("green"), false).unwrap();
    chores.look(shared);
    chores.look(shared);
    assert!(engine.pending_deletions().is_empty());
    assert_eq!(on_disk(&env), 53);
    for _ in 0..3 * 24 {
        env.advance(HOUR);
        chores.look(shared);
    }
    assert_eq!(on_disk(&env), 0);
    assert_eq!(engine.troubles(), Vec::<String>::new());
}
