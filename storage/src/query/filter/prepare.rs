//! Filters made ready to run: expressions compiled, subqueries answered, times resolved.
//!
//! Invariants
//! * Made once for a query, used for every value; nothing is parsed again but the values themselves.
//! * It is the same for what there is and for what arrives.
use super::contains::{FEW, Phrases};
use super::fields::FieldPair;
use super::phrase::Needle;
use super::sequence::{in_order, needles};
use super::stream::Streams;
use super::word_set::WordSet;
use super::{
    DayRange, FieldTest, Filter, Fuzzy, Ipv4Range, LabelTest, LengthRange, NumberRange, StreamIds, Test, TextRange,
    Values, WeekRange,
};
use crate::error::{Error, Result};
use crate::query::bits::Bits;
use crate::query::block::{Block, Column, Shown};
use crate::query::budget::Held;
use crate::query::needed::Needed;
use crate::query::run::{Context, Flow};
use crate::query::value::automaton::Automaton;
use crate::query::value::number::arithmetic;
use crate::query::value::regexp::{self, Regex, compile};
use crate::query::value::timestamp::timestamp;
use crate::scan::Cancel;
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A filter ready to run.
pub struct Matcher {
    pub(super) part: Part,
    stop: Cancel,
    /// What it takes.
    _held: Held,
}

pub(crate) enum Part {
    All,
    None,
    And(Vec<Part>),
    Or(Vec<Part>),
    Not(Box<Part>),
    Field(String, Arc<FieldCheck>),
    Fields(FieldPair),
    Kind(String, String),
}

/// What a test takes as memory beside its texts, about: itself, and what scans make of it.
const CHECK_BYTES: usize = 1 << 10;
/// What a value to compare with takes beside its text, about, and a phrase to look for.
const VALUE_BYTES: usize = 128;
const PHRASE_BYTES: usize = 640;
/// How often a text is copied while it is made ready.
const COPIES: usize = 4;
/// Texts that are tested between two looks whether to go on, where a test takes long.
const PATIENCE: u32 = 16;

/// A test of a field.
pub(crate) struct FieldCheck {
    pub(super) check: Check,
    stop: Cancel,
    tested: AtomicU32,
    is_stopped: AtomicBool,
    /// What tells it from other tests: the test as it is shown, and the values that a subquery gave.
    pub(super) key: String,
    /// What a regular expression says of shapes.
    pub(super) automaton: Option<Automaton>,
}

impl FieldCheck {
    fn new(check: Check, key: String, stop: &Cancel) -> Arc<Self> {
        let automaton = match &check {
            Check::Regexp(regex) => Automaton::new(regex),
            _ => None,
        };
        let (tested, is_stopped) = (AtomicU32::new(0), AtomicBool::new(false));
        Arc::new(Self { check, stop: stop.clone(), tested, is_stopped, key, automaton })
    }

    /// Whether a text passes; none does any more once the query has to end, which it then does with an error.
    pub(super) fn matches(&self, value: &str) -> bool {
        !(self.check.takes_long() && self.has_to_end()) && self.check.matches(value)
    }

    fn has_to_end(&self) -> bool {
        if self.tested.fetch_add(1, Ordering::Relaxed).is_multiple_of(PATIENCE) && self.stop.check().is_err() {
            self.is_stopped.store(true, Ordering::Relaxed);
        }
        self.is_stopped.load(Ordering::Relaxed)
    }
}

/// A test of a text, ready to run.
pub(crate) enum Check {
    Needle(Box<Needle>),
    NotEmpty,
    Exact(String),
    Begins(String),
    In(FxHashSet<String>),
    All(Phrases),
    Any(Phrases),
    Sequence(Vec<Needle>),
    /// Any of many words and phrases.
    OneOf(WordSet),
    Fuzzy(Fuzzy),
    Regexp(Regex),
    Number(NumberRange),
    Text(TextRange),
    Length(LengthRange),
    Ipv4(Ipv4Range),
    Time(i64, i64),
    Day(DayRange),
    Week(WeekRange),
    Stream(Streams),
}

