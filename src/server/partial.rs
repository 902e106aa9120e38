//! Answers that leave something out, since the archive does not give it: how they say so.
//!
//! Invariants
//! * An answer without the header is whole, or it breaks off.
//! * Whoever sent `partial=0` has no such answer, but an error with the reason.
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use logyard_storage::engine::Partial;
use logyard_storage::record::push_json_string;

/// What is left out, in words.
const HEADER: HeaderName = HeaderName::from_static("x-logyard-partial");

/// The header's value: what of it cannot stand in a header is shown as `?`.
fn header(note: &str) -> Option<HeaderValue> {
    let shown: String = note.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
    HeaderValue::try_from(shown).ok()
}

/// An answer that says what it leaves out.
pub(super) fn noted(mut response: Response, partial: &Partial) -> Response {
    if let Some(value) = partial.note().and_then(|note| header(&note)) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// The JSON text of an object that says it too, under `note`.
pub(super) fn with_note(mut body: String, partial: &Partial) -> String {
    if let Some(note) = partial.note()
        && body.ends_with('}')
    {
        body.pop();
        body.push_str(",\"note\":");
        push_json_string(&mut body, &note);
        body.push('}');
    }
    body
}
