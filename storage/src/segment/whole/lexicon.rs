//! Whole texts of a lane as codes for their words: each word that occurs often is kept once, in a list of the lane.
//!
//! A text is cut into tokens: its words, and the runs of other characters between them. A single space between two words
//! goes without saying. Tokens that occur often are listed, those that occur most first; all others are spelled out in a
//! stream beside the codes, which it shares the order of.
//!
//! | code | token |
//! |---|---|
//! | a byte below `singles` | the listed one of that number |
//! | a byte from there to 254, and another | the listed one of number `singles + (first - singles) * 256 + second` |
//! | 255 | the next one that is spelled |
//!
//! With `n` listed tokens `singles` is 255 less `(n - 255) / 255`, rounded up: as many tokens as can have short codes.
//! In both streams of text a token ends with byte 255, which UTF-8 never has.
//!
//! Invariants
//! * Decoding gives the bytes that were coded, always; what it gives is UTF-8, whatever the streams hold.
//! * The same texts give the same bytes: ties are broken by what came first.
use super::sieve::{Sieve, Sought};
use crate::error::{Error, Result};
use crate::text::words;
use rustc_hash::FxHashMap;
use std::cmp::Reverse;

/// Ends a token in a stream of text, and stands for a spelled one among codes.
pub(super) const END: u8 = 255;
/// Listed tokens: more have no codes of two bytes.
const LISTED_MAX: usize = 255 * 256;
/// How often a token occurs at least that is worth a place in the list.
const OCCURRENCES_MIN: u32 = 3;
/// Longer tokens are spelled, so that a code of a byte never stands for much text.
const LISTED_BYTES_MAX: usize = 255;
/// Text from which tokens are learned. What comes after it is coded with what was learned.
const LEARNED_BYTES_MAX: usize = 8 << 20;

/// How many tokens have codes of one byte.
fn singles(listed: usize) -> usize {
    255 - listed.saturating_sub(255).div_ceil(255)
}

/// Calls `found` with each token of a text, from left to right.
fn tokens<'a>(text: &'a str, mut found: impl FnMut(&'a str)) {
    let (bytes, mut start, mut after_word) = (text.as_bytes(), 0, false);
    while let Some((is_word, len, _)) = words::step(text, bytes, start) {
        let mut end = start + len;
        while let Some((same, len, _)) = words::step(text, bytes, end)
            && same == is_word
        {
            end += len;
        }
        let token = text.get(start..end).unwrap_or_default();
        if is_word || !after_word || token != " " || end == bytes.len() {
            found(token);
        }
        (start, after_word) = (end, is_word);
    }
}

/// Whether a token is a word, by how it begins.
fn is_word(token: &str) -> bool {
    words::step(token, token.as_bytes(), 0).is_some_and(|(is_word, ..)| is_word)
}

/// Texts as codes.
#[derive(Default)]
pub(super) struct Coded {
    /// The listed tokens.
    pub(super) listed: Vec<u8>,
    /// The codes of all texts, and how many bytes of them each text has.
    pub(super) codes: Vec<u8>,
    pub(super) code_lengths: Vec<usize>,
    /// The tokens that are spelled, and how many bytes of them each text has.
    pub(super) spelled: Vec<u8>,
    pub(super) spelled_lengths: Vec<usize>,
}

/// Codes texts.
pub(super) fn encode(texts: &[&str]) -> Coded {
    let mut learned = Learned::default();
    let mut bytes = 0;
    let head = texts.iter().take_while(|text| {
        let fits = bytes < LEARNED_BYTES_MAX;
        bytes += text.len();
        fits
    });
    let head = head.map(|text| learned.learn(text)).count();
    let mut coded = Coded::default();
    learned.choose(OCCURRENCES_MIN, &mut coded.listed);
    let mut from = 0;
    for to in &learned.ends {
        coded.text(|coded| {
            for number in learned.order.get(from..*to).unwrap_or_default() {
                if let Some(token) = learned.tokens.get(*number as usize) {
                    coded.token(token.text, token.code);
                }
            }
        });
        from = *to;
    }
    for text in texts.get(head..).unwrap_or_default() {
        coded.text(|coded| {
            tokens(text, |token| {
                coded.token(token, learned.code(token));
            });
        });
    }
    coded
}

impl Coded {
    pub(super) fn text(&mut self, put: impl FnOnce(&mut Self)) {
        let (codes, spelled) = (self.codes.len(), self.spelled.len());
        put(self);
        self.code_lengths.push(self.codes.len() - codes);
        self.spelled_lengths.push(self.spelled.len() - spelled);
    }

