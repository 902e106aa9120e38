//! The bytes of one simulated file: what reads see, what would survive a power cut, and the way from one to the other.
//!
//! Invariants
//! * Nothing moves from the volatile content to the durable one but by a sync, or by the luck of a power cut.
//! * A change keeps the whole image of its 512-byte block, as a page cache writes back whole blocks: a kept later write
//!   brings the earlier ones of its block along.
//! * Blocks hold nothing but zeros beyond the length.
//! * A hole takes no space; a written block does, zeros too.
use super::rng::Rng;
use std::sync::Arc;

/// What a disk writes as one; only tearing goes below.
pub(super) const BLOCK_BYTES: usize = 512;
/// What a disk writes as one even while power fails.
const WORD_BYTES: usize = 8;

static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

#[derive(Clone, Debug, Default)]
enum Block {
    #[default]
    Hole,
    Zeros,
    Data(Arc<[u8; BLOCK_BYTES]>),
}

impl Block {
    fn new(bytes: [u8; BLOCK_BYTES]) -> Self {
        if bytes == ZEROS { Self::Zeros } else { Self::Data(Arc::new(bytes)) }
    }

    fn bytes(&self) -> &[u8; BLOCK_BYTES] {
        match self {
            Self::Hole | Self::Zeros => &ZEROS,
            Self::Data(bytes) => bytes,
        }
    }

    fn is_hole(&self) -> bool {
        matches!(self, Self::Hole)
    }

    /// This block with `bytes` laid over it from `start` on.
    fn with(&self, start: usize, bytes: &[u8]) -> Self {
        if start == 0
            && let Ok(whole) = bytes.try_into()
        {
            return Self::new(whole);
        }
        let mut image = *self.bytes();
        let (_, to) = image.split_at_mut(start);
        for (to, from) in to.iter_mut().zip(bytes) {
            *to = *from;
        }
        Self::new(image)
    }
}

/// The part of a range that lies in one block.
struct Piece {
    block: usize,
    start: usize,
    len: usize,
}

fn pieces(offset: u64, len: usize) -> impl Iterator<Item = Piece> {
    let mut at = usize::try_from(offset).unwrap_or(usize::MAX);
    let mut left = len;
    std::iter::from_fn(move || {
        let start = at % BLOCK_BYTES;
        let len = left.min(BLOCK_BYTES - start);
        let piece = Piece { block: at / BLOCK_BYTES, start, len };
        at = at.saturating_add(len);
        left -= len;
        (len > 0).then_some(piece)
    })
}

#[derive(Clone, Debug, Default)]
struct Content {
    len: u64,
    /// Ends at the last block ever written; the rest is holes.
    blocks: Vec<Block>,
    /// Blocks that are not holes.
    allocated: u64,
}

impl Content {
    fn block(&self, index: usize) -> &Block {
        self.blocks.get(index).unwrap_or(&Block::Hole)
    }

    fn put(&mut self, index: usize, image: Block) {
        if index >= self.blocks.len() {
            self.blocks.resize(index + 1, Block::Hole);
        }
        if let Some(block) = self.blocks.get_mut(index) {
            self.allocated += u64::from(block.is_hole());
            *block = image;
        }
    }

    fn set_len(&mut self, len: u64) {
        self.len = len;
        let end = usize::try_from(len).unwrap_or(usize::MAX);
        let cut = self.blocks.drain(self.blocks.len().min(end.div_ceil(BLOCK_BYTES))..);
        self.allocated -= cut.filter(|block| !block.is_hole()).count() as u64;
        let (last, rest) = (end / BLOCK_BYTES, end % BLOCK_BYTES);
        if rest > 0 && !self.block(last).is_hole() {
            self.put(last, self.block(last).with(rest, &ZEROS));
        }
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let there = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = there.min(buf.len());
        let mut rest = buf;
        for piece in pieces(offset, len) {
            let (to, after) = rest.split_at_mut(piece.len);
            let (_, from) = self.block(piece.block).bytes().split_at(piece.start);
            to.copy_from_slice(from.split_at(piece.len).0);
            rest = after;
        }
        len
    }

    fn flip(&mut self, offset: u64, bit: u8) {
        for piece in pieces(offset, 1) {
            let image = flipped(self.block(piece.block), piece.start, bit);
            self.put(piece.block, image);
        }
    }
}

fn flipped(block: &Block, at: usize, bit: u8) -> Block {
    let old = block.bytes().get(at).copied().unwrap_or(0);
    block.with(at, &[old ^ (1 << (bit % 8))])
}

/// Something that happened to the volatile content and did not yet to the durable one.
#[derive(Clone, Debug)]
enum Change {
    Block { index: usize, image: Block },
    Len(u64),
}

/// What becomes of unsynced changes when power fails; drawn once a cut, so that the extremes are common too.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// Everything was written back just before.
    Kept,
    /// Nothing was.
    Lost,
    /// Written back in order, up to a point.
    Prefix,
    /// Each change for itself.
    Scattered,
}

impl Fate {
    /// A fate, the last one half of the time.
    pub(super) fn new(rng: &mut Rng) -> Self {
        match rng.below(8) {
            0 => Self::Kept,
            1 => Self::Lost,
            2 | 3 => Self::Prefix,
            _ => Self::Scattered,
        }
    }
}

