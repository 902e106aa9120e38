//! What of a filter a scan can answer by itself, and what is left to ask of the rows that it gives.
//!
//! Invariants
//! * Every row that passes the filter passes what is pushed; those that pass that and the rest pass the filter.
//! * Under a negation stands only what a scan answers exactly.
use super::phrase::Needle;
use super::prepare::{Check, FieldCheck, Matcher, Part};
use super::word_set::WordSet;
use crate::query::bits::Bits;
use crate::query::block::Block;
use crate::query::source::stream_id;
use crate::query::value::automaton;
use crate::record::RecordId;
use crate::scan::filter::{Asked, Filter as Scanned, Question, Test as ScanTest, TestOfWords, Verdict};
use crate::text::shape::Shape;
use std::sync::Arc;

/// Exact texts that are looked for one by one.
const EXACT_MAX: usize = 8;
/// Ids that are looked for one by one.
const IDS_MAX: usize = 1_024;

/// A filter as a scan takes it.
pub(crate) struct Pushed<'m> {
    /// What the scan answers.
    pub(crate) filter: Scanned,
    /// The only services whose rows can pass, where that is known.
    pub(crate) services: Option<Vec<String>>,
    /// The first and the last nanosecond that can pass.
    pub(crate) times: (i64, i64),
    /// What rows have to pass beside it.
    rest: Vec<&'m Part>,
    matcher: &'m Matcher,
}

impl Pushed<'_> {
    /// Whether the scan answers all of it.
    pub(crate) fn is_exact(&self) -> bool {
        self.rest.is_empty()
    }

    /// The fields that the rest looks at.
    pub(crate) fn fields(&self) -> Vec<String> {
        let mut fields = Vec::new();
        self.rest.iter().for_each(|part| add_fields(part, &mut fields));
        fields
    }

    /// Drops the rows that do not pass the rest.
    pub(crate) fn apply(&self, block: &Block, keep: &mut Bits) {
        self.matcher.apply_some(&self.rest, block, keep);
    }
}

fn add_fields(part: &Part, fields: &mut Vec<String>) {
    match part {
        Part::All | Part::None => {}
        Part::And(parts) | Part::Or(parts) => parts.iter().for_each(|part| add_fields(part, fields)),
        Part::Not(part) => add_fields(part, fields),
        Part::Field(name, _) | Part::Kind(name, _) => fields.push(name.clone()),
        Part::Fields(pair) => fields.extend([pair.field.clone(), pair.other.clone()]),
    }
}

impl Matcher {
    /// Parts what a scan answers from the rest. Some fields are made of what a row is, and not sent with it.
    pub(crate) fn pushed(&self, made: &[&str]) -> Pushed<'_> {
        let whole = (i64::MIN, i64::MAX);
        let mut pushed = Pushed { filter: Scanned::All, services: None, times: whole, rest: Vec::new(), matcher: self };
        let mut filters = Vec::new();
        push_all(&self.part, made, &mut filters, &mut pushed);
        pushed.filter = match filters.len() {
            0 => Scanned::All,
            1 => filters.remove(0),
            _ => Scanned::And(filters),
        };
        pushed
    }
}

/// Takes apart what all has to pass.
fn push_all<'m>(part: &'m Part, made: &[&str], filters: &mut Vec<Scanned>, pushed: &mut Pushed<'m>) {
    match part {
        Part::All => {}
        Part::And(parts) => parts.iter().for_each(|part| push_all(part, made, filters, pushed)),
        Part::Field(name, field) if name == "_time" && made.contains(&"_time") => match field.check {
            Check::Time(min, max) => pushed.times = (pushed.times.0.max(min), pushed.times.1.min(max)),
            _ => pushed.rest.push(part),
        },
        _ => {
            // Without streams there is nothing that knows a row's service.
            if made.contains(&"_stream")
                && let Some(services) = services(part)
            {
                pushed.services = Some(match pushed.services.take() {
                    Some(known) => known.into_iter().filter(|service| services.contains(service)).collect(),
                    None => services,
                });
            }
            let (filter, is_exact) = push(part, made);
            match filter {
                Scanned::All => {}
                // Said by the streams of a block, before anything of it is read.
                streams @ Scanned::Streams(_) => filters.insert(0, streams),
                filter => filters.push(filter),
            }
            if !is_exact {
                pushed.rest.push(part);
            }
        }
    }
}

