//! `sort by (a, b desc)`: rows in an order, or the first of them, in all or of each group.
//!
//! Invariants
//! * Rows that are equal in what they are sorted by keep their order.
use super::show_names;
use super::topk::{Ordering, TopRows};
use super::{Partial, Step};
use crate::error::Result;
use crate::query::block::{Block, BlockBuilder, Column};
use crate::query::budget::{Held, Stop};
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Flow, Sink, Stage};
use crate::query::value::order::{Ranked, merge_sort};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    /// The fields, and whether each is in falling order; none is all of them.
    pub by: Vec<(String, bool)>,
    /// Whether the whole is in falling order.
    pub falling: bool,
    /// Fields that make the groups of which each is limited by itself.
    pub partition_by: Vec<String>,
    /// How many rows are left out.
    pub offset: u64,
    /// How many rows there are at most; 0 is without a limit.
    pub limit: u64,
    /// The field that a row's place is put into.
    pub rank: Option<String>,
}

/// `by (a desc, b)` or `(a desc, b)`, if it is there.
pub(super) fn parse_by(parser: &mut Parser<'_>) -> Parsed<Vec<(String, bool)>> {
    let said = parser.takes("by");
    if !said && !parser.is("(") {
        return Ok(Vec::new());
    }
    parser.few_in_parens(|parser| {
        let name = parser.field_name()?;
        let falling = parser.takes("desc");
        if !falling {
            parser.takes("asc");
        }
        Ok((name, falling))
    })
}

/// `partition by (a, b)`, its first word taken.
pub(super) fn parse_partition(parser: &mut Parser<'_>) -> Parsed<Vec<String>> {
    parser.takes("by");
    parser.field_names_in_parens()
}

/// `rank [as name]`, its first word taken.
pub(super) fn parse_rank(parser: &mut Parser<'_>) -> Parsed<String> {
    let named = parser.takes("as");
    if named && (parser.ends_pipe() || parser.is("(")) {
        return Err(parser.unexpected("the name of the rank"));
    }
    if parser.ends_pipe() || parser.is("limit") { Ok("rank".into()) } else { parser.field_name() }
}

impl Sort {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let mut sort = Self { by: parse_by(parser)?, ..Self::default() };
        sort.falling = parser.takes("desc");
        if !sort.falling {
            parser.takes("asc");
        }
        loop {
            let place = parser.at();
            let twice = |known: bool, word: &str| match known {
                true => Err(crate::query::fault::Fault::new(place.0, format!("'{word}' is said twice"))),
                false => Ok(()),
            };
            if parser.is("offset") {
                twice(sort.offset > 0, "offset")?;
                parser.advance();
                sort.offset = parser.integer("the number after 'offset'")?;
            } else if parser.is("limit") {
                twice(sort.limit > 0, "limit")?;
                sort.limit = parser.limit()?;
            } else if parser.takes("rank") {
                sort.rank = Some(parse_rank(parser)?);
            } else if parser.is("partition") {
                twice(!sort.partition_by.is_empty(), "partition by")?;
                parser.advance();
                sort.partition_by = parse_partition(parser)?;
            } else {
                break;
            }
        }
        if !sort.partition_by.is_empty() && sort.limit == 0 {
            return Err(parser.fault("'partition by' needs a 'limit'"));
        }
        Ok(sort)
    }

    /// `by (...)`, if there are fields.
    pub(super) fn show_by(&self) -> String {
        if self.by.is_empty() {
            return String::new();
        }
        let shown = |(name, falling): &(String, bool)| {
            format!("{}{}", quote_if_needed(name), if *falling { " desc" } else { "" })
        };
        format!(" by ({})", self.by.iter().map(shown).collect::<Vec<_>>().join(", "))
    }

    /// `partition by (...)` and `rank as ...`, if they are said.
    pub(super) fn show_partition(&self) -> String {
        match self.partition_by.as_slice() {
            [] => String::new(),
            names => format!(" partition by ({})", show_names(names)),
        }
    }

    pub(super) fn show_rank(&self) -> String {
        show_rank(self.rank.as_deref())
    }

    /// How many of the newest rows it looks at, where these are all that it does.
    pub(crate) fn newest(&self) -> Option<u64> {
        let newest_first =
            matches!(self.by.as_slice(), [(name, falling)] if name == "_time" && *falling != self.falling);
        let is_all = self.limit > 0 && self.partition_by.is_empty();
        (newest_first && is_all).then(|| self.offset.saturating_add(self.limit))
    }

    pub(super) fn has_top(&self) -> bool {
        self.limit > 0
    }
}

/// ` rank as name`, if it is said.
pub(super) fn show_rank(rank: Option<&str>) -> String {
    match rank {
        None => String::new(),
        Some("rank") => " rank".into(),
        Some(name) => format!(" rank as {}", quote_if_needed(name)),
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sort{}{}{}", self.show_by(), if self.falling { " desc" } else { "" }, self.show_partition())?;
        if self.offset > 0 {
            write!(f, " offset {}", self.offset)?;
        }
        if self.limit > 0 {
            write!(f, " limit {}", self.limit)?;
        }
        f.write_str(&self.show_rank())
    }
}

