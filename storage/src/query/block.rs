//! Rows as pipes see them: columns of texts.
//!
//! A column may have its texts as codes for a few different ones, or as numbers and times that are written out only where
//! somebody looks at them as texts.
//!
//! Invariants
//! * Every column has a value for each row; a field that a row does not have is the empty text.
//! * No two columns of a block have the same name.
use super::bits::Bits;
use super::value::json::show_object;
use super::value::timestamp::show_timestamp;
use crate::batch::push_int;
use rustc_hash::FxHashMap;
use std::sync::{Arc, OnceLock};

/// Rows of a built block.
const ROWS_MAX: usize = 8_192;
/// Text of a built block.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Columns of a built block, unless a single row has more.
const COLUMNS_MAX: usize = 10_000;
/// Values of a built block, the empty ones included.
const CELLS_MAX: usize = 1 << 20;

/// Texts one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    /// Adds a text.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One of them; the empty text beyond their end.
    pub fn get(&self, row: usize) -> &str {
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(row).and_then(|end| self.text.get(start..*end)).unwrap_or_default()
    }

    /// How much memory they take.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<usize>()
    }

    fn pad(&mut self, len: usize) {
        if self.ends.len() < len {
            self.ends.resize(len, self.text.len());
        }
    }
}

impl<'a> FromIterator<&'a str> for Texts {
    fn from_iter<I: IntoIterator<Item = &'a str>>(iter: I) -> Self {
        let mut texts = Self::default();
        iter.into_iter().for_each(|text| texts.push(text));
        texts
    }
}

/// The values of a column.
#[derive(Clone, Debug)]
enum Values {
    Const(Arc<str>),
    Each(Arc<Texts>),
    /// Different texts, and which of them each row has.
    Listed(Arc<Texts>, Arc<[u32]>),
    Numbers(Arc<Numbers>),
}

/// Integers or times, which stand for their texts.
#[derive(Debug)]
struct Numbers {
    values: Vec<i64>,
    are_times: bool,
    texts: OnceLock<Texts>,
}

impl Numbers {
    fn new(values: Vec<i64>, are_times: bool) -> Self {
        Self { values, are_times, texts: OnceLock::new() }
    }

    fn texts(&self) -> &Texts {
        self.texts.get_or_init(|| {
            let mut texts = Texts::default();
            let mut digits = Vec::new();
            for value in &self.values {
                if self.are_times {
                    texts.push(&show_timestamp(*value));
                } else {
                    digits.clear();
                    push_int(*value, &mut digits);
                    texts.push(std::str::from_utf8(&digits).unwrap_or_default());
                }
            }
            texts
        })
    }
}

