//! The catalog's tables, how a row is stored, and the atomic change.
//!
//! A stored value: `| envelope of codec | crc32 u32 over table, key and envelope |`, with lengths before table and key.
//!
//! Invariants
//! * A value is accepted only under the table and key that it was written for.
//! * Each table has a [`Digest`] that changes in the same transaction as its rows, so that missing and outdated rows
//!   show, not only altered ones.
use crate::codec;
use crate::error::{Error, Result};
use crate::limits::{CATALOG_VALUE_BYTES_MAX, EFFECT_BYTES_MAX};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const ROW_MAGIC: [u8; 4] = *b"LYC1";
const ROW_VERSION: u16 = 1;
const CRC_BYTES: usize = 4;

/// A table of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// The format and what there is one of.
    Meta,
    /// Sealed segments.
    Segments,
    /// Configurations of services.
    Services,
    /// API keys, as hashes.
    Keys,
    /// Jobs and their runs.
    Jobs,
    /// Effects whose WAL file has retired.
    Effects,
    /// Alert rules and their state.
    Alerts,
    /// Deletions that are not yet carried out everywhere.
    Deletions,
    /// Copies of segments in object storage.
    Archive,
    /// Objects that are to be removed from there.
    Condemned,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 10] = [
        Self::Meta,
        Self::Segments,
        Self::Services,
        Self::Keys,
        Self::Jobs,
        Self::Effects,
        Self::Alerts,
        Self::Deletions,
        Self::Archive,
        Self::Condemned,
    ];

    /// The table with a name on disk.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// Its name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Segments => "segments",
            Self::Services => "services",
            Self::Keys => "keys",
            Self::Jobs => "jobs",
            Self::Effects => "effects",
            Self::Alerts => "alerts",
            Self::Deletions => "deletions",
            Self::Archive => "archive",
            Self::Condemned => "condemned",
        }
    }
}

/// A row of a table: its key and its value.
pub type Row<T> = (Vec<u8>, T);

/// What a table holds.
#[derive(Debug)]
pub struct Scan<T> {
    /// Rows that are as they were written, by key.
    pub rows: Vec<Row<T>>,
    /// Rows that are not, and why.
    pub damaged: Vec<(Vec<u8>, Error)>,
    /// Set when the table as a whole is not what the last change left: rows are missing, outdated or altered.
    pub whole: Option<Error>,
}

/// Puts and removals that become durable together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub(super) steps: Vec<Step>,
}

/// One step of a [`Change`]; a put has its stored form.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Put(Table, Vec<u8>, Vec<u8>),
    Remove(Table, Vec<u8>),
    Accept(Table),
}

impl Step {
    pub(super) fn table(&self) -> Table {
        match self {
            Self::Put(table, ..) | Self::Remove(table, _) | Self::Accept(table) => *table,
        }
    }
}

impl Change {
    /// A change that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of a key.
    pub fn put<T: Serialize>(&mut self, table: Table, key: &[u8], value: &T) -> Result<&mut Self> {
        let stored = seal_row(table.name(), key, value)?;
        self.steps.push(Step::Put(table, key.to_vec(), stored));
        Ok(self)
    }

    /// Removes a key; nothing happens where it is missing.
    pub fn remove(&mut self, table: Table, key: &[u8]) -> &mut Self {
        self.steps.push(Step::Remove(table, key.to_vec()));
        self
    }

    /// Takes the table as it is after the steps so far for whole. The last step of a repair.
    pub fn accept(&mut self, table: Table) -> &mut Self {
        self.steps.push(Step::Accept(table));
        self
    }

    /// Sets a key to a value as it is stored, if that is what was stored under this key.
    pub(crate) fn put_stored(&mut self, table: Table, key: &[u8], stored: &[u8]) -> Result<&mut Self> {
        check_stored(table.name(), key, stored)?;
        self.steps.push(Step::Put(table, key.to_vec(), stored.to_vec()));
        Ok(self)
    }

    /// What it puts, as it is stored, in the order in which it does so.
    pub(crate) fn puts(&self) -> impl Iterator<Item = (Table, &[u8], &[u8])> {
        self.steps.iter().filter_map(|step| match step {
            Step::Put(table, key, stored) => Some((*table, key.as_slice(), stored.as_slice())),
            Step::Remove(..) | Step::Accept(_) => None,
        })
    }

