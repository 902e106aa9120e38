//! What a regular expression says of all texts of a shape, and which text every match has.
//!
//! A shape's literal text is gone through byte by byte; a variable takes the expression to all states that some word could
//! take it to. Where every state at the end is a match, every text matches; where none is, none does.
//!
//! Invariants
//! * A verdict of yes or no is right for every text of the shape: more words are taken for variables than there are.
//! * Work and memory are bounded; where they do not suffice, texts are looked at.
use super::regexp::Regex;
use crate::scan::filter::Verdict;
use crate::text::shape::Shape;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::{Input, nfa::thompson};
use regex_syntax::hir::{Hir, HirKind};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::{Mutex, PoisonError};

/// What the states of an expression may take.
const STATES_BYTES_MAX: usize = 512 << 10;
/// What the compiled expression may take.
const NFA_BYTES_MAX: usize = 256 << 10;
/// States that are followed side by side.
const STATES_MAX: usize = 256;

/// An expression that is asked about shapes.
pub(crate) struct Automaton {
    dfa: DFA,
    known: Mutex<Known>,
    needed: Needed,
}

/// States that were worked out.
struct Known {
    cache: Cache,
    /// Where a word takes a state; nothing where it takes it to too many.
    after_word: FxHashMap<LazyStateID, Option<Vec<LazyStateID>>>,
    is_full: bool,
}

/// A text that every match has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needed {
    /// The longest that is known.
    pub(crate) text: String,
    /// Whether every text that has it matches.
    pub(crate) is_all: bool,
}

/// What every match of an expression has.
pub(crate) fn needed(regex: &Regex) -> Needed {
    regex_syntax::parse(regex.as_str()).map_or_else(|_| Needed::default(), |hir| of_hir(&hir))
}

