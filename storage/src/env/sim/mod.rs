//! A simulated machine: a disk in memory that loses power, fails, fills up, tears and rots, all from one seed.
//!
//! A test keeps a [`SimEnv`] to steer by, and gives the engine under test [`SimEnv::process`], which dies with the
//! power or by [`SimEnv::kill`], so that a thread that was left behind cannot touch the next life's disk.
//!
//! Invariants
//! * The same seed and the same calls in the same order give the same disk, byte for byte.
//! * What a sync covered survives; every other change may survive, vanish or tear, in any order.
//! * The clock moves by calls, by pauses, which take no time of the test's, and by [`SimEnv::advance`] only.
mod content;
mod disk;
mod faults;
mod file;
mod machine;
mod oracle;
mod rng;
#[cfg(test)]
mod tests;

pub use faults::{Fault, IoKind};
pub use machine::IoStats;
pub use oracle::{Oracle, fingerprint};

use super::{DirEntry, DirLock, Env, File, OpenMode, Space};
use disk::{Disk, normalized};
use file::{SimFile, SimLock};
use machine::{Call, Machine};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A simulated machine, or a process on it. Clones are the same machine.
#[derive(Clone)]
pub struct SimEnv {
    machine: Shared,
    /// The life this process belongs to; the test's own env outlives them all.
    life: Option<u64>,
}

/// What a disk was at one moment, unsynced changes included. Cheap to take, to clone and to start from.
#[derive(Clone)]
pub struct SimSnapshot {
    disk: Disk,
    wall_nanos: i64,
    uptime: Duration,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Machine>>);

impl Shared {
    fn locked(&self) -> MutexGuard<'_, Machine> {
        // A test that panicked with the lock held has failed already.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimEnv {
    /// A machine with an empty disk, powered on.
    pub fn new(seed: u64) -> Self {
        Self::of(Machine::new(Disk::new(), seed))
    }

    /// A machine with a disk as it was, powered on, whose further luck comes from `seed`.
    pub fn from_snapshot(snapshot: &SimSnapshot, seed: u64) -> Self {
        let mut machine = Machine::new(snapshot.disk.clone(), seed);
        machine.wall_nanos = snapshot.wall_nanos;
        machine.uptime = snapshot.uptime;
        // The snapshot was taken while processes ran; none of them is here.
        machine.end_life();
        Self::of(machine)
    }

    fn of(machine: Machine) -> Self {
        Self { machine: Shared(Arc::new(Mutex::new(machine))), life: None }
    }

    /// The disk as it is, for any number of machines to start from.
    pub fn snapshot(&self) -> SimSnapshot {
        let machine = self.machine.locked();
        SimSnapshot { disk: machine.disk.clone(), wall_nanos: machine.wall_nanos, uptime: machine.uptime }
    }

    /// The same machine as a process sees it: all of it fails for good once the power was cut or the process killed.
    pub fn process(&self) -> Self {
        Self { machine: self.machine.clone(), life: Some(self.machine.locked().life) }
    }

    /// Power fails: unsynced changes are lost, kept or torn, locks are released, and every call fails until
    /// [`SimEnv::power_on`]. What was open before stays dead after it.
    pub fn power_cut(&self) {
        self.machine.locked().cut();
    }

    /// Power fails in the `n`-th following call that changes something (see [`IoStats::changing`]), which may have done
    /// all, some or none of its work.
    pub fn cut_at_io(&self, n: u64) {
        self.machine.locked().plan.cut_in = Some(n.max(1));
    }

    /// Power fails in the changing call that this fault would strike, counted among the changing calls that match.
    pub fn cut_at(&self, when: Fault) {
        self.machine.locked().plan.cut_when = Some(when);
    }

    /// Takes back [`SimEnv::cut_at_io`] and [`SimEnv::cut_at`].
    pub fn cancel_cut(&self) {
        self.machine.locked().plan.cancel_cut();
    }

    /// The call in which a planned cut happened last, the path as it was when the file was opened, and the offset;
    /// forgets it.
    pub fn take_cut(&self) -> Option<(IoKind, PathBuf, u64)> {
        self.machine.locked().cut_at.take()
    }

    /// The disk is in another machine from here on, as a copy of it would be.
    pub fn move_to(&self, machine: &str) {
        self.machine.locked().name = machine.to_owned();
    }

    /// Power is back.
    pub fn power_on(&self) {
        self.machine.locked().powered = true;
    }

    /// Whether there is power.
    pub fn is_powered(&self) -> bool {
        self.machine.locked().powered
    }

    /// Every process dies as by SIGKILL: handles are dead and locks released, but the page cache loses nothing.
    pub fn kill(&self) {
        self.machine.locked().end_life();
    }

    /// Adds a fault to those that are set. Faults outlive a power cut; a process started after it meets them too.
    pub fn fail(&self, fault: Fault) {
        self.machine.locked().plan.faults.push(fault);
    }

