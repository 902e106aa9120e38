//! Retention, deletion, budgets and the scrubber, on a simulated machine.
use super::worker::Chores;
use crate::batch::{BatchBuilder, Stream};
use crate::catalog::{ServiceConfig, TTL_FOREVER};
use crate::engine::{Ack, Append, Engine, Options, Search, locked};
use crate::env::Env;
use crate::env::sim::SimEnv;
use crate::error::ErrorKind;
use crate::options::{DiskBudget, WhenFull};
use crate::record::Record;
use crate::retention::DAY_NANOS;
use crate::scan::filter::{Filter, Test};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR_NANOS: i64 = 365 * DAY_NANOS;

fn options() -> Options {
    // Of the blocks here some are copied and some encoded again.
    Options { background: false, wal_file_bytes: 256 << 10, copy_rows_min: 40, ..Options::new("/data") }
}

fn open(env: &SimEnv) -> Arc<Engine> {
    open_with(env, options())
}

fn open_with(env: &SimEnv, options: Options) -> Arc<Engine> {
    Engine::open(Arc::new(env.process()), options).unwrap()
}

/// Rows of a service named by their numbers, with these event times.
fn rows(service: &str, numbers: std::ops::Range<u32>, time: impl Fn(u32) -> i64) -> Append {
    let mut builder = BatchBuilder::new();
    for number in numbers {
        builder.begin_row();
        builder.time(time(number));
        builder.string("_msg", &format!("row number {number} of somebody"));
        builder.string("n", &number.to_string());
        builder.string("kind", ["red", "green", "blue"][number as usize % 3]);
        builder.commit_row_in(&Stream { service: service.into(), tags: "{}".into() });
    }
    Append::new(builder.finish().unwrap(), Ack::Wal)
}

fn put(engine: &Engine, env: &SimEnv, service: &str, numbers: std::ops::Range<u32>) {
    let now = env.now();
    engine.append(rows(service, numbers, |_| now)).unwrap();
}

fn shown(engine: &Engine) -> Vec<u32> {
    let mut all = Vec::new();
    engine.for_each(|record| all.push(record.get("n").parse().unwrap())).unwrap();
    all.sort_unstable();
    let found = engine.search(&Search { limit: usize::MAX, ..Search::default() }).unwrap();
    let mut found: Vec<u32> = found.iter().map(|record| record.get("n").parse().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, all);
    assert_eq!(engine.count(&Search::default()).unwrap(), all.len() as u64);
    all
}

fn numbers(ranges: &[std::ops::Range<u32>]) -> Vec<u32> {
    ranges.iter().cloned().flatten().collect()
}

fn span(numbers: std::ops::Range<u32>) -> Vec<u32> {
    numbers.collect()
}

fn ttl(days: i32) -> ServiceConfig {
    ServiceConfig { ttl_days: days, ..ServiceConfig::default() }
}

fn kind(kind: &str) -> Search {
    Search { filter: Filter::Field("kind".into(), Test::exact(kind)), ..Search::default() }
}

fn segment_files(env: &SimEnv) -> Vec<std::path::PathBuf> {
    env.files().into_iter().map(|(path, _)| path).filter(|path| path.extension().is_some_and(|e| e == "seg")).collect()
}

