//! Manifests, and directories that are made anew from what is in a bucket.
use super::super::mover::Errands;
use super::super::offload::Haste;
use super::*;
use crate::archive::Bucket;
use crate::catalog::KeyRecord;
use crate::payload::Effect;

fn with_checkpoint(append: Append, at: &str) -> Append {
    let effect = |key: &[u8]| Effect { key: key.to_vec(), value: Some(at.into()), expires: None };
    let once = format!("once/{at}");
    Append { effects: vec![effect(b"checkpoint"), effect(once.as_bytes())], ..append }
}

fn checkpoint(engine: &Engine) -> Option<String> {
    engine.effect(b"checkpoint").map(|value| String::from_utf8(value).unwrap())
}

fn quietly(_: u64, _: u64) -> Result<()> {
    Ok(())
}

fn bucket_of(bucket: &SimBucket) -> Arc<dyn Bucket> {
    Arc::new(bucket.clone())
}

/// A new machine with what is in the bucket.
fn rebuilt(seed: u64, bucket: &SimBucket, how: Rebuilding) -> (SimEnv, RebuildReport) {
    let env = SimEnv::new(seed);
    let process: Arc<dyn crate::env::Env> = Arc::new(env.process());
    let report = rebuild(&process, &bucket_of(bucket), std::path::Path::new("/data"), how, &mut quietly).unwrap();
    (env, report)
}

fn verified(env: &SimEnv, bucket: &SimBucket) -> VerifyReport {
    let process: Arc<dyn crate::env::Env> = Arc::new(env.process());
    verify(&process, bucket, Some(std::path::Path::new("/data")), &mut quietly).unwrap()
}

#[test]
fn an_empty_machine_gets_everything_back() {
    let (env, bucket) = (SimEnv::new(51), SimBucket::new());
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    let config = ServiceConfig { ttl_days: 77, ..ServiceConfig::default() };
    engine.set_config("web", config).unwrap();
    engine
        .add_key(
            "k1",
            KeyRecord {
                name: "ship".into(),
                hash: [7; 32],
                scopes: Vec::new(),
                services: Vec::new(),
                created_at: 1,
                expires_at: None,
                last_used_at: None,
            },
        )
        .unwrap();
    env.process()
        .open(std::path::Path::new("/data/admin.key.sha256"), crate::env::OpenMode::Create)
        .unwrap()
        .write_all_at(b"hash", 0)
        .unwrap();
    engine.append(with_checkpoint(rows(0, 300), "one")).unwrap();
    engine.seal().unwrap();
    engine.append(with_checkpoint(rows(300, 400), "two")).unwrap();
    let deleted = engine.delete(&phrase("request 7"), false).unwrap();
    assert_eq!(deleted.rows, 1);
    engine.offload(true, &mut quiet).unwrap();
    let all = shown(&engine);
    assert_eq!(all.len(), 399);
    // What comes after it was not in the bucket when the machine died.
    engine.append(with_checkpoint(rows(400, 410), "three")).unwrap();
    drop(engine);
    let left = bucket.names();

    for in_place in [false, true] {
        let (new, report) =
            rebuilt(52 + u64::from(in_place), &bucket, Rebuilding { in_place, ..Rebuilding::default() });
        assert_eq!((report.target.as_str(), report.segments, report.newer, report.rows), ("main", 2 * 2, 0, 400));
        assert!(report.before.is_some() && report.troubles.is_empty(), "{report:?}");
        let proof = verified(&new, &bucket);
        assert_eq!((proof.segments, proof.rows, proof.damaged), (4, 400, Vec::new()));
        assert_eq!((proof.state["services"], proof.state["keys"], proof.state["effects"]), (1, 1, 3));
        assert_eq!(files(&new).is_empty(), in_place);
        assert_eq!(new.read_raw(std::path::Path::new("/data/admin.key.sha256")).unwrap(), b"hash");
        let engine = open(&new, &targets).unwrap();
        assert_eq!(engine.troubles(), Vec::<String>::new());
        assert_eq!(shown(&engine), all);
        assert_eq!(checkpoint(&engine).as_deref(), Some("two"));
        assert_eq!((engine.effect(b"once/one").is_some(), engine.effect(b"once/three")), (true, None));
        assert_eq!(engine.config("web").ttl_days, 77);
        assert_eq!(engine.keys()["k1"].hash, [7; 32]);
        // It goes on where the other one was: what is there is not sent again, and ids are new ones.
        let before: BTreeSet<String> = shown(&engine).into_iter().collect();
        engine.append(rows(400, 410)).unwrap();
        let report = engine.offload(false, &mut quiet).unwrap();
        assert_eq!((report.segments, report.failed), (2, Vec::new()));
        assert_eq!(shown(&engine).iter().filter(|line| !before.contains(*line)).count(), 10);
        assert_eq!(shown(&engine).len(), 409);
        for object in bucket.names().into_iter().filter(|name| !left.contains(name)) {
            bucket.remove(&object).unwrap();
        }
    }
}