impl Step for Sort {
    fn needed(&self, needed: &mut Needed) {
        if let Some(rank) = &self.rank {
            needed.remove(rank);
        }
        needed.add_all(self.by.iter().map(|(name, _)| name));
        needed.add_all(&self.partition_by);
        if self.by.is_empty() {
            needed.add("*");
        }
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        if self.has_top() {
            return Ok(Box::new(TopRows::new(self, context)));
        }
        let held = context.memory.hold("sort");
        Ok(Box::new(Sorter { pipe: self.clone(), blocks: Vec::new(), held, stop: context.stop.clone() }))
    }

    fn partial(&self, context: &Context<'_>) -> Result<Option<Partial>> {
        Ok(self.has_top().then(|| Partial::Sorted(Box::new(TopRows::new(self, context)))))
    }
}

/// A block, a row of it, and what it is compared by.
type Row<'b> = (&'b Block, usize, Vec<Ranked<String>>);

struct Sorter {
    pipe: Sort,
    blocks: Vec<Block>,
    held: Held,
    stop: Stop,
}

impl Stage for Sorter {
    fn push(&mut self, block: Block, _: &mut dyn Sink) -> Result<Flow> {
        let keys = self.pipe.by.len().max(1);
        // What rows are compared by is made of them once more, and all of a row where no field is named.
        let keys_bytes: usize = match self.pipe.by.as_slice() {
            [] => 2 * block.bytes(),
            by => by.iter().filter_map(|(name, _)| block.find(name)).map(Column::bytes).sum(),
        };
        let row_bytes = keys * (size_of::<Ranked<String>>() + 16) + size_of::<Row<'_>>() + 2 * size_of::<usize>();
        self.held.add(block.bytes() + keys_bytes + block.rows() * row_bytes)?;
        self.blocks.push(block);
        Ok(Flow::More)
    }

    fn finish(&mut self, next: &mut dyn Sink) -> Result<()> {
        let ordering = Ordering::of(&self.pipe);
        let blocks = std::mem::take(&mut self.blocks);
        let places = blocks.iter().flat_map(|block| (0..block.rows()).map(move |row| (block, row)));
        let mut rows: Vec<Row<'_>> = Vec::with_capacity(blocks.iter().map(Block::rows).sum());
        for (block, row) in places {
            if row == 0 {
                self.stop.check()?;
            }
            rows.push((block, row, ordering.keys(block, row)));
        }
        let mut order: Vec<usize> = (0..rows.len()).collect();
        let mut stopped = false;
        let mut compared = 0u32;
        merge_sort(&mut order, &mut |a, b| {
            compared = compared.wrapping_add(1);
            stopped |= compared.is_multiple_of(4_096) && self.stop.check().is_err();
            !stopped && rows.get(a).zip(rows.get(b)).is_some_and(|(a, b)| ordering.less(&a.2, &b.2))
        });
        self.stop.check()?;
        let mut out = BlockBuilder::default();
        let offset = usize::try_from(self.pipe.offset).unwrap_or(usize::MAX);
        for (place, at) in order.iter().enumerate().skip(offset) {
            let Some((block, row, _)) = rows.get(*at) else { continue };
            block.row(*row).for_each(|(name, value)| out.set(name, value));
            if let Some(rank) = &self.pipe.rank {
                out.set(rank, &(place + 1).to_string());
            }
            out.end_row();
            if out.is_full() && next.take(out.take())? == Flow::Enough {
                return Ok(());
            }
        }
        next.take(out.take()).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check_order;

    #[test]
    fn order_is_natural_and_stable() {
        check_order(
            "sort by (a)",
            r#"{"a":"10"}
{"a":"9"}
{"a":"1m"}
{"a":"a10"}
{"a":"a9"}
{"a":""}"#,
            "a",
            &["", "9", "10", "1m", "a9", "a10"],
        );
        check_order(
            "sort by (b desc, a)",
            r#"{"a":"1","b":"1"}
{"a":"3","b":"2"}
{"a":"2","b":"2"}"#,
            "a",
            &["2", "3", "1"],
        );
        check_order(
            "sort by (b) desc offset 1 limit 1",
            r#"{"a":"1","b":"1"}
{"a":"3","b":"2"}
{"a":"2","b":"3"}"#,
            "a",
            &["3"],
        );
        check_order(
            "sort by (b) | limit 2",
            r#"{"a":"1","b":"1"}
{"a":"3","b":"1"}
{"a":"2","b":"0"}"#,
            "a",
            &["2", "1"],
        );
        check_order(
            "sort by (a) rank as r offset 1",
            r#"{"a":"1"}
{"a":"0"}"#,
            "r",
            &["2"],
        );
        check_order(
            "sort by (a) partition by (p) limit 1",
            r#"{"a":"2","p":"y"}
{"a":"1","p":"y"}
{"a":"3","p":"x"}"#,
            "a",
            &["3", "1"],
        );
    }
}
