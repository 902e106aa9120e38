//! What the catalog knows of each segment's copies in object storage, and of objects that are to be removed from there.
//!
//! Invariants
//! * The key of a segment's row is its id, as in the table of segments. A segment without a row is on this disk only.
//! * A copy is named here only after it was read back and compared with the file.
use super::tables::{Change, Table};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Where a segment's own file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Residency {
    /// On this disk.
    #[default]
    Here,
    /// In the archive alone; of the file, this disk has what finds things in it.
    Away,
    /// On this disk again until this time, nanoseconds since 1970.
    Restored {
        /// When it leaves again.
        until: i64,
    },
}

/// A copy in one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedCopy {
    /// The target's name.
    pub target: String,
    /// The object's name.
    pub object: String,
    /// When it was found to be whole, nanoseconds since 1970.
    pub verified: i64,
}

/// What there is of a segment in the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveRecord {
    /// The segment's number.
    pub id: u64,
    /// SHA-256 of the whole file.
    pub digest: [u8; 32],
    /// crc32 of the whole file.
    pub crc: u32,
    /// Length of the file.
    pub bytes: u64,
    /// Where in the file its shapes and indexes begin, behind all blocks.
    pub index_at: u64,
    /// Where its footer begins, behind these.
    pub footer_at: u64,
    /// crc32 of what lies between both.
    pub index_crc: u32,
    /// Where its file is.
    pub residency: Residency,
    /// Its copies, that of the first target first.
    pub copies: Vec<ArchivedCopy>,
}

impl ArchiveRecord {
    /// Whether the file itself is not on this disk.
    pub fn is_away(&self) -> bool {
        self.residency == Residency::Away
    }

    /// Its copy in a target.
    pub fn copy_in(&self, target: &str) -> Option<&ArchivedCopy> {
        self.copies.iter().find(|copy| copy.target == target)
    }

    /// Refuses a record under another key, or one that contradicts itself.
    pub(super) fn check(&self, key: &[u8]) -> Result<()> {
        if key != self.id.to_be_bytes() {
            return Err(Error::corrupt(format!(
                "what is archived of segment {:016x} is stored under another id",
                self.id
            )));
        }
        if self.index_at > self.footer_at || self.footer_at > self.bytes || self.copies.is_empty() {
            return Err(Error::corrupt(format!("what is archived of segment {:016x} contradicts itself", self.id)));
        }
        Ok(())
    }
}

/// An object that nothing needs any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CondemnedObject {
    /// The target's name.
    pub target: String,
    /// The object's name.
    pub object: String,
    /// Since when, nanoseconds since 1970.
    pub since: i64,
}

impl CondemnedObject {
    fn key(target: &str, object: &str) -> Vec<u8> {
        [target.as_bytes(), b"\0", object.as_bytes()].concat()
    }
}

impl Change {
    /// Adds or replaces what is known of a segment's copies.
    pub fn put_archived(&mut self, record: &ArchiveRecord) -> Result<&mut Self> {
        self.put(Table::Archive, &record.id.to_be_bytes(), record)
    }

    /// Forgets a segment's copies.
    pub fn remove_archived(&mut self, id: u64) -> &mut Self {
        self.remove(Table::Archive, &id.to_be_bytes())
    }

    /// Notes that an object is to be removed.
    pub fn condemn(&mut self, object: &CondemnedObject) -> Result<&mut Self> {
        self.put(Table::Condemned, &CondemnedObject::key(&object.target, &object.object), object)
    }

    /// Notes that an object is not to be removed, or is.
    pub fn spare(&mut self, target: &str, object: &str) -> &mut Self {
        self.remove(Table::Condemned, &CondemnedObject::key(target, object))
    }
}