#[test]
fn segments_that_came_after_the_manifest_are_found_by_themselves() {
    let (env, bucket) = (SimEnv::new(55), SimBucket::new());
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    engine.append(rows(0, 100)).unwrap();
    engine.offload(false, &mut quiet).unwrap();
    let mut errands = Errands::default();
    errands.look(engine.shared_for_tests());
    engine.append(rows(100, 200)).unwrap();
    engine.seal().unwrap();
    engine.append(rows(200, 300)).unwrap();
    engine.seal().unwrap();
    let manifests = || bucket.names().iter().filter(|name| name.starts_with("manifest/")).count();
    let before = manifests();
    errands.look(engine.shared_for_tests());
    assert_eq!(manifests(), before, "it is not time for another one");
    let all = shown(&engine);
    drop(engine);
    let (new, report) = rebuilt(56, &bucket, Rebuilding::default());
    assert_eq!((report.segments, report.newer, report.rows), (3, 2, 300));
    let engine = open(&new, &targets).unwrap();
    assert_eq!((shown(&engine), engine.troubles()), (all, Vec::new()));
    drop(engine);
    // A merge of them takes their place.
    let engine = open(&env, &targets).unwrap();
    engine.take_over("main").unwrap();
    engine.compact().unwrap();
    let all = shown(&engine);
    let mut errands = Errands::default();
    bucket.fail(BucketFaults::default());
    env.advance(Duration::from_secs(100));
    errands.look(engine.shared_for_tests());
    let (new, _) = rebuilt(57, &bucket, Rebuilding::default());
    assert_eq!(shown(&open(&new, &targets).unwrap()), all);
}

#[test]
fn checkpoints_are_never_newer_than_the_records_before_them() {
    let (env, bucket) = (SimEnv::new(58), SimBucket::new());
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    engine.append(with_checkpoint(rows(0, 100), "one")).unwrap();
    engine.offload(false, &mut quiet).unwrap();
    // The next segment cannot be read, and so not be copied; the one after it is.
    let before: BTreeSet<PathBuf> = files(&env).into_iter().collect();
    engine.append(with_checkpoint(rows(100, 200), "two")).unwrap();
    engine.seal().unwrap();
    for file in files(&env).into_iter().filter(|file| !before.contains(file)) {
        env.flip_bit(&file, 100, 1).unwrap();
    }
    engine.append(with_checkpoint(rows(200, 300), "three")).unwrap();
    let report = engine.offload(false, &mut quiet).unwrap();
    assert_eq!((report.segments, report.failed.len()), (1, 1));
    let (new, report) = rebuilt(59, &bucket, Rebuilding::default());
    assert_eq!(report.rows, 200);
    let engine = open(&new, &targets).unwrap();
    assert_eq!(checkpoint(&engine).as_deref(), Some("one"), "what came after it is fetched once more");
    assert_eq!(engine.effect(b"once/three"), None);
}

#[test]
fn a_damaged_manifest_is_passed_over_for_the_one_before() {
    let (env, bucket) = (SimEnv::new(60), SimBucket::new());
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    for from in [0, 100] {
        engine.append(rows(from, from + 100)).unwrap();
        engine.offload(false, &mut quiet).unwrap();
    }
    let all = shown(&engine);
    let last = bucket.names().into_iter().rfind(|name| name.starts_with("manifest/")).unwrap();
    bucket.damage(&last, 90);
    let (new, report) = rebuilt(61, &bucket, Rebuilding::default());
    assert!(report.troubles[0].contains(&last), "{report:?}");
    assert_eq!((report.segments, report.newer), (2, 1));
    assert_eq!(shown(&open(&new, &targets).unwrap()), all);
    let proof = verified(&new, &bucket);
    assert!(proof.damaged.len() == 1 && proof.damaged[0].contains(&last), "{proof:?}");
}

