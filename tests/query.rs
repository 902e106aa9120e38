//! `logyard query`: rows in, rows out, and what is said of a wrong query.
use crate::harness::{logyard, run};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

/// Test vectors from outside; each is a JSON line of one of three files.
const VECTORS: &str = "LOGYARD_VECTORS";

/// The forms in which rows are kept that are piped in.
const FORMS: [&str; 3] = ["hot", "sealed", "plain"];

fn query(args: &[&str], input: &str) -> Output {
    query_in("hot", args, input)
}

fn query_in(form: &str, args: &[&str], input: &str) -> Output {
    let mut child = logyard()
        .arg("query")
        .args(args)
        .env("LOGYARD_FROM", form)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A query that is wrong is said to be so before anything is read.
    let _not_read = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// The answer, which is the same in all forms.
pub(crate) fn rows(text: &str, input: &str) -> Result<Vec<Value>, String> {
    let mut answers = FORMS.map(|form| {
        let output = query_in(form, &["--from", "-", text], input);
        if !output.status.success() {
            return Err(String::from_utf8(output.stderr).unwrap());
        }
        let lines = String::from_utf8(output.stdout).unwrap();
        Ok(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    });
    let [hot, sealed, kept_whole] = answers.each_mut().map(|rows| std::mem::replace(rows, Ok(Vec::new())));
    let as_set = |rows: &Result<Vec<Value>, String>| rows.as_ref().map(|rows| plain(rows)).map_err(String::clone);
    assert_eq!(as_set(&hot), as_set(&sealed), "{text}: hot and sealed rows differ");
    assert_eq!(as_set(&hot), as_set(&kept_whole), "{text}: rows with shapes and without differ");
    hot
}

const LOGS: &str = r#"{"_time":"2026-05-01T10:00:00Z","_msg":"order 17 failed: card declined","level":"ERROR","took":{"ms":12}}
{"_time":"2026-05-01T10:00:01Z","_msg":"order 18 shipped","level":"INFO","took":{"ms":7}}

{"_time":"2026-05-01T10:00:02Z","_msg":"order 19 failed: no stock","level":"ERROR","took":{"ms":30}}
"#;

#[test]
fn rows_that_pass_come_back_as_they_are() {
    let found = rows("failed level:ERROR _time:<2026-05-01T10:00:02Z", LOGS).unwrap();
    let wanted =
        r#"{"_time":"2026-05-01T10:00:00Z","_msg":"order 17 failed: card declined","level":"ERROR","took.ms":"12"}"#;
    assert_eq!(found, [serde_json::from_str::<Value>(wanted).unwrap()]);
    assert_eq!(rows("-failed | fields took.ms", LOGS).unwrap(), [serde_json::json!({"took.ms": "7"})]);
}

#[test]
fn pipes_make_rows_of_their_own() {
    let text = "* | stats by (level) count() n, max(took.ms) slowest | sort by (n desc)";
    let wanted = [
        serde_json::json!({"level": "ERROR", "n": "2", "slowest": "30"}),
        serde_json::json!({"level": "INFO", "n": "1", "slowest": "7"}),
    ];
    assert_eq!(rows(text, LOGS).unwrap(), wanted);
}

#[test]
fn no_field_is_added_renamed_cut_or_changed() {
    let long = "x 1 ".repeat(600_000);
    let name = "n".repeat(300);
    let input = format!(
        r#"{{"z":"1.50","_time":"in the future","a":{{"b":[1, 2],"c":null,"d":true}},"_stream":"{{x=\"y\"}}"}}
{{"{name}":"{long}","a.b":"","z":"ff00ff00ff00ff00"}}
{{}}"#
    );
    let found = rows("*", &input).unwrap();
    let wanted = [
        serde_json::json!({"z": "1.50", "_time": "in the future", "a.b": "[1,2]", "a.d": "true", "_stream": "{x=\"y\"}"}),
        serde_json::json!({(name): long, "z": "ff00ff00ff00ff00"}),
    ];
    assert_eq!(plain(&found), plain(&wanted));
    let output = query(&["--from", "-", "*"], "{\"z\":\"1\",\"a\":\"2\"}\n{\"a\":\"3\",\"m\":\"4\",\"z\":\"5\"}\n");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "{\"z\":\"1\",\"a\":\"2\"}\n{\"z\":\"5\",\"a\":\"3\",\"m\":\"4\"}\n"
    );
    let output = query_in("cold", &["--from", "-", "*"], "{}");
    assert_eq!(output.status.code(), Some(2), "an unknown form is wrong usage");
}

#[test]
fn a_query_says_how_it_is_answered() {
    let args = ["--explain", "--from", "-", "failed level:=ERROR | stats by (took.ms) count()"];
    let output = query_in("sealed", &args, LOGS);
    let told = String::from_utf8(output.stdout).unwrap();
    for part in
        ["_msg has the phrase \"failed\"", "level is \"ERROR\"", "fields     took.ms", "1 of 1 segments", "did read"]
    {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
}

#[test]
fn a_file_is_asked_like_standard_input() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(LOGS.as_bytes()).unwrap();
    let output = query(&["--from", file.path().to_str().unwrap(), "* | count()"], "");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "{\"count(*)\":\"3\"}\n");
    let output = query(&["--from", "/nonexistent", "*"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("/nonexistent"));
}

#[test]
fn a_query_over_a_file_has_bounds_and_says_which_one_it_hit() {
    let scratch = tempfile::tempdir().unwrap();
    // Long words: rows that take memory, and little time.
    let row = |n: usize| format!("{{\"n\":\"{n}\",\"_msg\":\"word{n} {n:010000}\"}}\n");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    (0..2_000).for_each(|n| file.write_all(row(n).as_bytes()).unwrap());
    let path = file.path().to_str().unwrap();
    let asked = |name: &str, value: &str, query: &str| {
        let mut command = logyard();
        command.args(["query", "--from", path, query]).env("TMPDIR", scratch.path()).env(name, value);
        run(&mut command)
    };
    // Rows of some 20 MB, of which fewer may be in memory than there are.
    let (code, out, error) = asked("LOGYARD_QUERY_MAX_MEMORY", "40MiB", "word17 or word1999 | fields n");
    assert_eq!((code, out.as_str(), error.as_str()), (0, "{\"n\":\"17\"}\n{\"n\":\"1999\"}\n", ""));
    let (code, _, error) = asked("LOGYARD_QUERY_MAX_MEMORY", "4MiB", "* | sort by (_msg)");
    assert!(code == 1 && error.contains("LOGYARD_QUERY_MAX_MEMORY"), "{error}");
    let (code, _, error) = asked("LOGYARD_QUERY_MAX_DURATION", "1ns", "*");
    assert!(code == 1 && error.contains("LOGYARD_QUERY_MAX_DURATION"), "{error}");
    assert_eq!(asked("LOGYARD_QUERY_MAX_DURATION", "soon", "*").0, 2);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "what was kept on the disk is gone");
}

