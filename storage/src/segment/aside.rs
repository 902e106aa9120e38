//! A thread that encodes blocks beside the one that places them, for as long as a segment's blocks are written.
//!
//! It lives for all of them: a thread of its own for each block would begin with nothing, neither the space that the block
//! before was put into nor compressors.
//!
//! Invariants
//! * At most one block is on its way at any time.
use super::block::EncodedBlock;
use super::text_lane::{Scratch, Spent};
use crate::error::{Error, Result};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

/// Rows of a block, as (input, row).
type Rows = Vec<(u32, u16)>;

/// The thread, seen from the one that gives it work.
pub(super) struct Aside {
    work: SyncSender<(Rows, Spent)>,
    encoded: Receiver<EncodedBlock>,
}

impl Aside {
    /// Starts it; nothing where there is no thread to be had.
    pub(super) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        encode: impl Fn(&[(u32, u16)], &mut Scratch) -> EncodedBlock + Send + 'scope,
    ) -> Option<Self> {
        let (work, rows) = sync_channel::<(Rows, Spent)>(1);
        let (done, encoded) = sync_channel(1);
        let run = move || {
            let mut scratch = Scratch::default();
            for (rows, spent) in rows {
                scratch.spent = spent;
                if done.send(encode(&rows, &mut scratch)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("encode".into()).spawn_scoped(scope, run).ok()?;
        Some(Self { work, encoded })
    }

    /// Gives it the rows of a block, and space to put it into.
    pub(super) fn give(&self, rows: Rows, spent: Spent) {
        // Where it is gone, `take` says so.
        let _is_there = self.work.send((rows, spent));
    }

    /// The block whose rows were given last.
    pub(super) fn take(&self) -> Result<EncodedBlock> {
        // It ends before its work is done by a panic only, which its scope passes on.
        self.encoded.recv().map_err(|_| Error::bug("a thread that encodes blocks has ended"))
    }
}
