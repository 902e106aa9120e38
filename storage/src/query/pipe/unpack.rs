//! What pipes share that add fields to rows: which of the old and the new value of a field stays.
//!
//! Invariants
//! * A field that comes twice in one row has its last value.
use super::condition::Condition;
use crate::error::{Error, ErrorKind, Result};
use crate::query::block::{Block, BlockBuilder};
use crate::query::budget::{Held, Memory, Stop};
use crate::query::fault::Parsed;
use crate::query::filter::Filter;
use crate::query::needed::{Needed, fits_any};
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Flow, Sink, Stage};
use std::fmt;

/// Which value stays where a row has a field already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// The new one.
    #[default]
    New,
    /// The old one, unless it is empty.
    Original,
    /// The new one, unless it is empty.
    NotEmpty,
}

impl Keep {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Self {
        if parser.takes("keep_original_fields") {
            Self::Original
        } else if parser.takes("skip_empty_results") {
            Self::NotEmpty
        } else {
            Self::New
        }
    }

    /// The value that stays.
    pub(super) fn choose<'v>(self, old: &'v str, new: &'v str) -> &'v str {
        let keeps_old = match self {
            Self::New => false,
            Self::Original => !old.is_empty(),
            Self::NotEmpty => new.is_empty(),
        };
        if keeps_old { old } else { new }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "",
            Self::Original => " keep_original_fields",
            Self::NotEmpty => " skip_empty_results",
        })
    }
}

/// The options of `unpack_json` and `unpack_logfmt`.
#[derive(Clone, Debug, PartialEq)]
pub struct Unpacking {
    /// Which rows it is for.
    pub condition: Option<Filter>,
    /// The field that is unpacked.
    pub from: String,
    /// The fields that are wanted of it.
    pub patterns: Vec<String>,
    /// What stands before the names of the results.
    pub prefix: String,
    /// Which value stays.
    pub keep: Keep,
}

impl Unpacking {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let condition = Filter::parse_condition(parser)?;
        let options = ["fields", "result_prefix", "keep_original_fields", "skip_empty_results"];
        let from = parse_from(parser, &options)?;
        let mut patterns = if parser.takes("fields") { parser.field_patterns_in_parens()? } else { Vec::new() };
        if patterns.is_empty() {
            patterns.push("*".into());
        }
        let prefix = parse_prefix(parser)?;
        Ok(Self { condition, from, patterns, prefix, keep: Keep::parse(parser) })
    }

    /// Adds what it needs: whatever it may set was there before.
    pub(super) fn needed(&self, needed: &mut Needed) {
        needed.add(&self.from);
        super::condition::add_needed(self.condition.as_ref(), needed);
    }

    /// Of all fields of a value those that are wanted; wanted ones that it lacks are empty.
    pub(super) fn wanted(&self, fields: Vec<(String, String)>) -> Vec<(String, String)> {
        let missing: Vec<(String, String)> = self
            .patterns
            .iter()
            .filter(|name| !name.ends_with('*') && !fields.iter().any(|(known, _)| known == *name))
            .map(|name| (name.clone(), String::new()))
            .collect();
        let mut wanted = fields;
        wanted.retain(|(name, _)| fits_any(&self.patterns, name));
        wanted.extend(missing);
        wanted
    }
}

/// `[from] field`; the message where an option follows at once.
pub(super) fn parse_from(parser: &mut Parser<'_>, options: &[&str]) -> Parsed<String> {
    if parser.ends_pipe() || parser.is_any(options) {
        return Ok("_msg".into());
    }
    parser.takes("from");
    parser.field_name()
}

/// `result_prefix text`, if it is there.
pub(super) fn parse_prefix(parser: &mut Parser<'_>) -> Parsed<String> {
    if parser.takes("result_prefix") { parser.name_prefix("the prefix of the results") } else { Ok(String::new()) }
}

/// ` from field` and ` result_prefix text` as they are written.
pub(super) fn show_from(from: &str) -> String {
    if from == "_msg" { String::new() } else { format!(" from {}", quote_if_needed(from)) }
}

pub(super) fn show_prefix(prefix: &str) -> String {
    if prefix.is_empty() { String::new() } else { format!(" result_prefix {}", quote_if_needed(prefix)) }
}

impl fmt::Display for Unpacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", super::condition::show(self.condition.as_ref()), show_from(&self.from))?;
        // A field that is named beside all is set where there is none.
        if self.patterns != ["*"] {
            write!(f, " fields ({})", super::show_names(&self.patterns))?;
        }
        write!(f, "{}{}", show_prefix(&self.prefix), self.keep)
    }
}

/// Makes fields of a text.
type Unpack<'c> = Box<dyn FnMut(&str) -> Result<Vec<(String, String)>> + Send + 'c>;

