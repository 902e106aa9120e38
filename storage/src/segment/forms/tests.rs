//! Which form a lane takes, what each gives back, and what is no decimal and no time.
use super::super::pages::Pages;
use super::*;
use crate::codec::put_varint;
use crate::text::shape::{Split, WHOLE};
use proptest::prelude::*;

/// Which form a lane of these texts takes, after all of them were read back.
fn form_of(texts: &[String]) -> &'static str {
    let (mut table, mut split) = (ShapeTable::default(), Split::default());
    let (mut numbers, mut variables) = (Vec::new(), Vec::new());
    let mut known = rustc_hash::FxHashMap::default();
    for text in texts {
        let (mut lengths, mut bytes) = (Vec::new(), Vec::new());
        let shape = if split.split(text) {
            for (from, to) in &split.spans {
                put_varint(&mut lengths, u64::from(to - from));
                bytes.extend_from_slice(&text.as_bytes()[*from as usize..*to as usize]);
            }
            *known.entry(split.key.clone()).or_insert_with(|| table.push(&split.key).unwrap())
        } else {
            put_varint(&mut lengths, text.len() as u64);
            bytes.extend_from_slice(text.as_bytes());
            WHOLE
        };
        numbers.push(shape);
        variables.push((lengths, bytes));
    }
    let variables = variables.iter().map(|(lengths, bytes)| (lengths.as_slice(), bytes.as_slice())).collect();
    let values = Values { shapes: numbers.clone(), variables };
    let (mut pages, mut head, mut directory) = (PageWriter::default(), Vec::new(), Vec::new());
    let list = put(&values, &table, &mut Scratch::default(), &mut pages, &mut head);
    let bytes = pages.finish(&mut directory);
    let pages = Pages::read(&mut Reader::new(&directory), 0).unwrap();
    let r = &mut Reader::new(&head);
    let form = Form::read(r, &mut list.into_iter(), texts.len()).unwrap();
    assert_eq!(r.remaining(), 0);
    match form {
        Form::Shaped(head) => {
            let codes = head.codes(texts.len(), &pages, &bytes).unwrap();
            let local = |code: &u32| head.shapes.listed[*code as usize];
            assert_eq!(codes.iter().map(local).collect::<Vec<_>>(), numbers);
            "shaped"
        }
        Form::Listed(head) => {
            let listed = head.list(texts.len(), &pages, &bytes).unwrap();
            let codes = head.codes(texts.len(), &pages, &bytes).unwrap();
            assert!(listed.texts.is_sorted());
            for (text, code) in texts.iter().zip(&codes) {
                assert_eq!(&*listed.texts[*code as usize], text.as_bytes());
            }
            for (code, count) in (0..).zip(&listed.counts) {
                assert_eq!(codes.iter().filter(|c| **c == code).count(), *count as usize);
            }
            assert!(head.list(texts.len() + 1, &pages, &bytes).is_err());
            assert!(listed.texts.len() == 1 || head.codes(texts.len() + 64, &pages, &bytes).is_err());
            "listed"
        }
        Form::Spelled(spelling, head) => {
            let values = head.load(texts.len(), &pages, &bytes).unwrap();
            for (text, value) in texts.iter().zip(values) {
                let mut out = Vec::new();
                spelling.push(value, &mut out);
                assert_eq!(out, text.as_bytes());
            }
            "spelled"
        }
    }
}

fn texts(n: usize, text: impl Fn(usize) -> String) -> Vec<String> {
    (0..n).map(text).collect()
}

fn mixed(i: usize) -> usize {
    i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
}

#[test]
fn a_lane_takes_the_form_that_suits_it() {
    let time = |i: usize| {
        format!("2026-06-01T{:02}:{:02}:{:02}.{:03}Z", i / 9_000, i / 150 % 60, i / 3 % 50, mixed(i) % 1_000)
    };
    assert_eq!(form_of(&texts(20_000, time)), "spelled");
    let walk = |i: usize| format!("{}.{}", 100 + i / 50, i % 50 * 2 + 1);
    assert_eq!(form_of(&texts(20_000, walk)), "spelled");
    let pod = |i: usize| format!("web-{:x}-{:05x}", mixed(i) % 9 * 7_919, mixed(i) % 900 * 1_117);
    assert_eq!(form_of(&texts(20_000, pod)), "listed");
    let few = |i: usize| ["0.5", "1.0", "12.75"][mixed(i) % 3].to_string();
    assert_eq!(form_of(&texts(20_000, few)), "spelled");
    let few = |i: usize| ["0.5", "1.50", "n7"][mixed(i) % 3].to_string();
    assert_eq!(form_of(&texts(20_000, few)), "listed");
    // As small as shapes, or smaller so.
    let level = |i: usize| ["INFO", "WARN", "ERROR"][mixed(i) % 3].to_string();
    assert_eq!(form_of(&texts(20_000, level)), "shaped");
    assert_eq!(form_of(&texts(20_000, |i| format!("task {i} of {}", mixed(i)))), "shaped");
    let broken = |i: usize| if i == 19_999 { "1e5".into() } else { walk(i) };
    assert_eq!(form_of(&texts(20_000, broken)), "shaped");
    for n in 0..4 {
        form_of(&texts(n, time));
        form_of(&texts(n, pod));
    }
    let odd = ["", "é5", "\u{0}7", "日本9", "x"];
    form_of(&texts(3_000, |i| odd[mixed(i) % 5].into()));
    form_of(&texts(300, |i| "1 ".repeat(mixed(i) % 4 * 40)));
    form_of(&texts(65_536, |i| format!("n{}", mixed(i) % 4_096)));
    form_of(&texts(65_536, |i| format!("n{}", mixed(i) % 4_097)));
}

