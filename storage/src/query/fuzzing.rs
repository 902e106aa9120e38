//! A door for the fuzz targets in `fuzz/`, behind the feature `fuzzing`: queries from any bytes, parsed and run.
//!
//! Invariants
//! * What does not hold is an error that says what; nothing is asserted here.
use super::block::Block;
use super::run::{Clock, Context, Flow, Source, run};
use super::{Memory, QUERY_BYTES_MAX, Query, Stop, parse};
use crate::engine::{Form, Loose, LooseRows};
use crate::env::{Env, RealEnv};
use crate::error::{Error, ErrorKind};
use crate::limits::MIB;
use crate::scan::Cancel;
use std::sync::Arc;
use std::time::Duration;

/// 2024-06-10T12:00:00Z.
const NOW: i64 = 1_718_020_800_000_000_000;
/// What a query may take.
const MEMORY_BYTES: usize = 16 * MIB;
const DURATION_MAX: Duration = Duration::from_millis(300);
/// Rows of an input.
const ROWS_MAX: usize = 64;
/// What an answer may be, to be compared.
const ROWS_ASKED: usize = 20_000;

/// The rows that are asked where an input has none.
const SAMPLE: &str = r#"{"_time":"2024-06-10T11:59:00Z","_msg":"request 17 of 10.0.0.7 took 12.5 ms","level":"INFO","n":17,"took":{"ms":12.5},"list":[1,"x y",{"a":null}],"a":"1","b":"x"}
{"_time":"2024-06-10T11:59:01.5Z","_msg":"ERROR: cannot open file /var/log/x.log","level":"ERROR","n":-3,"a":"2","b":"x","_stream":"{app=\"a\",host=\"h1\"}","_stream_id":"0000000000000001"}
{"_time":"2024-06-09T03:00:00Z","_msg":"user alice logged in, id=7f3a9c00ffee1234","level":"warn","n":1000000,"a":"2","c":"y","_stream":"{app=\"b\"}","_stream_id":"0000000000000002"}
{"_msg":"a=1 b=\"two words\" c=3KB","a":"10","n":"1.50","d":"1h5m","ip":"10.0.0.7","s":"12KiB"}
{"_msg":"{\"x\":{\"y\":[1,2]},\"z\":null}","a":"a10","b":"","n":"0"}
{"_msg":"<165>1 2024-06-10T11:00:00Z host app 12 ID - text","a":"a9","é":"日本 ÄÖ"}
{"_msg":"request 18 of 10.0.0.9 took 7 ms","level":"INFO","n":18,"took":{"ms":7},"list":[],"a":"1"}
{"k":"c"}"#;

/// What is parsed is shown as something that parses to the same. Says whether the bytes are a query.
pub fn check_shown(data: &[u8]) -> Result<bool, String> {
    let text = String::from_utf8_lossy(data);
    let Ok(query) = parse(&text) else { return Ok(false) };
    let shown = query.to_string();
    // What stands before a group is written before each part of it.
    if shown.len() > QUERY_BYTES_MAX {
        return Ok(true);
    }
    let again = parse(&shown).map_err(|fault| format!("{text:?} is shown as {shown:?}: {fault}"))?;
    // One with a number that is none is not the same as itself: of it only the text is compared.
    let is_comparable = query == query.clone();
    if is_comparable && again != query {
        return Err(format!("{text:?} is shown as {shown:?}, which is another query"));
    }
    let shown_again = again.to_string();
    if shown_again == shown { Ok(true) } else { Err(format!("{shown:?} is shown as {shown_again:?}")) }
}

/// Runs a query, the first line, over rows, the others: JSON objects, or messages. Rows that are kept plainly, in hot batches
/// and in a sealed segment give the same, or each the same kind of error. Says whether there was an answer.
pub fn check_run(data: &[u8]) -> Result<bool, String> {
    let text = String::from_utf8_lossy(data);
    let (line, rows) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(query) = parse(line) else { return Ok(false) };
    let rows = if rows.is_empty() { SAMPLE } else { rows };
    let forms = [Form::Plain, Form::Hot, Form::Sealed];
    let mut answers = Vec::new();
    for form in forms {
        let source = source(form, rows).map_err(|e| format!("{line:?}: rows that are {form:?}: {e}"))?;
        answers.push((form, answer(&query, &source)?));
    }
    let is_bounded = |answer: &Result<Vec<String>, Error>| {
        answer
            .as_ref()
            .is_err_and(|e| matches!(e.kind(), ErrorKind::Budget | ErrorKind::OverTime | ErrorKind::Cancelled))
    };
    let Some(((_, first), others)) = answers.split_first() else { return Ok(false) };
    if answers.iter().any(|(_, answer)| is_bounded(answer)) || tells_forms_apart(&query) {
        return Ok(first.is_ok());
    }
    for (form, other) in others {
        let is_same = match (first, other) {
            (Ok(a), Ok(b)) => a == b,
            (Err(a), Err(b)) => a.kind() == b.kind(),
            _ => false,
        };
        if !is_same {
            return Err(format!("{line:?} of {rows:?}\nplainly: {first:?}\n{form:?}: {other:?}"));
        }
    }
    Ok(first.is_ok())
}

