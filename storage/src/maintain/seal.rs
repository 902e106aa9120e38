//! A generation becomes segments: rows regrouped by retention class, day and stream, written, and named by the catalog.
//!
//! Invariants
//! * Segments are durable before the catalog names them; the WAL retires only after that commit.
//! * Every row of the generation is in exactly one of the segments.
use crate::batch::Batch;
use crate::catalog::{SegmentRecord, SegmentServices, SegmentState, ServiceCount};
use crate::engine::LiveSegment;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::hot::{GenerationView, HotBatch};
use crate::layout::Layout;
use crate::limits::{BLOCK_ROWS_MAX, SEGMENT_SHAPE_BYTES_MAX, SEGMENT_SHAPES_MAX};
use crate::retention::{DAY_NANOS, RetentionClass, day_of};
use crate::scan::RowSet;
use crate::segment::{
    Arrivals, DROPPED, Footer, Identity, Input, ReadCache, SealedEffect, SealedEffects, Segment, SegmentWriter,
    Selection, Seqs, Tables,
};
use crate::text::table::ShapeTable;
use std::borrow::Cow;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Files that a seal writes of one retention class; the days with fewest rows share the last one.
const FILES_PER_CLASS_MAX: usize = 8;
/// Files that a seal writes in all, unless there are more classes.
const FILES_MAX: usize = 32;

/// Rows that go into one file: (input, row), in the order of their sequence numbers.
pub(super) type Rows = Vec<(u32, u16)>;

/// Shapes of one text each that a segment keeps. More of them are free text, which is smaller without shapes.
const SINGLE_SHAPES_MAX: usize = 4_096;

/// Where segments are written, and as what.
pub(crate) struct Place<'a> {
    pub(crate) env: &'a Arc<dyn Env>,
    pub(crate) layout: &'a Layout,
    pub(crate) cache: &'a Arc<ReadCache>,
    pub(crate) created: i64,
    /// Every file that was begun.
    pub(crate) begun: RefCell<Vec<PathBuf>>,
}

/// Where segments come from: what a rebuilt catalog needs to know of them.
pub(crate) struct Lineage {
    /// Rows below this number are in segments once these are.
    pub(crate) sealed_seq: u64,
    /// The segments that these take the place of.
    pub(crate) replaces: Vec<u64>,
}

impl Lineage {
    /// That of segments which take the place of these.
    pub(crate) fn of(gone: &[LiveSegment]) -> Self {
        Self {
            sealed_seq: gone.iter().map(|live| live.segment.footer.sealed_seq).max().unwrap_or(0),
            replaces: gone.iter().map(|live| live.record.id).collect(),
        }
    }
}

/// A segment that is durable but not named by the catalog.
pub(crate) struct Sealed {
    pub(crate) record: SegmentRecord,
    pub(crate) segment: Arc<Segment>,
}

/// What segments are written from.
pub(crate) struct Material<'a> {
    pub(crate) inputs: &'a [Input<'a>],
    /// Of an input with a set here only those rows are written.
    pub(crate) kept: &'a [Option<RowSet>],
    pub(crate) tables: &'a Tables,
    pub(crate) shapes: &'a ShapeTable,
    pub(crate) effects: &'a SealedEffects,
}

/// Rows of a generation that are to become segments.
pub(crate) struct Generated<'a> {
    pub(crate) view: &'a GenerationView,
    /// Of a batch with a set here only those rows are written.
    pub(crate) kept: &'a [Option<RowSet>],
    pub(crate) effects: &'a SealedEffects,
}

