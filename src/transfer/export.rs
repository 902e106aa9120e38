//! What an engine has, written to a bucket in open formats.
//!
//! A part holds the rows of one hour and one service, or account, with the numbers that its name says. What a folder's names do not
//! cover is what is still to be exported, so that nothing else has to be remembered: an export that was cut short, or came while late
//! records arrived, is gone on with by the next one.
//!
//! Invariants
//! * No record is in two parts that count: a part is made of numbers that none covers, and by conditional creation.
//! * Memory is bounded by [`PAGE_ROWS`] rows and a row group; a part grows in a file of no name.
//! * What a search does not give is not exported: what is past its life, and what was deleted.
use super::layout::{self, HOUR, Part};
use super::{audit, ndjson, part, repack};
use logyard_storage::archive::Bucket;
use logyard_storage::engine::{Cancel, Control, Engine, Numbers, Order, Position, Search, Spread, Streamed};
use logyard_storage::error::{Error, ErrorKind, Result};
use logyard_storage::scan::filter::{Filter, Test};
use std::collections::BTreeMap;
use std::path::Path;

/// Rows that are asked for at once.
const PAGE_ROWS: usize = 4_096;
/// About how many rows a part has at most.
const PART_ROWS_MAX: u64 = 2_000_000;
/// Hours of accounts of a day.
const ACCOUNTS_MAX: usize = 100_000;
/// What Logyard writes of its own accord.
pub(crate) const OWN: &str = "logyard";
const DAY: i64 = 24 * HOUR;

/// As what records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Parquet, a part for each hour and service.
    Parquet,
    /// Parquet of audit events, a part for each hour and account.
    Audit,
    /// A JSON file for each log, in the layout of the service that was before.
    Ndjson,
}

/// What is to be exported.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) form: Form,
    /// Services; all but Logyard's own where none is named.
    pub(crate) services: Vec<String>,
    /// From this time on; from the oldest record on where nothing is said.
    pub(crate) since: Option<i64>,
    /// To before this time.
    pub(crate) before: i64,
    /// Whether the parts of each hour are merged.
    pub(crate) repack: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Parts, or logs, that were written.
    pub(crate) parts: u64,
    /// Rows in them.
    pub(crate) rows: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Hours of a service that were there already, or logs.
    pub(crate) existed: u64,
    /// Parts that others cover, removed.
    pub(crate) removed: u64,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.parts += other.parts;
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.existed += other.existed;
        self.removed += other.removed;
    }
}

/// What an export works with.
pub(crate) struct Export<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) bucket: &'a dyn Bucket,
    /// Where files without a name are made.
    pub(crate) spool: &'a Path,
    /// Ends it early.
    pub(crate) cancel: Cancel,
}

/// The first hour that is not over, where so long has to pass after the end of one.
pub(crate) fn over(now: i64, lag: std::time::Duration) -> i64 {
    let lag = i64::try_from(lag.as_nanos()).unwrap_or(i64::MAX);
    now.saturating_sub(lag).div_euclid(HOUR) * HOUR
}

