//! For tests of what queries mean: rows as JSON lines in, rows as JSON lines out.
//!
//! Invariants
//! * A query is asked with the fields that it needs and with all: both give the same, and all memory comes back.
use super::block::{Block, Column};
use super::needed::Needed;
use super::run::{Clock, Context, Flow, Request, Sink, Source, Worker, run};
use super::{Memory, Rows, Stop, parse};
use crate::engine::{Form, Loose};
use crate::error::Result;

/// 2024-06-10T12:00:00Z.
pub(crate) const NOW: i64 = 1_718_020_800_000_000_000;

/// A source that gives every field, asked for or not.
struct Generous<'a>(&'a Rows);

impl Source for Generous<'_> {
    fn rows(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<Flow> {
        self.0.rows(&Request { needed: &Needed::all(), ..*request }, sink)
    }
}

/// Many rows that have large texts in common.
pub(crate) struct Alike;

impl Source for Alike {
    fn rows(&self, _: &Request<'_>, sink: &mut dyn Sink) -> Result<Flow> {
        sink.take(Block::new(65_536, vec![Column::constant("a", &"x".repeat(4_096)), Column::constant("b", "")]))
    }
}

/// Rows in pieces, that so many workers see in turns.
struct Parted<'a>(&'a Rows, usize);

/// Pieces of each block.
const PIECES: usize = 8;

impl Source for Parted<'_> {
    fn rows(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<Flow> {
        self.0.rows(request, sink)
    }

    fn fold<'w>(
        &self,
        request: &Request<'_>,
        fresh: &(dyn Fn() -> Result<Worker<'w>> + Sync),
    ) -> Result<Vec<Worker<'w>>> {
        let mut workers: Vec<Worker<'w>> = (0..self.1).map(|_| fresh()).collect::<Result<_>>()?;
        self.0.rows(request, &mut |block: Block| {
            let rows = block.rows().div_ceil(PIECES);
            for piece in 0..PIECES {
                let part = block.clone().range(piece * rows, block.rows().min((piece + 1) * rows));
                workers[piece % self.1].take(part)?;
            }
            Ok(Flow::More)
        })?;
        Ok(workers)
    }
}

/// The least memory, in steps, in which so many workers answer a query.
pub(crate) fn least_memory(query: &str, rows: &Rows, workers: usize) -> usize {
    const STEP: usize = 16 << 10;
    let (mut low, mut high) = (0, (8 << 20) / STEP);
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        match answer(query, &Parted(rows, workers), middle * STEP) {
            Ok(_) => high = middle,
            Err(_) => low = middle,
        }
    }
    high * STEP
}

/// The rows of some lines.
pub(crate) fn rows(lines: &str) -> Rows {
    let mut rows = Rows::default();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(rows.push_json(line), "{line}");
    }
    rows.ended()
}

/// What a query gives, within so much memory.
pub(crate) fn answer(query: &str, source: &dyn Source, memory: usize) -> Result<Vec<String>> {
    let query = parse(query)?;
    let memory = Memory::new(memory);
    let context = Context::new(source, Clock { now: NOW, zone: 0 }, memory.clone(), Stop::default());
    let mut lines = Vec::new();
    run(&query, &context, &mut |block: Block| {
        lines.extend((0..block.rows()).map(|row| block.row_json(row)));
        Ok(Flow::More)
    })?;
    drop(context);
    assert_eq!(memory.used(), 0, "memory comes back");
    Ok(lines)
}

/// Whether only the fields are given that are asked for or all of them, the answer is the same; this is it.
pub(crate) fn lines(query: &str, rows: &Rows) -> Vec<String> {
    let narrow = answer(query, rows, 1 << 30).unwrap_or_else(|error| panic!("{query}: {error}"));
    let wide = answer(query, &Generous(rows), 1 << 30).unwrap();
    assert_eq!(sorted(narrow.clone()), sorted(wide), "{query}: fields that were not asked for change the answer");
    narrow
}

/// A value with the JSON objects in its texts in order too: in which order a row has its fields says nothing.
fn in_order(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, in_order(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(in_order).collect()),
        Value::String(text) if text.starts_with(['{', '[']) => match serde_json::from_str::<Value>(&text) {
            Ok(value) => Value::String(in_order(value).to_string()),
            Err(_) => Value::String(text),
        },
        other => other,
    }
}

/// Lines in an order, with the fields of each in one too.
pub(crate) fn sorted(lines: Vec<String>) -> Vec<String> {
    let value = |line: String| in_order(serde_json::from_str(&line).unwrap()).to_string();
    let mut lines: Vec<String> = lines.into_iter().map(value).filter(|line| line != "{}").collect();
    lines.sort();
    lines
}