impl Generated<'_> {
    /// Writes them as segments, as [`write_segments`] does.
    pub(crate) fn write(
        &self,
        place: &Place<'_>,
        lineage: &Lineage,
        class_of: &dyn Fn(&str) -> RetentionClass,
        next_id: &mut dyn FnMut() -> u64,
    ) -> Result<Vec<Sealed>> {
        let batches = || self.view.batches.iter();
        let used = count_shapes(batches().map(|hot| (&*hot.batch, &*hot.shape_map)), self.view.shapes.len());
        let (selection, shapes) = select_shapes(&self.view.shapes, &used)?;
        let sources: Vec<(&HotBatch, Seqs, Arrivals)> =
            batches().map(|hot| (&**hot, Seqs::From(hot.first_seq), Arrivals::One(hot.arrival))).collect();
        let mut tables = Tables::default();
        let inputs: Vec<Input<'_>> = sources
            .iter()
            .map(|(hot, seqs, arrivals)| {
                Input::new(&hot.batch, hot.epoch, seqs, arrivals, &hot.shape_map, &selection, &mut tables)
            })
            .collect();
        let (kept, tables, shapes, effects) = (self.kept, &tables, &shapes, self.effects);
        write_segments(place, &Material { inputs: &inputs, kept, tables, shapes, effects }, lineage, class_of, next_id)
    }
}

/// Writes rows as segments, numbered by `next_id`. `class_of` says how long rows of a service stay.
pub(crate) fn write_segments(
    place: &Place<'_>,
    rows: &Material<'_>,
    lineage: &Lineage,
    class_of: &dyn Fn(&str) -> RetentionClass,
    next_id: &mut dyn FnMut() -> u64,
) -> Result<Vec<Sealed>> {
    let Material { inputs, kept, tables, shapes, effects } = *rows;
    let classes: Vec<RetentionClass> = tables.streams.iter().map(|(service, _)| class_of(service)).collect();
    let mut files = files_of(by_class_and_day(inputs, kept, &classes));
    if files.is_empty() && !effects.is_empty() {
        files.push((RetentionClass::default(), place.created.div_euclid(DAY_NANOS), Rows::new()));
    }
    let parts = files.len() as u32;
    let bearer = effects_go_with(files.iter().map(|(class, _, _)| *class));
    let hashes = inputs.iter().map(Input::hashed_values).sum();
    let mut sealed = Vec::new();
    for (number, (class, day, rows)) in files.into_iter().enumerate() {
        let identity = Identity {
            id: next_id(),
            day: day_of(day.saturating_mul(DAY_NANOS)),
            class,
            created: place.created,
            sealed_seq: lineage.sealed_seq,
            parts,
            replaces: lineage.replaces.clone(),
        };
        let mut writer = begin(place, &identity)?;
        writer.expect_hashes(hashes);
        let blocks = blocks(inputs, &rows, tables.streams.len());
        drop(rows);
        writer.add_blocks(inputs, blocks, tables, shapes)?;
        let effects = if number == bearer { originate(effects, identity.id) } else { SealedEffects::new() };
        sealed.push(finish(place, writer, identity, tables, shapes, &effects)?);
    }
    Ok(sealed)
}

/// Which of several files has the effects: one of those whose rows stay longest.
pub(super) fn effects_go_with(classes: impl Iterator<Item = RetentionClass>) -> usize {
    let longest = classes.enumerate().max_by_key(|(_, class)| class.ttl_days.unwrap_or(u32::MAX));
    longest.map_or(0, |(number, _)| number)
}

/// Effects as they are where they were first sealed.
fn originate(effects: &SealedEffects, id: u64) -> SealedEffects {
    effects.iter().map(|(key, effect)| (key.clone(), SealedEffect { origin: id, ..effect.clone() })).collect()
}

