//! The parts of an hour, merged into one.
//!
//! What a part covers stands in its name, so the merged one, once it is there, makes those that it was made of count no more; they are
//! removed after that, now or, after a crash, by whoever looks at the folder next.
//!
//! Invariants
//! * Nothing is removed before the part that covers it is there.
//! * Only parts that follow one another without a gap are merged, so that what was not exported is still seen to be missing.
//! * Of rows with the same number one is written.
use super::export::Found;
use super::layout::Part;
use super::parquet::ParquetReader;
use super::part::{self, PartRows};
use super::spool::Spool;
use logyard_storage::archive::Bucket;
use logyard_storage::engine::{Cancel, Streamed};
use logyard_storage::error::{Error, Result};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::path::Path;

/// Parts that are merged at once: each is an open file.
const PARTS_MAX: usize = 64;

/// Runs of parts that follow one another, or lie over one another, each of two at least.
pub(super) fn runs(mut parts: Vec<Part>) -> Vec<Vec<Part>> {
    parts.sort();
    let mut runs: Vec<Vec<Part>> = Vec::new();
    let mut end = (0, 0);
    for part in parts {
        let follows = part.epoch == end.0 && part.first <= end.1 + 1;
        let last = if follows { part.last.max(end.1) } else { part.last };
        match runs.last_mut() {
            Some(run) if follows && run.len() < PARTS_MAX => run.push(part.clone()),
            _ => runs.push(vec![part.clone()]),
        }
        end = (part.epoch, last);
    }
    runs.retain(|run| run.len() > 1);
    runs
}

/// Merges a run in a folder. Gives the new part, its rows and its bytes.
pub(super) fn merge(bucket: &dyn Bucket, folder: &str, run: &[Part], spool: &Path, cancel: &Cancel) -> Result<Found> {
    let mut files = Vec::with_capacity(run.len());
    for part in run {
        let name = format!("{folder}/{}", part.name());
        files.push(Spool::fetched(spool, bucket, &name, &part.digest)?);
    }
    let merged = part::write(spool, &mut |take| {
        cancel.check()?;
        merged(&files, take)
    })?;
    let epoch = run.first().map_or(0, |part| part.epoch);
    let first = run.iter().map(|part| part.first).min().unwrap_or(0);
    let last = run.iter().map(|part| part.last).max().unwrap_or(0);
    let Some(merged) = merged else { return Ok(Found::default()) };
    let part = Part { epoch, first, last, digest: merged.spool.digest() };
    merged.spool.put(bucket, &format!("{folder}/{}", part.name()))?;
    for old in run.iter().filter(|old| **old != part) {
        bucket.remove(&format!("{folder}/{}", old.name()))?;
    }
    let removed = run.iter().filter(|old| **old != part).count() as u64;
    Ok(Found { parts: 1, rows: merged.rows, bytes: merged.spool.bytes(), removed, ..Found::default() })
}

/// Gives the rows of sorted files in one order.
fn merged(files: &[File], take: &mut dyn FnMut(Streamed) -> Result<()>) -> Result<()> {
    let wrong = |what: String| Error::corrupt(format!("a part cannot be read: {what}"));
    let mut readers = Vec::with_capacity(files.len());
    for file in files {
        let file = file.try_clone().map_err(|e| wrong(e.to_string()))?;
        readers.push(ParquetReader::of_file(file).and_then(PartRows::new).map_err(wrong)?);
    }
    let mut heads: Vec<Option<Streamed>> = Vec::new();
    let mut heap = BinaryHeap::new();
    for (at, reader) in readers.iter_mut().enumerate() {
        let head = reader.next().transpose().map_err(wrong)?;
        heap.extend(head.as_ref().map(|row| Reverse((row.record.time, row.record.seq, at))));
        heads.push(head);
    }
    let mut before = None;
    while let Some(Reverse((time, seq, at))) = heap.pop() {
        let Some((reader, head)) = readers.get_mut(at).zip(heads.get_mut(at)) else { continue };
        let next = reader.next().transpose().map_err(wrong)?;
        heap.extend(next.as_ref().map(|row| Reverse((row.record.time, row.record.seq, at))));
        let row = std::mem::replace(head, next);
        // Rows with the same number have the same time, so they follow one another.
        if before.replace((time, seq)) != Some((time, seq))
            && let Some(row) = row
        {
            take(row)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_without_a_gap_are_merged() {
        let part = |epoch, first, last| Part { epoch, first, last, digest: "a".into() };
        let all = vec![
            part(1, 51, 60),
            part(1, 0, 10),
            part(1, 11, 20),
            part(1, 15, 30),
            part(1, 40, 50),
            part(2, 0, 10),
            part(3, 5, 6),
            part(3, 8, 9),
        ];
        let runs = runs(all);
        assert_eq!(
            runs,
            [vec![part(1, 0, 10), part(1, 11, 20), part(1, 15, 30)], vec![part(1, 40, 50), part(1, 51, 60)],]
        );
    }
}
