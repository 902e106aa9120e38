//! Whose a target is, between directories and between processes.
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_place_belongs_to_one_directory_until_it_is_taken_over() {
    let (one, other, bucket) = (SimEnv::new(31), SimEnv::new(32), SimBucket::new());
    let targets = [target("main", &bucket)];
    let first = open(&one, &targets).unwrap();
    first.append(rows(0, 100)).unwrap();
    first.offload(false, &mut quiet).unwrap();
    let before = bucket.names();
    let second = open(&other, &targets).unwrap();
    second.append(rows(100, 200)).unwrap();
    let report = second.offload(true, &mut quiet).unwrap();
    assert_eq!((report.segments, report.evicted), (0, 0));
    assert!(report.failed[0].contains("it belongs to the data directory /data"), "{:?}", report.failed);
    assert!(report.failed[0].contains("logyard archive take-over --target main"), "{:?}", report.failed);
    assert!(second.archive_status().targets[0].trouble.is_some());
    assert!(second.collect(false).unwrap().failed.len() == 1);
    assert_eq!(bucket.names(), before, "nothing is made or removed in what is somebody else's");

    assert!(second.take_over("other").is_err_and(|e| e.kind() == ErrorKind::NotFound));
    assert!(second.take_over("main").unwrap().is_some_and(|before| before.contains("/data")));
    assert_eq!(second.offload(true, &mut quiet).unwrap().segments, 1);
    // The other one finds out when it is asked to do something there, lets no file go any more, and still reads what it has.
    let here = files(&one).len();
    first.append(rows(200, 300)).unwrap();
    let report = first.offload(true, &mut quiet).unwrap();
    assert_eq!((report.segments, report.evicted, files(&one).len()), (0, 0, here + 1));
    assert!(report.failed[0].contains("it belongs to"), "{:?}", report.failed);
    assert_eq!(shown(&first).len(), 200);
    // What it had there stays, however long nobody else needs it.
    for _ in 0..3 {
        other.advance(Duration::from_secs(3 * 86_400));
        second.offload(true, &mut quiet).unwrap();
        assert_eq!(second.collect(false).unwrap().orphans, 0);
    }
    assert!(before.iter().all(|name| name == "owner" || bucket.names().contains(name)), "{:?}", bucket.names());
}

#[test]
fn a_process_goes_on_after_another_one_of_the_same_directory() {
    let (env, bucket) = (SimEnv::new(33), SimBucket::new());
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    engine.append(rows(0, 100)).unwrap();
    engine.offload(false, &mut quiet).unwrap();
    drop(engine);
    let engine = open(&env, &targets).unwrap();
    engine.append(rows(100, 200)).unwrap();
    assert_eq!(engine.offload(false, &mut quiet).unwrap().segments, 1);
}

#[test]
fn a_copy_of_the_directory_waits_until_nobody_else_is_at_work() {
    let (env, bucket) = (SimEnv::new(34), SimBucket::new());
    env.set_now(START);
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    engine.append(rows(0, 100)).unwrap();
    engine.offload(false, &mut quiet).unwrap();
    let copy = SimEnv::from_snapshot(&env.snapshot(), 35);
    copy.set_now(START);
    copy.move_to("another machine");
    let second = open(&copy, &targets).unwrap();
    second.append(rows(100, 200)).unwrap();
    let failed = second.offload(false, &mut quiet).unwrap().failed;
    assert!(failed[0].contains("a copy of this data directory was at work there a moment ago"), "{failed:?}");
    copy.advance(11 * MINUTE);
    assert_eq!(second.offload(false, &mut quiet).unwrap().segments, 1);
    // The first one had only been silent: it does not take back what it lost.
    env.advance(2 * MINUTE);
    engine.append(rows(300, 400)).unwrap();
    assert_eq!(engine.offload(false, &mut quiet).unwrap().failed.len(), 1);
}

#[test]
fn an_owner_that_cannot_be_read_is_not_written_over() {
    let (env, bucket) = (SimEnv::new(36), SimBucket::new());
    let targets = [target("main", &bucket)];
    let engine = open(&env, &targets).unwrap();
    engine.append(rows(0, 100)).unwrap();
    engine.offload(false, &mut quiet).unwrap();
    drop(engine);
    bucket.damage("owner", 40);
    let engine = open(&env, &targets).unwrap();
    engine.append(rows(100, 200)).unwrap();
    let failed = engine.offload(false, &mut quiet).unwrap().failed;
    assert!(failed[0].contains("cannot be read"), "{failed:?}");
    engine.take_over("main").unwrap();
    assert_eq!(engine.offload(false, &mut quiet).unwrap().segments, 1);
}
