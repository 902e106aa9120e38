//! `unpack_json`: the fields of a JSON object in a field, nested ones under dotted names.
//!
//! Invariants
//! * A text that begins with `{` and is no object gives wanted fields as empty ones; any other that is none leaves them alone.
use super::Step;
use super::unpack::{Unpacker, Unpacking};
use crate::error::Result;
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::Parser;
use crate::query::run::{Context, Stage};
use crate::query::value::json::{Json, parse_json};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct UnpackJson {
    /// What is unpacked, and how.
    pub unpacking: Unpacking,
}

impl UnpackJson {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        Ok(Self { unpacking: Unpacking::parse(parser)? })
    }
}

impl fmt::Display for UnpackJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unpack_json{}", self.unpacking)
    }
}

impl Step for UnpackJson {
    fn needed(&self, needed: &mut Needed) {
        self.unpacking.needed(needed);
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        Unpacker::stage(&self.unpacking, context, |text| {
            // What begins as an object and is none leaves the wanted fields empty; anything else leaves them alone.
            text.starts_with('{').then(|| parse_json(text).and_then(Json::into_fields).unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn objects_are_unpacked() {
        check(
            "unpack_json from x fields (a, b.*, n) result_prefix p_ | delete x",
            r#"{"x":"{\"a\":1,\"b\":{\"c\":\"d\"},\"e\":2}","p_n":"old"}"#,
            r#"{"p_a":"1","p_b.c":"d"}"#,
        );
        check(
            "unpack_json from x fields (a) skip_empty_results | delete x",
            r#"{"x":"{\"a\":\"\"}","a":"old"}
{"x":"none","a":"old"}"#,
            r#"{"a":"old"}
{"a":"old"}"#,
        );
    }
}
