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
