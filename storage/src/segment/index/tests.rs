//! The index against plain scans over the texts it was built from.
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::query::POSITION_TERMS_MAX;
use super::*;
use crate::error::ErrorKind;
use crate::text::shape::{Split, WHOLE_KEY};
use crate::text::words::{fold_text, is_word, words};

/// Shapes with the variables of their rows, and the texts that are kept whole.
#[derive(Default)]
struct Table {
    keys: Vec<Vec<u8>>,
    rows: Vec<Vec<Vec<String>>>,
    whole: Vec<String>,
}

impl Table {
    fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = Self { keys: vec![WHOLE_KEY.to_vec()], rows: vec![Vec::new()], whole: Vec::new() };
        let mut split = Split::default();
        for text in texts {
            if !split.split(text) || split.key == WHOLE_KEY {
                table.whole.push(text.to_string());
                continue;
            }
            let known = table.keys.iter().position(|key| *key == split.key);
            let number = known.unwrap_or_else(|| {
                table.keys.push(split.key.clone());
                table.rows.push(Vec::new());
                table.keys.len() - 1
            });
            let variables = split.spans.iter().map(|(a, b)| text[*a as usize..*b as usize].to_string()).collect();
            table.rows[number].push(variables);
        }
        table
    }

    fn shape(&self, number: usize) -> Shape<'_> {
        Shape::parse(&self.keys[number]).unwrap()
    }

    fn texts(&self, number: usize) -> Vec<String> {
        let rebuild = |row: &Vec<String>| {
            let mut out = Vec::new();
            self.shape(number).rebuild(row.iter().map(String::as_bytes), &mut out);
            String::from_utf8(out).unwrap()
        };
        self.rows[number].iter().map(rebuild).collect()
    }

    fn bundle(&self, group_rows: usize) -> Vec<u8> {
        let mut builder = IndexBuilder::new().unwrap();
        for number in 0..self.keys.len() {
            builder.add_shape(self.shape(number)).unwrap();
        }
        for group in self.whole.chunks(group_rows) {
            builder.add_group(group.iter().map(String::as_str)).unwrap();
        }
        builder.finish().unwrap()
    }
}

fn open(bundle: &[u8]) -> ShapeIndex {
    ShapeIndex::open(bundle.into()).unwrap()
}

fn ask(index: &ShapeIndex, text: &str, ends: Ends) -> (Vec<u32>, Vec<u32>) {
    let found = index.shapes(&WordQuery::new(text, ends)).unwrap();
    (found.check, found.look)
}

/// Whether a text has the wanted one, in any case.
fn has(text: &str, wanted: &str, ends: Ends) -> bool {
    let (text, wanted) = (fold_text(text), fold_text(wanted));
    let starts_in_word = wanted.chars().next().is_some_and(is_word) && ends != Ends::Substring;
    let ends_in_word = wanted.chars().next_back().is_some_and(is_word) && ends == Ends::Closed;
    text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| {
        let before = text[..at].chars().next_back().is_some_and(is_word);
        let Some(rest) = text[at..].strip_prefix(&wanted) else { return false };
        let after = rest.chars().next().is_some_and(is_word);
        !(starts_in_word && before || ends_in_word && after)
    })
}

#[test]
fn words_in_a_row_are_found_by_place() {
    let table = Table::of([
        "Received connection request /10.10.34.21:48354",
        "connection of request 7 Received",
        "status 200 OK",
        "status 404 OK",
        "Accept-Language ÉTÉ error_code",
    ]);
    let index = open(&table.bundle(8));
    assert_eq!((index.shape_count(), index.group_count()), (5, 0));
    assert_eq!(ask(&index, "CONNECTION", Ends::Closed), (vec![1, 2], vec![]));
    assert_eq!(ask(&index, "connection request", Ends::Closed), (vec![1], vec![]));
    assert_eq!(ask(&index, "request /10", Ends::Closed), (vec![], vec![1, 2]));
    assert_eq!(ask(&index, "request 48354", Ends::Closed), (vec![], vec![1, 2]));
    assert_eq!(ask(&index, "500", Ends::Closed), (vec![], vec![1, 2, 3]));
    assert_eq!(ask(&index, "500 ok", Ends::Closed), (vec![], vec![3]));
    assert_eq!(ask(&index, "status", Ends::Closed), (vec![3], vec![]));
    assert_eq!(ask(&index, "été", Ends::Closed), (vec![4], vec![]));
    assert_eq!(ask(&index, "error", Ends::Closed), (vec![], vec![]));
    assert_eq!(ask(&index, "err", Ends::Prefix), (vec![4], vec![1, 2, 3]));
    // In the second, the slot could end with the first word, and the next word begins with the other.
    assert_eq!(ask(&index, "nnection r", Ends::Substring), (vec![1], vec![1, 2]));
    assert_eq!(ask(&index, "look", Ends::Substring), (vec![], vec![1, 2, 3]));
    assert_eq!(ask(&index, ":: ", Ends::Substring), (vec![1, 2, 3, 4], vec![]));
}

