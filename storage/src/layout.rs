//! The directories of a data directory, the files that it always has, its format version, and the magic numbers of log files and
//! segments.
//!
//! Invariants
//! * What is named here lies on disks already: to change it takes a new [`FORMAT_VERSION`] and a migration.
use std::path::{Path, PathBuf};

/// The format of the whole directory; a higher one is refused with the version that reads it.
pub const FORMAT_VERSION: u32 = 2;
/// Magic of a WAL file.
pub const WAL_MAGIC: [u8; 4] = *b"LYW1";
/// Magic at both ends of a segment file.
pub const SEGMENT_MAGIC: [u8; 4] = *b"LYS1";

/// Held by the process that has the directory open.
pub const LOCK: &str = "LOCK";
/// The first admin key, for client commands on the same machine.
pub const ADMIN_KEY: &str = "admin.key";
/// The hash of the admin key, which is what counts.
pub const ADMIN_KEY_HASH: &str = "admin.key.sha256";
/// There while the directory is a backup that is not whole, or not known to be.
pub const UNFINISHED_BACKUP: &str = "UNFINISHED-BACKUP";
/// The redb file.
pub const CATALOG: &str = "catalog.redb";
/// Configurations as readable text.
pub const CONFIG_COPY: &str = "config-copy";
/// WAL files.
pub const WAL: &str = "wal";
/// Sealed segments, a folder a day.
pub const SEGMENTS: &str = "segments";
/// What recovery or the scrubber set aside.
pub const QUARANTINE: &str = "quarantine";
/// What finds things in segments that are in the archive.
pub const COLD: &str = "cold";
/// What tells the directory from others that would use the same place in the archive.
pub const ARCHIVE_ID: &str = "archive.id";
/// Suffix of a file that is being written and has no meaning yet.
pub const TEMPORARY: &str = "tmp";

/// The paths of one data directory.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout under `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The data directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The lock file.
    pub fn lock(&self) -> PathBuf {
        self.root.join(LOCK)
    }

    /// The redb file.
    pub fn catalog(&self) -> PathBuf {
        self.root.join(CATALOG)
    }

    /// The folder of readable configurations.
    pub fn config_copy(&self) -> PathBuf {
        self.root.join(CONFIG_COPY)
    }

    /// The folder of WAL files.
    pub fn wal(&self) -> PathBuf {
        self.root.join(WAL)
    }

    /// The folder of segments.
    pub fn segments(&self) -> PathBuf {
        self.root.join(SEGMENTS)
    }

    /// A segment's file.
    pub fn segment(&self, day: &str, id: u64) -> PathBuf {
        self.segments().join(day).join(format!("{id:016x}.seg"))
    }

    /// The folder of what is kept here of segments that are in the archive.
    pub fn cold(&self) -> PathBuf {
        self.root.join(COLD)
    }

    /// The footer of a segment that is in the archive.
    pub fn cold_footer(&self, id: u64) -> PathBuf {
        self.cold().join(format!("{id:016x}.footer"))
    }

    /// The shapes and indexes of a segment that is in the archive.
    pub fn cold_index(&self, id: u64) -> PathBuf {
        self.cold().join(format!("{id:016x}.index"))
    }

    /// What was written to a target's last manifest.
    pub fn cold_manifest(&self, target: &str) -> PathBuf {
        self.cold().join(format!("{target}.manifest"))
    }

    /// What tells the directory from others.
    pub fn archive_id(&self) -> PathBuf {
        self.root.join(ARCHIVE_ID)
    }

    /// The folder of what was set aside.
    pub fn quarantine(&self) -> PathBuf {
        self.root.join(QUARANTINE)
    }
}