    /// No call fails any more; probabilities and capacity stay.
    pub fn clear_faults(&self) {
        self.machine.locked().plan.faults.clear();
    }

    /// Bytes that files can take in all; unlimited when none.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.machine.locked().plan.capacity = bytes;
    }

    /// How often a write takes only some of its bytes, from 0 to 1.
    pub fn set_short_writes(&self, probability: f64) {
        self.machine.locked().plan.short_writes = probability;
    }

    /// How often a read gives only some of the bytes that are there, from 0 to 1.
    pub fn set_short_reads(&self, probability: f64) {
        self.machine.locked().plan.short_reads = probability;
    }

    /// How often a read has one bit wrong that is right on disk, from 0 to 1.
    pub fn set_read_corruption(&self, probability: f64) {
        self.machine.locked().plan.read_corruption = probability;
    }

    /// Flips a bit (0 to 7) of a file for good.
    pub fn flip_bit(&self, path: &Path, byte: u64, bit: u8) -> io::Result<()> {
        self.machine.locked().flip_bit(path, byte, bit)
    }

    /// What reads of a file would see. Neither counted nor failing, with the power off too.
    pub fn read_raw(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.machine.locked().read_raw(path)
    }

    /// Makes a file be these bytes, durably, its name and the directories above it too. Neither counted nor failing.
    pub fn write_raw(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.machine.locked().disk.write_raw(path, bytes)
    }

    /// All files from the root, with their lengths.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        self.machine.locked().disk.files()
    }

    /// What was done since the start or the last [`SimEnv::reset_io_stats`].
    pub fn io_stats(&self) -> IoStats {
        self.machine.locked().stats.clone()
    }

    /// Counts from nothing again.
    pub fn reset_io_stats(&self) {
        self.machine.locked().stats = IoStats::default();
    }

    /// Starts or stops remembering the last calls.
    pub fn set_trace(&self, on: bool) {
        self.machine.locked().trace = on.then(VecDeque::new);
    }

    /// The last calls, the oldest first, a line each.
    pub fn trace(&self) -> Vec<String> {
        self.machine.locked().trace.iter().flatten().rev().cloned().collect()
    }

    /// Sets the wall clock, backwards too.
    pub fn set_now(&self, nanos: i64) {
        self.machine.locked().wall_nanos = nanos;
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        self.machine.locked().advance(by);
    }

    /// What happens in each pause from now on, on the thread that pauses.
    pub fn on_pause(&self, act: impl Fn() + Send + Sync + 'static) {
        self.machine.locked().on_pause = Some(Arc::new(act));
    }

    fn call<'a>(&self, kind: IoKind, path: &'a Path) -> Call<'a> {
        let changes = !matches!(kind, IoKind::Open | IoKind::Read | IoKind::List | IoKind::Stat);
        Call { kind, path, life: self.life, changes, offset: 0, len: 0 }
    }

    fn open_file(&self, path: &Path, mode: OpenMode) -> io::Result<SimFile> {
        let path = normalized(path);
        let (ino, life) = self.machine.locked().open(self.call(IoKind::Open, &path), mode)?;
        Ok(SimFile { machine: self.machine.clone(), ino, life, path })
    }
}

impl Env for SimEnv {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.open_file(path, mode)?))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.machine.locked().run(self.call(IoKind::CreateDir, path), |machine| machine.disk.create_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.machine.locked().sync_dir(self.call(IoKind::SyncDir, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.machine.locked().rename(self.call(IoKind::Rename, from), to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.machine.locked().remove_file(self.call(IoKind::Remove, path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.machine.locked().run(self.call(IoKind::Remove, path), |machine| machine.disk.remove_dir(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.machine.locked().run(self.call(IoKind::List, path), |machine| machine.disk.list(path))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.machine.locked().run(self.call(IoKind::Stat, path), |machine| Ok(machine.disk.find(path).is_some()))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        let file = self.open_file(path, OpenMode::OpenOrCreate)?;
        self.machine.locked().lock(file.ino, path)?;
        Ok(Box::new(SimLock { file }))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.machine.locked().run(self.call(IoKind::Stat, path), |machine| Ok(machine.space()))
    }

    fn now(&self) -> i64 {
        self.machine.locked().now()
    }

    fn monotonic(&self) -> Duration {
        self.machine.locked().monotonic()
    }

    fn pause(&self, time: Duration) {
        self.advance(time);
        let act = self.machine.locked().on_pause.clone();
        if let Some(act) = act {
            act();
        }
    }

    fn identity(&self, path: &Path) -> Option<String> {
        let machine = self.machine.locked();
        machine.disk.find(path).map(|ino| format!("{} {ino}", machine.name))
    }

    fn random(&self) -> u64 {
        self.machine.locked().random()
    }
}
