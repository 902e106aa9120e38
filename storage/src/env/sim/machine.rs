//! The simulated machine behind its one lock: power, clock, faults, counters, and every call that reaches the disk.
//!
//! Invariants
//! * Every call passes [`Machine::begin`], which counts it, refuses it without power and decides how it goes wrong.
//! * A handle or lock of an earlier life never touches the disk again.
//! * The three streams of chance are apart: more faults do not change what a cut leaves, nor what `random` gives.
use super::disk::{Disk, Ino, fail, normalized};
use super::faults::{FaultError, IoKind, Plan};
use super::rng::Rng;
use crate::env::{OpenMode, Space};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a disk without a capacity reports.
const SPACE_DEFAULT: u64 = 1 << 40;
/// A file's length.
const FILE_BYTES_MAX: u64 = 1 << 36;
/// Calls that a trace remembers.
const TRACE_CALLS_MAX: usize = 200;
/// Every look at a clock takes this long.
const TICK: Duration = Duration::from_micros(1);
/// The first of January 2026.
const STARTED_NANOS: i64 = 1_767_225_600_000_000_000;

/// How many calls were made, and what they moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IoStats {
    /// All calls, failed ones too.
    pub calls: u64,
    /// Those that change something: the ones that `cut_at_io` counts.
    pub changing: u64,
    /// All calls by their kind.
    pub by_kind: BTreeMap<IoKind, u64>,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Bytes read by the path of the file when it was opened, from the root.
    pub bytes_read_of: BTreeMap<PathBuf, u64>,
    /// Calls that failed because they were told to.
    pub faults: u64,
}

impl IoStats {
    /// Calls of one kind.
    pub fn of(&self, kind: IoKind) -> u64 {
        self.by_kind.get(&kind).copied().unwrap_or(0)
    }
}

/// A call on its way to the disk.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) kind: IoKind,
    pub(super) path: &'a Path,
    /// The life of the caller; a call of the test itself has none.
    pub(super) life: Option<u64>,
    pub(super) changes: bool,
    pub(super) offset: u64,
    pub(super) len: usize,
}

enum Verdict {
    Go,
    Fail(FaultError),
    /// Power fails in the middle.
    Cut,
}

impl FaultError {
    fn at(self, path: &Path) -> io::Error {
        match self {
            Self::Device => fail(io::ErrorKind::Other, "input/output error (simulated)", path),
            Self::NoSpace => fail(io::ErrorKind::StorageFull, "no space left on device (simulated)", path),
        }
    }
}

fn power_off(path: &Path) -> io::Error {
    fail(io::ErrorKind::Other, "power is off", path)
}

pub(super) struct Machine {
    pub(super) disk: Disk,
    pub(super) plan: Plan,
    pub(super) stats: IoStats,
    /// Goes up whenever every process dies.
    pub(super) life: u64,
    pub(super) powered: bool,
    /// What tells it from other machines.
    pub(super) name: String,
    pub(super) trace: Option<VecDeque<String>>,
    /// The call that the last planned cut hit.
    pub(super) cut_at: Option<(IoKind, PathBuf, u64)>,
    pub(super) wall_nanos: i64,
    pub(super) uptime: Duration,
    /// What happens in each pause.
    pub(super) on_pause: Option<Arc<dyn Fn() + Send + Sync>>,
    faults_rng: Rng,
    cut_rng: Rng,
    public_rng: Rng,
    /// Open handles of this life.
    handles: BTreeMap<Ino, usize>,
    locks: BTreeSet<Ino>,
}

impl Machine {
    pub(super) fn new(disk: Disk, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        Self {
            disk,
            plan: Plan::default(),
            stats: IoStats::default(),
            life: 0,
            powered: true,
            name: String::new(),
            trace: None,
            cut_at: None,
            wall_nanos: STARTED_NANOS,
            uptime: Duration::ZERO,
            on_pause: None,
            faults_rng: rng.split(),
            cut_rng: rng.split(),
            public_rng: rng.split(),
            handles: BTreeMap::new(),
            locks: BTreeSet::new(),
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.truncate(TRACE_CALLS_MAX - 1);
            trace.push_front(line());
        }
    }

    fn begin(&mut self, call: Call<'_>) -> io::Result<Verdict> {
        if !self.powered {
            return Err(power_off(call.path));
        }
        if call.life.is_some_and(|life| life != self.life) {
            return Err(fail(io::ErrorKind::Other, "opened before the power was cut", call.path));
        }
        self.stats.calls += 1;
        *self.stats.by_kind.entry(call.kind).or_default() += 1;
        self.stats.changing += u64::from(call.changes);
        let verdict = if call.changes && self.plan.cuts(call.kind, call.path) {
            Verdict::Cut
        } else {
            self.plan.strike(call.kind, call.path).map_or(Verdict::Go, Verdict::Fail)
        };
        self.stats.faults += u64::from(matches!(verdict, Verdict::Fail(_)));
        if matches!(verdict, Verdict::Cut) {
            self.cut_at = Some((call.kind, normalized(call.path), call.offset));
        }
        let number = self.stats.calls;
        self.note(|| {
            let outcome = match &verdict {
                Verdict::Go => String::new(),
                Verdict::Fail(error) => format!(" fails: {error:?}"),
                Verdict::Cut => " and power fails".to_owned(),
            };
            let Call { kind, path, offset, len, .. } = call;
            format!("#{number} {kind:?} {} {offset}+{len}{outcome}", path.display())
        });
        Ok(verdict)
    }

