//! `--follow`: files that grow, are rotated and are cut, until it is told to stop.
//!
//! Invariants
//! * What is read is what was kept as not sent yet; a record without its end waits, unless its file was rotated away.
//! * A file that has another number, or first bytes other than they were, is another: it is read from its beginning, after what was
//!   left of the one before. No byte of it is taken for one of that before: see `watched.rs`.
//! * A file is quiet when it does not grow, whether what it grew by was read or not.
//! * Between two looks at a file that is quiet it sleeps; nothing is read twice for looking.
use super::super::Failure;
use super::batch::{Batch, Surplus};
use super::input::{is_packed_file, open};
use super::once::{Reader, cannot_read};
use super::progress::done;
use super::records::{AtEnd, Records};
use super::sender::Sent;
use super::state::State;
use super::watched::Watched;
use super::{Job, shown};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Pause between two looks at files that are quiet.
const LOOK: Duration = Duration::from_millis(200);
/// A record of several lines has ended when nothing has come for so long.
pub(super) const RECORD_QUIET: Duration = Duration::from_secs(1);
/// A file that was rotated away is written to for a while still: until it has been quiet for so long.
const ROTATED_QUIET: Duration = Duration::from_secs(1);
/// Batches that may follow each other at once, and how often there may be one beyond these: a server remembers the key of each for a day.
const BATCHES: u32 = 60;
const BATCH_EACH: Duration = Duration::from_secs(5);
/// So much is sent whenever it is there.
const MUCH_BYTES: u64 = 1 << 20;
/// Files of a directory that are looked at for one that was rotated away.
const LOOKED_AT: usize = 10_000;

/// Follows until it is told to stop.
pub(super) fn run(job: &Job, paths: &[PathBuf]) -> Result<(), Failure> {
    let mut followed = paths.iter().map(|path| Followed::new(job, path)).collect::<Result<Vec<_>, _>>()?;
    while !job.stop.load(Ordering::Relaxed) {
        let mut has_more = false;
        for file in &mut followed {
            has_more |= file.step()?;
        }
        if !has_more {
            job.sender.sleep(LOOK);
        }
    }
    for file in &followed {
        eprintln!("{}", done(&shown(&file.path), file.sent, file.refused, file.surplus));
    }
    Ok(())
}

/// A path that is followed.
struct Followed<'a> {
    job: &'a Job,
    path: PathBuf,
    /// The file that is read; nothing while there is none.
    open: Option<Open<'a>>,
    /// What is left to do before a file is opened by its path.
    place: Option<super::Place>,
    /// The file is not there, and that was told.
    is_missed: bool,
    /// Batches that may be sent now, and since when there is not one more.
    batches: u32,
    counted: Instant,
    sent: u64,
    refused: u64,
    surplus: Surplus,
}

struct Open<'a> {
    reader: Reader<'a, Watched>,
    quiet: Quiet,
}

/// Since when a file has the length that it has.
struct Quiet {
    length: u64,
    since: Instant,
}

impl Quiet {
    fn see(&mut self, length: u64) {
        if length != self.length {
            *self = Self { length, since: Instant::now() };
        }
    }

    fn is_for(&self, time: Duration) -> bool {
        self.since.elapsed() >= time
    }
}

impl<'a> Followed<'a> {
    fn new(job: &'a Job, path: &Path) -> Result<Self, Failure> {
        let place = job.place(path)?;
        let (path, counted) = (path.to_owned(), Instant::now());
        let mut followed = Self {
            job,
            path,
            open: None,
            place: None,
            is_missed: false,
            batches: BATCHES,
            counted,
            sent: 0,
            refused: 0,
            surplus: Surplus::default(),
        };
        let known = if job.again { None } else { place.load()? };
        if let Some(state) = known {
            followed.resume(place, state)?;
        } else {
            followed.place = Some(place);
        }
        Ok(followed)
    }

    /// Goes on where it was: with the file of this name, or with the one that had it and was rotated away.
    fn resume(&mut self, place: super::Place, state: State) -> Result<(), Failure> {
        let is_it = |path: &Path| -> io::Result<Option<File>> {
            let file = File::open(path)?;
            Ok(state.is_of(&file, false)?.then_some(file))
        };
        if let Ok(Some(file)) = is_it(&self.path) {
            return self.open(place, state, file);
        }
        let directory = place.file().parent().unwrap_or(Path::new("/")).to_owned();
        let entries = fs::read_dir(&directory).into_iter().flatten().take(LOOKED_AT).flatten();
        let is_named =
            |entry: &fs::DirEntry| entry.metadata().is_ok_and(|meta| meta.is_file() && state.is_named(&meta));
        let rotated = entries.into_iter().find(is_named);
        match rotated.map(|entry| is_it(&entry.path())) {
            Some(Ok(Some(file))) => self.open(place, state, file),
            _ => {
                eprintln!(
                    "logyard: {} is another file than it was; what was not sent of that one is not here any more",
                    shown(&self.path)
                );
                self.place = Some(place);
                Ok(())
            }
        }
    }

