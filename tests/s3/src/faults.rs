//! What can go wrong on the way to the server and back, how often it does, and how often it did.
//!
//! Invariants
//! * A request meets one fault at most, and only one that can happen to such a request.
use crate::chance::Chance;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 500, 503, 429 or SlowDown, and the server hears nothing of it.
    Refused,
    /// The same, after the server has carried it out.
    Lost,
    /// A conditional write is carried out and the connection reset, so that its repetition meets 412.
    Raced,
    /// The connection is reset in the middle of the request's body; the server sees as much of it.
    RequestCut,
    /// The connection is reset in the middle of the answer's body.
    AnswerCut,
    /// There is no answer, ever; the server hears nothing of it.
    Hangs,
    /// The answer stops in the middle of its body.
    Stalls,
    /// The connection is closed in order before all bytes came that were said.
    Truncated,
    /// Fewer bytes come than were asked for, and the answer says just so many.
    Short,
    /// A completed upload is answered with 200, and an error in the body; whether it was carried out is up to chance.
    ErrorInOk,
    /// A listing lacks the object that was made last, or has the one that was removed last.
    Stale,
    /// A byte of an object is another one on its way back.
    AnswerGarbled,
    /// A byte of an object is another one on its way there.
    RequestGarbled,
    /// The connection is reset before anything is done.
    Out,
    /// The request is refused by somebody who repeats all of its head, with credentials and signature.
    Echoed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Refused,
        Self::Lost,
        Self::Raced,
        Self::RequestCut,
        Self::AnswerCut,
        Self::Hangs,
        Self::Stalls,
        Self::Truncated,
        Self::Short,
        Self::ErrorInOk,
        Self::Stale,
        Self::AnswerGarbled,
        Self::RequestGarbled,
        Self::Out,
        Self::Echoed,
    ];

    /// Whether such a request can meet it.
    fn fits(self, asked: &Asked) -> bool {
        match self {
            Self::Refused | Self::Lost | Self::Hangs | Self::Out | Self::Echoed => true,
            Self::Raced => asked.is_conditional,
            Self::RequestCut => asked.has_body,
            Self::RequestGarbled => asked.carries_object,
            Self::AnswerCut | Self::Stalls | Self::Truncated => asked.reads_object || asked.lists,
            Self::Short | Self::AnswerGarbled => asked.reads_object,
            Self::ErrorInOk => asked.completes,
            Self::Stale => asked.lists,
        }
    }
}

/// What matters of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) is_conditional: bool,
    pub(crate) has_body: bool,
    pub(crate) carries_object: bool,
    pub(crate) reads_object: bool,
    pub(crate) completes: bool,
    pub(crate) lists: bool,
}

/// How often each of them happens, in thousandths of the requests that it can happen to.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    shares: [u16; Kind::ALL.len()],
}

impl Faults {
    /// None.
    pub fn none() -> Self {
        Self::default()
    }

    /// The same with one more kind, so often in thousandths.
    #[must_use]
    pub fn and(mut self, kind: Kind, thousandths: u16) -> Self {
        self.shares[kind as usize] = thousandths;
        self
    }

    /// All that a network does, so often in thousandths together, or nearly; an outage is not among them, nor what no repetition mends.
    pub fn all(thousandths: u16) -> Self {
        let kinds = Kind::ALL.iter().filter(|kind| !matches!(kind, Kind::Out | Kind::Echoed | Kind::Stale));
        let share = (thousandths / 8).max(1);
        kinds.fold(Self::none(), |faults, kind| faults.and(*kind, share)).and(Kind::Stale, 500)
    }
}

/// How often each happened.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; Kind::ALL.len()]);

impl Counts {
    /// How often one kind did.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn note(&self, kind: Kind) {
        self.0[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often any did.
    pub fn all(&self) -> u64 {
        Kind::ALL.iter().map(|kind| self.of(*kind)).sum()
    }
}

/// Decides what becomes of each request.
pub(crate) struct Plan {
    state: Mutex<(Chance, Faults, VecDeque<Kind>)>,
    pub(crate) counts: Counts,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: Mutex::new((Chance::new(seed), Faults::none(), VecDeque::new())), counts: Counts::default() }
    }

    pub(crate) fn set(&self, faults: Faults) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = faults;
    }

    /// Lets the next request that can meet it do so, after those that were said before.
    pub(crate) fn push(&self, kind: Kind) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).2.push_back(kind);
    }

    /// What a request meets, and a number for the details of it.
    pub(crate) fn draw(&self, asked: &Asked) -> (Option<Kind>, usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (chance, faults, next) = &mut *state;
        let detail = chance.below(1 << 30);
        let drawn = match next.front().copied() {
            Some(kind) if kind.fits(asked) => next.pop_front(),
            Some(_) => None,
            None => Kind::ALL.into_iter().find(|kind| kind.fits(asked) && chance.hits(faults.shares[*kind as usize])),
        };
        (drawn, detail)
    }
}
