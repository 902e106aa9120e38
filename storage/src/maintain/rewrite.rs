//! Writes segments anew, as few as their rows belong together in, without the rows that leave.
//!
//! First a plan, by entries and heads of blocks: which rows of which block go into which file. Then file by file: a block
//! that goes there whole is copied; small ones, and what is left of those from which rows leave, are encoded again, together
//! with their neighbours.
//!
//! Invariants
//! * The rows of the new segments are those of the old ones but for [`Leaving`], with their numbers, arrivals and epochs.
//! * Memory holds a few blocks, whatever the segments have.
//! * The catalog takes the new and forgets the old in one commit; files go after it.
use super::compact::Leaving;
use super::seal::{self, Lineage, Place, Rows, Sealed};
use super::turn::Turn;
use super::with_paid_block;
use crate::catalog::Change;
use crate::engine::{LiveSegment, Shared};
use crate::error::{ErrorKind, Result};
use crate::limits::{BLOCK_ROWS_MAX, MIB};
use crate::planted;
use crate::retention::{DAY_NANOS, RetentionClass, day_of};
use crate::scan::{Part, RowSet};
use crate::segment::{BlockMeta, Identity, Input, SealedEffects, SegmentWriter, Selection, Tables, Thawed};
use crate::text::table::ShapeInterner;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

#[cfg(test)]
mod tests;

/// Stored bytes from which a block is copied, however few rows it has.
const FULL_BYTES: u64 = 8 * MIB as u64;
/// Rows and stored bytes that are encoded again at once.
const WAITING_ROWS: usize = 2 * BLOCK_ROWS_MAX;
const WAITING_BYTES: u64 = 16 * MIB as u64;

/// Which blocks of a segment are written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocks {
    /// All: where one is damaged, nothing is.
    All,
    /// All that are not known to be damaged.
    Sound,
}

/// Rows of a block that go into one file.
struct Piece<'a> {
    live: &'a LiveSegment,
    block: usize,
    meta: &'a BlockMeta,
    /// Nothing where all rows of the block go there.
    rows: Option<RowSet>,
}

impl<'a> Piece<'a> {
    fn new(live: &'a LiveSegment, block: usize, meta: &'a BlockMeta, rows: RowSet) -> Self {
        let is_whole = rows.len() == meta.rows as usize;
        Self { live, block, meta, rows: (!is_whole).then_some(rows) }
    }

    fn len(&self) -> usize {
        self.rows.as_ref().map_or(self.meta.rows as usize, RowSet::len)
    }

    /// About the stored bytes of its rows.
    fn bytes(&self) -> u64 {
        self.meta.pages_len * self.len() as u64 / u64::from(self.meta.rows.max(1))
    }
}

/// What goes into one file.
pub(super) struct NewFile<'a> {
    class: RetentionClass,
    day: i64,
    pieces: Vec<Piece<'a>>,
}

impl NewFile<'_> {
    /// A file without rows, which only keeps effects.
    pub(super) fn bare(now: i64) -> Self {
        Self { class: RetentionClass::default(), day: now.div_euclid(DAY_NANOS), pieces: Vec::new() }
    }
}

impl Shared {
    /// Writes segments anew without the rows that leave.
    pub(super) fn rewrite(&self, turn: &Turn<'_>, group: &[LiveSegment], leaving: &Leaving) -> Result<()> {
        self.supersede(turn, group, leaving, Blocks::All)?;
        if !planted::on("inputs-removed-before-commit") {
            self.unlink(group);
        }
        Ok(())
    }

    /// Writes segments anew and lets the catalog forget the old; their files stay.
    pub(super) fn supersede(
        &self,
        turn: &Turn<'_>,
        group: &[LiveSegment],
        leaving: &Leaving,
        blocks: Blocks,
    ) -> Result<()> {
        let began = self.env.monotonic();
        let mut files = self.plan(turn, group, leaving, blocks)?;
        if planted::on("merge-drops-a-block") {
            files.iter_mut().for_each(|file| drop(file.pieces.pop()));
            files.retain(|file| !file.pieces.is_empty());
        }
        let effects = self.needed_effects(group);
        if files.is_empty() && !effects.is_empty() {
            files.push(NewFile::bare(self.env.now()));
        }
        let lineage = Lineage::of(group);
        let sealed = self.drafting(|place| {
            let sealed = self.write_files(place, &files, effects, &lineage, &|bytes| turn.pay(bytes))?;
            self.commit_merge(group, &sealed)?;
            Ok(sealed)
        })?;
        self.activity.rewritten_segments.add(group.len() as u64);
        self.activity.rewritten_bytes.add(sealed.iter().map(|sealed| sealed.record.bytes).sum());
        self.activity.rewrites.note(self.env.monotonic().saturating_sub(began));
        self.replace(&lineage.replaces, sealed, None);
        Ok(())
    }

