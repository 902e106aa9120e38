//! Audit events as the pipeline before wrote them: 13 columns, a folder for each account.
//!
//! Records are events as they came from the audit API, nested, or as an import of the pipeline's own files left them; both have the
//! same columns.
//!
//! Invariants
//! * The columns, their names and their types are the pipeline's, and so is the form of JSON text: keys in order, compact, ASCII.
//! * Of a record without an account there is nothing to be written here.
use super::columns::{Cell, Kind};
use super::flat::{self, Field};
use super::parquet::{Column, ParquetWriter};
use super::part::{Rows, Written, failed};
use super::spool::Spool;
use crate::ingest::time;
use logyard_storage::error::Result;
use logyard_storage::limits::RECORD_DEPTH_MAX;
use logyard_storage::record::{Record, ValueKind};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::Path;

/// The field that has a record's account.
pub(super) const ACCOUNT: &str = "account_id";

/// The columns of text, each with the fields that it is taken from: the first that has something.
const TEXTS: [(&str, &[&str]); 9] = [
    ("account_id", &["account_id"]),
    ("actor_email", &["actor_email", "actor.email"]),
    ("actor_type", &["actor_type", "actor.type"]),
    ("action_type", &["action_type", "action.type"]),
    ("action_result", &["action_result", "action.result"]),
    ("resource_type", &["resource_type", "resource.type"]),
    ("resource_id", &["resource_id", "resource.id"]),
    ("ip_address", &["ip_address", "actor.ip"]),
    ("event_id", &["event_id", "id", "_id_sent"]),
];

fn columns() -> Vec<Column> {
    let text = |name: &str| Column::new(name, Kind::Text);
    let time = |name: &str| Column::new(name, Kind::Time);
    let middle = TEXTS.iter().take(8).map(|(name, _)| text(name));
    let after = [text("metadata_json"), text("raw_event_json"), time("ingestion_time")];
    [text("event_id"), time("timestamp")].into_iter().chain(middle).chain(after).collect()
}

/// Writes a part; nothing where there are no rows.
pub(super) fn write(spool: &Path, rows: &mut Rows<'_>) -> Result<Option<Written>> {
    let mut writer = ParquetWriter::new(Spool::new(spool)?, &columns(), &[]).map_err(failed)?;
    rows(&mut |row| writer.push(cells(&row.record)).map_err(failed))?;
    let (spool, rows) = writer.finish().map_err(failed)?;
    Ok((rows > 0).then_some(Written { spool, rows }))
}

fn cells(record: &Record) -> Vec<Cell> {
    let get = |names: &[&str]| names.iter().map(|name| record.get(name)).find(|text| !text.is_empty());
    let text = |text: Option<&str>| text.map_or(Cell::Nothing, |text| Cell::Text(text.to_owned()));
    let id = get(TEXTS.last().map_or(&[], |(_, names)| names)).map_or_else(|| record.id().to_string(), str::to_owned);
    let mut cells = vec![Cell::Text(id), Cell::Int(record.time)];
    cells.extend(TEXTS.iter().take(8).map(|(_, names)| text(get(names))));
    let raw = within(record, "raw_event").unwrap_or_else(|| flat::to_json(record.fields.clone()));
    let metadata = within(record, "metadata").unwrap_or_else(|| "{}".into());
    cells.extend([metadata, raw].map(|json| Cell::Text(plain(&json))));
    let came = time::from_text(record.get("ingestion_time")).unwrap_or(record.arrival);
    cells.push(Cell::Int(came));
    cells
}

/// The JSON of a field of the record, where there is one.
fn within(record: &Record, name: &str) -> Option<String> {
    let own = |(path, _): &&Field| path.parts().next() == Some(name);
    let fields: Vec<Field> = record.fields.iter().filter(own).cloned().collect();
    if let [(path, value)] = fields.as_slice()
        && path.nesting.is_empty()
        && value.kind == ValueKind::String
    {
        // Text of JSON is that JSON.
        return serde_json::from_str::<&RawValue>(&value.text).is_ok().then(|| value.text.clone());
    }
    let json = (!fields.is_empty()).then(|| flat::to_json(fields))?;
    let object: BTreeMap<String, &RawValue> = serde_json::from_str(&json).ok()?;
    object.get(name).map(|raw| raw.get().to_owned())
}

