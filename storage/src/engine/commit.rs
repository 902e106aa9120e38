//! Group commit: appends that wait together become frames that are written and synced together.
//!
//! One thread takes everything that is queued, merges small appends into one batch, numbers the rows, writes the frames,
//! syncs, makes them visible and answers. Appends that arrive meanwhile form the next group: there is no timer.
//!
//! Invariants
//! * The queue is bounded in number and, by the hot budget, in bytes.
//! * Rows become visible in the order of their numbers, only after their frame was written, and are acknowledged only
//!   after they became visible.
use super::{Shared, locked};
use crate::batch::{Batch, BatchBuilder};
use crate::catalog::EffectRow;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{BATCH_BYTES_MAX, EFFECT_BYTES_MAX, WAL_GROUP_BYTES_MAX, WAL_QUEUE_MAX};
use crate::payload::{self, Effect, Place};
use crate::planted;
use crate::wal::{Frame, Writer};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Rows up to which an append is merged with its neighbours.
const SMALL_ROWS: usize = 64;
/// Rows of a merged batch.
const MERGED_ROWS_MAX: usize = 4_096;
/// Quiet time after which the log is marked, so that its last batch cannot be mistaken for a torn one.
const IDLE: Duration = Duration::from_millis(50);
/// How often a log that is quiet is looked after.
const QUIET: Duration = Duration::from_millis(500);

/// How durable a batch is before its append returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ack {
    /// Accepted; on disk within the flush interval.
    Memory,
    /// Synced to the log.
    Wal,
}

/// What is appended together, atomically.
pub struct Append {
    /// Rows; none where only effects are committed.
    pub batch: Option<Batch>,
    /// What becomes visible with them.
    pub effects: Vec<Effect>,
    /// When to answer.
    pub ack: Ack,
}

impl Append {
    /// A batch without effects.
    pub fn new(batch: Batch, ack: Ack) -> Self {
        Self { batch: Some(batch), effects: Vec::new(), ack }
    }
}

/// What an append gave.
#[derive(Clone, Debug)]
pub struct Appended {
    /// The first row's number; the others follow.
    pub first_seq: u64,
    /// The epoch of these numbers.
    pub epoch: u32,
    /// Event times of the rows.
    pub times: Vec<i64>,
}

struct Waiting {
    append: Append,
    /// Whether the values of its effects end in its place.
    placed: bool,
    times: Vec<Option<i64>>,
    /// Bytes that it holds of the hot budget.
    reserved: usize,
    answer: SyncSender<Result<Appended>>,
}

/// The queue's end that appends go into.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    queue: Mutex<Option<SyncSender<Waiting>>>,
    thread: Mutex<Option<JoinHandle<Writer>>>,
}

