//! Which rows of a part are of streams that pass: said by the streams that the part lists, not by its rows.
//!
//! Invariant: a part whose list is not of all its rows is asked row by row.
use super::filter::Asked;
use super::part::Part;
use super::rows::RowSet;
use crate::error::Result;
use rustc_hash::FxHashMap;

/// The streams of a part, whether each passes, and how many rows it has.
struct Streams(Vec<(u32, bool, u32)>);

impl Streams {
    /// Where all of them are listed.
    fn of(part: &Part<'_>, asked: &Asked) -> Option<Self> {
        let listed = part.stream_rows();
        let rows: u64 = listed.iter().map(|(_, rows)| u64::from(*rows)).sum();
        let passes = |(stream, rows): &(u32, u32)| (*stream, asked.question().matches(part.tags(*stream)), *rows);
        (rows == part.rows() as u64).then(|| Self(listed.iter().map(passes).collect()))
    }

    fn rows(&self) -> u64 {
        self.0.iter().filter(|(_, passes, _)| *passes).map(|(.., rows)| u64::from(*rows)).sum()
    }
}

/// How many rows are of streams that are wanted and pass, where that can be said without reading.
pub(super) fn count_streams(part: &Part<'_>, asked: &Asked, is_wanted: &dyn Fn(u32) -> bool) -> Option<u64> {
    let mut streams = Streams::of(part, asked)?;
    streams.0.retain(|(stream, ..)| is_wanted(*stream));
    Some(streams.rows())
}

/// The rows of streams that pass. Which stream each row is of is read only where some pass and others do not.
pub(super) fn of_streams(part: &Part<'_>, asked: &Asked) -> Result<RowSet> {
    let mut passing: FxHashMap<u32, bool> = FxHashMap::default();
    if let Some(streams) = Streams::of(part, asked) {
        match streams.rows() {
            0 => return Ok(RowSet::none(part.rows())),
            rows if rows == part.rows() as u64 => return Ok(RowSet::all(part.rows())),
            _ => passing.extend(streams.0.iter().map(|(stream, passes, _)| (*stream, *passes))),
        }
    }
    let streams = part.streams()?;
    let passes = |stream: &u32| *passing.entry(*stream).or_insert_with(|| asked.question().matches(part.tags(*stream)));
    let passes: Vec<bool> = streams.iter().map(passes).collect();
    Ok(RowSet::where_true(part.rows(), |row| passes.get(row).copied().unwrap_or(false)))
}
