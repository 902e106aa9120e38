//! Merges small segments of one day and class into larger ones.
//!
//! What to merge is chosen by [`choose`], which only looks; the rest does it.
//!
//! Invariants
//! * The rows of the new segments are those of the old ones, with their numbers, arrivals and epochs.
//! * The catalog takes the new and forgets the old in one commit; files go after it.
use super::seal;
use crate::batch::{Batch, BatchBuilder, Stream};
use crate::catalog::Change;
use crate::engine::{LiveSegment, Shared, locked};
use crate::error::{Error, Result};
use crate::limits::SEGMENT_ROWS_MAX;
use crate::planted;
use crate::scan::{Part, RowSet, materialise};
use crate::segment::{Arrivals, Counters, Input, Segment, Seqs, Tables};
use crate::text::table::ShapeInterner;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// Rows from which a segment is left alone.
const LARGE_ROWS: u64 = 500_000;

/// The segments to merge next: the small ones of a day and class, as far as they fit into one.
fn choose(segments: &[LiveSegment]) -> Option<Vec<LiveSegment>> {
    let mut groups: BTreeMap<_, Vec<LiveSegment>> = BTreeMap::new();
    for live in segments.iter().filter(|live| live.record.rows < LARGE_ROWS) {
        groups.entry((live.record.class, live.record.day.clone())).or_default().push(live.clone());
    }
    groups.into_values().find_map(|mut group| {
        group.sort_by_key(|live| live.record.first_seq);
        let mut rows = 0;
        let fits = group.iter().take_while(|live| {
            rows += live.record.rows;
            rows <= SEGMENT_ROWS_MAX as u64
        });
        let fits = fits.count();
        group.truncate(fits);
        (group.len() > 1).then_some(group)
    })
}

/// Rows out of a block, on their way into another.
struct Source {
    batch: Batch,
    epoch: u32,
    seqs: Seqs,
    arrivals: Arrivals,
    shape_map: Vec<u32>,
}

impl Shared {
    /// Merges until nothing small is left beside something small.
    pub(crate) fn compact(&self) -> Result<()> {
        let _held = locked(&self.maintenance);
        loop {
            let segments = self.state.read().unwrap_or_else(PoisonError::into_inner).segments.clone();
            let Some(group) = choose(&segments) else { return Ok(()) };
            self.merge(&group)?;
        }
    }

    fn merge(&self, group: &[LiveSegment]) -> Result<()> {
        let mut table = ShapeInterner::default();
        let mut sources = Vec::new();
        for live in group {
            for block in 0..live.segment.block_count() {
                sources.push(read_block(&live.segment, block, &mut table)?);
            }
        }
        if planted::on("merge-drops-a-block") {
            sources.pop();
        }
        sources.sort_by_key(|source| (source.epoch, first_seq(&source.seqs)));
        let table = table.snapshot();
        let used = seal::count_shapes(sources.iter().map(|s| (&s.batch, s.shape_map.as_slice())), table.len());
        let (selection, shapes) = seal::select_shapes(&table, &used)?;
        let mut tables = Tables::default();
        let inputs: Vec<Input<'_>> = sources
            .iter()
            .map(|s| Input::new(&s.batch, s.epoch, &s.seqs, &s.arrivals, &s.shape_map, &selection, &mut tables))
            .collect();
        let lineage = seal::Lineage {
            sealed_seq: group.iter().map(|live| live.segment.footer.sealed_seq).max().unwrap_or(0),
            replaces: group.iter().map(|live| live.record.id).collect(),
        };
        let sealed = seal::write_segments(
            &self.place(),
            &inputs,
            &tables,
            &shapes,
            &lineage,
            &|service| self.class_of(service),
            &mut || self.next_segment.fetch_add(1, Ordering::SeqCst),
        )?;
        let (mut change, mut undo) = (Change::new(), Change::new());
        for sealed in &sealed {
            change.put_segment(&sealed.record)?;
            undo.remove_segment(sealed.record.id);
        }
        for live in group {
            undo.put_segment(&live.record)?;
        }
        for live in group.iter().filter(|_| !planted::on("merge-keeps-inputs")) {
            change.remove_segment(live.record.id);
        }
        if planted::on("inputs-removed-before-commit") {
            self.remove_files(group)?;
        }
        self.commit_catalog(&change, &undo)?;
        self.replace(&lineage.replaces, sealed, None);
        if planted::on("inputs-removed-before-commit") {
            return Ok(());
        }
        self.remove_files(group)
    }

    fn remove_files(&self, group: &[LiveSegment]) -> Result<()> {
        for live in group {
            let path = live.segment.path();
            self.env.remove_file(path).map_err(|e| Error::io("remove", path, e))?;
        }
        Ok(())
    }
}

fn first_seq(seqs: &Seqs) -> u64 {
    match seqs {
        Seqs::From(first) => *first,
        Seqs::Listed(seqs) => seqs.first().copied().unwrap_or(0),
    }
}

/// A block as a batch whose shapes are in `table`.
fn read_block(segment: &Arc<Segment>, index: usize, table: &mut ShapeInterner) -> Result<Source> {
    let (block, shapes) = (segment.block(index)?, segment.shapes()?);
    let counters = Counters::default();
    let part = Part::sealed(segment, index, &block, &shapes, &counters);
    let (seqs, streams) = (part.seqs()?, part.streams()?);
    let mut builder = BatchBuilder::new();
    for (record, stream) in materialise(&part, &RowSet::all(part.rows()))?.iter().zip(streams) {
        builder.begin_row();
        builder.time(record.time);
        for (field, value) in &record.fields {
            builder.push_value(field, value.kind, &value.text);
        }
        let (service, tags) = segment.footer.streams.get(stream as usize).cloned().unwrap_or_default();
        builder.commit_row_in(&Stream { service: service.into(), tags: tags.into() });
    }
    let batch = builder.finish()?;
    let mut shape_map = vec![0];
    for key in batch.shape_keys() {
        shape_map.push(table.intern(key?)?);
    }
    Ok(Source { batch, epoch: block.epoch, seqs: Seqs::Listed(seqs), arrivals: block.arrivals.clone(), shape_map })
}