impl Check {
    /// Whether a text passes.
    pub(crate) fn matches(&self, value: &str) -> bool {
        match self {
            Self::Needle(needle) => needle.is_in(value),
            Self::NotEmpty => !value.is_empty(),
            Self::Exact(text) => value == text,
            Self::Begins(text) => value.starts_with(text.as_str()),
            Self::In(values) => values.contains(value),
            Self::All(phrases) => phrases.all_in(value),
            Self::Any(phrases) => phrases.any_in(value),
            Self::Sequence(needles) => in_order(needles, value),
            Self::OneOf(set) => set.is_in(value),
            Self::Fuzzy(fuzzy) => fuzzy.is_in(value),
            Self::Regexp(regex) => regex.is_match(value),
            Self::Number(range) => range.has(arithmetic(value)),
            Self::Text(range) => range.has(value),
            Self::Length(range) => range.has(value),
            Self::Ipv4(range) => range.has(value),
            Self::Time(min, max) => timestamp(value).is_some_and(|time| time >= *min && time <= *max),
            Self::Day(range) => timestamp(value).is_some_and(|time| range.has(time)),
            Self::Week(range) => timestamp(value).is_some_and(|time| range.has(time)),
            Self::Stream(streams) => streams.has(value),
        }
    }

    fn text(&self) -> Option<String> {
        if let Self::Exact(text) = self { Some(text.clone()) } else { None }
    }

    fn needle(&self) -> Option<Needle> {
        if let Self::Needle(needle) = self { Some((**needle).clone()) } else { None }
    }

    /// Whether a single text can take long.
    fn takes_long(&self) -> bool {
        match self {
            Self::Fuzzy(_) | Self::Regexp(_) | Self::Sequence(_) | Self::Stream(_) | Self::OneOf(_) => true,
            Self::All(phrases) | Self::Any(phrases) => phrases.needles().len() > PATIENCE as usize,
            _ => false,
        }
    }

    /// Whether the text of an integer passes.
    pub(super) fn matches_int(&self, value: i64) -> bool {
        match self {
            Self::NotEmpty => true,
            // Greater ones are rounded in ways that texts are asked about.
            Self::Number(range) if value.unsigned_abs() < 1 << 53 => range.has(value as f64),
            _ => self.matches(&value.to_string()),
        }
    }

    /// Whether it is about times, however they are written.
    fn is_of_times(&self) -> bool {
        matches!(self, Self::Time(..) | Self::Day(_) | Self::Week(_) | Self::NotEmpty)
    }

    fn matches_time(&self, time: i64) -> bool {
        match self {
            Self::Time(min, max) => time >= *min && time <= *max,
            Self::Day(range) => range.has(time),
            Self::Week(range) => range.has(time),
            _ => true,
        }
    }

    /// What tells it from other tests.
    fn key(&self, test: &Test) -> String {
        let texts = |phrases: &Phrases| phrases.needles().iter().map(|n| n.text().to_string()).collect::<Vec<_>>();
        match (self, test) {
            (Self::In(values), Test::In(Values::Query(_))) => {
                let mut sorted: Vec<&str> = values.iter().map(String::as_str).collect();
                sorted.sort_unstable();
                format!("in {sorted:?}")
            }
            (Self::All(phrases), Test::ContainsAll(Values::Query(_))) => format!("all {:?}", texts(phrases)),
            (Self::Any(phrases), Test::ContainsAny(Values::Query(_))) => format!("any {:?}", texts(phrases)),
            _ => test.to_string(),
        }
    }