impl Committer {
    pub(crate) fn start(shared: Arc<Shared>, writer: Writer, next_seq: u64) -> Result<Self> {
        let (queue, appends) = sync_channel(WAL_QUEUE_MAX);
        let group =
            Group { shared: Arc::clone(&shared), writer, next_seq, merged: BatchBuilder::new(), unsynced: None };
        let thread = std::thread::Builder::new()
            .name("wal".into())
            .spawn(move || group.run(&appends))
            .map_err(|e| Error::new(ErrorKind::Io, format!("cannot start the log's thread: {e}")))?;
        Ok(Self { shared, queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    /// Queues an append and waits for its answer.
    pub(crate) fn append(&self, append: Append, placed: bool) -> Result<Appended> {
        self.shared.is_closing()?;
        let bytes = append.batch.as_ref().map_or(0, Batch::bytes);
        if bytes > BATCH_BYTES_MAX {
            return Err(Error::invalid(format!("a batch of {bytes} bytes, over the limit of {BATCH_BYTES_MAX}")));
        }
        // Refused here, so that a group never fails for one of its appends.
        payload::encode_effects(&append.effects)?;
        let longest = append.effects.iter().filter_map(|effect| effect.value.as_ref()).map(Vec::len).max();
        if placed && longest.is_some_and(|bytes| bytes > EFFECT_BYTES_MAX - Place::BYTES) {
            return Err(Error::invalid("an effect that leaves no room for where its rows are"));
        }
        if append.batch.is_some() {
            self.shared.need_disk()?;
        }
        let times = append.batch.as_ref().map(|batch| batch.times().collect()).unwrap_or_default();
        self.wait_for_room(bytes)?;
        let (answer, answered) = sync_channel(1);
        let waiting = Waiting { append, placed, times, reserved: bytes, answer };
        let queue = locked(&self.queue).clone();
        let sent = match queue {
            Some(queue) => queue.try_send(waiting).or_else(|e| match e {
                TrySendError::Full(waiting) => queue.send(waiting).map_err(|_| closed()),
                TrySendError::Disconnected(_) => Err(closed()),
            }),
            None => Err(closed()),
        };
        if let Err(e) = sent {
            self.shared.release(bytes);
            return Err(e);
        }
        answered.recv().map_err(|_| closed())?
    }

    /// Takes `bytes` of the hot budget, waiting for sealing to free some.
    fn wait_for_room(&self, bytes: usize) -> Result<()> {
        let shared = &self.shared;
        let mut held = locked(&shared.hot_room.0);
        let until = shared.env.monotonic() + shared.options.append_wait;
        loop {
            let used = shared.hot_bytes.load(Ordering::SeqCst);
            // A batch alone is always let in, so that none waits for ever.
            if used == 0 || used + bytes <= shared.options.hot_bytes_max {
                shared.hot_bytes.fetch_add(bytes, Ordering::SeqCst);
                return Ok(());
            }
            shared.is_closing()?;
            let now = shared.env.monotonic();
            if now >= until || !shared.options.background {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!(
                        "{used} bytes wait to be sealed, the budget is {}: try again later",
                        shared.options.hot_bytes_max
                    ),
                ));
            }
            let wait = (until - now).min(Duration::from_millis(200));
            shared.hot_wanted.fetch_add(1, Ordering::SeqCst);
            held = shared.hot_room.1.wait_timeout(held, wait).unwrap_or_else(PoisonError::into_inner).0;
            shared.hot_wanted.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Ends the thread once what is queued is done, and gives the writer back.
    pub(crate) fn stop(&self) -> Option<Writer> {
        drop(locked(&self.queue).take());
        let thread = locked(&self.thread).take();
        thread.and_then(|thread| thread.join().ok())
    }
}

impl Waiting {
    /// Takes its effects out, as they are where its first row is at `place`.
    fn effects_at(&mut self, place: Place) -> Vec<Effect> {
        let mut effects = std::mem::take(&mut self.append.effects);
        if self.placed {
            effects.iter_mut().filter_map(|effect| effect.value.as_mut()).for_each(|value| place.put(value));
        }
        effects
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the engine is shutting down")
}

/// The thread's state.
struct Group {
    shared: Arc<Shared>,
    writer: Writer,
    next_seq: u64,
    merged: BatchBuilder,
    /// Since when something written waits to be synced.
    unsynced: Option<Duration>,
}

/// A frame on its way: its rows, its effects, and which appends they are of.
struct Outgoing {
    batch: Option<Batch>,
    effects: Vec<Effect>,
    first_seq: u64,
    prefix: Vec<u8>,
    lengths: Vec<u8>,
    /// Each append with the place of its first row.
    members: Vec<(Waiting, u64)>,
}

impl Group {
    fn run(mut self, appends: &Receiver<Waiting>) -> Writer {
        let mut idle = false;
        loop {
            let wait = if idle && self.unsynced.is_none() { QUIET } else { IDLE };
            match appends.recv_timeout(wait) {
                Ok(first) => {
                    idle = false;
                    self.commit(first, appends);
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.unsynced.is_none() {
                        self.look_after(idle);
                        idle = true;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.note(Writer::sync);
                    return self.writer;
                }
            }
            self.flush_when_due();
        }
    }

    /// What is done while nobody appends.
    fn look_after(&mut self, was_idle: bool) {
        if !was_idle {
            self.note(Writer::mark);
        }
        // What fails is tried again, and where the log can take no more the next append says so.
        let _tried_again = self.writer.renew();
    }

    /// Does something that nobody waits for; a failure shows in the next append and to people.
    fn note(&mut self, act: impl FnOnce(&mut Writer) -> Result<()>) {
        if let Err(e) = act(&mut self.writer) {
            self.shared.trouble(format!("the log: {e}"));
        }
    }

    fn flush_when_due(&mut self) {
        let due = self
            .unsynced
            .is_some_and(|since| self.shared.env.monotonic() >= since + self.shared.options.flush_interval);
        if due {
            self.unsynced = None;
            self.note(Writer::sync);
        }
    }

    fn commit(&mut self, first: Waiting, appends: &Receiver<Waiting>) {
        let mut bytes = first.reserved;
        let mut group = vec![first];
        while bytes < WAL_GROUP_BYTES_MAX
            && let Ok(next) = appends.try_recv()
        {
            bytes += next.reserved;
            group.push(next);
        }
        let arrival = self.shared.arrival();
        let epoch = locked(&self.shared.meta).epoch;
        let place = Place { first_seq: self.next_seq, epoch, arrival };
        let frames = match self.frames(group, place) {
            Ok(frames) => frames,
            Err((waiting, e)) => return self.refuse(waiting, &e),
        };
        let sync = frames.iter().flat_map(|frame| &frame.members).any(|(w, _)| w.append.ack == Ack::Wal);
        if let Err(e) = self.write(&frames, arrival, sync)
            && !planted::on("failure-acknowledged")
        {
            let waiting = frames.into_iter().flat_map(|frame| frame.members).map(|(w, _)| w).collect();
            return self.refuse(waiting, &e);
        }
        if sync {
            self.unsynced = None;
        } else if self.unsynced.is_none() {
            self.unsynced = Some(self.shared.env.monotonic());
        }
        for frame in frames {
            self.next_seq = frame.first_seq + frame.batch.as_ref().map_or(0, |batch| batch.rows() as u64);
            self.publish(frame, arrival);
        }
    }

    /// Turns appends into frames from a place on: large ones their own, small ones together.
    fn frames(
        &mut self,
        group: Vec<Waiting>,
        mut next: Place,
    ) -> std::result::Result<Vec<Outgoing>, (Vec<Waiting>, Error)> {
        let mut frames: Vec<Outgoing> = Vec::new();
        let mut small: Vec<Waiting> = Vec::new();
        let mut small_rows = 0;
        let alone = group.len() == 1;
        let mut queue = group.into_iter();
        while let Some(mut waiting) = queue.next() {
            let rows = waiting.append.batch.as_ref().map_or(0, Batch::rows);
            let is_small = !alone && rows <= SMALL_ROWS;
            if is_small && small_rows + rows <= MERGED_ROWS_MAX {
                small_rows += rows;
                small.push(waiting);
                continue;
            }
            let (batch, effects) = (waiting.append.batch.take(), waiting.effects_at(next));
            match Outgoing::new(batch, effects, vec![(waiting, 0)], &mut next.first_seq) {
                Ok(frame) => frames.push(frame),
                Err((mut failed, e)) => {
                    failed.extend(small);
                    failed.extend(queue);
                    failed.extend(frames.into_iter().flat_map(|frame| frame.members).map(|(w, _)| w));
                    return Err((failed, e));
                }
            }
        }
        if !small.is_empty() {
            match self.merge(small, &mut next) {
                Ok(frame) => frames.push(frame),
                Err((mut failed, e)) => {
                    failed.extend(frames.into_iter().flat_map(|frame| frame.members).map(|(w, _)| w));
                    return Err((failed, e));
                }
            }
        }
        Ok(frames)
    }

    fn merge(&mut self, small: Vec<Waiting>, next: &mut Place) -> std::result::Result<Outgoing, (Vec<Waiting>, Error)> {
        let (mut members, mut effects, mut rows) = (Vec::with_capacity(small.len()), Vec::new(), 0u64);
        let mut failure = None;
        for mut waiting in small {
            effects.append(&mut waiting.effects_at(Place { first_seq: next.first_seq + rows, ..*next }));
            let first = rows;
            if let Some(batch) = waiting.append.batch.take() {
                rows += batch.rows() as u64;
                failure = failure.or(self.merged.absorb(&batch).err());
            }
            members.push((waiting, first));
        }
        let merged = self.merged.finish();
        let waiting = |members: Vec<(Waiting, u64)>| members.into_iter().map(|(w, _)| w).collect();
        match (failure, merged) {
            (None, Ok(merged)) => {
                let batch = (rows > 0).then_some(merged);
                Outgoing::new(batch, effects, members, &mut next.first_seq)
            }
            (Some(e), _) | (None, Err(e)) => Err((waiting(members), e)),
        }
    }

    fn write(&mut self, frames: &[Outgoing], arrival: i64, sync: bool) -> Result<()> {
        let end =
            frames.last().map_or(self.next_seq, |f| f.first_seq + f.batch.as_ref().map_or(0, |b| b.rows() as u64));
        self.shared.reserve(end)?;
        if planted::on("effects-before-their-batch") {
            return self.write_effects_apart(frames, arrival, sync);
        }
        let parts: Vec<[&[u8]; 4]> = frames
            .iter()
            .map(|frame| {
                let (columns, shapes): (&[u8], &[u8]) =
                    frame.batch.as_ref().map_or((&[], &[]), |batch| (batch.columns(), batch.shapes()));
                [&frame.prefix, &frame.lengths, columns, shapes]
            })
            .collect();
        let out: Vec<Frame<'_>> = frames
            .iter()
            .zip(&parts)
            .map(|(frame, parts)| Frame {
                first_seq: frame.first_seq,
                rows: frame.batch.as_ref().map_or(0, |batch| batch.rows() as u32),
                arrival,
                parts,
            })
            .collect();
        self.writer.append(&out, sync)
    }

    /// As it must not be done, for the plant: what comes with a batch is in a frame of its own, before that of the batch.
    fn write_effects_apart(&mut self, frames: &[Outgoing], arrival: i64, sync: bool) -> Result<()> {
        let (no_effects, no_rows) = (payload::encode_effects(&[])?, payload::columns_length(None));
        for frame in frames {
            let first_seq = frame.first_seq;
            let effects: [&[u8]; 2] = [&frame.prefix, &no_rows];
            self.writer.append(&[Frame { first_seq, rows: 0, arrival, parts: &effects }], false)?;
            if let Some(batch) = &frame.batch {
                let parts: [&[u8]; 4] = [&no_effects, &frame.lengths, batch.columns(), batch.shapes()];
                self.writer.append(&[Frame { first_seq, rows: batch.rows() as u32, arrival, parts: &parts }], false)?;
            }
        }
        if sync { self.writer.sync() } else { Ok(()) }
    }

    fn publish(&self, frame: Outgoing, arrival: i64) {
        let shared = &self.shared;
        let _publishing = locked(&shared.publish);
        let generation = {
            let state = shared.state.read().unwrap_or_else(PoisonError::into_inner);
            state.generations.last().map(Arc::clone)
        };
        apply_effects(shared, &frame.effects, frame.first_seq);
        let rows = frame.batch.as_ref().map_or(0, Batch::rows);
        let reserved: usize = frame.members.iter().map(|(w, _)| w.reserved).sum();
        let (now, epoch) = (shared.env.monotonic(), locked(&shared.meta).epoch);
        let published = match &generation {
            Some(generation) => generation.publish(frame.batch, &frame.effects, (frame.first_seq, epoch), arrival, now),
            None => Err(Error::new(ErrorKind::Closed, "no generation takes rows")),
        };
        match published {
            Ok(grown) => {
                shared.hot_bytes.fetch_add(grown, Ordering::SeqCst);
                shared.release(reserved);
                shared.activity.appends.add(frame.members.len() as u64);
                shared.activity.rows.add(rows as u64);
                shared.activity.bytes.add(reserved as u64);
                if rows > 0 {
                    shared.feed.put(frame.first_seq, rows as u64, || generation.as_ref().and_then(|g| g.last_alone()));
                }
                for (waiting, first) in frame.members {
                    let times = waiting.times.into_iter().map(|time| time.unwrap_or(arrival)).collect();
                    // A caller that has gone needs no answer.
                    let _gone = waiting.answer.send(Ok(Appended { first_seq: frame.first_seq + first, epoch, times }));
                }
            }
            Err(e) => self.refuse(frame.members.into_iter().map(|(w, _)| w).collect(), &e),
        }
    }

    fn refuse(&self, waiting: Vec<Waiting>, error: &Error) {
        for waiting in waiting {
            self.shared.release(waiting.reserved);
            let _gone = waiting.answer.send(Err(error.clone()));
        }
    }
}

/// Makes effects visible.
pub(crate) fn apply_effects(shared: &Shared, effects: &[Effect], seq: u64) {
    if effects.is_empty() || planted::on("effects-lost") {
        return;
    }
    let mut known = locked(&shared.effects);
    for effect in effects {
        match &effect.value {
            Some(value) => {
                let row = EffectRow::after(known.get(&effect.key), value.clone(), seq, effect.expires);
                known.insert(effect.key.clone(), row);
            }
            None => {
                known.remove(&effect.key);
            }
        }
    }
}

impl Outgoing {
    fn new(
        batch: Option<Batch>,
        effects: Vec<Effect>,
        members: Vec<(Waiting, u64)>,
        next_seq: &mut u64,
    ) -> std::result::Result<Self, (Vec<Waiting>, Error)> {
        let prefix = match payload::encode_effects(&effects) {
            Ok(prefix) => prefix,
            Err(e) => return Err((members.into_iter().map(|(w, _)| w).collect(), e)),
        };
        let lengths = payload::columns_length(batch.as_ref());
        let first_seq = *next_seq;
        *next_seq += batch.as_ref().map_or(0, |batch| batch.rows() as u64);
        Ok(Self { batch, effects, first_seq, prefix, lengths, members })
    }
}
