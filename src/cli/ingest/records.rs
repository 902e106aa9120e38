//! The records of an input: its lines, or several that belong together, each with where it ends.
//!
//! Invariants
//! * Where a record ends depends on the bytes from where reading began, and on where it is said to end early, only.
//! * A record holds at most [`RECORD_BYTES_MAX`] bytes; what a longer one has beyond is left out and counted.
use regex::bytes::Regex;
use std::io::{self, Read};

/// Of one record; a server cuts what is longer.
pub(super) const RECORD_BYTES_MAX: usize = 2 << 20;
/// Lines that are joined.
const LINES_MAX: usize = 2_000;
const CHUNK_BYTES: usize = 1 << 16;

/// What becomes of a record that may go on, when there is nothing more to read for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtEnd {
    /// It waits.
    Wait,
    /// Lines that are whole are a record; one without its end waits.
    EndLines,
    /// There is no more: it ends.
    EndAll,
}

/// A record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) text: Vec<u8>,
    /// The offset behind it.
    pub(super) end: u64,
    /// The number of its first line, from 1 where reading began.
    pub(super) line: u64,
    /// Bytes that were left out.
    pub(super) left_out: u64,
    /// It ended because there was nothing more to read, not by what it holds or what follows.
    pub(super) ended_early: bool,
}

/// Reads records.
pub(super) struct Records<R> {
    lines: Lines<R>,
    start: Option<Regex>,
    /// Lines that wait for the next start.
    held: Option<Record>,
    held_lines: usize,
}

impl<R: Read> Records<R> {
    /// Of an input that stands at `offset`.
    pub(super) fn new(input: R, offset: u64, start: Option<Regex>) -> Self {
        let lines = Lines {
            input,
            chunk: vec![0; CHUNK_BYTES],
            begin: 0,
            end: 0,
            offset,
            until: u64::MAX,
            line: Vec::new(),
            left_out: 0,
            number: 0,
        };
        Self { lines, start, held: None, held_lines: 0 }
    }

    /// What is read.
    pub(super) fn input(&self) -> &R {
        &self.lines.input
    }

    /// The same, to be changed.
    pub(super) fn input_mut(&mut self) -> &mut R {
        &mut self.lines.input
    }

    /// Has nothing read beyond an offset, as if the input ended there; or lifts that.
    pub(super) fn read_until(&mut self, offset: Option<u64>) {
        self.lines.until = offset.unwrap_or(u64::MAX);
    }

    /// The offset up to which there is something in memory.
    pub(super) fn position(&self) -> u64 {
        self.lines.offset
    }

    /// Whether there is a record that waits for more.
    pub(super) fn has_begun(&self) -> bool {
        self.held.is_some()
    }

    /// The next record; none where there is nothing more to read for now.
    pub(super) fn next(&mut self, at_end: AtEnd) -> io::Result<Option<Record>> {
        loop {
            if self.held.as_ref().is_some_and(|held| held.ended_early) {
                return Ok(self.held.take());
            }
            let line = match self.lines.next()? {
                Some(line) => Some(line),
                None if at_end == AtEnd::EndAll => self.lines.rest(),
                None => None,
            };
            let Some(line) = line else {
                let held = if at_end == AtEnd::Wait { None } else { self.held.take() };
                return Ok(held.map(|held| Record { ended_early: true, ..held }));
            };
            let Some(start) = &self.start else { return Ok(Some(line)) };
            let goes_on = |held: &Record| {
                !start.is_match(&line.text)
                    && self.held_lines < LINES_MAX
                    && held.text.len() + line.text.len() < RECORD_BYTES_MAX
            };
            match &mut self.held {
                Some(held) if goes_on(held) => {
                    held.text.push(b'\n');
                    held.text.extend_from_slice(&line.text);
                    held.end = line.end;
                    held.left_out += line.left_out;
                    held.ended_early = line.ended_early;
                    self.held_lines += 1;
                }
                held => {
                    self.held_lines = 1;
                    if let Some(before) = held.replace(line) {
                        return Ok(Some(before));
                    }
                }
            }
        }
    }
}

/// Reads lines.
struct Lines<R> {
    input: R,
    chunk: Vec<u8>,
    /// What of the chunk is not looked at yet.
    begin: usize,
    end: usize,
    /// The offset of what is looked at next.
    offset: u64,
    until: u64,
    /// A line that has begun.
    line: Vec<u8>,
    left_out: u64,
    /// Lines so far.
    number: u64,
}