    #[inline]
    fn token(&mut self, text: &str, code: Code) {
        self.codes.extend_from_slice(code.bytes());
        if code.is_spelled() {
            self.spelled.extend_from_slice(text.as_bytes());
            self.spelled.push(END);
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Code {
    Spelled,
    One([u8; 1]),
    Two([u8; 2]),
}

impl Code {
    pub(super) fn is_spelled(self) -> bool {
        matches!(self, Self::Spelled)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Spelled => &[END],
            Self::One(byte) => byte,
            Self::Two(bytes) => bytes,
        }
    }

    fn of(number: usize, singles: usize) -> Self {
        match number.checked_sub(singles) {
            None => Self::One([number as u8]),
            Some(rest) => Self::Two([(singles + rest / 256) as u8, (rest % 256) as u8]),
        }
    }
}

struct Token<'a> {
    text: &'a str,
    count: u32,
    code: Code,
}

/// The tokens of texts, and how often each occurs.
#[derive(Default)]
pub(super) struct Learned<'a> {
    numbers: FxHashMap<&'a str, u32>,
    tokens: Vec<Token<'a>>,
    /// The tokens of all texts, and where each text's end.
    order: Vec<u32>,
    ends: Vec<usize>,
}

impl<'a> Learned<'a> {
    fn learn(&mut self, text: &'a str) {
        tokens(text, |token| self.count(token));
        self.ends.push(self.order.len());
    }

    /// Counts a token.
    pub(super) fn count(&mut self, token: &'a str) {
        let next = self.tokens.len() as u32;
        let number = *self.numbers.entry(token).or_insert(next);
        self.order.push(number);
        match self.tokens.get_mut(number as usize) {
            Some(token) => token.count += 1,
            None => self.tokens.push(Token { text: token, count: 1, code: Code::Spelled }),
        }
    }

    /// The code that was chosen for a token.
    pub(super) fn code(&self, token: &str) -> Code {
        let known = self.numbers.get(token).and_then(|number| self.tokens.get(*number as usize));
        known.map_or(Code::Spelled, |known| known.code)
    }

    /// Gives codes to the tokens that occur most, `least` times and more, and lists them.
    pub(super) fn choose(&mut self, least: u32, listed: &mut Vec<u8>) {
        let often = |token: &&mut Token<'_>| token.count >= least && token.text.len() <= LISTED_BYTES_MAX;
        let mut chosen: Vec<&mut Token<'a>> = self.tokens.iter_mut().filter(often).collect();
        chosen.sort_by_key(|token| Reverse(token.count));
        chosen.truncate(LISTED_MAX);
        let singles = singles(chosen.len());
        let short = singles.min(chosen.len());
        let (short, long) = chosen.split_at_mut(short);
        // Codes with a first byte in common are as likely as each other; by their text they compress better.
        for band in [short].into_iter().chain(long.chunks_mut(256)) {
            band.sort_unstable_by_key(|token| token.text);
        }
        for (number, token) in chosen.into_iter().enumerate() {
            token.code = Code::of(number, singles);
            listed.extend_from_slice(token.text.as_bytes());
            listed.push(END);
        }
    }
}

/// The listed tokens of a lane.
pub(super) struct Lexicon {
    text: String,
    /// Where each token begins and the last ends, and whether it is a word.
    starts: Vec<u32>,
    words: Vec<bool>,
    singles: usize,
}

impl Lexicon {
    pub(super) fn read(mut bytes: Vec<u8>) -> Result<Self> {
        let (mut starts, mut kept, mut from) = (vec![0], 0, 0);
        for at in 0..bytes.len() {
            let byte = bytes.get(at).copied().unwrap_or(END);
            if byte != END {
                if let Some(to) = bytes.get_mut(kept) {
                    *to = byte;
                }
                kept += 1;
                continue;
            }
            if kept == from || kept - from > LISTED_BYTES_MAX || starts.len() > LISTED_MAX {
                return Err(damaged());
            }
            from = kept;
            starts.push(kept as u32);
        }
        if kept != from {
            return Err(damaged());
        }
        bytes.truncate(kept);
        let text = String::from_utf8(bytes).map_err(|_| damaged())?;
        let mut lexicon = Self { text, words: Vec::new(), singles: singles(starts.len() - 1), starts };
        let words: Option<_> = (0..lexicon.len()).map(|number| lexicon.get(number).map(is_word)).collect();
        lexicon.words = words.ok_or_else(damaged)?;
        Ok(lexicon)
    }

