//! `_stream_id:...`: rows of some streams, by their numbers.
//!
//! Invariants
//! * A number that is written in a query is [`ID_DIGITS`] hex digits; what a subquery gives is compared as it is.
use super::Filter;
use super::parse::arguments;
use super::values::{Values, parse_subquery};
use crate::query::fault::{At, Fault, Parsed};
use crate::query::parse::Parser;
use std::fmt;

/// Digits of the number of a stream, at least and at most.
const ID_DIGITS: std::ops::RangeInclusive<usize> = 16..=64;

/// Streams, by their numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamIds {
    /// Where it stands.
    pub at: At,
    /// Their numbers.
    pub ids: Values,
}

fn check(id: &str, at: At) -> Parsed<()> {
    let hex = ID_DIGITS.contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit());
    if hex { Ok(()) } else { Err(Fault::new(at.0, format!("'{id}' is not the hexadecimal number of a stream"))) }
}

/// What stands after `_stream_id:`.
pub(super) fn parse(parser: &mut Parser<'_>, at: At) -> Parsed<Filter> {
    if !parser.is("in") {
        let place = parser.at();
        let id = parser.word("the number of a stream")?;
        check(&id, place)?;
        return Ok(Filter::StreamId(StreamIds { at, ids: Values::List(vec![id]) }));
    }
    parser.advance();
    let (place, mark) = (parser.at(), parser.mark());
    let list = arguments(parser).and_then(|ids| {
        ids.iter().try_for_each(|id| check(id, place))?;
        Ok(ids)
    });
    match list {
        Ok(ids) => Ok(Filter::StreamId(StreamIds { at, ids: Values::List(ids) })),
        Err(fault) => {
            parser.back(mark);
            let subquery = parse_subquery(parser, fault)?;
            Ok(subquery.map_or(Filter::All, |query| Filter::StreamId(StreamIds { at, ids: Values::Query(query) })))
        }
    }
}

impl fmt::Display for StreamIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ids {
            Values::List(ids) if ids.len() == 1 => write!(f, "_stream_id:{}", ids.join("")),
            values => write!(f, "_stream_id:in({values})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::{check_faults, check_filters};

    const ROWS: &str = r#"
        {"row":"a","_stream_id":"0000007b000001c850d9950ea6196b1a4812081265faa1c7","_msg":"error"}
        {"row":"b","_stream_id":"1230007b456701c850d9950ea6196b1a4812081265fff2a9"}
        {"row":"c","_stream_id":""}
        {"row":"d","_msg":"error"}
    "#;

    #[test]
    fn streams_are_named_by_their_numbers() {
        let (first, other) =
            ("0000007b000001c850d9950ea6196b1a4812081265faa1c7", "1230007b456701c850d9950ea6196b1a4812081265fff2a9");
        for (filter, wanted) in [
            (format!("_stream_id:{first}"), "a"),
            (format!("_stream_id:\"{first}\""), "a"),
            (format!("_stream_id:in({first})"), "a"),
            (format!("_stream_id:in({first}, {other})"), "ab"),
            (format!("_stream_id:in({first}, {other},)"), "ab"),
            (format!("!_stream_id:in({first})"), "bcd"),
            ("_stream_id:in()".into(), ""),
            ("_stream_id:in(error | fields _stream_id)".into(), "acd"),
            ("_stream_id:in(error row:a | uniq by (_stream_id))".into(), "a"),
            ("_stream_id:in(row:b | fields _stream_id)".into(), "b"),
            ("_stream_id:in(nowhere | fields _stream_id)".into(), ""),
            ("_stream_id:in(*)".into(), "abcd"),
            ("_stream_id:000000000000000b".into(), ""),
        ] {
            check_filters(ROWS, &[(filter.as_str(), wanted)]);
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        check_faults(&[
            ("_stream_id:x", 11, "hexadecimal"),
            ("_stream_id:0123", 11, "hexadecimal"),
            ("_stream_id:in(x)", 13, "commas"),
            ("_stream_id:in(a | fields x, y)", 13, "single field"),
            ("_stream_id:", 11, "ends"),
        ]);
    }
}