impl<R: Read> Lines<R> {
    /// The next line that has its end.
    fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            if self.begin == self.end && !self.fill()? {
                return Ok(None);
            }
            let have = self.chunk.get(self.begin..self.end).unwrap_or_default();
            let found = memchr::memchr(b'\n', have);
            let piece = have.get(..found.unwrap_or(have.len())).unwrap_or_default();
            let room = RECORD_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(piece.get(..room).unwrap_or(piece));
            self.left_out += piece.len().saturating_sub(room) as u64;
            let taken = piece.len() + usize::from(found.is_some());
            self.begin += taken;
            self.offset += taken as u64;
            if found.is_some() {
                return Ok(Some(self.take()));
            }
        }
    }

    /// The line that has begun, without an end.
    fn rest(&mut self) -> Option<Record> {
        (!self.line.is_empty()).then(|| Record { ended_early: true, ..self.take() })
    }

    fn take(&mut self) -> Record {
        self.number += 1;
        let mut text = std::mem::take(&mut self.line);
        if text.last() == Some(&b'\r') {
            text.pop();
        }
        let left_out = std::mem::take(&mut self.left_out);
        Record { text, end: self.offset, line: self.number, left_out, ended_early: false }
    }

    /// Reads more; false where there is nothing for now.
    fn fill(&mut self) -> io::Result<bool> {
        let allowed = usize::try_from(self.until - self.offset).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let into = self.chunk.get_mut(..allowed).unwrap_or_default();
        let read = loop {
            match self.input.read(into) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        (self.begin, self.end) = (0, read);
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], start: Option<&str>, at_end: AtEnd) -> Vec<(String, u64, u64)> {
        let mut records = Records::new(text, 0, start.map(|start| Regex::new(start).unwrap()));
        let mut all = Vec::new();
        while let Some(record) = records.next(at_end).unwrap() {
            all.push((String::from_utf8(record.text).unwrap(), record.end, record.line));
        }
        all
    }

    fn record(text: &str, end: u64, line: u64) -> (String, u64, u64) {
        (text.into(), end, line)
    }

    #[test]
    fn a_line_is_a_record() {
        let text = b"a\nbb\r\n\nrest";
        let whole = [record("a", 2, 1), record("bb", 6, 2), record("", 7, 3)];
        assert_eq!(all(text, None, AtEnd::Wait), whole);
        assert_eq!(all(text, None, AtEnd::EndLines), whole);
        assert_eq!(all(text, None, AtEnd::EndAll), [&whole[..], &[record("rest", 11, 4)]].concat());
    }

    #[test]
    fn lines_are_joined_from_start_to_start() {
        let text = b"> a\n  b\n> c\n  d\n  e";
        assert_eq!(all(text, Some("^>"), AtEnd::Wait), [record("> a\n  b", 8, 1)]);
        assert_eq!(all(text, Some("^>"), AtEnd::EndLines), [record("> a\n  b", 8, 1), record("> c\n  d", 16, 3)]);
        assert_eq!(all(text, Some("^>"), AtEnd::EndAll), [record("> a\n  b", 8, 1), record("> c\n  d\n  e", 19, 3)]);
        assert_eq!(all(b"x\n> a\n", Some("^>"), AtEnd::EndAll), [record("x", 2, 1), record("> a", 6, 2)]);
    }

    #[test]
    fn what_is_too_long_is_cut_and_counted() {
        let mut text = vec![b'x'; RECORD_BYTES_MAX + 100_000];
        text.extend_from_slice(b"\nnext\n");
        let mut records = Records::new(&*text, 0, None);
        let long = records.next(AtEnd::Wait).unwrap().unwrap();
        assert_eq!((long.text.len(), long.left_out, long.end), (RECORD_BYTES_MAX, 100_000, text.len() as u64 - 5));
        assert_eq!(records.next(AtEnd::Wait).unwrap().unwrap().text, b"next");
    }

    #[test]
    fn reading_ends_where_it_is_said_to() {
        let mut records = Records::new(&b"a\nb\nc\n"[..], 0, None);
        records.read_until(Some(4));
        let mut ends = Vec::new();
        while let Some(record) = records.next(AtEnd::EndAll).unwrap() {
            ends.push(record.end);
        }
        assert_eq!((ends, records.position()), (vec![2, 4], 4));
        records.read_until(None);
        assert_eq!(records.next(AtEnd::Wait).unwrap().unwrap().text, b"c");
    }
}