#[test]
fn a_word_is_cut_and_still_found() {
    let long = format!("{}end", "字".repeat(100));
    let index = open(&Table::of([long.as_str(), "ends here", "else"]).bundle(8));
    assert_eq!(ask(&index, &long, Ends::Closed).0, [1]);
    assert_eq!(ask(&index, &long[..297], Ends::Prefix).0, [1]);
    assert_eq!(ask(&index, "end", Ends::Substring).0, [1, 2]);
    assert_eq!(ask(&index, "end", Ends::Prefix).0, [2]);
}

#[test]
fn a_text_of_many_words_is_found_by_its_first() {
    let text = "word ".repeat(40);
    let index = open(&Table::of([format!("{text}42").as_str(), "word word"]).bundle(8));
    assert_eq!(ask(&index, &text, Ends::Closed), (vec![1], vec![1]));
    assert_eq!(ask(&index, &format!("{text}42"), Ends::Closed).1, [1]);
}

#[test]
fn a_word_of_many_terms_is_found_without_places() {
    let mut texts: Vec<String> = (1..=POSITION_TERMS_MAX).map(|i| format!("x{}_end stop", letters(i))).collect();
    texts.extend(["now stop the end", "x9_end stop", "no end"].map(str::to_string));
    let index = open(&Table::of(texts.iter().map(String::as_str)).bundle(8));
    let many: Vec<u32> = (1..=POSITION_TERMS_MAX as u32).collect();
    assert_eq!(ask(&index, "xb_end stop", Ends::Closed), (vec![1], vec![]));
    let (check, look) = ask(&index, "nd stop", Ends::Substring);
    assert_eq!(check[..many.len()], many);
    assert_eq!((&check[many.len()..], look), (&[many.len() as u32 + 1][..], vec![many.len() as u32 + 2]));
}

#[test]
fn groups_are_found_by_words_and_skeletons() {
    let mut builder = IndexBuilder::new().unwrap();
    builder.add_group(["Disk ERR42 failed", "on sda"].into_iter()).unwrap();
    builder.add_group(["id a1b2c3d4e5", "日本語"].into_iter()).unwrap();
    builder.add_group(["字".repeat(100).as_str()].into_iter()).unwrap();
    let crowd: Vec<String> = (0..20_000).map(|i| "abcdefghijklmnop".repeat(6) + &fold_text(&letters(i))).collect();
    builder.add_group(crowd.iter().map(String::as_str)).unwrap();
    builder.add_shape(Shape::parse(&WHOLE_KEY).unwrap()).unwrap();
    let index = open(&builder.finish().unwrap());
    let groups = |text: &str, ends| index.groups(&WordQuery::new(text, ends)).unwrap();
    // The last group has too many words to say no.
    assert_eq!(groups("disk", Ends::Closed), [0, 3]);
    assert_eq!(groups(&"字".repeat(100), Ends::Closed), [2, 3]);
    assert_eq!(groups("disk sda", Ends::Closed), [0, 3]);
    assert_eq!(groups("err7", Ends::Closed), [0, 3]);
    assert_eq!(groups("err", Ends::Closed), [3]);
    assert_eq!(groups("er", Ends::Prefix), [0, 1, 3]);
    assert_eq!(groups("rr4", Ends::Substring), [0, 1, 3]);
    assert_eq!(groups("9z8y7x6", Ends::Closed), [1, 3]);
    assert_eq!(groups("本", Ends::Substring), [1, 2, 3]);
    assert_eq!(groups(" - ", Ends::Substring), [0, 1, 2, 3]);
    assert_eq!(index.group_count(), 4);
}

fn letters(mut number: usize) -> String {
    let mut out = String::new();
    while number > 0 {
        out.push(char::from(b'A' + (number % 26) as u8));
        number /= 26;
    }
    out
}