    fn open(&mut self, place: super::Place, state: State, file: File) -> Result<(), Failure> {
        if is_packed_file(&file)? {
            return Err(Failure::Usage(format!(
                "{} is packed: such files do not grow; leave --follow out",
                shown(&self.path)
            )));
        }
        let file = Arc::new(file);
        let failed = |e: io::Error| cannot_read(&self.path, &e);
        let watched = Watched::new(Arc::clone(&file), &state).map_err(failed)?;
        let records = Records::new(watched, state.done, self.job.start.clone());
        let reader = Reader { job: self.job, file, place, state, records };
        self.open = Some(Open { reader, quiet: Quiet { length: 0, since: Instant::now() } });
        Ok(())
    }

    /// Sends what came, and says whether there may be more at once.
    fn step(&mut self) -> Result<bool, Failure> {
        while self.batches < BATCHES && self.counted.elapsed() >= BATCH_EACH {
            self.batches += 1;
            self.counted += BATCH_EACH;
        }
        let Some(open) = &mut self.open else { return self.open_new() };
        let length = open.reader.file.metadata().map_err(|e| cannot_read(&self.path, &e))?.len();
        open.quiet.see(length);
        let records = &mut open.reader.records;
        if records.input_mut().is_shorter_than_read(length) {
            return self.cut();
        }
        if self.batches == 0 && length.saturating_sub(records.position()) < MUCH_BYTES {
            return self.look();
        }
        // A record ends only where all that came is read, and not what comes at this moment: it may be a part of it.
        let is_due = records.has_begun() && records.position() == length && open.quiet.is_for(RECORD_QUIET);
        records.read_until(is_due.then_some(length));
        let sent = open.reader.step(if is_due { AtEnd::EndLines } else { AtEnd::Wait })?;
        open.reader.records.read_until(None);
        if let Some((batch, sent)) = sent {
            self.spend();
            self.count(&sent, batch.surplus);
            return Ok(true);
        }
        if self.job.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        self.look()
    }

    /// Looks what became of a file that has nothing more to read.
    fn look(&mut self) -> Result<bool, Failure> {
        let Some(open) = &mut self.open else { return Ok(false) };
        let failed = |e: io::Error| cannot_read(&self.path, &e);
        if open.reader.records.input_mut().is_cut().map_err(failed)? {
            return self.cut();
        }
        let is_there = match fs::metadata(&self.path) {
            Ok(meta) => open.reader.state.is_named(&meta),
            // Between two files of a rotation there may be none.
            Err(_) => true,
        };
        if is_there || !open.quiet.is_for(ROTATED_QUIET) {
            return Ok(false);
        }
        self.leave(AtEnd::EndAll)
    }

    /// Leaves a file that was cut, and reads it from its beginning.
    fn cut(&mut self) -> Result<bool, Failure> {
        eprintln!("logyard: {} was cut; it is read from its beginning", shown(&self.path));
        // A line that was not whole was cut with it.
        self.leave(AtEnd::EndLines)
    }

    /// Sends what is left of a file, and has the one opened next that is there now.
    fn leave(&mut self, at_end: AtEnd) -> Result<bool, Failure> {
        while let Some((batch, sent)) = self.rest(at_end)? {
            self.count(&sent, batch.surplus);
        }
        if self.job.stop.load(Ordering::Relaxed) { Ok(false) } else { self.close() }
    }

    fn rest(&mut self, at_end: AtEnd) -> Result<Option<(Batch, Sent)>, Failure> {
        self.open.as_mut().map_or(Ok(None), |open| open.reader.step(at_end))
    }

    /// Has the file that is there now opened next, from its beginning.
    fn close(&mut self) -> Result<bool, Failure> {
        self.place = self.open.take().map(|open| open.reader.place);
        Ok(true)
    }

    /// Opens the file that has the name now.
    fn open_new(&mut self) -> Result<bool, Failure> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if !self.is_missed {
                    eprintln!("logyard: {} is not there yet; waiting for it", shown(&self.path));
                    self.is_missed = true;
                }
                return Ok(false);
            }
            Err(_) => open(&self.path)?,
        };
        let Some(place) = self.place.take() else { return Ok(false) };
        let state = place.begun(&file).map_err(|e| cannot_read(&self.path, &e))?;
        place.save(&state, true)?;
        self.is_missed = false;
        self.open(place, state, file)?;
        Ok(true)
    }

    /// One batch less may be sent now.
    fn spend(&mut self) {
        if self.batches == BATCHES {
            self.counted = Instant::now();
        }
        self.batches = self.batches.saturating_sub(1);
    }

    fn count(&mut self, sent: &Sent, surplus: Surplus) {
        self.sent += sent.stored;
        self.refused += sent.refused;
        self.surplus.add(surplus);
        tell(&self.path, sent);
    }
}

/// Says which records were refused.
fn tell(path: &Path, sent: &Sent) {
    if sent.refused > 0 {
        eprintln!("logyard: {}: {} records were refused", shown(path), sent.refused);
        sent.reasons.iter().for_each(|reason| eprintln!("  {reason}"));
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