    fn prepare(test: &Test, context: &Context<'_>, held: &mut Held) -> Result<Self> {
        Ok(match test {
            Test::Phrase(text) => Self::Needle(Box::new(Needle::phrase(text, false))),
            Test::AnyCasePhrase(text) => Self::Needle(Box::new(Needle::phrase(text, true))),
            Test::Prefix(text) | Test::AnyCasePrefix(text) if text.is_empty() => Self::NotEmpty,
            Test::Prefix(text) => Self::Needle(Box::new(Needle::prefix(text, false))),
            Test::AnyCasePrefix(text) => Self::Needle(Box::new(Needle::prefix(text, true))),
            Test::Exact(text) => Self::Exact(text.clone()),
            Test::ExactPrefix(text) => Self::Begins(text.clone()),
            Test::In(values) => Self::In(answered(values, context, held)?.into_iter().collect()),
            Test::ContainsAll(values) => Self::All(phrases(values, context, held)?),
            Test::ContainsAny(values) => Self::Any(phrases(values, context, held)?.of_any()),
            Test::Sequence(phrases) => {
                held.add(phrases.len().saturating_mul(PHRASE_BYTES))?;
                Self::Sequence(needles(phrases))
            }
            Test::Fuzzy(fuzzy) => Self::Fuzzy(fuzzy.clone()),
            Test::Regexp(text) => {
                held.add(regexp::MEMORY_BYTES)?;
                Self::Regexp(compile(text).map_err(Error::invalid)?)
            }
            Test::Number(range) => Self::Number(range.clone()),
            Test::Text(range) => Self::Text(range.clone()),
            Test::Length(range) => Self::Length(range.clone()),
            Test::Ipv4(range) => Self::Ipv4(range.clone()),
            // Columns are asked, not values; no value passes by itself.
            Test::ValueType(_) => Self::In(FxHashSet::default()),
        })
    }
}

fn phrases(values: &Values, context: &Context<'_>, held: &mut Held) -> Result<Phrases> {
    let texts = answered(values, context, held)?;
    held.add(texts.len().saturating_mul(PHRASE_BYTES))?;
    Ok(Phrases::new(texts.iter().map(String::as_str)))
}

/// The values themselves; a subquery is run for them.
fn answered(values: &Values, context: &Context<'_>, held: &mut Held) -> Result<Vec<String>> {
    let subquery = match values {
        Values::List(list) => {
            held.add(list.iter().map(|value| COPIES * value.len() + VALUE_BYTES).sum())?;
            return Ok(list.clone());
        }
        Values::Query(subquery) => subquery,
    };
    let mut needed = Needed::none();
    needed.add(&subquery.field);
    let mut seen: FxHashSet<String> = FxHashSet::default();
    context.run_within(&subquery.query, &needed, &mut |block: Block| {
        let column = block.column(&subquery.field);
        for row in 0..block.rows() {
            let value = column.value(row);
            if !seen.contains(value) {
                held.add(COPIES * value.len() + VALUE_BYTES)?;
                seen.insert(value.into());
            }
        }
        Ok(Flow::More)
    })?;
    let mut values: Vec<String> = seen.into_iter().collect();
    values.sort_unstable();
    Ok(values)
}

/// The same filter with what its subqueries give in their place.
pub(crate) fn answered_within(filter: &Filter, context: &Context<'_>, held: &mut Held) -> Result<Filter> {
    let mut list = |values: &Values| answered(values, context, held).map(Values::List);
    Ok(match filter {
        Filter::And(parts) => {
            Filter::And(parts.iter().map(|part| answered_within(part, context, held)).collect::<Result<_>>()?)
        }
        Filter::Or(parts) => {
            Filter::Or(parts.iter().map(|part| answered_within(part, context, held)).collect::<Result<_>>()?)
        }
        Filter::Not(part) => Filter::Not(Box::new(answered_within(part, context, held)?)),
        Filter::Field(of) => {
            let test = match &of.test {
                Test::In(values) => Test::In(list(values)?),
                Test::ContainsAll(values) => Test::ContainsAll(list(values)?),
                Test::ContainsAny(values) => Test::ContainsAny(list(values)?),
                test => test.clone(),
            };
            Filter::Field(FieldTest { test, ..of.clone() })
        }
        Filter::StreamId(ids) => Filter::StreamId(StreamIds { ids: list(&ids.ids)?, ..ids.clone() }),
        other => other.clone(),
    })
}

