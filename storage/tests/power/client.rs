//! What clients sent and were told, and whether what is stored agrees with it.
use crate::chance::Rng;
use crate::rows;
use logyard_storage::engine::{Appended, Engine};
use logyard_storage::env::sim::Oracle;
use logyard_storage::error::ErrorKind;
use logyard_storage::record::{Record, RecordId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The key of the effect that is set again and again, by one appender only.
pub(crate) const CHECKPOINT: &[u8] = b"checkpoint";
/// Questions asked of what a start found.
const QUESTIONS: usize = 3;

/// One append: its rows, by their keys, and whether it moved the checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) number: u64,
    pub(crate) keys: Range<u64>,
    pub(crate) moves_checkpoint: bool,
}

impl Sent {
    /// The effect that says that it was stored.
    pub(crate) fn mark(&self) -> Vec<u8> {
        format!("batch/{}", self.number).into_bytes()
    }

    /// The key under which the oracle knows the append itself, for those without rows.
    fn oracle_key(&self) -> u64 {
        u64::MAX - self.number
    }

    fn oracle_keys(&self) -> impl Iterator<Item = u64> + use<> {
        self.keys.clone().chain([self.oracle_key()])
    }
}

/// The memory of every client of one data directory.
#[derive(Clone, Default)]
pub(crate) struct Client {
    oracle: Oracle,
    sent: Vec<Sent>,
    next_key: u64,
    /// Answered before they were durable, each with the number of its first row.
    soft: Vec<(u64, Sent)>,
    /// Which key was given which number, for every answer there ever was, and the other way about.
    numbers: BTreeMap<(u32, u64), u64>,
    numbered: BTreeMap<u64, (u32, u64)>,
    /// Rows that expired, or whose deletion was asked for: the appends that they came with are known without them.
    leaving: BTreeSet<u64>,
}

impl Client {
    pub(crate) fn keys(&self) -> u64 {
        self.next_key
    }

    /// The keys so far whose rows pass.
    pub(crate) fn keys_where(&self, passes: impl Fn(&Record) -> bool) -> Vec<u64> {
        (0..self.next_key).filter(|key| passes(&rows::row(*key))).collect()
    }

    /// Of these rows those whose append got no answer, as after a failed sync: they can be in the log, and come with the next
    /// start, though nothing that is done before then can see them.
    pub(crate) fn unanswered(&self, keys: &[u64]) -> Vec<u64> {
        let is_answered = |key: u64| self.soft.iter().any(|(_, sent)| sent.keys.contains(&key));
        keys.iter().copied().filter(|key| self.oracle.is_open(*key) && !is_answered(*key)).collect()
    }

    /// Rows are to be deleted: from here on they may be gone.
    pub(crate) fn going(&mut self, keys: &[u64]) {
        for key in keys {
            if self.leaving.insert(*key) {
                self.oracle.may_be_gone(*key);
            }
        }
    }

    /// Rows are gone for good.
    pub(crate) fn gone(&mut self, keys: &[u64]) {
        self.leaving.extend(keys);
        keys.iter().for_each(|key| self.oracle.must_be_gone(*key));
    }

    /// The keys of an append that its rows, and the append itself, are held to.
    fn staying(&self, sent: &Sent) -> Vec<u64> {
        sent.oracle_keys().filter(|key| !self.leaving.contains(key)).collect()
    }

    /// Takes note of an append that is about to be sent.
    pub(crate) fn send(&mut self, rows: u64, moves_checkpoint: bool) -> Sent {
        let keys = self.next_key..self.next_key + rows;
        self.next_key = keys.end;
        let sent = Sent { number: self.sent.len() as u64, keys, moves_checkpoint };
        for key in sent.keys.clone() {
            self.oracle.sent(key, rows::content(&rows::row(key)));
        }
        self.oracle.sent(sent.oracle_key(), 0);
        self.sent.push(sent.clone());
        sent
    }

    /// How many appends were answered before they were durable: what a durable answer from here on covers.
    pub(crate) fn soft(&self) -> Vec<Sent> {
        self.soft.iter().map(|(_, sent)| sent.clone()).collect()
    }

    /// An append was answered. `durable` says for good, and then so are those in `covers`.
    pub(crate) fn answered(
        &mut self,
        sent: &Sent,
        appended: &Appended,
        durable: bool,
        covers: &[Sent],
    ) -> Result<(), String> {
        for (seq, key) in (appended.first_seq..).zip(sent.keys.clone()) {
            self.number(appended.epoch, seq, key)?;
        }
        if durable {
            self.staying(sent).into_iter().for_each(|key| self.oracle.acked(key));
            self.harden(covers);
        } else {
            self.soft.push((appended.first_seq, sent.clone()));
        }
        Ok(())
    }

