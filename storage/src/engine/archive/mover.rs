//! The thread of the archive, and when it does what.
//!
//! Four times a second it looks: what somebody waits for is sealed and copied; so is what is old enough, or would be too old;
//! then each target gets its manifest; segments leave this disk that were here for long enough, or that it has no room for; and
//! once an hour what nothing needs is removed from targets. It is apart from the maintenance thread, since it waits for the
//! network.
//!
//! Invariants
//! * It stands back behind threads that somebody waits for.
//! * It holds no lock that appends or searches wait for while it waits for a target.
//! * A target that fails is left alone for a while, longer each time; the others go on.
//! * What fails is said by the status of its target, once.
//! * Once the engine stops, nothing is committed that a target answers.
use super::offload::Haste;
use super::policy::{Pressure, Waiting, is_due, seal_within};
use super::{CollectReport, LiveSegment, Shared, locked};
use crate::archive::Target;
use crate::catalog::Residency;
use crate::env::give_way;
use crate::error::{Error, ErrorKind, Result};
use crate::planted;
use crate::retention::DAY_NANOS;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the thread looks whether there is something to do.
const LOOK: Duration = Duration::from_millis(250);
/// How often a target gets a manifest at most.
const MANIFEST_EVERY: Duration = Duration::from_secs(30);
/// How often what is condemned is removed, and how often what nobody knows of is looked for.
const COLLECT_EVERY: Duration = Duration::from_secs(600);
const LIST_EVERY: Duration = Duration::from_secs(86_400);
/// How long a target that failed is left alone at first, and at most.
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// How long the thread is waited for at the end. One that waits for a target longer changes nothing any more after that.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often segments are asked whether they leave this disk.
const LEAVE_EVERY: Duration = Duration::from_secs(10);

/// The thread.
pub(crate) struct Mover {
    thread: Mutex<Option<JoinHandle<()>>>,
    shared: Arc<Shared>,
}

impl Mover {
    pub(crate) fn start(shared: &Arc<Shared>, background: bool) -> Result<Self> {
        let thread = if background && !shared.archive.targets.is_empty() {
            let of_thread = Arc::clone(shared);
            let spawned = std::thread::Builder::new().name("archive-mover".into()).spawn(move || run(&of_thread));
            Some(spawned.map_err(|e| Error::new(ErrorKind::Io, format!("cannot start the archive's thread: {e}")))?)
        } else {
            None
        };
        Ok(Self { thread: Mutex::new(thread), shared: Arc::clone(shared) })
    }

    pub(crate) fn stop(&self) {
        self.shared.archive.wanted.close();
        let Some(thread) = locked(&self.thread).take() else { return };
        let end = Instant::now() + PATIENCE;
        while !thread.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() {
            // A panic of the thread was printed when it happened.
            let _ended = thread.join();
        }
    }
}

fn run(shared: &Shared) {
    give_way();
    let mut errands = Errands::default();
    while shared.archive.wanted.pause(LOOK) {
        errands.look(shared);
    }
    shared.let_go();
}

/// What the thread remembers of a target.
#[derive(Default)]
struct Errand {
    /// Until when it is left alone, and for how long that was.
    until: Duration,
    pause: Duration,
    manifest_at: Option<Duration>,
    collected_at: Option<Duration>,
    listed_at: Option<Duration>,
}

/// What the thread remembers from look to look.
#[derive(Default)]
pub(super) struct Errands {
    targets: BTreeMap<String, Errand>,
    left_at: Option<Duration>,
    said: String,
}

fn is_time(last: Option<Duration>, every: Duration, now: Duration) -> bool {
    last.is_none_or(|last| now.saturating_sub(last) >= every)
}

impl Errands {
    /// Does all that is due.
    pub(super) fn look(&mut self, shared: &Shared) {
        let now = shared.env.monotonic();
        let wanted = shared.archive.wanted.is_due(now, shared.hot_bytes.load(Ordering::Relaxed));
        let sealed = shared.seal_for_archive(wanted);
        self.say(shared, "sealing for the archive", sealed);
        for target in &shared.archive.targets {
            let errand = self.targets.entry(target.name.clone()).or_default();
            if now < errand.until {
                continue;
            }
            let outcome = errand.run(shared, target, now);
            match shared.noting(target, outcome) {
                Ok(()) => errand.pause = Duration::ZERO,
                Err(e) if e.kind() == ErrorKind::Closed => return,
                Err(_) => {
                    errand.pause = (errand.pause * 2).clamp(PAUSE, PAUSE_MAX);
                    errand.until = shared.env.monotonic() + errand.pause;
                }
            }
        }
        shared.answer_wanted();
        if is_time(self.left_at, LEAVE_EVERY, now) {
            self.left_at = Some(now);
            let left = shared.let_segments_leave();
            self.say(shared, "letting segments leave this disk", left);
        }
    }

