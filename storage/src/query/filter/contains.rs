//! `contains_all(...)` and `contains_any(...)`: words and phrases, of which a text has all or any.
//!
//! Invariants
//! * The empty phrase is in every text.
use super::phrase::Needle;
use super::word_set::WordSet;

/// Phrases up to which each is looked for by itself where any of them is wanted.
pub(crate) const FEW: usize = 8;

/// The phrases, made ready.
#[derive(Clone, Debug)]
pub(crate) struct Phrases {
    needles: Vec<Needle>,
    has_empty: bool,
    /// All of them, where they are many and can be looked up.
    set: Option<WordSet>,
}

impl Phrases {
    pub(crate) fn new<'a>(phrases: impl IntoIterator<Item = &'a str>) -> Self {
        let needles: Vec<Needle> = phrases.into_iter().map(|phrase| Needle::phrase(phrase, false)).collect();
        let has_empty = needles.iter().any(Needle::is_empty);
        Self { needles: needles.into_iter().filter(|needle| !needle.is_empty()).collect(), has_empty, set: None }
    }

    /// The same, of which any is wanted.
    pub(crate) fn of_any(self) -> Self {
        let is_set = self.needles.len() > FEW && self.needles.iter().all(WordSet::takes);
        Self { set: is_set.then(|| WordSet::new(self.needles.clone())), ..self }
    }

    /// All that are not empty, where they are many and can be looked up.
    pub(crate) fn set(&self) -> Option<&WordSet> {
        self.set.as_ref()
    }

    /// The phrases that are not empty.
    pub(crate) fn needles(&self) -> &[Needle] {
        &self.needles
    }

    /// Whether the empty one, which is in every text, is among them.
    pub(crate) fn has_empty(&self) -> bool {
        self.has_empty
    }

    /// Whether a text has all of them.
    pub(crate) fn all_in(&self, text: &str) -> bool {
        self.needles.iter().all(|needle| needle.is_in(text))
    }

    /// Whether a text has any of them.
    pub(crate) fn any_in(&self, text: &str) -> bool {
        self.has_empty
            || match &self.set {
                Some(set) => set.is_in(text),
                None => self.needles.iter().any(|needle| needle.is_in(text)),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_phrases_are_everywhere() {
        let both = Phrases::new(["foo", "b c"]);
        assert!(both.all_in("foo b c") && !both.all_in("foo") && both.any_in("foo") && !both.any_in("foob"));
        assert!(Phrases::new([]).all_in("x") && !Phrases::new([]).any_in("x"));
        let many: Vec<String> = (0..2 * FEW).map(|n| format!("w{n} x")).collect();
        let many = Phrases::new(many.iter().map(String::as_str).chain(["c"])).of_any();
        assert!(many.set().is_some() && many.any_in("a w7 x") && many.any_in("c") && !many.any_in("w7 xy w7"));
        assert!(Phrases::new([""]).all_in("x") && Phrases::new([""]).any_in("") && Phrases::new(["", "a"]).any_in("x"));
    }
}
