//! Searches against a plain scan over the texts that were appended, and by what they read.
mod bounds;
mod columns;

use crate::batch::BatchBuilder;
use crate::engine::{Ack, Append, Control, Engine, Options, Order, Position, Search};
use crate::env::sim::SimEnv;
use crate::record::Record;
use crate::scan::ScanStats;
use crate::scan::filter::{Asked, Filter, Question, Test, TestOfWords, Verdict};
use crate::text::shape::Shape;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn open(env: &SimEnv, straight_scan_bytes: usize, read_cache_bytes: usize) -> Arc<Engine> {
    let options = Options { background: false, straight_scan_bytes, read_cache_bytes, ..Options::new("/data") };
    Engine::open(Arc::new(env.process()), options).unwrap()
}

fn append(engine: &Engine, texts: &[String]) {
    let mut builder = BatchBuilder::new();
    for (i, text) in texts.iter().enumerate() {
        builder.begin_row();
        builder.time(1_780_000_000_000_000_000 + i as i64);
        builder.string("service_name", "web");
        builder.string("_msg", text);
        if i % 3 == 0 {
            builder.string("copy", text);
        }
        builder.int("n", i as i64 % 7);
        builder.bool("odd", i % 2 == 1);
        builder.string("trace", &trace(i));
        builder.commit_row();
    }
    engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
}

/// Hex digits, or a UUID, each of some rows.
fn trace(i: usize) -> String {
    let n = (i as u64 / 3).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    match i % 5 {
        4 => format!("{:08x}-0000-4000-8000-{:012X}", n as u32, i).to_lowercase(),
        _ => format!("{n:016x}{n:016x}"),
    }
}

fn of_field(name: &str, test: Test) -> Search {
    Search { filter: Filter::Field(name.into(), test), limit: usize::MAX, ..Search::default() }
}

fn tests_of(text: &str) -> Vec<Test> {
    vec![
        Test::phrase(text, false),
        Test::phrase(text, true),
        Test::prefix(text, text.len().is_multiple_of(2)),
        Test::Substring(text.into()),
        Test::exact(text),
        Test::Any,
    ]
}

/// Every test against every field, as counts and as rows.
fn compare(engine: &Engine, all: &[Record], wanted: &[String]) {
    for wanted in wanted {
        for (name, test) in ["_msg", "copy", "n", "odd", "trace"]
            .into_iter()
            .flat_map(|name| tests_of(wanted).into_iter().map(move |t| (name, t)))
        {
            let expected: Vec<u64> =
                all.iter().filter(|record| test.matches(record.get(name))).map(|record| record.seq).collect();
            let search = of_field(name, test.clone());
            assert_eq!(engine.count(&search).unwrap(), expected.len() as u64, "{name} {test:?}");
            let negated = Search { filter: Filter::Not(Box::new(search.filter.clone())), ..search.clone() };
            assert_eq!(engine.count(&negated).unwrap(), (all.len() - expected.len()) as u64, "not {name} {test:?}");
            let mut found: Vec<u64> = engine.search(&search).unwrap().iter().map(|record| record.seq).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{name} {test:?}");
        }
    }
}

/// Whether a record passes, by its texts alone.
fn passes(filter: &Filter, record: &Record) -> bool {
    match filter {
        Filter::All => true,
        Filter::And(parts) => parts.iter().all(|part| passes(part, record)),
        Filter::Or(parts) => parts.iter().any(|part| passes(part, record)),
        Filter::Not(part) => !passes(part, record),
        Filter::Ids(ids) => ids.contains(&record.id()),
        Filter::Numbers(n) => record.epoch == n.epoch && (n.first..=n.last).contains(&record.seq),
        Filter::Streams(_) => unreachable!("these tests have none"),
        Filter::Field(name, test) => test.matches(record.get(name)),
    }
}