    /// Leaves out what it puts under keys for which `stays` says no.
    pub(crate) fn keep_puts(&mut self, stays: impl Fn(Table, &[u8]) -> bool) -> &mut Self {
        self.steps.retain(|step| match step {
            Step::Put(table, key, _) => stays(*table, key),
            Step::Remove(..) | Step::Accept(_) => true,
        });
        self
    }

    /// Does all of another change after this one.
    pub fn then(&mut self, other: &Self) -> &mut Self {
        self.steps.extend_from_slice(&other.steps);
        self
    }

    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// A value as it is stored under `key` of the table named `table`.
pub(super) fn seal_row<T: Serialize>(table: &str, key: &[u8], value: &T) -> Result<Vec<u8>> {
    if key.is_empty() || key.len() > EFFECT_BYTES_MAX {
        return Err(Error::invalid(format!("cannot store a key of {} bytes in {table}", key.len())));
    }
    let mut stored = codec::seal(ROW_MAGIC, ROW_VERSION, value)?;
    // The limit holds on reading, so what is larger must not be written either.
    if stored.len() > CATALOG_VALUE_BYTES_MAX {
        return Err(Error::invalid(format!("cannot store {} bytes in {table}, over the limit", stored.len())));
    }
    let crc = place_crc(table, key, &stored);
    stored.extend_from_slice(&crc.to_le_bytes());
    Ok(stored)
}

/// The value that was stored under `key` of a table, as [`Change::puts`] gives it.
pub(crate) fn read_stored<T: DeserializeOwned>(table: Table, key: &[u8], stored: &[u8]) -> Result<T> {
    open_row(table.name(), key, stored)
}

/// The value that was stored under `key`.
pub(super) fn open_row<T: DeserializeOwned>(table: &str, key: &[u8], stored: &[u8]) -> Result<T> {
    open_at(table, key, stored).map_err(|e| e.context(format!("{table} row {}", show_key(key))))
}

fn open_at<T: DeserializeOwned>(table: &str, key: &[u8], stored: &[u8]) -> Result<T> {
    codec::open(ROW_MAGIC, ROW_VERSION, check_stored(table, key, stored)?)
}

/// The envelope of a stored value, where that was written for this key.
fn check_stored<'a>(table: &str, key: &[u8], stored: &'a [u8]) -> Result<&'a [u8]> {
    let Some((sealed, crc)) = stored.split_last_chunk::<CRC_BYTES>() else {
        return Err(Error::corrupt("a value without a checksum"));
    };
    if place_crc(table, key, sealed) != u32::from_le_bytes(*crc) {
        return Err(Error::corrupt("the value is not the one written for this key"));
    }
    Ok(sealed)
}

fn place_crc(table: &str, key: &[u8], sealed: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for part in [table.as_bytes(), key] {
        crc.update(&(part.len() as u64).to_le_bytes());
        crc.update(part);
    }
    crc.update(sealed);
    crc.finalize()
}

/// A key for people: as text where it is text, else its bytes.
pub(super) fn show_key(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.chars().any(char::is_control) => format!("{text:?}"),
        _ => key.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// What the rows of a table add up to, whatever their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digest {
    rows: u64,
    sum: u64,
}

impl Digest {
    pub(super) fn add(&mut self, key: &[u8], stored: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(row_hash(key, stored));
    }

    pub(super) fn take(&mut self, key: &[u8], stored: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(row_hash(key, stored));
    }

    /// Whether the rows that were read are all that were written.
    pub(super) fn check(&self, table: Table, found: &Self) -> Result<()> {
        if self == found {
            return Ok(());
        }
        let (want, have) = (self.rows, found.rows);
        let message = format!("{}: its {have} rows are not the {want} that the last change left", table.name());
        Err(Error::corrupt(message))
    }
}

/// FNV-1a. A crc will not do: over bytes that end in their own crc it is the same whatever they are.
fn row_hash(key: &[u8], stored: &[u8]) -> u64 {
    let len = (key.len() as u64).to_le_bytes();
    let bytes = len.iter().chain(key).chain(stored);
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3))
}
