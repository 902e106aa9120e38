//! `facets`: the values that come most often, of every field.
//!
//! Invariants
//! * A field with too many or too long values is left out whole, as is one that has the same value in all rows.
use super::Step;
use super::tally::Tally;
use crate::error::Result;
use crate::query::block::{Block, BlockBuilder, Column};
use crate::query::budget::{Held, Memory};
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::Parser;
use crate::query::run::{Context, Flow, Sink, Stage};
use crate::query::value::number::looks_like_number;
use std::collections::BTreeMap;
use std::fmt;

const LIMIT: u64 = 10;
const VALUES_MAX: u64 = 1_000;
const VALUE_BYTES_MAX: u64 = 128;
/// What a field takes beside its name and its values, about.
const FIELD_BYTES: usize = 128;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facets {
    /// Values of each field.
    pub limit: u64,
    /// A field with more values is left out.
    pub values_max: u64,
    /// A field with longer values is left out.
    pub value_bytes_max: u64,
    /// Whether fields stay that have the same value in all rows.
    pub keep_const: bool,
}

impl Facets {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let limit =
            if looks_like_number(parser.text()) { parser.positive_number("the number of values")? } else { LIMIT };
        let mut facets = Self { limit, values_max: VALUES_MAX, value_bytes_max: VALUE_BYTES_MAX, keep_const: false };
        loop {
            if parser.takes("max_values_per_field") {
                facets.values_max = parser.positive_number("max_values_per_field")?;
            } else if parser.takes("max_value_len") {
                facets.value_bytes_max = parser.positive_number("max_value_len")?;
            } else if parser.takes("keep_const_fields") {
                facets.keep_const = true;
            } else {
                return Ok(facets);
            }
        }
    }
}

impl fmt::Display for Facets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("facets")?;
        if self.limit != LIMIT {
            write!(f, " {}", self.limit)?;
        }
        if self.values_max != VALUES_MAX {
            write!(f, " max_values_per_field {}", self.values_max)?;
        }
        if self.value_bytes_max != VALUE_BYTES_MAX {
            write!(f, " max_value_len {}", self.value_bytes_max)?;
        }
        if self.keep_const { f.write_str(" keep_const_fields") } else { Ok(()) }
    }
}

impl Step for Facets {
    fn needed(&self, needed: &mut Needed) {
        *needed = Needed::all();
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let memory = context.memory.clone();
        let names = memory.hold("facets");
        Ok(Box::new(FacetsStage { pipe: self.clone(), fields: BTreeMap::new(), rows: 0, names, memory }))
    }
}

struct FacetsStage {
    pipe: Facets,
    /// A field that is left out has no tally.
    fields: BTreeMap<String, Option<Tally>>,
    rows: u64,
    /// What the fields' names take, of those that are left out too.
    names: Held,
    memory: Memory,
}

impl FacetsStage {
    fn add(&mut self, block: &Block, column: &Column) -> Result<()> {
        let name = column.name().to_string();
        if !self.fields.contains_key(&name) {
            self.names.add(name.len() + FIELD_BYTES)?;
        }
        let memory = &self.memory;
        let field = self.fields.entry(name.clone()).or_insert_with(|| Some(Tally::new(memory.hold("facets"))));
        let Some(tally) = field else { return Ok(()) };
        let too_long = (0..block.rows()).any(|row| column.value(row).len() as u64 > self.pipe.value_bytes_max);
        // The empty value is no value, but it may be in the tally beside so many others.
        if too_long || !tally.add_block(block, std::slice::from_ref(&name), self.pipe.values_max.saturating_add(1))? {
            *field = None;
        }
        Ok(())
    }
}

impl Stage for FacetsStage {
    fn push(&mut self, block: Block, _: &mut dyn Sink) -> Result<Flow> {
        self.rows += block.rows() as u64;
        for column in block.columns() {
            self.add(&block, column)?;
        }
        Ok(Flow::More)
    }

    fn finish(&mut self, next: &mut dyn Sink) -> Result<()> {
        let mut out = BlockBuilder::default();
        for (name, tally) in &mut self.fields {
            let Some(tally) = tally else { continue };
            let mut entries = tally.take_top(u64::MAX);
            entries.retain(|(values, _)| values.iter().all(|value| !value.is_empty()));
            let constant = matches!(entries.as_slice(), [(_, hits)] if *hits == self.rows);
            if entries.len() as u64 > self.pipe.values_max || (constant && !self.pipe.keep_const) {
                continue;
            }
            entries.truncate(usize::try_from(self.pipe.limit).unwrap_or(usize::MAX));
            for (values, hits) in entries {
                out.set("field_name", name);
                out.set("field_value", values.first().map_or("", String::as_str));
                out.set("hits", &hits.to_string());
                out.end_row();
            }
        }
        next.take(out.take()).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn constant_and_long_fields_go() {
        check(
            "facets 1 max_value_len 3",
            r#"{"a":"1","k":"c","l":"long"}
{"a":"1","k":"c"}
{"a":"2","k":"c"}"#,
            r#"{"field_name":"a","field_value":"1","hits":"2"}"#,
        );
        check(
            "facets max_values_per_field 1 keep_const_fields",
            r#"{"a":"1","k":"c"}
{"a":"2","k":"c"}"#,
            r#"{"field_name":"k","field_value":"c","hits":"2"}"#,
        );
    }

    #[test]
    fn the_bounds_are_those_that_are_asked_for() {
        let rows = r#"{"a":"1","b":"x","k":"same"}
{"a":"1","b":"y","k":"same","c":""}
{"a":"2","b":"z","k":"same","c":"é"}
{"a":"3","b":"z","k":"same","l":"123456"}"#;
        let fields = |names: &[(&str, &str, u32)]| {
            let line = |(name, value, hits): &(&str, &str, u32)| {
                format!("{{\"field_name\":\"{name}\",\"field_value\":\"{value}\",\"hits\":\"{hits}\"}}")
            };
            names.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        let (a, z) = (("a", "1", 2), ("b", "z", 2));
        check("facets 1", rows, &fields(&[a, z, ("c", "é", 1), ("l", "123456", 1)]));
        check("facets 1 max_value_len 5", rows, &fields(&[a, z, ("c", "é", 1)]));
        check("facets 1 max_value_len 1", rows, &fields(&[a, z]));
        check("facets 1 max_values_per_field 2", rows, &fields(&[("c", "é", 1), ("l", "123456", 1)]));
        check("facets 1 max_value_len 5 keep_const_fields", rows, &fields(&[a, z, ("c", "é", 1), ("k", "same", 4)]));
        check("filter a:=2 | facets", rows, "");
        check("filter a:=9 | facets keep_const_fields", rows, "");
    }
}
