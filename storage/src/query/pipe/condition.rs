//! `if (filter)`: which rows a pipe is for.
//!
//! Invariants
//! * Without a condition, and with an empty one, a pipe is for every row.
use crate::error::Result;
use crate::query::bits::Bits;
use crate::query::block::Block;
use crate::query::filter::Filter;
use crate::query::filter::prepare::Matcher;
use crate::query::needed::Needed;
use crate::query::run::Context;

/// A condition ready to run; without one a pipe is for every row.
pub(crate) struct Condition {
    matcher: Option<Matcher>,
}

impl Condition {
    pub(crate) fn prepare(filter: Option<&Filter>, context: &Context<'_>) -> Result<Self> {
        Ok(Self { matcher: filter.map(|filter| Matcher::prepare(filter, context)).transpose()? })
    }

    /// The rows that the pipe is for.
    pub(crate) fn rows(&self, block: &Block) -> Bits {
        let mut rows = Bits::new(block.rows(), true);
        if let Some(matcher) = &self.matcher {
            matcher.apply(block, &mut rows);
        }
        rows
    }

    pub(crate) fn is_none(&self) -> bool {
        self.matcher.is_none()
    }
}

/// ` if (filter)`, if there is one.
pub(crate) fn show(filter: Option<&Filter>) -> String {
    filter.map(|filter| format!(" if ({filter})")).unwrap_or_default()
}

/// Adds the fields of a condition.
pub(crate) fn add_needed(filter: Option<&Filter>, needed: &mut Needed) {
    if let Some(filter) = filter {
        needed.add_all(filter.fields());
    }
}
