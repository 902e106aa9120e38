//! One data directory through many lives, most of which end in a power cut.
//!
//! A life's steps come from its seed. Where appends run beside each other the threads decide their order, so that the
//! same seed can meet another disk; everything else is the same again.
mod burst;

use super::client::{self, CHECKPOINT, Client, Sent};
use super::steps::{Doing, Hits, SEVERAL_UNSYNCED, step};
use crate::chance::Rng;
use crate::rows;
use logyard_storage::Effect;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::catalog::ServiceConfig;
use logyard_storage::engine::{Ack, Append, Engine, Options, Search};
use logyard_storage::env::Env;
use logyard_storage::env::sim::{Fault, IoKind, SimEnv};
use logyard_storage::error::{Error, ErrorKind};
use logyard_storage::retention::DAY_NANOS;
use logyard_storage::scan::filter::{Filter, Test};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The service whose rows expire, in runs that let them.
const EXPIRING: &str = "cron-7";
/// Steps of one run.
const STEPS: u64 = 220;
/// What a run may take before it is stopped as one that does not end.
const STARTS_MAX: usize = 400;

/// How a run is to be: from one seed, always the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Whether power fails again while the engine recovers.
    pub(crate) chains: bool,
    /// Whether rows of one service expire; otherwise the clock jumps.
    pub(crate) expires: bool,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) runs: u64,
    pub(crate) cuts: u64,
    pub(crate) chains: u64,
    /// The most batches that were acknowledged from memory and not synced at one cut.
    pub(crate) unsynced_max: u64,
    pub(crate) hits: Hits,
}

