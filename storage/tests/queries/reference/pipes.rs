//! A few pipes, and what they make of rows: by counting, adding, sorting and comparing rows one by one.
use super::numbers::{number, order};
use super::rows::{FIELDS, Row, SECOND, World};
use super::spelling;
use super::times::shown;
use super::tree::Filter;
use crate::chance::Rng;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// A row of an answer: its fields that are not empty.
pub(super) type Line = BTreeMap<String, String>;

/// What stands behind a filter.
pub(super) enum Pipe {
    Fields(Vec<String>),
    Filter(Filter, Box<Pipe>),
    Stats(Vec<Group>, Vec<Function>),
    Uniq(Vec<String>, bool),
    Sort {
        keys: Vec<(String, bool)>,
        skipped: usize,
        limit: usize,
    },
    /// So many rows, whichever they are.
    Limit(usize),
}

pub(super) enum Group {
    Field(String),
    /// Numbers of a field, in steps.
    Steps(String, i64),
    Seconds(i64),
}

pub(super) struct Function {
    name: &'static str,
    fields: Vec<String>,
}

/// Fields with values of one kind, whose order is one.
const ORDERED: [&str; 6] = ["k", "level", "host", "took", "service_name", "n"];

fn some(rng: &mut Rng, from: &[&str], most: u64) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for _ in 0..1 + rng.below(most) {
        let field = (*rng.pick(from)).to_string();
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    fields
}

impl Pipe {
    /// A pipe; `filter` makes filters for those that have one.
    pub(super) fn any(rng: &mut Rng, filter: &mut dyn FnMut(&mut Rng) -> Filter) -> Self {
        match rng.below(16) {
            0..=5 => Self::Fields(vec!["rowno".into()]),
            6 => {
                let fields = some(rng, &FIELDS, 12);
                Self::Fields(fields.into_iter().chain(["rowno".into(), "_time".into()]).collect())
            }
            7 => Self::Filter(filter(rng), Box::new(Self::Fields(vec!["rowno".into()]))),
            8..=11 => Self::stats(rng),
            12 | 13 => {
                Self::Uniq(some(rng, &["level", "host", "mixed", "k", "user id", "took", "a:b"], 3), rng.one_in(2))
            }
            14 => Self::Limit(1 + rng.below(20) as usize),
            _ => {
                let mut keys: Vec<(String, bool)> =
                    some(rng, &ORDERED, 2).into_iter().map(|field| (field, rng.one_in(2))).collect();
                keys.push(((*rng.pick(&["rowno", "_time"])).into(), rng.one_in(2)));
                let skipped = if rng.one_in(3) { rng.below(4) as usize } else { 0 };
                Self::Sort { keys, skipped, limit: 1 + rng.below(12) as usize }
            }
        }
    }

    fn stats(rng: &mut Rng) -> Self {
        let mut groups: Vec<Group> = match rng.below(4) {
            0 => Vec::new(),
            _ => some(rng, &["level", "host", "service_name", "a:b", "user id", "mixed"], 2)
                .into_iter()
                .map(Group::Field)
                .collect(),
        };
        match rng.below(5) {
            0 => groups.push(Group::Seconds(*rng.pick(&[60, 420, 3_600, 86_400]))),
            1 => groups.push(Group::Steps((*rng.pick(&["k", "n"])).into(), *rng.pick(&[2, 10]))),
            _ => {}
        }
        let mut functions = vec![Function { name: "count", fields: Vec::new() }];
        for _ in 0..rng.below(3) {
            let (name, fields) = match rng.below(6) {
                0 => ("count", some(rng, &FIELDS, 2)),
                1 => ("sum", some(rng, &["k", "took", "n", "rowno"], 2)),
                2 => ("min", some(rng, &["k", "rowno", "level", "host"], 1)),
                3 => ("max", some(rng, &["k", "rowno", "level", "host"], 1)),
                4 => ("count_uniq", some(rng, &["k", "level", "_msg", "user id", "mixed", "peer"], 2)),
                _ => ("count_empty", some(rng, &FIELDS, 2)),
            };
            functions.push(Function { name, fields });
        }
        Self::Stats(groups, functions)
    }

    /// The pipe as LogsQL, from the first `|` on.
    pub(super) fn text(&self, rng: &mut Rng) -> String {
        let mut list = |fields: &[String]| {
            let names: Vec<String> = fields.iter().map(|field| spelling::name(rng, field)).collect();
            names.join(", ")
        };
        match self {
            Self::Fields(fields) => format!("| {} {}", if fields.len() > 1 { "fields" } else { "keep" }, list(fields)),
            Self::Filter(filter, then) => {
                let inner = spelling::filter(rng, filter);
                format!("| {} {inner} {}", rng.pick(&["filter", "where"]), then.text(rng))
            }
            Self::Stats(groups, functions) => {
                let by: Vec<String> = groups
                    .iter()
                    .map(|group| match group {
                        Group::Field(field) => list(std::slice::from_ref(field)),
                        Group::Steps(field, step) => format!("{field}:{step}"),
                        Group::Seconds(seconds) => format!("_time:{seconds}s"),
                    })
                    .collect();
                let shown: Vec<String> = functions
                    .iter()
                    .enumerate()
                    .map(|(at, function)| format!("{}({}) as r{at}", function.name, list(&function.fields)))
                    .collect();
                let by = if by.is_empty() { String::new() } else { format!("by ({}) ", by.join(", ")) };
                format!("| stats {by}{}", shown.join(", "))
            }
            Self::Uniq(fields, hits) => {
                format!("| uniq by ({}){}", list(fields), if *hits { " with hits" } else { "" })
            }
            Self::Sort { keys, skipped, limit } => {
                let mut names = Vec::new();
                for (field, down) in keys {
                    names.push(list(std::slice::from_ref(field)) + if *down { " desc" } else { "" });
                }
                let skip = if *skipped > 0 { format!(" offset {skipped}") } else { String::new() };
                format!("| sort by ({}){skip} limit {limit} | fields rowno", names.join(", "))
            }
            Self::Limit(limit) => format!("| {} {limit} | fields rowno", rng.pick(&["limit", "head"])),
        }
    }

