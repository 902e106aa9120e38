//! A file or standard input, up to its end.
use super::super::Failure;
use super::batch::Batch;
use super::input::{Input, is_packed_file, open};
use super::progress::Progress;
use super::records::{AtEnd, Records};
use super::state::{Place, State, random};
use super::{Job, now, shown};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::Ordering;

/// Sends what is there, and gives how many records were refused.
pub(super) fn run(job: &Job, path: &Path) -> Result<u64, Failure> {
    if path.as_os_str() == "-" {
        return stream(job, path, io::stdin());
    }
    let file = open(path)?;
    if file.metadata()?.is_file() { of_file(job, path, file) } else { stream(job, path, file) }
}

/// What can be read once only: nothing is kept of how far it was.
fn stream(job: &Job, path: &Path, input: impl Read + 'static) -> Result<u64, Failure> {
    let input = Input::of_stream(input).map_err(|e| cannot_read(path, &e))?;
    let run = random()?;
    let mut progress = Progress::new(path, None, 0);
    let mut records = Records::new(input.reader, 0, job.start.clone());
    let mut start = 0;
    loop {
        let batch = Batch::read(&mut records, start, now(), &job.reading, AtEnd::EndAll);
        let batch = batch.map_err(|e| cannot_read(path, &e))?;
        if batch.is_nothing() {
            return Ok(progress.end(""));
        }
        if let Some(sent) = job.sender.send(&batch, &format!("ingest-{run}-{start}"))? {
            progress.advance(sent, batch.surplus, input.read.load(Ordering::Relaxed));
        }
        start = batch.end;
    }
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
    let handle = file.try_clone().map_err(failed)?;
    let input = Input::of_file(file, state.done).map_err(failed)?;
    let mut progress = Progress::new(path, input.length, input.read.load(Ordering::Relaxed));
    let records = Records::new(input.reader, state.done, job.start.clone());
    let mut reader = Reader { job, place, state, records };
    while let Some((batch, sent)) = reader.step(AtEnd::EndAll)? {
        progress.advance(sent, batch.surplus, input.read.load(Ordering::Relaxed));
        reader.state.know_better(&handle).map_err(failed)?;
    }
    let note = match begun_at {
        0 => String::new(),
        bytes => format!("; its first {bytes} bytes were sent before (--again sends them once more)"),
    };
    Ok(progress.end(&note))
}

/// A file that is read and sent batch by batch.
pub(super) struct Reader<'a, R> {
    pub(super) job: &'a Job,
    pub(super) place: Place,
    pub(super) state: State,
    pub(super) records: Records<R>,
}

impl<R: Read> Reader<'_, R> {
    /// Reads and sends the next batch, which first of all is one that may have been sent before. Nothing where there is
    /// nothing to read, or where it was told to stop.
    pub(super) fn step(&mut self, at_end: AtEnd) -> Result<Option<(Batch, super::sender::Sent)>, Failure> {
        let reading = &self.job.reading;
        let done = self.state.done;
        let (batch, at) = match self.state.sending {
            Some((end, at)) => (Batch::read_again(&mut self.records, (done, end), at, reading), at),
            None => {
                let at = now();
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
