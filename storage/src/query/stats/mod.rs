//! Functions of `stats`: what they are, and what they have seen so far.
//!
//! Invariants
//! * A state takes rows in any order, several can be put together as one, and what they keep is accounted for.
//! * What is shown parses to the same function; results are named by it.
mod count;
mod extreme;
mod histogram;
mod integers;
mod parse;
mod quantile;
mod rows;
mod sum;
mod uniq;
mod values;

use super::block::{Block, Column, Shown};
use super::budget::Held;
use super::needed::{Needed, fits_any};
use super::parse::{quote_if_needed, quote_pattern};
use super::value::json::{json_string_bytes, show_array_in};
use super::value::number::show;
use crate::error::{Error, Result};
use count::Count;
use extreme::Extreme;
use histogram::Histogram;
use quantile::Quantile;
use rows::{AnyRow, ExtremeRow};
use std::fmt;
use sum::Sum;
use uniq::Uniq;
use values::List;

/// Texts as a JSON array, which is counted before it is made.
fn array_within<'a>(items: impl Iterator<Item = &'a str> + Clone, held: &mut Held) -> Result<String> {
    let bytes = items.clone().map(|item| json_string_bytes(item) + 1).sum::<usize>() + 2;
    held.add(bytes)?;
    Ok(show_array_in(String::with_capacity(bytes), items))
}

/// A function.
#[derive(Clone, Debug, PartialEq)]
pub enum Function {
    /// The average of numbers.
    Avg(Vec<String>),
    /// How many rows have any of the fields.
    Count(Vec<String>),
    /// How many rows have none of the fields.
    CountEmpty(Vec<String>),
    /// How many different values, or tuples of values, there are, up to a limit.
    CountUniq(Vec<String>, u64),
    /// The same, by hashes.
    CountUniqHash(Vec<String>, u64),
    /// How many numbers fall into which range.
    Histogram(String),
    /// The rows as JSON, up to a limit.
    JsonValues(Vec<String>, u64),
    /// The greatest value.
    Max(Vec<String>),
    /// The value in the middle.
    Median(Vec<String>),
    /// The least value.
    Min(Vec<String>),
    /// The value that a part of the values is below.
    Quantile(String, Vec<String>),
    /// Rows a second.
    Rate,
    /// The sum of numbers a second.
    RateSum(Vec<String>),
    /// Any row, as JSON.
    RowAny(Vec<String>),
    /// The row with the greatest value of the first field, as JSON.
    RowMax(String, Vec<String>),
    /// The row with the least value of the first field, as JSON.
    RowMin(String, Vec<String>),
    /// The sum of numbers.
    Sum(Vec<String>),
    /// The bytes of all values.
    SumLen(Vec<String>),
    /// The different values in their order, up to a limit.
    UniqValues(Vec<String>, u64),
    /// All values, up to a limit.
    Values(Vec<String>, u64),
}

