//! Deletion by predicate: asked for, hidden at once, carried out by rewriting, and only then forgotten.
//!
//! A deletion is a row of the catalog, with a copy beside the configurations, so that a lost catalog does not bring
//! deleted rows back. Whether a segment still has rows that it means is looked up in the segment itself: it does not
//! matter which seal or merge wrote the segment, nor whether that began before the deletion did.
//!
//! Invariants
//! * When [`Shared::delete`] returns, the deletion is durable and its rows are hidden.
//! * It is forgotten only when no generation and no segment has a row that it means, and then no file of the log that
//!   may have one is recycled: it is removed.
use super::compact::Leaving;
use super::turn::Turn;
use super::with_paid_block;
use crate::catalog::config_copy::{self, CopyKind, CopyValue, from_hex, to_hex};
use crate::catalog::{Change, SegmentRecord, SegmentState, Table};
use crate::codec;
use crate::engine::{LiveSegment, Search, Shared, locked};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::hot::HotBatch;
use crate::layout::Layout;
use crate::limits::KIB;
use crate::planted;
use crate::scan::filter::{Filter, Test};
use crate::scan::{ANY_EPOCH, Deletion, Tally};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

/// Deletions that are not carried out yet.
const PENDING_MAX: usize = 64;
/// A predicate in its stored form.
const STORED_BYTES_MAX: usize = 64 * KIB;
/// How deep a predicate is nested.
const DEPTH_MAX: usize = 64;
const MAGIC: [u8; 4] = *b"LYD1";
const VERSION: u16 = 1;
const COPY_KEY: &str = "deletion";

/// What a deletion did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionReceipt {
    /// Its number; none of a dry run.
    pub id: Option<u64>,
    /// Rows that were shown before and no longer are.
    pub rows: u64,
    /// The same by service.
    pub by_service: BTreeMap<String, u64>,
    /// Event time of the earliest of them.
    pub from: Option<i64>,
    /// Event time of the latest of them.
    pub until: Option<i64>,
    /// When it was asked for.
    pub at: i64,
}

/// A deletion as it is kept. Filters have a form of their own here, so that the ones in memory can change.
#[derive(Serialize, Deserialize)]
struct Stored {
    ends: Vec<(u32, u64)>,
    at: i64,
    services: Vec<String>,
    exclude_services: Vec<String>,
    from: Option<i64>,
    until: Option<i64>,
    filter: StoredFilter,
}

#[derive(Serialize, Deserialize)]
enum StoredFilter {
    All,
    And(Vec<StoredFilter>),
    Or(Vec<StoredFilter>),
    Not(Box<StoredFilter>),
    Field(String, StoredTest),
}

#[derive(Serialize, Deserialize)]
enum StoredTest {
    Exact(String),
    Phrase(String, bool),
    Prefix(String, bool),
    Substring(String),
    Any,
}

impl StoredFilter {
    fn of(filter: &Filter, depth: usize) -> Result<Self> {
        if depth > DEPTH_MAX {
            return Err(Error::invalid(format!("a deletion cannot be nested deeper than {DEPTH_MAX}")));
        }
        let all = |parts: &[Filter]| parts.iter().map(|part| Self::of(part, depth + 1)).collect::<Result<Vec<_>>>();
        Ok(match filter {
            Filter::All => Self::All,
            Filter::And(parts) => Self::And(all(parts)?),
            Filter::Or(parts) => Self::Or(all(parts)?),
            Filter::Not(part) => Self::Not(Box::new(Self::of(part, depth + 1)?)),
            Filter::Field(name, test) => Self::Field(name.clone(), StoredTest::of(test)?),
            Filter::Ids(_) => return Err(Error::invalid("rows cannot be deleted by their ids")),
            Filter::Numbers(_) => return Err(Error::invalid("rows cannot be deleted by their numbers")),
            Filter::Streams(_) => {
                return Err(Error::invalid("rows cannot be deleted by their streams; name the fields"));
            }
        })
    }

    fn filter(&self) -> Filter {
        match self {
            Self::All => Filter::All,
            Self::And(parts) => Filter::And(parts.iter().map(Self::filter).collect()),
            Self::Or(parts) => Filter::Or(parts.iter().map(Self::filter).collect()),
            Self::Not(part) => Filter::Not(Box::new(part.filter())),
            Self::Field(name, test) => Filter::Field(name.clone(), test.test()),
        }
    }
}