#[test]
fn a_line_without_an_end_is_refused_before_it_takes_memory() {
    let mut child =
        logyard().args(["query", "--from", "-", "*"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let piece = vec![b'x'; 1 << 20];
    // It ends before all of it is taken.
    let given = (0..200).take_while(|_| input.write_all(&piece).is_ok()).count();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && given < 70 && error.contains("line 1 of standard input is longer"),
        "{given}: {error}"
    );
}

#[test]
fn a_wrong_query_is_shown_with_a_caret_under_the_fault() {
    assert_eq!(query(&["--check", "level:ERROR | stats by (service) count()"], "").status.code(), Some(0));
    let output = query(&["--check", "level:ERROR | limit many"], "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines[1], "level:ERROR | limit many", "{error}");
    assert_eq!(lines[2].find('^'), Some(20), "{error}");
    assert!(lines[2].contains("a number of rows"), "{error}");
}

#[test]
fn a_line_that_is_no_object_is_named() {
    let error = rows("*", "{\"a\":\"b\"}\n[1]\n").unwrap_err();
    assert_eq!(
        error,
        "logyard: line 2 of standard input is no JSON object; `logyard ingest` reads other formats into a server\n"
    );
}

/// Rows as a multiset: an empty value is a missing one, and a row without any is none.
fn plain(rows: &[Value]) -> Vec<String> {
    let mut plain: Vec<String> = Vec::new();
    for row in rows {
        let mut kept = Map::new();
        for (name, value) in row.as_object().unwrap() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            if !text.is_empty() && !value.is_null() {
                kept.insert(name.clone(), Value::String(text));
            }
        }
        if !kept.is_empty() {
            let mut fields: Vec<String> = kept.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
            fields.sort();
            plain.push(fields.join(","));
        }
    }
    plain.sort();
    plain
}

/// A vector of one pipe. The rows are kept as they are written: the order of their fields counts.
#[derive(Deserialize)]
struct PipeVector {
    pipe: String,
    rows: Vec<Box<RawValue>>,
    expected: Vec<Value>,
}

fn input<T: Display>(rows: &[T]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn pipe_vector(line: &str) -> Result<(), String> {
    let vector: PipeVector = serde_json::from_str(line).unwrap();
    let got = plain(&rows(&format!("* | {}", vector.pipe), &input(&vector.rows))?);
    let wanted = plain(&vector.expected);
    if got == wanted { Ok(()) } else { Err(format!("gives {got:?}, not {wanted:?}")) }
}

fn filter_vector(line: &str) -> Result<(), String> {
    let vector: Value = serde_json::from_str(line).unwrap();
    let columns = vector["columns"].as_object().unwrap();
    let count = columns.values().map(|values| values.as_array().unwrap().len()).max().unwrap_or(0);
    let row = |number: usize| {
        let fields = columns.iter().filter_map(|(name, values)| Some((name.clone(), values.get(number)?.clone())));
        Value::Object(fields.chain([("rowno".to_string(), Value::String(number.to_string()))]).collect())
    };
    let all: Vec<Value> = (0..count).map(row).collect();
    let text = format!("{} | fields rowno", vector["filter"].as_str().unwrap());
    let mut got: Vec<u64> =
        rows(&text, &input(&all))?.iter().map(|row| row["rowno"].as_str().unwrap().parse().unwrap()).collect();
    got.sort_unstable();
    let wanted: Vec<u64> = vector["match"].as_array().unwrap().iter().map(|row| row.as_u64().unwrap()).collect();
    if got == wanted { Ok(()) } else { Err(format!("finds {got:?}, not {wanted:?}")) }
}

fn parse_vector(line: &str) -> Result<(), String> {
    let vector: Value = serde_json::from_str(line).unwrap();
    let right = query(&["--check", vector["query"].as_str().unwrap()], "").status.success();
    if vector["ok"] == right { Ok(()) } else { Err(format!("is {}", if right { "accepted" } else { "refused" })) }
}

/// Holds where nothing is named: the tests above and those beside each filter and pipe are our own.
#[test]
fn vectors_from_outside_hold() {
    let Some(folder) = std::env::var_os(VECTORS).map(PathBuf::from) else { return };
    let folder = if folder.join("logsql").is_dir() { folder.join("logsql") } else { folder };
    type Judge = fn(&str) -> Result<(), String>;
    let kinds: [(&str, Judge); 3] =
        [("pipes.jsonl", pipe_vector), ("filters.jsonl", filter_vector), ("parse.jsonl", parse_vector)];
    let mut faults = Vec::new();
    let mut held = 0;
    for (name, judge) in kinds {
        let text = std::fs::read_to_string(Path::new(&folder).join(name)).unwrap();
        for line in text.lines() {
            match judge(line) {
                Ok(()) => held += 1,
                Err(e) => faults.push(format!("{line}\n    {e}")),
            }
        }
    }
    assert!(faults.is_empty() && held > 0, "{held} hold, {} do not:\n{}", faults.len(), faults.join("\n"));
}