impl Function {
    fn name(&self) -> &'static str {
        match self {
            Self::Avg(_) => "avg",
            Self::Count(_) => "count",
            Self::CountEmpty(_) => "count_empty",
            Self::CountUniq(..) => "count_uniq",
            Self::CountUniqHash(..) => "count_uniq_hash",
            Self::Histogram(_) => "histogram",
            Self::JsonValues(..) => "json_values",
            Self::Max(_) => "max",
            Self::Median(_) => "median",
            Self::Min(_) => "min",
            Self::Quantile(..) => "quantile",
            Self::Rate => "rate",
            Self::RateSum(_) => "rate_sum",
            Self::RowAny(_) => "row_any",
            Self::RowMax(..) => "row_max",
            Self::RowMin(..) => "row_min",
            Self::Sum(_) => "sum",
            Self::SumLen(_) => "sum_len",
            Self::UniqValues(..) => "uniq_values",
            Self::Values(..) => "values",
        }
    }

    /// The fields that it is about; those of [`Self::first`] stand before them.
    fn fields(&self) -> &[String] {
        match self {
            Self::Avg(fields)
            | Self::Count(fields)
            | Self::CountEmpty(fields)
            | Self::CountUniq(fields, _)
            | Self::CountUniqHash(fields, _)
            | Self::JsonValues(fields, _)
            | Self::Max(fields)
            | Self::Median(fields)
            | Self::Min(fields)
            | Self::Quantile(_, fields)
            | Self::RateSum(fields)
            | Self::RowAny(fields)
            | Self::RowMax(_, fields)
            | Self::RowMin(_, fields)
            | Self::Sum(fields)
            | Self::SumLen(fields)
            | Self::UniqValues(fields, _)
            | Self::Values(fields, _) => fields,
            Self::Histogram(field) => std::slice::from_ref(field),
            Self::Rate => &[],
        }
    }

    /// What stands before the fields: a field to compare by, or a part of one.
    fn first(&self) -> Option<&str> {
        match self {
            Self::Quantile(first, _) | Self::RowMax(first, _) | Self::RowMin(first, _) => Some(first),
            _ => None,
        }
    }

    fn limit(&self) -> u64 {
        match self {
            Self::CountUniq(_, limit)
            | Self::CountUniqHash(_, limit)
            | Self::JsonValues(_, limit)
            | Self::UniqValues(_, limit)
            | Self::Values(_, limit) => *limit,
            _ => 0,
        }
    }

    /// Adds the fields that it looks at.
    pub(crate) fn needed(&self, needed: &mut Needed) {
        if matches!(self, Self::Count(fields) if fields.iter().any(|field| field == "*")) {
            return;
        }
        needed.add_all(self.fields());
        if let Self::RowMax(field, _) | Self::RowMin(field, _) = self {
            needed.add(field);
        }
    }

    /// The columns of a block that it looks at.
    pub(crate) fn input<'b>(&'b self, block: &'b Block) -> Input<'b> {
        let by = match self {
            Self::RowMax(field, _) | Self::RowMin(field, _) => Some(block.column(field)),
            _ => None,
        };
        let patterns = self.fields();
        let columns: Vec<&Column> = match patterns {
            [only] if !only.ends_with('*') => vec![block.column(only)],
            // Tuples have their fields in their order.
            _ if matches!(self, Self::CountUniq(..) | Self::CountUniqHash(..)) => {
                patterns.iter().map(|name| block.column(name)).collect()
            }
            _ => {
                let fitting = block.columns().iter().filter(|column| fits_any(patterns, column.name()));
                let missing = patterns.iter().filter(|name| !name.ends_with('*') && block.find(name).is_none());
                fitting.chain(missing.map(|name| block.column(name))).collect()
            }
        };
        let every_row = patterns.iter().any(|pattern| pattern == "*");
        let has_prefix = patterns.iter().any(|pattern| pattern.ends_with('*'));
        Input { columns, by, every_row, patterns: if has_prefix { patterns } else { &[] } }
    }

    /// A state that has seen nothing.
    pub(crate) fn state(&self) -> State {
        match self {
            Self::Avg(_) => State::Avg(Sum::default()),
            Self::Count(_) => State::Count(Count::of_any()),
            Self::CountEmpty(_) => State::Count(Count::of_none()),
            Self::CountUniq(..) => State::Uniq(Uniq::default()),
            Self::CountUniqHash(..) => State::UniqHash(uniq::Hashes::default()),
            Self::Histogram(_) => State::Histogram(Histogram::default()),
            Self::JsonValues(_, limit) => State::Json(List::new(*limit)),
            Self::Max(_) => State::Extreme(Extreme::greatest()),
            Self::Median(_) => State::Quantile(Box::new(Quantile::new(0.5))),
            Self::Min(_) => State::Extreme(Extreme::least()),
            Self::Quantile(part, _) => State::Quantile(Box::new(Quantile::new(part.parse().unwrap_or(0.5)))),
            Self::Rate => State::Rate(0),
            Self::RateSum(_) => State::RateSum(Sum::default()),
            Self::RowAny(_) => State::AnyRow(AnyRow::default()),
            Self::RowMax(..) => State::ExtremeRow(ExtremeRow::greatest()),
            Self::RowMin(..) => State::ExtremeRow(ExtremeRow::least()),
            Self::Sum(_) => State::Sum(Sum::default()),
            Self::SumLen(_) => State::SumLen(0),
            Self::UniqValues(..) => State::UniqValues(Uniq::default()),
            Self::Values(_, limit) => State::Values(List::new(*limit)),
        }
    }
}

