//! What pipes share that make one value of another: those that change a field in place, and those that set one from another.
//!
//! Invariants
//! * What is made of rows that differ is checked against the query's memory row by row, those that a condition leaves out
//!   included, which keep their values.
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
                    } else {
                        if last.0 != value {
                            stop.check()?;
                            last = (value.to_string(), change(value)?);
                        }
                        texts.push(&last.1);
                    }
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
    context: &Context<'c>,
    mut make: impl FnMut(&str) -> Result<String> + Send + 'c,
) -> Box<dyn Stage + 'c> {
    let (memory, stop) = (context.memory.clone(), context.stop.clone());
    let (from, to) = (from.to_string(), to.to_string());
    Box::new(PerBlock(move |mut block: Block| {
        let column = block.column(&from);
        let new = match column.constant_value() {
            Some(value) => Column::constant(&to, &make(value)?),
            None => {
                let mut texts = Texts::default();
                let mut last = (String::new(), make("")?);
                for row in 0..block.rows() {
                    let value = column.value(row);
                    if last.0 != value {
                        stop.check()?;
                        last = (value.to_string(), make(value)?);
                    }
                    texts.push(&last.1);
                    memory.check(texts.bytes(), "a block of values that are made")?;
                }
                Column::new(&to, texts)
            }
        };
        block.put(new);
        Ok(block)
    }))
}

#[cfg(test)]
mod tests {
    use crate::query::testing::{Alike, answer};

    #[test]
    fn rows_that_a_condition_leaves_out_are_counted_too() {
        for (pipe, what) in [
            ("replace if (b:x) ('x', 'y') at a", "a block of changed values"),
            ("format if (b:x) 'y' as a", "a block of formatted values"),
            ("math 1 as a", "a block of results"),
        ] {
            let error = answer(&format!("* | {pipe} | stats count() n"), &Alike, 1 << 20).unwrap_err();
            assert!(error.to_string().contains(what), "{pipe}: {error}");
        }
        assert_eq!(
            answer("* | replace ('x', 'y') at a | stats count(a) n", &Alike, 1 << 20).unwrap(),
            [r#"{"n":"65536"}"#]
        );
    }
}