    /// Bytes that it takes.
    pub(super) fn memory(&self) -> usize {
        self.text.len() + self.starts.len() * size_of::<u32>() + self.words.len()
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// A listed token; nothing where its ends are inside characters.
    pub(super) fn get(&self, number: usize) -> Option<&str> {
        let (start, end) = (*self.starts.get(number)? as usize, *self.starts.get(number + 1)? as usize);
        self.text.get(start..end)
    }

    /// What each listed token has of what is sought, and all of those whose codes begin with a byte.
    pub(super) fn sieve(&self, sought: &Sought<'_>) -> Sieve {
        let has = |number: usize| self.get(number).map_or(0, sought.has);
        let by_bytes = sought.in_pieces(self.text.as_bytes(), &self.starts, has);
        let listed = by_bytes.unwrap_or_else(|| (0..self.len()).map(has).collect());
        let mut sieve = Sieve { firsts: vec![0; 256], listed, ..Sieve::default() };
        for (number, bits) in sieve.listed.iter().enumerate() {
            let first = number.checked_sub(self.singles).map_or(number, |rest| self.singles + rest / 256);
            if let Some(all) = sieve.firsts.get_mut(first) {
                *all |= bits;
            }
            sieve.listed_have |= bits;
        }
        sieve.possible = sieve.listed_have;
        sieve
    }

    /// What of `left` no listed token of a text has.
    #[inline]
    pub(super) fn lacking(&self, sieve: &Sieve, mut left: u8, codes: &[u8]) -> u8 {
        let mut at = 0;
        while let Some(first) = codes.get(at) {
            let lead = usize::from(*first).checked_sub(self.singles).filter(|_| *first != END);
            let of_first = sieve.firsts.get(usize::from(*first)).copied().unwrap_or(0);
            if of_first & left != 0 {
                let bits = match (lead, codes.get(at + 1)) {
                    (None, _) => of_first,
                    (Some(lead), Some(second)) => {
                        let number = self.singles + lead * 256 + usize::from(*second);
                        sieve.listed.get(number).copied().unwrap_or(0)
                    }
                    (Some(_), None) => 0,
                };
                left &= !bits;
                if left == 0 {
                    break;
                }
            }
            at += 1 + usize::from(lead.is_some());
        }
        left
    }

    /// The number of the token whose code begins with this byte and goes on with those.
    pub(super) fn number(&self, first: u8, codes: &mut std::slice::Iter<'_, u8>) -> Option<usize> {
        if first == END {
            return None;
        }
        let number = usize::from(first);
        match number.checked_sub(self.singles) {
            Some(lead) => Some(self.singles + lead * 256 + usize::from(*codes.next()?)),
            None => Some(number),
        }
    }

    /// The token whose code begins with this byte and goes on with those.
    pub(super) fn next(&self, first: u8, codes: &mut std::slice::Iter<'_, u8>) -> Option<&str> {
        self.number(first, codes).and_then(|number| self.get(number))
    }

    /// Appends a text.
    pub(super) fn decode(&self, codes: &[u8], spelled: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (mut codes, mut spelled, mut after_word) = (codes.iter(), self::spelled(spelled), false);
        while let Some(first) = codes.next() {
            let (text, is_word) = if *first == END {
                let text = spelled.next().ok_or_else(damaged)??;
                (text, is_word(text))
            } else {
                let number = self.number(*first, &mut codes).ok_or_else(damaged)?;
                let text = self.get(number).ok_or_else(damaged)?;
                (text, self.words.get(number).copied().unwrap_or(false))
            };
            if after_word && is_word {
                out.push(b' ');
            }
            out.extend_from_slice(text.as_bytes());
            after_word = is_word;
        }
        if spelled.next().is_some() { Err(damaged()) } else { Ok(()) }
    }
}

/// The tokens that are spelled in a text.
pub(super) fn spelled(mut bytes: &[u8]) -> impl Iterator<Item = Result<&str>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let end = memchr::memchr(END, bytes);
        let (token, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        bytes = rest.get(1..).unwrap_or_default();
        // The last one ends, too.
        Some(if end.is_some() { std::str::from_utf8(token).map_err(|_| damaged()) } else { Err(damaged()) })
    })
}

fn damaged() -> Error {
    Error::corrupt("words of whole texts are damaged")
}