    /// Whether the order of the answer is told.
    pub(super) fn orders(&self) -> bool {
        matches!(self, Self::Sort { .. })
    }

    /// How many rows of all that are given are wanted, where it does not matter which.
    pub(super) fn any_of(&self) -> Option<usize> {
        if let Self::Limit(limit) = self { Some(*limit) } else { None }
    }

    /// What becomes of the rows that passed.
    pub(super) fn answer(&self, mut rows: Vec<&Row>, world: &World) -> Vec<Line> {
        let rownos = |rows: &[&Row]| rows.iter().map(|row| project(row, &["rowno".into()])).collect();
        match self {
            Self::Fields(fields) => {
                rows.iter().map(|row| project(row, fields)).filter(|line| !line.is_empty()).collect()
            }
            Self::Filter(filter, then) => {
                rows.retain(|row| filter.passes(row, world));
                then.answer(rows, world)
            }
            Self::Stats(groups, functions) => stats(&rows, groups, functions),
            Self::Uniq(fields, hits) => {
                let mut found: BTreeMap<Line, usize> = BTreeMap::new();
                rows.iter().for_each(|row| *found.entry(project(row, fields)).or_default() += 1);
                let line = |(mut line, count): (Line, usize)| {
                    line.extend(hits.then(|| ("hits".to_string(), count.to_string())));
                    line
                };
                found.into_iter().map(line).filter(|line| !line.is_empty()).collect()
            }
            Self::Sort { keys, skipped, limit } => {
                rows.sort_by(|a, b| {
                    let by_key = keys.iter().map(|(field, down)| {
                        let order = order_of(a, b, field);
                        if *down { order.reverse() } else { order }
                    });
                    by_key.fold(Ordering::Equal, Ordering::then)
                });
                let rows: Vec<&Row> = rows.into_iter().skip(*skipped).take(*limit).collect();
                rownos(&rows)
            }
            Self::Limit(_) => rownos(&rows),
        }
    }
}

fn order_of(a: &Row, b: &Row, field: &str) -> Ordering {
    if field == "_time" { a.time.cmp(&b.time) } else { order(a.text(field), b.text(field)) }
}

fn project(row: &Row, fields: &[String]) -> Line {
    row.texts()
        .iter()
        .filter(|(name, _)| fields.contains(name))
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect()
}

fn stats(rows: &[&Row], groups: &[Group], functions: &[Function]) -> Vec<Line> {
    let mut found: BTreeMap<Line, Vec<&Row>> = BTreeMap::new();
    if groups.is_empty() {
        found.insert(Line::new(), Vec::new());
    }
    for row in rows {
        let mut key = Line::new();
        for group in groups {
            let (name, text) = match group {
                Group::Field(field) => (field.as_str(), row.text(field).to_string()),
                Group::Steps(field, step) => {
                    let value = row.text(field);
                    let lowered = value.parse::<i64>().map(|n| (n.div_euclid(*step) * step).to_string());
                    (field.as_str(), lowered.unwrap_or_else(|_| value.to_string()))
                }
                Group::Seconds(seconds) => ("_time", shown(row.time - row.time.rem_euclid(seconds * SECOND))),
            };
            key.insert(name.into(), text);
        }
        key.retain(|_, text| !text.is_empty());
        found.entry(key).or_default().push(row);
    }
    let line = |(mut line, rows): (Line, Vec<&Row>)| {
        line.extend(functions.iter().enumerate().map(|(at, function)| (format!("r{at}"), function.result(&rows))));
        line.retain(|_, text| !text.is_empty());
        line
    };
    found.into_iter().map(line).collect()
}

impl Function {
    fn result(&self, rows: &[&Row]) -> String {
        let texts =
            |row: &Row| -> Vec<String> { self.fields.iter().map(|field| row.text(field).to_string()).collect() };
        let is_empty = |row: &&&Row| texts(row).iter().all(String::is_empty);
        let values = || rows.iter().flat_map(|row| texts(row));
        match self.name {
            "count" if self.fields.is_empty() => rows.len().to_string(),
            "count" => (rows.len() - rows.iter().filter(is_empty).count()).to_string(),
            "count_empty" => rows.iter().filter(is_empty).count().to_string(),
            "count_uniq" => {
                let tuples: BTreeSet<Vec<String>> = rows.iter().map(|row| texts(row)).collect();
                tuples.iter().filter(|tuple| tuple.iter().any(|text| !text.is_empty())).count().to_string()
            }
            "sum" => {
                let numbers: Vec<f64> = values().filter_map(|text| number(&text)).collect();
                if numbers.is_empty() { "NaN".into() } else { numbers.iter().sum::<f64>().to_string() }
            }
            "min" => values().min_by(|a, b| order(a, b)).unwrap_or_default(),
            _ => values().max_by(|a, b| order(a, b)).unwrap_or_default(),
        }
    }
}