impl StoredTest {
    fn of(test: &Test) -> Result<Self> {
        Ok(match test {
            Test::Exact(exact) => Self::Exact(exact.text().into()),
            Test::Phrase(phrase) if phrase.goes_on() => Self::Prefix(phrase.text().into(), phrase.any_case()),
            Test::Phrase(phrase) => Self::Phrase(phrase.text().into(), phrase.any_case()),
            Test::Substring(part) => Self::Substring(part.clone()),
            Test::Any => Self::Any,
            Test::Asked(_) => return Err(Error::invalid("rows can be deleted by words, phrases and exact texts only")),
        })
    }

    fn test(&self) -> Test {
        match self {
            Self::Exact(text) => Test::exact(text),
            Self::Phrase(text, any_case) => Test::phrase(text, *any_case),
            Self::Prefix(text, any_case) => Test::prefix(text, *any_case),
            Self::Substring(part) => Test::Substring(part.clone()),
            Self::Any => Test::Any,
        }
    }
}

fn encode(deletion: &Deletion) -> Result<Vec<u8>> {
    let search = &deletion.search;
    let stored = Stored {
        ends: deletion.ends.clone(),
        at: deletion.at,
        services: search.services.clone(),
        exclude_services: search.exclude_services.clone(),
        from: search.from,
        until: search.until,
        filter: StoredFilter::of(&search.filter, 0)?,
    };
    let bytes = codec::seal(MAGIC, VERSION, &stored)?;
    if bytes.len() > STORED_BYTES_MAX {
        return Err(Error::invalid(format!("a deletion of {} bytes, over the limit", bytes.len())));
    }
    Ok(bytes)
}

fn decode(key: &[u8], bytes: &[u8]) -> Result<Deletion> {
    let id = u64::from_be_bytes(key.try_into().map_err(|_| Error::corrupt("a deletion without a number"))?);
    let stored: Stored = codec::open(MAGIC, VERSION, bytes)?;
    let search = Search {
        services: stored.services,
        exclude_services: stored.exclude_services,
        from: stored.from,
        until: stored.until,
        filter: stored.filter.filter(),
        ..Search::default()
    };
    Ok(Deletion { id, search, ends: stored.ends, at: stored.at })
}

/// The deletions that a start has to go on with. `in_doubt` where the catalog may have lost some: then the copies count
/// too, and hold for rows of `epoch` that are below the same number as those of the epoch that was lost with it.
pub(crate) fn recover(
    env: &dyn Env,
    layout: &Layout,
    found: &[(Vec<u8>, Vec<u8>)],
    in_doubt: bool,
    epoch: u32,
    change: &mut Change,
    troubles: &mut Vec<String>,
) -> Result<Vec<Arc<Deletion>>> {
    let mut deletions = BTreeMap::new();
    for (key, bytes) in found {
        match decode(key, bytes) {
            Ok(deletion) => {
                deletions.insert(deletion.id, deletion);
            }
            Err(e) if e.kind() == ErrorKind::NewerFormat => return Err(e),
            Err(e) => troubles.push(format!("a deletion is damaged; rows that it hid may show again: {e}")),
        }
    }
    let copies = match config_copy::read(env, layout, CopyKind::Deletion) {
        Ok(copies) => copies,
        Err(e) => {
            troubles.push(format!("the copies of deletions cannot be read: {e}"));
            return Ok(deletions.into_values().map(Arc::new).collect());
        }
    };
    troubles.extend(copies.damaged.iter().map(|(path, e)| format!("{} is damaged: {e}", path.display())));
    let mut copied: BTreeSet<u64> = BTreeSet::new();
    for (name, fields) in copies.rows {
        let id: Option<u64> = name.parse().ok();
        copied.extend(id);
        if id.is_some_and(|id| deletions.contains_key(&id)) {
            continue;
        }
        let stored = match (id, fields.get(COPY_KEY)) {
            (Some(id), Some(CopyValue::Text(text))) if in_doubt => from_hex(text).map(|bytes| (id, bytes)),
            _ => None,
        };
        let Some((id, bytes)) = stored else {
            if let Err(e) = config_copy::remove(env, layout, CopyKind::Deletion, &name) {
                troubles.push(format!("the copy of a deletion that is done is not removed: {e}"));
            }
            continue;
        };
        let mut deletion = match decode(&id.to_be_bytes(), &bytes) {
            Ok(deletion) => deletion,
            Err(e) => {
                troubles.push(format!("the copy of deletion {id} is damaged: {e}"));
                continue;
            }
        };
        let end = deletion.ends.first().map_or(0, |(_, end)| *end);
        if deletion.end_of(epoch) == 0 {
            // The first one is the epoch that rows were given when it was asked for.
            deletion.ends.push((epoch, end));
        }
        change.put(Table::Deletions, &id.to_be_bytes(), &encode(&deletion)?)?;
        troubles.push(format!("deletion {id} is restored from its copy"));
        deletions.insert(id, deletion);
    }
    for deletion in deletions.values().filter(|deletion| !copied.contains(&deletion.id)) {
        if let Err(e) = write_copy(env, layout, deletion.id, &encode(deletion)?) {
            troubles.push(format!("the copy of deletion {} is not written: {e}", deletion.id));
        }
    }
    Ok(deletions.into_values().map(Arc::new).collect())
}

