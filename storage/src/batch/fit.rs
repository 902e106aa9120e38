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
/// Fields that others read by their names: they are kept apart wherever in the record they stand.
const ALWAYS_APART: [&str; 5] = ["_msg", "_time_sent", "level", "service_name", "source_type"];
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
        let surplus = self.take_surplus();
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

    /// Takes out the fields that are not kept apart: the last ones, but for those that always are.
    fn take_surplus(&mut self) -> Vec<Pending> {
        let pending = std::mem::take(&mut self.pending);
        let mut apart: Vec<bool> = pending.iter().map(|value| self.is_always_apart(value)).collect();
        // Of names that come again and again only so many.
        let too_many = apart.iter_mut().filter(|apart| **apart).skip(ALWAYS_APART.len());
        too_many.for_each(|apart| *apart = false);
        let mut room = FIELDS_KEPT - apart.iter().filter(|apart| **apart).count();
        let mut surplus = Vec::new();
        for (value, is_apart) in pending.into_iter().zip(apart) {
            if is_apart || room > 0 {
                room -= usize::from(!is_apart);
                self.pending.push(value);
            } else {
                surplus.push(value);
            }
        }
        surplus
    }

    fn is_always_apart(&self, value: &Pending) -> bool {
        let path = self.path(value.node);
        path.nesting.is_empty() && ALWAYS_APART.contains(&&*path.name)
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

    #[test]
    fn what_others_read_by_name_is_kept_wherever_it_stands() {
        let mut builder = BatchBuilder::new();
        builder.begin_row();
        builder.string("level", "INFO");
        for i in 0..RECORD_FIELDS_MAX + 10 {
            builder.number(&format!("f{i}"), "1");
        }
        builder.string("_msg", "late");
        builder.string("service_name", "shop");
        builder.enter("o");
        builder.string("level", "nested");
        builder.leave();
        builder.commit_row();
        let record = records(builder.finish().unwrap()).remove(0);
        assert_eq!(record.fields.len(), FIELDS_KEPT + 1);
        for (name, value) in [("level", "INFO"), ("_msg", "late"), ("service_name", "shop"), ("f1994", "1")] {
            assert_eq!(record.get(name), value, "{name}");
        }
        let rest = record.get("_rest");
        assert!(rest.starts_with(r#"{"f1995":1,"#) && rest.ends_with(r#""o.level":"nested"}"#), "{rest}");
        // However often such a name comes, other fields keep their places.
        builder.begin_row();
        (0..3_000).for_each(|_| builder.string("level", "x"));
        builder.commit_row();
        assert_eq!(records(builder.finish().unwrap()).remove(0).fields.len(), FIELDS_KEPT + 1);
    }
}