/// Checks a pipe over rows, in any order, and in each form that rows are kept in.
pub(crate) fn check(pipe: &str, input: &str, output: &str) {
    let query = format!("* | {pipe}");
    let want = output.lines().map(|line| line.trim().to_string()).filter(|line| !line.is_empty()).collect();
    let want = sorted(want);
    assert_eq!(sorted(lines(&query, &rows(input))), want, "{pipe}");
    for (form, source) in in_all_forms(input) {
        let got = answer(&query, source.as_ref(), 1 << 30).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(sorted(got), want, "{pipe}, {form}");
    }
}

/// Checks a pipe over rows, in order.
pub(crate) fn check_order(pipe: &str, input: &str, field: &str, output: &[&str]) {
    check_query_order(&format!("* | {pipe}"), input, field, output);
}

/// Checks a query over rows, in order, and in each form that rows are kept in.
pub(crate) fn check_query_order(query: &str, input: &str, field: &str, output: &[&str]) {
    let value = |line: &String| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row.get(field).and_then(|value| value.as_str()).unwrap_or_default().to_string()
    };
    let check = |got: Vec<String>, form: &str| {
        assert_eq!(got.iter().map(value).collect::<Vec<_>>(), output, "{query}, {form}");
    };
    check(lines(query, &rows(input)), "whatever is asked for");
    for (form, source) in in_all_forms(input) {
        check(answer(query, source.as_ref(), 1 << 30).unwrap_or_else(|error| panic!("{query}: {error}")), form);
    }
}

/// The rows of some lines, in each form that rows are kept in.
pub(crate) fn in_all_forms(lines: &str) -> Vec<(&'static str, Box<dyn Source>)> {
    let loose = |form: Form| -> Box<dyn Source> {
        let mut loose = Loose::new(form);
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            assert!(loose.push_json(line).unwrap(), "{line}");
        }
        Box::new(loose.ended().unwrap())
    };
    vec![
        ("in memory", Box::new(rows(lines))),
        ("hot", loose(Form::Hot)),
        ("whole", loose(Form::Plain)),
        ("sealed", loose(Form::Sealed)),
    ]
}

/// Checks which rows pass filters, in each form that rows are kept in: each has a letter of its own as its field `row`. The
/// other rows have to pass the opposite, and a filter that is a pipe has to say the same.
pub(crate) fn check_filters(lines: &str, cases: &[(&str, &str)]) {
    for (form, source) in in_all_forms(lines) {
        let found = |query: String| {
            let of = |row: serde_json::Value| row["row"].as_str().unwrap_or_default().to_string();
            let answer = answer(&query, source.as_ref(), 16 << 20).unwrap_or_else(|error| panic!("{query}: {error}"));
            let mut rows: Vec<String> = answer.iter().map(|row| of(serde_json::from_str(row).unwrap())).collect();
            rows.sort();
            rows.concat()
        };
        let all = found("* | fields row".into());
        for (filter, wanted) in cases {
            assert_eq!(found(format!("{filter} | fields row")), *wanted, "{filter}, {form}");
            let others: String = all.chars().filter(|row| !wanted.contains(*row)).collect();
            assert_eq!(found(format!("!({filter}) | fields row")), others, "not {filter}, {form}");
            assert_eq!(
                found(format!("* | format \"\" as made | filter {filter} | fields row")),
                *wanted,
                "{filter}, a pipe, {form}"
            );
        }
    }
}

/// Checks where and why queries are wrong: the byte, and a part of the reason.
pub(crate) fn check_faults(cases: &[(&str, usize, &str)]) {
    for (query, at, part) in cases {
        let fault = parse(query).expect_err(query);
        assert!(fault.at() == *at && fault.reason().contains(part), "{query}: {fault}");
    }
}

/// Checks what a pipe that looks at each row by itself leaves as a field of it, in each form that rows are kept in.
pub(crate) fn check_field(pipe: &str, field: &str, cases: &[(&str, &str)]) {
    let row = |(at, (row, _)): (usize, &(&str, &str))| {
        let fields = row.trim().trim_start_matches('{').trim_end_matches('}');
        let comma = if fields.is_empty() { "" } else { "," };
        format!("{{\"row\":\"{at}\"{comma}{fields}}}")
    };
    let input: Vec<String> = cases.iter().enumerate().map(row).collect();
    let query = format!("* | {pipe} | fields row, {field}");
    for (form, source) in in_all_forms(&input.join("\n")) {
        let found = answer(&query, source.as_ref(), 16 << 20).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(found.len(), cases.len(), "{query}, {form}");
        for line in found {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            let text = |name: &str| line[name].as_str().unwrap_or_default();
            let (row, wanted) = cases[text("row").parse::<usize>().unwrap()];
            assert_eq!(text(field), wanted, "{pipe} of {row}, {form}");
        }
    }
}
