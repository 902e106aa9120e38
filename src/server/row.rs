//! A record as the API's log row: the fixed fields first, then what else was sent.
//!
//! Invariant: `metadata` and the other fields come back as sent; a field whose name is that of a fixed one of the row
//! itself (`id`, `message`, `timestamp`, `r2_key`) is left out, so that no name means two things.
use logyard_storage::record::{FieldPath, Record, push_json_string};
use std::fmt::Write;

/// Appends the row's JSON.
pub(super) fn push_row(out: &mut String, record: &Record) {
    // Writing to a string cannot fail.
    let _infallible = write!(out, "{{\"id\":\"{}\"", record.id());
    for (name, field) in [("service_name", "service_name"), ("level", "level"), ("message", "_msg")] {
        let _infallible = write!(out, ",\"{name}\":");
        push_json_string(out, record.get(field));
    }
    let _infallible = write!(out, ",\"timestamp\":{}", record.time.div_euclid(1_000_000));
    if !push_fields(out, record, |path| outermost(path) == "metadata") {
        out.push_str(",\"metadata\":{}");
    }
    out.push_str(",\"source_type\":");
    push_json_string(out, record.get("source_type"));
    out.push_str(",\"r2_key\":null");
    push_fields(out, record, |path| {
        let fixed =
            ["id", "service_name", "level", "message", "_msg", "timestamp", "metadata", "source_type", "r2_key"];
        !fixed.contains(&outermost(path))
    });
    out.push('}');
}

fn outermost(path: &FieldPath) -> &str {
    path.parts().next().unwrap_or_default()
}

/// Appends some of the record's fields, each after a comma, and says whether there were any.
fn push_fields(out: &mut String, record: &Record, keep: impl Fn(&FieldPath) -> bool) -> bool {
    let object = record.to_json(keep);
    let fields = object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    if !fields.is_empty() {
        out.push(',');
        out.push_str(fields);
    }
    !fields.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use logyard_storage::record::{Value, ValueKind};

    fn row(fields: &[(&str, &[u16], ValueKind, &str)]) -> String {
        let field = |(name, nesting, kind, text): &(&str, &[u16], ValueKind, &str)| {
            let path = FieldPath { name: (*name).into(), nesting: (*nesting).into(), occurrence: 0 };
            (path, Value { kind: *kind, text: (*text).into() })
        };
        let fields = fields.iter().map(field).collect();
        let mut out = String::new();
        push_row(&mut out, &Record { seq: 1, epoch: 2, time: 3_999_999, arrival: 4, fields });
        out.split_once("\",").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_row_has_all_of_its_fields_whatever_was_sent() {
        assert_eq!(
            row(&[]),
            r#""service_name":"","level":"","message":"","timestamp":3,"metadata":{},"source_type":"","r2_key":null}"#
        );
        let sent = row(&[
            ("x", &[], ValueKind::Number, "1.50"),
            ("metadata.a.b", &[8, 10], ValueKind::Json, "[1,{\"c\":null}]"),
            ("_msg", &[], ValueKind::String, "m\n"),
            ("id", &[], ValueKind::String, "mine"),
            ("metadata.c", &[8], ValueKind::Null, ""),
            ("metadata.d", &[], ValueKind::Bool, "true"),
            ("service_name", &[], ValueKind::String, "s"),
        ]);
        assert_eq!(
            sent,
            r#""service_name":"s","level":"","message":"m\n","timestamp":3,"metadata":{"a":{"b":[1,{"c":null}]},"c":null},"source_type":"","r2_key":null,"x":1.50,"metadata.d":true}"#
        );
        assert!(row(&[("metadata", &[], ValueKind::Null, "")]).contains(r#""metadata":null,"#));
    }
}
