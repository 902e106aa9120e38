//! A batch: records as JSON lines, and which part of the input they are of.
//!
//! Invariant: what is in a batch depends on the input from its beginning, on where it ends, and on the time that it was begun at. So
//! a record that was ended early is the last of its batch: read again, what came after it would be a part of it.
use super::records::{AtEnd, Record, Records};
use crate::ingest::foreign::Reading;
use std::io::{self, Read};

const BATCH_BYTES: usize = 4 << 20;
const BATCH_RECORDS: usize = 8_000;

/// Records that are sent together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// JSON lines.
    pub(super) body: String,
    /// The part of the input: from here.
    pub(super) start: u64,
    /// To here.
    pub(super) end: u64,
    /// The input's line that each line of the body begins in.
    pub(super) lines: Vec<u64>,
    pub(super) surplus: Surplus,
}

/// What was not sent as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Surplus {
    /// Records with bytes that are no UTF-8, which stand there as U+FFFD.
    pub(super) wrong_text: u64,
    /// Bytes of overlong records that were left out.
    pub(super) left_out: u64,
}

impl Surplus {
    pub(super) fn add(&mut self, other: Self) {
        self.wrong_text += other.wrong_text;
        self.left_out += other.left_out;
    }
}

impl Batch {
    /// One that begins here.
    pub(super) fn new(start: u64) -> Self {
        Self { start, end: start, ..Self::default() }
    }

    /// The next records, as many as go into a batch, or as there are.
    pub(super) fn read(
        records: &mut Records<impl Read>,
        start: u64,
        now: i64,
        reading: &Reading,
        at_end: AtEnd,
    ) -> io::Result<Self> {
        let mut batch = Self::new(start);
        batch.fill(records, now, reading, at_end)?;
        Ok(batch)
    }

    /// Adds the next records.
    pub(super) fn fill(
        &mut self,
        records: &mut Records<impl Read>,
        now: i64,
        reading: &Reading,
        at_end: AtEnd,
    ) -> io::Result<()> {
        while !self.is_full() {
            let Some(record) = records.next(at_end)? else { break };
            self.push(&record, now, reading);
            if record.ended_early {
                break;
            }
        }
        Ok(())
    }

    /// Whether nothing more goes into it.
    pub(super) fn is_full(&self) -> bool {
        self.body.len() >= BATCH_BYTES || self.lines.len() >= BATCH_RECORDS
    }

    /// All up to the end that was kept, which is that of a batch that was sent before.
    pub(super) fn read_again(
        records: &mut Records<impl Read>,
        (start, end): (u64, u64),
        now: i64,
        reading: &Reading,
    ) -> io::Result<Self> {
        let mut batch = Self::new(start);
        records.read_until(Some(end));
        while let Some(record) = records.next(AtEnd::EndAll)? {
            batch.push(&record, now, reading);
        }
        records.read_until(None);
        if batch.end == end { Ok(batch) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Whether nothing was read.
    pub(super) fn is_nothing(&self) -> bool {
        self.end == self.start
    }

    fn push(&mut self, record: &Record, now: i64, reading: &Reading) {
        self.end = record.end;
        self.surplus.left_out += record.left_out;
        if record.text.trim_ascii().is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(&record.text);
        self.surplus.wrong_text += u64::from(matches!(text, std::borrow::Cow::Owned(_)));
        reading.push_line(&mut self.body, &text, now);
        self.lines.push(record.line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::foreign::Format;
    use regex::bytes::Regex;

    /// An input that has nothing more for now between its pieces.
    struct Grows(Vec<&'static [u8]>);

    impl Read for Grows {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() { Ok(0) } else { self.0.remove(0).read(into) }
        }
    }

    #[test]
    fn a_batch_behind_a_record_that_ended_early_is_the_same_when_it_is_read_again() {
        let reading = Reading { format: Format::Text, service: "s".into() };
        for (pieces, start, at_end) in [
            ("> a\n||  b\n", Some("^>"), AtEnd::EndLines),
            ("> a\n||  b\n", Some("^>"), AtEnd::EndAll),
            ("> a\n> b|| b\n> c\n", Some("^>"), AtEnd::EndAll),
            ("> a\n  b||b\n> c\n", Some("^>"), AtEnd::EndAll),
            ("a\nb||b\n", None, AtEnd::EndAll),
        ] {
            let pieces: Vec<&[u8]> = pieces.split('|').map(str::as_bytes).collect();
            let (whole, start) = (pieces.concat(), start.map(|start| Regex::new(start).unwrap()));
            let mut records = Records::new(Grows(pieces), 0, start.clone());
            let mut begin = 0;
            loop {
                let batch = Batch::read(&mut records, begin, 0, &reading, at_end).unwrap();
                if batch.is_nothing() {
                    break;
                }
                let mut anew = Records::new(&whole[begin as usize..], begin, start.clone());
                let again = Batch::read_again(&mut anew, (begin, batch.end), 0, &reading).unwrap();
                assert_eq!(again.body, batch.body, "{at_end:?} {start:?}");
                begin = batch.end;
            }
            assert_eq!(begin, whole.len() as u64, "{at_end:?} {start:?}");
        }
    }
}
