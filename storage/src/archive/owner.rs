//! Whose a place in object storage is: an object of a few readable lines, and who may write over it.
//!
//! Invariants
//! * A place belongs to one data directory, and of its processes to one. What is decided here depends on nothing but what it
//!   is given.
use crate::error::{Error, Result};
use std::fmt;

/// The object's name.
pub(crate) const OWNER: &str = "owner";
/// Length of it at most.
pub(crate) const OWNER_BYTES_MAX: u64 = 4_096;
const HEADING: &str = "logyard archive owner 1";
/// For how long an owner that says nothing is taken to be there still.
const SILENT_NANOS: i64 = 10 * 60 * 1_000_000_000;

/// Who a place belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The data directory's own number.
    pub(crate) directory: String,
    /// The process's.
    pub(crate) holder: String,
    /// Where the directory is, for people.
    pub(crate) path: String,
    /// When it was said last, nanoseconds since 1970.
    pub(crate) renewed: i64,
    /// Whether the process has ended in order.
    pub(crate) released: bool,
}

/// What becomes of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is free, or one's own: it is written.
    Take,
    /// It may be somebody else's of the same directory, who is perhaps gone: it is looked at again later.
    Wait,
    /// It is somebody else's.
    Taken,
}

impl Owner {
    /// The object.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let path: String = self.path.chars().filter(|c| !c.is_control()).take(1_000).collect();
        let lines = format!(
            "{HEADING}\ndirectory {}\nholder {}\npath {path}\nrenewed {}\nreleased {}\n",
            self.directory, self.holder, self.renewed, self.released
        );
        let crc = crc32fast::hash(lines.as_bytes());
        format!("{lines}check {crc:08x}\n").into_bytes()
    }

    /// What an object says.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::corrupt("the object that says whose the archive is cannot be read");
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        let (lines, check) = text.rsplit_once("check ").ok_or_else(damaged)?;
        if u32::from_str_radix(check.trim_end(), 16).ok() != Some(crc32fast::hash(lines.as_bytes())) {
            return Err(damaged());
        }
        let mut lines = lines.lines();
        if lines.next() != Some(HEADING) {
            return Err(damaged());
        }
        let mut owner = Self::default();
        for (name, value) in lines.filter_map(|line| line.split_once(' ')) {
            match name {
                "directory" => owner.directory = value.into(),
                "holder" => owner.holder = value.into(),
                "path" => owner.path = value.into(),
                "renewed" => owner.renewed = value.parse().map_err(|_| damaged())?,
                "released" => owner.released = value == "true",
                _ => {}
            }
        }
        Ok(owner)
    }

    /// What becomes of the place where it belongs to `found`. `is_home` where no copy of the directory can be meant: one process
    /// at a time has it open here.
    pub(crate) fn claim(&self, found: Option<&Self>, is_home: bool, now: i64) -> Claim {
        let Some(found) = found else { return Claim::Take };
        let is_silent = found.released || now.saturating_sub(found.renewed).unsigned_abs() > SILENT_NANOS as u64;
        match found.directory == self.directory {
            true if found.holder == self.holder || is_home || is_silent => Claim::Take,
            true => Claim::Wait,
            false => Claim::Taken,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the data directory {} ({})", self.path, self.directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(directory: &str, holder: &str) -> Owner {
        Owner { directory: directory.into(), holder: holder.into(), renewed: 7, ..Owner::default() }
    }

    #[test]
    fn it_is_read_as_it_was_written_or_not_at_all() {
        let owner = Owner { path: "/var/lib/log yard\n".into(), released: true, ..owner("a", "b") };
        let bytes = owner.encode();
        let read = Owner::decode(&bytes).unwrap();
        assert_eq!(read, Owner { path: "/var/lib/log yard".into(), ..owner });
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 4;
            assert!(Owner::decode(&other).is_err_and(|e| e.kind() == crate::error::ErrorKind::Corrupt), "{at}");
            assert!(Owner::decode(&bytes[..at]).is_err() || at + 1 == bytes.len());
        }
    }

    #[test]
    fn a_place_is_free_or_ones_own_or_somebody_elses() {
        let me = owner("a", "1");
        assert_eq!(me.claim(None, false, 8), Claim::Take);
        assert_eq!(me.claim(Some(&owner("a", "1")), false, 8), Claim::Take);
        assert_eq!(me.claim(Some(&owner("b", "1")), true, i64::MAX), Claim::Taken);
        // The same directory, or a copy of it.
        assert_eq!(me.claim(Some(&owner("a", "2")), true, 8), Claim::Take);
        assert_eq!(me.claim(Some(&owner("a", "2")), false, 8), Claim::Wait);
        assert_eq!(me.claim(Some(&owner("a", "2")), false, 8 + SILENT_NANOS), Claim::Take);
        let released = Owner { released: true, ..owner("a", "2") };
        assert_eq!(me.claim(Some(&released), false, 8), Claim::Take);
    }
}
