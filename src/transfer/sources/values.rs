//! Rows of Parquet files: of ours as they were, of others as fields named by their columns.
//!
//! Invariant: a value becomes the JSON value that says the same; nothing becomes no field.
use super::super::flat::Field;
use super::super::item::{self, Digests, Item};
use super::super::layout::rfc3339;
use super::super::parquet::{ParquetReader, Read};
use super::super::part::PartRows;
use super::{Meter, Settings};
use crate::ingest::time;
use logyard_storage::record::{FieldPath, Value, ValueKind};

/// Reads a part that an export wrote.
pub(super) fn read_ours(reader: ParquetReader, meter: &mut Meter<'_>) -> Result<(), String> {
    for row in PartRows::new(reader)? {
        let row = row?;
        let service = row.record.get("service_name").to_owned();
        let stream = item::stream_fields(&row.stream, &service);
        // Where a record came from is what it was known by first.
        let id = row.record.get(item::ID_SENT).is_empty().then(|| row.record.id().to_string());
        meter.take(Ok(Item { time: row.record.time, service, stream, id, fields: row.record.fields }))?;
    }
    Ok(())
}

/// Reads a file of somebody else.
pub(super) fn read_any(settings: &Settings, reader: ParquetReader, meter: &mut Meter<'_>) -> Result<(), String> {
    let (names, mut digests) = (reader.names(), Digests::default());
    for values in reader.into_rows() {
        let fields = names.iter().zip(values?).filter_map(|(name, value)| field(name, value)).collect();
        meter.take(settings.item(fields, &mut digests))?;
    }
    Ok(())
}

/// A value as a field.
pub(super) fn field(name: &str, read: Read) -> Option<Field> {
    let (kind, text) = match read {
        Read::Nothing => return None,
        Read::Bool(value) => (ValueKind::Bool, value.to_string()),
        Read::Int(value) => (ValueKind::Number, value.to_string()),
        Read::Number(spelling) => (ValueKind::Number, spelling),
        Read::Double(value) if value.is_finite() => (ValueKind::Number, value.to_string()),
        // JSON has no such numbers.
        Read::Double(value) => (ValueKind::String, value.to_string()),
        Read::Text(text) => (ValueKind::String, text),
        Read::Time(at) => (ValueKind::String, rfc3339(at)),
        Read::Json(json) => (ValueKind::Json, json),
    };
    Some((FieldPath::flat(name), Value { kind, text }))
}

/// A value as a time: what ingest reads, and what Postgres writes (`2026-11-20 10:19:48.87573+00`).
pub(super) fn time(value: &Value) -> Option<i64> {
    match value.kind {
        ValueKind::Number => time::from_number(&value.text),
        ValueKind::String => time::from_text(&value.text).or_else(|| {
            let has_hours_alone =
                value.text.len() > 3 && value.text.as_bytes().iter().rev().nth(2).is_some_and(|b| b"+-".contains(b));
            let is_date = value.text.get(10..).is_some_and(|rest| rest.contains(':'));
            (has_hours_alone && is_date).then(|| time::from_text(&format!("{}:00", value.text)))?
        }),
        ValueKind::Bool | ValueKind::Null | ValueKind::Json => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_postgres_are_read() {
        let at = |text: &str| time(&Value { kind: ValueKind::String, text: text.into() });
        let wanted = time::from_text("2026-11-20T10:19:48.87573Z");
        assert!(wanted.is_some());
        for text in ["2026-11-20 10:19:48.87573+00", "2026-11-20T10:19:48.87573+00:00", "2026-11-20 05:19:48.87573-05"]
        {
            assert_eq!(at(text), wanted, "{text}");
        }
        assert_eq!(at("2026-11-20"), None);
        assert_eq!(at("x+00"), None);
    }
}
