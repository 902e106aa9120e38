//! Parquet files of the audit pipeline: 13 columns, an event a row.
//!
//! The event's id becomes the record's `id`; `metadata_json` and `raw_event_json` become the objects `metadata` and `raw_event`.
//!
//! Invariant: every value of the 13 columns can be found in the record again.
use super::super::flat::{self, Field};
use super::super::item::{Digests, Item};
use super::super::parquet::{ParquetReader, Read};
use super::{Meter, Settings, values};
use logyard_storage::record::{FieldPath, Value, ValueKind};
use serde_json::value::RawValue;

/// The columns.
pub(crate) const COLUMNS: [&str; 13] = [
    "event_id",
    "timestamp",
    "account_id",
    "actor_email",
    "actor_type",
    "action_type",
    "action_result",
    "resource_type",
    "resource_id",
    "ip_address",
    "metadata_json",
    "raw_event_json",
    "ingestion_time",
];
/// The service where none is named.
const SERVICE: &str = "cloudflare-audit";

/// Whether a file with these columns is one.
pub(super) fn is_one(names: &[String]) -> bool {
    COLUMNS.iter().all(|column| names.iter().any(|name| name == column))
}

/// Reads one.
pub(super) fn read(settings: &Settings, reader: ParquetReader, meter: &mut Meter<'_>) -> Result<(), String> {
    let names = reader.names();
    if !is_one(&names) {
        let missing: Vec<&str> =
            COLUMNS.into_iter().filter(|column| !names.iter().any(|name| name == column)).collect();
        return Err(format!("it lacks columns of the audit pipeline: {}", missing.join(", ")));
    }
    let settings = Settings {
        service: Some(settings.service.clone().unwrap_or_else(|| SERVICE.into())),
        time_field: Some("timestamp".into()),
        ..settings.clone()
    };
    let mut digests = Digests::default();
    for row in reader.into_rows() {
        let item = record(&settings, names.iter().map(String::as_str).zip(row?), &mut digests);
        meter.take(item)?;
    }
    Ok(())
}

fn record<'a>(
    settings: &Settings,
    row: impl Iterator<Item = (&'a str, Read)>,
    digests: &mut Digests,
) -> Result<Item, String> {
    let mut fields: Vec<Field> = Vec::new();
    for (name, value) in row {
        match (name, value) {
            (_, Read::Nothing) => {}
            ("event_id", value) => fields.extend(values::field("id", value)),
            ("metadata_json", Read::Text(text)) => fields.extend(object("metadata", &text)),
            ("raw_event_json", Read::Text(text)) => fields.extend(object("raw_event", &text)),
            (name, value) => fields.extend(values::field(name, value)),
        }
    }
    let said = |name: &str| super::item::get(&fields, name).filter(|text| !text.is_empty());
    let message: Vec<&str> =
        ["action_type", "resource_type", "resource_id", "actor_email"].into_iter().filter_map(said).collect();
    let message = message.join(" ");
    fields.push(flat::text("_msg", message));
    fields.push(flat::text("source_type", "poller"));
    settings.item(fields, digests)
}

/// JSON text as the fields of an object, or as the text that it is.
fn object(name: &str, text: &str) -> Vec<Field> {
    // All of the text has to be one value.
    let is_json = serde_json::from_str::<&RawValue>(text).is_ok();
    match is_json.then(|| flat::of_json(&format!("{{\"{name}\":{text}}}"))) {
        Some(Ok(fields)) => fields,
        _ => vec![(FieldPath::flat(name), Value { kind: ValueKind::String, text: text.to_owned() })],
    }
}