fn fit(texts: &[&str]) -> Option<Spelling> {
    let mut fit = Fit::of(texts.first()?.as_bytes())?;
    if !texts.iter().skip(1).all(|text| fit.add(text.as_bytes())) {
        return None;
    }
    let (spelling, values) = fit.finish()?;
    let mut head = Vec::new();
    spelling.put(&mut head);
    let mut r = Reader::new(&head);
    let form = r.u8().unwrap();
    assert_eq!(Spelling::read(form, &mut r).unwrap(), spelling);
    assert_eq!(r.remaining(), 0);
    for (text, value) in texts.iter().zip(values) {
        let mut out = Vec::new();
        spelling.push(value, &mut out);
        assert_eq!(std::str::from_utf8(&out).unwrap(), *text);
        assert_eq!(spelling.parse(text), Some(value));
        assert!(text.chars().all(|c| spelling.may_have(c)) && text.len() <= SPELLED_BYTES_MAX);
    }
    Some(spelling)
}

#[test]
fn decimals_of_one_kind_have_a_spelling() {
    let padded = |digits| Some(Spelling::Decimal { digits, trimmed: false });
    let trimmed = |digits| Some(Spelling::Decimal { digits, trimmed: true });
    assert_eq!(fit(&["12.50", "0.03", "-7.00", "0.00"]), padded(2));
    assert_eq!(fit(&["12.5", "0.031", "-7.0", "0.0"]), trimmed(3));
    assert_eq!(fit(&["0.000000000000000001", "-0.00000000000000001"]), None);
    assert_eq!(fit(&["0.00000000000000001", "-0.00000000000000009"]), padded(17));
    assert_eq!(fit(&["99999999999999999.9", "-99999999999999999.9"]), padded(1));
    for texts in [
        &["1.50", "1.5"][..],
        &["1.5", "1e5"],
        &["1.5", "1"],
        &["1.5", ""],
        &["-0.0"],
        &["00.5"],
        &[".5"],
        &["5."],
        &["+1.5"],
        &["1.5.5"],
        &["1,5"],
        &["1.5 "],
        &["123456789012345678.9"],
        &["90000000000000000.9", "0.00000001"],
        &["٣.٣"],
    ] {
        assert_eq!(fit(texts), None, "{texts:?}");
    }
}

#[test]
fn times_of_one_layout_have_a_spelling() {
    let time = |separator, digits, zone: &str| Some(Spelling::Time { separator, digits, zone: zone.as_bytes().into() });
    assert_eq!(fit(&["2026-06-01T12:30:00Z", "1969-12-31T23:59:59Z", "0000-01-01T00:00:00Z"]), time(b'T', 0, "Z"));
    assert_eq!(fit(&["2024-02-29 00:00:00.250+02:00", "9999-12-31 23:59:59.999+02:00"]), time(b' ', 3, "+02:00"));
    assert_eq!(fit(&["2026-06-01t12:30:00.123456789", "1700-03-01t12:30:00.000000001"]), time(b't', 9, ""));
    for texts in [
        &["2026-06-01T12:30:00Z", "2026-06-01T12:30:00.5Z"][..],
        &["2026-06-01T12:30:00Z", "2026-06-01 12:30:00Z"],
        &["2026-06-01T12:30:00Z", "2026-06-01T12:30:00+00:00"],
        &["2026-02-29T12:30:00Z"],
        &["2026-13-01T12:30:00Z"],
        &["2026-00-01T12:30:00Z"],
        &["2026-06-31T12:30:00Z"],
        &["2026-06-01T24:00:00Z"],
        &["2026-06-30T23:59:60Z"],
        &["2026-06-01T12:30:00.Z"],
        &["2026-06-01T12:30:00.1234567890Z"],
        &["2026-06-01T12:30:00 Z"],
        &["2026-06-01T12:30:00+2:00"],
        &["2026-06-01"],
        &["12026-06-01T12:30:00Z"],
        &["9999-06-01T12:30:00.123456789Z"],
    ] {
        assert_eq!(fit(texts), None, "{texts:?}");
    }
}

proptest! {
    #[test]
    fn what_has_a_spelling_comes_back(
        decimals in prop::collection::vec(r"-?(0|[1-9][0-9]{0,7})\.[0-9]{1,5}", 1..5),
        times in prop::collection::vec(r"[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\.[0-9]{3}Z", 1..3),
        other in r"[0-9T:. -]{0,24}",
    ) {
        let texts = |all: &Vec<String>| all.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
        for texts in [texts(&decimals), texts(&times), vec![other]] {
            fit(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }

    #[test]
    fn any_integer_is_spelled(value in any::<i64>(), form in 1u8..3, head in prop::collection::vec(any::<u8>(), 0..12)) {
        let bytes: Vec<u8> = head.iter().map(|byte| if *byte < 128 { byte % 20 } else { *byte }).collect();
        if let Ok(spelling) = Spelling::read(form, &mut Reader::new(&bytes)) {
            let mut out = Vec::new();
            spelling.push(value, &mut out);
            prop_assert!(out.len() <= 64, "{}", out.len());
        }
    }
}
