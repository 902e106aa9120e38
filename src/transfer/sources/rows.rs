//! A log a file, as the service before wrote them to its bucket, and as an export does.
//!
//! Invariant: an id of ours is kept as where the record came from; any other is a field of the record, as it was.
use super::super::flat;
use super::super::item::{self, Item};
use super::super::ndjson;
use super::{Settings, Taker, open};
use logyard_storage::record::RecordId;
use std::io::Read;
use std::path::Path;

/// Bytes of a file that has one log.
const BYTES_MAX: u64 = 8 << 20;

/// Reads a file.
pub(super) fn read(settings: &Settings, path: &Path, taker: &mut dyn Taker) -> Result<(), String> {
    let input = open(path)?;
    let (at, mut text) = (std::sync::Arc::clone(&input.read), String::new());
    let read = input.reader.take(BYTES_MAX + 1).read_to_string(&mut text);
    taker.at(at.load(std::sync::atomic::Ordering::Relaxed));
    match read {
        Err(e) => return taker.bad(format!("it cannot be read: {e}")),
        Ok(_) if text.len() as u64 > BYTES_MAX => return taker.bad(format!("a log of more than {BYTES_MAX} bytes")),
        Ok(_) => {}
    }
    match of_text(settings, &text) {
        Ok(item) => taker.item(item),
        Err(what) => taker.bad(what),
    }
}

/// A record of a row's JSON.
pub(super) fn of_text(settings: &Settings, text: &str) -> Result<Item, String> {
    let ndjson::Row { id, time, stream, mut fields } = ndjson::read(text)?;
    let mut service = item::get(&fields, "service_name").unwrap_or_default().to_owned();
    if service.is_empty()
        && let Some(given) = &settings.service
    {
        service.clone_from(given);
        fields.push(flat::text("service_name", given));
    }
    let stream = item::stream_fields(&stream, &service);
    // Where a record came from is what it was known by first.
    let origin = item::get(&fields, item::ID_SENT).map(str::to_owned);
    let id = match (origin, RecordId::parse(&id)) {
        (Some(_), _) => None,
        (None, Some(_)) => Some(id),
        (None, None) => {
            fields.push(flat::text(super::ID_FIELD, id));
            None
        }
    };
    Ok(Item { time, service, stream, id, fields })
}
