//! A body, compressed or not, cut into lines.
//!
//! Invariants
//! * Lines are the same whatever pieces they come in. The last one may lack its end.
//! * A line over `LINE_BYTES_MAX` is passed over as it comes, and nothing of it is kept.
//! * What was handed in is decompressed only as far as lines are asked for, and there is room for it before it is.
use super::super::encoding::{Inflater, STREAM_FREE_BYTES};
use super::super::error::ApiError;
use super::super::room::Room;
use axum::body::Bytes;
use logyard_storage::limits::{KIB, MIB};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// A line.
pub(super) const LINE_BYTES_MAX: usize = 16 * MIB;
/// What is decompressed at once, of small bodies so little that they need no room.
const STEP_BYTES: usize = MIB;
const FIRST_STEP_BYTES: usize = 32 * KIB;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// A line, by its place in [`Cutter::text`].
    Line(Range<usize>),
    /// The end of a line that was too long.
    Overlong,
    /// Nothing, before more is handed in.
    Nothing,
}

/// Cuts a body into lines.
pub(super) struct Cutter {
    inflater: Option<Inflater>,
    ratio_max: u64,
    /// Of everything that is held here.
    room: Room,
    /// What is still compressed, from `input_at` on.
    input: Vec<u8>,
    input_at: usize,
    /// What the next step may give.
    step_bytes: usize,
    /// The step before gave as much as it may: there can be more.
    is_pressing: bool,
    /// What is not cut yet, from `at` on; there is no end of a line before `scanned`.
    text: Vec<u8>,
    at: usize,
    scanned: usize,
    is_skipping: bool,
    is_ended: bool,
    is_done: bool,
    /// Of all lines so far, each with its end.
    hash: Option<Sha256>,
    /// The same with what was passed over of a line that has not ended.
    skipped: Option<Sha256>,
}

impl Cutter {
    pub(super) fn new(inflater: Option<Inflater>, ratio_max: u64, room: Room, is_hashed: bool) -> Self {
        Self {
            inflater,
            ratio_max,
            room,
            input: Vec::new(),
            input_at: 0,
            step_bytes: FIRST_STEP_BYTES,
            is_pressing: false,
            text: Vec::new(),
            at: 0,
            scanned: 0,
            is_skipping: false,
            is_ended: false,
            is_done: false,
            hash: is_hashed.then(Sha256::new),
            skipped: None,
        }
    }

    /// Makes room for so many bytes beside those that are held.
    pub(super) fn make_room(&mut self, more: usize) -> Result<(), ApiError> {
        self.room.grow_to(self.input.len() + self.text.len() + more)
    }

    /// Takes more of the body, for which there has to be room; `is_ended` says that there is no more.
    pub(super) fn give(&mut self, pieces: Vec<Bytes>, is_ended: bool) {
        let to = if self.inflater.is_some() { &mut self.input } else { &mut self.text };
        pieces.iter().for_each(|piece| to.extend_from_slice(piece));
        self.is_ended = is_ended;
    }

    /// Drops what is cut and what is decompressed.
    fn forget(&mut self) {
        self.text.drain(..self.at);
        self.scanned -= self.at;
        self.at = 0;
        self.input.drain(..self.input_at);
        self.input_at = 0;
    }

    /// What lines lie in.
    pub(super) fn text(&self, place: Range<usize>) -> &[u8] {
        self.text.get(place).unwrap_or_default()
    }

    /// The hash of all lines so far, where one is asked for. A line that has not ended is none yet.
    pub(super) fn hash(&self) -> Option<Sha256> {
        self.hash.clone()
    }

