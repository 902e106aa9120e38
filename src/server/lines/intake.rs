//! Lines to batches, one at a time, and what is known of the body so far.
//!
//! Invariants
//! * What is counted as ingested was decoded; it is said only once it is stored.
//! * With an `Idempotency-Key`, each batch commits how many lines were read, the bad ones too, and their hash. A body that was
//!   sent again has those lines passed over if they are the same, and is refused before anything of it is stored if not.
use super::super::Server;
use super::super::access::Caller;
use super::super::admission::Admission;
use super::super::days::Taken;
use super::super::error::ApiError;
use super::super::once::{self, Claim, Done};
use super::cut::{Cut, Cutter, LINE_BYTES_MAX};
use crate::ingest::lines::{FieldNames, read_line};
use crate::ingest::{Arrival, Refused};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append};
use logyard_storage::limits::MIB;
use std::sync::Arc;

const BATCH_ROWS: usize = 4_000;
const BATCH_BYTES: usize = 4 * MIB;
const REASONS_MAX: usize = 10;
/// Of one reason.
const REASON_CHARS_MAX: usize = 300;

/// Decodes lines.
pub(super) struct Intake {
    server: Arc<Server>,
    caller: Caller,
    names: FieldNames,
    stream_fields: Vec<String>,
    ack: Ack,
    pub(super) cutter: Cutter,
    claim: Option<Arc<Claim>>,
    /// What the key did before, until the body has come to its end.
    before: Option<Done>,
    done: Done,
    /// Lines that were read.
    line: usize,
}

/// A claim, and what its key did before.
pub(super) struct Claimed {
    claim: Arc<Claim>,
    before: Option<Done>,
}

impl Claimed {
    /// Looks the key up. This blocks.
    pub(super) fn new(claim: Arc<Claim>) -> Result<Self, ApiError> {
        let before = claim.before()?.map(|value| once::read(&value)).transpose()?;
        Ok(Self { claim, before })
    }
}

/// What decoding gave.
pub(super) struct Decoded {
    pub(super) append: Option<Appending>,
    /// Whether it goes on only with more of the body.
    pub(super) is_hungry: bool,
    /// What ends the request, once the rest is stored.
    pub(super) fault: Option<ApiError>,
}

/// A batch on its way into the engine.
pub(super) struct Appending {
    server: Arc<Server>,
    caller: Caller,
    append: Append,
    taken: Taken,
    /// Rows that the request had before.
    before: usize,
    /// Held until it has ended, whoever waits for that.
    _claim: Option<Arc<Claim>>,
}

impl Appending {
    /// Rows of the request that are stored before it.
    pub(super) fn before(&self) -> usize {
        self.before
    }

    /// Stores it and says how many rows that are. This blocks.
    pub(super) fn run(self) -> Result<usize, ApiError> {
        let rows = self.append.batch.as_ref().map_or(0, |batch| batch.rows());
        let appended = self.server.append(&self.caller, self.append);
        appended.map_err(|e| e.with("ingested", self.before))?;
        self.taken.keep();
        self.server.counters.rows_ingested.add(rows as u64);
        Ok(rows)
    }
}

impl Intake {
    pub(super) fn new(
        server: Arc<Server>,
        caller: Caller,
        names: FieldNames,
        stream_fields: Vec<String>,
        ack: Ack,
        cutter: Cutter,
        claimed: Option<Claimed>,
    ) -> Self {
        let (claim, before) = claimed.map_or((None, None), |claimed| (Some(claimed.claim), claimed.before));
        let none = Done {
            hash: String::new(),
            reached: ack.into(),
            read: 0,
            ingested: 0,
            failed: 0,
            errors: Vec::new(),
            is_whole: false,
            time: None,
        };
        let done = before.clone().unwrap_or(none);
        Self { server, caller, names, stream_fields, ack, cutter, claim, before, done, line: 0 }
    }

    /// What was done so far.
    pub(super) fn done(&self) -> &Done {
        &self.done
    }

