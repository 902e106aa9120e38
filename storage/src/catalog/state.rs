//! The whole catalog, typed, as it is read when the engine starts.
//!
//! Invariants
//! * A row is either given as it was written or named as damaged; it is never left out silently.
use super::archive::{ArchiveRecord, CondemnedObject};
use super::segments::SegmentRecord;
use super::services::ServiceConfig;
use super::tables::{Change, Row, Scan, Table};
use super::{Catalog, META_KEY};
use crate::error::{Error, Result};
use crate::layout::FORMAT_VERSION;
use crate::record::EPOCH_END;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What there is one of in a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The format that it was last written in.
    pub format: u32,
    /// Random 24 bits, new for each catalog and each place that the directory is found in.
    pub epoch: u32,
    /// No sequence number from here on was ever given out.
    pub seq_reserved: u64,
    /// Records below this one are in segments.
    pub sealed_seq: u64,
    /// Whether the engine said goodbye.
    pub clean_shutdown: bool,
}

impl Meta {
    /// Its key in its table.
    pub(crate) const KEY: &'static [u8] = META_KEY;

    /// That of a new directory.
    pub fn new(random: u64) -> Self {
        let epoch = (random % u64::from(EPOCH_END)) as u32;
        Self { format: FORMAT_VERSION, epoch, seq_reserved: 0, sealed_seq: 0, clean_shutdown: false }
    }
}

/// An effect whose WAL file has retired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectRow {
    /// Its value.
    pub value: Vec<u8>,
    /// The sequence number that it became visible with; a later one wins.
    pub seq: u64,
    /// When it ends, nanoseconds since 1970.
    pub expires: Option<i64>,
    /// Whether there was one of the same key before it that does not end when this one does.
    pub shadows: bool,
}

impl EffectRow {
    /// The row of an effect that comes after `before`.
    pub fn after(before: Option<&Self>, value: Vec<u8>, seq: u64, expires: Option<i64>) -> Self {
        let outlived = |before: &Self| expires.is_some_and(|at| before.expires.is_none_or(|other| other > at));
        Self { value, seq, expires, shadows: before.is_some_and(|before| before.shadows || outlived(before)) }
    }

    /// Whether it has ended at a time.
    pub fn is_over(&self, now: i64) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

/// Something in the catalog that is not what was written.
#[derive(Clone, Debug)]
pub struct Damage {
    /// Where.
    pub table: Table,
    /// The row; none where rows of the table are missing or outdated.
    pub key: Option<Vec<u8>>,
    /// What is wrong.
    pub error: Error,
}

/// Everything the engine starts from.
#[derive(Debug)]
pub struct State {
    /// None where it is damaged.
    pub meta: Option<Meta>,
    /// Segments by id.
    pub segments: Vec<SegmentRecord>,
    /// Configurations by service.
    pub services: Vec<(String, ServiceConfig)>,
    /// Effects by key.
    pub effects: Vec<Row<EffectRow>>,
    /// Deletions, as their owner encoded them.
    pub deletions: Vec<Row<Vec<u8>>>,
    /// Copies of segments in object storage, by segment.
    pub archived: Vec<ArchiveRecord>,
    /// Objects that are to be removed.
    pub condemned: Vec<CondemnedObject>,
    /// What is damaged, in any table, those that are not given here included.
    pub damaged: Vec<Damage>,
}

impl Catalog {
    /// Reads and checks all of it. An error says that it cannot be read as a whole.
    pub fn load(&self) -> Result<State> {
        let mut damaged = Vec::new();
        let meta = self.load_meta(&mut damaged)?;
        let segments = self.load_table(Table::Segments, &mut damaged, |key, segment: SegmentRecord| {
            segment.check(key)?;
            Ok(segment)
        })?;
        let services = self.load_table(Table::Services, &mut damaged, |key, config| {
            let name = std::str::from_utf8(key).map_err(|_| Error::corrupt("a service's name is not UTF-8"))?;
            Ok((name.to_owned(), config))
        })?;
        let effects = self.load_table(Table::Effects, &mut damaged, |key, effect| Ok((key.to_vec(), effect)))?;
        let deletions = self.load_table(Table::Deletions, &mut damaged, |key, bytes| Ok((key.to_vec(), bytes)))?;
        let archived = self.load_table(Table::Archive, &mut damaged, |key, record: ArchiveRecord| {
            record.check(key)?;
            Ok(record)
        })?;
        let condemned = self.load_table(Table::Condemned, &mut damaged, |_, object: CondemnedObject| Ok(object))?;
        // Their rows belong to others; what is missing from them shows here all the same.
        for table in [Table::Keys, Table::Jobs, Table::Alerts] {
            note_whole(table, self.stored_rows(table)?.whole, &mut damaged);
        }
        Ok(State { meta, segments, services, effects, deletions, archived, condemned, damaged })
    }

    fn load_meta(&self, damaged: &mut Vec<Damage>) -> Result<Option<Meta>> {
        note_whole(Table::Meta, self.stored_rows(Table::Meta)?.whole, damaged);
        match self.get::<Meta>(Table::Meta, META_KEY) {
            Ok(meta) => Ok(meta),
            Err(error) => {
                damaged.push(Damage { table: Table::Meta, key: Some(META_KEY.to_vec()), error });
                Ok(None)
            }
        }
    }

    fn load_table<T: DeserializeOwned, R>(
        &self,
        table: Table,
        damaged: &mut Vec<Damage>,
        accept: impl Fn(&[u8], T) -> Result<R>,
    ) -> Result<Vec<R>> {
        let scan: Scan<T> = self.scan(table)?;
        note_whole(table, scan.whole, damaged);
        damaged.extend(scan.damaged.into_iter().map(|(key, error)| Damage { table, key: Some(key), error }));
        let mut rows = Vec::with_capacity(scan.rows.len());
        for (key, value) in scan.rows {
            match accept(&key, value) {
                Ok(row) => rows.push(row),
                Err(error) => damaged.push(Damage { table, key: Some(key), error }),
            }
        }
        Ok(rows)
    }
}

fn note_whole(table: Table, error: Option<Error>, damaged: &mut Vec<Damage>) {
    damaged.extend(error.map(|error| Damage { table, key: None, error }));
}

impl Change {
    /// Replaces what there is one of.
    pub fn put_meta(&mut self, meta: &Meta) -> Result<&mut Self> {
        self.put(Table::Meta, META_KEY, meta)
    }

    /// Adds or replaces an effect.
    pub fn put_effect(&mut self, key: &[u8], effect: &EffectRow) -> Result<&mut Self> {
        self.put(Table::Effects, key, effect)
    }

    /// Forgets an effect.
    pub fn remove_effect(&mut self, key: &[u8]) -> &mut Self {
        self.remove(Table::Effects, key)
    }
}
