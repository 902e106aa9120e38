//! Power cuts and failing calls at every step of maintenance.
use super::{DAY, HOUR, kind, on_disk, open, put, shown, span, ttl};
use crate::engine::{Engine, locked};
use crate::env::Env;
use crate::env::sim::SimEnv;
use std::path::Path;
use std::sync::Arc;

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