/// One file.
#[derive(Clone, Debug, Default)]
pub(super) struct FileNode {
    volatile: Content,
    durable: Content,
    /// In the order in which they were made.
    changes: Vec<Change>,
    /// Whether the file has a name; without one it lives as long as its handles.
    pub(super) linked: bool,
}

impl FileNode {
    /// A file whose bytes are durable.
    pub(super) fn with_bytes(bytes: &[u8]) -> Self {
        let mut file = Self { linked: true, ..Self::default() };
        file.write(bytes, 0);
        file.sync();
        file
    }

    pub(super) fn len(&self) -> u64 {
        self.volatile.len
    }

    /// Space that the file takes.
    pub(super) fn allocated_bytes(&self) -> u64 {
        self.volatile.allocated * BLOCK_BYTES as u64
    }

    /// How much of a write of `len` bytes fits when `room` more bytes can be allocated.
    pub(super) fn fit(&self, offset: u64, len: usize, room: u64) -> usize {
        let mut blocks = room / BLOCK_BYTES as u64;
        let mut fitting = 0;
        for piece in pieces(offset, len) {
            if self.volatile.block(piece.block).is_hole() {
                match blocks.checked_sub(1) {
                    Some(left) => blocks = left,
                    None => break,
                }
            }
            fitting += piece.len;
        }
        fitting
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        self.volatile.read(buf, offset)
    }

    pub(super) fn write(&mut self, buf: &[u8], offset: u64) {
        let (mut rest, mut end) = (buf, offset);
        for piece in pieces(offset, buf.len()) {
            let (bytes, after) = rest.split_at(piece.len);
            rest = after;
            end += piece.len as u64;
            let image = self.volatile.block(piece.block).with(piece.start, bytes);
            self.volatile.put(piece.block, image.clone());
            self.changes.push(Change::Block { index: piece.block, image });
            // The length grows block by block, so that a cut can leave any part of a long append.
            if end > self.volatile.len {
                self.volatile.len = end;
                self.changes.push(Change::Len(end));
            }
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len != self.volatile.len {
            self.volatile.set_len(len);
            self.changes.push(Change::Len(len));
        }
    }

    /// Everything written before is durable.
    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.changes) {
            self.apply(change);
        }
        self.durable.set_len(self.volatile.len);
    }

    /// A sync that failed: Linux marks the pages clean all the same, so reads still see what no later sync will write.
    /// Some blocks may have made it, at least one did not. The length is in the journal and stays unsynced.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        let some_made_it = rng.below(4) == 0;
        let blocks = self.changes.iter().filter(|change| matches!(change, Change::Block { .. })).count();
        let mut until_lost = rng.below_len(blocks);
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Len(len) => self.changes.push(Change::Len(len)),
                Change::Block { .. } if some_made_it && until_lost > 0 => {
                    until_lost -= 1;
                    if rng.coin() {
                        self.apply(change);
                    }
                }
                // The first to fail is the last to be tried.
                Change::Block { .. } => {}
            }
        }
    }

    /// Power fails: what is durable, and what of the rest is lucky, is all that is left.
    pub(super) fn crash(&mut self, fate: Fate, rng: &mut Rng) {
        let changes = std::mem::take(&mut self.changes);
        match fate {
            Fate::Kept => changes.into_iter().for_each(|change| self.apply(change)),
            Fate::Lost => {}
            Fate::Prefix => {
                let end = rng.below_len(changes.len() + 1);
                let mut changes = changes.into_iter();
                changes.by_ref().take(end).for_each(|change| self.apply(change));
                if let Some(Change::Block { index, image }) = changes.next() {
                    self.tear(index, &image, rng);
                }
            }
            Fate::Scattered => self.scatter(changes, rng),
        }
        self.durable.set_len(self.durable.len);
        self.volatile = self.durable.clone();
    }

    fn scatter(&mut self, changes: Vec<Change>, rng: &mut Rng) {
        // Lengths are metadata and keep their order; blocks do not wait for them, nor they for blocks.
        let lens = changes.iter().filter(|change| matches!(change, Change::Len(_))).count();
        let mut lens_kept = if rng.coin() { lens } else { rng.below_len(lens + 1) };
        for change in changes {
            match change {
                Change::Len(_) if lens_kept > 0 => {
                    lens_kept -= 1;
                    self.apply(change);
                }
                Change::Len(_) => {}
                Change::Block { index, ref image } => match rng.below(8) {
                    0 => self.tear(index, image, rng),
                    1..=3 => {}
                    _ => self.apply(change),
                },
            }
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Block { index, image } => self.durable.put(index, image),
            Change::Len(len) => self.durable.set_len(len),
        }
    }

    fn tear(&mut self, index: usize, image: &Block, rng: &mut Rng) {
        let words = 1 + rng.below_len(BLOCK_BYTES / WORD_BYTES - 1);
        let (new, _) = image.bytes().split_at(words * WORD_BYTES);
        let torn = self.durable.block(index).with(0, new);
        self.durable.put(index, torn);
    }

    /// Rot: the bit is wrong in memory, on disk and on the way there.
    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) {
        self.volatile.flip(offset, bit);
        if offset < self.durable.len {
            self.durable.flip(offset, bit);
        }
        for piece in pieces(offset, 1) {
            for change in &mut self.changes {
                if let Change::Block { index, image } = change
                    && *index == piece.block
                {
                    *image = flipped(image, piece.start, bit);
                }
            }
        }
    }
}
