//! Segments that leave and come back through a network that fails, against a plain vector of records.
//!
//! The disk is simulated, the server and the network are not.
use super::Rig;
use crate::chance::{Rng, from_env};
use crate::power::life::options;
use crate::rows;
use logyard_s3_rig::{Faults, Kind};
use logyard_storage::archive::{Bucket, Target};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine, Options, Restoring, Search};
use logyard_storage::env::sim::SimEnv;
use logyard_storage::error::{Error, ErrorKind};
use logyard_storage::record::Record;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// Rounds of one store; then another is begun, so that none grows without end.
const ROUNDS_OF_A_STORE: u64 = 50;

/// An engine with an archive, and what it was given.
pub(crate) struct Moving {
    env: SimEnv,
    bucket: Arc<dyn Bucket>,
    engine: Option<Arc<Engine>>,
    rng: Rng,
    builder: BatchBuilder,
    all: Vec<Record>,
    seed: u64,
    done: Done,
}

/// What was done, so that it is known that something was.
#[derive(Debug, Default)]
struct Done {
    copied: u64,
    evicted: u64,
    restored: u64,
    failed: u64,
    answers: u64,
    unanswered: u64,
}

impl Moving {
    pub(crate) fn new(seed: u64, bucket: Arc<dyn Bucket>) -> Self {
        let env = SimEnv::new(seed);
        let engine = Some(open(&env, &bucket));
        let (rng, builder) = (Rng::new(seed), BatchBuilder::new());
        Self { env, bucket, engine, rng, builder, all: Vec::new(), seed, done: Done::default() }
    }

    fn engine(&self) -> Arc<Engine> {
        Arc::clone(self.engine.as_ref().unwrap())
    }

    /// Everything once, by a network that does not fail.
    pub(crate) fn once_through(&mut self) {
        for _ in 0..3 {
            self.append(200);
            self.engine().seal().unwrap();
        }
        let report = self.engine().offload(false, &mut |_| Ok(())).unwrap();
        // Rows of several days are several segments.
        let copied = report.segments;
        assert!(copied >= 3 && report.evicted == 0 && report.failed.is_empty(), "{report:?}");
        self.compare();
        let report = self.engine().offload(true, &mut |_| Ok(())).unwrap();
        assert_eq!((report.segments, report.evicted), (0, copied));
        self.reopen();
        (0..20).for_each(|_| self.search());
        self.compare();
        let restored = self.engine().restore(&everything(), &mut |_, _| Ok(())).unwrap();
        assert_eq!((restored.segments, restored.rows), (copied, 600));
        self.compare();
        assert_eq!((self.done.unanswered, self.engine().archive_status().restored.0), (0, copied));
    }

    fn round(&mut self) {
        match self.rng.below(20) {
            0..=4 => self.append_some(),
            5 => self.engine().seal().unwrap(),
            6 => self.compact(),
            7 | 8 => self.offload(false),
            9..=12 => self.offload(true),
            13 => self.restore(),
            14 => self.reopen(),
            _ => self.search(),
        }
    }

    fn append_some(&mut self) {
        let n = [1, 5, 40, 150][self.rng.below(4) as usize];
        self.append(n);
    }

    fn append(&mut self, n: u64) {
        let from = self.all.len() as u64;
        let mut new: Vec<Record> = (from..from + n).map(rows::row).collect();
        let batch = rows::batch(&mut self.builder, &new);
        let appended = self.engine().append(Append::new(batch, Ack::Wal)).unwrap();
        for (row, seq) in new.iter_mut().zip(appended.first_seq..) {
            (row.seq, row.epoch) = (seq, appended.epoch);
        }
        self.all.extend(new);
    }

    fn offload(&mut self, evict: bool) {
        let before = self.engine().archive_status().away.0;
        match self.engine().offload(evict, &mut |_| Ok(())) {
            Ok(report) => {
                self.done.copied += report.segments;
                self.done.evicted += report.evicted;
                self.done.failed += report.failed.len() as u64;
                assert!(evict || report.evicted == 0);
                assert_eq!(self.engine().archive_status().away.0, before + report.evicted);
            }
            Err(e) => self.excuse(&e),
        }
    }

