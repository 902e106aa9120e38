//! A log as a JSON file of its own, in the layout of the service that was before: `logs/{service}/{date}/{id}.json.gz`.
//!
//! Such a file is the API's row. A row does not say everything: its time ends at milliseconds, and what is missing is shown as empty.
//! Where it is not all there is, the record itself stands beside it in fields that are read back before the others.
//!
//! Invariant: a file of ours gives back the record as it was, whatever its fields are called.
use super::export::Found;
use super::flat::{self, Field};
use super::item::stream_fields;
use super::layout::{log_object, rfc3339};
use super::row::push_row;
use crate::ingest::time;
use flate2::Compression;
use flate2::write::GzEncoder;
use logyard_storage::archive::{Bucket, Put};
use logyard_storage::engine::Streamed;
use logyard_storage::error::{Error, ErrorKind, Result};
use logyard_storage::record::{ValueKind, push_json_string};
use std::io::{self, Write};

/// The fields that say more than the row: the time, the stream, and all fields as JSON text.
const TIME: &str = "_time";
const STREAM: &str = "_stream";
const FIELDS: &str = "_fields";
const MILLI: i64 = 1_000_000;

/// A row read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) time: i64,
    /// The stream, where it is not that of the service.
    pub(crate) stream: String,
    pub(crate) fields: Vec<Field>,
}

/// Puts a record's file, unless it is there.
pub(super) fn put(bucket: &dyn Bucket, row: &Streamed) -> Result<Found> {
    let record = &row.record;
    let packed = packed(&text(row)).map_err(|e| Error::new(ErrorKind::Io, format!("cannot pack a log: {e}")))?;
    let name = log_object(record.get("service_name"), record.time, &record.id().to_string());
    let bytes = packed.len() as u64;
    let put = bucket.put_new(&name, bytes, &|at, buf| {
        let from = usize::try_from(at).unwrap_or(usize::MAX);
        let part = packed.get(from..from.saturating_add(buf.len()));
        buf.copy_from_slice(part.ok_or_else(|| Error::invalid("a log is shorter than that"))?);
        Ok(())
    })?;
    Ok(match put {
        Put::Made => Found { parts: 1, rows: 1, bytes, ..Found::default() },
        Put::Existed => Found { existed: 1, ..Found::default() },
    })
}

fn packed(text: &str) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

/// The row, and what it does not say.
fn text(row: &Streamed) -> String {
    let record = &row.record;
    let mut text = String::new();
    push_row(&mut text, record, None);
    let service = record.get("service_name");
    let stream = if stream_fields(&row.stream, service).is_empty() { String::new() } else { row.stream.clone() };
    let comes_back = read(&text).is_ok_and(|back| {
        back.time == record.time && flat::are_same(&back.fields, &record.fields) && back.stream == stream
    });
    if !comes_back {
        let fields = flat::to_json(record.fields.clone());
        // Within the row's own brace.
        text.pop();
        for (name, value) in [(TIME, rfc3339(record.time)), (STREAM, stream), (FIELDS, fields)] {
            text.push_str(&format!(",\"{name}\":"));
            push_json_string(&mut text, &value);
        }
        text.push('}');
    }
    text
}

/// Reads a row, ours or that of the service that was before.
pub(crate) fn read(text: &str) -> std::result::Result<Row, String> {
    let mut fields = flat::of_json(text)?;
    let mut taken = |name: &str| {
        let at = fields.iter().rposition(|(path, _)| &*path.name == name && path.nesting.is_empty())?;
        Some(fields.remove(at).1)
    };
    let id = taken("id").map(|id| id.text).filter(|id| !id.is_empty()).ok_or("it has no id")?;
    let timestamp = taken("timestamp").ok_or("it has no timestamp")?;
    let wrong = || format!("its timestamp `{}` is no time", timestamp.text.chars().take(40).collect::<String>());
    let mut at = match timestamp.kind {
        // Always milliseconds here, however long ago.
        ValueKind::Number if timestamp.text.parse::<i64>().is_ok() => {
            timestamp.text.parse::<i64>().ok().and_then(|millis| millis.checked_mul(MILLI)).ok_or_else(wrong)?
        }
        ValueKind::Number => time::from_number(&timestamp.text).ok_or_else(wrong)?,
        ValueKind::String => time::from_text(&timestamp.text).ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    let whole = [TIME, STREAM, FIELDS].map(&mut taken);
    if let [Some(exact), Some(stream), Some(all)] = whole {
        at = time::from_text(&exact.text).ok_or_else(wrong)?;
        return Ok(Row { id, time: at, stream: stream.text, fields: flat::of_json(&all.text)? });
    }
    let put_back = [TIME, STREAM, FIELDS].into_iter().zip(whole).filter_map(|(name, value)| Some((name, value?)));
    let put_back: Vec<Field> =
        put_back.map(|(name, value)| (logyard_storage::record::FieldPath::flat(name), value)).collect();
    fields.extend(put_back);
    let is_empty = |(path, value): &Field| match &*path.name {
        _ if !path.nesting.is_empty() => false,
        "level" | "source_type" | "service_name" | "message" => value.text.is_empty(),
        "r2_key" => value.kind == ValueKind::Null,
        "metadata" => value.kind == ValueKind::Json && value.text == "{}",
        _ => false,
    };
    fields.retain(|field| !is_empty(field));
    for (path, _) in &mut fields {
        if &*path.name == "message" && path.nesting.is_empty() {
            path.name = "_msg".into();
        }
    }
    Ok(Row { id, time: at, stream: String::new(), fields })
}