fn of_hir(hir: &Hir) -> Needed {
    let none = Needed::default;
    match hir.kind() {
        HirKind::Empty => Needed { text: String::new(), is_all: true },
        HirKind::Literal(literal) => {
            std::str::from_utf8(&literal.0).map_or_else(|_| none(), |text| Needed { text: text.into(), is_all: true })
        }
        HirKind::Capture(capture) => of_hir(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => Needed { is_all: false, ..of_hir(&repetition.sub) },
        // Of nothing it matches too.
        HirKind::Repetition(_) => Needed { text: String::new(), is_all: true },
        HirKind::Concat(parts) => of_parts(parts),
        HirKind::Class(_) | HirKind::Look(_) | HirKind::Alternation(_) => none(),
    }
}

fn of_parts(parts: &[Hir]) -> Needed {
    // What may be nothing at either end says nothing.
    let may_be_nothing = |part: &&Hir| matches!(part.kind(), HirKind::Repetition(r) if r.min == 0);
    let from = parts.iter().take_while(may_be_nothing).count();
    let to = parts.len() - parts.iter().skip(from).rev().take_while(may_be_nothing).count();
    let parts = parts.get(from..to).unwrap_or_default();
    if let [only] = parts {
        return of_hir(only);
    }
    let (mut best, mut run) = (String::new(), String::new());
    for part in parts {
        let of_part = of_hir(part);
        let is_text = matches!(part.kind(), HirKind::Literal(_));
        if is_text {
            run.push_str(&of_part.text);
        }
        let longest = if is_text { &run } else { &of_part.text };
        if longest.len() > best.len() {
            best.clone_from(longest);
        }
        if !is_text {
            run.clear();
        }
    }
    Needed { text: best, is_all: parts.is_empty() }
}

impl Automaton {
    /// Of an expression, where it is not too large.
    pub(crate) fn new(regex: &Regex) -> Option<Self> {
        let config = Config::new().cache_capacity(STATES_BYTES_MAX).minimum_cache_clear_count(Some(0));
        let nfa = thompson::Config::new().nfa_size_limit(Some(NFA_BYTES_MAX));
        let dfa = DFA::builder().configure(config).thompson(nfa).build(regex.as_str()).ok()?;
        let cache = dfa.create_cache();
        let known = Known { cache, after_word: FxHashMap::default(), is_full: false };
        Some(Self { dfa, known: Mutex::new(known), needed: needed(regex) })
    }

    /// A text that every text has that matches.
    pub(crate) fn needed(&self) -> &Needed {
        &self.needed
    }

    /// What the texts of a shape have in common.
    pub(crate) fn verdict(&self, shape: Shape<'_>) -> Verdict {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_full {
            return Verdict::Look;
        }
        match self.follow(shape, &mut known) {
            Some(verdict) => verdict,
            None => {
                // Only one that has no room for more states would fail again and again.
                known.is_full = known.cache.memory_usage() > STATES_BYTES_MAX / 2;
                Verdict::Look
            }
        }
    }

    /// Nothing where there are too many states.
    fn follow(&self, shape: Shape<'_>, known: &mut Known) -> Option<Verdict> {
        let start = self.dfa.start_state_forward(&mut known.cache, &Input::new("")).ok()?;
        let mut states = vec![start];
        // Whether some texts match already, whatever follows.
        let mut some_match = false;
        for (i, piece) in shape.pieces().enumerate() {
            if i > 0 {
                states = self.after_word(&states, known)?;
                some_match |= take_matches(&mut states);
            }
            for byte in piece.bytes() {
                if states.is_empty() {
                    break;
                }
                for state in &mut states {
                    *state = self.dfa.next_state(&mut known.cache, *state, byte).ok()?;
                }
                some_match |= take_matches(&mut states);
            }
            states.sort_unstable();
            states.dedup();
        }
        let mut some_fail = false;
        for state in states {
            let end = self.dfa.next_eoi_state(&mut known.cache, state).ok()?;
            if end.is_match() {
                some_match = true;
            } else if end.is_quit() {
                return None;
            } else {
                some_fail = true;
            }
        }
        Some(match (some_match, some_fail) {
            (true, false) => Verdict::Yes,
            (false, true) => Verdict::No,
            _ => Verdict::Look,
        })
    }

    /// The states that a word takes any of these to.
    fn after_word(&self, states: &[LazyStateID], known: &mut Known) -> Option<Vec<LazyStateID>> {
        let mut all = FxHashSet::default();
        for state in states {
            if !known.after_word.contains_key(state) {
                let found = self.after_any_word(*state, &mut known.cache);
                known.after_word.insert(*state, found);
            }
            all.extend(known.after_word.get(state)?.as_ref()?.iter().copied());
        }
        (all.len() <= STATES_MAX).then(|| all.into_iter().collect())
    }

    fn after_any_word(&self, start: LazyStateID, cache: &mut Cache) -> Option<Vec<LazyStateID>> {
        let (mut found, mut left) = (FxHashSet::default(), vec![(start, Utf8::Start)]);
        while let Some((state, within)) = left.pop() {
            let mut seen = FxHashSet::default();
            for (byte, then) in (0..=u8::MAX).filter_map(|byte| Some((byte, within.then(byte)?))) {
                // Bytes of one class are all the same to the expression.
                if !seen.insert((self.dfa.byte_classes().get(byte), then)) {
                    continue;
                }
                let next = self.dfa.next_state(cache, state, byte).ok()?;
                if found.insert((next, then)) {
                    if found.len() > STATES_MAX {
                        return None;
                    }
                    // Beyond a match nothing matters.
                    if !next.is_match() {
                        left.push((next, then));
                    }
                }
            }
        }
        let ends = found.into_iter().filter(|(state, within)| state.is_match() || *within == Utf8::Start);
        Some(ends.map(|(state, _)| state).collect())
    }
}

/// Where in a character of a word a byte stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Utf8 {
    /// Before one.
    Start,
    /// Before its last byte, its last two, its last three.
    One,
    Two,
    Three,
    /// After a first byte that not all bytes may follow.
    AfterE0,
    AfterEd,
    AfterF0,
    AfterF4,
}

