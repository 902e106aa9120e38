//! A body, compressed or not, cut into lines.
//!
//! Invariants
//! * Lines are the same whatever pieces they come in. The last one may lack its end.
//! * A line over `LINE_BYTES_MAX` is passed over as it comes, and nothing of it is kept.
//! * What was handed in is decompressed only as far as lines are asked for.
use super::super::encoding::{Inflater, STREAM_FREE_BYTES};
use super::super::error::ApiError;
use axum::body::Bytes;
use logyard_storage::limits::MIB;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// A line.
pub(super) const LINE_BYTES_MAX: usize = 16 * MIB;
/// What is decompressed at once.
const STEP_BYTES: usize = MIB;

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
    /// What is still compressed, from `input_at` on.
    input: Vec<u8>,
    input_at: usize,
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
    pub(super) fn new(inflater: Option<Inflater>, ratio_max: u64, is_hashed: bool) -> Self {
        Self {
            inflater,
            ratio_max,
            input: Vec::new(),
            input_at: 0,
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

    /// Bytes that it holds.
    pub(super) fn held(&self) -> usize {
        self.input.len() + self.text.len()
    }

    /// Takes more of the body; `is_ended` says that there is no more.
    pub(super) fn give(&mut self, pieces: Vec<Bytes>, is_ended: bool) {
        self.forget();
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
        let input = self.input.get(self.input_at..).unwrap_or_default();
        if input.is_empty() && !self.is_pressing {
            if self.is_ended {
                inflater.end()?;
            }
            return Ok(false);
        }
        // A step follows once all lines of the one before are cut: what is left is one line's beginning.
        self.text.drain(..self.at);
        (self.at, self.scanned) = (0, self.text.len());
        let taken = inflater.step(input, &mut self.text, STEP_BYTES)?;
        let given = self.text.len() - self.scanned;
        if taken == 0 && given == 0 && !input.is_empty() {
            return Err(ApiError::bad("the compressed body cannot be read on"));
        }
        self.input_at += taken;
        self.is_pressing = given == STEP_BYTES;
        inflater.check_ratio(self.ratio_max, STREAM_FREE_BYTES)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], piece: usize) -> (Vec<String>, String) {
        let mut cutter = Cutter::new(None, 500, true);
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
        let mut cutter = Cutter::new(None, 500, true);
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
    fn a_line_that_is_too_long_is_one_line() {
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        let text = format!("first\n{long}\nlast\n{long}");
        let whole = lines(text.as_bytes(), usize::MAX);
        assert_eq!(whole.0, ["first", "overlong", "last", "overlong"]);
        assert_eq!(lines(text.as_bytes(), 999_999), whole);
        assert_eq!(lines(&text.as_bytes()[..text.len() - 1], 1 << 20).0[3].len(), LINE_BYTES_MAX);
    }
}