    /// Appends that were answered are durable by now.
    pub(crate) fn harden(&mut self, covers: &[Sent]) {
        covers
            .iter()
            .flat_map(|sent| self.staying(sent))
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|key| self.oracle.acked(key));
        self.soft.retain(|(_, soft)| !covers.iter().any(|covered| covered.number == soft.number));
    }

    fn number(&mut self, epoch: u32, seq: u64, key: u64) -> Result<(), String> {
        match self.numbers.insert((epoch, seq), key) {
            Some(other) if other != key => {
                return Err(format!("number {epoch}/{seq} of {other} was given to {key} too"));
            }
            _ => {}
        }
        match self.numbered.insert(key, (epoch, seq)) {
            Some(before) if before != (epoch, seq) => Err(format!("{key} was {before:?} and is {epoch}/{seq}")),
            _ => Ok(()),
        }
    }

    /// An append was refused, for certain or not.
    pub(crate) fn failed(&mut self, sent: &Sent, kind: ErrorKind) {
        if matches!(kind, ErrorKind::DiskFull | ErrorKind::Busy | ErrorKind::Closed | ErrorKind::Invalid) {
            sent.oracle_keys().for_each(|key| self.oracle.refused(key));
        }
    }

    /// Holds what a start found against all of this; its outcome is final.
    pub(crate) fn check(&mut self, engine: &Engine, rng: &mut Rng) -> Result<(), String> {
        self.check_soft(engine)?;
        let all = everything(engine)?;
        let mut stored: BTreeMap<u64, u64> = BTreeMap::new();
        let mut found = Vec::new();
        for record in &all {
            let key = rows::key_of(record).ok_or_else(|| format!("a record without its key: {record:?}"))?;
            found.push((key, rows::content(record)));
            stored.insert(key, record.seq);
            self.number(record.epoch, record.seq, key)?;
        }
        for sent in &self.sent {
            let marked = engine.effect(&sent.mark()).is_some();
            let staying = || sent.keys.clone().filter(|key| !self.leaving.contains(key));
            let there = staying().filter(|key| stored.contains_key(key)).count();
            if there != if marked { staying().count() } else { 0 } {
                return Err(format!("{there} rows of {sent:?} are stored, its effect is: {marked}"));
            }
            if marked {
                found.push((sent.oracle_key(), 0));
            }
        }
        self.check_checkpoint(engine)?;
        self.oracle.settle(found)?;
        check_ids(engine, &all, rng)?;
        for _ in 0..QUESTIONS {
            check_question(engine, &all, self.next_key, rng)?;
        }
        Ok(())
    }

    /// Of what was answered before it was durable a start finds what was written first: where one is lost, so is every later one.
    fn check_soft(&mut self, engine: &Engine) -> Result<(), String> {
        // Appends without rows have no number of their own.
        let mut soft: Vec<_> = self.soft.drain(..).filter(|(_, sent)| !sent.keys.is_empty()).collect();
        soft.sort_by_key(|(first_seq, _)| *first_seq);
        let is_stored = |sent: &Sent| engine.effect(&sent.mark()).is_some();
        let found = soft.iter().take_while(|(_, sent)| is_stored(sent)).count();
        match soft.iter().skip(found).find(|(_, sent)| is_stored(sent)) {
            None => Ok(()),
            Some(later) => Err(format!("{:?} is lost, and {later:?} after it is stored", soft[found])),
        }
    }

    /// The checkpoint is the one that the last stored append set.
    fn check_checkpoint(&self, engine: &Engine) -> Result<(), String> {
        let stored = |sent: &&Sent| sent.moves_checkpoint && engine.effect(&sent.mark()).is_some();
        let wanted = self.sent.iter().rev().find(stored).map(|sent| sent.number.to_string());
        let found = engine.effect(CHECKPOINT).map(|value| String::from_utf8_lossy(&value).into_owned());
        if wanted == found { Ok(()) } else { Err(format!("the checkpoint is {found:?} and should be {wanted:?}")) }
    }
}

/// Every record there is.
pub(crate) fn everything(engine: &Engine) -> Result<Vec<Record>, String> {
    let mut all = Vec::new();
    engine.for_each(|record| all.push(record)).map_err(|e| format!("cannot read everything: {e}"))?;
    Ok(all)
}

fn check_ids(engine: &Engine, all: &[Record], rng: &mut Rng) -> Result<(), String> {
    for _ in 0..3.min(all.len()) {
        let record = rng.pick(all);
        let got = engine.get(record.id()).map_err(|e| e.to_string())?;
        if got.as_ref() != Some(record) {
            return Err(format!("{} gives {got:?} for {record:?}", record.id()));
        }
    }
    let nobody = RecordId::new(0, engine.epoch(), 1 << 49);
    if engine.get(nobody).map_err(|e| e.to_string())?.is_some() { Err("an id of nobody".into()) } else { Ok(()) }
}

/// A random search gives what a plain scan of the same rows gives.
pub(crate) fn check_question(engine: &Engine, all: &[Record], keys: u64, rng: &mut Rng) -> Result<(), String> {
    let search = rows::question(rng, keys);
    let wanted = rows::expected(&search, all);
    let got = engine.search(&search).map_err(|e| format!("{search:?}: {e}"))?;
    if got != wanted {
        return Err(format!("{search:?} gives {} rows, a plain scan gives {}", got.len(), wanted.len()));
    }
    let count = engine.count(&search).map_err(|e| format!("{search:?}: {e}"))?;
    let wanted = all.iter().filter(|record| rows::passes(&search, record)).count() as u64;
    if count == wanted { Ok(()) } else { Err(format!("{search:?} counts {count}, a plain scan {wanted}")) }
}
