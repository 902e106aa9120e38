//! Segments that leave this machine and come back, on a simulated one with a simulated bucket.
use super::*;
use crate::archive::Bucket;
use crate::archive::sim::{BucketFaults, SimBucket};
use crate::batch::BatchBuilder;
use crate::catalog::ServiceConfig;
use crate::engine::{Ack, Append, Engine, Options};
use crate::env::sim::SimEnv;
use crate::scan::Search;
use crate::scan::filter::{Filter, Test};
use std::time::Duration;

mod campaign;
mod leaving;
mod owners;
mod whole;

const START: i64 = 1_780_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn target(name: &str, bucket: &SimBucket) -> Target {
    Target { offload_after: Duration::ZERO, ..Target::new(name, Arc::new(bucket.clone())) }
}

fn open(env: &SimEnv, targets: &[Target]) -> Result<Arc<Engine>> {
    let options = Options {
        background: false,
        wal_file_bytes: 256 << 10,
        archive: targets.to_vec(),
        default_ttl_days: None,
        ..Options::new("/data")
    };
    Engine::open(Arc::new(env.process()), options)
}

fn rows(from: u64, to: u64) -> Append {
    let mut builder = BatchBuilder::new();
    for n in from..to {
        builder.begin_row();
        builder.time(START + n as i64 * SECOND);
        builder.string("service_name", ["web", "db"][n as usize % 2]);
        builder.string("_msg", &format!("request {n} took {} ms", n * 7 % 1000));
        builder.string(
            "trace_id",
            &format!("{:032x}", u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)),
        );
        builder.commit_row();
    }
    Append::new(builder.finish().unwrap(), Ack::Wal)
}

fn shown(engine: &Engine) -> Vec<String> {
    let mut all = Vec::new();
    engine.for_each(|record| all.push(format!("{} {}", record.id(), record.to_json(|_| true)))).unwrap();
    all.sort();
    all
}

fn quiet(_: Offloading) -> Result<()> {
    Ok(())
}

fn all_of_it() -> Restoring {
    Restoring { since: i64::MIN, before: i64::MAX, service: None, ttl: Duration::from_secs(3_600) }
}

/// The objects of segments.
fn segments_in(bucket: &SimBucket) -> Vec<String> {
    bucket.names().into_iter().filter(|name| name.starts_with("segments/")).collect()
}

fn phrase(text: &str) -> Search {
    Search { filter: Filter::Field("_msg".into(), Test::phrase(text, true)), ..Search::default() }
}

/// The file of every segment that is on the disk.
fn files(env: &SimEnv) -> Vec<PathBuf> {
    let all = env.files().into_iter().map(|(path, _)| path);
    all.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect()
}

