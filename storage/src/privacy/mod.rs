//! What of a service's records is masked or dropped before anything of them is kept.
//!
//! Invariants
//! * A name stands for the field of that name however deep it lies, and for all that lies in it, whatever the case of its
//!   letters: rather one value too many is masked than one too few.
//! * The number, length and compiled size of what is asked for are bounded, and what cannot be meant is refused.
mod json;

use crate::error::{Error, Result};
use crate::limits::FIELD_NAME_BYTES_MAX;
use crate::text::words::fold_text;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// What stands where something was masked.
pub const MASK: &str = "***";

/// Names in one list.
const NAMES_MAX: usize = 100;
/// Patterns of one service.
const PATTERNS_MAX: usize = 32;
/// A pattern, as written.
const PATTERN_BYTES_MAX: usize = 1_000;
/// A pattern, compiled; and what it may take while it runs.
const PATTERN_COMPILED_BYTES_MAX: usize = 1 << 20;
/// Names that records are found by.
const NEEDED: [&str; 5] = ["service_name", "_time", "_stream", "_id", "_stream_id"];

/// Redactions are told apart by a number, so that what was found out for one is not used for another.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What a service wants masked or dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privacy {
    /// Fields whose values are masked.
    pub mask_fields: Vec<String>,
    /// Fields that are left out.
    pub drop_fields: Vec<String>,
    /// Regular expressions; what they match in any value is masked.
    pub mask_patterns: Vec<String>,
}

impl Privacy {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.mask_fields.is_empty() && self.drop_fields.is_empty() && self.mask_patterns.is_empty()
    }

    /// Refuses what cannot be meant.
    pub fn check(&self) -> Result<()> {
        for (key, names) in [("mask_fields", &self.mask_fields), ("drop_fields", &self.drop_fields)] {
            if names.len() > NAMES_MAX {
                return Err(Error::invalid(format!("{key} has more than {NAMES_MAX} names")));
            }
            for name in names {
                check_name(name).map_err(|why| Error::invalid(format!("{key}: {why}")))?;
            }
        }
        if self.mask_patterns.len() > PATTERNS_MAX {
            return Err(Error::invalid(format!("mask_patterns has more than {PATTERNS_MAX} patterns")));
        }
        self.mask_patterns.iter().try_for_each(|pattern| compile(pattern).map(|_| ()))
    }
}

fn check_name(name: &str) -> std::result::Result<(), String> {
    if name.is_empty() || name.len() > FIELD_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(format!("a field's name has 1 to {FIELD_NAME_BYTES_MAX} bytes and no control characters"));
    }
    if name.split('.').any(str::is_empty) {
        return Err(format!("{name:?} has an empty part"));
    }
    match NEEDED.iter().find(|needed| needed.eq_ignore_ascii_case(name)) {
        Some(needed) => Err(format!("{needed} is what records are found by, and stays as it is")),
        None => Ok(()),
    }
}

fn compile(pattern: &str) -> Result<Regex> {
    let wrong = |why: String| Error::invalid(format!("mask_patterns: {pattern:?} {why}"));
    if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX || pattern.chars().any(char::is_control) {
        let why = format!("has to have 1 to {PATTERN_BYTES_MAX} bytes and no control characters");
        return Err(Error::invalid(format!("mask_patterns: a pattern {why}")));
    }
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(PATTERN_COMPILED_BYTES_MAX).dfa_size_limit(PATTERN_COMPILED_BYTES_MAX);
    let regex = builder.build().map_err(|e| wrong(format!("is no regular expression: {e}")))?;
    if regex.is_match("") {
        return Err(wrong("matches the empty text, which is everywhere".into()));
    }
    Ok(regex)
}

/// What happens to a field because of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its value is looked at.
    #[default]
    Look,
    /// Its value is masked.
    Mask,
    /// It is left out.
    Drop,
}

