//! Whole texts of several lines as codes for their lines: a line without its numbers comes again where the text does not.
//!
//! Of a line each word with a digit is a hole; what is left is its template. Templates that occur more than once are
//! listed, and a text is the codes of its lines' templates, as [`super::lexicon`] has them. The words of its holes, with a
//! space between two, are a text of their own, and so are the templates that are not listed, one after the other; both are
//! kept beside the codes as whole texts without lines, and are opened only when they are needed.
//!
//! Invariants
//! * Decoding gives the bytes that were coded, always, and never more of them than the head says.
//! * A hole is a whole word: what lies in one word of a text lies in a listed template, in a hole, or in one that is kept.
use super::lexicon::{self, Coded, Learned};
use super::opened::{Keeper, Opened, Part};
use super::sieve::{Inner, Sieve, Sought};
use super::{Decoded, Pieces, WholeHead, WholeTexts, damaged};
use crate::error::Result;
use crate::segment::pages::{Pages, Source};
use crate::segment::slots::Letters;
use crate::text::words;
use std::sync::Arc;

/// Stands for a hole in a template. Texts that have this character themselves are not kept as lines.
const HOLE: char = '\u{1}';
/// Lines of which at least so many are of listed templates are worth it: three of four.
const LISTED_SHARE: (usize, usize) = (3, 4);
/// How often a template occurs at least.
const OCCURRENCES_MIN: u32 = 2;

/// Texts as codes of their lines.
pub(super) struct Lined {
    /// Templates and codes; nothing is spelled.
    pub(super) lines: Coded,
    /// For each text the words of its holes.
    pub(super) holes: Vec<String>,
    /// For each text its templates that are not listed.
    pub(super) kept: Vec<String>,
    /// Those of all holes.
    pub(super) letters: Letters,
}

/// Lines and what they are made of.
#[derive(Default)]
struct Cut<'a> {
    templates: String,
    lines: Vec<Line>,
    holes: Vec<&'a str>,
    /// Where the lines of each text end.
    ends: Vec<usize>,
}

struct Line {
    /// Where its template and its holes end among all.
    template_end: usize,
    holes_end: usize,
}

impl<'a> Cut<'a> {
    fn push(&mut self, text: &'a str) {
        for line in text.split_inclusive('\n') {
            self.cut(line);
            self.lines.push(Line { template_end: self.templates.len(), holes_end: self.holes.len() });
        }
        self.ends.push(self.lines.len());
    }

    fn cut(&mut self, line: &'a str) {
        let (mut copied, mut at) = (0, 0);
        while let Some((is_word, len, _)) = words::step(line, line.as_bytes(), at) {
            let start = at;
            at += len;
            if !is_word {
                continue;
            }
            while let Some((true, len, _)) = words::step(line, line.as_bytes(), at) {
                at += len;
            }
            let word = line.get(start..at).unwrap_or_default();
            if word.bytes().any(|byte| byte.is_ascii_digit()) {
                self.templates.push_str(line.get(copied..start).unwrap_or_default());
                self.templates.push(HOLE);
                self.holes.push(word);
                copied = at;
            }
        }
        self.templates.push_str(line.get(copied..).unwrap_or_default());
    }

    /// The template and the holes of each line.
    fn lines(&self) -> impl Iterator<Item = (&str, &[&'a str])> {
        let (mut template, mut hole) = (0, 0);
        self.lines.iter().map(move |line| {
            let of_line = self.templates.get(template..line.template_end).unwrap_or_default();
            let holes = self.holes.get(hole..line.holes_end).unwrap_or_default();
            (template, hole) = (line.template_end, line.holes_end);
            (of_line, holes)
        })
    }
}

/// Codes texts, where most of their lines are of templates that come again.
pub(super) fn encode(texts: &[&str]) -> Option<Lined> {
    if texts.iter().any(|text| text.contains(HOLE)) {
        return None;
    }
    let mut cut = Cut::default();
    texts.iter().for_each(|text| cut.push(text));
    let mut learned = Learned::default();
    cut.lines().for_each(|(template, _)| learned.count(template));
    let mut coded = Coded::default();
    learned.choose(OCCURRENCES_MIN, &mut coded.listed);
    let (mut lines, mut from, mut listed) = (cut.lines(), 0, 0);
    let (mut holes, mut kept, mut letters) = (Vec::new(), Vec::new(), Letters::default());
    for end in &cut.ends {
        let (mut of_text, mut others) = (String::new(), String::new());
        coded.text(|coded| {
            for (template, words) in lines.by_ref().take(end - from) {
                let code = learned.code(template);
                coded.codes.extend_from_slice(code.bytes());
                if code.is_spelled() {
                    others.push_str(template);
                } else {
                    listed += 1;
                }
                for word in words {
                    if !of_text.is_empty() {
                        of_text.push(' ');
                    }
                    of_text.push_str(word);
                    letters = letters.and(Letters::of(word.as_bytes()));
                }
            }
        });
        from = *end;
        holes.push(of_text);
        kept.push(others);
    }
    let (part, all) = LISTED_SHARE;
    (listed * all >= cut.lines.len() * part).then_some(Lined { lines: coded, holes, kept, letters })
}

/// Texts that are kept as the codes of their lines.
pub(super) struct LinedTexts<'a> {
    /// Of all texts.
    pub(super) bytes: usize,
    /// The templates.
    pub(super) opened: Arc<Opened>,
    pub(super) codes: Pieces,
    pub(super) count: usize,
    pub(super) pages: &'a Pages,
    pub(super) source: &'a dyn Source,
    pub(super) keeper: &'a dyn Keeper,
    pub(super) holes: Beside<'a>,
    pub(super) kept: Beside<'a>,
    /// Those of all holes.
    pub(super) letters: Letters,
    pub(super) decoded: Decoded,
}