/// Tests of several fields, combined, against each record's texts.
fn compare_combined(engine: &Engine, all: &[Record], filters: &[Filter]) {
    const PAGED_EACH: usize = 16;
    for (at, filter) in filters.iter().enumerate() {
        let mut expected: Vec<&Record> = all.iter().filter(|record| passes(filter, record)).collect();
        expected.sort_by_key(|record| std::cmp::Reverse((record.time, record.seq)));
        for (offset, limit) in [(0, usize::MAX), (0, 3), (2, 5)] {
            let search = Search { filter: filter.clone(), offset, limit, ..Search::default() };
            let found = engine.search(&search).unwrap();
            assert!(found.iter().eq(expected.iter().copied().skip(offset).take(limit)), "{filter:?} {offset} {limit}");
        }
        let search = Search { filter: filter.clone(), ..Search::default() };
        assert_eq!(engine.count(&search).unwrap(), expected.len() as u64, "{filter:?}");
        // Pages look at everything several times, so that some of the filters have to do.
        if at % PAGED_EACH == 0 {
            compare_pages(engine, search, &expected);
        }
    }
}

/// The same in both orders, page by page.
fn compare_pages(engine: &Engine, search: Search, newest_first: &[&Record]) {
    let mut expected = newest_first.to_vec();
    for order in [Order::Newest, Order::Oldest] {
        let mut search = Search { order, limit: expected.len() / 3 + 1, ..search.clone() };
        let mut found: Vec<Record> = Vec::new();
        loop {
            let page = engine.search(&search).unwrap();
            let Some(last) = page.last() else { break };
            search = search.behind(Position::of(last));
            found.extend(page);
        }
        assert!(found.iter().eq(expected.iter().copied()), "{order:?} {:?}", search.filter);
        expected.reverse();
    }
}

fn everything(engine: &Engine) -> Vec<Record> {
    let mut all = Vec::new();
    engine.for_each(|record| all.push(record)).unwrap();
    all.sort_by_key(|record| record.seq);
    all
}

/// Hot, sealed with and without the index, merged, and with no cache to speak of.
fn compare_everywhere(texts: &[String], wanted: &[String]) {
    compare_all(texts, wanted, &[]);
}

fn compare_all(texts: &[String], wanted: &[String], combined: &[Filter]) {
    for (straight, cache) in [(usize::MAX, 1 << 24), (0, 1 << 24), (0, 300)] {
        let env = SimEnv::new(7);
        let engine = open(&env, straight, cache);
        let half = texts.len() / 2;
        append(&engine, &texts[..half]);
        append(&engine, &texts[half..]);
        let all = everything(&engine);
        let mut given: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut got: Vec<&str> = all.iter().map(|record| record.get("_msg")).collect();
        given.sort_unstable();
        got.sort_unstable();
        assert_eq!(got, given);
        compare(&engine, &all, wanted);
        compare_combined(&engine, &all, combined);
        engine.seal().unwrap();
        assert_eq!(everything(&engine), all);
        compare(&engine, &all, wanted);
        compare_combined(&engine, &all, combined);
        for record in all.iter().step_by(7) {
            assert_eq!(engine.get(record.id()).unwrap().as_ref(), Some(record));
        }
        assert_eq!(engine.troubles(), Vec::<String>::new());
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec![
            "error", "Error", "err42", "x1connection", "connection", "a_b", "日本語のログ", "İstanbul", "istanbul", "m²", "«42»",
            "404", "http2", "HTTP2", "9", "٣", "\u{212A}elvin", "kelvin", "deadbeef01", "हिन्दी9", "a\u{FFFD}b", "blk_17x",
            "blk_2x", "007", "10.10.34.21", "\u{0}", "\u{1}look",
        ])
        .prop_map(str::to_string),
        2 => "[0-9]{1,4}",
        1 => "[a-c0-2_]{1,4}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    let separator = prop::sample::select(vec![" ", ": ", "/", ".", "→", "²", "\n", "\t"]);
    prop::collection::vec((word(), separator), 0..6)
        .prop_map(|parts| parts.into_iter().flat_map(|(word, separator)| [word, separator.to_string()]).collect())
}

/// A text as it is, cut, with a word of its own joined on, in another case, with a digit put in or taken out.
fn wanted(
    texts: &[String],
    index: prop::sample::Index,
    a: prop::sample::Index,
    b: prop::sample::Index,
    how: u8,
) -> String {
    let text = &texts[index.index(texts.len())];
    let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let (a, b) = (bounds[a.index(bounds.len())], bounds[b.index(bounds.len())]);
    let cut = &text[a.min(b)..a.max(b)];
    match how % 6 {
        0 => text.clone(),
        1 | 2 => cut.to_string(),
        3 => cut.to_uppercase(),
        4 => format!("{cut}7"),
        _ => cut.chars().filter(|c| !c.is_ascii_digit()).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn searches_agree_with_texts(
        texts in prop::collection::vec(text(), 2..60),
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 8),
        other in word(),
        shapes in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 6),
    ) {
        let mut asked: Vec<String> = picks.into_iter().map(|(i, a, b, how)| wanted(&texts, i, a, b, how)).collect();
        asked.push(other);
        asked.push(String::new());
        asked.push(trace(texts.len() / 2));
        let combined: Vec<Filter> = shapes.iter().map(|(a, b, how)| combine(&asked, *a, *b, *how)).collect();
        compare_all(&texts, &asked, &combined);
    }
}