/// Whether a query is about how rows are kept, or about chance.
fn tells_forms_apart(query: &Query) -> bool {
    let shown = query.to_string();
    ["block_stats", "blocks_count", "rand", "sample"].iter().any(|word| shown.contains(word))
}

fn source(form: Form, rows: &str) -> Result<LooseRows, Error> {
    let mut loose = Loose::new(form);
    for line in rows.lines().take(ROWS_MAX) {
        if !loose.push_json(line)? {
            loose.push_json(&row_of(line))?;
        }
    }
    loose.ended()
}

/// A message as a row.
fn row_of(message: &str) -> String {
    super::value::json::show_object([("_msg", message)])
}

/// The rows of an answer, each with its fields by name, in any order.
fn answer(query: &Query, source: &dyn Source) -> Result<Result<Vec<String>, Error>, String> {
    let memory = Memory::new(MEMORY_BYTES);
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    let stop = Stop::with(Cancel::default().within(&env, DURATION_MAX));
    let context = Context::new(source, Clock { now: NOW, zone: 0 }, memory.clone(), stop);
    let mut lines = Vec::new();
    let ran = run(query, &context, &mut |block: Block| {
        for row in 0..block.rows() {
            let mut fields: Vec<_> = block.row(row).collect();
            fields.sort_unstable();
            lines.push(format!("{fields:?}"));
        }
        Ok(if lines.len() < ROWS_ASKED { Flow::More } else { Flow::Enough })
    });
    drop(context);
    if memory.used() > 0 {
        return Err(format!("{query}: {} bytes are still held", memory.used()));
    }
    lines.retain(|line| line != "[]");
    lines.sort_unstable();
    Ok(ran.map(|()| lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/query.seeds"));

    struct Chance(u64);

    impl Chance {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % bound.max(1)
        }

        fn part(&mut self, text: &str) -> String {
            let chars: Vec<char> = text.chars().collect();
            let from = self.below(chars.len() + 1);
            let to = from + self.below(chars.len() - from + 1);
            chars[from..to].iter().collect()
        }

        /// Two seeds put together, or one with parts taken out, doubled, or put elsewhere.
        fn query(&mut self, seeds: &[&str]) -> String {
            let (one, other) = (seeds[self.below(seeds.len())], seeds[self.below(seeds.len())]);
            let pipes = |seed: &str| seed.split_once('|').map_or(String::new(), |(_, pipes)| format!(" | {pipes}"));
            match self.below(6) {
                0 => one.into(),
                1 => format!("{one}{}", pipes(other)),
                2 => format!("{}{}", one.split('|').next().unwrap_or("*"), pipes(other)),
                3 => one.replacen(&self.part(one), "", 1),
                4 => one.replacen(&self.part(one), &self.part(other), 1),
                _ => one.replacen(
                    &self.part(one),
                    ["0", "\"", " ", "é", "1e30", "*", "(", "-", ":", "\u{0}"][self.below(10)],
                    1,
                ),
            }
        }
    }

    fn smoke(rounds: usize, seed: u64) {
        let seeds: Vec<&str> = SEEDS.lines().collect();
        let mut chance = Chance(seed);
        let (mut parsed, mut answered) = (0, 0);
        for round in 0..rounds {
            let query = if round < seeds.len() { seeds[round].into() } else { chance.query(&seeds) };
            parsed += usize::from(check_shown(query.as_bytes()).unwrap());
            answered += usize::from(check_run(query.as_bytes()).unwrap());
        }
        println!("{rounds} queries: {parsed} parsed, {answered} answered");
        assert!(parsed * 3 > rounds && answered * 3 > rounds, "{parsed} parsed, {answered} answered of {rounds}");
    }

    #[test]
    fn changed_queries_are_shown_and_answered_alike() {
        smoke(1_500, 1);
    }

    #[test]
    #[ignore = "takes as long as it is told to"]
    fn changed_queries_are_shown_and_answered_alike_at_length() {
        let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
        smoke(number("LOGYARD_QUERIES").unwrap_or(100_000) as usize, number("LOGYARD_SEED").unwrap_or(1_000));
    }

    #[test]
    fn wrong_answers_would_be_seen() {
        assert_eq!(check_shown(b"a | count()"), Ok(true));
        assert_eq!(check_shown(b"a | count("), Ok(false));
        assert_eq!(check_run(b"request | stats by (level) count() n\n{\"_msg\":\"a request\"}\nno object"), Ok(true));
        let query = parse("* | fields _msg").unwrap();
        let [one, other] = ["{\"_msg\":\"a\"}", "{\"_msg\":\"b\"}"]
            .map(|rows| answer(&query, &source(Form::Sealed, rows).unwrap()).unwrap().unwrap());
        assert!(one != other && one == ["[(\"_msg\", \"a\")]"]);
    }
}