fn by_class_and_day(
    inputs: &[Input<'_>],
    kept: &[Option<RowSet>],
    classes: &[RetentionClass],
) -> BTreeMap<RetentionClass, BTreeMap<i64, Rows>> {
    let mut places: BTreeMap<(RetentionClass, i64), usize> = BTreeMap::new();
    let mut lists: Vec<Rows> = Vec::new();
    // Rows of one day and class come in long runs: the last place is nearly always the next.
    let (mut place, mut of, mut times) = (0, RetentionClass::default(), 0..0);
    let mut rows_left: usize = inputs.iter().map(Input::rows).sum();
    for (number, input) in inputs.iter().enumerate() {
        let kept = kept.get(number).and_then(Option::as_ref);
        for row in (0..input.rows()).filter(|row| kept.is_none_or(|kept| kept.contains(*row))) {
            let class = classes.get(input.stream(row) as usize).copied().unwrap_or_default();
            let time = input.time(row);
            if class != of || !times.contains(&time) {
                let day = time.div_euclid(DAY_NANOS);
                let start = day.saturating_mul(DAY_NANOS);
                (of, times) = (class, start..start.saturating_add(DAY_NANOS));
                place = *places.entry((class, day)).or_insert(lists.len());
                lists.resize_with(lists.len().max(place + 1), || Rows::with_capacity(rows_left));
            }
            if let Some(list) = lists.get_mut(place) {
                list.push((number as u32, row as u16));
            }
        }
        rows_left -= input.rows();
    }
    let mut groups: BTreeMap<RetentionClass, BTreeMap<i64, Rows>> = BTreeMap::new();
    for ((class, day), place) in places {
        let rows = lists.get_mut(place).map(std::mem::take).unwrap_or_default();
        groups.entry(class).or_default().insert(day, rows);
    }
    groups
}

fn files_of(mut classes: BTreeMap<RetentionClass, BTreeMap<i64, Rows>>) -> Vec<(RetentionClass, i64, Rows)> {
    let sizes = classes.iter().map(|(class, days)| (*class, sizes(days, Rows::len))).collect();
    let mut files = Vec::new();
    for (class, day, together) in group_days(sizes) {
        let Some(days) = classes.get_mut(&class) else { continue };
        let mut parts = together.iter().filter_map(|day| days.remove(day));
        let mut rows = parts.next().unwrap_or_default();
        parts.for_each(|more| rows.extend(more));
        if together.len() > 1 {
            rows.sort_unstable();
        }
        files.push((class, day, rows));
    }
    files
}

/// The days of a class, and how many rows each has.
pub(super) fn sizes<T>(days: &BTreeMap<i64, T>, rows: impl Fn(&T) -> usize) -> Vec<(i64, usize)> {
    days.iter().map(|(day, of_day)| (*day, rows(of_day))).collect()
}

/// Which days of each class go into one file: those with most rows apart, as many as there may be files, the others of
/// the class together under the latest of them.
pub(super) fn group_days(classes: Vec<(RetentionClass, Vec<(i64, usize)>)>) -> Vec<(RetentionClass, i64, Vec<i64>)> {
    let allowed = files_per_class(&classes);
    let mut files = Vec::new();
    for ((class, mut days), allowed) in classes.into_iter().zip(allowed) {
        let mut rest = Vec::new();
        if days.len() > allowed {
            days.sort_by_key(|(_, rows)| Reverse(*rows));
            rest = days.split_off(allowed - 1);
        }
        files.extend(days.into_iter().map(|(day, _)| (class, day, vec![day])));
        let rest: Vec<i64> = rest.into_iter().map(|(day, _)| day).collect();
        files.extend(rest.iter().max().copied().map(|latest| (class, latest, rest)));
    }
    files
}

/// How many files each class may have: one, and more for the days with most rows of all.
fn files_per_class<C>(classes: &[(C, Vec<(i64, usize)>)]) -> Vec<usize> {
    let mut allowed = vec![1; classes.len()];
    let mut left = FILES_MAX.saturating_sub(classes.len());
    let mut largest: Vec<(usize, usize)> = Vec::new();
    for (class, (_, days)) in classes.iter().enumerate() {
        let mut rows: Vec<usize> = days.iter().map(|(_, rows)| *rows).collect();
        rows.sort_unstable_by_key(|rows| Reverse(*rows));
        largest.extend(rows.into_iter().take(FILES_PER_CLASS_MAX).skip(1).map(|rows| (rows, class)));
    }
    largest.sort_unstable_by_key(|(rows, class)| (Reverse(*rows), *class));
    for (_, class) in largest {
        if let Some(of_class) = allowed.get_mut(class)
            && left > 0
        {
            *of_class += 1;
            left -= 1;
        }
    }
    allowed
}

/// Begins the file of a segment, in its folder.
pub(super) fn begin(place: &Place<'_>, identity: &Identity) -> Result<SegmentWriter> {
    let path = place.layout.segment(&identity.day, identity.id);
    let directory = path.parent().unwrap_or(place.layout.root());
    if !place.env.exists(directory).map_err(|e| Error::io("look for", directory, e))? {
        place.env.create_dir_all(directory).map_err(|e| Error::io("create", directory, e))?;
        let parent = place.layout.segments();
        place.env.sync_dir(&parent).map_err(|e| Error::io("sync", &parent, e))?;
    }
    place.begun.borrow_mut().push(path.clone());
    SegmentWriter::create(Arc::clone(place.env), &path)
}

/// Ends the file of a segment and opens it.
pub(super) fn finish(
    place: &Place<'_>,
    writer: SegmentWriter,
    identity: Identity,
    tables: &Tables,
    shapes: &ShapeTable,
    effects: &SealedEffects,
) -> Result<Sealed> {
    let path = place.layout.segment(&identity.day, identity.id);
    let written = writer.finish(identity, tables, shapes, effects)?;
    let segment = Arc::new(Segment::open(&**place.env, &path, place.cache)?);
    let record = record(&segment.footer, written.bytes, written.crc, services(&written.stream_rows, tables));
    Ok(Sealed { record, segment })
}

/// What the catalog keeps of a segment.
pub(crate) fn record(footer: &Footer, bytes: u64, crc: u32, services: SegmentServices) -> SegmentRecord {
    let ((first_seq, last_seq), (time_min, time_max)) = (footer.seqs(), footer.times());
    SegmentRecord {
        id: footer.id,
        day: footer.day.clone(),
        state: SegmentState::Live,
        class: footer.class,
        rows: footer.rows(),
        bytes,
        first_seq,
        last_seq,
        time_min,
        time_max,
        expire_from: footer.blocks.iter().map(|block| block.expire_from).max().unwrap_or(0),
        crc,
        created: footer.created,
        services,
    }
}

fn services(stream_rows: &[u64], tables: &Tables) -> SegmentServices {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (rows, (service, _)) in stream_rows.iter().zip(&tables.streams).filter(|(rows, _)| **rows > 0) {
        *counts.entry(service).or_default() += rows;
    }
    SegmentServices::new(counts.into_iter().map(|(name, rows)| ServiceCount { name: name.into(), rows }).collect())
}

/// Rows as blocks: streams that fill half a block on their own, the others together in arrival order.
pub(super) fn blocks(inputs: &[Input<'_>], rows: &Rows, streams: usize) -> Vec<Rows> {
    let epoch = |input: u32| inputs.get(input as usize).map_or(0, Input::epoch);
    let key = |(input, row): &(u32, u16)| {
        inputs.get(*input as usize).map_or((0, 0), |i| (i.epoch(), i.seq(usize::from(*row))))
    };
    let mut ordered = Cow::Borrowed(rows);
    if !ordered.is_sorted_by_key(key) {
        ordered.to_mut().sort_by_key(key);
    }
    let mut done = Vec::new();
    for rows in ordered.chunk_by(|a, b| epoch(a.0) == epoch(b.0)) {
        let stream = |(input, row): &(u32, u16)| {
            inputs.get(*input as usize).map_or(0, |input| input.stream(usize::from(*row))) as usize
        };
        let mut counts = vec![0; streams];
        for row in rows {
            if let Some(count) = counts.get_mut(stream(row)) {
                *count += 1;
            }
        }
        let mut of_stream: Vec<Rows> = counts.into_iter().map(Rows::with_capacity).collect();
        for row in rows {
            if let Some(of_stream) = of_stream.get_mut(stream(row)) {
                of_stream.push(*row);
            }
        }
        let mut mixed = Rows::new();
        for rows in of_stream {
            if rows.len() < BLOCK_ROWS_MAX / 2 {
                mixed.extend(rows);
            } else {
                cut(rows, &mut done);
            }
        }
        mixed.sort_by_key(key);
        cut(mixed, &mut done);
    }
    done
}

/// Cuts rows into even blocks: no small one at the end that compaction would have to encode again.
fn cut(rows: Rows, done: &mut Vec<Rows>) {
    match rows.len().div_ceil(BLOCK_ROWS_MAX) {
        0 => {}
        1 => done.push(rows),
        blocks => done.extend(rows.chunks(rows.len().div_ceil(blocks)).map(<[_]>::to_vec)),
    }
}

/// The shapes that segments of these batches keep: all that are used, or the most used where the limits are passed, and
/// those of one text only where they are few or a small part.
/// `used` says how often each shape of the table occurs.
pub(crate) fn select_shapes<'a>(table: &'a ShapeTable, used: &[u64]) -> Result<(Selection<'a>, ShapeTable)> {
    let count = |shape: u32| used.get(shape as usize).copied().unwrap_or(0);
    let mut order: Vec<u32> = (1..table.len() as u32).filter(|shape| count(*shape) > 0).collect();
    let singles = order.iter().filter(|shape| count(**shape) == 1).count();
    if singles > SINGLE_SHAPES_MAX && singles > order.len() / 2 {
        order.retain(|shape| count(*shape) > 1);
    }
    let bytes: usize = order.iter().map(|shape| table.key(*shape).len()).sum();
    if order.len() >= SEGMENT_SHAPES_MAX || bytes > SEGMENT_SHAPE_BYTES_MAX {
        order.sort_by_key(|shape| Reverse(count(*shape)));
        let mut bytes = 0;
        let fits = order.iter().take(SEGMENT_SHAPES_MAX - 1).take_while(|shape| {
            bytes += table.key(**shape).len();
            bytes <= SEGMENT_SHAPE_BYTES_MAX
        });
        let kept = fits.count();
        order.truncate(kept);
        order.sort_unstable();
    }
    let mut kept = ShapeTable::default();
    let mut numbers = vec![DROPPED; table.len()];
    if let Some(whole) = numbers.first_mut() {
        *whole = 0;
    }
    for shape in order {
        let number = kept.push(table.key(shape))?;
        if let Some(slot) = numbers.get_mut(shape as usize) {
            *slot = number;
        }
    }
    Ok((Selection { table, numbers }, kept))
}

/// How often each shape of a table of `shapes` shapes occurs in batches that map their own to it.
pub(crate) fn count_shapes<'a>(batches: impl Iterator<Item = (&'a Batch, &'a [u32])>, shapes: usize) -> Vec<u64> {
    let mut used = vec![0; shapes];
    for (batch, map) in batches {
        for lane in batch.lanes().filter(|lane| lane.kind.is_text()) {
            for local in lane.shapes() {
                if let Some(count) = map.get(usize::from(local)).and_then(|shape| used.get_mut(*shape as usize)) {
                    *count += 1;
                }
            }
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(number: u32, days: i64) -> Vec<(RetentionClass, Vec<(i64, usize)>)> {
        let days = |class: u32| (0..days).map(|day| (day, 1 + (day as usize * 7 + class as usize) % 50)).collect();
        (0..number).map(|class| (RetentionClass { ttl_days: Some(class), ..Default::default() }, days(class))).collect()
    }

    #[test]
    fn a_seal_writes_a_bounded_number_of_files_and_every_day_goes_somewhere() {
        for (number, days, files) in
            [(1, 3, 3), (1, 40, 8), (4, 8, 32), (5, 8, 32), (20, 40, 32), (32, 2, 32), (40, 5, 40)]
        {
            let grouped = group_days(classes(number, days));
            assert_eq!(grouped.len(), files, "{number} classes of {days} days");
            for class in 0..number {
                let of_class: Vec<_> = grouped.iter().filter(|(of, _, _)| of.ttl_days == Some(class)).collect();
                assert!((1..=FILES_PER_CLASS_MAX).contains(&of_class.len()));
                let mut found: Vec<i64> = of_class.iter().flat_map(|(_, _, days)| days.clone()).collect();
                found.sort_unstable();
                assert_eq!(found, (0..days).collect::<Vec<_>>());
                assert!(of_class.iter().all(|(_, day, days)| days.iter().max() == Some(day)));
            }
        }
    }

    #[test]
    fn the_days_with_most_rows_have_files_of_their_own() {
        let mut of_classes = classes(30, 3);
        of_classes[7].1[0].1 = 1_000;
        of_classes[7].1[1].1 = 900;
        of_classes[9].1[2].1 = 800;
        of_classes[9].1[0].1 = 700;
        let grouped = group_days(of_classes);
        let of = |class| grouped.iter().filter(|(of, _, _)| of.ttl_days == Some(class)).count();
        assert_eq!((of(7), of(9), grouped.len()), (2, 2, 32));
    }
}