    fn compact(&mut self) {
        if let Err(e) = self.engine().compact() {
            self.excuse(&e);
        }
    }

    fn restore(&mut self) {
        let at = self.rng.below(self.all.len() as u64 + 1);
        let time = self.all.get(at as usize).map_or(i64::MAX, |row| row.time);
        let wanted = if self.rng.one_in(2) { everything() } else { Restoring { before: time, ..everything() } };
        match self.engine().restore(&wanted, &mut |_, _| Ok(())) {
            Ok(report) => self.done.restored += report.segments,
            Err(e) => self.excuse(&e),
        }
    }

    fn reopen(&mut self) {
        let engine = self.engine.take().unwrap();
        if self.rng.one_in(2) {
            engine.close().unwrap();
        }
        drop(engine);
        let engine = open(&self.env, &self.bucket);
        assert_eq!(engine.troubles(), Vec::<String>::new(), "seed {}", self.seed);
        self.engine = Some(engine);
    }

    fn search(&mut self) {
        let search = rows::question(&mut self.rng, self.all.len() as u64 + 5);
        let search = Search { limit: search.limit.min(50), ..search };
        match self.engine().search(&search) {
            Ok(found) => {
                let wanted: Vec<String> = rows::expected(&search, &self.all).iter().map(shown).collect();
                let found: Vec<String> = found.iter().map(shown).collect();
                assert_eq!(found, wanted, "seed {}: {search:?}", self.seed);
                self.done.answers += 1;
            }
            Err(e) => self.excuse(&e),
        }
    }

    /// Nothing but that the archive did not answer is an excuse.
    fn excuse(&mut self, e: &Error) {
        assert_eq!(e.kind(), ErrorKind::Unavailable, "seed {}: {e}", self.seed);
        self.done.unanswered += 1;
    }

    /// Compares all rows.
    fn compare(&self) {
        let found = self.engine().search(&Search { limit: usize::MAX, ..Search::default() });
        let mut found: Vec<String> =
            found.unwrap_or_else(|e| panic!("seed {}: {e}", self.seed)).iter().map(shown).collect();
        let mut wanted: Vec<String> = self.all.iter().map(shown).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert!(found == wanted, "seed {}: {} rows of {}", self.seed, found.len(), wanted.len());
    }
}

fn everything() -> Restoring {
    Restoring { since: i64::MIN, before: i64::MAX, service: None, ttl: Duration::from_secs(3_600) }
}

fn open(env: &SimEnv, bucket: &Arc<dyn Bucket>) -> Arc<Engine> {
    let target = Target { offload_after: Duration::ZERO, ..Target::new("main", Arc::clone(bucket)) };
    // Little is kept of what was fetched, so that much is fetched.
    let options =
        Options { archive: vec![target], cold_cache_bytes: 16 << 10, cold_index_bytes: 64 << 10, ..options() };
    Engine::open(Arc::new(env.process()), options).unwrap()
}

/// A record without what only the engine knows.
fn shown(record: &Record) -> String {
    let mut record = record.clone();
    record.fields.sort_by(|a, b| a.0.cmp(&b.0));
    format!("{} {} {}", record.id(), record.time, record.to_json(|_| true))
}

/// How many objects at the server are what their names say.
fn sound(rig: &Rig) -> u64 {
    let names = rig.server.names(rig.server.bucket());
    let is_sound = |name: &&String| {
        let bytes = rig.server.object(rig.server.bucket(), name).unwrap_or_default();
        let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        name.ends_with(&format!("/{hex}.seg"))
    };
    names.iter().filter(is_sound).count() as u64
}

