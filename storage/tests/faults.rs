//! Each I/O of append, seal, compact and recover fails once, or for good, or for want of space: nothing panics, nothing
//! acknowledged is lost, and the error names a file.
use crate::chance::Rng;
use crate::power::client::{Client, everything};
use crate::power::life::{append, options, used_bytes};
use logyard_storage::engine::{Ack, Engine};
use logyard_storage::env::Env;
use logyard_storage::env::sim::{Fault, IoKind, SimEnv, SimSnapshot};
use logyard_storage::error::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// More I/O than any scenario here does.
const CALLS_MAX: u64 = 3_000;

#[derive(Clone, Copy, Debug)]
enum Way {
    Once,
    Forever,
    NoSpace,
    NoSpaceForever,
}

/// How a call fails, and every how many of them are tried.
const WAYS: [(Way, usize); 4] = [(Way::Once, 1), (Way::Forever, 7), (Way::NoSpace, 3), (Way::NoSpaceForever, 7)];

impl Way {
    fn fault(self, n: u64) -> Fault {
        match self {
            Self::Once => Fault::nth(n),
            Self::Forever => Fault::nth(n).forever(),
            Self::NoSpace => Fault::nth(n).no_space(),
            Self::NoSpaceForever => Fault::nth(n).no_space().forever(),
        }
    }
}

/// A store with segments, a log with rows and its client, as a machine left it.
struct Prepared {
    disk: SimSnapshot,
    client: Client,
}

fn open(env: &SimEnv) -> Result<Arc<Engine>> {
    Engine::open(Arc::new(env.process()), options())
}

fn send(engine: &Engine, client: &Mutex<Client>, rows: u64) -> std::result::Result<Option<Error>, String> {
    append(engine, client, rows, Ack::Wal, true)
}

fn prepare() -> Prepared {
    let env = SimEnv::new(7);
    let engine = open(&env).unwrap();
    let client = Mutex::default();
    for _ in 0..2 {
        (0..4).for_each(|rows| assert!(send(&engine, &client, 5 * rows).unwrap().is_none()));
        engine.seal().unwrap();
    }
    (0..4).for_each(|rows| assert!(send(&engine, &client, 3 * rows).unwrap().is_none()));
    drop(engine);
    env.power_cut();
    Prepared { disk: env.snapshot(), client: client.into_inner().unwrap() }
}