/// When power is to fail: while something rare is done, in any of its calls or in one of a kind, the nth or an earlier one.
#[derive(Clone, Copy, Debug)]
struct Aim(Doing, Option<(IoKind, &'static str, u64)>);

const AIMS: [Aim; 25] = [
    Aim(Doing::Seal, None),
    Aim(Doing::Compact, None),
    Aim(Doing::Compact, Some((IoKind::Sync, "segments/", 1))),
    Aim(Doing::Compact, Some((IoKind::Rename, "segments/", 1))),
    Aim(Doing::Compact, Some((IoKind::SyncDir, "segments/", 2))),
    Aim(Doing::Compact, Some((IoKind::Remove, ".seg", 3))),
    Aim(Doing::Compact, Some((IoKind::Sync, "catalog", 2))),
    Aim(Doing::Close, None),
    Aim(Doing::Close, Some((IoKind::Write, "/wal", 2))),
    Aim(Doing::Close, Some((IoKind::Sync, "/wal", 2))),
    Aim(Doing::Close, Some((IoKind::Sync, "/wal", 2))),
    Aim(Doing::Close, Some((IoKind::Sync, "catalog", 3))),
    Aim(Doing::Retain, None),
    Aim(Doing::Retain, Some((IoKind::Remove, ".seg", 2))),
    Aim(Doing::Retain, Some((IoKind::Write, "segments/", 4))),
    Aim(Doing::Retain, Some((IoKind::Rename, "segments/", 1))),
    Aim(Doing::Retain, Some((IoKind::Sync, "segments/", 1))),
    Aim(Doing::Retain, Some((IoKind::Sync, "catalog", 2))),
    Aim(Doing::Delete, Some((IoKind::Sync, "catalog", 2))),
    Aim(Doing::Delete, None),
    Aim(Doing::Delete, Some((IoKind::Write, "config-copy", 1))),
    Aim(Doing::Delete, Some((IoKind::Rename, "config-copy", 1))),
    Aim(Doing::Configure, None),
    Aim(Doing::Configure, Some((IoKind::Sync, "catalog", 2))),
    Aim(Doing::Configure, Some((IoKind::Rename, "config-copy", 1))),
];

/// A run in progress.
struct Life {
    env: SimEnv,
    rng: Rng,
    client: Arc<Mutex<Client>>,
    engine: Option<Arc<Engine>>,
    doing: Doing,
    /// Power is to fail the next time that this is done.
    aim: Option<Aim>,
    expires: bool,
    /// Whether the lives of rows were set for good.
    configured: bool,
    /// After a failed write or sync: nothing may be acknowledged until the next start.
    poisoned: bool,
    /// Of each batch with rows that was acknowledged from memory since the last cut: how many syncs of any file there had
    /// been before it was sent.
    from_memory: Vec<u64>,
    outcome: Outcome,
}

pub(crate) fn options() -> Options {
    Options {
        background: false,
        wal_file_bytes: 32 << 10,
        flush_interval: Duration::from_millis(1),
        default_ttl_days: None,
        // Of the blocks here some are copied and some encoded again.
        copy_rows_min: 24,
        ..Options::new("/data")
    }
}

/// Runs a plan to its end, or to the first thing that is wrong.
pub(crate) fn run(plan: Plan) -> Result<Outcome, String> {
    let env = SimEnv::new(plan.seed);
    env.set_trace(true);
    let mut life = Life {
        env,
        rng: Rng::new(plan.seed),
        client: Arc::default(),
        engine: None,
        doing: Doing::Open,
        aim: None,
        expires: plan.expires,
        configured: false,
        poisoned: false,
        from_memory: Vec::new(),
        outcome: Outcome::default(),
    };
    if plan.expires {
        // All rows arrive after their own time.
        life.env.set_now(rows::STARTED + DAY_NANOS);
    }
    if life.rng.one_in(4) {
        life.env.set_short_writes(0.1);
        life.env.set_short_reads(0.1);
    }
    life.run(plan.chains).map_err(|e| format!("{e}\nlast calls:\n{}", last_calls(&life.env)))?;
    Ok(life.outcome)
}

/// What all files take.
pub(crate) fn used_bytes(env: &SimEnv) -> u64 {
    let space = env.space(Path::new("/")).unwrap();
    space.total - space.available
}

fn last_calls(env: &SimEnv) -> String {
    let trace = env.trace();
    trace[trace.len().saturating_sub(if std::env::var("LOGYARD_TRACE").is_ok() { 200 } else { 40 })..].join("\n")
}

impl Life {
    fn run(&mut self, chains: bool) -> Result<(), String> {
        match self.rng.one_in(2) {
            true => self.env.cut_at_io(1 + self.rng.below(40)),
            false => self.plan_cut(),
        }
        let mut steps = 0;
        for _ in 0..STARTS_MAX {
            self.start()?;
            while steps < STEPS && self.env.is_powered() {
                steps += 1;
                self.step()?;
            }
            if self.env.is_powered() {
                return self.end();
            }
            self.cut_was();
            if chains {
                self.chain()?;
            }
            self.recover()?;
        }
        Err("it does not end".into())
    }

    /// Starts until power stays on, and checks what is there: nothing is asked of the engine before.
    fn recover(&mut self) -> Result<(), String> {
        for _ in 0..STARTS_MAX {
            if self.rng.one_in(4) {
                self.env.cut_at(Fault::nth(1).of(IoKind::Remove).under("segments/"));
            }
            self.start()?;
            if self.env.is_powered() {
                self.check()?;
            }
            if self.env.is_powered() {
                self.plan_cut();
                return Ok(());
            }
            self.cut_was();
        }
        Err("it does not start".into())
    }

    /// The last cut comes when all is quiet; then nothing may be missing, however often it is started.
    fn end(&mut self) -> Result<(), String> {
        self.env.cancel_cut();
        self.engine = None;
        self.env.power_cut();
        self.outcome.cuts += 1;
        self.start()?;
        self.check()?;
        self.doing = Doing::Close;
        let closed = self.engine.take().map_or(Ok(()), |engine| engine.close());
        closed.map_err(|e| format!("cannot close: {e}"))?;
        self.start()?;
        self.check()?;
        self.engine = None;
        let env: Arc<dyn logyard_storage::env::Env> = Arc::new(self.env.process());
        let report = logyard_storage::engine::check(&env, Path::new("/data"), false).map_err(|e| e.to_string())?;
        if report.ok { Ok(()) } else { Err(format!("a check finds {:?}", report.lines)) }
    }

    /// Power will fail in one of the next calls, or in one of a kind that is rare, or while something rare is done.
    fn plan_cut(&mut self) {
        let rng = &mut self.rng;
        match rng.below(5) {
            0 => return self.env.cut_at_io(1 + rng.below(150)),
            2 => {
                self.aim = Some(Aim(Doing::Append, None));
                return;
            }
            1 => {
                let (first, second) = (*rng.pick(&AIMS), *rng.pick(&AIMS));
                // Where nothing else expires, retention has little to do.
                self.aim = Some(if (second.0 == Doing::Retain) == self.expires { second } else { first });
                return;
            }
            _ => {}
        }
        let (kind, under, among) = *rng.pick(&[
            (IoKind::Rename, ".wal", 4),
            (IoKind::Rename, ".spare", 2),
            (IoKind::Rename, "segments/", 4),
            (IoKind::Sync, "segments/", 4),
            (IoKind::Write, "segments/", 30),
            (IoKind::SyncDir, "segments/", 4),
            (IoKind::SyncDir, "/wal", 6),
            (IoKind::Remove, ".seg", 3),
            (IoKind::Remove, ".wal", 2),
            (IoKind::Sync, "catalog", 12),
            (IoKind::Write, "catalog", 60),
            (IoKind::Sync, ".spare", 20),
            (IoKind::Sync, ".tmp", 3),
            (IoKind::Write, ".tmp", 6),
        ]);
        let nth = 1 + rng.below(among);
        self.env.cut_at(Fault::nth(nth).of(kind).under(under));
        // Where that call never comes.
        self.env.cut_at_io(600 + rng.below(400));
    }

    /// Begins something at which power may be meant to fail.
    fn begin(&mut self, doing: Doing) {
        self.doing = doing;
        let Some(Aim(_, call)) = self.aim.take_if(|aim| aim.0 == doing) else { return };
        let Some((kind, under, among)) = call else {
            return self.env.cut_at_io(1 + self.rng.below(if doing == Doing::Close { 20 } else { 80 }));
        };
        self.env.cut_at(Fault::nth(1 + self.rng.below(among)).of(kind).under(under));
        // Where that call never comes.
        self.env.cut_at_io(200 + self.rng.below(400));
    }

    /// What was begun is over, unless power failed in it.
    fn did(&mut self) {
        if self.env.is_powered() {
            self.doing = Doing::Append;
        }
    }

    fn aims_at(&self, doing: Doing) -> bool {
        self.aim.is_some_and(|aim| aim.0 == doing)
    }

    /// Counts the step in which power failed.
    fn cut_was(&mut self) {
        self.engine = None;
        self.poisoned = false;
        self.outcome.cuts += 1;
        let trace = self.env.trace();
        let cut = self.env.take_cut();
        self.count_unsynced(cut.as_ref().map(|(kind, ..)| *kind));
        let step = cut.map_or("elsewhere", |(kind, path, offset)| step(self.doing, kind, &path, offset, &trace));
        self.outcome.hits.add(step);
        self.env.clear_faults();
        self.env.set_capacity(None);
    }

    /// Counts the batches that the cut may have taken: those since which nothing was synced, not even another file.
    fn count_unsynced(&mut self, cut: Option<IoKind>) {
        // A sync that power failed in is counted among the calls.
        let syncs = self.env.io_stats().of(IoKind::Sync) - u64::from(cut == Some(IoKind::Sync));
        let unsynced = self.from_memory.drain(..).filter(|before| *before == syncs).count() as u64;
        if unsynced >= burst::SEVERAL {
            self.outcome.hits.add(SEVERAL_UNSYNCED);
        }
        self.outcome.unsynced_max = self.outcome.unsynced_max.max(unsynced);
    }

    /// Two to four cuts in a row, each while the engine recovers from the one before, seals or merges.
    fn chain(&mut self) -> Result<(), String> {
        self.outcome.chains += 1;
        for _ in 0..1 + self.rng.below(3) {
            self.env.power_on();
            self.env.cut_at_io(1 + self.rng.below(if self.rng.clone().one_in(2) { 30 } else { 90 }));
            self.doing = Doing::Open;
            if let Ok(engine) = Engine::open(Arc::new(self.env.process()), options()) {
                self.doing = Doing::Seal;
                // Fails where power does, and then that is what was wanted.
                let sealed = engine.seal();
                if sealed.is_ok() {
                    self.doing = Doing::Compact;
                    engine.compact().ok();
                }
            }
            if self.env.is_powered() {
                self.env.power_cut();
                self.env.cancel_cut();
                self.outcome.cuts += 1;
            } else {
                self.cut_was();
            }
        }
        Ok(())
    }

    /// Makes sure that the engine runs. Power may fail on the way; nothing else may.
    fn start(&mut self) -> Result<(), String> {
        self.env.power_on();
        if self.engine.is_some() {
            return Ok(());
        }
        self.doing = Doing::Open;
        self.poisoned = false;
        match Engine::open(Arc::new(self.env.process()), options()) {
            Ok(engine) => {
                self.doing = Doing::Append;
                let troubles = engine.troubles();
                self.engine = Some(engine);
                let fine = troubles.is_empty() || !self.env.is_powered();
                if fine { self.configure() } else { Err(format!("a start found damage: {troubles:?}")) }
            }
            Err(_) if !self.env.is_powered() => Ok(()),
            Err(e) => Err(format!("cannot start: {e}")),
        }
    }

    /// Lets the rows of one service expire after a day. Once that was answered it stays so.
    fn configure(&mut self) -> Result<(), String> {
        let Some(engine) = self.engine.clone().filter(|_| self.expires) else { return Ok(()) };
        if engine.config(EXPIRING).ttl_days == 1 {
            self.configured = true;
            return Ok(());
        }
        if self.configured {
            return Err("the configuration of a service is lost".into());
        }
        self.doing = Doing::Configure;
        let set = engine.set_config(EXPIRING, ServiceConfig { ttl_days: 1, ..ServiceConfig::default() });
        self.did();
        self.configured = set.is_ok();
        self.expect(set, "configure")
    }

    /// Says of another service that its rows stay for ever, as they do anyway.
    fn configure_another(&mut self, engine: &Engine) -> Result<(), String> {
        self.begin(Doing::Configure);
        let set = engine.set_config("web", ServiceConfig { ttl_days: -1, ..ServiceConfig::default() });
        self.did();
        self.expect(set, "configure")
    }

    fn check(&mut self) -> Result<(), String> {
        let Some(engine) = self.engine.clone() else { return Ok(()) };
        let checked = self.client.lock().unwrap().check(&engine, &mut self.rng);
        if self.env.is_powered() { checked } else { Ok(()) }
    }

    fn step(&mut self) -> Result<(), String> {
        let Some(engine) = self.engine.clone() else { return self.start() };
        if self.poisoned && self.rng.one_in(4) {
            drop(engine);
            return self.reopen(false);
        }
        if let Some(Aim(doing, _)) = self.aim
            && self.rng.one_in(5)
        {
            return self.pursue(doing, engine);
        }
        match self.rng.below(100) {
            0..=53 => self.append(&engine),
            54..=55 => self.burst(&engine),
            56..=59 => self.append_beside_each_other(&engine),
            60..=67 => self.seal(&engine),
            68..=72 => self.compact(&engine),
            73..=82 => self.ask(&engine),
            number @ 83..=86 => {
                drop(engine);
                self.reopen(number < 85)
            }
            87..=88 => self.fill_the_disk(&engine),
            89 => self.fail_a_sync(&engine),
            90 if !self.expires => {
                self.env.set_now(rows::STARTED + self.rng.below(1 << 60) as i64);
                Ok(())
            }
            91..=92 => self.retain(&engine),
            93..=94 => self.delete(&engine),
            _ => {
                self.env.advance(Duration::from_millis(self.rng.below(3)));
                Ok(())
            }
        }
    }

    /// Does what power is meant to fail in.
    fn pursue(&mut self, doing: Doing, engine: Arc<Engine>) -> Result<(), String> {
        match doing {
            Doing::Seal => self.seal(&engine),
            Doing::Compact => self.compact(&engine),
            Doing::Retain => self.retain(&engine),
            Doing::Delete => self.delete(&engine),
            Doing::Configure => self.configure_another(&engine),
            Doing::Append => self.burst(&engine),
            Doing::Open | Doing::Close => {
                drop(engine);
                self.reopen(true)
            }
        }
    }

    fn sizes(rng: &mut Rng) -> u64 {
        match rng.below(60) {
            0 => 500 + rng.below(1_500),
            1..=5 => 64 + rng.below(100),
            6..=40 => 1,
            _ => 1 + rng.below(20),
        }
    }

    fn append(&mut self, engine: &Engine) -> Result<(), String> {
        let rows = if self.rng.one_in(12) { 0 } else { Self::sizes(&mut self.rng) };
        self.append_rows(engine, rows)
    }

    fn append_rows(&mut self, engine: &Engine, rows: u64) -> Result<(), String> {
        let ack = if self.rng.one_in(3) { Ack::Memory } else { Ack::Wal };
        self.append_with(engine, rows, ack)
    }

    fn append_with(&mut self, engine: &Engine, rows: u64, ack: Ack) -> Result<(), String> {
        self.doing = Doing::Append;
        let moves = self.rng.one_in(3);
        // Before, since the log's thread may sync as soon as it has answered.
        let syncs = self.env.io_stats().of(IoKind::Sync);
        let error = append(engine, &self.client, rows, ack, moves)?;
        if error.is_none() && ack == Ack::Memory && rows > 0 {
            self.from_memory.push(syncs);
        }
        self.judge(error)
    }

    /// Whether a refusal was to be expected.
    fn judge(&mut self, error: Option<Error>) -> Result<(), String> {
        match error {
            None if self.poisoned => Err("acknowledged after a failed sync".into()),
            Some(error) if self.env.is_powered() && !self.poisoned => Err(format!("refused for no reason: {error}")),
            _ => Ok(()),
        }
    }

    fn append_beside_each_other(&mut self, engine: &Engine) -> Result<(), String> {
        self.doing = Doing::Append;
        let plans: Vec<Vec<(u64, Ack)>> = (0..2 + self.rng.below(3))
            .map(|_| {
                let mut one =
                    || (Self::sizes(&mut self.rng).min(100), *self.rng.pick(&[Ack::Wal, Ack::Wal, Ack::Memory]));
                vec![one(), one(), one()]
            })
            .collect();
        let client = &self.client;
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = plans
                .into_iter()
                .map(|plan| {
                    scope.spawn(move || {
                        let one = |(rows, ack)| append(engine, client, rows, ack, false);
                        plan.into_iter().map(one).collect::<Result<Vec<_>, _>>()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for errors in results {
            errors?.into_iter().try_for_each(|error| self.judge(error))?;
        }
        Ok(())
    }

    fn seal(&mut self, engine: &Engine) -> Result<(), String> {
        self.begin(Doing::Seal);
        let covered = self.client.lock().unwrap().soft();
        let sealed = engine.seal();
        self.did();
        self.expect(sealed, "seal")?;
        if self.env.is_powered() {
            self.client.lock().unwrap().harden(&covered);
        }
        Ok(())
    }

    fn compact(&mut self, engine: &Engine) -> Result<(), String> {
        if self.aims_at(Doing::Compact) {
            // So that there is something to merge.
            for _ in 0..2 {
                self.append(engine)?;
                self.seal(engine)?;
            }
        }
        self.begin(Doing::Compact);
        let compacted = engine.compact();
        self.did();
        self.expect(compacted, "compact")
    }

    /// Two days pass.
    fn expire(&mut self) {
        if self.env.is_powered() && self.configured {
            self.env.advance(Duration::from_secs(2 * 86_400));
            let mut client = self.client.lock().unwrap();
            let keys = client.keys_where(|row| row.get("service_name") == EXPIRING);
            client.gone(&keys);
        }
    }

    /// What one service has so far expires, and leaves.
    fn retain(&mut self, engine: &Engine) -> Result<(), String> {
        if self.expires && (self.aims_at(Doing::Retain) || self.rng.one_in(3)) {
            let whole = self.rng.one_in(2);
            self.append_rows(engine, 20)?;
            if whole {
                self.seal(engine)?;
            }
            self.expire();
            if !whole {
                // One segment has what is expired and what is not.
                self.append_rows(engine, 20)?;
                self.seal(engine)?;
            }
        }
        if !self.env.is_powered() {
            return Ok(());
        }
        self.begin(Doing::Retain);
        let retained = engine.retain(self.rng.one_in(8));
        self.did();
        self.expect(retained, "retain")
    }

    /// Deletes the rows of a level and service with some digit in their key; sometimes it is only asked what would go.
    fn delete(&mut self, engine: &Engine) -> Result<(), String> {
        let service = *self.rng.pick(&rows::SERVICES);
        let digit = self.rng.below(10).to_string();
        let part = Filter::Field("key".into(), Test::Substring(digit.clone()));
        let filter = Filter::And(vec![Filter::Field("level".into(), Test::exact("ERROR")), part]);
        let search = Search { services: vec![service.into()], filter, ..Search::default() };
        let keys = self.client.lock().unwrap().keys_where(|row| rows::passes(&search, row));
        let dry_run = self.rng.one_in(8);
        let unanswered = self.client.lock().unwrap().unanswered(&keys);
        if !dry_run {
            self.client.lock().unwrap().going(&keys);
        }
        self.begin(Doing::Delete);
        let deleted = engine.delete(&search, dry_run);
        self.did();
        if deleted.is_ok() && !dry_run {
            let seen: Vec<u64> = keys.into_iter().filter(|key| !unanswered.contains(key)).collect();
            self.client.lock().unwrap().gone(&seen);
        }
        match deleted {
            // Carrying them out is what makes room again.
            Err(e) if e.kind() == ErrorKind::Busy => Ok(()),
            deleted => self.expect(deleted, "delete"),
        }
    }

    /// Something that has to succeed, unless power failed.
    fn expect<T>(&self, result: Result<T, Error>, what: &str) -> Result<(), String> {
        match result {
            Err(e) if self.env.is_powered() => Err(format!("cannot {what}: {e}")),
            _ => Ok(()),
        }
    }

    fn ask(&mut self, engine: &Engine) -> Result<(), String> {
        let keys = self.client.lock().unwrap().keys();
        let asked =
            client::everything(engine).and_then(|all| client::check_question(engine, &all, keys, &mut self.rng));
        // The log's thread works by itself when it is idle, so power can fail here too.
        if self.env.is_powered() { asked } else { Ok(()) }
    }

    /// Another process takes over: the one before closed, or was killed.
    fn reopen(&mut self, close: bool) -> Result<(), String> {
        let Some(engine) = self.engine.take() else { return Ok(()) };
        if close {
            self.begin(Doing::Close);
            let covered = self.client.lock().unwrap().soft();
            let closed = engine.close();
            if closed.is_ok() {
                self.client.lock().unwrap().harden(&covered);
            }
            if !self.poisoned {
                self.expect(closed, "close")?;
            }
        } else {
            self.env.kill();
        }
        drop(engine);
        if !self.env.is_powered() {
            return Ok(());
        }
        self.start()?;
        if self.env.is_powered() { self.check() } else { Ok(()) }
    }

    /// The disk fills up: appends are refused in their own way, reads go on, and it resumes when there is room.
    fn fill_the_disk(&mut self, engine: &Engine) -> Result<(), String> {
        if self.poisoned {
            return Ok(());
        }
        self.doing = Doing::Append;
        self.env.set_capacity(Some(used_bytes(&self.env) + self.rng.below(40 << 10)));
        for _ in 0..8 {
            let rows = Self::sizes(&mut self.rng).min(200);
            match append(engine, &self.client, rows, Ack::Wal, false)? {
                Some(e) if self.env.is_powered() && e.kind() != ErrorKind::DiskFull => {
                    return Err(format!("a full disk is refused as {e:?}"));
                }
                _ => {}
            }
            if !self.env.is_powered() {
                return Ok(());
            }
        }
        self.ask(engine)?;
        self.env.set_capacity(None);
        let error = append(engine, &self.client, 1, Ack::Wal, false)?;
        self.judge(error)
    }

    /// A sync of the log fails: nothing is acknowledged any more, reads go on.
    fn fail_a_sync(&mut self, engine: &Engine) -> Result<(), String> {
        if self.poisoned {
            return Ok(());
        }
        self.doing = Doing::Append;
        self.env.fail(Fault::nth(1).of(IoKind::Sync).under("/wal/"));
        let Some(e) = append(engine, &self.client, 1, Ack::Wal, false)? else {
            return Err("acknowledged by a sync that failed".into());
        };
        self.env.clear_faults();
        // Where it was a new file's sync that failed, the next append finds another.
        self.poisoned = e.kind() == ErrorKind::Poisoned;
        if self.env.is_powered() { self.ask(engine) } else { Ok(()) }
    }
}

/// Appends rows, with an effect that says so, and takes note of the answer; gives the error where there was one.
pub(crate) fn append(
    engine: &Engine,
    client: &Mutex<Client>,
    rows: u64,
    ack: Ack,
    moves_checkpoint: bool,
) -> Result<Option<Error>, String> {
    let (sent, covered) = {
        let mut client = client.lock().unwrap();
        (client.send(rows, moves_checkpoint), client.soft())
    };
    let answer = engine.append(as_append(&sent, ack));
    let mut client = client.lock().unwrap();
    match answer {
        Ok(_) if engine.effect(&sent.mark()).is_none() => Err(format!("no effect of {sent:?}, which was acknowledged")),
        Ok(appended) => client.answered(&sent, &appended, ack == Ack::Wal, &covered).map(|()| None),
        Err(e) => {
            client.failed(&sent, e.kind());
            Ok(Some(e))
        }
    }
}

fn as_append(sent: &Sent, ack: Ack) -> Append {
    let rows: Vec<_> = sent.keys.clone().map(rows::row).collect();
    let batch = (!rows.is_empty()).then(|| rows::batch(&mut BatchBuilder::new(), &rows));
    let value = sent.number.to_string().into_bytes();
    let mut effects = vec![Effect { key: sent.mark(), value: Some(value.clone()), expires: None }];
    if sent.moves_checkpoint {
        effects.push(Effect { key: CHECKPOINT.to_vec(), value: Some(value), expires: None });
    }
    Append { batch, effects, ack }
}