    /// Decodes what fills a batch, or what there is. This takes its time.
    pub(super) fn decode(&mut self) -> Decoded {
        let server = Arc::clone(&self.server);
        let mut admission = match server.admissions.admission(&server.engine, &self.caller) {
            Ok(admission) => admission,
            Err(e) => return Decoded { append: None, is_hungry: true, fault: Some(e.into()) },
        };
        let arrival = Arrival::new(server.env.now(), server.ingest.max_future);
        let fields = std::mem::take(&mut self.stream_fields);
        let (batch, is_hungry, fault) = server.builders.with(&fields, |rows| {
            let read = self.fill(rows, arrival, &mut admission);
            let (is_hungry, mut fault) = match read {
                Ok(is_hungry) => (is_hungry, None),
                Err(fault) => (true, Some(fault)),
            };
            let batch = if rows.rows() == 0 { None } else { rows.finish().map_err(|e| fault = Some(e.into())).ok() };
            (batch, is_hungry, fault)
        });
        self.stream_fields = fields;
        let taken = admission.end(&server.counters);
        let before = self.done.ingested;
        self.done.ingested += batch.as_ref().map_or(0, |batch| batch.rows());
        let (effect, fault) = match fault {
            None => match self.commit(batch.is_some()) {
                Ok(effect) => (effect, None),
                Err(fault) => (None, Some(fault)),
            },
            // What is not whole is committed with as much as was read of it.
            Some(fault) => (batch.as_ref().and_then(|_| self.effect(false)), Some(fault)),
        };
        if batch.is_none() && effect.is_none() {
            return Decoded { append: None, is_hungry, fault };
        }
        let append = Append { batch, effects: effect.into_iter().collect(), ack: self.ack };
        let caller = self.caller.clone();
        let append = Appending { server, caller, append, taken, before, _claim: self.claim.clone() };
        Decoded { append: Some(append), is_hungry, fault }
    }

    /// Reads lines until the batch is full or there are no more, and says whether it is the latter.
    fn fill(&mut self, rows: &mut BatchBuilder, arrival: Arrival, admission: &mut Admission) -> Result<bool, ApiError> {
        while rows.rows() < BATCH_ROWS && rows.bytes() < BATCH_BYTES && !rows.is_full() {
            let cut = self.cutter.next()?;
            if cut == Cut::Nothing {
                return Ok(true);
            }
            self.line += 1;
            if self.is_known()? {
                continue;
            }
            match cut {
                Cut::Line(place) => {
                    let line = self.cutter.text(place);
                    if let Err(fault) = read_line(line, self.line, &self.names, arrival, rows, admission) {
                        self.reject(&fault);
                    }
                }
                _ => {
                    let what = format!("line {}: longer than {} MiB", self.line, LINE_BYTES_MAX / MIB);
                    self.reject(&Refused::Wrong(what));
                }
            }
        }
        Ok(false)
    }

    /// Whether the line was read before, with the same key.
    fn is_known(&mut self) -> Result<bool, ApiError> {
        let Some(before) = &self.before else { return Ok(false) };
        if self.line < before.read {
            return Ok(true);
        }
        if self.line > before.read {
            // What was whole has no further line.
            return if before.is_whole { Err(once::conflict()) } else { Ok(false) };
        }
        let hash = self.cutter.hash().map(once::shown).unwrap_or_default();
        if hash == before.hash { Ok(true) } else { Err(once::conflict()) }
    }

    /// What is committed with the batch; at the end of the body in any case.
    fn commit(&mut self, has_rows: bool) -> Result<Option<logyard_storage::Effect>, ApiError> {
        let is_whole = self.cutter.is_done();
        if let Some(before) = &self.before
            && is_whole
        {
            if self.line < before.read {
                return Err(once::conflict());
            }
            if before.is_whole && before.reached >= self.ack.into() {
                return Ok(None);
            }
        }
        Ok(if has_rows || is_whole { self.effect(is_whole) } else { None })
    }

    fn effect(&mut self, is_whole: bool) -> Option<logyard_storage::Effect> {
        let claim = self.claim.as_ref()?;
        self.done.read = self.line;
        self.done.hash = self.cutter.hash().map(once::shown).unwrap_or_default();
        self.done.reached = self.ack.into();
        self.done.is_whole = is_whole;
        // A request that stored nothing can be sent again with another body.
        (self.done.ingested > 0).then(|| claim.effect(&self.done))
    }

    fn reject(&mut self, fault: &Refused) {
        self.server.counters.refuse(fault);
        if self.done.errors.len() < REASONS_MAX {
            let reason = fault.to_string().chars().take(REASON_CHARS_MAX).collect();
            self.done.fail(reason, self.claim.is_some());
        } else {
            self.done.failed += 1;
        }
    }
}