    fn commit_merge(&self, group: &[LiveSegment], sealed: &[Sealed]) -> Result<()> {
        let (mut change, mut undo) = (Change::new(), Change::new());
        for sealed in sealed {
            change.put_segment(&sealed.record)?;
            undo.remove_segment(sealed.record.id);
        }
        for live in group {
            undo.put_segment(&live.record)?;
        }
        for live in group.iter().filter(|_| !planted::on("merge-keeps-inputs")) {
            change.remove_segment(live.record.id);
        }
        let gone: Vec<u64> = group.iter().map(|live| live.record.id).collect();
        self.condemn_copies(&gone, &mut change, &mut undo)?;
        if planted::on("inputs-removed-before-commit") {
            self.unlink(group);
        }
        self.commit_catalog(&change, &undo)
    }

    /// Which rows go into which file.
    fn plan<'a>(
        &self,
        turn: &Turn<'_>,
        group: &'a [LiveSegment],
        leaving: &Leaving,
        blocks: Blocks,
    ) -> Result<Vec<NewFile<'a>>> {
        let mut classes: BTreeMap<RetentionClass, BTreeMap<i64, Vec<Piece<'a>>>> = BTreeMap::new();
        for live in group {
            for (block, meta) in live.segment.footer.blocks.iter().enumerate() {
                if blocks == Blocks::Sound && self.lost.contains(live.record.id, block) {
                    continue;
                }
                let divided = with_paid_block(turn, &live.segment, block, |part| self.divide(part, meta, leaving));
                for ((class, day), rows) in self.blaming(live, divided)? {
                    let piece = Piece::new(live, block, meta, rows);
                    classes.entry(class).or_default().entry(day).or_default().push(piece);
                }
            }
        }
        let rows = |pieces: &Vec<Piece<'_>>| pieces.iter().map(Piece::len).sum();
        let sizes = classes.iter().map(|(class, days)| (*class, seal::sizes(days, rows))).collect();
        let mut files = Vec::new();
        for (class, day, together) in seal::group_days(sizes) {
            let Some(days) = classes.get_mut(&class) else { continue };
            let pieces = together.iter().filter_map(|day| days.remove(day)).flatten().collect();
            files.push(NewFile { class, day, pieces: unite(pieces) });
        }
        Ok(files)
    }

    /// The rows of a block that stay, by the class and day that they belong to.
    fn divide(
        &self,
        part: &Part<'_>,
        meta: &BlockMeta,
        leaving: &Leaving,
    ) -> Result<BTreeMap<(RetentionClass, i64), RowSet>> {
        let stay = if leaving.may_take(part, meta) { leaving.stay(part)? } else { RowSet::all(part.rows()) };
        if stay.is_empty() {
            return Ok(BTreeMap::new());
        }
        let day = |time: i64| time.div_euclid(DAY_NANOS);
        let streams = part.stream_rows();
        let class_of: BTreeMap<u32, RetentionClass> =
            streams.iter().map(|(stream, _)| (*stream, self.class_of(part.service(*stream)))).collect();
        let mut classes = class_of.values();
        let first = classes.next().copied().unwrap_or_default();
        if classes.all(|class| *class == first) && day(meta.time_min) == day(meta.time_max) {
            return Ok([((first, day(meta.time_min)), stay)].into());
        }
        let (times, streams) = (part.times()?, part.streams()?);
        let mut divided: BTreeMap<(RetentionClass, i64), RowSet> = BTreeMap::new();
        for row in stay.iter() {
            let (Some(time), Some(stream)) = (times.get(row), streams.get(row)) else { continue };
            let class = class_of.get(stream).copied().unwrap_or_default();
            divided.entry((class, day(*time))).or_insert_with(|| RowSet::none(part.rows())).insert(row);
        }
        Ok(divided)
    }

    /// What was read of a segment; where it is damaged, its lost blocks are found first.
    fn blaming<T>(&self, live: &LiveSegment, read: Result<T>) -> Result<T> {
        read.inspect_err(|e| {
            if e.kind() == ErrorKind::Corrupt {
                self.find_losses(live);
            }
        })
    }

    /// Writes files; one of them gets the effects. `pay` is told what was read and written, where a seal may come in
    /// between.
    pub(super) fn write_files(
        &self,
        place: &Place<'_>,
        files: &[NewFile<'_>],
        mut effects: SealedEffects,
        lineage: &Lineage,
        pay: &dyn Fn(u64) -> Result<()>,
    ) -> Result<Vec<Sealed>> {
        let bearer = seal::effects_go_with(files.iter().map(|file| file.class));
        let mut sealed = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let identity = Identity {
                id: self.next_segment.fetch_add(1, Ordering::SeqCst),
                day: day_of(file.day.saturating_mul(DAY_NANOS)),
                class: file.class,
                created: self.env.now(),
                sealed_seq: lineage.sealed_seq,
                parts: files.len() as u32,
                replaces: lineage.replaces.clone(),
            };
            let effects = if number == bearer { std::mem::take(&mut effects) } else { SealedEffects::new() };
            sealed.push(self.write_file(place, file, identity, &effects, pay)?);
        }
        Ok(sealed)
    }

    fn write_file(
        &self,
        place: &Place<'_>,
        file: &NewFile<'_>,
        identity: Identity,
        effects: &SealedEffects,
        pay: &dyn Fn(u64) -> Result<()>,
    ) -> Result<Sealed> {
        let mut merge = Merge::new(seal::begin(place, &identity)?);
        let (mut waiting, mut paid) = (Waiting::default(), 0);
        let mut pay_until = |read: u64, written: u64| {
            let bytes = read + written - std::mem::replace(&mut paid, written);
            pay(bytes)
        };
        for piece in &file.pieces {
            let is_full = piece.meta.rows as usize >= self.options.copy_rows_min || piece.meta.pages_len >= FULL_BYTES;
            if piece.rows.is_none() && is_full {
                self.blaming(piece.live, merge.copy(piece))?;
            } else {
                waiting.add(self.blaming(piece.live, merge.thaw(piece))?, piece);
                if waiting.is_full() {
                    merge.encode(&std::mem::take(&mut waiting).pieces)?;
                }
            }
            pay_until(piece.meta.pages_len + u64::from(piece.meta.head_len), merge.writer.written())?;
        }
        merge.encode(&waiting.pieces)?;
        let sealed = seal::finish(place, merge.writer, identity, &merge.tables, &merge.shapes.snapshot(), effects)?;
        pay_until(0, sealed.record.bytes)?;
        Ok(sealed)
    }
}

