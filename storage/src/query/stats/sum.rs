//! `sum`, `avg` and `rate_sum`: sums of the values that are numbers.
//!
//! Invariants
//! * A sum of nothing is NaN, as is its average.
use crate::query::value::number::number;

/// A sum and how many numbers it is of.
#[derive(Default)]
pub(crate) struct Sum {
    sum: f64,
    count: u64,
}

impl Sum {
    pub(super) fn add(&mut self, value: &str) {
        if let Some(number) = number(value) {
            self.sum += number;
            self.count += 1;
        }
    }

    pub(super) fn add_int(&mut self, value: i64) {
        self.sum += value as f64;
        self.count += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.count += other.count;
    }

    pub(super) fn sum(&self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.sum }
    }

    pub(super) fn average(&self) -> f64 {
        self.sum / self.count as f64
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn texts_are_passed_over() {
        check(
            "sum(a) s, avg(a, b) v, sum(x) n, sum_len(a*) l",
            r#"{"a":"1.5","b":"2"}
{"a":"x"}
{"a":"1KB"}"#,
            r#"{"s":"1001.5","v":"334.5","n":"NaN","l":"7"}"#,
        );
    }

    #[test]
    fn numbers_come_in_many_forms() {
        let rows = r#"{"a":"1","b":"é","g":"x"}
{"a":"-2.5","b":"","g":"x"}
{"a":"1K","g":"y"}
{"a":"","b":"日本","g":"y"}
{"a":"abc","g":"Y"}"#;
        check("sum(a) s, avg(a) v, sum_len(b) l", rows, r#"{"s":"998.5","v":"332.8333333333333","l":"8"}"#);
        check(
            "stats by (g) sum(a) s, sum_len(b) l | sort by (g)",
            rows,
            r#"{"g":"Y","s":"NaN","l":"0"}
{"g":"x","s":"-1.5","l":"2"}
{"g":"y","s":"1000","l":"6"}"#,
        );
        check("sum(a) if (g:=x) s, sum(a) if (g:none) n", rows, r#"{"s":"-1.5","n":"NaN"}"#);
    }
}
