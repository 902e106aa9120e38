//! The page on queries, docs/query.md: each example is asked and its answer compared, each entry of its tables is read.
use crate::harness::{Server, encoded, logyard};
use crate::query::rows;
use serde_json::Value;

const PAGE: &str = include_str!("../docs/query.md");
/// How the page says that a server was sent its rows.
const STREAM_FIELDS: &str = "_stream_fields=service_name,host";

/// The texts of the fenced blocks of the page, each with what it is said to be.
fn fenced() -> Vec<(&'static str, &'static str)> {
    let mut blocks = Vec::new();
    let mut rest = PAGE;
    while let Some((_, block)) = rest.split_once("```") {
        let (kind, block) = block.split_once('\n').unwrap();
        let (text, after) = block.split_once("```").expect("a block that ends");
        blocks.push((kind, text));
        rest = after;
    }
    blocks
}

/// What stands in the first column of the page's tables with this heading.
fn entries(heading: &str) -> Vec<String> {
    let mut entries = Vec::new();
    let mut inside = false;
    for line in PAGE.lines() {
        let Some(line) = line.strip_prefix("| ") else {
            inside = inside && line.starts_with("|---");
            continue;
        };
        if line.starts_with(&format!("{heading} |")) {
            inside = true;
        } else if inside {
            let code = line.strip_prefix('`').and_then(|line| line.split_once("` |")).expect("an entry in backticks").0;
            entries.push(code.replace("\\|", "|"));
        }
    }
    entries
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn server_with(lines: &str) -> Server {
    let server = Server::start();
    assert_eq!(server.post(&format!("/insert/jsonline?{STREAM_FIELDS}"), lines).status, 200);
    server
}

fn asked_of(server: &Server, text: &str) -> Vec<Value> {
    let answer = server.get(&format!("/select/logsql/query?query={}", encoded(text)));
    assert_eq!(answer.status, 200, "{text}: {}", answer.text);
    lines(&answer.text)
}

#[test]
fn the_examples_hold() {
    assert!(PAGE.contains(&format!("`{STREAM_FIELDS}`")));
    let (mut input, mut asked, mut of_server, mut examples) = ("", "", false, 0);
    let mut server = None;
    for (kind, text) in fenced() {
        match kind {
            "rows" => (input, server) = (text, None),
            "logsql" | "asked" => {
                assert_eq!(asked, "", "an example without an answer");
                (asked, of_server) = (text.trim(), kind == "asked");
            }
            // What a server is asked while rows arrive is tried with one, in tail.rs.
            "sql" | "sh" | "tail" | "lines" => {}
            "json" => {
                let answer = match of_server {
                    true => asked_of(server.get_or_insert_with(|| server_with(input)), asked),
                    false => rows(asked, input).unwrap_or_else(|fault| panic!("{asked}: {fault}")),
                };
                assert_eq!(answer, lines(text), "{asked}");
                asked = "";
                examples += 1;
            }
            other => panic!("a block of {other}"),
        }
    }
    assert!(examples >= 70 && asked.is_empty(), "{examples} examples; `{asked}` has no answer");
}

#[test]
fn each_entry_of_the_tables_is_read() {
    for (heading, before, least) in [("filter", "", 30), ("pipe", "* | ", 40), ("function", "* | stats ", 20)] {
        let entries = entries(heading);
        assert!(entries.len() >= least, "{} of {heading}", entries.len());
        for entry in entries {
            let output = logyard().args(["query", "--check", &format!("{before}{entry}")]).output().unwrap();
            assert!(output.status.success(), "{entry}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn rows_are_found_by_the_kinds_of_the_page() {
    let server = server_with(
        r#"{"service_name":"k","_msg":"one","string":"x","number":1,"bool":true,"null":null,"json":[1],"any":1}
{"service_name":"k","_msg":"two","string":"7","number":2.5,"bool":false,"null":null,"json":{},"any":"1"}"#,
    );
    let kinds = entries("kind");
    assert_eq!(kinds, ["string", "number", "bool", "null", "json"]);
    for field in &kinds {
        for kind in &kinds {
            let found = asked_of(&server, &format!("service_name:=k {field}:value_type({kind}) | fields _msg"));
            let wanted = if field == kind { lines("{\"_msg\":\"one\"}\n{\"_msg\":\"two\"}") } else { Vec::new() };
            assert_eq!(found, wanted, "{field} as {kind}");
        }
    }
    // Each value by itself, whatever lies beside it.
    for (kind, wanted) in [("number", "{\"_msg\":\"one\"}"), ("string", "{\"_msg\":\"two\"}")] {
        assert_eq!(asked_of(&server, &format!("service_name:=k any:value_type({kind}) | fields _msg")), lines(wanted));
    }
}
