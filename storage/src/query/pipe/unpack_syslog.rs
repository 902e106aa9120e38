//! `unpack_syslog`: the parts of a syslog line in a field.
//!
//! Invariants
//! * A time without a year or an offset is meant by the query's clock and zone; `offset` takes the place of the zone.
use super::Step;
use super::condition::{Condition, add_needed, show};
use super::unpack::{Keep, Unpacker, parse_from, parse_prefix, show_from, show_prefix};
use crate::error::Result;
use crate::query::fault::{Fault, Parsed};
use crate::query::filter::Filter;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_operand};
use crate::query::run::{Context, Stage};
use crate::query::value::duration::{SECOND, duration};
use crate::query::value::syslog::{Era, parse_syslog};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct UnpackSyslog {
    /// Which rows it is for.
    pub condition: Option<Filter>,
    /// The field that is unpacked.
    pub from: String,
    /// How far east of UTC times are meant that name no offset, as written.
    pub offset: Option<String>,
    /// What stands before the names of the results.
    pub prefix: String,
    /// Whether old values stay.
    pub keep_original: bool,
}

impl UnpackSyslog {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let condition = Filter::parse_condition(parser)?;
        let from = parse_from(parser, &["offset", "result_prefix", "keep_original_fields"])?;
        let mut offset = None;
        if parser.takes("offset") {
            let at = parser.at();
            let text = parser.word("a duration")?;
            duration(&text).ok_or_else(|| Fault::new(at.0, format!("'{text}' is no duration such as 5h30m")))?;
            offset = Some(text);
        }
        let prefix = parse_prefix(parser)?;
        Ok(Self { condition, from, offset, prefix, keep_original: parser.takes("keep_original_fields") })
    }
}

impl fmt::Display for UnpackSyslog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unpack_syslog{}{}", show(self.condition.as_ref()), show_from(&self.from))?;
        if let Some(offset) = &self.offset {
            write!(f, " offset {}", quote_operand(offset))?;
        }
        f.write_str(&show_prefix(&self.prefix))?;
        if self.keep_original { f.write_str(" keep_original_fields") } else { Ok(()) }
    }
}

impl Step for UnpackSyslog {
    fn needed(&self, needed: &mut Needed) {
        needed.add(&self.from);
        add_needed(self.condition.as_ref(), needed);
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let zone = match self.offset.as_deref().and_then(duration) {
            Some(offset) => offset / SECOND * SECOND,
            None => context.clock.zone,
        };
        let era = Era { now: context.clock.now, zone };
        Ok(Box::new(Unpacker {
            from: self.from.clone(),
            condition: Condition::prepare(self.condition.as_ref(), context)?,
            prefix: self.prefix.clone(),
            keep: if self.keep_original { Keep::Original } else { Keep::New },
            bounds: (context.stop.clone(), context.memory.clone()),
            unpack: Box::new(move |text| Ok(parse_syslog(text, era))),
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn lines_are_unpacked() {
        check(
            "unpack_syslog from x offset 1h result_prefix s. | fields s.timestamp, s.app_name",
            r#"{"x":"<13>Jun  3 12:08:33 h app: text"}"#,
            r#"{"s.timestamp":"2024-06-03T11:08:33.000Z","s.app_name":"app"}"#,
        );
    }
}
