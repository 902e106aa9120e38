//! How texts are ordered: as numbers or times where both are, else naturally (`a9` before `a10`).
//!
//! The order is LogsQL's, and it is not transitive over texts of mixed kinds: `5 < 1e3` as numbers, `1e3 < 2x` and
//! `2x < 5` as texts. Hence a merge sort of our own, which such an order can confuse but not break.
//!
//! Invariants
//! * Sorting asks n log n times and keeps each item once, whatever the order says. Equal items keep their places.
//! * A text is read as a number or a time once, however often it is compared.
use super::number::{int, number, uint};
use super::timestamp::timestamp;
use std::cmp::Ordering;

/// A text with what it is as a number or time, read once.
#[derive(Clone, Debug)]
pub(crate) struct Ranked<T> {
    /// The text.
    pub(crate) text: T,
    integer: Option<i128>,
    time: Option<i64>,
    number: Option<f64>,
}

impl<T: AsRef<str>> Ranked<T> {
    /// Reads a text.
    pub(crate) fn new(text: T) -> Self {
        let s = text.as_ref();
        let integer = int(s).map(i128::from).or_else(|| uint(s).map(i128::from));
        let (time, number) = match integer {
            Some(integer) => (None, Some(integer as f64)),
            None => (timestamp(s), number(s)),
        };
        Self { text, integer, time, number }
    }

    /// Whether it comes before another one.
    pub(crate) fn less<U: AsRef<str>>(&self, other: &Ranked<U>) -> bool {
        self.order(other) == Ordering::Less
    }

    /// Which comes first.
    pub(crate) fn order<U: AsRef<str>>(&self, other: &Ranked<U>) -> Ordering {
        let (a, b) = (self.text.as_ref(), other.text.as_ref());
        if a == b {
            return Ordering::Equal;
        }
        if let (Some(a), Some(b)) = (self.integer, other.integer) {
            return a.cmp(&b);
        }
        if let (Some(a), Some(b)) = (self.time, other.time) {
            return a.cmp(&b);
        }
        if let (Some(a), Some(b)) = (self.number, other.number) {
            return a.partial_cmp(&b).unwrap_or(Ordering::Equal);
        }
        natural(a, b)
    }
}

/// The natural order: runs of digits compare as numbers, and come before anything else.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.split_first(), b.split_first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some((x, rest_a)), Some((y, rest_b))) => match (x.is_ascii_digit(), y.is_ascii_digit()) {
                (true, false) => return Ordering::Less,
                (false, true) => return Ordering::Greater,
                (false, false) if x != y => return x.cmp(y),
                (false, false) => (a, b) = (rest_a, rest_b),
                (true, true) => {
                    let (run_a, tail_a) = digit_run(a);
                    let (run_b, tail_b) = digit_run(b);
                    let order = digits_order(run_a, run_b);
                    if order != Ordering::Equal {
                        return order;
                    }
                    (a, b) = (tail_a, tail_b);
                }
            },
        }
    }
}

fn digit_run(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len());
    bytes.split_at_checked(end).unwrap_or((bytes, &[]))
}

/// Digits as numbers of any size; of equal numbers the one with fewer zeros in front is first.
fn digits_order(a: &[u8], b: &[u8]) -> Ordering {
    let bare = |d: &[u8]| d.iter().position(|b| *b != b'0').and_then(|at| d.get(at..)).unwrap_or_default().to_vec();
    let (bare_a, bare_b) = (bare(a), bare(b));
    bare_a.len().cmp(&bare_b.len()).then_with(|| bare_a.cmp(&bare_b)).then_with(|| a.len().cmp(&b.len()))
}

/// Sorts by an order that need not be a total one; equal items keep their places.
pub(crate) fn merge_sort<T: Copy>(items: &mut Vec<T>, less: &mut dyn FnMut(T, T) -> bool) {
    let mut width = 1;
    while width < items.len() {
        let mut merged = Vec::with_capacity(items.len());
        for pair in items.chunks(width * 2) {
            let (left, right) = pair.split_at_checked(width).unwrap_or((pair, &[]));
            merge(left, right, less, &mut merged);
        }
        *items = merged;
        width *= 2;
    }
}

fn merge<T: Copy>(mut left: &[T], mut right: &[T], less: &mut dyn FnMut(T, T) -> bool, out: &mut Vec<T>) {
    while let (Some((a, rest_left)), Some((b, rest_right))) = (left.split_first(), right.split_first()) {
        if less(*b, *a) {
            out.push(*b);
            right = rest_right;
        } else {
            out.push(*a);
            left = rest_left;
        }
    }
    out.extend_from_slice(left);
    out.extend_from_slice(right);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn less(a: &str, b: &str) -> bool {
        Ranked::new(a).less(&Ranked::new(b))
    }

    #[test]
    fn kinds_compare_as_what_they_are() {
        for (a, b) in [
            ("9", "10"),
            ("-10", "-9"),
            ("1.5", "10"),
            ("5", "1e3"),
            ("1KiB", "2KB"),
            ("1m", "61s"),
            ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5Z"),
            ("a9", "a10"),
            ("", "a"),
            ("1.2.3.4", "1.2.3.10"),
            ("10", "a"),
            ("18446744073709551614", "18446744073709551615"),
            ("a1", "a01"),
        ] {
            assert!(less(a, b) && !less(b, a), "{a} {b}");
        }
        assert!(!less("1", "1.0") && !less("1.0", "1"));
    }

    proptest! {
        #[test]
        fn sorting_agrees_with_the_library_on_total_orders(items in prop::collection::vec(0u32..50, 0..200)) {
            let mut ours: Vec<(u32, usize)> = items.iter().copied().zip(0..).collect();
            let mut theirs = ours.clone();
            merge_sort(&mut ours, &mut |a, b| a.0 < b.0);
            theirs.sort_by_key(|item| item.0);
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn the_natural_order_is_total(a in "[a-c0-2]{0,5}", b in "[a-c0-2]{0,5}", c in "[a-c0-2]{0,5}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            if natural(&a, &b) == Ordering::Less && natural(&b, &c) == Ordering::Less {
                prop_assert_eq!(natural(&a, &c), Ordering::Less);
            }
            prop_assert_eq!(natural(&a, &b) == Ordering::Equal, a == b);
        }
    }
}