#[test]
fn what_is_missing_or_damaged_in_the_bucket_is_named() {
    let (env, bucket) = (SimEnv::new(62), SimBucket::new());
    let engine = open(&env, &[target("main", &bucket)]).unwrap();
    for from in [0, 100] {
        engine.append(rows(from, from + 100)).unwrap();
        engine.offload(false, &mut quiet).unwrap();
    }
    engine.close().unwrap();
    drop(engine);
    assert_eq!(verified(&env, &bucket).damaged, Vec::<String>::new());
    let objects = segments_in(&bucket);
    bucket.damage(&objects[0], 77);
    bucket.remove(&objects[1]).unwrap();
    let proof = verified(&env, &bucket);
    assert_eq!((proof.segments, proof.damaged.len()), (0, 2), "{proof:?}");
    let process: Arc<dyn crate::env::Env> = Arc::new(SimEnv::new(63).process());
    let how = Rebuilding::default();
    let e = rebuild(&process, &bucket_of(&bucket), std::path::Path::new("/data"), how, &mut quietly).unwrap_err();
    assert!(objects.iter().any(|object| e.to_string().contains(object)), "{e}");
    let empty = SimBucket::new();
    let e = rebuild(&process, &bucket_of(&empty), std::path::Path::new("/other"), how, &mut quietly).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
}

#[test]
fn nothing_is_rebuilt_over_something_else() {
    let (env, bucket) = (SimEnv::new(64), SimBucket::new());
    let engine = open(&env, &[target("main", &bucket)]).unwrap();
    engine.append(rows(0, 10)).unwrap();
    engine.offload(false, &mut quiet).unwrap();
    engine.close().unwrap();
    drop(engine);
    let process: Arc<dyn crate::env::Env> = Arc::new(env.process());
    let data = std::path::Path::new("/data");
    let e = rebuild(&process, &bucket_of(&bucket), data, Rebuilding::default(), &mut quietly).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict, "{e}");
}

#[test]
fn a_rebuild_that_is_cut_short_anywhere_is_begun_again() {
    let (env, bucket) = (SimEnv::new(65), SimBucket::new());
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    engine.append(with_checkpoint(rows(0, 200), "one")).unwrap();
    engine.offload(true, &mut quiet).unwrap();
    let all = shown(&engine);
    drop(engine);
    let data = std::path::Path::new("/data");
    for step in 1.. {
        let new = SimEnv::new(7_000 + step);
        let process: Arc<dyn crate::env::Env> = Arc::new(new.process());
        new.cut_at_io(step);
        let done = rebuild(&process, &bucket_of(&bucket), data, Rebuilding::default(), &mut quietly);
        let is_done = new.is_powered();
        if is_done {
            new.cancel_cut();
            done.unwrap();
        } else {
            new.power_on();
            let process: Arc<dyn crate::env::Env> = Arc::new(new.process());
            match rebuild(&process, &bucket_of(&bucket), data, Rebuilding::default(), &mut quietly) {
                Ok(_) => {}
                // It had come to its end, but for saying so.
                Err(e) => assert_eq!(e.kind(), ErrorKind::Conflict, "step {step}: {e}"),
            }
        }
        let engine = open(&new, &[]).unwrap();
        assert_eq!((shown(&engine), engine.troubles()), (all.clone(), Vec::new()), "step {step}");
        assert_eq!(checkpoint(&engine).as_deref(), Some("one"));
        if is_done {
            assert!(step > 30, "{step}");
            return;
        }
    }
}