    /// Whether every line was given.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    pub(super) fn next(&mut self) -> Result<Cut, ApiError> {
        loop {
            let unseen = self.text.get(self.scanned..).unwrap_or_default();
            if let Some(end) = memchr::memchr(b'\n', unseen).map(|end| self.scanned + end) {
                return Ok(self.cut(end, end + 1));
            }
            self.scanned = self.text.len();
            if self.is_skipping || self.text.len() - self.at > LINE_BYTES_MAX {
                self.skip();
            }
            if self.inflate()? {
                continue;
            }
            let has_rest = self.is_skipping || self.at < self.text.len();
            if !self.is_ended || !has_rest {
                self.is_done = self.is_ended;
                self.forget();
                return Ok(Cut::Nothing);
            }
            let end = self.text.len();
            return Ok(self.cut(end, end));
        }
    }

    /// Takes what ends at `end`, where the next line begins at `next`.
    fn cut(&mut self, end: usize, next: usize) -> Cut {
        let line = self.at..end;
        if let Some(skipped) = self.skipped.take() {
            self.hash = Some(skipped);
        }
        if let Some(hash) = &mut self.hash {
            hash.update(self.text.get(line.clone()).unwrap_or_default());
            hash.update(b"\n");
        }
        (self.at, self.scanned) = (next, next);
        if std::mem::take(&mut self.is_skipping) || line.len() > LINE_BYTES_MAX {
            return Cut::Overlong;
        }
        Cut::Line(line)
    }

    /// Passes over what is there of a line.
    fn skip(&mut self) {
        self.is_skipping = true;
        if self.skipped.is_none() {
            self.skipped.clone_from(&self.hash);
        }
        if let Some(hash) = &mut self.skipped {
            hash.update(self.text.get(self.at..).unwrap_or_default());
        }
        self.text.clear();
        (self.at, self.scanned) = (0, 0);
    }

    /// Decompresses a step, and says whether there was anything to decompress.
    fn inflate(&mut self) -> Result<bool, ApiError> {
        let Some(inflater) = &mut self.inflater else { return Ok(false) };
        if self.input_at == self.input.len() && !self.is_pressing {
            if self.is_ended {
                inflater.end()?;
            }
            return Ok(false);
        }
        // A step follows once all lines of the one before are cut: what is left is one line's beginning.
        self.text.drain(..self.at);
        (self.at, self.scanned) = (0, self.text.len());
        self.room.grow_to(self.input.len() + self.text.len() + self.step_bytes)?;
        let input = self.input.get(self.input_at..).unwrap_or_default();
        let taken = inflater.step(input, &mut self.text, self.step_bytes)?;
        let given = self.text.len() - self.scanned;
        if taken == 0 && given == 0 && !input.is_empty() {
            return Err(ApiError::bad("the compressed body cannot be read on"));
        }
        self.input_at += taken;
        self.is_pressing = given == self.step_bytes;
        if self.is_pressing {
            self.step_bytes = (2 * self.step_bytes).min(STEP_BYTES);
        }
        inflater.check_ratio(self.ratio_max, STREAM_FREE_BYTES)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::encoding::Encoding;
    use super::super::super::room::BodyMemory;
    use super::*;

    fn room() -> Room {
        BodyMemory::new(64 * MIB).room()
    }

    fn lines(text: &[u8], piece: usize) -> (Vec<String>, String) {
        let mut cutter = Cutter::new(None, 500, room(), true);
        let mut found = Vec::new();
        let pieces: Vec<&[u8]> = text.chunks(piece).collect();
        for n in 0..=pieces.len() {
            let given = pieces.get(n).map(|piece| Bytes::copy_from_slice(piece)).into_iter().collect();
            cutter.give(given, n == pieces.len());
            loop {
                match cutter.next().unwrap() {
                    Cut::Line(place) => found.push(String::from_utf8(cutter.text(place).to_vec()).unwrap()),
                    Cut::Overlong => found.push("overlong".into()),
                    Cut::Nothing => break,
                }
            }
            assert_eq!(cutter.is_done(), n == pieces.len());
        }
        (found, super::super::super::once::shown(cutter.hash().unwrap()))
    }

    #[test]
    fn lines_are_the_same_in_any_pieces() {
        let text = b"one\n\ntwo \r\nthe last";
        let whole = lines(text, 100);
        assert_eq!(whole.0, ["one", "", "two \r", "the last"]);
        for piece in 1..6 {
            assert_eq!(lines(text, piece), whole);
        }
        // An end behind the last line makes no other.
        assert_eq!(lines(b"one\n\ntwo \r\nthe last\n", 3), whole);
        assert_ne!(lines(b"one\n\ntwo\nthe last\n", 3).1, whole.1);
        assert!(lines(b"", 1).0.is_empty());
    }

    #[test]
    fn the_hash_is_of_lines_that_have_ended() {
        let shown = |cutter: &Cutter| super::super::super::once::shown(cutter.hash().unwrap());
        let mut cutter = Cutter::new(None, 500, room(), true);
        cutter.give(vec![Bytes::from_static(b"first\n")], false);
        assert_eq!(cutter.next().unwrap(), Cut::Line(0..5));
        let first = shown(&cutter);
        for _ in 0..3 {
            cutter.give(vec![Bytes::from(vec![b'x'; LINE_BYTES_MAX / 2 + 1])], false);
            assert_eq!(cutter.next().unwrap(), Cut::Nothing);
            assert_eq!(shown(&cutter), first);
        }
        cutter.give(vec![Bytes::from_static(b"\nlast\n")], true);
        assert_eq!(cutter.next().unwrap(), Cut::Overlong);
        let long = shown(&cutter);
        assert_ne!(long, first);
        assert!(matches!(cutter.next().unwrap(), Cut::Line(_)));
        assert_ne!(shown(&cutter), long);
    }

    #[test]
    fn what_is_decompressed_has_room_before() {
        let long = zstd::bulk::compress(&[b"short\n".as_slice(), &vec![b'x'; 10 * MIB]].concat(), 3).unwrap();
        let inflater = || Encoding::Zstd.inflater().unwrap();
        let memory = BodyMemory::new(3 * MIB);
        let mut cutter = Cutter::new(inflater(), 500, memory.room(), false);
        cutter.give(vec![Bytes::from(long.clone())], true);
        assert_eq!(cutter.next().unwrap(), Cut::Line(0..5));
        let refused = cutter.next().unwrap_err().to_string();
        assert!(refused.contains("503") && cutter.text.len() > MIB && cutter.text.len() < 3 * MIB, "{refused}");
        // A small body is read all the same, and a long one once there is room.
        let mut small = Cutter::new(inflater(), 500, memory.room(), false);
        small.give(vec![Bytes::from(zstd::bulk::compress(b"a\nb", 3).unwrap())], true);
        assert_eq!([small.next().unwrap(), small.next().unwrap()], [Cut::Line(0..1), Cut::Line(2..3)]);
        let mut cutter = Cutter::new(inflater(), 500, room(), false);
        cutter.give(vec![Bytes::from(long)], true);
        cutter.next().unwrap();
        assert!(matches!(cutter.next().unwrap(), Cut::Line(place) if place.len() == 10 * MIB));
    }

    #[test]
    fn a_line_that_is_too_long_is_one_line() {
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        let text = format!("first\n{long}\nlast\n{long}");
        let whole = lines(text.as_bytes(), usize::MAX);
        assert_eq!(whole.0, ["first", "overlong", "last", "overlong"]);
        assert_eq!(lines(text.as_bytes(), 999_999), whole);
        assert_eq!(lines(&text.as_bytes()[..text.len() - 1], 1 << 20).0[3].len(), LINE_BYTES_MAX);
    }
}