/// Two or three tests of texts that are asked for, put together in one of several ways.
fn combine(asked: &[String], a: u8, b: u8, how: u8) -> Filter {
    let test = |pick: u8| {
        let tests = tests_of(&asked[usize::from(pick) % asked.len()]);
        let field = ["_msg", "copy", "trace", "n", "odd"][usize::from(pick) % 5];
        Filter::Field(field.into(), tests[usize::from(pick / 7) % tests.len()].clone())
    };
    let by_trace = Filter::Field("trace".into(), Test::exact(asked.last().unwrap()));
    match how % 6 {
        0 => Filter::And(vec![test(a), test(b)]),
        1 => Filter::Or(vec![test(a), test(b)]),
        2 => Filter::And(vec![test(a), Filter::Not(Box::new(test(b)))]),
        3 => Filter::Or(vec![Filter::And(vec![test(a), by_trace]), test(b)]),
        4 => Filter::And(vec![by_trace, Filter::Or(vec![test(a), Filter::Not(Box::new(test(b)))])]),
        _ => Filter::Not(Box::new(Filter::Or(vec![test(a), Filter::And(vec![test(b), test(a ^ b)])]))),
    }
}

/// Lines whose slots are of every class, in numbers that let slots stand alone.
fn lines(n: usize) -> Vec<String> {
    (0..n)
        .map(|i| match i % 7 {
            0 => format!("Received block blk_{} of size {} from /10.{}.34.{}", i * 7919, i * 31 % 5000, i % 3, i % 255),
            1 => format!("user u{} took {}ms, status {}", i % 17, i % 900, 200 + i % 4 * 101),
            2 => format!("trace {:08x} sampled {:03}", (i as u64).wrapping_mul(2_654_435_761) % (1 << 32), i % 1000),
            3 => format!("task{}x{:02} failed: tail{} of {}", i % 40, i % 60, i, "z".repeat(i % 5) + &i.to_string()),
            4 => format!("GET /api/v2/item-{}/k{} http2", i % 100, i % 13),
            5 => format!("once seen {}", "word ".repeat(i % 9)),
            _ => format!("mail from x{}connection request {}", i % 5, i),
        })
        .collect()
}

#[test]
fn slots_of_every_class_are_compared_right() {
    let asked = [
        "ail",
        "nnection req",
        "blk_7919",
        "blk_79",
        "lk_7",
        "10.0.34.0",
        "10.2",
        "/10.1.34",
        "u13",
        "u1",
        "status 200",
        "404ms",
        "301",
        "3",
        "00",
        "007",
        "tail3",
        "tail3 of",
        "ail1",
        "l1",
        "http2",
        "HTTP2",
        "v2",
        "item-7",
        "zz",
        "z8",
        "1c",
        "9e37",
        "x3connection",
        "of size 62",
        "size 6",
        "5",
        "k12 http2",
        "k12 h",
        "task3x03",
        "x03 f",
        "x03",
        "sampled 100",
        "d 10",
        "\u{0}",
    ]
    .map(str::to_string);
    compare_everywhere(&lines(1_500), &asked);
}

/// Texts with too many variables for a shape, out of words that come again and some that do not.
fn long_texts(n: usize) -> Vec<String> {
    let words = ["error", "Error", "err42", "connection", "a_b", "日本語", "Çelik", "çelik", "x7y", "failed"];
    let between = [" ", " ", " ", ", ", ": ", "→", "\n\t", "  "];
    let pick = |i: usize, k: usize| i.wrapping_mul(2_654_435_761).wrapping_add(k.wrapping_mul(40_503)) >> 7;
    let text = |i: usize| {
        let parts = (0..70 + i % 9).map(|k| {
            let word = match pick(i, k) % 40 {
                0 => format!("only{}x{k}", i * 31),
                1 => format!("rest{}", "z".repeat(pick(k, i) % 300)),
                _ => words[pick(k, i) % words.len()].to_string(),
            };
            format!("{}{word}{}", k % 10, between[pick(i, k + 1) % between.len()])
        });
        parts.collect()
    };
    (0..n).map(text).collect()
}

