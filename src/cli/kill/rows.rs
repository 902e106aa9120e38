//! The rows that are written until a kill: the same for who writes them and for who checks what is left of them.
//!
//! Invariant: everything in a row follows from its key and its batch.
use logyard_storage::record::ValueKind;

/// Noon of the day of round 0, nanoseconds since 1970; every round has a day of its own.
const NOON: i64 = 1_780_056_000_000_000_000;
const DAY: i64 = 86_400_000_000_000;

/// An append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KillBatch {
    /// The process that it is of, counted from 0.
    pub(crate) round: u64,
    pub(crate) thread: u64,
    /// The key of its first row; the others follow.
    pub(crate) first_key: u64,
    pub(crate) rows: u64,
}

/// A value of a row. The part of a name before a dot is the object that it lies in.
pub(crate) struct KillField {
    pub(crate) name: &'static str,
    pub(crate) kind: ValueKind,
    pub(crate) text: String,
}

impl KillBatch {
    /// The keys of its rows.
    pub(crate) fn keys(&self) -> std::ops::Range<u64> {
        self.first_key..self.first_key + self.rows
    }

    /// The effect that says that it is there.
    pub(crate) fn effect(&self) -> String {
        format!("batch {}", self.first_key)
    }

    /// The effect that says which batch of its thread was the last.
    pub(crate) fn position(&self) -> String {
        format!("position {}", self.thread)
    }

    /// Event time of a row; some come a day late.
    pub(crate) fn time(&self, key: u64) -> i64 {
        let late = i64::from(key.is_multiple_of(13));
        NOON + (self.round as i64 - late) * DAY + (key % 10_000_000) as i64 * 1_000_000
    }

    /// The values of a row, in the order in which they are sent.
    pub(crate) fn fields(&self, key: u64) -> Vec<KillField> {
        let levels = ["DEBUG", "INFO", "WARN", "ERROR"];
        let number = |name, n: u64| KillField { name, kind: ValueKind::Number, text: n.to_string() };
        let text = |name, text| KillField { name, kind: ValueKind::String, text };
        let trace = u128::from(key + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let mut fields = vec![
            text("service_name", format!("kill-{}", key % 3)),
            text("level", levels.get((key % 4) as usize).copied().unwrap_or_default().into()),
            text("_msg", message(key)),
            number("key", key),
            number("round", self.round),
            number("batch.first", self.first_key),
            number("batch.rows", self.rows),
            text("trace_id", format!("{trace:032x}")),
            KillField { name: "ratio", kind: ValueKind::Number, text: format!("{}.50", key % 977) },
        ];
        if key.is_multiple_of(5) {
            let is_even = key.is_multiple_of(2).to_string();
            fields.push(KillField { name: "even", kind: ValueKind::Bool, text: is_even });
        }
        // Some rows are large, so that frames of all sizes are cut.
        if key.is_multiple_of(97) {
            fields.push(text("payload", format!("{trace:x} ").repeat(100)));
        }
        fields
    }
}

fn message(key: u64) -> String {
    match key % 11 {
        0 => String::new(),
        1 => format!("panic of worker {key}\n  at step {}\n  at the end", key % 7),
        2 => "all is well".into(),
        _ => format!("request {key} took {} ms at 10.0.{}.{}:8080", key % 977, key % 251, key % 13),
    }
}
