//! What pipes share that make one value of another: those that change a field in place, and those that set one from another.
//!
//! Invariants
//! * What `in_place` makes of rows that differ is checked against the query's memory row by row. Rows that a condition leaves
//!   out keep their values.
//! * A value that is in all rows of a block, and has no condition, is made once.
use super::condition::Condition;
use crate::error::Result;
use crate::query::block::{Block, Column, Texts};
use crate::query::filter::Filter;
use crate::query::run::{Context, Flow, Sink, Stage};

/// A stage that hands on each block changed.
pub(super) struct PerBlock<F>(pub(super) F);

impl<F: FnMut(Block) -> Result<Block> + Send> Stage for PerBlock<F> {
    fn push(&mut self, block: Block, next: &mut dyn Sink) -> Result<Flow> {
        next.take(self.0(block)?)
    }
}

/// Changes a field in the rows that a condition selects.
pub(super) fn in_place<'c>(
    field: &str,
    condition: Option<&Filter>,
    context: &Context<'c>,
    mut change: impl FnMut(&str) -> Result<String> + Send + 'c,
) -> Result<Box<dyn Stage + 'c>> {
    let (memory, stop) = (context.memory.clone(), context.stop.clone());
    let condition = Condition::prepare(condition, context)?;
    let field = field.to_string();
    Ok(Box::new(PerBlock(move |mut block: Block| {
        let column = block.column(&field);
        let new = match column.constant_value() {
            Some(value) if condition.is_none() => Column::constant(&field, &change(value)?),
            _ => {
                let rows = condition.rows(&block);
                let mut texts = Texts::default();
                let mut last = (String::new(), change("")?);
                for row in 0..block.rows() {
                    let value = column.value(row);
                    if !rows.has(row) {
                        texts.push(value);
                        continue;
                    }
                    if last.0 != value {
                        stop.check()?;
                        last = (value.to_string(), change(value)?);
                    }
                    texts.push(&last.1);
                    memory.check(texts.bytes(), "a block of changed values")?;
                }
                Column::new(&field, texts)
            }
        };
        block.put(new);
        Ok(block)
    })))
}

/// Sets a field from another one, in every row.
pub(super) fn from_field<'c>(
    from: &str,
    to: &str,
    mut make: impl FnMut(&str) -> String + Send + 'c,
) -> Box<dyn Stage + 'c> {
    let (from, to) = (from.to_string(), to.to_string());
    Box::new(PerBlock(move |mut block: Block| {
        let column = block.column(&from);
        let new = match column.constant_value() {
            Some(value) => Column::constant(&to, &make(value)),
            None => {
                let mut texts = Texts::default();
                (0..block.rows()).for_each(|row| texts.push(&make(column.value(row))));
                Column::new(&to, texts)
            }
        };
        block.put(new);
        Ok(block)
    }))
}