/// A column as what it is made of.
#[derive(Clone, Copy)]
pub(crate) enum Shown<'a> {
    /// One text in all rows.
    Const(&'a str),
    /// A text for each row.
    Each(&'a Texts),
    /// Different texts, and which of them each row has.
    Listed(&'a Texts, &'a [u32]),
    /// Integers, written without leading zeros.
    Ints(&'a [i64]),
    /// Nanoseconds since 1970, written as times.
    Times(&'a [i64]),
}

/// A column: a name, and a value for each row.
#[derive(Clone, Debug)]
pub struct Column {
    name: Arc<str>,
    values: Values,
    kinds: Kinds,
}

/// As what values were sent, by the names that `value_type` has for it.
#[derive(Clone, Debug)]
enum Kinds {
    All(&'static str),
    Each(Arc<[&'static str]>),
}

/// A text; what pipes make is one too.
pub(crate) const STRING: &str = "string";
/// Null is a value, though an empty text as all that is missing.
pub(crate) const NULL: &str = "null";

impl Column {
    /// A column with the same value in all rows.
    pub fn constant(name: &str, value: &str) -> Self {
        Self { name: name.into(), values: Values::Const(value.into()), kinds: Kinds::All(STRING) }
    }

    /// A column with a value for each row.
    pub fn new(name: &str, values: Texts) -> Self {
        Self { name: name.into(), values: Values::Each(Arc::new(values)), kinds: Kinds::All(STRING) }
    }

    /// A column of few different texts, and for each row which of them it has.
    pub(crate) fn listed(name: &str, texts: Texts, places: Vec<u32>) -> Self {
        Self { name: name.into(), values: Values::Listed(Arc::new(texts), places.into()), kinds: Kinds::All(STRING) }
    }

    /// A column of integers.
    pub(crate) fn ints(name: &str, values: Vec<i64>) -> Self {
        Self {
            name: name.into(),
            values: Values::Numbers(Arc::new(Numbers::new(values, false))),
            kinds: Kinds::All(STRING),
        }
    }

    /// A column of times.
    pub(crate) fn times(name: &str, values: Vec<i64>) -> Self {
        Self {
            name: name.into(),
            values: Values::Numbers(Arc::new(Numbers::new(values, true))),
            kinds: Kinds::All(STRING),
        }
    }

    /// What it is made of.
    pub(crate) fn shown(&self) -> Shown<'_> {
        match &self.values {
            Values::Const(value) => Shown::Const(value),
            Values::Each(texts) => Shown::Each(texts),
            Values::Listed(texts, places) => Shown::Listed(texts, places),
            Values::Numbers(numbers) if numbers.are_times => Shown::Times(&numbers.values),
            Values::Numbers(numbers) => Shown::Ints(&numbers.values),
        }
    }

    /// The same, all values of which were sent as one kind, which is not null.
    #[must_use]
    pub(crate) fn of_kind(self, kind: &'static str) -> Self {
        Self { kinds: Kinds::All(kind), ..self }
    }

    /// The same, with the kind that the value of each row was sent as; nothing where a row has none.
    #[must_use]
    pub(crate) fn of_kinds(self, kinds: Vec<&'static str>) -> Self {
        Self { kinds: Kinds::Each(kinds.into()), ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a row.
    pub fn value(&self, row: usize) -> &str {
        match &self.values {
            Values::Const(value) => value,
            Values::Each(texts) => texts.get(row),
            Values::Listed(texts, places) => places.get(row).map_or("", |place| texts.get(*place as usize)),
            Values::Numbers(numbers) => numbers.texts().get(row),
        }
    }

    /// The value of all rows, where it is the same in all.
    pub fn constant_value(&self) -> Option<&str> {
        match &self.values {
            Values::Const(value) => Some(value),
            _ => None,
        }
    }

    /// As what the value of a row was sent; nothing where the row has none.
    pub(crate) fn kind(&self, row: usize) -> Option<&'static str> {
        let kind = match &self.kinds {
            Kinds::All(kind) => kind,
            Kinds::Each(kinds) => kinds.get(row)?,
        };
        let has_value = matches!(self.values, Values::Numbers(_)) || *kind == NULL || !self.value(row).is_empty();
        has_value.then_some(kind)
    }

    pub(crate) fn renamed(&self, name: &str) -> Self {
        Self { name: name.into(), ..self.clone() }
    }

    /// About how much memory its values take.
    pub(crate) fn bytes(&self) -> usize {
        match &self.values {
            Values::Const(value) => value.len(),
            Values::Each(texts) => texts.bytes(),
            Values::Listed(texts, places) => texts.bytes() + places.len() * 4,
            Values::Numbers(numbers) => numbers.values.len() * 8 + numbers.texts.get().map_or(0, Texts::bytes),
        }
    }

    /// The same with the values of another column in the rows in which it has none. Nothing is written out row by row.
    fn over(&self, other: &Self, rows: usize) -> Self {
        let is_full = self.constant_value().is_some_and(|value| !value.is_empty());
        if is_full || other.constant_value() == Some("") && matches!(other.kinds, Kinds::All(_)) {
            return self.clone();
        }
        let stays = |row| self.value(row).is_empty() && other.kind(row).is_some();
        let mut texts = self.texts();
        let own = texts.len();
        let others = other.texts();
        (0..others.len()).for_each(|at| texts.push(others.get(at)));
        let place = |row| if stays(row) { own + other.place(row) } else { self.place(row) };
        let places = (0..rows).map(|row| place(row) as u32).collect();
        let kind = |row| if stays(row) { other.kind(row) } else { self.kind(row) }.unwrap_or(STRING);
        let kinds = match (&self.kinds, &other.kinds) {
            (Kinds::All(kind), Kinds::All(same)) if kind == same => Kinds::All(kind),
            _ => Kinds::Each((0..rows).map(kind).collect()),
        };
        Self { name: self.name.clone(), values: Values::Listed(Arc::new(texts), places), kinds }
    }

    /// Its texts, and which of them a row has.
    fn texts(&self) -> Texts {
        match &self.values {
            Values::Const(value) => [&**value].into_iter().collect(),
            Values::Each(texts) | Values::Listed(texts, _) => Texts::clone(texts),
            Values::Numbers(numbers) => numbers.texts().clone(),
        }
    }

    /// The same where null is none of the values.
    fn without_nulls(self) -> Self {
        let Kinds::Each(kinds) = &self.kinds else { return self };
        let kinds = kinds.iter().map(|kind| if *kind == NULL { STRING } else { kind }).collect();
        self.of_kinds(kinds)
    }

    fn place(&self, row: usize) -> usize {
        match &self.values {
            Values::Const(_) => 0,
            Values::Each(_) | Values::Numbers(_) => row,
            Values::Listed(_, places) => places.get(row).map_or(0, |place| *place as usize),
        }
    }

    fn select(&self, rows: &mut dyn Iterator<Item = usize>) -> Self {
        if let Kinds::Each(kinds) = &self.kinds {
            let rows: Vec<usize> = rows.collect();
            let kinds = rows.iter().map(|row| kinds.get(*row).copied().unwrap_or_default()).collect();
            return Self { kinds: Kinds::All(STRING), ..self.clone() }.select(&mut rows.into_iter()).of_kinds(kinds);
        }
        let values = match &self.values {
            Values::Const(value) => Values::Const(value.clone()),
            Values::Each(texts) => Values::Each(Arc::new(rows.map(|row| texts.get(row)).collect())),
            Values::Listed(texts, places) => {
                Values::Listed(texts.clone(), rows.map(|row| places.get(row).copied().unwrap_or(0)).collect())
            }
            Values::Numbers(numbers) => {
                let values = rows.map(|row| numbers.values.get(row).copied().unwrap_or(0)).collect();
                Values::Numbers(Arc::new(Numbers::new(values, numbers.are_times)))
            }
        };
        Self { values, ..self.clone() }
    }
}

static EMPTY: std::sync::LazyLock<Column> = std::sync::LazyLock::new(|| Column::constant("", ""));

/// Rows, by columns.
#[derive(Clone, Debug, Default)]
pub struct Block {
    rows: usize,
    columns: Vec<Column>,
}

impl Block {
    /// So many rows of these columns.
    pub fn new(rows: usize, columns: Vec<Column>) -> Self {
        let mut block = Self { rows, columns: Vec::with_capacity(columns.len()) };
        columns.into_iter().for_each(|column| block.put(column));
        block
    }

    /// So many rows of columns no two of which have the same name.
    pub(crate) fn with_columns(rows: usize, columns: Vec<Column>) -> Self {
        Self { rows, columns }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Its columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// A column; of empty texts where there is none of that name.
    pub fn column(&self, name: &str) -> &Column {
        self.find(name).unwrap_or(&EMPTY)
    }

    /// A column, where there is one of that name.
    pub fn find(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name() == name)
    }

    /// Adds a column, or replaces the one of that name.
    pub fn put(&mut self, column: Column) {
        match self.columns.iter_mut().find(|known| known.name == column.name) {
            Some(known) => *known = column,
            None => self.columns.push(column),
        }
    }

    /// The same where null is none of the values.
    #[must_use]
    pub(crate) fn without_nulls(self) -> Self {
        Self { columns: self.columns.into_iter().map(Column::without_nulls).collect(), ..self }
    }

    /// Adds a column. Where there is one of that name, its values stay in the rows in which the new one has none.
    pub(crate) fn put_over(&mut self, column: Column) {
        match self.columns.iter_mut().find(|known| known.name == column.name) {
            Some(known) => *known = column.over(known, self.rows),
            None => self.columns.push(column),
        }
    }

    pub(crate) fn retain_columns(&mut self, keep: impl FnMut(&Column) -> bool) {
        self.columns.retain(keep);
    }

    /// The rows that are kept.
    #[must_use]
    pub(crate) fn filtered(self, keep: &Bits) -> Self {
        if keep.is_full() {
            return self;
        }
        let columns = self.columns.iter().map(|column| column.select(&mut keep.rows())).collect();
        Self { rows: keep.count(), columns }
    }

    /// Some rows in their order.
    #[must_use]
    pub(crate) fn range(self, from: usize, to: usize) -> Self {
        let to = to.min(self.rows);
        if from == 0 && to == self.rows {
            return self;
        }
        let columns = self.columns.iter().map(|column| column.select(&mut (from..to))).collect();
        Self { rows: to.saturating_sub(from), columns }
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.columns.iter().map(|column| column.bytes() + column.name.len() + size_of::<Column>()).sum()
    }

    /// A row as a JSON object.
    pub fn row_json(&self, row: usize) -> String {
        show_object(self.row(row))
    }

    /// The fields of a row that are not empty.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (&str, &str)> {
        self.columns.iter().map(move |column| (column.name(), column.value(row))).filter(|(_, value)| !value.is_empty())
    }
}

/// A block that is built row by row.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    rows: usize,
    bytes: usize,
    names: FxHashMap<Arc<str>, usize>,
    columns: Vec<Built>,
}

/// A column that is built.
#[derive(Debug, Default)]
struct Built {
    name: Arc<str>,
    texts: Texts,
    /// As what values were sent; nothing while all are texts.
    kinds: Vec<&'static str>,
}

impl BlockBuilder {
    /// The number of the column of a name.
    pub(crate) fn slot(&mut self, name: &str) -> usize {
        if let Some(slot) = self.names.get(name) {
            return *slot;
        }
        let (slot, name) = (self.columns.len(), Arc::<str>::from(name));
        self.names.insert(name.clone(), slot);
        self.columns.push(Built { name, ..Built::default() });
        slot
    }

    /// Sets a value of the row that is being built; the last one counts.
    pub(crate) fn set_slot(&mut self, slot: usize, value: &str) {
        let rows = self.rows;
        let Some(Built { texts, .. }) = self.columns.get_mut(slot) else { return };
        texts.pad(rows);
        if texts.len() > rows {
            texts.ends.truncate(rows);
            texts.text.truncate(texts.ends.last().copied().unwrap_or(0));
        }
        texts.push(value);
        self.bytes += value.len();
    }

    /// Sets a value of the row that is being built.
    pub fn set(&mut self, name: &str, value: &str) {
        let slot = self.slot(name);
        self.set_slot(slot, value);
    }

    /// Sets the value of a row of a block, with what it was sent as.
    pub(crate) fn set_from(&mut self, column: &Column, row: usize) {
        let Some(kind) = column.kind(row) else { return };
        let slot = self.slot(column.name());
        self.set_slot(slot, column.value(row));
        let rows = self.rows;
        if let Some(Built { kinds, .. }) = self.columns.get_mut(slot)
            && (kind != STRING || !kinds.is_empty())
        {
            kinds.resize(rows, STRING);
            kinds.push(kind);
        }
    }

    /// Ends the row.
    pub fn end_row(&mut self) {
        self.rows += 1;
    }

    /// How many rows were ended.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether one row has more fields than a row can have.
    pub(crate) fn is_too_wide(&self) -> bool {
        self.columns.len() > 2 * COLUMNS_MAX
    }

    /// Whether it is time to take the block.
    pub fn is_full(&self) -> bool {
        self.rows >= ROWS_MAX
            || self.bytes >= TEXT_BYTES_MAX
            || self.rows.saturating_mul(self.columns.len()) >= CELLS_MAX
    }

    /// The block so far; the builder begins anew.
    pub fn take(&mut self) -> Block {
        let built = std::mem::take(self);
        let rows = built.rows;
        let column = |Built { name, mut texts, mut kinds }: Built| {
            texts.pad(rows);
            let is_text = kinds.is_empty();
            kinds.resize(rows, STRING);
            let kinds = if is_text { Kinds::All(STRING) } else { Kinds::Each(kinds.into()) };
            Column { name, values: Values::Each(Arc::new(texts)), kinds }
        };
        Block { rows, columns: built.columns.into_iter().map(column).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_other_fields_are_padded() {
        let mut builder = BlockBuilder::default();
        builder.set("a", "1");
        builder.end_row();
        builder.set("b", "x");
        builder.set("b", "y");
        builder.end_row();
        builder.end_row();
        let block = builder.take();
        assert_eq!(block.rows(), 3);
        assert_eq!((block.column("a").value(0), block.column("a").value(1), block.column("b").value(0)), ("1", "", ""));
        assert_eq!(block.row(1).collect::<Vec<_>>(), [("b", "y")]);
        assert_eq!(block.column("none").value(2), "");
        assert_eq!((builder.rows(), builder.take().columns().len()), (0, 0));
    }

    #[test]
    fn values_keep_what_they_were_sent_as() {
        let texts = ["1", "", "x", "", "true"].into_iter().collect();
        let sent = Column::new("a", texts).of_kinds(vec!["number", NULL, STRING, "", "bool"]);
        let wanted = [Some("number"), Some(NULL), Some(STRING), None, Some("bool")];
        assert_eq!((0..5).map(|row| sent.kind(row)).collect::<Vec<_>>(), wanted);
        let mut builder = BlockBuilder::default();
        for row in (0..5).rev() {
            builder.set_from(&sent, row);
            builder.end_row();
        }
        let built = builder.take();
        let found: Vec<_> = (0..5).rev().map(|row| built.column("a").kind(row)).collect();
        assert_eq!(found, wanted);
        let part = built.range(1, 4);
        assert_eq!((0..3).map(|row| part.column("a").kind(row)).collect::<Vec<_>>(), [None, Some(STRING), Some(NULL)]);
        assert_eq!((Column::ints("n", vec![7]).kind(0), Column::constant("c", "").kind(0)), (Some(STRING), None));
    }

    #[test]
    fn a_column_leaves_values_where_it_has_none() {
        let forms = || {
            [
                Column::new("a", ["x", "", "z"].into_iter().collect()),
                Column::listed("a", ["x", "", "z"].into_iter().collect(), vec![0, 1, 2]),
                Column::constant("a", "k"),
                Column::constant("a", ""),
                Column::ints("a", vec![7, 8, 9]).of_kind("number"),
                Column::new("a", ["x", "", ""].into_iter().collect()).of_kinds(vec!["string", NULL, ""]),
            ]
        };
        for new in forms() {
            for old in forms() {
                let mut block = Block::new(3, vec![old.clone()]);
                block.put_over(new.clone());
                for row in 0..3 {
                    let wanted = if new.value(row).is_empty() { old.value(row) } else { new.value(row) };
                    assert_eq!(block.column("a").value(row), wanted);
                    let kind = if new.value(row).is_empty() { old.kind(row).or(new.kind(row)) } else { new.kind(row) };
                    assert_eq!(block.column("a").kind(row), kind);
                }
            }
        }
    }

    #[test]
    fn rows_are_selected() {
        let block =
            Block::new(3, vec![Column::new("a", ["x", "y", "z"].into_iter().collect()), Column::constant("c", "k")]);
        let mut keep = Bits::new(3, true);
        keep.retain(|row| row != 1);
        let kept = block.clone().filtered(&keep);
        assert_eq!((kept.rows(), kept.column("a").value(1), kept.column("c").value(1)), (2, "z", "k"));
        let part = block.range(1, 9);
        assert_eq!((part.rows(), part.column("a").value(0)), (2, "y"));
    }
}