/// Pieces in the order of their rows, with one for each block.
fn unite(mut pieces: Vec<Piece<'_>>) -> Vec<Piece<'_>> {
    pieces.sort_by_key(|piece| (piece.meta.epoch, piece.meta.first_seq, piece.live.record.id, piece.block));
    let mut united: Vec<Piece<'_>> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let last =
            united.last_mut().filter(|last| (last.live.record.id, last.block) == (piece.live.record.id, piece.block));
        match (last, &piece.rows) {
            (Some(last), Some(more)) => {
                let mut rows = last.rows.take().unwrap_or_else(|| RowSet::none(piece.meta.rows as usize));
                rows.or(more);
                *last = Piece::new(last.live, last.block, last.meta, rows);
            }
            _ => united.push(piece),
        }
    }
    united
}

/// Rows that were decoded, and which of the new segment's shapes each of theirs is.
type Decoded = (Thawed, Vec<u32>);

/// Rows that wait for others to be encoded with.
#[derive(Default)]
struct Waiting {
    pieces: Vec<Decoded>,
    rows: usize,
    bytes: u64,
}

impl Waiting {
    fn add(&mut self, decoded: Decoded, piece: &Piece<'_>) {
        self.pieces.push(decoded);
        self.rows += piece.len();
        self.bytes += piece.bytes();
    }

    fn is_full(&self) -> bool {
        self.rows >= WAITING_ROWS || self.bytes >= WAITING_BYTES
    }
}

/// A file on its way.
struct Merge {
    writer: SegmentWriter,
    tables: Tables,
    shapes: ShapeInterner,
}

impl Merge {
    fn new(writer: SegmentWriter) -> Self {
        Self { writer, tables: Tables::default(), shapes: ShapeInterner::default() }
    }

    fn copy(&mut self, piece: &Piece<'_>) -> Result<()> {
        self.writer.copy_block(&piece.live.segment, piece.block, &mut self.tables, &mut self.shapes)
    }

    fn thaw(&mut self, piece: &Piece<'_>) -> Result<Decoded> {
        let segment = &piece.live.segment;
        let rows: Option<Vec<u32>> = piece.rows.as_ref().map(|rows| rows.iter().map(|row| row as u32).collect());
        let thawed = Thawed::read(segment, piece.block, rows.as_deref())?;
        let table = segment.shapes()?;
        let map = thawed.shapes.iter().map(|shape| self.shapes.intern(table.key(*shape))).collect::<Result<_>>()?;
        Ok((thawed, map))
    }

    fn encode(&mut self, pieces: &[Decoded]) -> Result<()> {
        let table = self.shapes.snapshot();
        let selection = Selection { table: &table, numbers: (0..table.len() as u32).collect() };
        let tables = &mut self.tables;
        let inputs: Vec<Input<'_>> = pieces
            .iter()
            .map(|(rows, map)| Input::new(&rows.batch, rows.epoch, &rows.seqs, &rows.arrivals, map, &selection, tables))
            .collect();
        let rows: Rows = (0u32..)
            .zip(&inputs)
            .flat_map(|(number, input)| (0..input.rows()).map(move |row| (number, row as u16)))
            .collect();
        for block in seal::blocks(&inputs, &rows, self.tables.streams.len()) {
            self.writer.add_block(&inputs, &block, &self.tables, &table)?;
        }
        Ok(())
    }
}
