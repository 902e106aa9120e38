//! Fields of a row that has more names than a builder knows: kept as the text that they end up in, in `_rest`.
//!
//! Invariants
//! * A name that is known is never here, and those of streams always are.
//! * Of a row no more of such text is kept than a record may have; what is left out is counted.
//! * What is masked and dropped elsewhere is masked and dropped here.
use super::nodes::{BEYOND, NODES_MAX, ROOT};
use super::{BatchBuilder, Sent};
use crate::limits::RECORD_BYTES_MAX;
use crate::privacy::{MASK, Redacted, Redaction};
use crate::record::push_json_string;

/// Names that a builder knows at most.
const NAMES_MAX: usize = 8 * NODES_MAX;

/// Of the row that is being collected.
#[derive(Default)]
pub(in crate::batch) struct Surplus {
    /// The fields, as an object's without its braces.
    pub(in crate::batch) text: String,
    /// Bytes that were left out of it.
    pub(in crate::batch) left_out: u64,
    /// The objects that are open and have no node.
    objects: Vec<Box<str>>,
    /// Whether all of the row has come, and what is named from now on is ours.
    pub(in crate::batch) is_over: bool,
}

impl Surplus {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.left_out = 0;
        self.objects.clear();
        self.is_over = false;
    }

    pub(super) fn enter(&mut self, name: &str) {
        self.objects.push(name.into());
    }

    pub(super) fn leave(&mut self) {
        self.objects.pop();
    }
}

impl BatchBuilder {
    /// Whether another name can be known.
    pub(super) fn has_room_for_a_name(&self) -> bool {
        self.nodes.len() < NAMES_MAX || self.surplus.is_over
    }

    /// Keeps a field that has no node.
    #[cold]
    pub(super) fn keep_beyond(&mut self, name: &str, sent: Sent, value: &str) {
        let known = self.objects.iter().rev().copied().find(|node| *node != BEYOND).unwrap_or(ROOT);
        let mut path = self.whole_name(known).0;
        for (at, part) in self.surplus.objects.iter().map(|part| &**part).chain([name]).enumerate() {
            if known != ROOT || at > 0 {
                path.push('.');
            }
            path.push_str(part);
        }
        let surplus = &mut self.surplus;
        if surplus.text.len() + path.len() + value.len() > RECORD_BYTES_MAX {
            surplus.left_out += (path.len() + value.len()) as u64;
            return;
        }
        if !surplus.text.is_empty() {
            surplus.text.push(',');
        }
        push_json_string(&mut surplus.text, &path);
        surplus.text.push(':');
        push_value(&mut surplus.text, sent, value);
    }

    /// Masks and drops what has to be.
    pub(super) fn redact_surplus(&mut self, redaction: &Redaction, counts: &mut Redacted) {
        if self.surplus.text.is_empty() {
            return;
        }
        let object = format!("{{{}}}", self.surplus.text);
        if let Some(redacted) = redaction.of_json("", &object, counts) {
            let fields = redacted.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            // What is too deep to be looked at is masked as a whole.
            self.surplus.text = fields.map_or_else(|| format!("\"{MASK}\":\"{MASK}\""), str::to_owned);
        }
    }
}

/// Appends a value as JSON has it.
pub(in crate::batch) fn push_value(out: &mut String, sent: Sent, text: &str) {
    match sent {
        Sent::String => push_json_string(out, text),
        Sent::Number | Sent::Json => out.push_str(text),
        Sent::True => out.push_str("true"),
        Sent::False => out.push_str("false"),
        Sent::Null => out.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::records;
    use super::*;
    use crate::limits::RECORD_FIELDS_MAX;
    use crate::privacy::Privacy;

    /// More names than are known, each with a value of one digit.
    fn fill(rows: &mut BatchBuilder) {
        (0..NAMES_MAX + 10).for_each(|n| rows.number(&format!("n{n}"), "1"));
    }

    #[test]
    fn names_beyond_those_that_are_known_are_text() {
        let privacy = Privacy {
            mask_fields: vec!["user.password".into()],
            drop_fields: vec!["token".into()],
            mask_patterns: vec!["card \\d+".into()],
        };
        let redaction = Redaction::new(&[&privacy]).unwrap().unwrap();
        let mut rows = BatchBuilder::with_stream_fields(&["service_name", "host"]);
        for _ in 0..2 {
            rows.begin_row();
            rows.enter("known");
            rows.bool("yes", true);
            rows.leave();
            fill(&mut rows);
            rows.enter("known");
            rows.enter("user");
            rows.string("password", "hidden");
            rows.string("token", "hidden");
            rows.string("paid", "by card 4111");
            rows.bool("ok", true);
            rows.int("count", -7);
            rows.leave();
            rows.leave();
            rows.string("service_name", "shop");
            rows.string("host", "h");
            rows.json("list", "[1,2]");
            rows.null("none");
            assert!(rows.nodes.len() <= NAMES_MAX);
            assert_eq!(rows.row_service(), "shop");
            assert_eq!(rows.redact(&redaction), Redacted { masked: 2, dropped: 1 });
            rows.commit_row();
            let batch = rows.finish().unwrap();
            assert_eq!(&*batch.streams()[0].tags, r#"{service_name="shop",host="h"}"#);
            let record = records(batch).remove(0);
            assert!(record.fields.len() <= RECORD_FIELDS_MAX, "{}", record.fields.len());
            let rest = record.get("_rest");
            assert!(rest.contains("\"n130000\":1,"), "what is known and too much is there as well");
            let end = r#""known.user.password":"***","known.user.paid":"by ***","known.user.ok":true,"known.user.count":-7,"list":[1,2],"none":null}"#;
            assert!(rest.ends_with(end), "{}", &rest[rest.len() - 300..]);
            assert!(!rest.contains("hidden") && serde_json::from_str::<serde_json::Value>(rest).is_ok());
            // The next row knows nothing of it.
            rows.begin_row();
            rows.string("_msg", "next");
            rows.commit_row();
            assert_eq!(records(rows.finish().unwrap())[0].to_json(|_| true), r#"{"_msg":"next"}"#);
        }
    }

    #[test]
    fn what_a_record_has_no_room_for_is_counted() {
        let mut rows = BatchBuilder::new();
        rows.begin_row();
        fill(&mut rows);
        rows.string("long", &"x".repeat(RECORD_BYTES_MAX));
        (0..100).for_each(|_| rows.string("repeated", "value"));
        rows.commit_row();
        let record = records(rows.finish().unwrap()).remove(0);
        let left_out: usize = record.get("_truncated").parse().unwrap();
        assert!((RECORD_BYTES_MAX..RECORD_BYTES_MAX * 2).contains(&left_out), "{left_out}");
        assert!(record.get("_rest").len() <= RECORD_BYTES_MAX);
    }
}