/// The columns that a function looks at.
pub(crate) struct Input<'b> {
    /// The names and prefixes that these fit, where there are prefixes.
    patterns: &'b [String],
    pub(crate) columns: Vec<&'b Column>,
    pub(crate) by: Option<&'b Column>,
    /// Whether every row counts, whatever it has.
    pub(crate) every_row: bool,
}

impl<'b> Input<'b> {
    /// The values of a row: of a field that only fits a prefix where the row has it, of one that is named the empty text too.
    fn values(&self, row: usize) -> impl Iterator<Item = &'b str> + '_ {
        let counts = |column: &Column, value: &str| {
            !value.is_empty() || self.patterns.is_empty() || self.patterns.iter().any(|name| name == column.name())
        };
        self.columns
            .iter()
            .map(move |column| (*column, column.value(row)))
            .filter_map(move |(column, value)| counts(column, value).then_some(value))
    }

    /// The integers of the one column that there is, if that is what it is made of.
    pub(crate) fn only_ints(&self) -> Option<&'b [i64]> {
        match self.columns.as_slice() {
            [only] => match only.shown() {
                Shown::Ints(values) => Some(values),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What a function has seen.
pub(crate) enum State {
    Avg(Sum),
    Count(Count),
    Uniq(Uniq),
    UniqHash(uniq::Hashes),
    Histogram(Histogram),
    Json(List),
    Extreme(Extreme),
    Quantile(Box<Quantile>),
    Rate(u64),
    RateSum(Sum),
    AnyRow(AnyRow),
    ExtremeRow(ExtremeRow),
    Sum(Sum),
    SumLen(u64),
    UniqValues(Uniq),
    Values(List),
}

impl State {
    /// What it takes before it has seen anything, about.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + if let Self::Quantile(_) = self { size_of::<Quantile>() } else { 0 }
    }

    /// Takes a row.
    pub(crate) fn add(&mut self, function: &Function, input: &Input<'_>, row: usize, held: &mut Held) -> Result<()> {
        if let Some(value) = input.only_ints().and_then(|ints| ints.get(row))
            && self.add_int(*value, function, held)?
        {
            return Ok(());
        }
        let mut values = input.values(row);
        match self {
            Self::Avg(sum) | Self::Sum(sum) | Self::RateSum(sum) => values.for_each(|value| sum.add(value)),
            Self::Count(count) => count.add(input, row),
            Self::Uniq(uniq) => uniq.add_tuple(input, row, function.limit(), held)?,
            Self::UniqHash(hashes) => hashes.add_tuple(input, row, function.limit(), held)?,
            Self::Histogram(histogram) => values.try_for_each(|value| histogram.add(value, held))?,
            Self::Json(list) => list.add_row(input, row, held)?,
            Self::Extreme(extreme) => values.try_for_each(|value| extreme.add(value, held))?,
            Self::Quantile(quantile) => values.try_for_each(|value| quantile.add(value, held))?,
            Self::Rate(rows) => *rows += 1,
            Self::AnyRow(any) => any.add(input, row, held)?,
            Self::ExtremeRow(extreme) => extreme.add(input, row, held)?,
            Self::SumLen(bytes) => *bytes += values.map(|value| value.len() as u64).sum::<u64>(),
            Self::UniqValues(uniq) => values.try_for_each(|value| uniq.add(value, function.limit(), held))?,
            Self::Values(list) => values.try_for_each(|value| list.add(value, held))?,
        }
        Ok(())
    }

    /// Takes integers, if it does so without their texts.
    pub(crate) fn add_ints(&mut self, values: &[i64], function: &Function, held: &mut Held) -> Result<bool> {
        match self {
            Self::Uniq(uniq) => uniq.add_ints(values, function.limit(), held)?,
            _ => {
                for value in values {
                    if !self.add_int(*value, function, held)? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Takes an integer, if it does so without its text.
    pub(crate) fn add_int(&mut self, value: i64, function: &Function, held: &mut Held) -> Result<bool> {
        match self {
            Self::Avg(sum) | Self::Sum(sum) | Self::RateSum(sum) => sum.add_int(value),
            Self::Count(count) => count.add_int(),
            Self::Uniq(uniq) | Self::UniqValues(uniq) => uniq.add_int(value, function.limit(), held)?,
            Self::Extreme(extreme) => extreme.add_int(value),
            Self::Quantile(quantile) => quantile.add_int(value, held)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes what another one has seen. What that one holds is part of what is held, and is given back where it is dropped.
    pub(crate) fn merge(&mut self, function: &Function, other: Self, held: &mut Held) -> Result<()> {
        let limit = function.limit();
        match (self, other) {
            (Self::Avg(a), Self::Avg(b)) | (Self::Sum(a), Self::Sum(b)) | (Self::RateSum(a), Self::RateSum(b)) => {
                a.merge(&b);
            }
            (Self::Count(a), Self::Count(b)) => a.merge(&b),
            (Self::Uniq(a), Self::Uniq(b)) | (Self::UniqValues(a), Self::UniqValues(b)) => a.merge(b, limit, held)?,
            (Self::UniqHash(a), Self::UniqHash(b)) => a.merge(b, limit, held)?,
            (Self::Histogram(a), Self::Histogram(b)) => a.merge(b, held),
            (Self::Json(a), Self::Json(b)) | (Self::Values(a), Self::Values(b)) => a.merge(b),
            (Self::Extreme(a), Self::Extreme(b)) => a.merge(b, held),
            (Self::Quantile(a), Self::Quantile(b)) => a.merge(*b, held)?,
            (Self::Rate(a), Self::Rate(b)) | (Self::SumLen(a), Self::SumLen(b)) => *a += b,
            (Self::AnyRow(a), Self::AnyRow(b)) => a.merge(b, held),
            (Self::ExtremeRow(a), Self::ExtremeRow(b)) => a.merge(b, held),
            _ => return Err(Error::bug("states of different functions")),
        }
        Ok(())
    }

    /// Takes many rows of which it needs to see nothing, if it can.
    pub(crate) fn add_unseen(&mut self, input: &Input<'_>, rows: usize) -> bool {
        match self {
            Self::Count(count) if input.every_row => count.add_rows(rows as u64),
            Self::Rate(seen) => *seen += rows as u64,
            _ => return false,
        }
        true
    }

    /// The result; rates are for so many seconds, if any. It is held before it is made where it can be large.
    pub(crate) fn result(&mut self, function: &Function, seconds: Option<f64>, held: &mut Held) -> Result<String> {
        let per_second = |value: f64| show(value / seconds.filter(|s| *s > 0.0).unwrap_or(1.0));
        let limited = |count: usize| match function.limit() {
            0 => count.to_string(),
            limit => (count as u64).min(limit).to_string(),
        };
        Ok(match self {
            Self::Avg(sum) => show(sum.average()),
            Self::Count(count) => count.rows().to_string(),
            Self::Uniq(uniq) => limited(uniq.len()),
            Self::UniqHash(hashes) => limited(hashes.len()),
            Self::Histogram(histogram) => histogram.result(),
            Self::Json(list) | Self::Values(list) => list.result(held)?,
            Self::Extreme(extreme) => extreme.result(),
            Self::Quantile(quantile) => quantile.result(held)?,
            Self::Rate(rows) => per_second(*rows as f64),
            Self::RateSum(sum) => per_second(sum.sum()),
            Self::AnyRow(any) => any.result(),
            Self::ExtremeRow(extreme) => extreme.result(),
            Self::Sum(sum) => show(sum.sum()),
            Self::SumLen(bytes) => bytes.to_string(),
            Self::UniqValues(uniq) => uniq.result(function.limit(), held)?,
        })
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.fields();
        let all = fields.iter().any(|field| field == "*");
        let mut shown: Vec<String> = Vec::new();
        match self {
            Self::Quantile(part, _) => shown.push(part.clone()),
            _ => shown.extend(self.first().map(quote_if_needed)),
        }
        if self.first().is_none() || !all {
            shown.extend(fields.iter().map(|field| quote_pattern(field)));
        }
        write!(f, "{}({})", self.name(), shown.join(", "))?;
        match self.limit() {
            0 => Ok(()),
            limit => write!(f, " limit {limit}"),
        }
    }
}