/// How many values were masked or dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redacted {
    /// Values that were masked, as a whole or in part.
    pub masked: u64,
    /// Values that were left out.
    pub dropped: u64,
}

/// A [`Privacy`] made ready.
#[derive(Debug)]
pub struct Redaction {
    pub(crate) id: u64,
    mask: Names,
    drop: Names,
    patterns: Vec<Regex>,
}

impl Redaction {
    /// Everything that any of these asks for; none where nothing is asked for.
    pub fn new(all: &[&Privacy]) -> Result<Option<Self>> {
        if all.iter().all(|privacy| privacy.is_empty()) {
            return Ok(None);
        }
        let mut patterns = Vec::new();
        for pattern in all.iter().flat_map(|privacy| &privacy.mask_patterns) {
            patterns.push(compile(pattern)?);
        }
        let mask = Names::new(all.iter().flat_map(|privacy| &privacy.mask_fields));
        let drop = Names::new(all.iter().flat_map(|privacy| &privacy.drop_fields));
        Ok(Some(Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), mask, drop, patterns }))
    }

    /// What is to be done with the field of this flat name.
    pub(crate) fn of_name(&self, name: &str) -> Verdict {
        if self.drop.have(name) {
            Verdict::Drop
        } else if self.mask.have(name) {
            Verdict::Mask
        } else {
            Verdict::Look
        }
    }

    /// A text with what the patterns match in it masked; none where they match nothing. Each pattern is asked about the text
    /// as it was sent, and what matches in one piece becomes one mask: it may become twice as long, whatever the patterns.
    pub(crate) fn of_text(&self, text: &str) -> Option<String> {
        // Each pattern's next match with those behind it: all of them at once could be many times the text.
        let mut matches = Vec::new();
        for pattern in &self.patterns {
            let mut found = pattern.find_iter(text).map(|found| found.range()).filter(|range| !range.is_empty());
            if let Some(first) = found.next() {
                matches.push((first, found));
            }
        }
        if matches.is_empty() {
            return None;
        }
        let (mut out, mut end) = (String::new(), 0);
        while let Some((n, (first, rest))) = matches.iter_mut().enumerate().min_by_key(|(_, (first, _))| first.start) {
            let found = match rest.next() {
                Some(next) => std::mem::replace(first, next),
                None => matches.swap_remove(n).0,
            };
            if found.start > end || out.is_empty() {
                out.push_str(text.get(end..found.start).unwrap_or_default());
                out.push_str(MASK);
            }
            end = end.max(found.end);
        }
        out.push_str(text.get(end..).unwrap_or_default());
        Some(out)
    }

    /// The JSON text of an array or object that is the value of a field, with what is asked for done within it; none where
    /// that is nothing.
    pub(crate) fn of_json(&self, name: &str, raw: &str, counts: &mut Redacted) -> Option<String> {
        json::redact(self, name, raw, counts)
    }
}

/// Names of fields in small letters, each as its parts.
#[derive(Debug)]
struct Names(Vec<Vec<String>>);