    /// Runs a call that happens as a whole or not at all.
    pub(super) fn run<T>(&mut self, call: Call<'_>, act: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        match self.begin(call)? {
            Verdict::Go => act(self),
            Verdict::Fail(error) => Err(error.at(call.path)),
            Verdict::Cut => {
                if self.cut_rng.coin() {
                    act(self).ok();
                }
                self.cut();
                Err(power_off(call.path))
            }
        }
    }

    /// Power fails now. Nothing happens where it is off already.
    pub(super) fn cut(&mut self) {
        if self.powered {
            self.note(|| "power cut".to_owned());
            self.powered = false;
            self.plan.cancel_cut();
            self.end_life();
            self.disk.crash(&mut self.cut_rng);
        }
    }

    /// Every process dies; what the machine holds in memory for them stays.
    pub(super) fn end_life(&mut self) {
        self.life += 1;
        self.handles.clear();
        self.locks.clear();
        self.disk.forget_unreachable(&self.handles);
    }

    pub(super) fn open(&mut self, call: Call<'_>, mode: OpenMode) -> io::Result<(Ino, u64)> {
        let missing = self.disk.find(call.path).is_none();
        let creates = matches!(mode, OpenMode::Create | OpenMode::OpenOrCreate) && missing;
        self.run(Call { changes: creates, ..call }, |machine| {
            if mode == OpenMode::Create && !missing {
                return Err(fail(io::ErrorKind::AlreadyExists, "exists already", call.path));
            }
            let disk = &mut machine.disk;
            let ino = if creates { disk.create_file(call.path)? } else { disk.file_ino(call.path)? };
            *machine.handles.entry(ino).or_default() += 1;
            Ok((ino, machine.life))
        })
    }

    pub(super) fn close(&mut self, ino: Ino, life: u64) {
        if life != self.life {
            return;
        }
        let left = self.handles.remove(&ino).unwrap_or(0).saturating_sub(1);
        if left > 0 {
            self.handles.insert(ino, left);
        } else {
            self.disk.forget_unreachable(&self.handles);
        }
    }

    /// Takes the lock of an opened file.
    pub(super) fn lock(&mut self, ino: Ino, path: &Path) -> io::Result<()> {
        let taken = !self.locks.insert(ino);
        if taken { Err(fail(io::ErrorKind::WouldBlock, "locked by another", path)) } else { Ok(()) }
    }

    pub(super) fn unlock(&mut self, ino: Ino, life: u64) {
        if life == self.life {
            self.locks.remove(&ino);
        }
    }

    pub(super) fn read(&mut self, call: Call<'_>, ino: Ino, buf: &mut [u8]) -> io::Result<usize> {
        if let Verdict::Fail(error) = self.begin(call)? {
            return Err(error.at(call.path));
        }
        let mut wanted = buf.len();
        if wanted > 1 && self.faults_rng.chance(self.plan.short_reads) {
            wanted = 1 + self.faults_rng.below_len(wanted - 1);
        }
        let (buf, _) = buf.split_at_mut(wanted);
        let read = self.disk.file(ino, call.path)?.read(buf, call.offset);
        if read > 0 && self.faults_rng.chance(self.plan.read_corruption) {
            let at = self.faults_rng.below_len(read);
            let bit = 1 << self.faults_rng.below(8);
            buf.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bit);
        }
        self.stats.bytes_read += read as u64;
        match self.stats.bytes_read_of.get_mut(call.path) {
            Some(bytes) => *bytes += read as u64,
            None => {
                self.stats.bytes_read_of.insert(call.path.to_path_buf(), read as u64);
            }
        }
        Ok(read)
    }

    pub(super) fn write(&mut self, call: Call<'_>, ino: Ino, buf: &[u8]) -> io::Result<usize> {
        match self.begin(call)? {
            Verdict::Go => {
                let mut wanted = buf.len();
                if wanted > 1 && self.faults_rng.chance(self.plan.short_writes) {
                    wanted = 1 + self.faults_rng.below_len(wanted - 1);
                }
                self.write_part(call, ino, buf.split_at(wanted).0)
            }
            Verdict::Fail(error) => {
                // A write that fails on the device may have got some way.
                if error == FaultError::Device && self.faults_rng.coin() {
                    let done = self.faults_rng.below_len(buf.len());
                    self.write_part(call, ino, buf.split_at(done).0)?;
                }
                Err(error.at(call.path))
            }
            Verdict::Cut => {
                let done = self.cut_rng.below_len(buf.len() + 1);
                self.write_part(call, ino, buf.split_at(done).0).ok();
                self.cut();
                Err(power_off(call.path))
            }
        }
    }

    fn write_part(&mut self, call: Call<'_>, ino: Ino, buf: &[u8]) -> io::Result<usize> {
        if call.offset.saturating_add(buf.len() as u64) > FILE_BYTES_MAX {
            return Err(fail(io::ErrorKind::FileTooLarge, "file too large", call.path));
        }
        let room = self.plan.capacity.map(|capacity| capacity.saturating_sub(self.disk.used(&self.handles)));
        let file = self.disk.file_mut(ino, call.path)?;
        let len = room.map_or(buf.len(), |room| file.fit(call.offset, buf.len(), room));
        if len == 0 && !buf.is_empty() {
            return Err(FaultError::NoSpace.at(call.path));
        }
        file.write(buf.split_at(len).0, call.offset);
        self.stats.bytes_written += len as u64;
        Ok(len)
    }

    pub(super) fn sync(&mut self, call: Call<'_>, ino: Ino) -> io::Result<()> {
        match self.begin(call)? {
            Verdict::Go => self.disk.file_mut(ino, call.path)?.sync(),
            Verdict::Fail(error) => {
                self.disk.file_mut(ino, call.path)?.fail_sync(&mut self.faults_rng);
                return Err(error.at(call.path));
            }
            Verdict::Cut => {
                // The sync may have come to its end without the caller hearing of it.
                if self.cut_rng.coin() {
                    self.disk.file_mut(ino, call.path)?.sync();
                }
                self.cut();
                return Err(power_off(call.path));
            }
        }
        Ok(())
    }

    pub(super) fn set_len(&mut self, call: Call<'_>, ino: Ino, len: u64) -> io::Result<()> {
        self.run(call, |machine| {
            if len > FILE_BYTES_MAX {
                return Err(fail(io::ErrorKind::FileTooLarge, "file too large", call.path));
            }
            machine.disk.file_mut(ino, call.path)?.set_len(len);
            Ok(())
        })
    }

    pub(super) fn file_len(&mut self, call: Call<'_>, ino: Ino) -> io::Result<u64> {
        self.run(call, |machine| Ok(machine.disk.file(ino, call.path)?.len()))
    }

    pub(super) fn rename(&mut self, call: Call<'_>, to: &Path) -> io::Result<()> {
        self.run(call, |machine| {
            machine.disk.rename(call.path, to)?;
            machine.disk.forget_unreachable(&machine.handles);
            Ok(())
        })
    }

    pub(super) fn remove_file(&mut self, call: Call<'_>) -> io::Result<()> {
        self.run(call, |machine| {
            machine.disk.remove_file(call.path)?;
            machine.disk.forget_unreachable(&machine.handles);
            Ok(())
        })
    }

    pub(super) fn sync_dir(&mut self, call: Call<'_>) -> io::Result<()> {
        self.run(call, |machine| {
            machine.disk.sync_dir(call.path)?;
            machine.disk.forget_unreachable(&machine.handles);
            Ok(())
        })
    }

    pub(super) fn space(&self) -> Space {
        let total = self.plan.capacity.unwrap_or(SPACE_DEFAULT);
        Space { available: total.saturating_sub(self.disk.used(&self.handles)), total }
    }

    pub(super) fn flip_bit(&mut self, path: &Path, byte: u64, bit: u8) -> io::Result<()> {
        let ino = self.disk.file_ino(path)?;
        let file = self.disk.file_mut(ino, path)?;
        if byte >= file.len() {
            return Err(fail(io::ErrorKind::InvalidInput, "no such byte", path));
        }
        file.flip_bit(byte, bit);
        self.note(|| format!("bit {bit} of byte {byte} flips in {}", normalized(path).display()));
        Ok(())
    }

    pub(super) fn read_raw(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.disk.file(self.disk.file_ino(path)?, path)?;
        let mut bytes = vec![0; usize::try_from(file.len()).unwrap_or(0)];
        file.read(&mut bytes, 0);
        Ok(bytes)
    }

    pub(super) fn now(&mut self) -> i64 {
        self.advance(TICK);
        self.wall_nanos
    }

    pub(super) fn monotonic(&mut self) -> Duration {
        self.advance(TICK);
        self.uptime
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.uptime = self.uptime.saturating_add(by);
        self.wall_nanos = self.wall_nanos.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX));
    }

    pub(super) fn random(&mut self) -> u64 {
        self.public_rng.draw()
    }
}