impl Export<'_> {
    /// Exports, day by day from the oldest. `told` hears what was done so far, and that all before a time is.
    pub(crate) fn run(&self, wanted: &Wanted, told: &mut dyn FnMut(Found, i64) -> Result<()>) -> Result<Found> {
        let mut found = Found::default();
        let unit = if wanted.form == Form::Ndjson { 1 } else { HOUR };
        // Numbers tell what is missing of an hour, not of a part of one.
        let floor = |time: i64| time.div_euclid(unit).saturating_mul(unit);
        let end = floor(wanted.before.saturating_add(unit - 1));
        let wanted = &Wanted { since: wanted.since.map(floor), before: end, ..wanted.clone() };
        let Some(oldest) = self.oldest(wanted)? else { return Ok(found) };
        let mut from = floor(oldest);
        while from < end {
            self.cancel.check()?;
            let until = (from.div_euclid(DAY) + 1).saturating_mul(DAY).min(end);
            let search = self.search(wanted, from, until);
            match wanted.form {
                Form::Parquet => self.hours(&search, wanted.repack, &mut found)?,
                Form::Audit => self.accounts(&search, &mut found)?,
                Form::Ndjson => self.logs(&search, &mut found)?,
            }
            told(found, until)?;
            // Days without a record are passed over.
            from = match self.oldest(&Wanted { since: Some(until), ..wanted.clone() })? {
                Some(next) => floor(next).max(until),
                None => break,
            };
        }
        Ok(found)
    }

    fn search(&self, wanted: &Wanted, from: i64, until: i64) -> Search {
        let exclude_services = if wanted.services.is_empty() { vec![OWN.to_owned()] } else { Vec::new() };
        Search {
            services: wanted.services.clone(),
            exclude_services,
            from: Some(from),
            until: Some(until - 1),
            order: Order::Oldest,
            ..Search::default()
        }
    }

    fn control(&self) -> Control {
        Control { cancel: self.cancel.clone(), ..Control::default() }
    }

    /// The time of the oldest record that is wanted.
    fn oldest(&self, wanted: &Wanted) -> Result<Option<i64>> {
        let from = wanted.since.unwrap_or(i64::MIN);
        if from >= wanted.before {
            return Ok(None);
        }
        let search = Search { limit: 1, ..self.search(wanted, from, wanted.before) };
        Ok(self.engine.search_with(&search, &self.control())?.0.first().map(|record| record.time))
    }

    /// Exports the hours of a day.
    fn hours(&self, search: &Search, repack: bool, found: &mut Found) -> Result<()> {
        let mut folders: BTreeMap<(i64, String), Vec<Spread>> = BTreeMap::new();
        for piece in self.engine.spread(search, &self.control())? {
            folders.entry((piece.hour, piece.service.clone())).or_default().push(piece);
        }
        for ((hour, service), pieces) in folders {
            self.cancel.check()?;
            let folder = layout::folder(hour, "service", &service);
            let parts = self.parts(&folder, found)?;
            let before = found.parts;
            for numbers in missing(&parts, &pieces) {
                let search = Search { services: vec![service.clone()], ..of_hour(hour, Filter::Numbers(numbers)) };
                found.add(self.part(&folder, numbers, &search, &part::write)?);
            }
            found.existed += u64::from(found.parts == before);
            if repack {
                let parts = self.parts(&folder, found)?;
                for run in repack::runs(parts) {
                    found.add(repack::merge(self.bucket, &folder, &run, self.spool, &self.cancel)?);
                }
            }
        }
        Ok(())
    }

    /// The parts of a folder that count; those that others cover are removed.
    fn parts(&self, folder: &str, found: &mut Found) -> Result<Vec<Part>> {
        let mut all = Vec::new();
        self.bucket.list(folder, &mut |listed| {
            let name = listed.name.strip_prefix(folder).and_then(|name| name.strip_prefix('/'));
            all.extend(name.and_then(Part::parse));
            Ok(())
        })?;
        let (covered, counted): (Vec<Part>, Vec<Part>) = all.iter().cloned().partition(|part| part.is_covered(&all));
        for part in covered {
            self.bucket.remove(&format!("{folder}/{}", part.name()))?;
            found.removed += 1;
        }
        Ok(counted)
    }

    /// Exports the hours of a day as audit events. A folder has the events of all services that are meant: their accounts are few, and
    /// found by looking at each.
    fn accounts(&self, search: &Search, found: &mut Found) -> Result<()> {
        let any = Filter::Field(audit::ACCOUNT.into(), Test::Any);
        let search = Search { filter: Filter::And(vec![search.filter.clone(), any]), ..search.clone() };
        let mut folders: BTreeMap<(i64, String), BTreeMap<u32, Spread>> = BTreeMap::new();
        self.pages(&search, &mut |Streamed { record, .. }| {
            let (hour, account) = (record.time.div_euclid(HOUR), record.get(audit::ACCOUNT).to_owned());
            let numbers = Numbers { epoch: record.epoch, first: record.seq, last: record.seq };
            let epochs = folders.entry((hour, account.clone())).or_default();
            let piece = epochs.entry(record.epoch).or_insert(Spread { service: account, hour, rows: 0, numbers });
            piece.rows += 1;
            piece.numbers.first = piece.numbers.first.min(record.seq);
            piece.numbers.last = piece.numbers.last.max(record.seq);
            if folders.len() > ACCOUNTS_MAX {
                return Err(Error::invalid(format!(
                    "a day has more than {ACCOUNTS_MAX} hours of accounts: these are no audit events"
                )));
            }
            Ok(())
        })?;
        for ((hour, account), pieces) in folders {
            let folder = layout::folder(hour, audit::ACCOUNT, &account);
            let parts = self.parts(&folder, found)?;
            let before = found.parts;
            for numbers in missing(&parts, &pieces.into_values().collect::<Vec<_>>()) {
                let of_account = Filter::Field(audit::ACCOUNT.into(), Test::exact(&account));
                let filter = Filter::And(vec![Filter::Numbers(numbers), of_account]);
                let (services, exclude_services) = (search.services.clone(), search.exclude_services.clone());
                let search = Search { services, exclude_services, ..of_hour(hour, filter) };
                found.add(self.part(&folder, numbers, &search, &audit::write)?);
            }
            found.existed += u64::from(found.parts == before);
        }
        Ok(())
    }

    /// Writes the part of some numbers.
    fn part(&self, folder: &str, numbers: Numbers, search: &Search, write: &Write) -> Result<Found> {
        let written = write(self.spool, &mut |take| self.pages(search, take))?;
        let Some(written) = written else { return Ok(Found::default()) };
        let Numbers { epoch, first, last } = numbers;
        let part = Part { epoch, first, last, digest: written.spool.digest() };
        written.spool.put(self.bucket, &format!("{folder}/{}", part.name()))?;
        Ok(Found { parts: 1, rows: written.rows, bytes: written.spool.bytes(), ..Found::default() })
    }

    /// Gives the rows of a search in its order, a page at a time; of large rows fewer at once.
    fn pages(&self, search: &Search, take: &mut dyn FnMut(Streamed) -> Result<()>) -> Result<()> {
        let mut search = Search { limit: PAGE_ROWS, ..search.clone() };
        loop {
            self.cancel.check()?;
            let rows = match self.engine.search_streamed(&search, &self.control()) {
                Err(e) if e.kind() == ErrorKind::Budget && search.limit > 1 => {
                    search.limit /= 4;
                    continue;
                }
                rows => rows?,
            };
            let Some(last) = rows.last().map(|row| Position::of(&row.record)) else { return Ok(()) };
            rows.into_iter().try_for_each(&mut *take)?;
            search = search.behind(last);
        }
    }

    /// Exports logs, each by itself.
    fn logs(&self, search: &Search, found: &mut Found) -> Result<()> {
        self.pages(search, &mut |row| {
            self.cancel.check()?;
            found.add(ndjson::put(self.bucket, &row)?);
            Ok(())
        })
    }
}

