//! One data directory through many lives, most of which end in a power cut.
//!
//! A life's steps come from its seed. Where appends run beside each other the threads decide their order, so that the
//! same seed can meet another disk; everything else is the same again.
use super::client::{self, CHECKPOINT, Client, Sent};
use super::steps::{Doing, Hits, step};
use crate::chance::Rng;
use crate::rows;
use logyard_storage::Effect;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine, Options};
use logyard_storage::env::Env;
use logyard_storage::env::sim::{Fault, IoKind, SimEnv};
use logyard_storage::error::{Error, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) runs: u64,
    pub(crate) cuts: u64,
    pub(crate) chains: u64,
    pub(crate) hits: Hits,
}

/// A run in progress.
struct Life {
    env: SimEnv,
    rng: Rng,
    client: Arc<Mutex<Client>>,
    engine: Option<Arc<Engine>>,
    doing: Doing,
    /// Power is to fail the next time that this is done.
    aim: Option<Doing>,
    /// After a failed write or sync: nothing may be acknowledged until the next start.
    poisoned: bool,
    outcome: Outcome,
}

pub(crate) fn options() -> Options {
    Options {
        background: false,
        wal_file_bytes: 32 << 10,
        flush_interval: Duration::from_millis(1),
        default_ttl_days: None,
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
        poisoned: false,
        outcome: Outcome::default(),
    };
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
        self.plan_cut();
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
            self.start()?;
            if self.env.is_powered() {
                self.check()?;
                self.plan_cut();
            }
        }
        Err("it does not end".into())
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
        match rng.below(4) {
            0 => return self.env.cut_at_io(1 + rng.below(150)),
            1 => {
                self.aim = Some(*rng.pick(&[Doing::Compact, Doing::Compact, Doing::Seal, Doing::Close]));
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
        if self.aim == Some(doing) {
            self.aim = None;
            self.env.cut_at_io(1 + self.rng.below(if doing == Doing::Close { 20 } else { 80 }));
        }
    }

    /// Counts the step in which power failed.
    fn cut_was(&mut self) {
        self.engine = None;
        self.poisoned = false;
        self.outcome.cuts += 1;
        let trace = self.env.trace();
        let step = self
            .env
            .take_cut()
            .map_or("elsewhere", |(kind, path, offset)| step(self.doing, kind, &path, offset, &trace));
        self.outcome.hits.add(step);
        self.env.clear_faults();
        self.env.set_capacity(None);
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
                if fine { Ok(()) } else { Err(format!("a start found damage: {troubles:?}")) }
            }
            Err(_) if !self.env.is_powered() => Ok(()),
            Err(e) => Err(format!("cannot start: {e}")),
        }
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
        match self.rng.below(100) {
            0..=57 => self.append(&engine),
            58..=61 => self.append_beside_each_other(&engine),
            62..=69 => self.seal(&engine),
            70..=74 => self.compact(&engine),
            75..=85 => self.ask(&engine),
            number @ 86..=89 => {
                drop(engine);
                self.reopen(number < 88)
            }
            90..=91 => self.fill_the_disk(&engine),
            92 => self.fail_a_sync(&engine),
            93 => {
                self.env.set_now(rows::STARTED + self.rng.below(1 << 60) as i64);
                Ok(())
            }
            _ => {
                self.env.advance(Duration::from_millis(self.rng.below(3)));
                Ok(())
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
        self.doing = Doing::Append;
        let rows = if self.rng.one_in(12) { 0 } else { Self::sizes(&mut self.rng) };
        let ack = if self.rng.one_in(3) { Ack::Memory } else { Ack::Wal };
        let moves = self.rng.one_in(3);
        let error = append(engine, &self.client, rows, ack, moves)?;
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
        self.doing = Doing::Append;
        self.expect(sealed, "seal")?;
        if self.env.is_powered() {
            self.client.lock().unwrap().harden(&covered);
        }
        Ok(())
    }

    fn compact(&mut self, engine: &Engine) -> Result<(), String> {
        if self.aim == Some(Doing::Compact) {
            // So that there is something to merge.
            for _ in 0..2 {
                self.append(engine)?;
                self.seal(engine)?;
            }
        }
        self.begin(Doing::Compact);
        let compacted = engine.compact();
        self.doing = Doing::Append;
        self.expect(compacted, "compact")
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