#[test]
fn a_backup_in_a_bucket_is_rebuilt_and_sent_once() {
    let (env, bucket, other) = (SimEnv::new(66), SimBucket::new(), SimBucket::new());
    let engine = open(&env, &[target("main", &other)]).unwrap();
    engine.append(with_checkpoint(rows(0, 200), "one")).unwrap();
    engine.offload(true, &mut quiet).unwrap();
    engine.append(with_checkpoint(rows(200, 300), "two")).unwrap();
    let mut steps = 0;
    let report = engine
        .back_up_to(&bucket, &mut |_| {
            steps += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!((report.files, report.damaged, steps), (3, Vec::new(), 3));
    let calls = bucket.calls();
    engine.append(rows(300, 310)).unwrap();
    let all = shown(&engine);
    assert_eq!(engine.back_up_to(&bucket, &mut |_| Ok(())).unwrap().files, 4);
    assert!(bucket.calls() > calls && segments_in(&bucket).len() == 3);
    let e = engine.back_up_to(&other, &mut |_| Ok(())).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict, "{e}");

    let (new, report) = rebuilt(67, &bucket, Rebuilding::default());
    assert_eq!((report.segments, report.newer, report.before), (3, 0, None));
    assert!(!bucket.names().contains(&"owner".to_owned()));
    let rebuilt = open(&new, &[]).unwrap();
    assert_eq!((shown(&rebuilt), rebuilt.troubles()), (all, Vec::new()));
    assert_eq!(checkpoint(&rebuilt).as_deref(), Some("two"));
    assert_eq!(rebuilt.archive_status().away.0, 0);
}

#[test]
fn a_directory_is_made_by_one_at_a_time() {
    let (env, bucket) = (SimEnv::new(57), SimBucket::new());
    let engine = open(&env, &[target("main", &bucket)]).unwrap();
    engine.append(rows(0, 100)).unwrap();
    engine.seal().unwrap();
    engine.offload(false, &mut quiet).unwrap();
    drop(engine);
    let new = SimEnv::new(58);
    let one: Arc<dyn crate::env::Env> = Arc::new(new.process());
    let other: Arc<dyn crate::env::Env> = Arc::new(new.process());
    let (data, how) = (std::path::Path::new("/data"), Rebuilding::default());
    let mut refused = 0;
    let mut told = |_: u64, _: u64| {
        let second = rebuild(&other, &bucket_of(&bucket), data, how, &mut quietly);
        assert_eq!(second.unwrap_err().kind(), ErrorKind::Locked);
        refused += 1;
        Ok(())
    };
    rebuild(&one, &bucket_of(&bucket), data, how, &mut told).unwrap();
    assert!(refused > 0);
    assert!(verified(&new, &bucket).damaged.is_empty());
}

#[test]
fn what_was_copied_is_found_by_a_rebuild_whatever_is_merged_meanwhile() {
    let (env, bucket) = (SimEnv::new(59), SimBucket::new());
    let targets = [Target { offload_after: Duration::from_secs(600), ..target("main", &bucket) }];
    let engine = open(&env, &targets).unwrap();
    let shared = engine.shared_for_tests();
    let copy = || {
        let copied = shared.offload_some(&targets, Haste::None, |_, _| true, &mut quiet).unwrap();
        assert!(copied.failed.is_empty(), "{copied:?}");
    };
    let manifest = || shared.write_manifest(&targets[0]).unwrap();
    let found = |seed| shown(&open(&rebuilt(seed, &bucket, Rebuilding::default()).0, &targets).unwrap()).len();
    engine.append(rows(0, 100)).unwrap();
    engine.seal().unwrap();
    // It knows of a segment that is to come, and that is there when it has come.
    assert!(manifest());
    assert_eq!(found(70), 0);
    copy();
    assert_eq!(found(71), 100);
    engine.append(rows(100, 200)).unwrap();
    engine.seal().unwrap();
    copy();
    assert_eq!(found(72), 200);
    // Merged before any manifest names them.
    engine.compact().unwrap();
    assert_eq!(shared.segments().len(), 1);
    assert!(!manifest(), "what they became is not there");
    assert_eq!(found(73), 200);
    look_once(&env, &engine);
    assert_eq!(segments_in(&bucket).len(), 3, "what took a place does not wait");
    assert!(manifest());
    assert_eq!(found(74), 200);
}

/// The archive's thread looks once.
fn look_once(env: &SimEnv, engine: &Engine) {
    env.advance(Duration::from_secs(1));
    Errands::default().look(engine.shared_for_tests());
}
