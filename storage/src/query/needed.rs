//! Which fields pipes look at, so that nothing else is read.
//!
//! Invariants
//! * Never too few: where patterns overlap in ways that cannot be told apart, more is needed.
use std::fmt;

/// Names that are told apart; of more, all are needed.
const NAMES_MAX: usize = 1_024;

/// Whether a name fits a name or a prefix and `*`.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// Whether a name fits any of these.
pub(crate) fn fits_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| fits(pattern, name))
}

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    some: Vec<String>,
    but: Vec<String>,
}

impl Needed {
    /// Every field.
    pub fn all() -> Self {
        Self { some: vec!["*".into()], but: Vec::new() }
    }

    /// No field.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether a field is needed.
    pub fn has(&self, name: &str) -> bool {
        fits_any(&self.some, name) && !fits_any(&self.but, name)
    }

    /// Whether a field is needed by its own name, and not only with others.
    pub(crate) fn names_it(&self, name: &str) -> bool {
        self.some.iter().any(|some| some == name) && self.has(name)
    }

    /// The fields by name, where they are so few that they can be named.
    pub fn names(&self) -> Option<&[String]> {
        let named = self.but.is_empty() && !self.some.iter().any(|pattern| pattern.ends_with('*'));
        named.then_some(&self.some)
    }

    /// Whether a field that fits a pattern may be needed.
    pub(crate) fn may_have(&self, pattern: &str) -> bool {
        match pattern.strip_suffix('*') {
            None => self.has(pattern),
            Some(prefix) => self.some.iter().any(|some| match some.strip_suffix('*') {
                Some(known) => known.starts_with(prefix) || prefix.starts_with(known),
                None => some.starts_with(prefix),
            }),
        }
    }

    /// Adds a name or a prefix and `*`.
    pub(crate) fn add(&mut self, pattern: &str) {
        let overlaps = |but: &String| match (pattern.strip_suffix('*'), but.strip_suffix('*')) {
            (None, _) => fits(but, pattern),
            (Some(prefix), None) => but.starts_with(prefix),
            (Some(a), Some(b)) => a.starts_with(b) || b.starts_with(a),
        };
        self.but.retain(|but| !overlaps(but));
        if self.some.iter().any(|some| some == pattern || (some.ends_with('*') && fits(some, pattern))) {
            return;
        }
        if self.some.len() >= NAMES_MAX {
            *self = Self::all();
            return;
        }
        self.some.push(pattern.into());
    }

    /// Adds names.
    pub(crate) fn add_all<S: AsRef<str>>(&mut self, patterns: impl IntoIterator<Item = S>) {
        patterns.into_iter().for_each(|pattern| self.add(pattern.as_ref()));
    }

    /// Takes a name or a prefix and `*` out: a pipe sets or drops these fields.
    pub(crate) fn remove(&mut self, pattern: &str) {
        self.some.retain(|some| !fits(pattern, some));
        if self.some.iter().any(|some| some.ends_with('*')) && self.but.len() < NAMES_MAX {
            self.but.push(pattern.into());
        }
    }
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.some.is_empty() { "none" } else { "" })?;
        f.write_str(&self.some.join(", "))?;
        if self.but.is_empty() { Ok(()) } else { write!(f, " but {}", self.but.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_added_and_removed() {
        let mut needed = Needed::all();
        needed.remove("a*");
        assert!(!needed.has("ab") && needed.has("b"));
        needed.add("ab");
        assert!(needed.has("ab") && needed.has("ac"), "more is never wrong");
        let mut few = Needed::none();
        few.add_all(["x", "y*", "yz"]);
        assert!(few.has("x") && few.has("yz") && !few.has("z") && few.names().is_none());
        few.remove("y*");
        assert_eq!(few.names().unwrap(), ["x"]);
        few.remove("x");
        assert!(few.names().unwrap().is_empty());
        assert!(Needed::all().may_have("q*") && !Needed::none().may_have("q*"));
    }
}