/// How a part is written.
type Write = dyn Fn(&Path, &mut part::Rows<'_>) -> Result<Option<part::Written>>;

/// The rows of an hour that pass, the oldest first.
fn of_hour(hour: i64, filter: Filter) -> Search {
    let (from, until) = (Some(hour * HOUR), Some(hour * HOUR + (HOUR - 1)));
    Search { from, until, filter, order: Order::Oldest, ..Search::default() }
}

/// What no part covers of the numbers of some rows, in pieces that are not too large. The last one of each epoch ends with these rows:
/// what comes while they are written has higher numbers, and is the next part's.
fn missing(parts: &[Part], pieces: &[Spread]) -> Vec<Numbers> {
    let mut epochs: Vec<u32> = pieces.iter().map(|piece| piece.numbers.epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    let mut missing = Vec::new();
    for epoch in epochs {
        let mut covered: Vec<&Part> = parts.iter().filter(|part| part.epoch == epoch).collect();
        covered.sort();
        let mut pieces: Vec<&Spread> = pieces.iter().filter(|piece| piece.numbers.epoch == epoch).collect();
        pieces.sort_by_key(|piece| (piece.numbers.last, piece.numbers.first));
        let mut first = 0;
        let ends = covered.iter().map(|part| (part.first.checked_sub(1), part.last));
        let end = pieces.iter().map(|piece| piece.numbers.last).max();
        for (last, next) in ends.chain([(end, u64::MAX)]) {
            if last.is_some_and(|last| first <= last) {
                cut(Numbers { epoch, first, last: last.unwrap_or(0) }, &pieces, &mut missing);
            }
            first = first.max(next.saturating_add(1));
        }
    }
    missing
}

/// Adds numbers of which there are rows, cut where there are too many for a part.
fn cut(mut numbers: Numbers, pieces: &[&Spread], missing: &mut Vec<Numbers>) {
    let (mut rows, mut has_rows) = (0, false);
    for piece in pieces {
        let of = piece.numbers;
        if of.last < numbers.first || of.first > numbers.last {
            continue;
        }
        if rows > 0 && rows + piece.rows > PART_ROWS_MAX && of.first > numbers.first {
            let last = of.first - 1;
            if last < numbers.last {
                missing.push(Numbers { last, ..numbers });
                (numbers.first, rows) = (last + 1, 0);
            }
        }
        rows += piece.rows;
        has_rows = true;
    }
    if has_rows {
        missing.push(numbers);
    }
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
