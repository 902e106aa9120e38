//! The examples of docs/api.md, tried one after the other.
use crate::description::paths;
use crate::harness::Server;
use serde_json::Value;

const PAGE: &str = include_str!("../docs/api.md");

/// A request of the page, and what it says that comes back.
struct Example {
    method: String,
    path: String,
    body: String,
    status: u16,
    answer: Vec<String>,
}

fn is_request(line: &str) -> bool {
    ["GET /", "POST /", "PUT /", "DELETE /"].iter().any(|begin| line.starts_with(begin))
}

fn examples() -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut is_answer = false;
    let blocks = PAGE.split("```http\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    for line in blocks.flat_map(str::lines).filter(|line| !line.is_empty()) {
        if is_request(line) {
            let (method, path) = line.split_once(' ').unwrap();
            let (body, answer) = (String::new(), Vec::new());
            examples.push(Example { method: method.into(), path: path.into(), body, status: 0, answer });
            is_answer = false;
        } else if let Some(status) = line.strip_prefix("-> ") {
            examples.last_mut().unwrap().status = status.parse().unwrap();
            is_answer = true;
        } else if is_answer {
            examples.last_mut().unwrap().answer.push(line.to_owned());
        } else {
            let body = &mut examples.last_mut().unwrap().body;
            body.push_str(line);
            // Forms are one line without an end.
            if body.starts_with('{') {
                body.push('\n');
            }
        }
    }
    examples
}

/// Whether a value is as an example says; `...` stands for anything, as a key for more of them.
fn is_like(example: &Value, value: &Value) -> bool {
    match (example, value) {
        (Value::String(text), _) if text == "..." => true,
        (Value::Array(examples), Value::Array(values)) => {
            examples.len() == values.len()
                && examples.iter().zip(values).all(|(example, value)| is_like(example, value))
        }
        (Value::Object(examples), Value::Object(values)) => {
            let named = examples.iter().filter(|(name, _)| *name != "...");
            let are_all = examples.contains_key("...") || examples.len() == values.len();
            are_all
                && named
                    .into_iter()
                    .all(|(name, example)| values.get(name).is_some_and(|value| is_like(example, value)))
        }
        _ => example == value,
    }
}

#[test]
fn the_examples_of_the_page_are_so() {
    let server = Server::start();
    let (mut id, examples) = (String::new(), examples());
    assert!(examples.len() > 30);
    for example in &examples {
        let path = example.path.replace("$ID", &id);
        let answer = match example.method.as_str() {
            "GET" => server.get(&path),
            "POST" => server.post(&path, &example.body),
            "PUT" => server.put(&path, &example.body),
            other => server.ask(other, &path),
        };
        assert_eq!(answer.status, example.status, "{} {path}: {}", example.method, answer.text);
        if example.answer == ["..."] {
            continue;
        }
        let lines: Vec<&str> = answer.text.lines().collect();
        assert_eq!(lines.len(), example.answer.len(), "{path}: {}", answer.text);
        for (line, said) in lines.iter().zip(&example.answer) {
            let value: Value = serde_json::from_str(line).unwrap();
            assert!(is_like(&serde_json::from_str(said).unwrap(), &value), "{path}\nsays  {said}\nbut is {line}");
            if let Some(new) = value["id"].as_str().or(value["key"]["id"].as_str()) {
                id = new.to_owned();
            }
        }
    }
}

#[test]
fn the_page_has_every_route() {
    for (path, methods) in paths() {
        let begin = path.split('{').next().unwrap();
        let is_shown = methods.iter().any(|method| PAGE.contains(&format!("\n{method} {begin}")));
        assert!(is_shown || path == "/select/logsql/tail", "docs/api.md does not show {methods:?} {path}");
    }
}

/// All source, with texts that go over several lines put together.
fn source() -> String {
    fn read(directory: &std::path::Path, out: &mut String) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, out);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                out.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    ["src", "storage/src"].iter().for_each(|part| read(&root.join(part), &mut all));
    let mut lines = all.split("\\\n").map(str::to_owned);
    let first = lines.next().unwrap();
    lines.fold(first, |text, line| text + line.trim_start())
}

#[test]
fn errors_that_the_operator_is_told_of_are_said_so() {
    let (page, source) = (include_str!("../docs/operations.md"), source());
    let (_, rest) = page.split_once("## What errors mean").unwrap();
    let texts = rest.lines().filter(|line| line.starts_with("| 4") || line.starts_with("| 5"));
    let mut tried = 0;
    for cell in texts.map(|line| line.split(" | ").next().unwrap()) {
        for text in cell.split('`').skip(1).step_by(2) {
            for part in text.split("...").map(str::trim).filter(|part| part.len() > 5) {
                assert!(source.contains(part), "nothing says `{part}` any more, and docs/operations.md does");
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried}");
}