impl Matcher {
    /// Makes a filter ready; its subqueries are run.
    pub fn prepare(filter: &Filter, context: &Context<'_>) -> Result<Self> {
        let mut held = context.memory.hold("a filter, or the values that a subquery gives for one,");
        let part = Part::prepare(filter, context, &mut held)?;
        Ok(Self { part, stop: context.stop.cancel_of_scan().clone(), _held: held })
    }

    /// The same, within a time range too.
    pub(crate) fn within(self, (first, last): (i64, i64)) -> Self {
        if (first, last) == (i64::MIN, i64::MAX) {
            return self;
        }
        let range = Part::Field(
            "_time".into(),
            FieldCheck::new(Check::Time(first, last), format!("within {first} {last}"), &self.stop),
        );
        Self { part: Part::And(vec![range, self.part]), ..self }
    }

    /// Drops the rows that do not pass.
    pub(crate) fn apply(&self, block: &Block, keep: &mut Bits) {
        self.part.apply(block, keep, &self.stop);
    }

    /// Drops the rows that do not pass some parts of it.
    pub(super) fn apply_some(&self, parts: &[&Part], block: &Block, keep: &mut Bits) {
        for part in parts {
            if keep.is_empty() {
                return;
            }
            part.apply(block, keep, &self.stop);
        }
    }

    /// Whether every row passes.
    pub fn is_all(&self) -> bool {
        matches!(self.part, Part::All)
    }

    /// The rows that pass.
    pub fn filtered(&self, block: Block) -> Block {
        if self.is_all() {
            return block;
        }
        let mut keep = Bits::new(block.rows(), true);
        self.apply(&block, &mut keep);
        block.filtered(&keep)
    }
}

impl Part {
    fn prepare(filter: &Filter, context: &Context<'_>, held: &mut Held) -> Result<Self> {
        let stop = context.stop.cancel_of_scan();
        let time = |check, key| Ok(Self::Field("_time".into(), FieldCheck::new(check, key, stop)));
        held.add(CHECK_BYTES)?;
        let mut all = |parts: &[Filter]| -> Result<Vec<Self>> {
            parts.iter().map(|part| Self::prepare(part, context, held)).collect()
        };
        match filter {
            Filter::All => Ok(Self::All),
            Filter::And(parts) => {
                let mut parts = all(parts)?;
                parts.retain(|part| !matches!(part, Self::All));
                Ok(if parts.is_empty() { Self::All } else { Self::And(parts) })
            }
            Filter::Or(parts) => {
                let parts = all(parts)?;
                if parts.iter().any(|part| matches!(part, Self::All)) {
                    return Ok(Self::All);
                }
                let mut parts = together(parts, stop);
                Ok(if parts.len() == 1 { parts.remove(0) } else { Self::Or(parts) })
            }
            Filter::Not(part) => Ok(match Self::prepare(part, context, held)? {
                Self::All => Self::None,
                Self::None => Self::All,
                part => Self::Not(Box::new(part)),
            }),
            Filter::Field(FieldTest { field, test: Test::ValueType(kind), .. }) => {
                Ok(Self::Kind(field.clone(), kind.clone()))
            }
            Filter::Field(FieldTest { field, test, .. }) => {
                let check = Check::prepare(test, context, held)?;
                let key = check.key(test);
                held.add(COPIES * (field.len() + key.len()))?;
                Ok(Self::Field(field.clone(), FieldCheck::new(check, key, stop)))
            }
            Filter::Fields(pair) => Ok(Self::Fields(pair.clone())),
            Filter::Time(range) => {
                let (min, max) = range.resolve(context.clock);
                time(Check::Time(min, max), format!("within {min} {max}"))
            }
            Filter::Day(range) => time(Check::Day(range.clone()), range.to_string()),
            Filter::Week(range) => time(Check::Week(range.clone()), range.to_string()),
            Filter::Stream(selector) => {
                let labels = selector.any.iter().flatten().filter(|label| !matches!(label.test, LabelTest::Is(_)));
                held.add(labels.count().saturating_mul(regexp::MEMORY_BYTES))?;
                let streams = Streams::new(selector).map_err(Error::invalid)?;
                let check = FieldCheck::new(Check::Stream(streams), selector.to_string(), stop);
                Ok(Self::Field("_stream".into(), check))
            }
            Filter::StreamId(ids) => {
                let ids = answered(&ids.ids, context, held)?;
                let key = format!("ids {ids:?}");
                Ok(Self::Field("_stream_id".into(), FieldCheck::new(Check::In(ids.into_iter().collect()), key, stop)))
            }
        }
    }

