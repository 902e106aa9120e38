//! What is asked of the index: words in a row, of which the outer two may be open, and who could have them.
//!
//! | | literal | slot |
//! |---|---|---|
//! | closed word without a digit | its term | never |
//! | open word without a digit | terms that have it; the cut mark where its start is open | the look mark |
//! | word with a digit | never | the look mark |
//! | any word that passes a test, none of which has a digit | terms that pass, and the cut mark | never |
//!
//! Invariants
//! * A candidate may be wrong, a missing one may not be.
//! * No term of a shape has an ASCII digit.
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use memchr::memmem::Finder;
use tantivy::DocSet;
use tantivy::postings::{Postings, SegmentPostings, TermInfo};

use super::Candidates;
use super::part::{Docs, PartReader};
use super::tokenizer::{AFTER_MARKS, ALL, CUT, LOOK, MIXED, bare_skeleton, push_term, skeleton};
use crate::error::Result;
use crate::text::words::words;

/// Terms of one word up to which positions are compared; a word that so many terms have is asked for by document only.
pub(super) const POSITION_TERMS_MAX: usize = 16;

/// Words of a wanted text that are asked for; the check knows the rest.
const QUERY_WORDS_MAX: usize = 32;

/// How the ends of a wanted text are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Its words are whole words.
    Closed,
    /// The last word may go on.
    Prefix,
    /// The first word may begin earlier and the last may go on.
    Substring,
}

/// The words of a wanted text.
#[derive(Clone, Debug)]
pub(crate) struct WordQuery {
    words: Vec<WantedWord>,
    /// Whether there are words beyond these, which may be in slots.
    has_more: bool,
}

#[derive(Clone, Debug)]
struct WantedWord {
    /// As a term would be.
    term: String,
    has_digit: bool,
    open_start: bool,
    open_end: bool,
    /// What a group has of it: the skeleton of an open piece, or of a whole word if it is one that is shared.
    skeleton: Option<String>,
    /// It is any word that passes this.
    test: Option<WordTest>,
}

/// Whether a word, folded, is one of those that are wanted.
#[derive(Clone)]
pub(crate) struct WordTest(pub(crate) Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl fmt::Debug for WordTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WordTest")
    }
}

impl WordQuery {
    /// Splits a wanted text as texts are split. An end is open only where a word reaches it.
    pub(crate) fn new(text: &str, ends: Ends) -> Self {
        let wanted = |word: crate::text::words::Word| {
            let open_start = ends == Ends::Substring && word.span.start == 0;
            let open_end = ends != Ends::Closed && word.span.end == text.len();
            let (has_digit, word) = (word.has_digit, text.get(word.span).unwrap_or_default());
            let mut term = String::new();
            push_term(word, &mut term);
            let skeleton = if open_start || open_end { Some(bare_skeleton(word)) } else { skeleton(word) };
            WantedWord { term, has_digit, open_start, open_end, skeleton: skeleton.filter(|_| has_digit), test: None }
        };
        let mut all = words(text);
        let words = all.by_ref().take(QUERY_WORDS_MAX).map(wanted).collect();
        Self { words, has_more: all.next().is_some() }
    }

    /// One word without a digit that passes a test.
    pub(crate) fn passing(test: WordTest) -> Self {
        let (open_start, open_end) = (false, false);
        let word = WantedWord {
            term: String::new(),
            has_digit: false,
            open_start,
            open_end,
            skeleton: None,
            test: Some(test),
        };
        Self { words: vec![word], has_more: false }
    }
}

impl WantedWord {
    fn is_open(&self) -> bool {
        self.open_start || self.open_end
    }

    /// Every term that `piece` could be seen in, at the ends that are open.
    fn scan(&self, part: &PartReader, piece: &str, mut found: impl FnMut(&[u8], &TermInfo)) -> Result<()> {
        let piece = piece.as_bytes();
        if !self.open_start {
            return part.walk(piece.max(AFTER_MARKS), |term, info| {
                if !term.starts_with(piece) {
                    return ControlFlow::Break(());
                }
                found(term, info);
                ControlFlow::Continue(())
            });
        }
        let finder = Finder::new(piece);
        part.walk(AFTER_MARKS, |term, info| {
            if if self.open_end { finder.find(term).is_some() } else { term.ends_with(piece) } {
                found(term, info);
            }
            ControlFlow::Continue(())
        })
    }