/// Runs a scenario with its n-th call failing, for every n until none fails, which is not before `calls_min` calls: one that
/// does nothing proves nothing.
fn fail_each(
    name: &str,
    calls_min: u64,
    scenario: impl Fn(&SimEnv, &Mutex<Client>, Fault) -> std::result::Result<(), String>,
) {
    let prepared = prepare();
    let mut wrong = Vec::new();
    for (way, stride) in WAYS {
        for n in (1..=CALLS_MAX).step_by(stride) {
            let env = SimEnv::from_snapshot(&prepared.disk, n);
            env.set_trace(true);
            let client = Mutex::new(prepared.client.clone());
            let outcome = scenario(&env, &client, way.fault(n)).and_then(|()| recovers(&env, client, n));
            if let Err(e) = outcome {
                let trace = env.trace();
                let struck = trace.iter().find(|line| line.contains("fails")).cloned().unwrap_or_default();
                wrong.push(format!("{name}, {way:?}, call {n} ({struck}): {e}"));
            }
            if env.io_stats().faults == 0 {
                println!("{name}, {way:?}: {} calls", n - 1);
                assert!(n > calls_min, "{name}, {way:?}: only {} calls", n - 1);
                break;
            }
            assert!(n < CALLS_MAX - 10, "{name} does not end");
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The machine goes on without faults: all that was acknowledged is there.
fn recovers(env: &SimEnv, client: Mutex<Client>, n: u64) -> std::result::Result<(), String> {
    env.clear_faults();
    if n.is_multiple_of(2) {
        env.power_cut();
        env.power_on();
    } else {
        env.kill();
    }
    let engine = open(env).map_err(|e| format!("cannot start again: {e}"))?;
    if !engine.troubles().is_empty() {
        return Err(format!("the next start finds {:?}", engine.troubles()));
    }
    client.into_inner().unwrap().check(&engine, &mut Rng::new(n))
}

/// An error of the engine has to say where.
fn names_a_file(e: &Error) -> std::result::Result<(), String> {
    let says = e.to_string();
    if says.contains("/data") { Ok(()) } else { Err(format!("the error names no file: {e:?}")) }
}

/// What was readable before is readable now.
fn reads_on(engine: &Engine, rows: usize) -> std::result::Result<(), String> {
    let found = everything(engine)?.len();
    if found >= rows { Ok(()) } else { Err(format!("{found} of {rows} rows are readable")) }
}

fn during(
    env: &SimEnv,
    client: &Mutex<Client>,
    fault: Fault,
    act: impl Fn(&Engine, &Mutex<Client>) -> std::result::Result<Option<Error>, String>,
) -> std::result::Result<(), String> {
    let engine = open(env).map_err(|e| e.to_string())?;
    let rows = everything(&engine)?.len();
    env.reset_io_stats();
    env.fail(fault);
    let first = act(&engine, client)?;
    env.clear_faults();
    reads_on(&engine, rows)?;
    let Some(e) = first else { return Ok(()) };
    names_a_file(&e)?;
    match act(&engine, client)? {
        Some(again) if e.kind() == ErrorKind::Poisoned && again.kind() == ErrorKind::Poisoned => names_a_file(&again)?,
        Some(again) => return Err(format!("after {e} it fails again: {again}")),
        None if e.kind() == ErrorKind::Poisoned => return Err("acknowledged after a failed sync".into()),
        None => {}
    }
    reads_on(&engine, rows)
}

#[test]
fn every_call_of_an_append_may_fail() {
    fail_each("append", 15, |env, client, fault| {
        during(env, client, fault, |engine, client| {
            // Enough for the next file.
            for rows in [1, 0, 100, 1, 100] {
                if let Some(e) = send(engine, client, rows)? {
                    return Ok(Some(e));
                }
            }
            Ok(None)
        })
    });
}

#[test]
fn every_call_of_a_seal_may_fail() {
    fail_each("seal", 25, |env, client, fault| during(env, client, fault, |engine, _| Ok(engine.seal().err())));
}

#[test]
fn every_call_of_a_merge_may_fail() {
    fail_each("compact", 35, |env, client, fault| during(env, client, fault, |engine, _| Ok(engine.compact().err())));
}

#[test]
fn every_call_of_a_start_may_fail() {
    fail_each("recover", 80, |env, client, fault| {
        env.reset_io_stats();
        env.fail(fault);
        match open(env) {
            Err(e) if e.to_string().contains("/data/segments/") => {
                Err(format!("a segment keeps it from starting: {e}"))
            }
            Err(e) => names_a_file(&e),
            Ok(engine) => {
                env.clear_faults();
                client.lock().unwrap().clone().check(&engine, &mut Rng::new(1))
            }
        }
    });
}

/// A start goes on without segments that cannot be read, and all that it does then leaves them for the next one.
#[test]
fn no_segment_keeps_a_start_from_serving() {
    for kind in [IoKind::Open, IoKind::Read] {
        let scenario = |env: &SimEnv, _: &Mutex<Client>, fault: Fault| {
            env.fail(fault.of(kind).under("/data/segments/"));
            let engine = open(env).map_err(|e| format!("it does not start: {e}"))?;
            let troubles = engine.troubles();
            if !troubles.iter().all(|what| what.contains("cannot be read") && what.contains("/data/segments/")) {
                return Err(format!("it starts with {troubles:?}"));
            }
            env.clear_faults();
            engine.seal().and_then(|()| engine.compact()).map_err(|e| e.to_string())?;
            engine.retain(false).map_err(|e| e.to_string())?;
            everything(&engine).map(drop)
        };
        fail_each("start", 3, scenario);
    }
}

#[test]
fn every_call_of_a_start_without_a_catalog_may_fail() {
    fail_each("rebuild", 20, |env, client, fault| {
        env.remove_file(Path::new("/data/catalog.redb")).map_err(|e| e.to_string())?;
        env.reset_io_stats();
        env.fail(fault);
        match open(env) {
            Err(e) => names_a_file(&e),
            Ok(engine) => {
                env.clear_faults();
                client.lock().unwrap().clone().check(&engine, &mut Rng::new(1))
            }
        }
    });
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_the_next_start() {
    for n in 1..40 {
        let env = SimEnv::new(n);
        let engine = open(&env).unwrap();
        let client = Mutex::default();
        env.fail(Fault::nth(n).of(IoKind::Sync).under("/wal/"));
        let mut poisoned = false;
        for _ in 0..60 {
            match send(&engine, &client, 10).unwrap() {
                None => assert!(!poisoned, "acknowledged after a failed sync, n = {n}"),
                Some(e) => {
                    names_a_file(&e).unwrap();
                    poisoned |= e.kind() == ErrorKind::Poisoned;
                }
            }
        }
        everything(&engine).unwrap();
        drop(engine);
        recovers(&env, client, n).unwrap();
    }
}

#[test]
fn a_full_disk_refuses_in_its_own_way_and_resumes_by_itself() {
    for room in (0..100).step_by(7) {
        let env = SimEnv::new(room);
        let engine = open(&env).unwrap();
        let client = Mutex::default();
        assert!(send(&engine, &client, 30).unwrap().is_none());
        env.set_capacity(Some(used_bytes(&env) + room * 512));
        let mut refused = 0;
        for _ in 0..40 {
            if let Some(e) = send(&engine, &client, 30).unwrap() {
                assert_eq!(e.kind(), ErrorKind::DiskFull, "{e}");
                names_a_file(&e).unwrap();
                refused += 1;
            }
        }
        assert!(refused > 0);
        everything(&engine).unwrap();
        engine.seal().err().map(|e| assert_eq!(e.kind(), ErrorKind::DiskFull, "{e}")).unwrap_or_default();
        env.set_capacity(None);
        assert!(send(&engine, &client, 30).unwrap().is_none(), "it does not resume");
        engine.seal().unwrap();
        drop(engine);
        recovers(&env, client, room).unwrap();
    }
}