    /// Drops the rows that do not pass. Once the query has to end it drops any: the query then ends with an error.
    fn apply(&self, block: &Block, keep: &mut Bits, stop: &Cancel) {
        match self {
            Self::All => {}
            Self::None => keep.clear(),
            Self::And(parts) => {
                for part in parts {
                    if keep.is_empty() || stop.check().is_err() {
                        return;
                    }
                    part.apply(block, keep, stop);
                }
            }
            Self::Or(parts) => {
                let mut left = keep.clone();
                for part in parts {
                    if left.is_empty() || stop.check().is_err() {
                        return;
                    }
                    let mut passed = left.clone();
                    part.apply(block, &mut passed, stop);
                    left.subtract(&passed);
                }
                keep.subtract(&left);
            }
            Self::Not(part) => {
                let mut passed = keep.clone();
                part.apply(block, &mut passed, stop);
                keep.subtract(&passed);
            }
            Self::Field(name, field) => apply_check(block.column(name), field, keep),
            Self::Fields(pair) => {
                let (column, other) = (block.column(&pair.field), block.column(&pair.other));
                keep.retain(|row| pair.relation.holds(column.value(row), other.value(row)));
            }
            Self::Kind(name, kind) => {
                let column = block.column(name);
                keep.retain(|row| column.kind(row) == Some(kind));
            }
        }
    }
}

/// What can be asked at once of one field: texts that it may be, words and phrases that it may have in their own case, and
/// in any.
#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Together {
    Texts,
    Words,
    AnyCase,
}

/// Parts of which any has to pass, with many words or texts for one field as one test: each would otherwise be asked of
/// every row.
fn together(parts: Vec<Part>, stop: &Cancel) -> Vec<Part> {
    let (mut others, mut groups) = (Vec::new(), BTreeMap::<(String, Together), Vec<Arc<FieldCheck>>>::new());
    for part in parts {
        let way = match &part {
            Part::Field(_, field) => match &field.check {
                Check::Exact(_) => Some(Together::Texts),
                Check::Needle(needle) if !WordSet::takes(needle) => None,
                Check::Needle(needle) if needle.any_case() => Some(Together::AnyCase),
                Check::Needle(_) => Some(Together::Words),
                _ => None,
            },
            _ => None,
        };
        match (part, way) {
            (Part::Field(name, field), Some(way)) => groups.entry((name, way)).or_default().push(field),
            (part, _) => others.push(part),
        }
    }
    for ((name, way), fields) in groups {
        if fields.len() <= FEW {
            others.extend(fields.into_iter().map(|field| Part::Field(name.clone(), field)));
            continue;
        }
        let keys: Vec<&str> = fields.iter().map(|field| field.key.as_str()).collect();
        let key = format!("any of {keys:?}");
        let check = match way {
            Together::Texts => Check::In(fields.iter().filter_map(|field| field.check.text()).collect()),
            Together::Words | Together::AnyCase => {
                Check::OneOf(WordSet::new(fields.iter().filter_map(|field| field.check.needle()).collect()))
            }
        };
        others.push(Part::Field(name, FieldCheck::new(check, key, stop)));
    }
    others
}

