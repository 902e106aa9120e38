//! What the index knows of a text: its terms, and how they reach tantivy.
//!
//! Terms are laid in a buffer, `term \t term \n term \n`: a tab parts terms of one position, a line feed ends a position.
//! tantivy gets that buffer as the document's text, and its tokenizer only takes it apart again, so that splitting and
//! folding are done here, once, with the code that the rest of the engine uses.
//!
//! Invariants
//! * A term is a word as [`words`] finds it, folded, and cut at [`TERM_BYTES_MAX`]; or a skeleton; or a mark.
//! * No word or skeleton begins with `\u{1}` or holds a tab or a line feed, so a mark is never taken for one of them.
//! * A position without terms is still a position.
use std::collections::HashSet;

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

use crate::limits::MIB;
use crate::text::shape::Shape;
use crate::text::words::{fold, words};

/// A term; what is longer is cut here, at the boundary of a character.
pub(super) const TERM_BYTES_MAX: usize = 255;
/// A skeleton; words with a longer one share a mark, so that random hex does not fill the dictionary.
const SKELETON_BYTES_MAX: usize = 64;
/// Runs of digits of a skeleton.
const SKELETON_RUNS_MAX: usize = 2;
/// Terms of one group; a group with more is always a candidate.
const GROUP_TERM_BYTES_MAX: usize = MIB;

/// Stands where a slot is: its values have to be looked at.
pub(super) const LOOK: &str = "\u{1}look";
/// Stands where a word was cut.
pub(super) const CUT: &str = "\u{1}cut";
/// Stands for the words of a group that have no skeleton.
pub(super) const MIXED: &str = "\u{1}mixed";
/// Stands for all words of a group that has too many.
pub(super) const ALL: &str = "\u{1}all";
/// The least term that is not a mark.
pub(super) const AFTER_MARKS: &[u8] = b"\x02";

/// What a run of digits is in a skeleton.
const RUN: char = '#';

/// Appends a word as a term: folded, and cut where it is too long. Says whether it was cut.
pub(super) fn push_term(word: &str, out: &mut String) -> bool {
    let start = out.len();
    for c in word.chars().map(fold) {
        if out.len() - start + c.len_utf8() > TERM_BYTES_MAX {
            return true;
        }
        out.push(c);
    }
    false
}

/// A piece of a word with each run of ASCII digits as one sign, folded.
pub(super) fn bare_skeleton(piece: &str) -> String {
    let mut out = String::with_capacity(piece.len());
    for c in piece.chars() {
        if !c.is_ascii_digit() {
            out.push(fold(c));
        } else if !out.ends_with(RUN) {
            out.push(RUN);
        }
    }
    out
}

/// The skeleton of a word with a digit, if it is one that many words can share.
pub(super) fn skeleton(word: &str) -> Option<String> {
    // Folding changes a length little, but digits may shrink it a lot; no need to look at a word of megabytes.
    if word.len() > TERM_BYTES_MAX {
        return None;
    }
    let skeleton = bare_skeleton(word);
    let shared = skeleton.len() <= SKELETON_BYTES_MAX && skeleton.matches(RUN).count() <= SKELETON_RUNS_MAX;
    shared.then_some(skeleton)
}

/// Lays the terms of a shape in `out`. A slot takes one position, as the word that it stands for does.
pub(super) fn put_shape(shape: Shape<'_>, out: &mut String) {
    for (i, piece) in shape.pieces().enumerate() {
        if i > 0 {
            out.push_str(LOOK);
            out.push('\n');
        }
        // What surrounds a slot is no word character, so a piece has whole words only.
        for word in words(piece) {
            if push_term(piece.get(word.span).unwrap_or_default(), out) {
                out.push('\t');
                out.push_str(CUT);
            }
            out.push('\n');
        }
    }
}

/// The distinct terms of a group of texts.
#[derive(Default)]
pub(super) struct GroupTerms {
    // The keyed hasher of the standard library: these words are a stranger's.
    seen: HashSet<Box<str>>,
    laid: String,
    scratch: String,
    is_full: bool,
}

impl GroupTerms {
    /// Empties it for the next group.
    pub(super) fn clear(&mut self) {
        self.seen.clear();
        self.laid.clear();
        self.is_full = false;
    }

    /// Adds the terms of one text.
    pub(super) fn put_text(&mut self, text: &str) {
        for word in words(text) {
            if self.is_full {
                return;
            }
            let has_digit = word.has_digit;
            let word = text.get(word.span).unwrap_or_default();
            if has_digit {
                self.put_term(skeleton(word).as_deref().unwrap_or(MIXED));
                continue;
            }
            let mut term = std::mem::take(&mut self.scratch);
            term.clear();
            if push_term(word, &mut term) {
                self.put_term(CUT);
            }
            self.put_term(&term);
            self.scratch = term;
        }
    }

    fn put_term(&mut self, term: &str) {
        if self.seen.contains(term) {
            return;
        }
        self.seen.insert(term.into());
        self.laid.push_str(term);
        self.laid.push('\t');
        self.is_full = self.laid.len() > GROUP_TERM_BYTES_MAX;
    }

    /// The terms as a document's text.
    pub(super) fn laid(&self) -> &str {
        if self.is_full { ALL } else { &self.laid }
    }
}

/// Takes laid terms apart.
#[derive(Clone, Default)]
pub(super) struct LaidTokenizer {
    token: Token,
}

impl Tokenizer for LaidTokenizer {
    type TokenStream<'a> = LaidTokens<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> LaidTokens<'a> {
        self.token.reset();
        LaidTokens { rest: text, position: 0, token: &mut self.token }
    }
}

/// The laid terms of one document.
pub(super) struct LaidTokens<'a> {
    rest: &'a str,
    position: usize,
    token: &'a mut Token,
}

impl TokenStream for LaidTokens<'_> {
    fn advance(&mut self) -> bool {
        while !self.rest.is_empty() {
            let end = memchr::memchr2(b'\t', b'\n', self.rest.as_bytes()).unwrap_or(self.rest.len());
            let (term, tail) = self.rest.split_at(end);
            self.token.position = self.position;
            self.position += usize::from(tail.starts_with('\n'));
            self.rest = tail.get(1..).unwrap_or_default();
            if !term.is_empty() {
                self.token.text.clear();
                self.token.text.push_str(term);
                return true;
            }
        }
        false
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}
