//! Merges give the rows of their inputs, and copy what can be copied.
use crate::batch::{BatchBuilder, Stream};
use crate::catalog::ServiceConfig;
use crate::engine::{Ack, Append, Engine, Options, Search};
use crate::env::Env;
use crate::env::sim::SimEnv;
use crate::error::ErrorKind;
use crate::limits::{BLOCK_ROWS_MAX, MIB};
use crate::record::{FieldPath, Record};
use crate::retention::DAY_NANOS;
use crate::scan::filter::{Filter, Test};
use crate::segment::Segment;
use std::path::PathBuf;
use std::sync::Arc;

fn open(env: &SimEnv, copy_rows_min: usize) -> Arc<Engine> {
    let options = Options { background: false, wal_file_bytes: 1 << 20, copy_rows_min, ..Options::new("/data") };
    Engine::open(Arc::new(env.process()), options).unwrap()
}

/// Draws numbers from a seed.
struct Chance(u64);

impl Chance {
    fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 ^ self.0 >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD) >> 8
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.any() % bound
    }
}

const SERVICES: [&str; 4] = ["web", "db", "queue", "auth"];
const VERBS: [&str; 5] = ["opened", "closed", "refused", "failed", "retried"];

fn trace(number: u64) -> String {
    format!("{:032x}", u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835) | 1 << 127)
}

/// A row that is known by its number, of the kind that generation `g` has.
fn push(builder: &mut BatchBuilder, number: u64, g: u64, time: i64, chance: &mut Chance) {
    builder.begin_row();
    builder.time(time);
    let verb = VERBS[chance.below(5) as usize];
    match chance.below(8) {
        // Kept whole: more slots than a shape can have.
        0 => builder.string("_msg", &format!("{} {verb} by hand of{g} {}", "7 ".repeat(66), chance.any())),
        1 => builder.string("_msg", &format!("job {} {verb} in zone{} of part {}", number, chance.below(9), g)),
        2 => {
            builder.string("_msg", &format!("only in generation {} was this {verb}", "abcdefgh".split_at(g as usize).1))
        }
        _ => builder.string("_msg", &format!("connection {} {verb} after {} ms", number, chance.below(900))),
    }
    builder.string("n", &number.to_string());
    builder.string("trace", &trace(number));
    builder.string("level", ["INFO", "WARN", "ERROR"][chance.below(3) as usize]);
    if chance.below(3) > 0 {
        builder.int("status", 200 + chance.below(4) as i64);
    }
    match (g + chance.below(2)) % 4 {
        0 => builder.string(&format!("own{g}"), &format!("value {}", chance.below(50))),
        1 => builder.bool("flag", chance.below(2) == 0),
        2 => builder.string("session", &format!("{:08x}-0000-4000-8000-{:012x}", number, chance.any() >> 20)),
        _ => {
            builder.enter("nested");
            builder.number("ratio", &format!("{}.50", chance.below(20)));
            builder.null("nothing");
            builder.leave();
            builder.json("list", &format!("[{},2]", chance.below(5)));
        }
    }
    let service = SERVICES[((g + chance.below(3)) % 4) as usize];
    let tags = if chance.below(4) == 0 { "{a=\"b\"}" } else { "{}" };
    builder.commit_row_in(&Stream { service: service.into(), tags: tags.into() });
}

/// Every record, ascending by number. Fields of a record come in the order of their names: which one was seen first in a
/// segment is nothing that a record knows.
fn records(engine: &Engine) -> Vec<Record> {
    let mut all = Vec::new();
    engine.for_each(|record| all.push(record)).unwrap();
    all.sort_by_key(|record| (record.epoch, record.seq));
    all.iter_mut().for_each(|record| record.fields.sort_by(|a, b| a.0.cmp(&b.0)));
    all
}

fn field(name: &str, test: Test) -> Search {
    Search { filter: Filter::Field(name.into(), test), limit: usize::MAX, ..Search::default() }
}