    fn say(&mut self, shared: &Shared, doing: &str, outcome: Result<()>) {
        match outcome {
            Err(e) if e.kind() != ErrorKind::Closed => {
                let says = format!("{doing}: {e}");
                if self.said != says {
                    shared.trouble(says.clone());
                    self.said = says;
                }
            }
            _ => {}
        }
    }
}

impl Errand {
    fn run(&mut self, shared: &Shared, target: &Target, now: Duration) -> Result<()> {
        let copied = shared.offload_due(target)?;
        let is_bounded = target.max_loss.is_some();
        if is_time(self.manifest_at, MANIFEST_EVERY, now)
            || copied && is_bounded
            || shared.waits_for_manifest(target)?
        {
            let _alone = locked(&shared.archive.moving);
            if shared.write_manifest(target)? {
                self.manifest_at = Some(now);
            }
        }
        if is_time(self.collected_at, COLLECT_EVERY, now) {
            let with_strangers = is_time(self.listed_at, LIST_EVERY, now);
            let _alone = locked(&shared.archive.moving);
            let mut report = CollectReport::default();
            shared.collect_in(target, with_strangers, &mut report)?;
            self.collected_at = Some(now);
            if with_strangers {
                self.listed_at = Some(now);
            }
        }
        Ok(())
    }
}

impl Shared {
    /// Seals what somebody waits for, and what would be too old for a target otherwise.
    fn seal_for_archive(&self, is_wanted: bool) -> Result<()> {
        let is_old = seal_within(&self.archive.targets).is_some_and(|within| {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let now = self.env.monotonic();
            let since = state.generations.iter().find_map(|generation| generation.size().since);
            since.is_some_and(|since| now.saturating_sub(since) >= within)
        });
        if is_wanted || is_old { self.seal_all() } else { Ok(()) }
    }

    /// Copies what is due to a target; says whether anything was.
    fn offload_due(&self, target: &Target) -> Result<bool> {
        let waiting: Vec<LiveSegment> =
            self.segments().into_iter().filter(|live| self.is_waiting(target, live)).collect();
        if waiting.is_empty() {
            return Ok(false);
        }
        let pressure = Pressure {
            waiting_bytes: waiting.iter().map(|live| live.record.bytes).sum(),
            disk_is_full: self.is_disk_short(),
        };
        let covered = self.covered(target, &*self.last_manifest(target)?)?;
        let (now, wanted) = (self.env.now(), self.archive.wanted.until());
        let is_due = |live: &LiveSegment| {
            let age =
                u64::try_from(now.saturating_sub(live.record.created)).map_or(Duration::ZERO, Duration::from_nanos);
            let took_a_place = live.record.first_seq < covered
                && !live.segment.footer.replaces.is_empty()
                && !planted::on("manifest-without-what-was-merged");
            let is_wanted = live.record.first_seq < wanted;
            is_due(target, Waiting { age, took_a_place, is_wanted }, pressure)
        };
        let report =
            self.offload_some(std::slice::from_ref(target), Haste::None, |_, live| is_due(live), &mut |_| Ok(()))?;
        match report.failed.into_iter().next() {
            None => Ok(report.segments > 0),
            Some(failed) => Err(Error::new(ErrorKind::Unavailable, failed)),
        }
    }

    /// Lets segments leave this disk that were back for long enough, or here for as long as they are to be, or that it has
    /// no room for.
    pub(super) fn let_segments_leave(&self) -> Result<()> {
        self.expire_restored()?;
        let now = self.delete_by();
        for live in self.segments() {
            self.is_closing()?;
            let Some(days) = live.record.class.local_days else { continue };
            let stayed = now.saturating_sub(live.record.expire_from);
            let is_here = |record: &crate::catalog::ArchiveRecord| record.residency == Residency::Here;
            if stayed >= i64::from(days).saturating_mul(DAY_NANOS)
                && self.archive.record(live.record.id).is_some_and(|record| is_here(&record))
            {
                self.evict(live.record.id)?;
            }
        }
        if self.is_disk_short() {
            self.make_room_by_leaving()?;
        }
        Ok(())
    }

    /// Whether somebody waits for a target to know what it has.
    pub(super) fn waits_for_manifest(&self, target: &Target) -> Result<bool> {
        let is_first = self.archive.targets.first().is_some_and(|first| first.name == target.name);
        let wanted = &self.archive.wanted;
        Ok(is_first && wanted.has_any() && self.last_manifest(target)?.head.below < wanted.until())
    }

    /// Answers whoever waits for what the first target has and knows now: without a manifest, a rebuild would not find it.
    fn answer_wanted(&self) {
        let wanted = &self.archive.wanted;
        if let Some(target) = self.archive.targets.first().filter(|_| wanted.has_any())
            && let Ok(last) = self.last_manifest(target)
        {
            wanted.reached(last.head.below);
        }
    }
}
