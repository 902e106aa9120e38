//! Names of fields in pipes and functions, with and without a trailing `*`, alone and in lists.
//!
//! Invariants
//! * A name that is read here has at most [`NAME_BYTES_MAX`] bytes, and the empty one is the message.
//! * Lists of names are bounded (`has_room`).
use super::Parser;
use crate::query::fault::{Fault, Parsed};

/// The name of a field, or what stands before one.
pub(crate) const NAME_BYTES_MAX: usize = 1_024;

/// The message has two names.
pub(crate) fn canonical(name: String) -> String {
    if name.is_empty() { "_msg".into() } else { name }
}

impl Parser<'_> {
    /// A name, or a prefix and `*`.
    pub(crate) fn field_pattern(&mut self) -> Parsed<String> {
        let at = self.at();
        let name = self.word("the name of a field")?;
        if name.len() > NAME_BYTES_MAX {
            return Err(Fault::new(at.0, format!("the name of a field is longer than {NAME_BYTES_MAX} bytes")));
        }
        Ok(canonical(name))
    }

    /// A name that ends at one of some tokens, and may be none.
    pub(crate) fn name_until(&mut self, ends: &[&str]) -> Parsed<String> {
        let at = self.at();
        let name = self.word_until(ends, "the name of a field")?;
        if name.len() > NAME_BYTES_MAX {
            return Err(Fault::new(at.0, format!("the name of a field is longer than {NAME_BYTES_MAX} bytes")));
        }
        Ok(canonical(name))
    }

    /// What stands before names.
    pub(crate) fn name_prefix(&mut self, what: &str) -> Parsed<String> {
        let at = self.at();
        let prefix = self.word(what)?;
        if prefix.len() > NAME_BYTES_MAX {
            return Err(Fault::new(at.0, format!("{what} is longer than {NAME_BYTES_MAX} bytes")));
        }
        Ok(prefix)
    }

    /// A name.
    pub(crate) fn field_name(&mut self) -> Parsed<String> {
        let at = self.at();
        let name = self.field_pattern()?;
        if name.ends_with('*') {
            return Err(Fault::new(at.0, format!("the name of a field cannot end with '*' here: '{name}'")));
        }
        Ok(name)
    }

    /// A name, alone or in parentheses.
    pub(crate) fn field_name_in_optional_parens(&mut self) -> Parsed<String> {
        let parens = self.takes("(");
        let name = self.field_name()?;
        if parens {
            self.expect(")")?;
        }
        Ok(name)
    }

    /// `(a, b*, ...)`; a comma may stand last.
    pub(crate) fn field_patterns_in_parens(&mut self) -> Parsed<Vec<String>> {
        self.few_in_parens(|parser| parser.field_pattern())
    }

    /// `(a, b, ...)`.
    pub(crate) fn field_names_in_parens(&mut self) -> Parsed<Vec<String>> {
        self.few_in_parens(|parser| parser.field_name())
    }

    /// The same, of which there may not be many.
    pub(crate) fn few_in_parens<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut len = 0;
        self.in_parens(|parser| {
            parser.has_room(len)?;
            len += 1;
            item(parser)
        })
    }

    /// Items in parentheses, parted by commas.
    pub(crate) fn in_parens<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.expect("(")?;
        let mut items = Vec::new();
        while !self.takes(")") {
            items.push(item(self)?);
            if !self.is_any(&[",", ")"]) {
                return Err(self.unexpected("',' or ')'"));
            }
            self.takes(",");
        }
        Ok(items)
    }

    /// `a, b*, ...`.
    pub(crate) fn field_patterns(&mut self) -> Parsed<Vec<String>> {
        let mut names = vec![self.field_pattern()?];
        while self.takes(",") {
            self.has_room(names.len())?;
            names.push(self.field_pattern()?);
        }
        Ok(names)
    }

    /// `a, b, ...`.
    pub(crate) fn field_names(&mut self) -> Parsed<Vec<String>> {
        let mut names = vec![self.field_name()?];
        while self.takes(",") {
            self.has_room(names.len())?;
            names.push(self.field_name()?);
        }
        Ok(names)
    }

    /// `[as] name`; the message where nothing is said.
    pub(crate) fn result_or_message(&mut self) -> Parsed<String> {
        self.takes("as");
        if self.ends_pipe() { Ok("_msg".into()) } else { self.field_name() }
    }

    /// `[as] name` for one of several results, or what it is called where nothing is said.
    pub(crate) fn result_or(&mut self, otherwise: impl FnOnce() -> String) -> Parsed<String> {
        if self.is(",") || self.ends_pipe() {
            return Ok(otherwise());
        }
        self.takes("as");
        self.field_name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse;

    #[test]
    fn names_are_bounded_wherever_they_stand() {
        let of = |bytes: usize| "n".repeat(bytes);
        for query in [
            "* | stats by (NAME) count()",
            "* | stats by (NAME:5m) count()",
            "* | stats by (a) count() as NAME",
            "* | top by (NAME)",
            "* | top by (a) hits as NAME",
            "* | top by (a) rank as NAME",
            "a:eq_field(NAME)",
            "a:lt_field(NAME)",
            "NAME:a",
            "* | copy a as NAME",
        ] {
            parse(&query.replace("NAME", &of(NAME_BYTES_MAX))).unwrap_or_else(|fault| panic!("{query}: {fault}"));
            let fault = parse(&query.replace("NAME", &of(NAME_BYTES_MAX + 1))).expect_err(query);
            assert!(fault.reason().contains("longer than 1024 bytes"), "{query}: {fault}");
        }
    }
}