fn write_copy(env: &dyn Env, layout: &Layout, id: u64, stored: &[u8]) -> Result<()> {
    let fields = [(COPY_KEY.to_string(), CopyValue::Text(to_hex(stored)))].into();
    config_copy::write(env, layout, CopyKind::Deletion, &id.to_string(), &fields)
}

impl Shared {
    pub(crate) fn deletions(&self) -> Arc<Vec<Arc<Deletion>>> {
        Arc::clone(&self.deletions.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One above the highest number of every row that was acknowledged before.
    fn ends(&self) -> Vec<(u32, u64)> {
        let _publishing = locked(&self.publish);
        let (epoch, sealed_seq) = {
            let meta = locked(&self.meta);
            (meta.epoch, meta.sealed_seq)
        };
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let hot = state.generations.iter().map(|generation| generation.size().end_seq).max().unwrap_or(0);
        let mut ends = vec![(epoch, hot.max(sealed_seq))];
        let views: Vec<_> = state.generations.iter().map(|generation| generation.view()).collect();
        let batches = views.iter().flat_map(|view| &view.batches);
        let batches = batches.map(|hot| (hot.epoch, hot.first_seq + hot.batch.rows() as u64));
        let blocks = state.segments.iter().flat_map(|live| &live.segment.footer.blocks);
        for (epoch, end) in batches.chain(blocks.map(|block| (block.epoch, block.last_seq + 1))) {
            match ends.iter_mut().find(|(of, _)| *of == epoch) {
                Some((_, known)) => *known = (*known).max(end),
                None => ends.push((epoch, end)),
            }
        }
        // Rows that cannot be read now are meant as well, and no epoch but this one gets new ones.
        let unread = self.unread.iter().map(|record| record.last_seq + 1).max().unwrap_or(0);
        ends.iter_mut().filter(|(of, _)| *of != epoch).for_each(|(_, end)| *end = (*end).max(unread));
        if self.unread.iter().any(|record| record.state == SegmentState::Unread) {
            // Nobody knows of which epochs its rows are, and all numbers that come are above theirs.
            ends.push((ANY_EPOCH, hot.max(sealed_seq)));
        }
        ends
    }

    /// Hides the rows that a search finds, and remembers to remove them.
    pub(crate) fn delete(&self, search: &Search, dry_run: bool) -> Result<DeletionReceipt> {
        let _one_at_a_time = locked(&self.deleting);
        let pending = self.deletions();
        let at = self.env.now();
        let last = pending.last().map_or(0, |deletion| deletion.id);
        let id = u64::try_from(at).unwrap_or(0).max(last + 1);
        let search = Search { limit: usize::MAX, offset: 0, ..search.clone() };
        let deletion = Deletion { id, search, ends: self.ends(), at };
        let stored = encode(&deletion)?;
        if !dry_run && pending.len() >= PENDING_MAX {
            let message = format!("{} deletions are not carried out yet: try again later", pending.len());
            return Err(Error::new(ErrorKind::Busy, message));
        }
        let tally = self.snapshot().tally(&deletion)?;
        if !dry_run {
            let mut change = Change::new();
            change.put(Table::Deletions, &id.to_be_bytes(), &stored)?;
            let mut undo = Change::new();
            undo.remove(Table::Deletions, &id.to_be_bytes());
            if !planted::on("deletion-not-kept") {
                self.commit_catalog(&change, &undo)?;
            }
            self.set_deletions(pending.iter().cloned().chain([Arc::new(deletion)]).collect());
            if let Err(e) = write_copy(&*self.env, &self.layout, id, &stored) {
                self.trouble(format!("deletion {id} holds, but its copy is not written: {e}"));
            }
        }
        Ok(receipt((!dry_run).then_some(id), at, tally))
    }

    fn set_deletions(&self, deletions: Vec<Arc<Deletion>>) {
        *self.deletions.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(deletions);
    }

    /// Rewrites at most `most` segments with deleted rows and forgets deletions that are done. Says how many it wrote.
    pub(super) fn carry_out(&self, turn: &Turn<'_>, most: usize) -> Result<usize> {
        let mut rewritten = 0;
        for deletion in self.deletions().iter() {
            let mut left = self.is_hot(deletion) || self.is_unread(deletion);
            for live in self.live_segments() {
                if !deletion.may_touch(&live.segment) || self.census.is_clear(deletion.id, live.record.id) {
                    continue;
                }
                if self.lost.touches(live.record.id) {
                    // It cannot be read as a whole, so it is not rewritten: its rows stay hidden.
                    left = true;
                } else if planted::on("deletion-not-carried-out") || !has_rows(turn, deletion, &live)? {
                    self.census.set_clear(deletion.id, live.record.id);
                } else if rewritten < most {
                    self.rewrite(turn, &[live], &Leaving::now(self))?;
                    rewritten += 1;
                } else {
                    left = true;
                }
            }
            if !left {
                self.forget_deletion(deletion.id)?;
            }
        }
        Ok(rewritten)
    }

    /// Whether rows that it may mean are not sealed yet.
    fn is_hot(&self, deletion: &Deletion) -> bool {
        let is_meant = |hot: &Arc<HotBatch>| hot.first_seq < deletion.end_of(hot.epoch);
        self.generations().iter().any(|generation| generation.view().batches.iter().any(is_meant))
    }

    /// Whether rows that it may mean are in segments that cannot be read: they would show again with these.
    fn is_unread(&self, deletion: &Deletion) -> bool {
        let may_touch = |of: &SegmentRecord| deletion.may_touch_unread(of.first_seq, (of.time_min, of.time_max));
        self.unread.iter().any(may_touch)
    }

    fn forget_deletion(&self, id: u64) -> Result<()> {
        // No segment has its rows any more, and no file of the log will once those of now are retired.
        self.files.forget_old_bytes()?;
        let _one_at_a_time = locked(&self.deleting);
        let mut change = Change::new();
        change.remove(Table::Deletions, &id.to_be_bytes());
        let mut undo = Change::new();
        if let Some(deletion) = self.deletions().iter().find(|deletion| deletion.id == id) {
            undo.put(Table::Deletions, &id.to_be_bytes(), &encode(deletion)?)?;
        }
        self.commit_catalog(&change, &undo)?;
        let left = self.deletions().iter().filter(|deletion| deletion.id != id).cloned().collect();
        self.set_deletions(left);
        self.census.forget_deletion(id);
        if let Err(e) = config_copy::remove(&*self.env, &self.layout, CopyKind::Deletion, &id.to_string()) {
            self.trouble(format!("the copy of deletion {id}, which is done, is not removed: {e}"));
        }
        Ok(())
    }
}

/// Whether a segment has rows that a deletion means.
fn has_rows(turn: &Turn<'_>, deletion: &Deletion, live: &LiveSegment) -> Result<bool> {
    let segment = &live.segment;
    for index in 0..segment.block_count() {
        if with_paid_block(turn, segment, index, |part| Ok(!deletion.rows(part, &part.times()?)?.is_empty()))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn receipt(id: Option<u64>, at: i64, tally: Tally) -> DeletionReceipt {
    DeletionReceipt {
        id,
        rows: tally.rows(),
        from: tally.times.map(|(from, _)| from),
        until: tally.times.map(|(_, until)| until),
        by_service: tally.by_service,
        at,
    }
}