#[test]
fn texts_that_are_kept_as_words_are_searched_right() {
    let texts = long_texts(90);
    let cut = |i: usize, from: usize, len: usize| -> String { texts[i].chars().skip(from).take(len).collect() };
    let mut asked: Vec<String> = [
        "error", "1error", "Err", "only31x0", "only", "x7y", "日本", "çelik", "zzz", "z", "→", ", ", "nowhere",
        "err 2", "",
    ]
    .map(str::to_string)
    .into();
    asked.extend([cut(3, 0, 40), cut(9, 17, 5), cut(40, 200, 33), cut(77, 301, 12), texts[5].clone()]);
    compare_everywhere(&texts, &asked);
    // What lies in one word is found among words: no text is put together.
    let engine = open(&SimEnv::new(7), usize::MAX, 1 << 24);
    append(&engine, &texts);
    engine.seal().unwrap();
    let (found, stats) = count(&engine, "_msg", Test::Substring("zzz".into()));
    assert!(found > 0 && stats.texts_rebuilt == 0, "{found} {stats:?}");
    let (found, stats) = count(&engine, "_msg", Test::Substring("stz zz".into()));
    assert!(found == 0 && stats.texts_rebuilt < texts.len() as u64, "{stats:?}");
}

/// Rows whose fields are kept as decimals, as times, and as lists of texts; from half on, hot rows have other spellings.
fn append_forms(engine: &Engine, rows: std::ops::Range<usize>) {
    let mut builder = BatchBuilder::new();
    for i in rows {
        let mixed = i.wrapping_mul(2_654_435_761) >> 5;
        builder.begin_row();
        builder.time(1_780_000_000_000_000_000 + i as i64);
        builder.string("service_name", "web");
        builder.number("padded", &format!("{}.{:02}", mixed % 40, i % 100));
        builder.number("trimmed", &format!("{}{}.{}", if i % 5 == 0 { "-" } else { "" }, i / 7 + 1, i % 90 * 10 + 1));
        builder.string("quoted", &format!("{}.5", i / 3));
        builder.string("when", &format!("2026-06-01T12:{:02}:{:02}.{:03}Z", i / 60 % 60, i % 60, mixed % 1_000));
        if i % 3 > 0 {
            builder
                .string("local", &format!("2026-06-{:02} 00:{:02}:{:02}+02:00", i % 30 + 1, i / 30 % 60, mixed % 60));
            builder.string("pod", &format!("Web-{:x}-{:04x}", mixed % 7 * 7_919, mixed % 30 * 2_111));
        }
        builder.commit_row();
    }
    engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
}

#[test]
fn lanes_of_every_form_are_searched_as_their_texts() {
    let env = SimEnv::new(11);
    let engine = open(&env, usize::MAX, 1 << 24);
    append_forms(&engine, 0..700);
    engine.seal().unwrap();
    append_forms(&engine, 700..900);
    let all = everything(&engine);
    let fields = ["padded", "trimmed", "quoted", "when", "local", "pod"];
    let mut asked: Vec<String> =
        fields.iter().flat_map(|name| [3, 77, 701].map(|row: usize| all[row].get(name).to_string())).collect();
    asked.extend(
        [
            "", ".", "1", "5", "0.5", "12.50", "-1.1", "12.5", "T12", "t12", "z", "Z", "06-01", "2026", "00:0", "+02",
            "x", "web", "Web-",
        ]
        .map(str::to_string),
    );
    asked.extend(asked.clone().iter().map(|text| text.chars().skip(1).take(6).collect()));
    let compare_all = |engine: &Engine| {
        assert_eq!(everything(engine), all);
        for (name, wanted) in fields.iter().flat_map(|name| asked.iter().map(move |wanted| (*name, wanted))) {
            for test in tests_of(wanted) {
                let expected: Vec<u64> =
                    all.iter().filter(|record| test.matches(record.get(name))).map(|record| record.seq).collect();
                let search = of_field(name, test.clone());
                assert_eq!(engine.count(&search).unwrap(), expected.len() as u64, "{name} {test:?}");
                let mut found: Vec<u64> = engine.search(&search).unwrap().iter().map(|record| record.seq).collect();
                found.sort_unstable();
                assert_eq!(found, expected, "{name} {test:?}");
            }
        }
        for record in all.iter().step_by(41) {
            assert_eq!(engine.get(record.id()).unwrap().as_ref(), Some(record));
        }
    };
    compare_all(&engine);
    engine.seal().unwrap();
    compare_all(&engine);
    engine.compact().unwrap();
    compare_all(&engine);
    // A list of texts says how many values are each, and a foreign letter is in no time.
    for (name, wanted) in [("pod", "Web"), ("when", "noon")] {
        let (_, stats) = count(&engine, name, Test::Substring(wanted.into()));
        assert_eq!((stats.code_bytes, stats.texts_rebuilt), (0, 0), "{name} {stats:?}");
    }
}