/// The services that rows have to be of, where there are few.
fn services(part: &Part) -> Option<Vec<String>> {
    match part {
        Part::Field(name, field) => match &field.check {
            Check::Exact(service) if name == "service_name" => Some(vec![service.clone()]),
            Check::In(services) if name == "service_name" && services.len() <= EXACT_MAX => {
                Some(services.iter().cloned().collect())
            }
            Check::Stream(streams) => streams.only("service_name"),
            _ => None,
        },
        _ => None,
    }
}

/// What a scan can answer of a part, and whether that is all of it.
fn push(part: &Part, made: &[&str]) -> (Scanned, bool) {
    match part {
        Part::All => (Scanned::All, true),
        Part::None => (none(), true),
        Part::And(parts) => {
            let (filters, exact): (Vec<Scanned>, Vec<bool>) = parts.iter().map(|part| push(part, made)).unzip();
            (Scanned::And(filters), exact.iter().all(|exact| *exact))
        }
        Part::Or(parts) => {
            let (filters, exact): (Vec<Scanned>, Vec<bool>) = parts.iter().map(|part| push(part, made)).unzip();
            if filters.iter().any(|filter| matches!(filter, Scanned::All)) {
                return (Scanned::All, exact.iter().all(|exact| *exact));
            }
            (Scanned::Or(filters), exact.iter().all(|exact| *exact))
        }
        Part::Not(part) => match push(part, made) {
            (filter, true) => (Scanned::Not(Box::new(filter)), true),
            _ => (Scanned::All, false),
        },
        Part::Field(name, field) if made.contains(&name.as_str()) => {
            let ids = ids(field).filter(|_| name == "_id").map(Scanned::Ids);
            let streams = || OfStreams::new(name, field).map(|of| Scanned::Streams(Asked::new(Arc::new(of))));
            ids.or_else(streams).map_or((Scanned::All, false), |filter| (filter, true))
        }
        Part::Field(name, field) => (of_field(name, field), true),
        Part::Fields(_) | Part::Kind(..) => (Scanned::All, false),
    }
}

/// A question about what is made of a row's stream, asked of the stream.
struct OfStreams {
    field: Arc<FieldCheck>,
    is_id: bool,
    key: String,
}

impl OfStreams {
    fn new(name: &str, field: &Arc<FieldCheck>) -> Option<Self> {
        let is_id = name == "_stream_id";
        (is_id || name == "_stream").then(|| Self { field: field.clone(), is_id, key: format!("{name}:{}", field.key) })
    }
}

impl Question for OfStreams {
    fn key(&self) -> &str {
        &self.key
    }

    fn matches(&self, tags: &str) -> bool {
        if self.is_id {
            FieldCheck::matches(&self.field, &stream_id(tags))
        } else {
            FieldCheck::matches(&self.field, tags)
        }
    }
}

/// The ids that pass a test of ids, where it is one of few whole ones. All other texts are no row's id.
fn ids(field: &FieldCheck) -> Option<Vec<RecordId>> {
    let id = |text: &str| RecordId::parse(text).filter(|id| id.to_string() == text);
    match &field.check {
        Check::Exact(text) => Some(id(text).into_iter().collect()),
        Check::In(texts) if texts.len() <= IDS_MAX => Some(texts.iter().filter_map(|text| id(text)).collect()),
        // Nothing is longer than a whole id.
        Check::Needle(needle) => id(needle.text()).map(|id| vec![id]),
        _ => None,
    }
}

fn none() -> Scanned {
    Scanned::Not(Box::new(Scanned::All))
}

