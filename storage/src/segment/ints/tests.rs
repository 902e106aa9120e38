//! Each kind of column, against the values that went into it.
use super::super::pages::{PageWriter, Pages};
use super::{IntHead, put};
use crate::codec::Reader;
use proptest::prelude::*;

fn round_trip(values: &[i64]) -> usize {
    let (mut pages, mut head) = (PageWriter::default(), Vec::new());
    put(values, &mut pages, &mut head);
    let column = IntHead::read(&mut Reader::new(&head)).unwrap();
    let mut directory = Vec::new();
    let bytes = pages.finish(&mut directory);
    let pages = Pages::read(&mut Reader::new(&directory), 0).unwrap();
    assert_eq!(column.load(values.len(), &pages, &bytes).unwrap(), values);
    let some: Vec<usize> = (0..values.len()).step_by(7).collect();
    let expected: Vec<i64> = some.iter().map(|i| values[*i]).collect();
    assert_eq!(column.pick(values.len(), &some, &pages, &bytes).unwrap(), expected);
    let sparse: Vec<usize> = (0..values.len()).step_by(3_001).chain(values.len().checked_sub(1)).collect();
    let expected: Vec<i64> = sparse.iter().map(|i| values[*i]).collect();
    assert_eq!(column.pick(values.len(), &sparse, &pages, &bytes).unwrap(), expected);
    if values.is_sorted_by(|a, b| a < b) {
        for (at, value) in values.iter().enumerate().step_by(997) {
            assert_eq!(column.place_of(values.len(), *value, &pages, &bytes).unwrap(), Some(at));
            let missing = value.wrapping_add(1);
            let expected = values.iter().position(|value| *value == missing);
            assert_eq!(column.place_of(values.len(), missing, &pages, &bytes).unwrap(), expected);
        }
    }
    for wanted in values.iter().step_by(values.len() / 3 + 1).chain(&[17]) {
        let mut found = Vec::new();
        column.find(values.len(), *wanted, &pages, &bytes, &mut |at| found.push(at)).unwrap();
        assert!(found.into_iter().eq((0..values.len()).filter(|i| values[*i] == *wanted)));
    }
    bytes.len()
}

#[test]
fn kinds_are_chosen_by_the_data() {
    assert_eq!(round_trip(&[7; 1000]), 0);
    assert_eq!(round_trip(&[]), 0);
    round_trip(&[i64::MIN, i64::MAX, 0, -1, i64::MIN]);
    let rising: Vec<i64> = (0..10_000).map(|i| 1_780_000_000_000_000_000 + i * 17_000_000).collect();
    assert!(round_trip(&rising) < 300);
    let skewed: Vec<i64> = (0..10_000)
        .scan(0, |at, i| {
            *at += if i % 500 == 0 { 1_000_000 } else { i * i % 7 };
            Some(*at)
        })
        .collect();
    assert!(round_trip(&skewed) < 4_200);
    for n in [4_096, 4_097, 8_192, 8_193, 20_000] {
        let uneven: Vec<i64> = (0..n).map(|i| i * 1_000 + i * i * 7_919 % 911).collect();
        round_trip(&uneven);
        let back: Vec<i64> = (0..n).map(|i| i * 10 + i * i % 37).collect();
        round_trip(&back);
        let seldom: Vec<i64> = (0..n).map(|i| i + i / 700 * 1_000_000).collect();
        round_trip(&seldom);
    }
    let codes: Vec<i64> = (0..10_000).map(|i| [200, 404, 500][i as usize * 7 % 3]).collect();
    assert!(round_trip(&codes) <= 2_500);
    let near: Vec<i64> = (0..10_000).map(|i| (i * 7919) % 1000).collect();
    assert!(round_trip(&near) <= 12_500);
}

proptest! {
    #[test]
    fn every_number_comes_back(values in prop::collection::vec(prop_oneof![any::<i64>(), -3i64..300, Just(i64::MIN), Just(i64::MAX)], 0..400)) {
        round_trip(&values);
    }

    #[test]
    fn scaled_numbers_come_back(values in prop::collection::vec((-1000i64..1000).prop_map(|v| v * 1_000_000), 0..400)) {
        round_trip(&values);
    }
}
