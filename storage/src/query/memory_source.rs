//! Rows in memory as a source: for tests, and for queries over what was piped in.
//!
//! Invariants
//! * Rows come in the order in which they were added, without fields that were not asked for.
//! * The last of them are there once [`Rows::ended`] was called.
use super::block::{Block, BlockBuilder};
use super::run::{Flow, Request, Sink, Source};
use super::value::json::{Json, parse_json};
use crate::error::Result;

/// Rows in memory.
#[derive(Debug, Default)]
pub struct Rows {
    blocks: Vec<Block>,
    open: BlockBuilder,
}

impl Rows {
    /// Adds a row; of a field that comes twice the last value counts.
    pub fn push<N: AsRef<str>, V: AsRef<str>>(&mut self, fields: impl IntoIterator<Item = (N, V)>) {
        for (name, value) in fields {
            self.open.set(name.as_ref(), value.as_ref());
        }
        self.open.end_row();
        if self.open.is_full() {
            self.blocks.push(self.open.take());
        }
    }

    /// Adds a row that is a JSON object: nested fields under dotted names, arrays as their text. Says whether it is one.
    pub fn push_json(&mut self, object: &str) -> bool {
        fields_of(object).map(|fields| self.push(fields)).is_some()
    }

    /// Whether there are rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.open.rows() == 0
    }

    /// Ends the rows.
    #[must_use]
    pub fn ended(mut self) -> Self {
        if self.open.rows() > 0 {
            self.blocks.push(self.open.take());
        }
        self
    }
}

/// The fields of a JSON object: nested ones under dotted names, arrays as their text.
pub(crate) fn fields_of(object: &str) -> Option<Vec<(String, String)>> {
    parse_json(object).and_then(Json::into_fields)
}

impl Source for Rows {
    fn rows(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<Flow> {
        for block in &self.blocks {
            request.stop.check()?;
            let mut kept = request.matcher.filtered(block.clone());
            // As an engine would, it gives no more than what is asked for.
            kept.retain_columns(|column| request.needed.has(column.name()));
            if sink.take(kept)? == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        Ok(Flow::More)
    }
}