#[test]
fn the_first_shape_is_that_of_whole_texts() {
    let mut split = Split::default();
    assert!(split.split("other"));
    let mut builder = IndexBuilder::new().unwrap();
    assert_eq!(builder.add_shape(Shape::parse(&split.key).unwrap()).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn an_empty_index_opens() {
    let index = open(&IndexBuilder::new().unwrap().finish().unwrap());
    assert_eq!((index.shape_count(), index.group_count()), (0, 0));
    assert_eq!(ask(&index, "word", Ends::Substring), (vec![], vec![]));
    assert_eq!(ask(&index, "", Ends::Substring), (vec![], vec![]));
    assert!(index.groups(&WordQuery::new("word", Ends::Closed)).unwrap().is_empty());
}

#[test]
fn the_same_shapes_give_the_same_bytes() {
    let table = Table::of(["one 1", "two 2 words", "42", "43"]);
    assert_eq!(table.bundle(1), table.bundle(1));
}

#[test]
fn damage_is_an_error() {
    let bundle = Table::of(["one 1", "two 2 words", "42"]).bundle(8);
    assert_eq!(open(&bundle).bytes(), bundle.len());
    for at in 0..bundle.len() {
        let mut bad = bundle.clone();
        bad[at] ^= 1 << (at % 8);
        assert_eq!(ShapeIndex::open(bad.into()).err().unwrap().kind(), ErrorKind::Corrupt, "byte {at}");
    }
    for len in 0..bundle.len() {
        assert_eq!(ShapeIndex::open(bundle[..len].into()).err().unwrap().kind(), ErrorKind::Corrupt, "{len} bytes");
    }
    // Checksums that pass over something that is no index.
    let mut other = BundleWriter::default();
    other.put("shapes/meta.json", b"{}");
    assert_eq!(ShapeIndex::open(other.finish().unwrap().into()).err().unwrap().kind(), ErrorKind::Corrupt);
    assert!(ShapeIndex::open(BundleWriter::default().finish().unwrap().into()).is_err());
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec![
            "error", "Error", "ERR", "err42", "x1connection", "connection", "a_b", "_", "日本語のログ", "İstanbul", "istanbul",
            "m²", "«42»", "404", "http2", "HTTP2", "9", "٣", "\u{212A}elvin", "kelvin", "deadbeef01ab2c3d4", "हिन्दी", "a\u{FFFD}b",
            "look", "cut", "\u{1}look", "\u{1}cut", "err#",
        ])
        .prop_map(str::to_string),
        1 => (250usize..260).prop_map(|n| "y".repeat(n)),
        1 => (84usize..87, any::<bool>()).prop_map(|(n, end)| "字".repeat(n) + if end { "Z" } else { "7" }),
        1 => "[a-c0-2_]{1,4}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    let separator = prop::sample::select(vec![" ", ": ", "/", ".", "→", "²", "\n", "\t"]);
    prop::collection::vec((word(), separator), 0..7)
        .prop_map(|parts| parts.into_iter().flat_map(|(word, separator)| [word, separator.to_string()]).collect())
}

/// A wanted text: words of their own, or a piece of one of the texts.
fn wanted()
-> impl Strategy<Value = (Option<(prop::sample::Index, prop::sample::Index, prop::sample::Index)>, String, Ends)> {
    let ends = prop::sample::select(vec![Ends::Closed, Ends::Prefix, Ends::Substring]);
    (any::<Option<(prop::sample::Index, prop::sample::Index, prop::sample::Index)>>(), word(), ends)
}

fn piece(text: &str, a: prop::sample::Index, b: prop::sample::Index) -> &str {
    let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let (a, b) = (bounds[a.index(bounds.len())], bounds[b.index(bounds.len())]);
    &text[a.min(b)..a.max(b)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn candidates_are_never_missed(
        texts in prop::collection::vec(text(), 1..24),
        wanted in prop::collection::vec(wanted(), 24),
    ) {
        let table = Table::of(texts.iter().map(String::as_str));
        let index = open(&table.bundle(3));
        for (from, word, ends) in &wanted {
            let text = from.map_or(word.as_str(), |(t, a, b)| piece(&texts[t.index(texts.len())], a, b));
            let query = WordQuery::new(text, *ends);
            let found = index.shapes(&query).unwrap();
            let (check, look): (BTreeSet<_>, BTreeSet<_>) = (found.check.iter().collect(), found.look.iter().collect());
            prop_assert!(found.check.is_sorted() && found.look.is_sorted());
            for number in 1..table.keys.len() as u32 {
                let answers: Vec<bool> = table.texts(number as usize).iter().map(|row| has(row, text, *ends)).collect();
                if !look.contains(&number) {
                    prop_assert!(answers.iter().all(|a| *a == answers[0]), "{text:?} {ends:?}: {number} depends on the row");
                    prop_assert!(!answers[0] || check.contains(&number), "{text:?} {ends:?}: {number} is missed");
                }
            }
            let groups: BTreeSet<u32> = index.groups(&query).unwrap().into_iter().collect();
            for (number, group) in (0u32..).zip(table.whole.chunks(3)) {
                let has = group.iter().any(|row| has(row, text, *ends));
                prop_assert!(!has || groups.contains(&number), "{text:?} {ends:?}: group {number} is missed");
            }
        }
    }

    #[test]
    fn a_plain_word_is_found_where_it_is_and_nowhere_else(texts in prop::collection::vec(text(), 1..24)) {
        let table = Table::of(texts.iter().map(String::as_str));
        let index = open(&table.bundle(3));
        let mut shapes: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for number in 1..table.keys.len() {
            for text in table.texts(number) {
                for word in words(&text).filter(|word| !word.has_digit && word.span.len() < 250) {
                    shapes.entry(fold_text(&text[word.span])).or_default().insert(number as u32);
                }
            }
        }
        for (word, numbers) in shapes {
            prop_assert_eq!(ask(&index, &word, Ends::Closed), (numbers.into_iter().collect(), vec![]));
        }
    }
}