fn store_of_rounds(seed: u64, rounds: u64) {
    let rig = Rig::new(seed);
    let mut moving = Moving::new(seed, Arc::new(rig.hasty()));
    // Who waits, waits for a while.
    let faults = Faults::all(100).and(Kind::Refused, 40).and(Kind::Hangs, 3).and(Kind::Stalls, 3);
    rig.proxy.set(faults.clone());
    for round in 0..rounds {
        moving.round();
        if rig.proxy.counts().all() > 0 && moving.rng.one_in(25) {
            // Nobody answers for a while.
            rig.proxy.set(Faults::none().and(Kind::Out, 1_000));
            moving.round();
            moving.search();
            rig.proxy.set(faults.clone());
        }
        let status = moving.engine().archive_status();
        let there = sound(&rig);
        assert!(status.away.0 <= there, "seed {seed}, round {round}: {} away, {there} sound", status.away.0);
    }
    rig.proxy.set(Faults::none());
    moving.compare();
    // What was not copied because of faults alone is copied now, and all is read there.
    let report = moving.engine().offload(true, &mut |_| Ok(())).unwrap();
    assert_eq!(report.failed, Vec::<String>::new(), "seed {seed}");
    moving.reopen();
    moving.compare();
    let status = moving.engine().archive_status();
    assert_eq!((status.targets[0].waiting, &status.targets[0].trouble), (0, &None), "seed {seed}");
    moving.engine().restore(&everything(), &mut |_, _| Ok(())).unwrap();
    moving.compare();
    assert!(moving.done.evicted > 0 && moving.done.answers > 0, "seed {seed}: {:?}", moving.done);
    eprintln!(
        "seed {seed}: {:?}, {} faults in {} requests",
        moving.done,
        rig.proxy.counts().all(),
        rig.proxy.requests()
    );
}

fn campaign(seed: u64, rounds: u64) {
    for n in 0..rounds.div_ceil(ROUNDS_OF_A_STORE) {
        let seed = seed + n;
        let again = format!(
            "LOGYARD_SEED={seed} LOGYARD_ROUNDS={ROUNDS_OF_A_STORE} cargo test -p logyard-storage --test main -- --ignored s3::rounds"
        );
        let ran = std::panic::catch_unwind(|| store_of_rounds(seed, ROUNDS_OF_A_STORE.min(rounds)));
        assert!(ran.is_ok(), "seed {seed}, again: {again}");
    }
}

#[test]
fn segments_leave_and_come_back_and_nothing_is_lost() {
    let rig = Rig::new(1);
    Moving::new(1, Arc::new(rig.store())).once_through();
    let is_segment = |name: &&String| name.ends_with(".seg");
    let there = rig.server.names(rig.server.bucket()).iter().filter(is_segment).count() as u64;
    let made = rig.server.made().iter().filter(|made| is_segment(&&made.name)).count() as u64;
    assert_eq!((sound(&rig), made), (there, there));
}

#[test]
fn what_is_garbled_on_its_way_is_never_evicted_and_never_returned() {
    let rig = Rig::new(2);
    let mut moving = Moving::new(2, Arc::new(rig.store()));
    moving.append(300);
    rig.proxy.set(Faults::none().and(Kind::RequestGarbled, 1_000));
    let report = moving.engine().offload(true, &mut |_| Ok(())).unwrap();
    assert_eq!((report.segments, report.evicted, report.failed.len()), (0, 0, 1), "{report:?}");
    assert_eq!(sound(&rig), 0);
    rig.proxy.set(Faults::none());
    let evicted = moving.engine().offload(true, &mut |_| Ok(())).unwrap().evicted;
    assert!(evicted > 0 && sound(&rig) == evicted);
    moving.reopen();
    // What arrives as something else is not believed, and asked for again.
    rig.proxy.next(Kind::AnswerGarbled);
    moving.compare();
    assert_eq!(rig.happened(Kind::AnswerGarbled), 1);
    moving.compare();
}

#[test]
fn rounds_through_a_failing_network_agree_with_a_vector() {
    campaign(1, 2 * ROUNDS_OF_A_STORE);
}

/// `LOGYARD_ROUNDS` says how many, `LOGYARD_SEED` where to begin.
#[test]
#[ignore = "takes as long as it is told to"]
fn rounds_through_a_failing_network_agree_with_a_vector_at_length() {
    campaign(from_env("LOGYARD_SEED", 1_000), from_env("LOGYARD_ROUNDS", 2_000));
}
