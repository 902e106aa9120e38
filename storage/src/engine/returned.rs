//! Segments that could not be read when the catalog was made again, or its effects, and that can be read now: what of them
//! counts.
//!
//! Until then only the name of such a file is known. Its rows may be served from the log, or from the segments that it was to
//! take the place of, and may have been sealed and merged since.
//!
//! Invariants
//! * A row that is somewhere else as well is taken from there. A number is used once in a directory, so it tells rows apart.
//! * The file stays where it is until it is known what counts, and is kept in quarantine where not all of it does.
use super::LiveSegment;
use super::segments::{Segments, named};
use crate::catalog::{Change, SegmentRecord, SegmentServices, SegmentState};
use crate::error::{ErrorKind, Result};
use crate::hot::Generation;
use crate::maintain::{record_of, with_block};
use crate::retention::RetentionClass;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// No record has a number from here on.
const SEQ_END: u64 = 1 << 50;
/// Numbers that are passed over where nobody knows the highest that was given out: more than anything takes in a month.
const SEQ_LEAP: u64 = 1 << 40;

/// What counts of a segment.
pub(super) enum Fit {
    /// All of its rows.
    Whole,
    /// Its rows but for those with these numbers, which ascend.
    Rest(Vec<u64>),
    /// None.
    Nothing,
    /// Nobody can tell now, and why.
    Later(String),
}

/// What the catalog keeps of a segment of which only the file's name is known; nothing where that is none of ours.
pub(super) fn unread_record(path: &Path) -> Option<SegmentRecord> {
    let id = u64::from_str_radix(path.file_stem()?.to_str()?, 16).ok()?;
    let day = path.parent()?.file_name()?.to_str()?.to_owned();
    Some(SegmentRecord {
        id,
        day,
        state: SegmentState::Unread,
        class: RetentionClass::default(),
        rows: 0,
        bytes: 0,
        first_seq: 0,
        last_seq: SEQ_END - 1,
        time_min: i64::MIN,
        time_max: i64::MAX,
        expire_from: i64::MAX,
        crc: 0,
        created: 0,
        services: SegmentServices::Many,
    })
}

/// Whether nothing is known of the rows of a segment.
pub(super) fn is_anybodys_guess(record: &SegmentRecord) -> bool {
    record.state == SegmentState::Unread && record.last_seq == SEQ_END - 1
}

/// A number above all that segments may have whose numbers nobody knows, where all others are below `seq`.
pub(super) fn seq_after(seq: u64) -> u64 {
    seq.saturating_add(SEQ_LEAP).min(SEQ_END - 1)
}

/// Segments of which only some rows count, each with the numbers of those that do not.
type Parts = Vec<(LiveSegment, Vec<u64>)>;

/// Decides what counts of the segments that came back: those that do as a whole are searched from now on. Gives the files
/// of which nothing does, and what is left to be taken of others.
pub(super) fn settle(
    segments: &mut Segments,
    hot: &[Arc<Generation>],
    change: &mut Change,
    troubles: &mut Vec<String>,
) -> Result<(Vec<PathBuf>, Parts)> {
    let (mut stale, mut parts): (_, Parts) = (Vec::new(), Vec::new());
    for live in std::mem::take(&mut segments.returned) {
        let others: Vec<&LiveSegment> = segments.live.iter().chain(parts.iter().map(|(live, _)| live)).collect();
        let fit = fit(&live, &others, hot, &segments.unread).unwrap_or_else(|e| Fit::Later(e.to_string()));
        match fit {
            Fit::Whole => {
                let segment = live.segment;
                let record = record_of(&segment.footer, segment.bytes, live.record.crc);
                change.put_segment(&record)?;
                segments.live.push(LiveSegment { record, segment });
            }
            Fit::Rest(elsewhere) => {
                segments.unread.push(live.record.clone());
                parts.push((live, elsewhere));
            }
            Fit::Nothing => {
                change.remove_segment(live.record.id);
                stale.push(live.segment.path().to_path_buf());
            }
            Fit::Later(why) => {
                troubles.push(format!("{} is left out of searches until a later start: {why}", named(&live.record)));
                segments.unread.push(live.record);
            }
        }
    }
    Ok((stale, parts))
}

/// What counts of a segment beside others, what is hot, and what is there and cannot be read.
fn fit(live: &LiveSegment, others: &[&LiveSegment], hot: &[Arc<Generation>], unread: &[SegmentRecord]) -> Result<Fit> {
    let blocks = &live.segment.footer.blocks;
    let touches = |first: u64, last: u64| blocks.iter().any(|own| first <= own.last_seq && own.first_seq <= last);
    // Those of which nothing is known are compared with this one when they come back themselves.
    let known = |record: &&SegmentRecord| record.state == SegmentState::Live;
    if let Some(record) = unread.iter().filter(known).find(|record| touches(record.first_seq, record.last_seq)) {
        return Ok(Fit::Later(format!("{} cannot be read and may have the same ones", named(record))));
    }
    let mut elsewhere = Vec::new();
    for batch in hot.iter().flat_map(|generation| generation.view().batches) {
        let end = batch.first_seq + batch.batch.rows() as u64;
        if touches(batch.first_seq, end.saturating_sub(1)) {
            elsewhere.extend(batch.first_seq..end);
        }
    }
    for other in others {
        for (index, block) in other.segment.footer.blocks.iter().enumerate() {
            if touches(block.first_seq, block.last_seq) {
                elsewhere.extend(seqs_of(other, index)?);
            }
        }
    }
    elsewhere.sort_unstable();
    elsewhere.dedup();
    let (mut twice, mut once) = (Vec::new(), 0);
    for (index, block) in blocks.iter().enumerate() {
        let from = elsewhere.partition_point(|seq| *seq < block.first_seq);
        if elsewhere.get(from).is_none_or(|seq| *seq > block.last_seq) {
            once += u64::from(block.rows);
            continue;
        }
        for seq in seqs_of(live, index)? {
            match elsewhere.binary_search(&seq) {
                Ok(_) => twice.push(seq),
                Err(_) => once += 1,
            }
        }
    }
    twice.sort_unstable();
    Ok(match (twice.is_empty(), once) {
        (true, _) => Fit::Whole,
        (false, 0) => Fit::Nothing,
        (false, _) => Fit::Rest(twice),
    })
}

/// The numbers in a block; none in one that is damaged, whose rows are lost.
fn seqs_of(live: &LiveSegment, block: usize) -> Result<Vec<u64>> {
    match with_block(&live.segment, block, |part| Ok(part.seqs()?.to_vec())) {
        Err(e) if e.kind() == ErrorKind::Corrupt => Ok(Vec::new()),
        seqs => seqs,
    }
}