/// Tests the values of a column; those that are the same are tested once where that is easily seen.
fn apply_check(column: &Column, field: &FieldCheck, keep: &mut Bits) {
    let check = &field.check;
    match column.shown() {
        Shown::Const(value) => {
            if !check.matches(value) {
                keep.clear();
            }
        }
        Shown::Listed(texts, places) => {
            let mut known: Vec<Option<bool>> = vec![None; texts.len()];
            keep.retain(|row| {
                let Some(place) = places.get(row).map(|place| *place as usize) else { return false };
                match known.get_mut(place) {
                    Some(known) => *known.get_or_insert_with(|| field.matches(texts.get(place))),
                    None => check.matches(""),
                }
            });
        }
        Shown::Ints(values) => keep.retain(|row| values.get(row).is_some_and(|value| check.matches_int(*value))),
        Shown::Times(values) if check.is_of_times() => {
            keep.retain(|row| values.get(row).is_some_and(|time| check.matches_time(*time)));
        }
        Shown::Times(_) | Shown::Each(_) => {
            let mut last: Option<(&str, bool)> = None;
            keep.retain(|row| {
                let value = column.value(row);
                match last {
                    Some((known, passed)) if known == value => passed,
                    _ => {
                        let passed = field.matches(value);
                        last = Some((value, passed));
                        passed
                    }
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::{answer, rows};

    const LINES: &str = r#"
        {"n":"1","_msg":"error: cannot open file","level":"info","d":"1.5s","ip":"10.0.0.7","_time":"2024-06-10T11:59:00Z","_stream":"{app=\"a\"}"}
        {"n":"2","_msg":"ERRORS happened","level":"error","d":"250ms","ip":"10.1.0.7","_time":"2024-06-09T03:00:00Z","_stream":"{app=\"b\"}"}
        {"n":"3","level":"","d":"","x":"5","y":"10","_stream_id":"000000000000000a"}
    "#;

    #[test]
    fn filters_select_rows() {
        let source = rows(LINES);
        for (filter, wanted) in [
            ("*", "123"),
            ("error", "1"),
            ("i(error*)", "12"),
            ("err*", "1"),
            ("\"open file\"", "1"),
            ("~'can.*file'", "1"),
            ("seq(error, file)", "1"),
            ("seq(file, error)", ""),
            ("_msg:*", "12"),
            ("_msg:\"\"", "3"),
            ("level:=error", "2"),
            ("level:=e*", "2"),
            ("level:in(info, error)", "12"),
            ("level:\"\" or error", "13"),
            ("!error", "23"),
            ("error !cannot", ""),
            ("contains_all(error, file)", "1"),
            ("contains_any(happened, file)", "12"),
            ("d:>1s", "1"),
            ("d:range(0, 1s)", "2"),
            ("n:>=2", "23"),
            ("level:>f", "1"),
            ("level:string_range(e, f)", "2"),
            ("level:len_range(1, 4)", "1"),
            ("ip:ipv4_range(10.0.0.0/16)", "1"),
            ("x:lt_field(y)", "3"),
            ("n:le_field(x)", "3"),
            ("level:eq_field(none)", "3"),
            ("_time:5m", "1"),
            ("_time:2024-06-09Z", "2"),
            ("_time:day_range[02:00, 04:00]", "2"),
            ("_time:week_range[Mon, Mon]", "1"),
            ("{app=a}", "1"),
            ("{app!=a}", "2"),
            ("_stream_id:000000000000000a", "3"),
            ("_stream_id:in(000000000000000b)", ""),
            ("n:in(y:10 | fields n)", "3"),
        ] {
            let query = format!("{filter} | fields n");
            let found: String = answer(&query, &source, 4 << 20)
                .unwrap()
                .iter()
                .map(|line| line.replace(|c: char| !c.is_ascii_digit(), ""))
                .collect();
            assert_eq!(found, wanted, "{filter}");
        }
    }
}
