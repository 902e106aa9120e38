//! Standard input and pipes, which may have no end for long: nothing is kept of how far they were read.
//!
//! Invariants
//! * What came is sent when there is a batch of it, [`SENT_EACH`] after its first record came, and at the end, be it the input's or a signal.
//! * What is read and not sent yet is a batch and [`PIECES`] pieces; whoever writes waits beyond that.
use super::super::{Failure, times};
use super::batch::Batch;
use super::follow::RECORD_QUIET;
use super::input::Input;
use super::once::cannot_read;
use super::progress::Progress;
use super::records::{AtEnd, Records};
use super::state::random;
use super::{Job, shown};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a record waits for others that go with it.
const SENT_EACH: Duration = Duration::from_secs(5);
/// What is read at once, and how many of it wait.
const PIECE_BYTES: usize = 64 << 10;
const PIECES: usize = 16;
/// How often it is looked whether something is due, or it was told to stop.
const LOOK: Duration = Duration::from_millis(100);
/// How long is read on when it was told to stop: the same signal ends whoever writes, whose last words are on their way.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Bytes that came, and how many were read for them and all before, as they were packed.
struct Piece {
    bytes: Vec<u8>,
    read: u64,
}

/// Sends what comes until there is no more or it is told to stop, and gives how many records were refused.
pub(super) fn run<R: Read + Send + 'static>(
    job: &Job,
    path: &Path,
    open: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> Result<u64, Failure> {
    let (sender, pieces) = sync_channel(PIECES);
    thread::spawn(move || read(open, &sender));
    let piped = Piped {
        job,
        path,
        run: random()?,
        records: Records::new(VecDeque::new(), 0, job.start.clone()),
        batch: Batch::new(0),
        begun: None,
        came: Instant::now(),
        read: 0,
        progress: Progress::new(path, None, 0),
    };
    piped.send_all(&pieces)
}

/// Reads until the end, or until nobody wants more.
fn read<R: Read + Send + 'static>(open: impl FnOnce() -> io::Result<R>, sender: &SyncSender<io::Result<Piece>>) {
    let mut input = match open().and_then(Input::of_stream) {
        Ok(input) => input,
        Err(e) => return drop(sender.send(Err(e))),
    };
    loop {
        let mut bytes = vec![0; PIECE_BYTES];
        let piece = match input.reader.read(&mut bytes) {
            Ok(0) => return,
            Ok(len) => {
                bytes.truncate(len);
                Ok(Piece { bytes, read: input.read.load(Ordering::Relaxed) })
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => Err(e),
        };
        let is_last = piece.is_err();
        if sender.send(piece).is_err() || is_last {
            return;
        }
    }
}

/// What comes over a pipe.
struct Piped<'a> {
    job: &'a Job,
    path: &'a Path,
    /// What tells the keys of its batches from those of others.
    run: String,
    records: Records<VecDeque<u8>>,
    batch: Batch,
    /// When the first record of the batch came.
    begun: Option<Instant>,
    /// When something came last.
    came: Instant,
    /// Bytes that were read, before they were unpacked.
    read: u64,
    progress: Progress,
}

impl Piped<'_> {
    fn send_all(mut self, pieces: &Receiver<io::Result<Piece>>) -> Result<u64, Failure> {
        let mut told_at = None;
        loop {
            if told_at.is_none() && self.job.stop.load(Ordering::Relaxed) {
                told_at = Some(Instant::now());
            }
            if told_at.is_some_and(|at| at.elapsed() >= LAST_WORDS) {
                // What was read by now goes with it; who writes on is not waited for.
                for piece in pieces.try_iter().take(PIECES + 1) {
                    self.take_read(piece)?;
                }
                break;
            }
            match pieces.recv_timeout(LOOK) {
                Ok(piece) => self.take_read(piece)?,
                Err(RecvTimeoutError::Timeout) => self.wait()?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.end()?;
        Ok(self.progress.end(""))
    }

    fn take_read(&mut self, piece: io::Result<Piece>) -> Result<(), Failure> {
        match piece {
            Ok(piece) => self.take(piece),
            Err(e) => {
                self.end()?;
                Err(cannot_read(self.path, &e))
            }
        }
    }

    fn take(&mut self, piece: Piece) -> Result<(), Failure> {
        (self.came, self.read) = (Instant::now(), piece.read);
        self.records.input_mut().extend(piece.bytes);
        self.fill(AtEnd::Wait)
    }

    /// Nothing came for a moment.
    fn wait(&mut self) -> Result<(), Failure> {
        let is_quiet = self.records.has_begun() && self.came.elapsed() >= RECORD_QUIET;
        self.fill(if is_quiet { AtEnd::EndLines } else { AtEnd::Wait })
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.fill(AtEnd::EndAll)?;
        self.send()
    }

    /// Puts what came into batches, and sends those that are full or due.
    fn fill(&mut self, at_end: AtEnd) -> Result<(), Failure> {
        loop {
            let filled = self.batch.fill(&mut self.records, times::now(), &self.job.reading, at_end);
            filled.map_err(|e| cannot_read(self.path, &e))?;
            if !self.batch.is_full() {
                break;
            }
            self.send()?;
        }
        if !self.batch.is_nothing() && self.begun.get_or_insert_with(Instant::now).elapsed() >= SENT_EACH {
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), Failure> {
        self.begun = None;
        let next = Batch::new(self.batch.end);
        let batch = std::mem::replace(&mut self.batch, next);
        let key = format!("ingest-{}-{}", self.run, batch.start);
        let Some(sent) = self.job.sender.send(&batch, &key)? else {
            let (name, records) = (shown(self.path), batch.lines.len());
            let what = format!("{name}: told to stop before {records} records were sent; they are lost here");
            return Err(Failure::Failed(what));
        };
        self.progress.advance(sent, batch.surplus, self.read);
        Ok(())
    }
}