#[test]
fn numbers_and_words_of_large_slots_are_compared_right() {
    // Of one shape, so that slots are long: dates in digit planes, ragged digits, hex of two lengths, names.
    let line = |i: usize| {
        let n = i.wrapping_mul(2_654_435_761) % 100_003;
        format!(
            "20{:02}-0{}-1{} {:0w$} id {:x} by u{}x{} from x{}Nnection req of {:04}, {}",
            14 + n % 2,
            1 + n % 3,
            n % 10,
            n % 97,
            n,
            n % 7,
            n % 11,
            n % 13,
            n % 4_001,
            ["k3Ail", "M4il", "0x7f", "é5"][n % 4],
            w = 2 + n % 3
        )
    };
    let texts: Vec<String> = (0..2_600).map(line).collect();
    let cut = |i: usize, from: usize, len: usize| -> String { texts[i].chars().skip(from).take(len).collect() };
    let mut asked: Vec<String> = [
        "2014-01-10",
        "2015-03",
        "2014-01-1",
        "14-01",
        "2016",
        "2014-04",
        "nnection req",
        "x3Nnection",
        "Nnection req of 4",
        "u3x5",
        "3x5 f",
        "u9x5",
        "ail",
        "AIL",
        "4il",
        "7f",
        "é",
        "é5",
        "k",
        "o",
        "00",
        "0042",
        "x",
        "_",
    ]
    .map(str::to_string)
    .into();
    asked.extend([cut(7, 0, 16), cut(1_500, 8, 9), cut(2_599, 3, 30), cut(1_024, 20, 14), texts[1_025].clone()]);
    compare_everywhere(&texts, &asked);
}

/// Texts over the limit of a shape, each with one rare word.
fn plain(n: usize) -> Vec<String> {
    let rare = |i: usize| ["alder", "birch", "cedar", "maple"][i * 4 / n.max(1)];
    (0..n).map(|i| format!("{} {} err{} {}", "common words that fill it ".repeat(45), rare(i), i, i % 10)).collect()
}

fn count(engine: &Engine, name: &str, test: Test) -> (u64, ScanStats) {
    engine.count_with(&of_field(name, test), &Control::default()).unwrap()
}

#[test]
fn words_over_plain_text_read_the_groups_that_have_them() {
    let env = SimEnv::new(8);
    let engine = open(&env, usize::MAX, 1 << 24);
    let texts = plain(6_000);
    for texts in texts.chunks(3_000) {
        append(&engine, texts);
        engine.seal().unwrap();
    }
    let check = |engine: &Engine, word: &str, texts_max: u64| {
        let expected = texts.iter().filter(|text| Test::phrase(word, true).matches(text)).count() as u64;
        let (found, stats) = count(engine, "_msg", Test::phrase(word, true));
        assert_eq!(found, expected, "{word}");
        assert!(stats.texts_rebuilt <= texts_max, "{word}: {stats:?}");
        stats
    };
    let stats = check(&engine, "birch", 1_500 + 2 * 1_024);
    assert!(stats.index_lookups > 0 && stats.groups_skipped >= 2, "{stats:?}");
    let stats = check(&engine, "willow", 0);
    assert_eq!((stats.code_bytes, stats.value_bytes), (0, 0));
    check(&engine, "common", 6_000);
    check(&engine, "err17", 6_000);
    let (found, stats) = count(&engine, "_msg", Test::Asked(Asked::new(Arc::new(Rhyme("edar")))));
    assert!(found == 1_500 && stats.texts_rebuilt <= 1_500 + 2 * 1_024 && stats.groups_skipped >= 2, "{stats:?}");
    engine.compact().unwrap();
    check(&engine, "cedar", 1_500 + 2 * 1_024);
    // A damaged index is built again, without groups, and told.
    drop(engine);
    let path = segment_file(&env);
    let bytes = env.read_raw(&path).unwrap();
    let at = bytes.windows(12).rposition(|window| window == b"groups/meta.").unwrap();
    env.flip_bit(&path, at as u64, 1).unwrap();
    let engine = open(&env, usize::MAX, 1 << 24);
    check(&engine, "maple", 6_000);
    assert!(
        engine.troubles().iter().any(|trouble| trouble.contains("the index is built again")),
        "{:?}",
        engine.troubles()
    );
}

