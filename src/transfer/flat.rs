//! Records as flat fields, out of JSON and back into it, exactly.
//!
//! Invariant: what comes out of a record's JSON has the same fields, in the same spelling, as the record that it was made of, but
//! for their order among different names.
use crate::ingest::json::{Fields, Scalar, read_object};
use logyard_storage::record::{FieldPath, Record, Value, ValueKind};
use std::collections::HashMap;

/// A field and its value.
pub(crate) type Field = (FieldPath, Value);

/// The fields of a JSON object; what is wrong with it where it is none.
pub(crate) fn of_json(text: &str) -> Result<Vec<Field>, String> {
    let mut flat = Flat::default();
    read_object(text, &mut flat).map_err(|e| e.to_string())?;
    if flat.is_too_long {
        return Err("a name is too long".into());
    }
    Ok(flat.fields)
}

/// A JSON object of fields.
pub(crate) fn to_json(fields: Vec<Field>) -> String {
    Record { seq: 0, epoch: 0, time: 0, arrival: 0, fields }.to_json(|_| true)
}

/// A field of the record itself.
pub(crate) fn text(name: &str, text: impl Into<String>) -> Field {
    (FieldPath::flat(name), Value { kind: ValueKind::String, text: text.into() })
}

/// Whether two records have the same fields, whatever the order of their names.
pub(crate) fn are_same(one: &[Field], other: &[Field]) -> bool {
    let sorted = |fields: &[Field]| {
        let mut sorted = fields.to_vec();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        sorted
    };
    one.len() == other.len() && sorted(one) == sorted(other)
}

#[derive(Default)]
struct Flat {
    fields: Vec<Field>,
    /// The flat name of the open object, with the dots that are nesting, for each that is open.
    open: Vec<(String, Vec<u16>)>,
    seen: HashMap<(Box<str>, Box<[u16]>), u16>,
    is_too_long: bool,
}

impl Flat {
    fn path(&mut self, name: &str) -> (String, Vec<u16>) {
        let Some((outer, nesting)) = self.open.last() else { return (name.to_owned(), Vec::new()) };
        let mut nesting = nesting.clone();
        match u16::try_from(outer.len()) {
            Ok(at) => nesting.push(at),
            Err(_) => self.is_too_long = true,
        }
        (format!("{outer}.{name}"), nesting)
    }
}

impl Fields for Flat {
    fn enter(&mut self, name: &str) {
        let path = self.path(name);
        self.open.push(path);
    }

    fn leave(&mut self) {
        self.open.pop();
    }

    fn value(&mut self, name: &str, value: Scalar<'_>) {
        let (name, nesting) = self.path(name);
        let (name, nesting): (Box<str>, Box<[u16]>) = (name.into(), nesting.into());
        let seen = self.seen.entry((name.clone(), nesting.clone())).or_default();
        let occurrence = *seen;
        *seen = seen.saturating_add(1);
        let (kind, text) = match value {
            Scalar::String(text) => (ValueKind::String, text),
            Scalar::Number(spelling) => (ValueKind::Number, spelling),
            Scalar::Bool(true) => (ValueKind::Bool, "true"),
            Scalar::Bool(false) => (ValueKind::Bool, "false"),
            Scalar::Null => (ValueKind::Null, ""),
            Scalar::Json(raw) => (ValueKind::Json, raw),
        };
        self.fields.push((FieldPath { name, nesting, occurrence }, Value { kind, text: text.to_owned() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_were() {
        let text = r#"{"a":{"b":1.50,"c":{"d":"q\"\u0001"}},"a.b":true,"x":null,"x":[1,{"y":2}],"e":{},"n":1e3}"#;
        let fields = of_json(text).unwrap();
        assert_eq!(to_json(fields.clone()), text);
        assert_eq!(fields.len(), 7);
        let again = of_json(
            r#"{"n":1e3,"a.b":true,"a":{"c":{"d":"q\"\u0001"}},"a":{"b":1.50},"x":null,"x":[1,{"y":2}],"e":{}}"#,
        );
        assert!(are_same(&fields, &again.unwrap()));
        assert!(!are_same(&fields, &of_json(r#"{"a":1}"#).unwrap()));
        assert!(of_json("[]").is_err() && of_json("{").is_err());
    }
}
