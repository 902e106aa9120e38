//! Masks and drops values of the row that is being collected, before it is committed.
//!
//! Invariants
//! * What is masked or dropped is in no batch: nothing of it is encoded, kept in a shape or named by a stream.
//! * A name is asked about as it was sent, also where less of it is kept.
//! * The record's own service name is neither masked nor looked at.
//! * What a name comes to is found out once for each node.
use super::nodes::ROOT;
use super::{BatchBuilder, Pending, Sent};
use crate::privacy::{MASK, Redacted, Redaction, Verdict};

impl BatchBuilder {
    /// The service of the row that is being collected.
    pub fn row_service(&self) -> &str {
        self.pending.iter().rev().find(|value| self.is_service(value.node)).map_or("", |found| self.text_of(found))
    }

    fn is_service(&self, node: u32) -> bool {
        self.nodes.get(node as usize).is_some_and(|node| node.parent == ROOT && &*node.name == "service_name")
    }

    /// Masks and drops what has to be of the row that is being collected.
    pub fn redact(&mut self, redaction: &Redaction) -> Redacted {
        let mut counts = Redacted::default();
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain_mut(|value| match self.verdict(value.node, redaction) {
            Verdict::Drop => {
                counts.dropped += 1;
                false
            }
            Verdict::Mask => {
                counts.masked += 1;
                self.replace(value, Sent::String, MASK);
                true
            }
            Verdict::Look => {
                self.look(value, redaction, &mut counts);
                true
            }
        });
        self.pending = pending;
        self.redact_surplus(redaction, &mut counts);
        counts
    }

    fn look(&mut self, value: &mut Pending, redaction: &Redaction, counts: &mut Redacted) {
        let text = self.arena.get(value.start as usize..value.end as usize).unwrap_or_default();
        match value.sent {
            // What records are found by stays as it is.
            _ if self.is_service(value.node) => {}
            Sent::True | Sent::False | Sent::Null => {}
            Sent::Json => {
                let (name, _) = self.whole_name(value.node);
                if let Some(json) = redaction.of_json(&name, text, counts) {
                    self.replace(value, Sent::Json, &json);
                }
            }
            Sent::String | Sent::Number => {
                if let Some(masked) = redaction.of_text(text) {
                    counts.masked += 1;
                    self.replace(value, Sent::String, &masked);
                }
            }
        }
    }

    fn replace(&mut self, value: &mut Pending, sent: Sent, text: &str) {
        value.start = self.arena.len() as u32;
        self.arena.push_str(text);
        value.end = self.arena.len() as u32;
        value.sent = sent;
    }

    fn verdict(&mut self, node: u32, redaction: &Redaction) -> Verdict {
        let known = self.nodes.get(node as usize).map(|node| node.verdict);
        if let Some((id, verdict)) = known
            && id == redaction.id
        {
            return verdict;
        }
        let verdict = redaction.of_name(&self.whole_name(node).0);
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.verdict = (redaction.id, verdict);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::records;
    use super::*;
    use crate::privacy::Privacy;

    #[test]
    fn what_is_masked_or_dropped_is_not_in_the_batch() {
        let privacy = Privacy {
            mask_fields: vec!["password".into()],
            drop_fields: vec!["token".into()],
            mask_patterns: vec!["card \\d+".into()],
        };
        let redaction = Redaction::new(&[&privacy]).unwrap().unwrap();
        let mut rows = BatchBuilder::with_stream_fields(&["token", "host"]);
        for n in 0..2 {
            rows.begin_row();
            rows.string("service_name", "shop");
            rows.string("_msg", "paid by card 4111");
            rows.string("token", "hidden");
            rows.string("host", "h");
            rows.enter("metadata");
            rows.string("password", "hidden");
            rows.bool("ok", true);
            rows.number("n", &n.to_string());
            rows.json("list", r#"[{"password":"hidden"}]"#);
            rows.leave();
            assert_eq!(rows.row_service(), "shop");
            assert_eq!(rows.redact(&redaction), Redacted { masked: 3, dropped: 1 });
            rows.commit_row();
        }
        let batch = rows.finish().unwrap();
        let has = |bytes: &[u8]| bytes.windows(6).any(|window| window == b"hidden");
        assert!(!has(batch.columns()) && !has(batch.shapes()));
        assert_eq!(&*batch.streams()[0].tags, r#"{host="h"}"#);
        let expected = r#"{"service_name":"shop","_msg":"paid by ***","host":"h","metadata":{"password":"***","ok":true,"n":1,"list":[{"password":"***"}]}}"#;
        assert_eq!(records(batch)[1].to_json(|_| true), expected);
    }

    #[test]
    fn a_name_is_asked_about_as_it_was_sent_and_the_service_is_left_alone() {
        let privacy = Privacy {
            mask_fields: vec!["password".into()],
            drop_fields: Vec::new(),
            mask_patterns: vec!["shop-\\d+".into()],
        };
        let redaction = Redaction::new(&[&privacy]).unwrap().unwrap();
        let long = "n".repeat(crate::limits::FIELD_NAME_BYTES_MAX - 4);
        let mut rows = BatchBuilder::new();
        rows.begin_row();
        rows.string("service_name", "shop-17");
        rows.string("_msg", "shop-17 is up");
        rows.enter(&long);
        rows.string("password", "hidden");
        rows.json("list", r#"[{"password":"hidden"}]"#);
        rows.leave();
        rows.enter("inner");
        rows.string("service_name", "shop-17");
        rows.leave();
        assert_eq!(rows.redact(&redaction), Redacted { masked: 4, dropped: 0 });
        rows.commit_row();
        let record = records(rows.finish().unwrap())[0].to_json(|_| true);
        assert!(!record.contains("hidden"), "{record}");
        assert!(record.starts_with(r#"{"service_name":"shop-17","_msg":"*** is up""#), "{record}");
        assert!(record.ends_with(r#""inner":{"service_name":"***"}}"#), "{record}");
    }
}
