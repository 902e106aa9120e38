//! `contains_common_case(...)` and `equals_common_case(...)`: words and phrases in the cases that people write them in.
//!
//! They are lists of texts for `contains_any(...)` and `in(...)`: each phrase as it stands, in capitals, in small letters, and with
//! any of its capitals small.
//!
//! Invariant: a list has at most [`TEXTS_MAX`] texts of [`TEXT_BYTES_MAX`] bytes, and no more are ever made.
use super::parse::{Scope, arguments, function};
use super::{Filter, Test, Values};
use crate::limits::MIB;
use crate::query::fault::{Fault, Parsed};
use crate::query::parse::Parser;
use std::collections::BTreeSet;

/// Capitals of one phrase.
const CAPITALS_MAX: usize = 10;
/// Texts of one list, and their bytes.
const TEXTS_MAX: usize = 10_000;
const TEXT_BYTES_MAX: usize = MIB;
/// How many times longer a text may become in another case.
const GROWTH_MAX: usize = 3;

/// `name(...)`, with the test that the texts are for.
pub(super) fn parse(parser: &mut Parser<'_>, scope: Scope<'_>, test: fn(Values) -> Test) -> Parsed<Filter> {
    if let Some(word) = function(parser, scope, &["("])? {
        return Ok(word);
    }
    let at = parser.at();
    let fault = |what: String| Fault::new(at.0, what);
    let (mut texts, mut known, mut bytes) = (Vec::new(), BTreeSet::new(), 0usize);
    for phrase in arguments(parser)? {
        let capitals = phrase.chars().filter(|c| c.is_uppercase()).count();
        if capitals > CAPITALS_MAX {
            return Err(fault(format!("a phrase has more than {CAPITALS_MAX} capitals; use i(...) for it")));
        }
        bytes = bytes.saturating_add(phrase.len().saturating_mul(GROWTH_MAX * ((1 << capitals) + 2)));
        if bytes > TEXT_BYTES_MAX {
            return Err(fault("the cases of the phrases have more than 1 MiB; use i(...) for some of them".into()));
        }
        texts.extend(cases(&phrase).into_iter().filter(|text| known.insert(text.clone())));
        if texts.len() > TEXTS_MAX {
            return Err(fault(format!("the phrases have more than {TEXTS_MAX} cases; use i(...) for some of them")));
        }
    }
    Ok(scope.test(test(Values::List(texts))))
}

/// A phrase in each of its cases, the one that stands there first.
fn cases(phrase: &str) -> Vec<String> {
    let mut cases = vec![String::new()];
    for c in phrase.chars() {
        let small = c.is_uppercase().then(|| c.to_lowercase());
        let others =
            small.into_iter().flat_map(|small| cases.clone().into_iter().map(move |case| case + &small.to_string()));
        let others: Vec<String> = others.collect();
        cases.iter_mut().for_each(|case| case.push(c));
        cases.extend(others);
    }
    cases.extend([phrase.to_uppercase(), phrase.to_lowercase()]);
    cases
}

#[cfg(test)]
mod tests {
    use crate::query::parse;

    #[test]
    fn phrases_are_meant_in_their_common_cases() {
        let same = |one: &str, other: &str| {
            assert_eq!(parse(one).unwrap().to_string(), parse(other).unwrap().to_string(), "{one}");
        };
        same("level:contains_common_case(warn, warning)", "level:contains_any(warn, WARN, warning, WARNING)");
        same("equals_common_case('Ab C')", "in('Ab C', 'ab C', 'Ab c', 'ab c', 'AB C')");
        same("contains_common_case(ERR)", "contains_any(ERR, eRR, ErR, erR, ERr, eRr, Err, err)");
        same("contains_common_case", "'contains_common_case'");
    }

    #[test]
    fn there_are_only_so_many_cases() {
        assert!(parse("contains_common_case(ABCDEFGHIJ)").is_ok());
        assert!(parse("contains_common_case(ABCDEFGHIJK)").is_err());
        let long = format!("ABCDEFGHIJ{}", "a".repeat(100_000));
        assert!(parse(&format!("contains_common_case({long})")).is_err());
        let many: Vec<String> = (0..12).map(|n| format!("ABCDEFGHIJ{n}")).collect();
        assert!(parse(&format!("equals_common_case({})", many.join(","))).is_err());
    }
}