/// What is in segment files, whatever is hidden.
fn on_disk(env: &SimEnv) -> u64 {
    let rows =
        |path: &std::path::PathBuf| crate::segment::Segment::open(env, path, &Arc::default()).unwrap().footer.rows();
    segment_files(env).iter().map(rows).sum()
}

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
fn every_cut_of_a_configuration_leaves_the_old_or_the_new() {
    let base = SimEnv::new(6);
    let engine = open(&base);
    engine.set_config("a", ttl(7)).unwrap();
    drop(engine);
    for n in 1.. {
        let env = SimEnv::from_snapshot(&base.snapshot(), n);
        let engine = open(&env);
        env.cut_at_io(n);
        let set = engine.set_config("a", ttl(8));
        let removed = set.as_ref().ok().and_then(|_| engine.remove_config("a").ok());
        env.cancel_cut();
        let whole = env.is_powered();
        drop(engine);
        env.power_cut();
        env.power_on();
        let days = open(&env).config("a").ttl_days;
        match (set, removed) {
            (Ok(_), Some(_)) => assert_eq!(days, 0),
            (Ok(_), None) => assert!([0, 8].contains(&days), "{n}: {days}"),
            (Err(_), _) => assert!([7, 8].contains(&days), "{n}: {days}"),
        }
        if whole {
            break;
        }
    }
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
fn a_size_budget_takes_the_oldest_rows_of_its_service() {
    let env = SimEnv::new(9);
    let engine = open(&env);
    for day in 0..4u32 {
        let now = env.now();
        engine.append(rows("big", day * 1_000..day * 1_000 + 500, |n| now + i64::from(n))).unwrap();
        engine.append(rows("small", day * 1_000 + 500..day * 1_000 + 600, |n| now + i64::from(n))).unwrap();
        engine.seal().unwrap();
        env.advance(DAY);
    }
    let all = shown(&engine);
    let bytes = engine.stats().unwrap().segment_bytes;
    // Two and a half days of five sixths of all.
    let budget = bytes / 4 * 5 / 6 * 5 / 2;
    engine.set_config("big", ServiceConfig { size_budget: Some(budget), ..ttl(0) }).unwrap();
    let dry = engine.retain(true).unwrap();
    assert_eq!(shown(&engine), all);
    let done = engine.retain(false).unwrap();
    assert_eq!(dry.services, done.services);
    let left = shown(&engine);
    let of = |small: bool| left.iter().filter(|n| (*n % 1_000 >= 500) == small).copied().collect::<Vec<u32>>();
    assert_eq!(of(true).len(), 400);
    assert_eq!(done.services["big"].rows, 2_000 - of(false).len() as u64);
    // The newest stay, and of the day that the budget ends in the newer ones.
    assert!((1_150..=1_350).contains(&of(false).len()), "{}", of(false).len());
    let first = of(false)[0];
    assert!((1_000..1_500).contains(&first));
    assert_eq!(of(false), numbers(&[first..1_500, 2_000..2_500, 3_000..3_500]));
    assert_eq!(on_disk(&env), left.len() as u64);
}

#[test]
fn a_full_disk_refuses_appends_and_nothing_else() {
    let env = SimEnv::new(10);
    let budget = Options { disk_budget: Some(DiskBudget::Percent(90)), ..options() };
    let engine = open_with(&env, budget.clone());
    put(&engine, &env, "web", 0..50);
    engine.seal().unwrap();
    let space = env.space(Path::new("/data")).unwrap();
    let used = space.total - space.available;
    env.set_capacity(Some(used + used / 20));
    env.advance(2 * Duration::from_secs(1));
    let refused = engine.append(rows("web", 50..51, |_| 0)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::DiskFull);
    assert_eq!(shown(&engine), span(0..50));
    drop(engine);
    let engine = open_with(&env, budget);
    assert!(engine.append(rows("web", 50..51, |_| 0)).is_err());
    env.set_capacity(None);
    put(&engine, &env, "web", 50..60);
    assert_eq!(shown(&engine), span(0..60));
}

#[test]
fn a_full_disk_gives_up_the_oldest_rows_that_have_a_life() {
    let env = SimEnv::new(11);
    let engine = open(&env);
    engine.set_config("ever", ttl(TTL_FOREVER)).unwrap();
    for day in 0..5u32 {
        put(&engine, &env, "ever", day * 1_000..day * 1_000 + 100);
        put(&engine, &env, "web", day * 1_000 + 100..day * 1_000 + 200);
        engine.seal().unwrap();
        env.advance(DAY);
    }
    engine.close().unwrap();
    drop(engine);
    // A close gives up the log, so what is used is what there is after one.
    let engine = open(&env);
    let stats = engine.stats().unwrap();
    engine.close().unwrap();
    drop(engine);
    let bytes = stats.wal_bytes + stats.segment_bytes - stats.segment_bytes / 6;
    let budget = Options { disk_budget: Some(DiskBudget::Bytes(bytes)), when_full: WhenFull::DropOldest, ..options() };
    let engine = open_with(&env, budget);
    put(&engine, &env, "web", 9_000..9_001);
    let left = shown(&engine);
    assert!(left.contains(&9_000) && left.contains(&4_100) && !left.contains(&100), "{left:?}");
    assert_eq!(left.iter().filter(|n| **n % 1_000 < 100 && **n < 9_000).count(), 500);
}

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

#[test]
fn a_damaged_block_is_named_and_the_rest_is_served() {
    let env = SimEnv::new(14);
    let engine = open(&env);
    put(&engine, &env, "web", 0..50);
    engine.seal().unwrap();
    env.advance(DAY);
    put(&engine, &env, "web", 50..100);
    engine.seal().unwrap();
    let clean = engine.scrub().unwrap();
    assert_eq!((clean.segments, clean.finished, clean.damaged.len()), (2, true, 0));
    let files = segment_files(&env);
    assert!(clean.bytes > 0 && files.len() == 2);
    env.flip_bit(&files[0], 20, 1).unwrap();
    let found = engine.scrub().unwrap();
    assert_eq!(found.damaged.len(), 1);
    assert!(engine.troubles().iter().any(|t| t.contains("records") && t.contains("lost")), "{:?}", engine.troubles());
    assert_eq!(shown(&engine), span(50..100));
    engine.compact().unwrap();
    engine.delete(&kind("red"), false).unwrap();
    engine.compact().unwrap();
    assert_eq!(engine.pending_deletions().len(), 1);
    assert_eq!(shown(&engine).len(), 33);
    // Steps do the same, a little at a time; what is sound again is served again.
    env.flip_bit(&files[0], 20, 1).unwrap();
    let mut steps = 0;
    while !engine.scrub_step(100).unwrap().finished {
        steps += 1;
    }
    assert!(steps > 0);
    assert_eq!(shown(&engine).len(), 66);
    engine.compact().unwrap();
    assert!(engine.pending_deletions().is_empty());
    assert_eq!(shown(&engine).len(), 66);
}

#[test]
fn a_query_that_meets_damage_serves_the_rest() {
    let env = SimEnv::new(15);
    let engine = open(&env);
    put(&engine, &env, "web", 0..50);
    engine.seal().unwrap();
    env.advance(DAY);
    put(&engine, &env, "web", 50..100);
    engine.seal().unwrap();
    drop(engine);
    env.flip_bit(&segment_files(&env)[0], 20, 1).unwrap();
    let engine = open(&env);
    assert_eq!(shown(&engine), span(50..100));
    assert_eq!(engine.troubles().len(), 1, "{:?}", engine.troubles());
}

#[test]
fn a_damaged_index_of_rows_hides_nothing() {
    let env = SimEnv::new(20);
    let engine = open(&env);
    let mut builder = BatchBuilder::new();
    for number in 0..50u128 {
        builder.begin_row();
        builder.string("n", &number.to_string());
        builder.string("trace", &format!("{:032x}", number << 70 | 1 << 127));
        builder.commit_row_in(&Stream { service: "web".into(), tags: "{}".into() });
    }
    engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
    engine.seal().unwrap();
    drop(engine);
    let path = segment_files(&env).remove(0);
    let segment = crate::segment::Segment::open(&env, &path, &Arc::default()).unwrap();
    let footer = &segment.footer;
    assert!(footer.row_index.len > 0);
    env.flip_bit(&path, footer.row_index.offset + footer.row_index.len - 1, 1).unwrap();
    let engine = open(&env);
    let trace = Test::exact(&format!("{:032x}", 7u128 << 70 | 1 << 127));
    let search = Search { filter: Filter::Field("trace".into(), trace), ..Search::default() };
    assert_eq!(engine.count(&search).unwrap(), 1);
    assert_eq!(engine.search(&search).unwrap()[0].get("n"), "7");
    assert_eq!(engine.troubles().len(), 1, "{:?}", engine.troubles());
    assert_eq!(engine.scrub().unwrap().damaged.len(), 1);
    assert_eq!(engine.delete(&search, false).unwrap().rows, 1);
    assert_eq!(shown(&engine).len(), 49);
    engine.compact().unwrap();
    assert_eq!(shown(&engine).len(), 49);
    assert_eq!(engine.scrub().unwrap().damaged.len(), 0);
}

#[test]
fn indexes_of_rows_are_kept_within_the_budget_of_the_cache() {
    use crate::segment::{ReadCache, Segment};
    let env = SimEnv::new(22);
    let engine = open(&env);
    let trace = |number: u128| format!("{:032x}", number << 70 | 1 << 127);
    let mut builder = BatchBuilder::new();
    for number in 0..50 {
        builder.begin_row();
        builder.string("trace", &trace(number));
        builder.commit_row();
    }
    engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
    engine.seal().unwrap();
    let path = segment_files(&env).remove(0);
    let value = (7u128 << 70 | 1 << 127).to_be_bytes();
    for budget in [0, 1 << 20] {
        let cache = Arc::new(ReadCache::new(budget, 0));
        let segment = Segment::open(&env, &path, &cache).unwrap();
        assert_eq!(cache.bytes(), 0);
        for _ in 0..2 {
            assert!(segment.rows_with("trace", &value, segment.source()).unwrap().unwrap().contains(&(0, 7)));
            assert_eq!(cache.bytes() > 0, budget > 0);
        }
        drop(segment);
        assert_eq!(cache.bytes(), 0);
    }
}

#[test]
fn budgets_are_kept_after_each_seal_and_summaries_say_what_went() {
    let env = SimEnv::new(23);
    let engine = open(&env);
    engine.set_config("big", ServiceConfig { size_budget: Some(0), ..ttl(0) }).unwrap();
    let shared = engine.shared_for_tests();
    let mut chores = Chores::new(shared);
    put(&engine, &env, "big", 0..300);
    engine.seal().unwrap();
    put(&engine, &env, "small", 300..400);
    chores.look(shared);
    assert_eq!(shown(&engine), span(300..400));
    let summaries = engine.take_retention_summaries();
    assert_eq!(summaries.len(), 1);
    let removed = summaries[0].services["big"];
    assert_eq!((removed.rows, summaries[0].segments_removed, summaries[0].dry_run), (300, 1, false));
    let bytes = removed.bytes;
    assert_eq!(
        summaries[0].lines(),
        [format!("retention removed 300 records of big, {bytes} bytes, the oldest 0 days old")]
    );
    // Of a segment that others share it goes where that is much of it, and else waits for the daily pass.
    put(&engine, &env, "big", 400..420);
    engine.seal().unwrap();
    chores.look(shared);
    assert_eq!(shown(&engine), span(300..420));
    assert!(engine.take_retention_summaries().is_empty());
    put(&engine, &env, "big", 420..500);
    put(&engine, &env, "small", 500..550);
    engine.seal().unwrap();
    chores.look(shared);
    assert_eq!(shown(&engine), numbers(&[300..420, 500..550]));
    assert_eq!(engine.take_retention_summaries()[0].services["big"].rows, 80);
    engine.retain(false).unwrap();
    assert_eq!(shown(&engine), numbers(&[300..400, 500..550]));
    assert_eq!(engine.take_retention_summaries()[0].services["big"].rows, 20);
    engine.retain(false).unwrap();
    engine.retain(true).unwrap();
    assert!(engine.take_retention_summaries().is_empty());
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

#[test]
fn the_worker_does_it_all_by_itself() {
    let env = SimEnv::new(16);
    let engine = open(&env);
    engine.set_config("web", ttl(2)).unwrap();
    let shared = engine.shared_for_tests();
    let mut chores = Chores::new(shared);
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

/// A store with something to do for every kind of maintenance.
fn busy_store(env: &SimEnv) -> Arc<Engine> {
    let engine = open(env);
    engine.set_config("short", ttl(2)).unwrap();
    put(&engine, env, "short", 0..30);
    put(&engine, env, "web", 30..60);
    engine.seal().unwrap();
    env.advance(DAY);
    put(&engine, env, "web", 60..90);
    engine.seal().unwrap();
    env.advance(DAY + HOUR);
    put(&engine, env, "web", 90..100);
    engine.seal().unwrap();
    put(&engine, env, "web", 100..110);
    engine
}

#[test]
fn every_cut_in_the_middle_of_maintenance_loses_nothing() {
    let base = SimEnv::new(17);
    drop(busy_store(&base));
    let snapshot = base.snapshot();
    let alive = span(30..110);
    let left: Vec<u32> = alive.iter().copied().filter(|n| n % 3 != 0).collect();
    let mut cuts = 0;
    for n in 1.. {
        let env = SimEnv::from_snapshot(&snapshot, n);
        let engine = open(&env);
        env.cut_at_io(n);
        let retained = engine.retain(false).is_ok();
        let deleted = engine.delete(&kind("red"), false).is_ok();
        let compacted = engine.compact().is_ok();
        let sealed = engine.seal().is_ok() && engine.compact().is_ok();
        let whole = env.is_powered();
        env.cancel_cut();
        drop(engine);
        env.power_cut();
        env.power_on();
        let engine = open(&env);
        let shown = shown(&engine);
        assert_eq!(engine.troubles(), Vec::<String>::new(), "{n}");
        match deleted {
            true => assert_eq!(shown, left, "{n} {retained} {compacted} {sealed}"),
            false => assert!(shown == left || shown == alive, "{n} {retained}: {shown:?}"),
        }
        // Whatever was left undone can be done now.
        engine.delete(&kind("red"), false).unwrap();
        engine.retain(false).unwrap();
        engine.seal().unwrap();
        engine.compact().unwrap();
        assert_eq!(self::shown(&engine), left, "{n}");
        assert_eq!(on_disk(&env), left.len() as u64, "{n}");
        assert!(engine.pending_deletions().is_empty());
        if whole {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 50, "{cuts}");
}

#[test]
fn every_cut_of_a_seal_or_a_split_and_then_a_lost_catalog_leaves_each_row_once() {
    let base = SimEnv::new(19);
    let engine = open(&base);
    put(&engine, &base, "a", 0..20);
    put(&engine, &base, "b", 20..40);
    engine.seal().unwrap();
    engine.set_config("a", ttl(2)).unwrap();
    put(&engine, &base, "a", 40..50);
    put(&engine, &base, "b", 50..60);
    drop(engine);
    let snapshot = base.snapshot();
    for n in 1.. {
        let env = SimEnv::from_snapshot(&snapshot, n);
        let engine = open(&env);
        env.cut_at_io(n);
        let _cut = engine.compact().and_then(|()| engine.seal());
        env.cancel_cut();
        let whole = env.is_powered();
        drop(engine);
        env.power_cut();
        env.power_on();
        env.remove_file(Path::new("/data/catalog.redb")).unwrap();
        let engine = open(&env);
        assert_eq!(shown(&engine), span(0..60), "{n}: {:?}", engine.troubles());
        if whole {
            break;
        }
    }
}

#[test]
fn every_call_that_fails_is_an_error_or_harmless() {
    use crate::env::sim::Fault;
    let base = SimEnv::new(18);
    drop(busy_store(&base));
    let snapshot = base.snapshot();
    let alive = span(30..110);
    let left: Vec<u32> = alive.iter().copied().filter(|n| n % 3 != 0).collect();
    for n in (1..).step_by(3) {
        let env = SimEnv::from_snapshot(&snapshot, n);
        let engine = open(&env);
        env.reset_io_stats();
        env.fail(Fault::nth(n));
        let outcomes = [
            engine.retain(false).map(drop),
            engine.delete(&kind("red"), false).map(drop),
            engine.compact(),
            engine.seal(),
            engine.compact(),
            engine.scrub().map(drop),
        ];
        let struck = env.io_stats().faults > 0;
        env.clear_faults();
        let shown = shown(&engine);
        assert!(shown == left || outcomes[1].is_err() && shown == alive, "{n} {outcomes:?}");
        engine.delete(&kind("red"), false).unwrap();
        engine.seal().unwrap();
        engine.compact().unwrap();
        assert_eq!(self::shown(&engine), left, "{n} {outcomes:?}");
        drop(engine);
        assert_eq!(self::shown(&open(&env)), left, "{n} {outcomes:?}");
        if !struck {
            break;
        }
    }
}

/// Files under the segments' folder that no live segment is.
fn strays(env: &SimEnv, engine: &Engine) -> usize {
    let live: Vec<_> =
        engine.shared_for_tests().live_segments().iter().map(|live| live.segment.path().to_path_buf()).collect();
    let is_stray = |path: &std::path::PathBuf| path.starts_with("/data/segments") && !live.contains(path);
    env.files().into_iter().filter(|(path, _)| is_stray(path)).count()
}

#[test]
fn a_seal_or_merge_that_fails_leaves_nothing_behind() {
    use crate::env::sim::Fault;
    let base = SimEnv::new(20);
    let engine = open(&base);
    engine.set_config("a", ttl(2)).unwrap();
    for n in 0..2 {
        put(&engine, &base, "a", n * 40..n * 40 + 20);
        put(&engine, &base, "b", n * 40 + 20..n * 40 + 40);
        engine.seal().unwrap();
    }
    put(&engine, &base, "a", 80..90);
    put(&engine, &base, "b", 90..100);
    drop(engine);
    let snapshot = base.snapshot();
    for (name, act) in [("seal", Engine::seal as fn(&Engine) -> crate::error::Result<()>), ("compact", Engine::compact)]
    {
        let mut failures = 0;
        for n in 1.. {
            let env = SimEnv::from_snapshot(&snapshot, n);
            let engine = open(&env);
            env.reset_io_stats();
            env.fail(Fault::nth(n));
            let failed = act(&engine).is_err();
            let struck = env.io_stats().faults > 0;
            env.clear_faults();
            // A commit that failed may have named files: the next one takes it back, and then they go.
            let in_doubt = !locked(&engine.shared_for_tests().doubtful).is_empty();
            assert!(!failed || in_doubt || strays(&env, &engine) == 0, "{name} {n}");
            act(&engine).unwrap();
            engine.shared_for_tests().seal_what_is_due().unwrap();
            assert_eq!(strays(&env, &engine), 0, "{name} {n}");
            failures += u32::from(failed);
            drop(engine);
            env.power_cut();
            env.power_on();
            env.remove_file(Path::new("/data/catalog.redb")).unwrap();
            assert_eq!(shown(&open(&env)), span(0..100), "{name} {n}");
            if !struck {
                break;
            }
        }
        assert!(failures > 20, "{name} {failures}");
    }
}

#[test]
fn what_a_failed_seal_could_not_remove_is_removed_later() {
    use crate::env::sim::{Fault, IoKind};
    let env = SimEnv::new(21);
    let engine = open(&env);
    engine.set_config("a", ttl(2)).unwrap();
    put(&engine, &env, "a", 0..20);
    put(&engine, &env, "b", 20..40);
    // The first of two files is whole when the second fails, and neither can be removed.
    env.fail(Fault::nth(2).under("/data/segments").of(IoKind::Rename));
    env.fail(Fault::nth(1).under("/data/segments").of(IoKind::Remove).forever());
    assert!(engine.seal().is_err());
    assert!(strays(&env, &engine) > 0);
    env.clear_faults();
    engine.seal().unwrap();
    assert_eq!(strays(&env, &engine), 0);
    env.fail(Fault::nth(1).under("/data/segments").of(IoKind::Remove).forever());
    put(&engine, &env, "a", 40..50);
    engine.seal().unwrap();
    engine.compact().unwrap();
    assert!(strays(&env, &engine) > 0);
    env.clear_faults();
    engine.shared_for_tests().seal_what_is_due().unwrap();
    assert_eq!(strays(&env, &engine), 0);
    assert_eq!(shown(&engine), span(0..50));
}

/// A row as the model has it.
#[derive(Clone)]
struct Row {
    service: &'static str,
    number: u32,
    time: i64,
    arrival: i64,
}

#[test]
fn a_plain_vector_with_the_same_life_has_the_same_rows() {
    for seed in 0..6u64 {
        let env = SimEnv::new(100 + seed);
        let mut engine = open(&env);
        let mut model: Vec<Row> = Vec::new();
        let mut days: BTreeMap<&str, Option<i64>> = BTreeMap::new();
        let mut luck = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut roll = |n: u64| {
            luck ^= luck << 13;
            luck ^= luck >> 7;
            luck ^= luck << 17;
            luck % n
        };
        let services = ["a", "b", "c"];
        let mut next = 0;
        for step in 0..120 {
            let service = services[roll(3) as usize];
            match roll(12) {
                0..=3 => {
                    let n = 1 + roll(20) as u32;
                    let late = roll(4) as i64 * DAY_NANOS;
                    let now = env.now();
                    let appended = engine.append(rows(service, next..next + n, |i| now - late + i64::from(i))).unwrap();
                    let found =
                        engine.get(crate::record::RecordId::new(appended.times[0], appended.epoch, appended.first_seq));
                    let arrival = found.unwrap().map_or(now, |record: Record| record.arrival);
                    model.extend((next..next + n).map(|i| Row {
                        service,
                        number: i,
                        time: now - late + i64::from(i),
                        arrival,
                    }));
                    next += n;
                }
                4 | 5 => engine.seal().unwrap(),
                6 => engine.compact().unwrap(),
                7 => drop(engine.retain(false).unwrap()),
                8 => {
                    let ttl_days = [1, 2, 5, TTL_FOREVER][roll(4) as usize];
                    // A longer life brings back only what was not deleted, so the model never lengthens one.
                    let life = (ttl_days > 0).then_some(i64::from(ttl_days));
                    let before = days.get(service).copied().unwrap_or(Some(30));
                    if life.is_some_and(|life| before.is_none_or(|before| life <= before)) {
                        engine.set_config(service, ttl(ttl_days)).unwrap();
                        days.insert(service, life);
                    }
                }
                9 => {
                    let color = roll(3) as usize;
                    let name = ["red", "green", "blue"][color];
                    let until = env.now() - roll(3) as i64 * DAY_NANOS;
                    let search = Search { services: vec![service.into()], until: Some(until), ..kind(name) };
                    let receipt = engine.delete(&search, false).unwrap();
                    let now = env.now();
                    let is_alive = |row: &Row| alive(row, &days, now);
                    let goes =
                        |row: &Row| row.service == service && row.number as usize % 3 == color && row.time <= until;
                    assert_eq!(receipt.rows, model.iter().filter(|row| goes(row) && is_alive(row)).count() as u64);
                    model.retain(|row| !goes(row));
                }
                10 => env.advance(DAY / (1 + roll(4) as u32)),
                _ => {
                    drop(engine);
                    if roll(2) == 0 {
                        env.power_cut();
                        env.power_on();
                    }
                    engine = open(&env);
                }
            }
            let now = env.now();
            model.retain(|row| alive(row, &days, now));
            let mut expected: Vec<u32> = model.iter().map(|row| row.number).collect();
            expected.sort_unstable();
            assert_eq!(shown(&engine), expected, "seed {seed} step {step}");
        }
        engine.seal().unwrap();
        engine.retain(false).unwrap();
        engine.compact().unwrap();
        assert!(engine.pending_deletions().is_empty());
        assert_eq!(engine.troubles(), Vec::<String>::new());
    }
}

fn alive(row: &Row, days: &BTreeMap<&str, Option<i64>>, now: i64) -> bool {
    let life = days.get(row.service).copied().unwrap_or(Some(30));
    life.is_none_or(|days| row.time.max(row.arrival) >= now - days * DAY_NANOS)
}