/// What queries of every kind find: how many, and which.
fn answers(engine: &Engine, some: &[u64]) -> Vec<(u64, Vec<String>)> {
    let mut searches = vec![
        field("_msg", Test::phrase("refused", false)),
        field("_msg", Test::phrase("by hand", false)),
        field("_msg", Test::phrase("zone4", false)),
        field("_msg", Test::Substring("ailed aft".into())),
        field("_msg", Test::Substring("zone".into())),
        field("status", Test::exact("202")),
        field("nested.ratio", Test::exact("3.50")),
        field("level", Test::exact("WARN")),
        field("own1", Test::Any),
    ];
    searches.extend(some.iter().map(|number| field("trace", Test::exact(&trace(*number)))));
    for service in SERVICES {
        searches.push(Search { services: vec![service.into()], limit: usize::MAX, ..Search::default() });
        let level = field("level", Test::exact("ERROR"));
        searches.push(Search { exclude_services: vec![service.into()], ..level });
    }
    let found = searches.iter().map(|search| {
        let rows = engine.search(search).unwrap();
        let count = engine.count(search).unwrap();
        assert_eq!(count, rows.len() as u64, "{search:?}");
        (count, rows.iter().map(|record| record.get("n").to_string()).collect())
    });
    found.collect()
}

fn segment_files(env: &SimEnv) -> Vec<PathBuf> {
    env.files().into_iter().map(|(path, _)| path).filter(|path| path.extension().is_some_and(|e| e == "seg")).collect()
}

fn segments(env: &SimEnv) -> Vec<Segment> {
    segment_files(env).iter().map(|path| Segment::open(env, path, &Arc::default()).unwrap()).collect()
}

/// The stored pages of each block, by its first number.
fn pages(env: &SimEnv) -> Vec<(u64, Vec<u8>)> {
    let mut pages = Vec::new();
    for segment in segments(env) {
        let bytes = env.read_raw(segment.path()).unwrap();
        for meta in &segment.footer.blocks {
            pages.push((meta.first_seq, bytes[meta.offset as usize..][..meta.pages_len as usize].to_vec()));
        }
    }
    pages.sort();
    pages
}

#[test]
fn a_merge_gives_exactly_the_rows_of_its_inputs() {
    for seed in 0..24u64 {
        let env = SimEnv::new(seed);
        let mut chance = Chance(seed);
        let copy_rows_min = [1, 40, 150, usize::MAX][seed as usize % 4];
        let mut engine = open(&env, copy_rows_min);
        let (mut builder, mut number) = (BatchBuilder::new(), 0);
        let (now, generations) = (env.now() / DAY_NANOS * DAY_NANOS + DAY_NANOS / 2, 2 + chance.below(4));
        env.set_now(now);
        for g in 0..generations {
            for _ in 0..1 + chance.below(4) {
                for _ in 0..1 + chance.below(200) {
                    let late = if chance.below(200) == 0 { DAY_NANOS } else { 0 };
                    push(&mut builder, number, g, now + number as i64 * 1_000_000 - late, &mut chance);
                    number += 1;
                }
                engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
            }
            engine.seal().unwrap();
            if chance.below(4) == 0 {
                // Rows of another epoch never share a block.
                engine.close().unwrap();
                drop(engine);
                env.remove_file(std::path::Path::new("/data/catalog.redb")).unwrap();
                engine = open(&env, copy_rows_min);
            }
        }
        if seed % 3 == 1 {
            let filter = field("level", Test::exact("INFO")).filter;
            let search = Search { filter, until: Some(now + number as i64 * 300_000), ..Search::default() };
            assert!(engine.delete(&search, false).unwrap().rows > 0);
        }
        if seed % 5 == 2 {
            engine.set_config("web", ServiceConfig { ttl_days: 3, ..ServiceConfig::default() }).unwrap();
        }
        let some: Vec<u64> = (0..5).map(|_| chance.below(number)).collect();
        let (before, found) = (records(&engine), answers(&engine, &some));
        engine.compact().unwrap();
        assert_eq!(records(&engine), before, "seed {seed}");
        assert_eq!(answers(&engine, &some), found, "seed {seed}");
        assert!(engine.pending_deletions().is_empty());
        let classes = if seed % 5 == 2 { 2 } else { 1 };
        let written = segments(&env);
        assert!(written.len() <= 2 * classes, "seed {seed}: {} segments", written.len());
        for segment in &written {
            segment.verify().unwrap();
            let used: u64 = segment.footer.rows();
            assert!(used > 0);
        }
        // What was written is what a start finds, and a merge of nothing but large blocks.
        drop(engine);
        let engine = open(&env, 1);
        engine.compact().unwrap();
        assert_eq!(records(&engine), before, "seed {seed}");
        assert_eq!(engine.troubles(), Vec::<String>::new(), "seed {seed}");
    }
}

