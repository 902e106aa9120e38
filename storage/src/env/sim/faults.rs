//! What goes wrong, and when.
//!
//! Invariants
//! * Nothing goes wrong unless it was asked for.
//! * A fault counts the calls that match it from the moment it was set; the first is number 1.
use std::path::Path;

/// A kind of call, for counting and for failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IoKind {
    /// Opening or creating a file, or taking a lock.
    Open,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Changing a length.
    SetLen,
    /// Making a file's bytes durable.
    Sync,
    /// Making a directory.
    CreateDir,
    /// Making a directory's names durable.
    SyncDir,
    /// Renaming.
    Rename,
    /// Removing a file or a directory.
    Remove,
    /// Listing a directory.
    List,
    /// Asking for a length, for existence or for space.
    Stat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultError {
    Device,
    NoSpace,
}

/// A call that fails. Refine it with the methods: `Fault::nth(3).of(IoKind::Sync).under("wal").forever()`.
#[derive(Clone, Debug)]
pub struct Fault {
    left: u64,
    kind: Option<IoKind>,
    under: Option<String>,
    forever: bool,
    error: FaultError,
}

impl Fault {
    /// The `n`-th following call, of any kind on any path, fails once as if the device had an error (EIO).
    pub fn nth(n: u64) -> Self {
        Self { left: n.max(1), kind: None, under: None, forever: false, error: FaultError::Device }
    }

    /// Only calls of this kind count and fail.
    #[must_use]
    pub fn of(mut self, kind: IoKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Only calls on a path with this in it count and fail; of a rename, the old path.
    #[must_use]
    pub fn under(mut self, part: impl Into<String>) -> Self {
        self.under = Some(part.into());
        self
    }

    /// All matching calls after it fail too.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.forever = true;
        self
    }

    /// It fails as if the disk were full (ENOSPC).
    #[must_use]
    pub fn no_space(mut self) -> Self {
        self.error = FaultError::NoSpace;
        self
    }

    fn matches(&self, kind: IoKind, path: &Path) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind)
            && self.under.as_ref().is_none_or(|part| path.to_string_lossy().contains(part.as_str()))
    }
}

/// Everything that is to go wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) faults: Vec<Fault>,
    pub(super) short_writes: f64,
    pub(super) short_reads: f64,
    pub(super) read_corruption: f64,
    /// Space of the disk; unlimited when none.
    pub(super) capacity: Option<u64>,
    /// Changing calls until power fails.
    pub(super) cut_in: Option<u64>,
    /// The changing call in which power fails, among those that match.
    pub(super) cut_when: Option<Fault>,
}

impl Plan {
    /// Counts a call, and says how it fails where it does.
    pub(super) fn strike(&mut self, kind: IoKind, path: &Path) -> Option<FaultError> {
        let mut struck = None;
        self.faults.retain_mut(|fault| {
            if !fault.matches(kind, path) {
                return true;
            }
            fault.left = fault.left.saturating_sub(1);
            if fault.left > 0 {
                return true;
            }
            struck.get_or_insert(fault.error);
            fault.forever
        });
        struck
    }

    /// Counts a changing call, and says whether power fails in it.
    pub(super) fn cuts(&mut self, kind: IoKind, path: &Path) -> bool {
        if let Some(when) = &mut self.cut_when
            && when.matches(kind, path)
        {
            when.left = when.left.saturating_sub(1);
            if when.left == 0 {
                return true;
            }
        }
        let Some(left) = self.cut_in else { return false };
        let left = left.saturating_sub(1);
        self.cut_in = (left > 0).then_some(left);
        left == 0
    }

    /// Takes back what [`Plan::cuts`] was to do.
    pub(super) fn cancel_cut(&mut self) {
        self.cut_in = None;
        self.cut_when = None;
    }
}
