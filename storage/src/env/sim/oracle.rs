//! What a client knows must be stored, to be held against what is.
//!
//! Invariants
//! * Acknowledged records are stored; stored records were sent; none is stored twice or with other content.
//! * A record without an answer may be stored or not, until a check has seen it one way: then it stays so.
//! * An answer is final: a test that gives a second, different one has a bug, and panics.
use std::collections::BTreeMap;

/// How many differences a failed check names.
const DIFFERENCES_SHOWN_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No answer, or an answer that leaves it open: may be stored.
    Sent,
    /// Must be stored.
    Acked,
    /// Must not be stored.
    Refused,
    /// Is being expired or deleted: may be stored.
    MayBeGone,
    /// Was expired or deleted: must not be stored.
    MustBeGone,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    fingerprint: u64,
    state: State,
}

/// The client's memory of every record it sent, under a key of its own. A clone serves another future of a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    records: BTreeMap<u64, Entry>,
}

/// A number for a record's content (FNV-1a).
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Oracle {
    /// One that has sent nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A record leaves the client. Until an answer comes, and when none does, it may be stored or not.
    pub fn sent(&mut self, key: u64, fingerprint: u64) {
        let before = self.records.insert(key, Entry { fingerprint, state: State::Sent });
        assert!(before.is_none(), "BUG: record {key} sent twice");
    }

    /// It was acknowledged, so it is durable.
    pub fn acked(&mut self, key: u64) {
        self.change(key, State::Acked, &[State::Sent, State::Acked]);
    }

    /// It was refused for certain, so it is not stored. A refusal that leaves it open, such as a write error, is no
    /// answer: do not call anything.
    pub fn refused(&mut self, key: u64) {
        self.change(key, State::Refused, &[State::Sent, State::Refused]);
    }

    /// Its expiry or deletion was begun. What is not stored stays so.
    pub fn may_be_gone(&mut self, key: u64) {
        if self.records.get(&key).is_some_and(|entry| matches!(entry.state, State::Refused | State::MustBeGone)) {
            return;
        }
        self.change(key, State::MayBeGone, &[State::Sent, State::Acked, State::MayBeGone]);
    }

    /// Its expiry or deletion was acknowledged.
    pub fn must_be_gone(&mut self, key: u64) {
        let before = [State::Sent, State::Acked, State::Refused, State::MayBeGone, State::MustBeGone];
        self.change(key, State::MustBeGone, &before);
    }

    fn change(&mut self, key: u64, to: State, allowed: &[State]) {
        let entry = self.records.get_mut(&key);
        assert!(entry.is_some(), "BUG: record {key} was never sent");
        if let Some(entry) = entry {
            assert!(allowed.contains(&entry.state), "BUG: record {key} is {:?}, now {to:?}", entry.state);
            entry.state = to;
        }
    }

    /// Whether nothing has said yet that a record is stored for good, or is not.
    pub fn is_open(&self, key: u64) -> bool {
        self.records.get(&key).is_some_and(|entry| entry.state == State::Sent)
    }

    /// Records that must be stored.
    pub fn acked_count(&self) -> usize {
        self.records.values().filter(|entry| entry.state == State::Acked).count()
    }

    /// Holds what is stored, keys and fingerprints in any order, against what must be. The error names the differences.
    pub fn expect(&self, found: impl IntoIterator<Item = (u64, u64)>) -> Result<(), String> {
        self.compare(found).map(drop)
    }

    /// The same after a recovery, whose outcome is final: a record without an answer that was found has to be found ever
    /// after, and one that was not must not come back.
    pub fn settle(&mut self, found: impl IntoIterator<Item = (u64, u64)>) -> Result<(), String> {
        let found = self.compare(found)?;
        for (key, entry) in &mut self.records {
            entry.state = match (entry.state, found.contains_key(key)) {
                (State::Sent, true) => State::Acked,
                (State::Sent, false) => State::Refused,
                (State::MayBeGone, false) => State::MustBeGone,
                (state, _) => state,
            };
        }
        Ok(())
    }

    fn compare(&self, found: impl IntoIterator<Item = (u64, u64)>) -> Result<BTreeMap<u64, u64>, String> {
        let mut stored = BTreeMap::new();
        let mut differences = Vec::new();
        for (key, fingerprint) in found {
            if stored.insert(key, fingerprint).is_some() {
                differences.push(format!("{key} is stored twice"));
            }
            match self.records.get(&key) {
                None => differences.push(format!("{key} was never sent")),
                Some(entry) if matches!(entry.state, State::Refused | State::MustBeGone) => {
                    differences.push(format!("{key} is {:?} but stored", entry.state));
                }
                Some(entry) if entry.fingerprint != fingerprint => {
                    differences.push(format!("{key} has other content"));
                }
                Some(_) => {}
            }
        }
        let acked = self.records.iter().filter(|(_, entry)| entry.state == State::Acked);
        let lost = acked.filter(|(key, _)| !stored.contains_key(*key));
        differences.extend(lost.map(|(key, _)| format!("{key} was acknowledged and is lost")));
        if differences.is_empty() {
            return Ok(stored);
        }
        let count = differences.len();
        differences.truncate(DIFFERENCES_SHOWN_MAX);
        Err(format!("{count} differences: {}", differences.join(", ")))
    }
}
