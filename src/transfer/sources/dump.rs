//! SQL text of a D1 or SQLite database: the rows of its table `logs`.
//!
//! Invariants
//! * Other tables are named and passed over.
//! * A row becomes what the service that had it gave out: its id is the field `id`, its metadata an object.
use super::super::flat::{self, Field};
use super::literal::{Literal, STATEMENT_BYTES_MAX, Statement, Token, Tokens, next_statement};
use super::{Input, Settings, Taker, rows};
use logyard_storage::record::push_json_string;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The table.
const TABLE: &str = "logs";
/// Its columns where nothing names them.
const COLUMNS: [&str; 8] =
    ["id", "service_name", "level", "message", "timestamp", "r2_key", "metadata_json", "source_type"];
/// Other tables that are told apart.
const OTHERS_MAX: usize = 1_000;

/// Reads a dump.
pub(super) fn read(settings: &Settings, mut input: Input, taker: &mut dyn Taker) -> Result<(), String> {
    let mut columns: Vec<String> = COLUMNS.iter().map(|name| (*name).to_owned()).collect();
    let (mut others, mut number) = (BTreeMap::<String, u64>::new(), 0u64);
    while let Some(statement) =
        next_statement(&mut *input.reader).map_err(|e| format!("it cannot be read behind statement {number}: {e}"))?
    {
        number += 1;
        taker.at(input.at());
        let text = match statement {
            Statement::Text(text) => text,
            Statement::TooLong => {
                taker.bad(format!("statement {number}: longer than {STATEMENT_BYTES_MAX} bytes"))?;
                continue;
            }
            Statement::NoText => {
                taker.bad(format!("statement {number}: not UTF-8"))?;
                continue;
            }
        };
        let mut tokens = Tokens::new(&text);
        if tokens.eat_word("create").is_some() {
            if let Some(named) = created(&mut tokens) {
                columns = named;
            }
        } else if tokens.eat_word("insert").is_some() || tokens.eat_word("replace").is_some() {
            if tokens.eat_word("or").is_some() {
                let _how = tokens.next();
            }
            let Some(table) = tokens.eat_word("into").and_then(|()| tokens.name()) else {
                taker.bad(format!("statement {number}: it inserts into nothing that has a name"))?;
                continue;
            };
            if table != TABLE {
                if others.len() < OTHERS_MAX || others.contains_key(&table) {
                    *others.entry(table).or_default() += 1;
                }
                continue;
            }
            insert(settings, &mut tokens, &columns, number, taker)?;
        }
    }
    for (table, rows) in others {
        taker.skipped(format!("table {table}: {rows} insertions passed over; only the table logs is imported"));
    }
    Ok(())
}

/// The columns of `CREATE TABLE logs (...)`, where it is that.
fn created(tokens: &mut Tokens<'_>) -> Option<Vec<String>> {
    tokens.eat_word("table")?;
    if tokens.eat_word("if").is_some() {
        tokens.eat_word("not")?;
        tokens.eat_word("exists")?;
    }
    if tokens.name()? != TABLE {
        return None;
    }
    tokens.eat('(')?;
    let (mut columns, mut depth, mut is_begun) = (Vec::new(), 0u32, true);
    loop {
        match tokens.next()? {
            Token::Mark('(') => depth += 1,
            Token::Mark(')') if depth == 0 => break,
            Token::Mark(')') => depth -= 1,
            Token::Mark(',') if depth == 0 => {
                is_begun = true;
                continue;
            }
            Token::Word(word) if is_begun => {
                let is_constraint = ["constraint", "primary", "unique", "check", "foreign"];
                if !is_constraint.iter().any(|other| word.eq_ignore_ascii_case(other)) {
                    columns.push(word);
                }
            }
            Token::Name(name) | Token::Text(name) if is_begun => columns.push(name),
            _ => {}
        }
        is_begun = false;
    }
    (!columns.is_empty()).then_some(columns)
}

/// The rows of an insertion, behind the table's name.
fn insert(
    settings: &Settings,
    tokens: &mut Tokens<'_>,
    columns: &[String],
    number: u64,
    taker: &mut dyn Taker,
) -> Result<(), String> {
    let mut columns = columns.to_vec();
    if tokens.eat('(').is_some() {
        columns.clear();
        loop {
            columns.extend(tokens.name());
            if tokens.eat(',').is_none() {
                break;
            }
        }
        if tokens.eat(')').is_none() {
            return taker.bad(format!("statement {number}: its columns cannot be read"));
        }
    }
    if tokens.eat_word("values").is_none() {
        return taker.bad(format!("statement {number}: it has no VALUES"));
    }
    loop {
        let Some(values) = row(tokens) else {
            return taker.bad(format!("statement {number}: a value that a dump does not have"));
        };
        if values.len() != columns.len() {
            let (values, columns) = (values.len(), columns.len());
            return taker.bad(format!("statement {number}: {values} values for {columns} columns"));
        }
        match rows::of_text(settings, &as_row(columns.iter().map(String::as_str).zip(&values))) {
            Ok(item) => taker.item(item)?,
            Err(what) => taker.bad(format!("statement {number}: {what}"))?,
        }
        if tokens.eat(',').is_none() {
            return Ok(());
        }
    }
}

fn row(tokens: &mut Tokens<'_>) -> Option<Vec<Literal>> {
    tokens.eat('(')?;
    let mut values = vec![tokens.literal()?];
    while tokens.eat(',').is_some() {
        values.push(tokens.literal()?);
    }
    tokens.eat(')')?;
    Some(values)
}

/// A row of the table as the JSON that its service gave out.
fn as_row<'a>(values: impl Iterator<Item = (&'a str, &'a Literal)>) -> String {
    let mut out = String::from("{");
    for (name, value) in values {
        if *value == Literal::Null {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        let is_object =
            |text: &str| text.trim_start().starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok();
        match value {
            Literal::Text(text) if name == "metadata_json" && is_object(text) => {
                out.push_str("\"metadata\":");
                out.push_str(text);
            }
            Literal::Number(number) if is_json_number(number) => {
                push_json_string(&mut out, name);
                out.push(':');
                out.push_str(number);
            }
            Literal::Text(text) | Literal::Number(text) => {
                push_json_string(&mut out, name);
                out.push(':');
                push_json_string(&mut out, text);
            }
            Literal::Null => {}
        }
    }
    out.push('}');
    out
}

fn is_json_number(text: &str) -> bool {
    let read: Result<Vec<Field>, String> = flat::of_json(&format!("{{\"a\":{text}}}"));
    read.is_ok()
}
