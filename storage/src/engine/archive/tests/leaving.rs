//! When segments are copied by themselves, when they leave this disk, and when objects leave the bucket.
use super::super::mover::Errands;
use super::*;
use crate::archive::Bucket;
use crate::options::DiskBudget;

fn look(engine: &Engine, errands: &mut Errands) {
    errands.look(engine.shared_for_tests());
}

/// Looks again after so long.
fn look_after(env: &SimEnv, engine: &Engine, errands: &mut Errands, seconds: u64) {
    env.advance(Duration::from_secs(seconds));
    look(engine, errands);
}

#[test]
fn segments_are_copied_when_they_are_old_enough() {
    let (env, bucket) = (SimEnv::new(41), SimBucket::new());
    env.set_now(START);
    let targets = [Target { offload_after: Duration::from_secs(600), ..target("main", &bucket) }];
    let engine = open(&env, &targets).unwrap();
    let mut errands = Errands::default();
    engine.append(rows(0, 100)).unwrap();
    engine.seal().unwrap();
    look_after(&env, &engine, &mut errands, 300);
    assert_eq!(segments_in(&bucket).len(), 0);
    assert!(engine.archive_status().targets[0].oldest_waiting.is_some_and(|at| at - START < SECOND));
    look_after(&env, &engine, &mut errands, 301);
    assert_eq!(segments_in(&bucket).len(), 1);
    let status = engine.archive_status().targets.remove(0);
    assert_eq!((status.waiting, status.oldest_waiting, status.trouble), (0, None, None));
    assert!(status.manifest.is_some() && status.below == 100);
}

#[test]
fn rows_are_sealed_and_copied_before_too_many_could_be_lost() {
    let (env, bucket) = (SimEnv::new(42), SimBucket::new());
    let targets = [Target {
        max_loss: Some(Duration::from_secs(60)),
        offload_after: Duration::from_secs(600),
        ..target("main", &bucket)
    }];
    let engine = open(&env, &targets).unwrap();
    let mut errands = Errands::default();
    engine.append(rows(0, 100)).unwrap();
    look_after(&env, &engine, &mut errands, 29);
    assert_eq!(segments_in(&bucket).len(), 0);
    look_after(&env, &engine, &mut errands, 1);
    assert_eq!(segments_in(&bucket).len(), 1);
    assert_eq!(engine.archive_status().targets[0].below, 100);
}

#[test]
fn whoever_waits_for_the_archive_is_answered_when_it_has_the_records() {
    let (env, bucket) = (SimEnv::new(43), SimBucket::new());
    let targets = [Target { offload_after: Duration::from_secs(600), ..target("main", &bucket) }];
    let engine = open(&env, &targets).unwrap();
    let mut errands = Errands::default();
    engine.append(rows(0, 100)).unwrap();
    let wait = engine.want_archived().unwrap();
    look(&engine, &mut errands);
    assert!(!wait.is_there() && segments_in(&bucket).is_empty(), "others may come in the same second");
    look_after(&env, &engine, &mut errands, 1);
    assert!(wait.is_there() && segments_in(&bucket).len() == 1);
    engine.append(rows(100, 200)).unwrap();
    let next = engine.want_archived().unwrap();
    drop(wait);
    bucket.fail(BucketFaults { is_out: true, ..BucketFaults::default() });
    look_after(&env, &engine, &mut errands, 2);
    assert!(!next.is_there(), "nobody has confirmed it");
    bucket.fail(BucketFaults::default());
    look_after(&env, &engine, &mut errands, 10);
    assert!(next.is_there() && segments_in(&bucket).len() == 2);
    drop(next);
    engine.append(rows(200, 300)).unwrap();
    look_after(&env, &engine, &mut errands, 10);
    assert_eq!(segments_in(&bucket).len(), 2, "nobody waits any more");
    let none = open(&SimEnv::new(44), &[]).unwrap();
    assert!(none.want_archived().is_err_and(|e| e.kind() == ErrorKind::Invalid));
}

#[test]
fn records_leave_this_disk_when_their_days_here_are_over() {
    let (env, bucket) = (SimEnv::new(45), SimBucket::new());
    env.set_now(START);
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    let days = |local_days| ServiceConfig { local_days: Some(local_days), ..ServiceConfig::default() };
    engine.set_config("web", days(1)).unwrap();
    engine.set_config("db", days(3)).unwrap();
    let keeps_nothing = ServiceConfig { archive: false, ..days(1) };
    assert!(
        engine.set_config("other", keeps_nothing).is_err_and(|e| e.to_string().contains("local_days needs an archive"))
    );
    engine.append(rows(0, 100)).unwrap();
    engine.seal().unwrap();
    let mut errands = Errands::default();
    look(&engine, &mut errands);
    assert_eq!((segments_in(&bucket).len(), files(&env).len()), (2, 2));
    look_after(&env, &engine, &mut errands, 86_400 + 200);
    assert_eq!(files(&env).len(), 1);
    look_after(&env, &engine, &mut errands, 2 * 86_400);
    assert_eq!(files(&env).len(), 0);
    assert_eq!(shown(&engine).len(), 100);
    engine.restore(&Restoring { ttl: Duration::from_secs(3_600), ..all_of_it() }, &mut |_, _| Ok(())).unwrap();
    look_after(&env, &engine, &mut errands, 3_000);
    assert_eq!(files(&env).len(), 2, "what was brought back stays for as long as was asked for");
    look_after(&env, &engine, &mut errands, 700);
    assert_eq!(files(&env).len(), 0);
}

