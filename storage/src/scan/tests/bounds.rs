//! Searches that are cancelled, that would hold too much, and that use several threads.
use super::{append, lines, of_field, open};
use crate::engine::{Cancel, Control, Engine, Options, Search};
use crate::env::sim::SimEnv;
use crate::error::ErrorKind;
use crate::record::Record;
use crate::scan::columns::View;
use crate::scan::filter::{Filter, Test};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn with_threads(env: &SimEnv, threads: usize) -> Arc<Engine> {
    let options = Options { background: false, scan_threads: Some(threads), ..Options::new("/data") };
    Engine::open(Arc::new(env.process()), options).unwrap()
}

/// Several segments and some rows that are not sealed.
fn fill(engine: &Engine) {
    for (number, texts) in lines(2_400).chunks(400).enumerate() {
        append(engine, texts);
        if number < 5 {
            engine.seal().unwrap();
        }
    }
}

#[test]
fn many_threads_find_what_one_finds() {
    let env = SimEnv::new(3);
    let engine = with_threads(&env, 1);
    fill(&engine);
    let mut all: Vec<Record> = Vec::new();
    engine.for_each(|record| all.push(record)).unwrap();
    all.sort_by_key(|record| std::cmp::Reverse((record.time, record.seq)));
    let filters = [
        Filter::All,
        Filter::Field("_msg".into(), Test::phrase("failed", false)),
        Filter::Field("_msg".into(), Test::Substring("ail".into())),
        Filter::Field("n".into(), Test::exact("3")),
        Filter::Field("_msg".into(), Test::phrase("nowhere", false)),
    ];
    drop(engine);
    for threads in [1, 2, 5] {
        let engine = with_threads(&env, threads);
        for filter in &filters {
            let expected: Vec<&Record> = all.iter().filter(|record| super::passes(filter, record)).collect();
            for (offset, limit) in [(0, 1), (0, 7), (3, 50), (0, 5_000), (1_000, 1)] {
                let search = Search { filter: filter.clone(), offset, limit, ..Search::default() };
                let found = engine.search(&search).unwrap();
                let wanted = expected.iter().copied().skip(offset).take(limit);
                assert!(found.iter().eq(wanted), "{filter:?} {offset} {limit} on {threads}");
            }
            let search = Search { filter: filter.clone(), ..Search::default() };
            assert_eq!(engine.count(&search).unwrap(), expected.len() as u64, "{filter:?} on {threads}");
        }
        for record in all.iter().step_by(101) {
            assert_eq!(engine.get(record.id()).unwrap().as_ref(), Some(record));
        }
    }
}

#[test]
fn a_cancelled_search_ends_before_its_next_block() {
    let env = SimEnv::new(4);
    let engine = with_threads(&env, 1);
    fill(&engine);
    let control = Control::default();
    let views = AtomicUsize::new(0);
    let count = |_: &mut (), _: &View<'_>| {
        views.fetch_add(1, Ordering::Relaxed);
        control.cancel.cancel();
        Ok(())
    };
    let e = engine.fold(&Search::default(), &control, || (), count).unwrap_err();
    assert_eq!((e.kind(), views.load(Ordering::Relaxed)), (ErrorKind::Cancelled, 1));
    let cancelled = Control { cancel: control.cancel.clone(), ..Control::default() };
    assert_eq!(engine.count_with(&Search::default(), &cancelled).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(engine.search_with(&Search::default(), &cancelled).unwrap_err().kind(), ErrorKind::Cancelled);
    let other = Control { cancel: Cancel::default(), ..cancelled };
    assert_eq!(engine.count_with(&Search::default(), &other).unwrap().0, 2_400);
}

#[test]
fn a_search_that_would_hold_too_much_says_so() {
    let env = SimEnv::new(5);
    let engine = open(&env, usize::MAX, 1 << 24);
    fill(&engine);
    let of = |bytes| Control { bytes_max: Some(bytes), ..Control::default() };
    let everything = Search { limit: usize::MAX, ..Search::default() };
    // Rows that are kept.
    let e = engine.search_with(&everything, &of(500_000)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Budget);
    assert!(e.to_string().contains("500000 bytes") && e.to_string().contains("query.max_memory"), "{e}");
    assert_eq!(engine.search_with(&everything, &of(50_000_000)).unwrap().0.len(), 2_400);
    let few = Search { limit: 10, ..Search::default() };
    assert_eq!(engine.search_with(&few, &of(500_000)).unwrap().0.len(), 10);
    // Columns that are read: what was read of one block is not held when the next one is.
    let look = of_field("_msg", Test::Substring("7".into()));
    let e = engine.count_with(&look, &of(1_000)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Budget);
    let counted = engine.count(&look).unwrap();
    assert_eq!(engine.count_with(&look, &of(200_000)).unwrap().0, counted);
    // What one test has read is not held while the next one reads.
    let many = Search { filter: Filter::Or(vec![look.filter.clone(); 400]), ..look };
    let (rows, stats) = engine.count_with(&many, &of(1_000_000)).unwrap();
    assert_eq!(rows, counted);
    assert!(stats.code_bytes + stats.value_bytes > 1_000_000, "{stats:?}");
}
