//! How a piece of text can lie in the texts of a shape: which of its words would have to lie in which slots.
//!
//! The needle is run along pieces and slots as a machine whose states are how much of it has matched and what it put into
//! slots on the way; each state has one way on through each place, since a variable ends where its word ends.
//!
//! Invariants
//! * A text of the shape has the needle exactly where all that one of the ways says of its slots is so.
use super::needle::Needle;
use crate::text::shape::Shape;
use crate::text::words::is_word;

/// A part of the needle that has to lie in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) slot: usize,
    /// Which bytes of the needle.
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Whether the variable begins with it.
    pub(crate) starts: bool,
    /// Whether the variable ends with it.
    pub(crate) ends: bool,
}

/// The ways in which a needle can lie in the texts of a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ways {
    /// It is in all of them.
    All,
    /// Each of these is one; where there is none, no text has it.
    Some(Vec<Vec<Hold>>),
}

/// How a needle, which is not empty, can lie in the texts of a shape that are not kept whole.
pub(crate) fn ways(needle: &Needle<'_>, shape: Shape<'_>) -> Ways {
    let mut run = Run { needle: *needle, states: Vec::new(), next: Vec::new(), found: Vec::new() };
    for (i, piece) in shape.pieces().enumerate() {
        if let Some(slot) = i.checked_sub(1) {
            run.slot(slot);
        }
        let piece = needle.fold(piece);
        if !piece.is_empty() && run.text(&piece) {
            return Ways::All;
        }
    }
    Ways::Some(run.found)
}

/// A needle on its way: how much of it has matched up to here, and what of it lies in slots.
struct Run<'a> {
    needle: Needle<'a>,
    states: Vec<(usize, Vec<Hold>)>,
    next: Vec<(usize, Vec<Hold>)>,
    found: Vec<Vec<Hold>>,
}

impl Run<'_> {
    /// Literal text; whether it has the whole needle.
    fn text(&mut self, text: &str) -> bool {
        let (needle, wanted) = (self.needle, self.needle.text());
        if needle.find(text, true, true) {
            return true;
        }
        for (at, holds) in self.states.drain(..) {
            let rest = wanted.get(at..).unwrap_or_default();
            if text.starts_with(rest) {
                if needle.may_end(text, rest.len(), true) {
                    self.found.push(holds);
                }
            } else if rest.starts_with(text) {
                self.next.push((at + text.len(), holds));
            }
        }
        // Where the text ends with what the needle begins with.
        let first = wanted.as_bytes().first().copied().unwrap_or(0);
        let from = (text.len() + 1).saturating_sub(wanted.len());
        for found in memchr::memchr_iter(first, text.as_bytes().get(from..).unwrap_or_default()) {
            let tail = text.get(from + found..).unwrap_or_default();
            if !tail.is_empty() && wanted.starts_with(tail) && needle.may_start(text, from + found, true) {
                self.next.push((tail.len(), Vec::new()));
            }
        }
        std::mem::swap(&mut self.states, &mut self.next);
        false
    }

    /// A variable: a word with an ASCII digit.
    fn slot(&mut self, slot: usize) {
        let (closed_start, closed_end) = self.needle.closed_ends();
        let mut states = std::mem::take(&mut self.states);
        // The needle begins with the variable, or inside it.
        states.push((0, Vec::new()));
        for (at, mut holds) in states {
            let rest = self.needle.text().get(at..).unwrap_or_default();
            let run = rest.char_indices().find(|(_, c)| !is_word(*c)).map_or(rest.len(), |(end, _)| end);
            let starts = at > 0 || closed_start;
            let ends = run < rest.len() || closed_end;
            let word = rest.get(..run).unwrap_or_default();
            if run == 0 || starts && ends && !word.bytes().any(|byte| byte.is_ascii_digit()) {
                continue;
            }
            holds.push(Hold { slot, from: at, to: at + run, starts, ends });
            if run < rest.len() {
                self.next.push((at + run, holds));
            } else {
                self.found.push(holds);
            }
        }
        std::mem::swap(&mut self.states, &mut self.next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::shape::Split;
    use proptest::prelude::*;

    fn split(text: &str) -> Split {
        let mut split = Split::default();
        assert!(split.split(text));
        split
    }

    fn lies_in(needle: &Needle<'_>, text: &str) -> bool {
        let split = split(text);
        let variables: Vec<String> =
            split.spans.iter().map(|(a, b)| needle.fold(&text[*a as usize..*b as usize]).into_owned()).collect();
        let holds = |hold: &Hold| {
            let (word, wanted) = (&variables[hold.slot], &needle.text()[hold.from..hold.to]);
            match (hold.starts, hold.ends) {
                (true, true) => word == wanted,
                (true, false) => word.starts_with(wanted),
                (false, true) => word.ends_with(wanted),
                (false, false) => word.contains(wanted),
            }
        };
        match ways(needle, Shape::parse(&split.key).unwrap()) {
            Ways::All => true,
            Ways::Some(ways) => ways.iter().any(|way| way.iter().all(holds)),
        }
    }

    #[test]
    fn words_are_put_into_slots() {
        let split = split("took 5 ms of 7");
        let shape = Shape::parse(&split.key).unwrap();
        let hold = |slot, from, to, starts, ends| Hold { slot, from, to, starts, ends };
        let of = |needle: Needle<'_>| ways(&needle, shape);
        assert_eq!(of(Needle::open("ook")), Ways::All);
        assert_eq!(of(Needle::closed("ook", false)), Ways::Some(Vec::new()));
        assert_eq!(of(Needle::closed("took 12 ms", false)), Ways::Some(vec![vec![hold(0, 5, 7, true, true)]]));
        assert_eq!(
            of(Needle::open("1 ms of 2")),
            Ways::Some(vec![vec![hold(0, 0, 1, false, true), hold(1, 8, 9, true, false)]])
        );
        assert_eq!(of(Needle::closed("of x", false)), Ways::Some(Vec::new()));
        assert_eq!(of(Needle::open("of x")), Ways::Some(vec![vec![hold(1, 3, 4, true, false)]]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn ways_are_what_texts_say(
            text in "([a-c]{1,2}|[a-cA1-2]{1,3}|[ .:é→²]|1 1 ){0,9}",
            cut in any::<Option<(prop::sample::Index, prop::sample::Index)>>(),
            other in "([a-c1-2A]{1,3}|[ .:é→]){1,4}",
            any_case in any::<bool>(),
        ) {
            let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let wanted = cut.map_or(other.as_str(), |(a, b)| {
                let (a, b) = (bounds[a.index(bounds.len())], bounds[b.index(bounds.len())]);
                &text[a.min(b)..a.max(b)]
            });
            prop_assume!(!wanted.is_empty());
            let folded = Needle::closed("", any_case).fold(wanted).into_owned();
            let closed = Needle::closed(&folded, any_case);
            for needle in [Needle::open(wanted), closed, closed.with_open_end()] {
                prop_assert_eq!(lies_in(&needle, &text), needle.is_in(&text), "{:?} in {:?}", needle, text);
            }
        }
    }
}