fn of_field(name: &str, field: &Arc<FieldCheck>) -> Scanned {
    let test = |test| Scanned::Field(name.into(), test);
    let asked = || test(ScanTest::Asked(Asked::new(field.clone())));
    let all = |needles: &[Needle]| needles.iter().map(|needle| test(of_needle(needle))).collect::<Vec<_>>();
    match &field.check {
        Check::Needle(needle) => test(of_needle(needle)),
        Check::NotEmpty => test(ScanTest::Any),
        Check::Exact(text) => test(ScanTest::exact(text)),
        // The words say little of what follows them, and narrow what is asked.
        Check::Begins(text) if text.is_empty() => Scanned::All,
        Check::In(values) if values.is_empty() => none(),
        Check::In(values) if values.len() <= EXACT_MAX => {
            let mut sorted: Vec<&String> = values.iter().collect();
            sorted.sort_unstable();
            Scanned::Or(sorted.into_iter().map(|value| test(ScanTest::exact(value))).collect())
        }
        Check::All(phrases) => Scanned::And(all(phrases.needles())),
        Check::Any(phrases) if phrases.has_empty() => Scanned::All,
        Check::Any(phrases) if phrases.needles().is_empty() => none(),
        Check::Any(phrases) if phrases.set().is_some() => asked(),
        Check::Any(phrases) => Scanned::Or(all(phrases.needles())),
        Check::Sequence(needles) if needles.is_empty() => Scanned::All,
        Check::Sequence(needles) => {
            let mut filters = all(needles);
            filters.push(asked());
            Scanned::And(filters)
        }
        Check::Regexp(regex) => {
            let needed = automaton::needed(regex);
            match (needed.is_all, needed.text.is_empty()) {
                (true, true) => Scanned::All,
                (true, false) => test(ScanTest::Substring(needed.text)),
                (false, _) => asked(),
            }
        }
        _ => asked(),
    }
}

fn of_needle(needle: &Needle) -> ScanTest {
    match (needle.is_empty(), needle.goes_on()) {
        (true, _) => ScanTest::exact(""),
        (false, true) => ScanTest::prefix(needle.text(), needle.any_case()),
        (false, false) => ScanTest::phrase(needle.text(), needle.any_case()),
    }
}

impl Question for FieldCheck {
    fn key(&self) -> &str {
        &self.key
    }

    fn matches(&self, text: &str) -> bool {
        FieldCheck::matches(self, text)
    }

    fn matches_int(&self, value: i64) -> bool {
        self.check.matches_int(value)
    }

    fn verdict(&self, shape: Shape<'_>) -> Verdict {
        match (&self.automaton, &self.check) {
            (Some(automaton), _) => automaton.verdict(shape),
            (_, Check::Begins(text)) => begins(text, shape),
            (_, Check::Fuzzy(fuzzy)) => fuzzy.verdict(shape),
            (_, Check::OneOf(set)) => set.verdict(shape),
            (_, Check::Any(phrases)) => phrases.set().map_or(Verdict::Look, |set| set.verdict(shape)),
            _ => Verdict::Look,
        }
    }

    fn needed(&self) -> &str {
        match (&self.automaton, &self.check) {
            (Some(automaton), _) => &automaton.needed().text,
            (_, Check::Begins(text)) => text,
            _ => "",
        }
    }

    fn needed_word(&self) -> Option<Arc<TestOfWords>> {
        match &self.check {
            Check::Fuzzy(fuzzy) => fuzzy.needed_word(),
            Check::OneOf(set) => set.needed_word(),
            Check::Any(phrases) => phrases.set().and_then(WordSet::needed_word),
            _ => None,
        }
    }
}

/// Whether the texts of a shape begin so.
fn begins(text: &str, shape: Shape<'_>) -> Verdict {
    let first = shape.pieces().next().unwrap_or_default();
    if first.starts_with(text) {
        Verdict::Yes
    } else if text.starts_with(first) {
        Verdict::Look
    } else {
        Verdict::No
    }
}

#[cfg(test)]
mod tests {
    use crate::query::value::number::arithmetic;

    #[test]
    fn numbers_that_are_integers_are_compared_as_they_are() {
        for value in [0, -1, 17, 1i64 << 52, -(1i64 << 52)] {
            assert_eq!(arithmetic(&value.to_string()), value as f64, "{value}");
        }
    }
}