/// JSON text with its keys in order, compact, in ASCII; numbers as they were sent.
fn plain(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let raw = serde_json::from_str::<&RawValue>(json).ok();
    if raw.and_then(|raw| put_in_order(raw, &mut text, 0)).is_none() {
        // What is no JSON stays as it was sent.
        text = json.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

/// Writes a value with the keys of its objects in order; nothing where it is nested too deeply.
fn put_in_order(raw: &RawValue, out: &mut String, depth: usize) -> Option<()> {
    let text = raw.get();
    if depth > RECORD_DEPTH_MAX {
        return None;
    }
    match text.as_bytes().first()? {
        b'{' => {
            let object: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            out.push('{');
            for (at, (key, value)) in object.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(&serde_json::to_string(key).ok()?);
                out.push(':');
                put_in_order(value, out, depth + 1)?;
            }
            out.push('}');
        }
        b'[' => {
            let list: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            out.push('[');
            for (at, value) in list.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                put_in_order(value, out, depth + 1)?;
            }
            out.push(']');
        }
        // As the pipeline spelled it.
        b'"' => out.push_str(&serde_json::to_string(&serde_json::from_str::<String>(text).ok()?).ok()?),
        _ => out.push_str(text),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_as_they_were_sent() {
        let sent = r#"{ "z" : [1.50, 1e3, {"b": 12345678901234567890123, "a": 1e400}], "a":"\u00fc\n", "n":null }"#;
        let kept = r#"{"a":"\u00fc\n","n":null,"z":[1.50,1e3,{"a":1e400,"b":12345678901234567890123}]}"#;
        assert_eq!((plain(sent).as_str(), plain("no {json").as_str()), (kept, "no {json"));
        let record = format!(r#"{{"id":"e","account_id":"a","metadata":{sent},"raw_event":{{"big":1.50}}}}"#);
        let cells = shown(&record);
        assert_eq!((cells[10].as_str(), cells[11].as_str()), (kept, r#"{"big":1.50}"#));
    }

    fn shown(json: &str) -> Vec<String> {
        let record = Record { seq: 1, epoch: 2, time: 3, arrival: 4, fields: flat::of_json(json).unwrap() };
        let cell = |cell: Cell| match cell {
            Cell::Text(text) => text,
            Cell::Int(value) => value.to_string(),
            _ => "-".into(),
        };
        cells(&record).into_iter().map(cell).collect()
    }

    #[test]
    fn events_nested_and_flat_have_the_same_columns() {
        let names: Vec<String> = columns().into_iter().map(|column| column.name).collect();
        let wanted = "event_id timestamp account_id actor_email actor_type action_type action_result resource_type resource_id \
                      ip_address metadata_json raw_event_json ingestion_time";
        assert_eq!(names.join(" "), wanted);
        let nested = shown(
            r#"{"id":"e","account_id":"a","actor":{"email":"m","type":"user","ip":"1.2.3.4"},"action":{"type":"login","result":true},"resource":{"type":"t","id":"r"},"metadata":{"z":1,"b":"ü😀"}}"#,
        );
        let begin =
            ["e", "3", "a", "m", "user", "login", "true", "t", "r", "1.2.3.4", r#"{"b":"\u00fc\ud83d\ude00","z":1}"#];
        assert_eq!(nested[..11], begin);
        assert!(
            nested[11].starts_with(r#"{"account_id":"a","action":{"result":true,"type":"login"},"#),
            "{}",
            nested[11]
        );
        assert_eq!(nested[12], "4");
        let flat = shown(
            r#"{"id":"e","account_id":"a","actor_email":"m","raw_event":{"y":1,"x":[1]},"ingestion_time":"1970-01-01T00:00:01Z","metadata":"{\"k\":2}"}"#,
        );
        assert_eq!(flat[3..7], ["m", "-", "-", "-"]);
        assert_eq!(flat[10..], [r#"{"k":2}"#, r#"{"x":[1],"y":1}"#, "1000000000"]);
    }
}