/// Whole texts beside the codes of lines.
pub(super) struct Beside<'a> {
    head: &'a WholeHead,
    part: Part,
    texts: Option<WholeTexts<'a>>,
}

impl<'a> Beside<'a> {
    pub(super) fn new(head: &'a WholeHead, part: Part) -> Self {
        Self { head, part, texts: None }
    }

    /// Whether there is nothing in any of them.
    pub(super) fn is_blank(&self) -> bool {
        self.head.bytes() == 0
    }

    /// The texts, `count` of them, opened when they are first asked for.
    fn open(
        &mut self,
        count: usize,
        pages: &'a Pages,
        source: &'a dyn Source,
        keeper: &'a dyn Keeper,
    ) -> Result<&mut WholeTexts<'a>> {
        match &mut self.texts {
            Some(texts) => Ok(texts),
            none => Ok(none.insert(self.head.open_part(self.part, count, pages, source, keeper)?)),
        }
    }

    /// What of `left` is in no word of a text; all of it where none is opened.
    fn lacking(&mut self, sieve: &Option<Sieve>, sought: &Sought<'_>, left: u8, index: usize) -> Result<u8> {
        let (Some(sieve), Some(texts)) = (sieve, &mut self.texts) else { return Ok(left) };
        if left & sieve.possible == 0 {
            return Ok(left);
        }
        texts.load_codes(index, index + 1)?;
        texts.lacking(sieve, sought, left, index)
    }
}

impl<'a> LinedTexts<'a> {
    /// Puts the texts `from..to` together, whose codes were loaded.
    pub(super) fn decode(&mut self, from: usize, to: usize) -> Result<()> {
        let Self { bytes, opened, codes, holes, kept, decoded, count, pages, source, keeper, .. } = self;
        let holes = holes.open(*count, pages, *source, *keeper)?;
        let kept = kept.open(*count, pages, *source, *keeper)?;
        holes.load(from, to)?;
        kept.load(from, to)?;
        decoded.begin(from);
        for index in from..to {
            let mut rest = Rest { holes: Some(holes.get(index)), kept: kept.get(index) };
            let mut codes = codes.get(index).iter();
            while let Some(first) = codes.next() {
                if *first == lexicon::END {
                    rest.line(&mut decoded.texts)?;
                } else {
                    let template = opened.lexicon.next(*first, &mut codes).ok_or_else(damaged)?;
                    rest.fill(template, &mut decoded.texts)?;
                }
                if decoded.texts.len() > *bytes {
                    return Err(damaged());
                }
            }
            rest.is_used_up()?;
            decoded.end();
        }
        Ok(())
    }

    /// What is in listed templates, in those that are kept, and in holes; what cannot be there is not opened.
    pub(super) fn sieve(&mut self, sought: &Sought<'_>) -> Result<Sieve> {
        let Self { opened, holes, kept, count, pages, source, keeper, letters, .. } = self;
        let mut sieve = opened.lexicon.sieve(sought);
        let mut inner = Inner::default();
        if !kept.is_blank() {
            let of_kept = kept.open(*count, pages, *source, *keeper)?.sieve_of(sought)?;
            sieve.possible |= of_kept.possible;
            inner.kept = Some(of_kept);
        }
        if !holes.is_blank() && (sought.may)(*letters) & sought.all != 0 {
            let of_holes = holes.open(*count, pages, *source, *keeper)?.sieve_of(sought)?;
            sieve.possible |= of_holes.possible;
            inner.holes = Some(of_holes);
        }
        sieve.inner = Some(Box::new(inner));
        Ok(sieve)
    }

    /// What of `left` is in no word of a text, whose codes were loaded.
    pub(super) fn lacking(&mut self, sieve: &Sieve, sought: &Sought<'_>, mut left: u8, index: usize) -> Result<u8> {
        if left & sieve.listed_have != 0 {
            left = self.opened.lacking(sieve, left, index, self.codes.get(index));
        }
        let Some(inner) = &sieve.inner else { return Ok(left) };
        left = self.kept.lacking(&inner.kept, sought, left, index)?;
        self.holes.lacking(&inner.holes, sought, left, index)
    }
}

/// What is left of a text's holes and kept templates.
struct Rest<'t> {
    holes: Option<&'t [u8]>,
    kept: &'t [u8],
}

impl<'t> Rest<'t> {
    /// Appends the next of the kept templates.
    fn line(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let end = memchr::memchr(b'\n', self.kept).map_or(self.kept.len(), |at| at + 1);
        if end == 0 {
            return Err(damaged());
        }
        let (line, rest) = self.kept.split_at(end);
        self.kept = rest;
        self.fill(std::str::from_utf8(line).map_err(|_| damaged())?, out)
    }

    /// Appends a template, its holes filled with the next words.
    fn fill(&mut self, template: &str, out: &mut Vec<u8>) -> Result<()> {
        for (i, piece) in template.split(HOLE).enumerate() {
            if i > 0 {
                let holes = self.holes.ok_or_else(damaged)?;
                let end = memchr::memchr(b' ', holes);
                let (word, rest) = holes.split_at(end.unwrap_or(holes.len()));
                out.extend_from_slice(word);
                self.holes = end.and(rest.get(1..));
            }
            out.extend_from_slice(piece.as_bytes());
        }
        Ok(())
    }

    fn is_used_up(&self) -> Result<()> {
        if self.holes.is_some_and(|rest| !rest.is_empty()) || !self.kept.is_empty() { Err(damaged()) } else { Ok(()) }
    }
}
