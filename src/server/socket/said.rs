//! What a client says over a WebSocket, and how it is answered.
//!
//! Invariant: pure. What a message has beside what is named here is left alone, since clients send more than they need to.
use crate::server::error::ApiError;
use logyard_storage::query::Start;
use logyard_storage::record::RecordId;
use serde_json::{Map, Value, json};

/// Characters of a subscription's name.
const NAME_CHARS_MAX: usize = 100;

/// A message.
pub(super) enum Said {
    Subscribe(Asked),
    /// Of one subscription by its name, or of all.
    Unsubscribe(Option<String>),
    Ping,
    Unknown,
}

/// What a subscription asks for.
pub(super) struct Asked {
    /// Its name; where it has none it takes the place of the last without one.
    pub(super) name: String,
    pub(super) service: Option<String>,
    pub(super) level: Option<String>,
    /// A filter in LogsQL.
    pub(super) query: Option<String>,
    /// With which logs to begin.
    pub(super) start: Start,
}

/// Reads a message.
pub(super) fn read(text: &str) -> Result<Said, ApiError> {
    let message: Value =
        serde_json::from_str(text).map_err(|e| ApiError::bad(format!("the message is no JSON: {e}")))?;
    let nothing = Map::new();
    let data = match message.get("data") {
        None | Some(Value::Null) => &nothing,
        Some(Value::Object(data)) => data,
        Some(_) => return Err(ApiError::bad("data must be an object")),
    };
    Ok(match message.get("type").and_then(Value::as_str) {
        Some("subscribe") => Said::Subscribe(Asked {
            name: name(data)?.unwrap_or_default(),
            service: text_of("service_name", message.get("service_name"))?,
            level: text_of("data.level", data.get("level"))?,
            query: text_of("data.query", data.get("query"))?,
            start: start(data)?,
        }),
        Some("unsubscribe") => Said::Unsubscribe(name(data)?),
        Some("ping") => Said::Ping,
        _ => Said::Unknown,
    })
}

/// A text that is there and not empty.
fn text_of(name: &str, value: Option<&Value>) -> Result<Option<String>, ApiError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(_) => Err(ApiError::bad(format!("{name} must be a string"))),
    }
}

fn name(data: &Map<String, Value>) -> Result<Option<String>, ApiError> {
    let name = text_of("data.id", data.get("id"))?;
    match name {
        Some(name) if name.chars().count() > NAME_CHARS_MAX => {
            Err(ApiError::bad(format!("data.id may have up to {NAME_CHARS_MAX} characters")))
        }
        name => Ok(name),
    }
}

/// The last so many, those after one, or only those that arrive.
fn start(data: &Map<String, Value>) -> Result<Start, ApiError> {
    let after = text_of("data.after", data.get("after"))?;
    let last = match data.get("last") {
        None | Some(Value::Null) => None,
        Some(last) => {
            let last = last.as_u64().and_then(|last| usize::try_from(last).ok());
            Some(last.ok_or_else(|| ApiError::bad("data.last must be a whole number that is not negative"))?)
        }
    };
    match (after, last) {
        (Some(_), Some(_)) => Err(ApiError::bad("data.after and data.last say both with which logs to begin")),
        (Some(after), None) => {
            RecordId::parse(&after).map(Start::After).ok_or_else(|| ApiError::bad("data.after must be the id of a log"))
        }
        (None, Some(0) | None) => Ok(Start::Now),
        (None, Some(last)) => Ok(Start::Last(last)),
    }
}

impl Asked {
    /// As it is answered.
    pub(super) fn shown(&self) -> Value {
        let named = [
            ("id", Some(&self.name).filter(|name| !name.is_empty())),
            ("service_name", self.service.as_ref()),
            ("level", self.level.as_ref()),
            ("query", self.query.as_ref()),
        ];
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Option<Asked> {
        match read(text) {
            Ok(Said::Subscribe(asked)) => Some(asked),
            _ => None,
        }
    }

    #[test]
    fn a_subscription_is_understood_as_far_as_it_is_known() {
        let plain = asked(r#"{"type":"subscribe","service_name":"a","data":{"level":"ERROR","more":[1]},"extra":1}"#);
        let plain = plain.unwrap();
        assert_eq!(plain.shown(), json!({"service_name": "a", "level": "ERROR"}));
        assert_eq!((plain.name.as_str(), plain.start), ("", Start::Now));
        assert_eq!(asked(r#"{"type":"subscribe","service_name":null,"data":null}"#).unwrap().shown(), json!({}));
        let more = asked(r#"{"type":"subscribe","data":{"id":"x","query":"a b","last":7}}"#).unwrap();
        assert_eq!((more.shown(), more.start), (json!({"id": "x", "query": "a b"}), Start::Last(7)));
        let id = "019a2b3c-4d5e-7abc-8def-000000000001";
        let after = asked(&format!(r#"{{"type":"subscribe","data":{{"after":"{id}"}}}}"#)).unwrap();
        assert_eq!(after.start, Start::After(RecordId::parse(id).unwrap()));
    }

    #[test]
    fn what_is_wrong_is_told_and_what_is_unknown_is_no_fault() {
        let id = "019a2b3c-4d5e-7abc-8def-000000000001";
        for wrong in [
            "",
            "{",
            r#"{"type":"subscribe","service_name":7}"#,
            r#"{"type":"subscribe","data":[]}"#,
            r#"{"type":"subscribe","data":{"level":["ERROR"]}}"#,
            r#"{"type":"subscribe","data":{"last":-1}}"#,
            r#"{"type":"subscribe","data":{"last":"5"}}"#,
            r#"{"type":"subscribe","data":{"after":"5"}}"#,
            &format!(r#"{{"type":"subscribe","data":{{"after":"{id}","last":1}}}}"#),
            &format!(r#"{{"type":"unsubscribe","data":{{"id":"{}"}}}}"#, "x".repeat(101)),
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        for unknown in ["[]", "7", "{}", r#"{"type":"sing"}"#, r#"{"type":1}"#] {
            assert!(matches!(read(unknown), Ok(Said::Unknown)), "{unknown}");
        }
        assert!(matches!(read(r#"{"type":"unsubscribe"}"#), Ok(Said::Unsubscribe(None))));
    }
}