/// Appends rows `numbers` of one service and seals them.
fn seal_rows(engine: &Engine, env: &SimEnv, numbers: std::ops::Range<u64>) {
    let (mut builder, mut chance, now) = (BatchBuilder::new(), Chance(numbers.start), env.now());
    for number in numbers {
        builder.begin_row();
        builder.time(now + number as i64);
        builder.string("_msg", &format!("row {number} is {} of all", VERBS[chance.below(5) as usize]));
        builder.string("n", &number.to_string());
        builder.string("trace", &trace(number));
        builder.commit_row_in(&Stream { service: "web".into(), tags: "{}".into() });
    }
    engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
    engine.seal().unwrap();
}

#[test]
fn full_blocks_are_copied_byte_for_byte_and_small_ones_put_together() {
    let env = SimEnv::new(1);
    let engine = open(&env, 100);
    seal_rows(&engine, &env, 0..30);
    seal_rows(&engine, &env, 30..150);
    seal_rows(&engine, &env, 150..190);
    seal_rows(&engine, &env, 190..350);
    let before = pages(&env);
    engine.compact().unwrap();
    let after = pages(&env);
    let firsts: Vec<u64> = after.iter().map(|(first, _)| *first).collect();
    assert_eq!(firsts, [0, 30, 190]);
    assert_eq!(after[1..], [before[1].clone(), before[3].clone()]);
    // What is left of a block from which a row leaves goes together with what is small, and the others stay.
    engine.delete(&field("n", Test::exact("40")), false).unwrap();
    engine.compact().unwrap();
    let last = pages(&env);
    assert_eq!((last.len(), last[0].0, &last[1]), (2, 0, &after[2]));
    let numbers: Vec<u64> = records(&engine).iter().map(|record| record.get("n").parse().unwrap()).collect();
    assert_eq!(numbers, (0..350).filter(|n| *n != 40).collect::<Vec<u64>>());
}

#[test]
fn nothing_of_a_deleted_row_stays_in_the_tables() {
    let env = SimEnv::new(2);
    let engine = open(&env, 1);
    let mut builder = BatchBuilder::new();
    for number in 0..20 {
        builder.begin_row();
        let secret = number == 7;
        builder.string("_msg", if secret { "the password is swordfish" } else { "nothing to see" });
        builder.string(if secret { "hidden" } else { "plain" }, "x");
        let service = if secret { "vault" } else { "web" };
        builder.commit_row_in(&Stream { service: service.into(), tags: "{}".into() });
    }
    engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
    engine.seal().unwrap();
    engine.delete(&field("_msg", Test::phrase("swordfish", false)), false).unwrap();
    engine.compact().unwrap();
    let segment = segments(&env).remove(0);
    let shapes = segment.shapes().unwrap();
    assert!((0..shapes.len() as u32).all(|shape| !shapes.shape(shape).literal().contains("swordfish")));
    assert_eq!(segment.footer.streams, [("web".to_string(), "{}".to_string())]);
    assert!(!segment.fields.contains(&FieldPath::flat("hidden")));
    assert_eq!(engine.services(), ["web"]);
}

