//! A record on its way in: what it is, when it was, and by what it is known.
//!
//! Invariants
//! * What a record is known by follows from what it was read from alone: reading it again gives the same.
//! * Two equal records of one source are two: the second of them is known as the second, wherever it stands.
use super::flat::{self, Field};
use super::layout::rfc3339;
use logyard_storage::record::FieldPath;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The field that keeps an id which no field of the record says.
pub(crate) const ID_SENT: &str = "_id_sent";
/// Different records without an id of one source.
const DIGESTS_MAX: usize = 20_000_000;

/// Such a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) time: i64,
    pub(crate) service: String,
    /// The fields of its stream, by name; of its service alone where there is none.
    pub(crate) stream: Vec<String>,
    /// An id that no field says.
    pub(crate) id: Option<String>,
    pub(crate) fields: Vec<Field>,
}

impl Item {
    /// Its JSON line, without a line's end.
    pub(crate) fn line(self) -> String {
        let mut fields = vec![flat::text("_time", rfc3339(self.time))];
        fields.extend(self.id.map(|id| flat::text(ID_SENT, id)));
        fields.extend(self.fields);
        flat::to_json(fields)
    }

    /// The last field of a name of the record itself, or one with a dotted name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        get(&self.fields, name)
    }
}

/// The last field of a name.
pub(crate) fn get<'a>(fields: &'a [Field], name: &str) -> Option<&'a str> {
    fields.iter().rev().find(|(path, _)| &*path.name == name).map(|(_, value)| value.text.as_str())
}

/// Takes the last field of a name out.
pub(crate) fn take(fields: &mut Vec<Field>, name: &str) -> Option<Field> {
    let at = fields.iter().rposition(|(path, _)| &*path.name == name)?;
    Some(fields.remove(at))
}

/// A record's own name of a field, not one of an object in it.
pub(crate) fn is_own(path: &FieldPath, name: &str) -> bool {
    &*path.name == name && path.nesting.is_empty()
}

/// Ids of records that have none: what is in them, and the how-manieth of these it is.
#[derive(Default)]
pub(crate) struct Digests {
    seen: HashMap<u128, u32>,
}

impl Digests {
    /// The id of the next record with this content.
    pub(crate) fn id(&mut self, item: &Item) -> Result<String, String> {
        let mut sorted = item.fields.clone();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let text = format!("{} {} {}", item.time, item.service, flat::to_json(sorted));
        let digest = Sha256::digest(text.as_bytes());
        let mut first = [0; 16];
        first.iter_mut().zip(digest.iter()).for_each(|(own, byte)| *own = *byte);
        let key = u128::from_be_bytes(first);
        if self.seen.len() >= DIGESTS_MAX && !self.seen.contains_key(&key) {
            return Err(format!(
                "it has more than {DIGESTS_MAX} records without an id: name the field that has one with --id-field, or split it by time"
            ));
        }
        let before = self.seen.entry(key).or_default();
        let number = *before;
        *before += 1;
        Ok(format!("{key:032x}-{number}"))
    }
}

/// The fields that a stream is named by; none where these are the service alone. A stream of fields that the record does not have
/// is named by one that no record has.
pub(crate) fn stream_fields(stream: &str, service: &str) -> Vec<String> {
    match stream_names(stream) {
        Some(names) if names.is_empty() && !service.is_empty() => vec!["_stream".to_owned()],
        Some(names) if names != ["service_name"] => names,
        _ => Vec::new(),
    }
}

/// The names of a stream's fields, as LogsQL shows them in `{a="x",b="y"}`; nothing where it is no stream.
fn stream_names(stream: &str) -> Option<Vec<String>> {
    let mut rest = stream.strip_prefix('{')?.strip_suffix('}')?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once("=\"")?;
        names.push(name.to_owned());
        let mut escaped = false;
        let end = behind.char_indices().find(|(_, c)| {
            let is_end = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            is_end
        });
        rest = behind.get(end?.0 + 1..)?;
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_says_its_fields() {
        let names = |stream: &str| stream_names(stream).map(|names| names.join(" "));
        assert_eq!(names("{}"), Some(String::new()));
        assert_eq!(names(r#"{service_name="a"}"#).as_deref(), Some("service_name"));
        assert_eq!(names(r#"{a="x\"},b=\\",pod.name="y,z"}"#).as_deref(), Some("a pod.name"));
        assert_eq!(names("a"), None);
        assert_eq!(names(r#"{a="x}"#), None);
    }

    #[test]
    fn equal_records_are_told_apart_by_how_many_there_were() {
        let item = |json: &str| Item {
            time: 5,
            service: "a".into(),
            stream: Vec::new(),
            id: None,
            fields: flat::of_json(json).unwrap(),
        };
        let ids = |all: &[&str]| {
            let mut digests = Digests::default();
            let mut ids: Vec<String> = all.iter().map(|json| digests.id(&item(json)).unwrap()).collect();
            ids.sort();
            ids
        };
        let (a, b) = (r#"{"x":1,"y":2}"#, r#"{"x":2}"#);
        let one = ids(&[a, b, a]);
        assert_eq!(one, ids(&[b, r#"{"y":2,"x":1}"#, a]));
        assert!(one[0] != one[1] && one[1] != one[2]);
        let mut with_id = item(a);
        with_id.id = Some("i".into());
        assert_eq!(with_id.line(), r#"{"_time":"1970-01-01T00:00:00.000000005Z","_id_sent":"i","x":1,"y":2}"#);
    }
}