    /// Every term that passes a test, and where words were cut.
    fn tested(&self, part: &PartReader, WordTest(test): &WordTest) -> Result<Vec<TermInfo>> {
        let mut found: Vec<TermInfo> = part.term(CUT)?.into_iter().collect();
        part.walk(AFTER_MARKS, |term, info| {
            if std::str::from_utf8(term).is_ok_and(|term| test(term)) {
                found.push(info.clone());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn in_shapes(&self, part: &PartReader) -> Result<Sources> {
        let mut found = Sources::default();
        if let Some(test) = &self.test {
            found.literal = self.tested(part, test)?;
        } else if self.is_open() && !self.has_digit {
            self.scan(part, &self.term, |_, info| found.literal.push(info.clone()))?;
            if self.open_start {
                found.literal.extend(part.term(CUT)?);
            }
        } else if !self.has_digit {
            found.literal.extend(part.term(&self.term)?);
        }
        if self.is_open() || self.has_digit {
            found.slot.extend(part.term(LOOK)?);
        }
        Ok(found)
    }

    fn in_groups(&self, part: &PartReader) -> Result<Vec<TermInfo>> {
        let mut found = Vec::new();
        if let Some(test) = &self.test {
            found = self.tested(part, test)?;
            found.extend(part.term(ALL)?);
            return Ok(found);
        }
        let piece = if self.has_digit { self.skeleton.as_deref() } else { Some(self.term.as_str()) };
        if self.is_open() {
            self.scan(part, piece.unwrap_or_default(), |_, info| found.push(info.clone()))?;
            found.extend(part.term(MIXED)?);
            if self.open_start && !self.has_digit {
                found.extend(part.term(CUT)?);
            }
        } else {
            found.extend(part.term(piece.unwrap_or(MIXED))?);
        }
        found.extend(part.term(ALL)?);
        Ok(found)
    }
}

/// The terms by which a word is found.
#[derive(Default)]
struct Sources {
    literal: Vec<TermInfo>,
    slot: Vec<TermInfo>,
}

/// The documents and places of one word.
struct Element {
    literal: Docs,
    slot: Docs,
    /// None where the word has too many terms, and could be anywhere in its documents.
    cursors: Option<Vec<(SegmentPostings, u8)>>,
}

/// How a run of words can lie in a document: all in literal text, or some in slots, or either.
const LITERAL: u8 = 1;
const SLOT: u8 = 2;

/// How both of two words, each of which lies as given, can lie.
fn both(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 { 0 } else { (a & b & LITERAL) | ((a | b) & SLOT) }
}

/// The shapes whose texts could have the wanted one.
pub(super) fn in_shapes(part: &PartReader, wanted: &WordQuery) -> Result<Candidates> {
    let mut elements = Vec::with_capacity(wanted.words.len());
    for word in &wanted.words {
        elements.push(Element::open(part, word.in_shapes(part)?, wanted.words.len() > 1)?);
    }
    let Some(docs) = elements.iter().map(|e| e.literal.clone().or(&e.slot)).reduce(|a, b| a.and(&b)) else {
        return Ok(Candidates { check: (1..part.docs()).collect(), look: Vec::new() });
    };
    let mut found = Candidates::default();
    for doc in docs.to_vec() {
        let mut lies = lies(&mut elements, doc);
        if lies != 0 && wanted.has_more {
            lies |= SLOT;
        }
        if lies & LITERAL != 0 {
            found.check.push(doc);
        }
        if lies & SLOT != 0 {
            found.look.push(doc);
        }
    }
    Ok(found)
}

/// The groups whose texts could have the wanted one.
pub(super) fn in_groups(part: &PartReader, wanted: &WordQuery) -> Result<Vec<u32>> {
    let mut all: Option<Docs> = None;
    for word in &wanted.words {
        let mut docs = Docs::none(part.docs());
        for term in word.in_groups(part)? {
            part.collect(&term, &mut docs)?;
        }
        all = Some(match all {
            Some(all) => all.and(&docs),
            None => docs,
        });
    }
    Ok(all.map_or_else(|| (0..part.docs()).collect(), |docs| docs.to_vec()))
}

impl Element {
    fn open(part: &PartReader, sources: Sources, with_positions: bool) -> Result<Self> {
        let (mut literal, mut slot) = (Docs::none(part.docs()), Docs::none(part.docs()));
        let mut cursors = Vec::new();
        let with_positions = with_positions && sources.literal.len() + sources.slot.len() <= POSITION_TERMS_MAX;
        for (terms, docs, lies) in [(sources.literal, &mut literal, LITERAL), (sources.slot, &mut slot, SLOT)] {
            for term in &terms {
                part.collect(term, docs)?;
                if with_positions {
                    cursors.push((part.positions(term)?, lies));
                }
            }
        }
        Ok(Self { literal, slot, cursors: with_positions.then_some(cursors) })
    }

    /// How the word lies in a document, wherever that is.
    fn anywhere(&self, doc: u32) -> u8 {
        (u8::from(self.literal.contains(doc)) * LITERAL) | (u8::from(self.slot.contains(doc)) * SLOT)
    }
}

/// How the words in a row lie in a document. Documents are asked in ascending order, as cursors only go forward.
fn lies(elements: &mut [Element], doc: u32) -> u8 {
    let mut anywhere = LITERAL;
    let mut starts: Option<Vec<(u32, u8)>> = None;
    for (element, ahead) in elements.iter_mut().zip(0u32..) {
        let Some(cursors) = &mut element.cursors else {
            anywhere = both(anywhere, element.anywhere(doc));
            continue;
        };
        let here = starts_at(cursors, doc, ahead);
        starts = Some(match starts {
            Some(before) => join(&before, &here),
            None => here,
        });
    }
    match starts {
        Some(starts) => starts.iter().fold(0, |all, (_, lies)| all | both(anywhere, *lies)),
        None => anywhere,
    }
}

/// Where a run of words would begin of which the one at these cursors is `ahead` words behind the first.
fn starts_at(cursors: &mut [(SegmentPostings, u8)], doc: u32, ahead: u32) -> Vec<(u32, u8)> {
    let mut starts = Vec::new();
    let mut positions = Vec::new();
    for (cursor, lies) in cursors {
        if cursor.doc() < doc {
            cursor.seek(doc);
        }
        if cursor.doc() == doc {
            cursor.positions(&mut positions);
            starts.extend(positions.iter().filter_map(|at| Some((at.checked_sub(ahead)?, *lies))));
        }
    }
    // A place is in literal text or in a slot, never both, so that only like ones are dropped.
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// The starts that both have.
fn join(a: &[(u32, u8)], b: &[(u32, u8)]) -> Vec<(u32, u8)> {
    let find = |at| b.binary_search_by_key(&at, |(at, _)| *at).ok().and_then(|i| b.get(i));
    a.iter().filter_map(|(at, lies)| Some((*at, both(*lies, find(*at)?.1)))).collect()
}
