//! Damaged blocks and indexes, the scrubber, and what indexes take of the cache.
use super::{DAY, kind, open, put, segment_files, shown, span};
use crate::batch::{BatchBuilder, Stream};
use crate::engine::{Ack, Append, Engine, Search};
use crate::env::sim::SimEnv;
use crate::scan::filter::{Filter, Test};
use std::sync::Arc;

/// A store with fifty rows on each of two days, sealed day by day.
fn two_days(seed: u64) -> (SimEnv, Arc<Engine>) {
    let env = SimEnv::new(seed);
    let engine = open(&env);
    put(&engine, &env, "web", 0..50);
    engine.seal().unwrap();
    env.advance(DAY);
    put(&engine, &env, "web", 50..100);
    engine.seal().unwrap();
    (env, engine)
}

#[test]
fn a_damaged_block_is_named_and_the_rest_is_served() {
    let (env, engine) = two_days(14);
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
    let (env, engine) = two_days(15);
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