impl Names {
    fn new<'a>(names: impl Iterator<Item = &'a String>) -> Self {
        let parts = |name: &str| fold_text(name).split('.').map(str::to_owned).collect();
        let mut all: Vec<Vec<String>> = Vec::new();
        for name in names {
            all.push(parts(name));
            // The name that it has on the API's routes.
            if name.eq_ignore_ascii_case("message") {
                all.push(parts("_msg"));
            }
        }
        Self(all)
    }

    /// Whether the parts of one of them follow each other in this flat name.
    fn have(&self, name: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let name = fold_text(name);
        let path: Vec<&str> = name.split('.').collect();
        let is_in = |wanted: &Vec<String>| path.windows(wanted.len()).any(|run| run == wanted.as_slice());
        self.0.iter().any(is_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn privacy(mask: &[&str], drop: &[&str], patterns: &[&str]) -> Privacy {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Privacy { mask_fields: owned(mask), drop_fields: owned(drop), mask_patterns: owned(patterns) }
    }

    #[test]
    fn names_stand_for_fields_however_deep_and_what_is_in_them() {
        let asked = privacy(&["password", "user.email", "contraseña"], &["Secret"], &[]);
        let redaction = Redaction::new(&[&asked]).unwrap().unwrap();
        for (name, verdict) in [
            ("password", Verdict::Mask),
            ("metadata.Password", Verdict::Mask),
            ("password.hash", Verdict::Mask),
            ("user.email", Verdict::Mask),
            ("a.user.email.b", Verdict::Mask),
            ("secret.password", Verdict::Drop),
            ("user.name", Verdict::Look),
            ("email", Verdict::Look),
            ("passwords", Verdict::Look),
            ("CONTRASEÑA", Verdict::Mask),
        ] {
            assert_eq!(redaction.of_name(name), verdict, "{name}");
        }
        let message = Redaction::new(&[&privacy(&["message"], &[], &[])]).unwrap().unwrap();
        assert_eq!(message.of_name("_msg"), Verdict::Mask);
        assert!(Redaction::new(&[&Privacy::default()]).unwrap().is_none());
    }

    #[test]
    fn patterns_mask_what_they_match() {
        let (own, all) = (privacy(&[], &[], &[r"\d{4}-\d{4}"]), privacy(&[], &[], &["(?i)bearer [a-z0-9]+"]));
        let redaction = Redaction::new(&[&own, &all]).unwrap().unwrap();
        let masked = redaction.of_text("card 1234-5678, BEARER abc1 and 1111-2222");
        assert_eq!(masked.as_deref(), Some("card ***, *** and ***"));
        assert_eq!(redaction.of_text("nothing here"), None);
    }

    #[test]
    fn patterns_match_what_was_sent_and_not_what_others_left_of_it() {
        let masked = |patterns: &[&str], text: &str| {
            let redaction = Redaction::new(&[&privacy(&[], &[], patterns)]).unwrap().unwrap();
            redaction.of_text(text)
        };
        let card = "id=4111111111111111 ok";
        for patterns in [[r"id=\d{3}", r"\d{16}"], [r"\d{16}", r"id=\d{3}"]] {
            assert_eq!(masked(&patterns, card).as_deref(), Some("*** ok"));
        }
        assert_eq!(masked(&["b", "[a-c]+", "e"], "xabcxe").as_deref(), Some("x***x***"));
        assert_eq!(masked(&["."; PATTERNS_MAX], &"é".repeat(1_000)).as_deref(), Some("***"));
        assert_eq!(masked(&["a"; PATTERNS_MAX], &"ab".repeat(1_000)).unwrap().len(), 4_000);
        // A place between two characters is nothing that could be masked.
        assert_eq!(masked(&[r"\b"], "a b"), None);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let fault = |privacy: Privacy| privacy.check().unwrap_err().to_string();
        assert!(fault(privacy(&["service_name"], &[], &[])).contains("service_name"));
        assert!(fault(privacy(&[], &["a..b"], &[])).starts_with("drop_fields"));
        assert!(fault(privacy(&[""], &[], &[])).starts_with("mask_fields"));
        assert!(fault(privacy(&[], &[], &["("])).contains("no regular expression"));
        assert!(fault(privacy(&[], &[], &["a*"])).contains("empty text"));
        assert!(fault(privacy(&[], &[], &[r"\w{1000}{1000}"])).contains("no regular expression"));
        assert!(fault(privacy(&[], &[], &[&"a".repeat(PATTERN_BYTES_MAX + 1)])).contains("1000 bytes"));
        assert!(fault(privacy(&["a"; NAMES_MAX + 1], &[], &[])).contains("more than 100"));
        assert!(fault(privacy(&[], &[], &["a"; PATTERNS_MAX + 1])).contains("more than 32"));
        privacy(&["a"], &["b.c"], &["d"]).check().unwrap();
    }
}
