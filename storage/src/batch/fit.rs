//! Makes a record fit its limits, losing as little as can be: surplus fields together as text, the longest values cut.
//!
//! Invariants
//! * A record within the limits is not touched.
//! * A text is cut between characters; `_truncated` says how many bytes were left out in all.
use super::BatchBuilder;
use super::builder::{Pending, Sent, push_value};
use crate::limits::{RECORD_BYTES_MAX, RECORD_FIELDS_MAX};
use crate::record::push_json_string;

/// Surplus fields, as one JSON object in text.
const REST: &str = "_rest";
/// Bytes that were left out.
const TRUNCATED: &str = "_truncated";
/// Fields that are kept apart where there are too many: room is left for the two above.
const FIELDS_KEPT: usize = RECORD_FIELDS_MAX - 2;
/// Bytes that names, kinds and the two fields above may take beside the values.
const VALUE_BYTES_MAX: usize = RECORD_BYTES_MAX - 1024;

impl BatchBuilder {
    /// Applies the limits to the row that is about to be committed.
    pub(super) fn fit(&mut self) {
        self.surplus.is_over = true;
        if self.pending.len() > RECORD_FIELDS_MAX || !self.surplus.text.is_empty() {
            self.gather_rest();
        }
        if self.arena.len() > VALUE_BYTES_MAX || self.surplus.left_out > 0 {
            self.cut_longest();
        }
    }

    fn gather_rest(&mut self) {
        let surplus = self.pending.split_off(FIELDS_KEPT.min(self.pending.len()));
        let mut rest = String::from("{");
        for value in &surplus {
            if rest.len() > 1 {
                rest.push(',');
            }
            push_json_string(&mut rest, &self.path(value.node).name);
            rest.push(':');
            let text = self.arena.get(value.start as usize..value.end as usize).unwrap_or_default();
            push_value(&mut rest, value.sent, text);
        }
        if !self.surplus.text.is_empty() {
            if rest.len() > 1 {
                rest.push(',');
            }
            rest.push_str(&self.surplus.text);
        }
        rest.push('}');
        self.objects.clear();
        self.string(REST, &rest);
    }

    fn cut_longest(&mut self) {
        let lengths: Vec<usize> = self.pending.iter().map(Pending::len).collect();
        let cap = cap(lengths, VALUE_BYTES_MAX);
        let mut left_out = self.surplus.left_out;
        for value in self.pending.iter_mut().filter(|value| value.len() > cap) {
            let text = self.arena.get(value.start as usize..value.end as usize).unwrap_or_default();
            let kept = text.floor_char_boundary(cap);
            left_out += (text.len() - kept) as u64;
            value.end = value.start + kept as u32;
            // Half of an array is no JSON any more.
            if value.sent == Sent::Json {
                value.sent = Sent::String;
            }
        }
        if left_out > 0 {
            self.objects.clear();
            self.number(TRUNCATED, &left_out.to_string());
        }
    }
}

/// The longest that a value may be so that all of them together take at most `limit`.
fn cap(mut lengths: Vec<usize>, limit: usize) -> usize {
    lengths.sort_unstable();
    let (mut left, mut values) = (limit, lengths.len());
    for length in lengths {
        if length * values > left {
            return left / values;
        }
        left -= length;
        values -= 1;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::super::tests::records;
    use super::*;

    #[test]
    fn the_longest_are_cut_and_no_others() {
        assert_eq!(cap(vec![10, 20, 30], 100), usize::MAX);
        assert_eq!(cap(vec![10, 100, 100], 110), 50);
        assert_eq!(cap(vec![200], 50), 50);
        let mut builder = BatchBuilder::new();
        builder.begin_row();
        builder.string("short", "kept");
        builder.string("long", &"é".repeat(RECORD_BYTES_MAX));
        builder.commit_row();
        let record = records(builder.finish().unwrap()).remove(0);
        let kept = record.get("long").len();
        assert_eq!(record.get("short"), "kept");
        assert!(kept <= VALUE_BYTES_MAX && kept > VALUE_BYTES_MAX - 16);
        assert_eq!(record.get("_truncated"), (2 * RECORD_BYTES_MAX - kept).to_string());
    }

    #[test]
    fn surplus_fields_are_kept_together() {
        let mut builder = BatchBuilder::new();
        builder.begin_row();
        for i in 0..RECORD_FIELDS_MAX + 10 {
            builder.enter("o");
            builder.number(&format!("f{i}"), "1.50");
            builder.leave();
        }
        builder.commit_row();
        let record = records(builder.finish().unwrap()).remove(0);
        assert_eq!(record.fields.len(), FIELDS_KEPT + 1);
        let rest = record.get("_rest");
        assert!(rest.starts_with(&format!(r#"{{"o.f{FIELDS_KEPT}":1.50,"#)), "{}", &rest[..40]);
        assert!(rest.ends_with(r#""o.f2009":1.50}"#));
    }
}
