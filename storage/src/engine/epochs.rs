//! Epochs: what tells the numbers of this directory from those of a copy of it, which go on from the same one.
//!
//! An epoch is drawn with each new catalog, and again where a directory is found elsewhere than it was: a start notes what
//! tells the lock file from each copy of it, and compares. Rows in segments have their epoch with them, and so have frames of the
//! log. For frames of their first version, which do not, the catalog keeps the epochs before this one, as long as the log may
//! have rows of them.
//!
//! Invariants
//! * Numbers rise through all epochs of a directory, so a row's epoch follows from its number, and its id never changes.
//! * What is decided is durable before a number of the new epoch is given out; a start that is cut short decides again.
use crate::catalog::Meta;
use serde::{Deserialize, Serialize};

/// Where the catalog keeps [`Epochs`].
pub(super) const EPOCHS_KEY: &[u8] = b"epochs";

/// The epochs of a directory but for the one of new numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Epochs {
    /// What told the directory from its copies at the last start.
    home: Option<String>,
    /// Earlier ones, each with the number that its rows are below, oldest first.
    before: Vec<(u32, u64)>,
}

impl Epochs {
    /// The epoch of a row, where `current` is that of new ones.
    pub(super) fn of(&self, seq: u64, current: u32) -> u32 {
        self.before.iter().find(|(_, end)| seq < *end).map_or(current, |(epoch, _)| *epoch)
    }

    /// No number below this one is of the current epoch.
    pub(super) fn end(&self) -> u64 {
        self.before.last().map_or(0, |(_, end)| *end)
    }

    /// Whether this is where the last start was. Where that cannot be told, it may be a copy.
    pub(super) fn is_home(&self, identity: Option<&str>) -> bool {
        identity.is_some() && self.home.as_deref() == identity
    }

    /// Begins an epoch after `current`, for numbers from `next_seq` on.
    pub(super) fn begin(&mut self, current: u32, next_seq: u64, random: u64) -> u32 {
        if self.end() < next_seq {
            self.before.push((current, next_seq));
        }
        let drawn = Meta::new(random).epoch;
        if drawn == current { drawn ^ 1 } else { drawn }
    }

    /// Notes where the directory is, and forgets what no row in the log can be of.
    pub(super) fn settle(&mut self, home: Option<String>, sealed_seq: u64) {
        self.home = home;
        self.before.retain(|(_, end)| *end > sealed_seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_epochs_until_they_are_sealed() {
        let mut epochs = Epochs::default();
        assert!(!epochs.is_home(None) && !epochs.is_home(Some("here")));
        assert_eq!((epochs.of(7, 1), epochs.end()), (1, 0));
        let second = epochs.begin(1, 10, 1);
        assert_ne!(second, 1, "the one that was drawn is not the one that was");
        let third = epochs.begin(second, 20, 3);
        epochs.settle(Some("there".into()), 5);
        assert!(epochs.is_home(Some("there")) && !epochs.is_home(Some("here")));
        assert_eq!([0, 9, 10, 19, 20].map(|seq| epochs.of(seq, third)), [1, 1, second, second, 3]);
        // Of an epoch that got no number nothing is left.
        assert_eq!((epochs.begin(third, 20, 4), epochs.before.len(), epochs.end()), (4, 2, 20));
        epochs.settle(None, 10);
        assert_eq!((epochs.of(10, 4), epochs.of(20, 4)), (second, 4));
        assert!(!epochs.is_home(None));
        epochs.settle(None, 20);
        assert_eq!(epochs, Epochs::default());
    }
}