/// A text, the fields that it unpacks to, and what these take.
type Unpacked = (String, Vec<(String, String)>, Held);

/// What a byte of a text may come to while its parts are told apart, at most.
const PART_BYTES: usize = 24;
/// Texts up to which that is not counted.
const SHORT: usize = 64 << 10;

/// Holds what the parts of a text may take while they are told apart, and until they are dropped.
pub(super) fn hold_parts(memory: &Memory, text: &str, what: &'static str) -> Result<Held> {
    let mut held = memory.hold(what);
    if text.len() > SHORT {
        held.add(text.len().saturating_mul(PART_BYTES))?;
    }
    Ok(held)
}

/// Adds the fields that one field unpacks to.
pub(super) struct Unpacker<'c> {
    pub(super) from: String,
    pub(super) condition: Condition,
    pub(super) prefix: String,
    pub(super) keep: Keep,
    pub(super) bounds: (Stop, Memory),
    pub(super) unpack: Unpack<'c>,
}

impl<'c> Unpacker<'c> {
    pub(super) fn stage(
        unpacking: &Unpacking,
        context: &Context<'c>,
        mut fields: impl FnMut(&str) -> Option<Vec<(String, String)>> + Send + 'c,
    ) -> Result<Box<dyn Stage + 'c>> {
        let options = unpacking.clone();
        Ok(Box::new(Self {
            from: unpacking.from.clone(),
            condition: Condition::prepare(unpacking.condition.as_ref(), context)?,
            prefix: unpacking.prefix.clone(),
            keep: unpacking.keep,
            bounds: (context.stop.clone(), context.memory.clone()),
            // What is none of its kind has no fields, not even wanted ones.
            unpack: Box::new(move |text| Ok(fields(text).map(|found| options.wanted(found)).unwrap_or_default())),
        }))
    }
}

impl Stage for Unpacker<'_> {
    fn push(&mut self, block: Block, next: &mut dyn Sink) -> Result<Flow> {
        let rows = self.condition.rows(&block);
        if rows.is_empty() {
            return next.take(block);
        }
        let mut writer = RowWriter::new(&block, self.keep);
        let column = block.column(&self.from);
        let mut last: Option<Unpacked> = None;
        for row in 0..block.rows() {
            let mut added: &[(String, String)] = &[];
            if rows.has(row) {
                let value = column.value(row);
                if last.as_ref().is_none_or(|(known, ..)| known != value) {
                    self.bounds.0.check()?;
                    drop(last.take());
                    let mut held = hold_parts(&self.bounds.1, value, "a value that is unpacked")?;
                    let mut fields = (self.unpack)(value)?;
                    if !self.prefix.is_empty() {
                        fields.iter_mut().for_each(|(name, _)| name.insert_str(0, &self.prefix));
                    }
                    let bytes = |(name, value): &(String, String)| name.len() + value.len() + 2 * size_of::<String>();
                    held.keep(value.len() + fields.iter().map(bytes).sum::<usize>());
                    last = Some((value.to_string(), fields, held));
                }
                added = last.as_ref().map_or(&[], |(_, fields, _)| fields);
            }
            if writer.write(row, added, next)? == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        writer.finish(next)
    }
}

/// Writes rows of a block with fields added, and hands blocks on as they fill.
pub(super) struct RowWriter<'b> {
    source: &'b Block,
    keep: Keep,
    out: BlockBuilder,
    slots: Vec<usize>,
}

impl<'b> RowWriter<'b> {
    pub(super) fn new(source: &'b Block, keep: Keep) -> Self {
        Self { source, keep, out: BlockBuilder::default(), slots: Vec::new() }
    }

    /// Writes a row.
    pub(super) fn write(&mut self, row: usize, added: &[(String, String)], next: &mut dyn Sink) -> Result<Flow> {
        if self.out.rows() == 0 {
            let columns = self.source.columns().iter();
            self.slots = columns.map(|column| self.out.slot(column.name())).collect();
        }
        for (slot, column) in self.slots.iter().zip(self.source.columns()) {
            self.out.set_slot(*slot, column.value(row));
        }
        for (name, value) in added {
            // The columns of the source come first, in their order.
            let slot = self.out.slot(name);
            let old = self.source.columns().get(slot).map_or("", |column| column.value(row));
            self.out.set_slot(slot, self.keep.choose(old, value));
        }
        self.out.end_row();
        if self.out.is_too_wide() {
            return Err(Error::new(
                ErrorKind::Budget,
                "a row unpacks to more fields than a row can have; name the fields that are wanted",
            ));
        }
        if self.out.is_full() { next.take(self.out.take()) } else { Ok(Flow::More) }
    }

    /// Hands on what is left.
    pub(super) fn finish(mut self, next: &mut dyn Sink) -> Result<Flow> {
        next.take(self.out.take())
    }
}