#[test]
fn damage_does_not_travel_with_a_copied_block() {
    let env = SimEnv::new(3);
    let engine = open(&env, 1);
    seal_rows(&engine, &env, 0..100);
    seal_rows(&engine, &env, 100..200);
    let files = segment_files(&env);
    env.flip_bit(&files[1], 200, 2).unwrap();
    assert_eq!(engine.compact().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(segment_files(&env), files);
    assert!(!env.files().iter().any(|(path, _)| path.extension().is_some_and(|e| e == "tmp")));
    assert_eq!(records(&engine).len(), 100);
    engine.compact().unwrap();
    assert_eq!(segment_files(&env), files);
    assert_eq!(records(&engine).len(), 100);
    assert!(engine.troubles().iter().any(|trouble| trouble.contains("records 100 to 199")), "{:?}", engine.troubles());
}

#[test]
fn segments_whose_shapes_are_too_many_together_stay_apart() {
    let env = SimEnv::new(4);
    let engine = open(&env, 1);
    // Two of them have over half of the shape text that one segment may have, the third has hardly any.
    for (g, shapes) in [2_300, 2_300, 5u32].into_iter().enumerate() {
        let mut builder = BatchBuilder::new();
        for shape in 0..shapes {
            // A letter for each bit, and nothing with a digit; each comes often enough to be no text of its own.
            let name: String = (0..14).map(|bit| if shape >> bit & 1 == 1 { 'x' } else { 'o' }).collect();
            let text = format!("{name}{} {}", ["a", "b", "c"][g], "long ".repeat(195));
            for _ in 0..12 {
                builder.begin_row();
                builder.string("_msg", &text);
                builder.commit_row_in(&Stream { service: "web".into(), tags: "{}".into() });
            }
            if builder.bytes() > MIB {
                engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
            }
        }
        engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
        engine.seal().unwrap();
    }
    let rows = |engine: &Engine| engine.count(&Search::default()).unwrap();
    let before = rows(&engine);
    engine.compact().unwrap();
    let counts: Vec<u32> = segments(&env).iter().map(|segment| segment.footer.shape_count).collect();
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert!(counts.iter().all(|count| (2_300..2_310).contains(count)), "{counts:?}");
    assert_eq!(rows(&engine), before);
    // Rows leave all the same.
    let gone = engine.delete(&field("_msg", Test::phrase(&format!("{}a", "o".repeat(14)), false)), false).unwrap();
    assert_eq!(gone.rows, 12);
    engine.compact().unwrap();
    assert_eq!(rows(&engine), before - 12);
    let left: Vec<u32> = segments(&env).iter().map(|segment| segment.footer.shape_count).collect();
    assert_eq!(left.iter().sum::<u32>(), counts.iter().sum::<u32>() - 1);
}

#[test]
fn counts_by_service_read_no_column() {
    let env = SimEnv::new(5);
    let engine = open(&env, 1);
    let (mut builder, mut chance, now) = (BatchBuilder::new(), Chance(5), env.now());
    for number in 0..300 {
        push(&mut builder, number, number / 100, now, &mut chance);
    }
    engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
    engine.seal().unwrap();
    let mut sum = 0;
    for service in SERVICES {
        let search = Search { services: vec![service.into()], ..Search::default() };
        let (count, stats) = engine.count_with(&search, &crate::engine::Control::default()).unwrap();
        assert_eq!((stats.row_bytes, stats.code_bytes, stats.value_bytes, stats.blocks_read), (0, 0, 0, 0));
        assert!(count > 0);
        sum += count;
        let rows = engine.search(&Search { limit: usize::MAX, ..search }).unwrap().len() as u64;
        assert_eq!(rows, count);
    }
    assert_eq!(sum, 300);
}

#[test]
fn small_blocks_of_many_merges_become_full_ones() {
    // Few and tiny rows, so that a whole block of them is quickly made.
    let env = SimEnv::new(6);
    let engine = open(&env, 16_384);
    let mut total = 0;
    for part in 0..9u32 {
        let mut builder = BatchBuilder::new();
        let rows = 7_000 + part * 480;
        for row in 0..rows {
            builder.begin_row();
            builder.int("row", i64::from(row % 16));
            let service = if row % 8 == 0 { "rare" } else { "often" };
            builder.commit_row_in(&Stream { service: service.into(), tags: "{}".into() });
        }
        total += u64::from(rows);
        engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
        engine.seal().unwrap();
    }
    engine.compact().unwrap();
    let segment = segments(&env).remove(0);
    let rows: Vec<u32> = segment.footer.blocks.iter().map(|meta| meta.rows).collect();
    assert_eq!(rows.iter().map(|rows| u64::from(*rows)).sum::<u64>(), total);
    assert!(rows.len() <= 3 && rows.iter().all(|rows| *rows as usize <= BLOCK_ROWS_MAX), "{rows:?}");
    let rare = Search { services: vec!["rare".into()], ..Search::default() };
    assert_eq!(engine.count(&rare).unwrap(), total / 8);
}
