//! A file, up to its end.
//!
//! Invariants
//! * Where a batch ends is kept before it is sent; `done` moves on only when it is acknowledged, and is kept durably then.
//! * A file that is not the one that is known, or that lacks what was read of it, is read from its beginning.
//! * Told to stop, it ends with 1 behind the last batch that was acknowledged.
use super::super::{Failure, times};
use super::batch::Batch;
use super::input::{Input, is_packed_file, open};
use super::progress::Progress;
use super::records::{AtEnd, Records};
use super::state::{Place, State, first_bytes};
use super::{Job, piped, shown};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Sends what is there, and gives how many records were refused.
pub(super) fn run(job: &Job, path: &Path) -> Result<u64, Failure> {
    if path.as_os_str() == "-" {
        return piped::run(job, path, || Ok(io::stdin()));
    }
    // Opening a pipe waits for who writes to it.
    if fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
        let path_of_pipe = path.to_owned();
        return piped::run(job, path, move || File::open(path_of_pipe));
    }
    of_file(job, path, open(path)?)
}

fn of_file(job: &Job, path: &Path, file: File) -> Result<u64, Failure> {
    let failed = |e: io::Error| cannot_read(path, &e);
    let place = job.place(path)?;
    let is_packed = is_packed_file(&file).map_err(failed)?;
    let known = if job.again { None } else { place.load()? };
    let known = match known {
        Some(state) if state.is_of(&file, is_packed).map_err(failed)? => Some(state),
        _ => None,
    };
    let begun_at = known.as_ref().map_or(0, |state| state.done);
    let state = match known {
        Some(state) => state,
        None => place.begun(&file).map_err(failed)?,
    };
    let handle = Arc::new(file.try_clone().map_err(failed)?);
    let input = Input::of_file(file, state.done).map_err(failed)?;
    let mut progress = Progress::new(path, input.length, input.read.load(Ordering::Relaxed));
    let records = Records::new(input.reader, state.done, job.start.clone());
    let mut reader = Reader { job, file: handle, place, state, records };
    while let Some((batch, sent)) = reader.step(AtEnd::EndAll)? {
        progress.advance(sent, batch.surplus, input.read.load(Ordering::Relaxed));
        if job.stop.load(Ordering::Relaxed) {
            break;
        }
    }
    if job.stop.load(Ordering::Relaxed) {
        progress.end("");
        let name = shown(path);
        return Err(Failure::Failed(format!("{name}: told to stop; the same command goes on where it was")));
    }
    let note = match begun_at {
        0 => String::new(),
        bytes => format!("; its first {bytes} bytes were sent before (--again sends them once more)"),
    };
    Ok(progress.end(&note))
}

/// What the bytes of a file are read from.
pub(super) trait Source: Read {
    /// The first bytes of the file that was read, at most so many.
    fn first_bytes(&self, file: &File, bytes: u64) -> io::Result<Vec<u8>> {
        first_bytes(file, bytes)
    }
}

impl Source for Box<dyn Read> {}

/// A file that is read and sent batch by batch.
pub(super) struct Reader<'a, R> {
    pub(super) job: &'a Job,
    pub(super) file: Arc<File>,
    pub(super) place: Place,
    pub(super) state: State,
    pub(super) records: Records<R>,
}

impl<R: Source> Reader<'_, R> {
    /// Reads and sends the next batch, which first of all is one that may have been sent before. Nothing where there is
    /// nothing to read, or where it was told to stop.
    pub(super) fn step(&mut self, at_end: AtEnd) -> Result<Option<(Batch, super::sender::Sent)>, Failure> {
        let reading = &self.job.reading;
        let done = self.state.done;
        let (batch, at) = match self.state.sending {
            Some((end, at)) => (Batch::read_again(&mut self.records, (done, end), at, reading), at),
            None => {
                // For years that syslog leaves out.
                let at = times::now();
                (Batch::read(&mut self.records, done, at, reading, at_end), at)
            }
        };
        let batch = batch.map_err(|e| cannot_read(self.place.file(), &e))?;
        if batch.is_nothing() {
            return Ok(None);
        }
        if self.state.sending.is_none() {
            self.state.set(&self.place);
            self.state.sending = Some((batch.end, at));
            // Not later: the file may become another while the batch is on its way.
            let bytes = self.state.head_bytes_at(batch.end);
            let first = self.records.input().first_bytes(&self.file, bytes);
            self.state.know_better(&first.map_err(|e| cannot_read(self.place.file(), &e))?);
            self.place.save(&self.state, false)?;
        }
        let Some(sent) = self.job.sender.send(&batch, &self.state.key())? else { return Ok(None) };
        self.state.done = batch.end;
        self.state.sending = None;
        self.place.save(&self.state, true)?;
        Ok(Some((batch, sent)))
    }
}

pub(super) fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("cannot read {}: {error}", shown(path)))
}
