//! Budgets of services and of the disk.
use super::super::worker::Chores;
use super::{DAY, numbers, on_disk, open, open_with, options, put, rows, shown, span, ttl};
use crate::catalog::{ServiceConfig, TTL_FOREVER};
use crate::engine::Options;
use crate::env::Env;
use crate::env::sim::SimEnv;
use crate::error::ErrorKind;
use crate::options::{DiskBudget, WhenFull};
use std::path::Path;
use std::time::Duration;

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
fn budgets_are_kept_after_each_seal_and_summaries_say_what_went() {
    let env = SimEnv::new(23);
    let engine = open(&env);
    engine.set_config("big", ServiceConfig { size_budget: Some(0), ..ttl(0) }).unwrap();
    let shared = engine.shared_for_tests();
    let mut chores = Chores::new(shared, std::sync::Arc::default());
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