impl Utf8 {
    /// Where the next byte stands; nothing where no word has this one here.
    fn then(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Start, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_') => Some(Self::Start),
            (Self::Start, 0xC2..=0xDF) => Some(Self::One),
            (Self::Start, 0xE0) => Some(Self::AfterE0),
            (Self::Start, 0xED) => Some(Self::AfterEd),
            (Self::Start, 0xE1..=0xEF) => Some(Self::Two),
            (Self::Start, 0xF0) => Some(Self::AfterF0),
            (Self::Start, 0xF1..=0xF3) => Some(Self::Three),
            (Self::Start, 0xF4) => Some(Self::AfterF4),
            (Self::AfterF0, 0x90..=0xBF) | (Self::Three, 0x80..=0xBF) | (Self::AfterF4, 0x80..=0x8F) => Some(Self::Two),
            (Self::One, 0x80..=0xBF) => Some(Self::Start),
            (Self::Two, 0x80..=0xBF) | (Self::AfterE0, 0xA0..=0xBF) | (Self::AfterEd, 0x80..=0x9F) => Some(Self::One),
            _ => None,
        }
    }
}

/// Takes the states out that are a match, and says whether there were any.
fn take_matches(states: &mut Vec<LazyStateID>) -> bool {
    let before = states.len();
    states.retain(|state| !state.is_match());
    states.len() < before
}

#[cfg(test)]
mod tests {
    use super::super::regexp::compile;
    use super::*;
    use crate::text::shape::Split;
    use proptest::prelude::*;

    fn verdict(expression: &str, text: &str) -> Verdict {
        let mut split = Split::default();
        assert!(split.split(text));
        Automaton::new(&compile(expression).unwrap()).unwrap().verdict(Shape::parse(&split.key).unwrap())
    }

    #[test]
    fn shapes_say_what_all_their_texts_have_in_common() {
        let text = "from 10.0.0.7 port 22 rhost=h9.x  user=root";
        for (expression, wanted) in [
            ("rhost=[^ ]+ .*user=(root|admin)", Verdict::Yes),
            ("rhost=[^ ]+ .*user=(toor|admin)", Verdict::No),
            (r"port \d+", Verdict::Look),
            (r"port \w+ ", Verdict::Look),
            ("port [^ ]+ ", Verdict::Yes),
            ("^from", Verdict::Yes),
            ("^port", Verdict::No),
            ("root$", Verdict::Yes),
            ("7", Verdict::Look),
            (r"\b22\b", Verdict::Look),
            (r"user=\bro", Verdict::Yes),
        ] {
            assert_eq!(verdict(expression, text), wanted, "{expression}");
        }
    }

    #[test]
    fn what_every_match_has_is_known() {
        let of = |expression: &str| needed(&compile(expression).unwrap());
        assert_eq!(of("ail"), Needed { text: "ail".into(), is_all: true });
        assert_eq!(of(".*ail.*"), Needed { text: "ail".into(), is_all: true });
        assert_eq!(of("a|b"), Needed::default());
        assert_eq!(of("(?i)ail"), Needed::default());
        assert_eq!(of("rhost=[^ ]+ .*user=(root|admin)").text, "rhost=");
        assert_eq!(of("x(abc)+y").text, "abc");
        assert!(of("").is_all && of("a*").is_all && !of("^a").is_all && !of("a+").is_all);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn no_verdict_is_wrong(
            expression in prop::collection::vec(
                prop_oneof![
                    "[ab12 .=é]{1,3}",
                    Just(r"\d+".to_string()),
                    Just(r"\w*".to_string()),
                    Just(".*".to_string()),
                    Just("(a|b1)".to_string()),
                    Just("[^ ]+".to_string()),
                    Just(r"\b".to_string()),
                    Just("^".to_string()),
                    Just("$".to_string()),
                ],
                1..5,
            ),
            text in "([a-b]{1,2}|[ab12é]{1,3}|[ .=é²]){0,8}",
        ) {
            let mut split = Split::default();
            let Ok(regex) = compile(&expression.concat()) else { return Ok(()) };
            if !split.split(&text) {
                return Ok(());
            }
            let is_match = regex.is_match(&text);
            match Automaton::new(&regex).unwrap().verdict(Shape::parse(&split.key).unwrap()) {
                Verdict::Look => {}
                verdict => prop_assert_eq!(verdict == Verdict::Yes, is_match, "{:?} of {:?}", expression, text),
            }
            let needed = needed(&regex);
            prop_assert!(!is_match || text.contains(&needed.text));
            prop_assert!(is_match || !needed.is_all || !text.contains(&needed.text));
        }
    }
}