#[test]
fn rows_are_the_same_here_and_away_and_back_again() {
    let (env, bucket) = (SimEnv::new(1), SimBucket::new());
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    engine.append(rows(0, 900)).unwrap();
    engine.seal().unwrap();
    engine.append(rows(900, 1_000)).unwrap();
    let all = shown(&engine);
    let report = engine.offload(false, &mut quiet).unwrap();
    assert_eq!((report.segments, report.evicted, report.failed.len()), (2, 0, 0));
    assert_eq!(segments_in(&bucket).len(), 2);
    assert_eq!(engine.offload(false, &mut quiet).unwrap().segments, 0, "what is there is not sent again");
    let before = bucket.gets();
    assert_eq!(shown(&engine), all);
    assert_eq!(bucket.gets(), before, "what is here is read here");

    assert_eq!(engine.offload(true, &mut quiet).unwrap().evicted, 2);
    assert_eq!(files(&env), Vec::<PathBuf>::new());
    assert_eq!(engine.stats().unwrap().segment_bytes, 0);
    assert_eq!(shown(&engine), all);
    assert!(bucket.gets() > before);
    engine.append(rows(1_000, 1_010)).unwrap();
    let (found, stats) = engine.search_with(&phrase("request 42"), &crate::scan::Control::default()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(stats.bucket_gets, 0, "what was fetched a moment ago is kept");

    engine.close().unwrap();
    drop(engine);
    let engine = open(&env, &targets).unwrap();
    assert_eq!(engine.troubles(), Vec::<String>::new());
    let (found, stats) = engine.search_with(&phrase("request 42"), &crate::scan::Control::default()).unwrap();
    assert_eq!(found.len(), 1);
    assert!(stats.bucket_gets > 0 && stats.bucket_gets < 4 && stats.bucket_bytes > 0, "{stats:?}");
    assert_eq!(shown(&engine).len(), 1_010);
    let status = engine.archive_status();
    assert_eq!((status.away.0, status.restored.0, status.targets[0].segments, status.targets[0].waiting), (2, 0, 2, 1));

    let restored = engine.restore(&all_of_it(), &mut |_, _| Ok(())).unwrap();
    assert_eq!((restored.segments, restored.rows), (2, 1_000));
    assert_eq!(files(&env).len(), 3);
    let before = bucket.gets();
    assert_eq!(shown(&engine).len(), 1_010, "what is back counts once");
    assert_eq!(bucket.gets(), before);
    assert_eq!(engine.restore(&all_of_it(), &mut |_, _| Ok(())).unwrap().here, 2);
    // Back for a while, segments are left as they are.
    engine.compact().unwrap();
    assert_eq!(engine.archive_status().restored.0, 2);
    env.advance(Duration::from_secs(7_200));
    engine.shared_for_tests().expire_restored().unwrap();
    assert_eq!(engine.archive_status().away.0, 2);
    assert_eq!(shown(&engine).len(), 1_010);
}

#[test]
fn a_copy_that_is_gone_is_made_again_before_the_file_goes() {
    let (env, bucket) = (SimEnv::new(10), SimBucket::new());
    let engine = open(&env, &[target("main", &bucket)]).unwrap();
    engine.append(rows(0, 300)).unwrap();
    engine.offload(false, &mut quiet).unwrap();
    let object = segments_in(&bucket).remove(0);
    Bucket::remove(&bucket, &object).unwrap();
    assert_eq!(engine.offload(true, &mut quiet).unwrap().evicted, 0);
    assert_eq!((files(&env).len(), shown(&engine).len()), (1, 300));
    assert!(engine.archive_status().targets[0].trouble.as_ref().is_some_and(|e| e.contains("is gone")));
    let report = engine.offload(true, &mut quiet).unwrap();
    assert_eq!((report.segments, report.evicted, files(&env).len()), (1, 1, 0));
    assert_eq!(shown(&engine).len(), 300);
}

#[test]
fn a_place_that_lost_everything_is_not_taken_for_an_empty_one() {
    let (env, bucket) = (SimEnv::new(11), SimBucket::new());
    let engine = open(&env, &[target("main", &bucket)]).unwrap();
    engine.append(rows(0, 300)).unwrap();
    engine.offload(false, &mut quiet).unwrap();
    bucket.names().iter().for_each(|name| Bucket::remove(&bucket, name).unwrap());
    engine.append(rows(300, 400)).unwrap();
    let report = engine.offload(true, &mut quiet).unwrap();
    assert_eq!((report.segments, report.evicted, bucket.names().len()), (0, 0, 0));
    let trouble = engine.archive_status().targets.remove(0).trouble.unwrap();
    assert!(trouble.contains("is gone") && trouble.contains("take-over"), "{trouble}");
    // Where that is said to be right, everything is copied again before any file goes.
    engine.take_over("main").unwrap();
    engine.offload(true, &mut quiet).unwrap();
    assert_eq!(engine.offload(true, &mut quiet).unwrap().failed, Vec::<String>::new());
    assert_eq!((segments_in(&bucket).len(), files(&env).len(), shown(&engine).len()), (2, 0, 400));
}

#[test]
fn several_are_copied_at_once_where_somebody_waits() {
    let (env, bucket) = (SimEnv::new(3), SimBucket::new());
    let engine = open(&env, &[Target { at_once: 3, ..target("main", &bucket) }]).unwrap();
    for from in 0..10 {
        engine.append(rows(from * 100, from * 100 + 100)).unwrap();
        engine.seal().unwrap();
    }
    bucket.fail(BucketFaults { is_out: true, ..BucketFaults::default() });
    let report = engine.offload(true, &mut quiet).unwrap();
    assert!(report.segments == 0 && (1..=3).contains(&report.failed.len()), "{report:?}");
    bucket.fail(BucketFaults::default());
    let mut last = Offloading { done: 0, total: 0 };
    let mut told = |at: Offloading| {
        assert!(at.done >= last.done && at.done <= at.total);
        last = at;
        Ok(())
    };
    let report = engine.offload(true, &mut told).unwrap();
    assert_eq!((report.segments, report.evicted, report.failed.len()), (10, 10, 0));
    assert!(last.done == last.total && last.total == report.bytes);
    assert_eq!((segments_in(&bucket).len(), shown(&engine).len()), (10, 1_000));
}

#[test]
fn heads_of_blocks_stay_here_and_are_compared_with_their_checksums() {
    let (env, bucket) = (SimEnv::new(4), SimBucket::new());
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    engine.append(rows(0, 900)).unwrap();
    let all = shown(&engine);
    engine.offload(true, &mut quiet).unwrap();
    engine.close().unwrap();
    drop(engine);
    let counted = |engine: &Engine| engine.count_with(&Search::default(), &crate::scan::Control::default()).unwrap();
    let engine = open(&env, &targets).unwrap();
    let (count, stats) = counted(&engine);
    assert_eq!((count, stats.bucket_gets), (900, 0), "what it takes is here");
    let kept = engine.archive_status().index_bytes;
    engine.close().unwrap();
    drop(engine);
    let index = env.files().into_iter().find(|(path, _)| path.extension().is_some_and(|e| e == "index")).unwrap();
    assert_eq!(index.1, kept);
    // Heads are the last of it.
    env.flip_bit(&index.0, kept - 3, 1).unwrap();
    let engine = open(&env, &targets).unwrap();
    let (count, stats) = counted(&engine);
    assert!(count == 900 && stats.bucket_gets > 0, "{stats:?}");
    assert_eq!(shown(&engine), all);
    engine.close().unwrap();
    drop(engine);
    // Without them, as where it was fetched again.
    env.remove_file(&index.0).unwrap();
    let engine = open(&env, &targets).unwrap();
    assert_eq!(engine.search_with(&phrase("request 42"), &crate::scan::Control::default()).unwrap().0.len(), 1);
    assert!((1..kept).contains(&engine.archive_status().index_bytes));
    assert_eq!(shown(&engine), all);
}

#[test]
fn only_what_is_asked_for_is_brought_back() {
    let (env, bucket) = (SimEnv::new(2), SimBucket::new());
    let engine = open(&env, &[target("main", &bucket)]).unwrap();
    for from in [0, 100, 200] {
        engine.append(rows(from, from + 100)).unwrap();
        engine.seal().unwrap();
    }
    engine.offload(true, &mut quiet).unwrap();
    let range = |since: i64, before: i64| Restoring {
        since: START + since * SECOND,
        before: START + before * SECOND,
        ..all_of_it()
    };
    assert_eq!(engine.restore(&range(150, 200), &mut |_, _| Ok(())).unwrap().segments, 1);
    let other = Restoring { service: Some("none".into()), ..all_of_it() };
    assert_eq!(engine.restore(&other, &mut |_, _| Ok(())).unwrap().segments, 0);
    assert_eq!(engine.restore(&range(0, 1), &mut |_, _| Ok(())).unwrap().segments, 1);
    assert_eq!(engine.archive_status().away.0, 1);
}

#[test]
fn a_bucket_that_is_out_is_said_and_nothing_is_lost() {
    let (env, bucket) = (SimEnv::new(3), SimBucket::new());
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    engine.append(rows(0, 300)).unwrap();
    let all = shown(&engine);
    bucket.fail(BucketFaults { is_out: true, ..BucketFaults::default() });
    let report = engine.offload(true, &mut quiet).unwrap();
    assert_eq!((report.segments, report.evicted, report.failed.len()), (0, 0, 1));
    assert!(engine.archive_status().targets[0].trouble.as_ref().is_some_and(|e| e.contains("does not answer")));
    assert_eq!(shown(&engine), all);
    bucket.fail(BucketFaults::default());
    engine.offload(true, &mut quiet).unwrap();
    assert_eq!(engine.archive_status().targets[0].trouble, None);
    drop(engine);
    bucket.fail(BucketFaults { is_out: true, ..BucketFaults::default() });
    // What finds things is here: a start needs no bucket, and whoever reads what is away is told.
    let engine = open(&env, &targets).unwrap();
    assert_eq!(engine.troubles(), Vec::<String>::new());
    let e = engine.search(&phrase("request 42")).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    let e = engine.restore(&all_of_it(), &mut |_, _| Ok(())).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    let calls = bucket.calls();
    assert_eq!(engine.search(&phrase("request 42")).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bucket.calls(), calls, "what failed a moment ago is not waited for again");
    bucket.fail(BucketFaults::default());
    env.advance(Duration::from_secs(10));
    assert_eq!(shown(&engine), all);
}

#[test]
fn what_does_not_arrive_as_it_was_sent_is_sent_again_and_never_evicted() {
    let (env, bucket) = (SimEnv::new(4), SimBucket::new());
    let engine = open(&env, &[target("main", &bucket)]).unwrap();
    engine.append(rows(0, 300)).unwrap();
    bucket.fail(BucketFaults { garbled: 1, ..BucketFaults::default() });
    let report = engine.offload(true, &mut quiet).unwrap();
    assert_eq!((report.segments, report.evicted), (1, 1));
    engine.append(rows(300, 600)).unwrap();
    bucket.fail(BucketFaults { garbled: 9, ..BucketFaults::default() });
    let report = engine.offload(true, &mut quiet).unwrap();
    // Neither the segment nor the manifest.
    assert_eq!((report.segments, report.evicted, report.failed.len()), (0, 0, 2));
    assert_eq!(files(&env).len(), 1);
}

#[test]
fn a_file_that_is_lost_here_is_read_from_the_archive() {
    let (env, bucket) = (SimEnv::new(5), SimBucket::new());
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    engine.append(rows(0, 300)).unwrap();
    let all = shown(&engine);
    engine.offload(false, &mut quiet).unwrap();
    drop(engine);
    let file = files(&env).remove(0);
    let bytes = env.read_raw(&file).unwrap();
    // In its footer, so that it cannot be opened.
    env.flip_bit(&file, bytes.len() as u64 - 20, 3).unwrap();
    let engine = open(&env, &targets).unwrap();
    assert!(engine.troubles().iter().any(|what| what.contains("read from the archive from now on")));
    assert_eq!(shown(&engine), all);
    drop(engine);
    let engine = open(&env, &targets).unwrap();
    assert_eq!((engine.troubles(), shown(&engine)), (Vec::new(), all));
}

#[test]
fn what_is_away_is_known_also_where_the_catalog_is_lost() {
    let (env, bucket) = (SimEnv::new(6), SimBucket::new());
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    engine.append(rows(0, 300)).unwrap();
    engine.offload(true, &mut quiet).unwrap();
    engine.append(rows(300, 400)).unwrap();
    engine.seal().unwrap();
    let all = shown(&engine);
    engine.close().unwrap();
    drop(engine);
    env.process().remove_file(std::path::Path::new("/data/catalog.redb")).unwrap();
    let engine = open(&env, &targets).unwrap();
    let known = |all: &[String]| all.iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>();
    let (mut found, mut wanted) = (known(&shown(&engine)), known(&all));
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    assert_eq!(engine.archive_status().away.0, 1);
    // Without a catalog nobody can tell it from a copy of it, which waits. What was in the archive is not sent again.
    env.advance(Duration::from_secs(11 * 60));
    assert_eq!(engine.offload(false, &mut quiet).unwrap().segments, 1);
}

#[test]
fn what_is_damaged_in_one_target_is_read_from_another() {
    let (env, first, second) = (SimEnv::new(10), SimBucket::new(), SimBucket::new());
    let targets = [target("first", &first), target("second", &second)];
    let engine = open(&env, &targets).unwrap();
    engine.append(rows(0, 2_000)).unwrap();
    let all = shown(&engine);
    assert_eq!(engine.offload(true, &mut quiet).unwrap().evicted, 1);
    let asked = second.gets();
    first.damage(&segments_in(&first)[0], 1_000);
    assert_eq!(shown(&engine), all);
    assert!(second.gets() > asked);
    assert_eq!(engine.troubles(), Vec::<String>::new());
}

#[test]
fn what_does_not_come_as_it_was_stored_is_not_lost() {
    let (env, bucket) = (SimEnv::new(11), SimBucket::new());
    let engine = open(&env, &[target("main", &bucket)]).unwrap();
    engine.append(rows(0, 2_000)).unwrap();
    let all = shown(&engine);
    engine.offload(true, &mut quiet).unwrap();
    let object = segments_in(&bucket).remove(0);
    bucket.damage(&object, 1_000);
    let e = engine.for_each(|_| {}).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    assert_eq!(engine.troubles(), Vec::<String>::new());
    // It comes as it was stored again.
    bucket.damage(&object, 1_000);
    assert_eq!(shown(&engine), all);
}

#[test]
fn what_expires_away_is_condemned_there() {
    let (env, bucket) = (SimEnv::new(7), SimBucket::new());
    env.set_now(START);
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    engine.append(rows(0, 300)).unwrap();
    engine.offload(true, &mut quiet).unwrap();
    for service in ["web", "db"] {
        engine.set_config(service, ServiceConfig { ttl_days: 1, ..ServiceConfig::default() }).unwrap();
    }
    env.advance(Duration::from_secs(3 * 86_400));
    engine.retain(false).unwrap();
    assert_eq!(shown(&engine), Vec::<String>::new());
    assert_eq!(engine.archive_status().away.0, 0);
    let state = engine.shared_for_tests().catalog.load().unwrap();
    assert_eq!((state.archived.len(), state.condemned.len()), (0, 1));
    assert_eq!(state.condemned[0].object, segments_in(&bucket)[0]);
    let is_of_segment = |path: &PathBuf| path.starts_with("/data/cold") && !path.ends_with("main.manifest");
    assert!(env.files().iter().all(|(path, _)| !is_of_segment(path)), "{:?}", env.files());
}

/// Does something with the power cut at each of its steps, one after the other; after each cut all rows are there, and it
/// comes to its end when it is done again. Gives how many steps there are.
fn cut_everywhere(seed: u64, prepare: fn(&Engine), act: fn(&Engine) -> Result<()>) -> u64 {
    for step in 1.. {
        let (env, bucket) = (SimEnv::new(seed + step), SimBucket::new());
        let targets = [target("main", &bucket)];
        let engine = open(&env, &targets).unwrap();
        engine.append(rows(0, 200)).unwrap();
        engine.seal().unwrap();
        engine.append(rows(200, 250)).unwrap();
        prepare(&engine);
        let all = shown(&engine);
        env.cut_at_io(step);
        let done = act(&engine);
        drop(engine);
        if env.is_powered() {
            env.cancel_cut();
            done.unwrap();
            return step;
        }
        env.power_on();
        let engine = open(&env, &targets).unwrap();
        assert_eq!(shown(&engine), all, "step {step}");
        act(&engine).unwrap();
        assert_eq!(shown(&engine), all, "step {step}");
        engine.close().unwrap();
        drop(engine);
        let engine = open(&env, &targets).unwrap();
        assert_eq!((engine.troubles(), shown(&engine)), (Vec::new(), all), "step {step}");
        // Once all times of grace are over, what the catalog names is there and nothing else.
        for _ in 0..3 {
            env.advance(Duration::from_secs(2 * 86_400));
            engine.offload(false, &mut quiet).unwrap();
            engine.collect(false).unwrap();
        }
        let archived = engine.shared_for_tests().catalog.load().unwrap().archived;
        let mut named: Vec<String> = archived.into_iter().map(|mut record| record.copies.remove(0).object).collect();
        named.sort();
        assert_eq!(segments_in(&bucket), named, "step {step}");
    }
    0
}

#[test]
fn a_power_cut_at_any_step_of_leaving_loses_nothing() {
    let steps = cut_everywhere(1_000, |_| {}, |engine| engine.offload(true, &mut quiet).map(drop));
    assert!(steps > 40, "{steps}");
}

#[test]
fn a_power_cut_at_any_step_of_coming_back_loses_nothing() {
    let away = |engine: &Engine| drop(engine.offload(true, &mut quiet).unwrap());
    let steps = cut_everywhere(2_000, away, |engine| engine.restore(&all_of_it(), &mut |_, _| Ok(())).map(drop));
    assert!(steps > 20, "{steps}");
}

#[test]
#[ignore = "takes minutes: LOGYARD_CRASHES says how many, LOGYARD_SEED where to begin"]
fn crashes_at_every_step_in_full() {
    let number = |name: &str, otherwise| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise);
    let (wanted, mut seed) = (number("LOGYARD_CRASHES", 2_000), number("LOGYARD_SEED", 100_000));
    let away = |engine: &Engine| drop(engine.offload(true, &mut quiet).unwrap());
    let (mut leaving, mut back) = (0, 0);
    while leaving < wanted || back < wanted {
        leaving += cut_everywhere(seed, |_| {}, |engine| engine.offload(true, &mut quiet).map(drop));
        back += cut_everywhere(seed + 500, away, |engine| engine.restore(&all_of_it(), &mut |_, _| Ok(())).map(drop));
        seed += 1_000;
    }
    println!("{leaving} crashes while segments left, {back} while they came back");
}

#[test]
fn a_bucket_that_falls_silent_at_any_call_leaves_nothing_behind_that_counts() {
    for last in 0.. {
        let (env, bucket) = (SimEnv::new(9), SimBucket::new());
        let targets = [target("main", &bucket)];
        let engine = open(&env, &targets).unwrap();
        engine.append(rows(0, 200)).unwrap();
        let all = shown(&engine);
        bucket.fail(BucketFaults { lost_after: Some(last), ..BucketFaults::default() });
        let report = engine.offload(true, &mut quiet).unwrap();
        let calls = bucket.calls();
        bucket.fail(BucketFaults::default());
        env.advance(Duration::from_secs(10));
        assert_eq!(shown(&engine), all);
        assert_eq!(engine.offload(true, &mut quiet).unwrap().evicted + report.evicted, 1);
        assert_eq!((segments_in(&bucket).len(), shown(&engine)), (1, all));
        if calls <= last {
            assert!(report.failed.is_empty() && last > 2);
            return;
        }
    }
}