#[test]
fn a_full_disk_lets_go_first_of_what_is_in_the_archive() {
    let (env, bucket) = (SimEnv::new(46), SimBucket::new());
    let options = |budget| Options {
        background: false,
        wal_file_bytes: 256 << 10,
        archive: vec![target("main", &bucket)],
        default_ttl_days: None,
        disk_budget: Some(DiskBudget::Bytes(budget)),
        ..Options::new("/data")
    };
    let engine = Engine::open(Arc::new(env.process()), options(1 << 30)).unwrap();
    for from in [0, 1_000, 2_000] {
        engine.append(rows(from, from + 1_000)).unwrap();
        engine.seal().unwrap();
    }
    engine.offload(false, &mut quiet).unwrap();
    let sizes: u64 = engine.stats().unwrap().segment_bytes;
    engine.close().unwrap();
    drop(engine);
    let engine = Engine::open(Arc::new(env.process()), options(sizes)).unwrap();
    engine.append(rows(3_000, 3_001)).unwrap();
    assert_eq!(files(&env).len(), 2, "the oldest one left, and appends go on");
    assert_eq!(shown(&engine).len(), 3_001);
    bucket.fail(BucketFaults { is_out: true, ..BucketFaults::default() });
    engine.append(rows(3_001, 3_002)).unwrap();
}

#[test]
fn what_was_merged_is_copied_before_the_bucket_lets_go_of_what_it_replaced() {
    let (env, bucket) = (SimEnv::new(47), SimBucket::new());
    env.set_now(START);
    let targets = [Target { offload_after: Duration::from_secs(600), ..target("main", &bucket) }];
    let engine = open(&env, &targets).unwrap();
    let mut errands = Errands::default();
    for from in [0, 100, 200, 300] {
        engine.append(rows(from, from + 100)).unwrap();
        engine.seal().unwrap();
    }
    look_after(&env, &engine, &mut errands, 700);
    let small = segments_in(&bucket);
    assert_eq!(small.len(), 4);
    engine.compact().unwrap();
    assert_eq!(engine.stats().unwrap().segments, 1);
    // It is young, and goes there at once all the same: the bucket would lose its rows otherwise.
    look_after(&env, &engine, &mut errands, 40);
    assert_eq!(segments_in(&bucket).len(), 5);
    look_after(&env, &engine, &mut errands, 3_000);
    assert_eq!(segments_in(&bucket).len(), 5, "their time of grace is not over");
    look_after(&env, &engine, &mut errands, 1_000);
    let left = segments_in(&bucket);
    assert_eq!(left.len(), 1);
    assert!(!small.contains(&left[0]));
    assert_eq!(engine.shared_for_tests().catalog.load().unwrap().condemned.len(), 0);
    assert_eq!(shown(&engine).len(), 400);
}

#[test]
fn what_nobody_knows_of_goes_when_it_is_a_day_old() {
    let (env, bucket) = (SimEnv::new(48), SimBucket::new());
    env.set_now(START);
    let engine = open(&env, &[target("main", &bucket)]).unwrap();
    engine.append(rows(0, 100)).unwrap();
    engine.offload(false, &mut quiet).unwrap();
    let object = "segments/2026-01-01/aa.seg";
    bucket
        .put_new(object, 3, &|_, buf| {
            buf.copy_from_slice(b"old");
            Ok(())
        })
        .unwrap();
    let report = engine.collect(true).unwrap();
    assert_eq!((report.orphans, report.waiting), (0, 1));
    env.advance(Duration::from_secs(86_401));
    let report = engine.collect(true).unwrap();
    assert_eq!((report.dry_run, report.orphans, report.orphan_bytes), (true, 1, 3));
    assert_eq!(report.objects, vec![format!("sim:///{object}")]);
    assert_eq!(segments_in(&bucket).len(), 2);
    assert_eq!(engine.collect(false).unwrap().orphans, 1);
    assert_eq!(segments_in(&bucket).len(), 1);
    assert_eq!(engine.collect(false).unwrap(), CollectReport::default());
}

#[test]
fn what_is_over_a_budget_leaves_this_disk_and_stays_in_the_archive() {
    let (env, bucket) = (SimEnv::new(49), SimBucket::new());
    let engine = open(&env, &[target("main", &bucket)]).unwrap();
    for from in [0, 1_000, 2_000] {
        engine.append(rows(from, from + 1_000)).unwrap();
        engine.seal().unwrap();
    }
    let here = engine.service_bytes("web").unwrap();
    let config = ServiceConfig { size_budget: Some(here * 2 / 3), ..ServiceConfig::default() };
    engine.set_config("web", config).unwrap();
    // What is to go to the archive waits for it.
    let report = engine.retain(false).unwrap();
    assert_eq!((report.segments_removed, report.segments_rewritten, files(&env).len()), (0, 0, 3));
    engine.offload(false, &mut quiet).unwrap();
    let report = engine.retain(false).unwrap();
    assert_eq!((report.segments_removed, report.segments_rewritten), (0, 0));
    assert_eq!((files(&env).len(), engine.archive_status().away.0), (2, 1));
    assert_eq!(shown(&engine).len(), 3_000);
    // What is away counts no more.
    engine.retain(false).unwrap();
    assert_eq!(files(&env).len(), 2);
}