/// Words without a digit that end so.
struct Rhyme(&'static str);

impl Rhyme {
    fn ends(word: &str, ending: &str) -> bool {
        word.ends_with(ending) && !word.bytes().any(|byte| byte.is_ascii_digit())
    }
}

impl Question for Rhyme {
    fn key(&self) -> &str {
        self.0
    }

    fn matches(&self, text: &str) -> bool {
        text.split(' ').any(|word| Self::ends(word, self.0))
    }

    fn verdict(&self, shape: Shape<'_>) -> Verdict {
        if shape.pieces().any(|piece| self.matches(piece)) { Verdict::Yes } else { Verdict::No }
    }

    fn needed_word(&self) -> Option<Arc<TestOfWords>> {
        let ending = self.0;
        Some(Arc::new(move |word| Self::ends(word, ending)))
    }
}

fn segment_file(env: &SimEnv) -> PathBuf {
    use crate::env::Env;
    let process = env.process();
    let days = process.list(Path::new("/data/segments")).unwrap();
    let day = Path::new("/data/segments").join(&days[0].name);
    let files = process.list(&day).unwrap();
    assert_eq!(files.len(), 1);
    day.join(&files[0].name)
}

#[test]
fn words_over_a_large_shape_table_go_through_the_index() {
    let env = SimEnv::new(9);
    let engine = open(&env, 16 << 10, 1 << 24);
    let letters = |mut n: usize| {
        let mut out = String::new();
        while n > 0 {
            out.push(char::from(b'a' + (n % 26) as u8));
            n /= 26;
        }
        out
    };
    let texts: Vec<String> = (1..4_000).map(|i| format!("event {} took {} ms", letters(i), i)).collect();
    append(&engine, &texts);
    engine.seal().unwrap();
    let word = letters(1_234);
    for (wanted, expected) in [(word.as_str(), 1), ("event", 3_999), ("nowhere", 0)] {
        let (found, stats) = count(&engine, "_msg", Test::phrase(wanted, true));
        assert_eq!(found, expected);
        assert_eq!((stats.index_lookups, stats.straight_scans, stats.texts_rebuilt), (1, 0, 0), "{stats:?}");
        assert_eq!((stats.row_bytes, stats.code_bytes, stats.value_bytes), (0, 0, 0), "{stats:?}");
    }
    let (found, stats) = count(&engine, "_msg", Test::phrase("1234", true));
    assert_eq!((found, stats.texts_rebuilt), (1, 0), "{stats:?}");
    let (found, stats) = count(&engine, "_msg", Test::exact(&texts[1_233]));
    assert_eq!((found, stats.texts_rebuilt), (1, 0), "{stats:?}");
    for ending in ["wz", "nt", "q0"] {
        let expected = texts.iter().filter(|text| Rhyme(ending).matches(text)).count() as u64;
        let (found, stats) = count(&engine, "_msg", Test::Asked(Asked::new(Arc::new(Rhyme(ending)))));
        assert_eq!(found, expected, "{ending}");
        assert_eq!((stats.index_lookups, stats.straight_scans, stats.texts_rebuilt), (1, 0, 0), "{stats:?}");
    }
    let (rows, stats) = engine.search_with(&of_field("_msg", Test::phrase(&word, true)), &Control::default()).unwrap();
    assert_eq!(rows.len(), 1);
    assert!(stats.texts_rebuilt == 0 && stats.blocks_read == 1, "{stats:?}");
}
