//! The engine as a whole, on a simulated machine.
use super::*;
use crate::batch::BatchBuilder;
use crate::env::sim::{Fault, IoKind, SimEnv};
use crate::payload::{Effect, Place};
use crate::scan::filter::{Filter, Test};
use std::path::Path;

pub(crate) fn options() -> Options {
    Options { background: false, wal_file_bytes: 256 << 10, ..Options::new("/data") }
}

fn open(env: &SimEnv) -> Arc<Engine> {
    Engine::open(Arc::new(env.process()), options()).unwrap()
}

fn rows(from: u64, to: u64) -> Append {
    let mut builder = BatchBuilder::new();
    for i in from..to {
        builder.begin_row();
        builder.time(1_780_000_000_000_000_000 + i as i64 * 1_000_000_000);
        builder.string("service_name", ["web", "db", "cron-7"][i as usize % 3]);
        builder.string("level", if i % 10 == 0 { "ERROR" } else { "INFO" });
        builder.string("_msg", &format!("request {} of user u{} took {} ms", i, i % 17, i * 7 % 1000));
        builder.enter("metadata");
        builder.string(
            "trace_id",
            &format!("{:032x}", u128::from(i).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)),
        );
        builder.number("ratio", &format!("{}.50", i % 9));
        builder.int("status", 200 + i as i64 % 5);
        if i % 4 == 0 {
            builder.string("rare", &format!("only #{i}"));
        }
        builder.leave();
        builder.commit_row();
    }
    Append::new(builder.finish().unwrap(), Ack::Wal)
}

fn shown(engine: &Engine) -> Vec<String> {
    let mut all = Vec::new();
    engine
        .for_each(|record| all.push(format!("{} {} {}", record.id(), record.arrival, record.to_json(|_| true))))
        .unwrap();
    all.sort();
    all
}

#[test]
fn rows_stay_the_same_hot_sealed_compacted_and_opened_again() {
    let env = SimEnv::new(1);
    let engine = open(&env);
    let first = engine.append(rows(0, 500)).unwrap();
    engine.append(rows(500, 900)).unwrap();
    let hot = shown(&engine);
    assert_eq!(hot.len(), 900);
    assert!(hot.iter().any(|line| line.contains(r#""ratio":3.50,"status":203"#)));
    engine.seal().unwrap();
    assert_eq!(engine.stats().unwrap().hot_rows, 0);
    assert_eq!(shown(&engine), hot);
    engine.append(rows(900, 1_000)).unwrap();
    engine.seal().unwrap();
    engine.append(rows(1_000, 1_010)).unwrap();
    let all = shown(&engine);
    let before = engine.stats().unwrap().segments;
    engine.compact().unwrap();
    assert!(engine.stats().unwrap().segments < before);
    assert_eq!(shown(&engine), all);
    drop(engine);
    let engine = open(&env);
    assert_eq!(engine.troubles(), Vec::<String>::new());
    assert_eq!(shown(&engine), all);
    let id = RecordId::new(first.times[42], first.epoch, first.first_seq + 42);
    assert!(engine.get(id).unwrap().unwrap().get("_msg").starts_with("request 42 of"));
    assert!(engine.get(RecordId::new(0, first.epoch, 1 << 40)).unwrap().is_none());
    engine.close().unwrap();
    assert!(engine.append(rows(0, 1)).is_err());
    drop(engine);
    let engine = open(&env);
    assert_eq!(shown(&engine), all);
    assert_eq!(engine.stats().unwrap().hot_rows, 0);
    let report = {
        drop(engine);
        let env: Arc<dyn Env> = Arc::new(env.process());
        check(&env, Path::new("/data"), false).unwrap()
    };
    assert!(report.ok, "{:?}", report.lines);
}

#[test]
fn searches_agree_with_a_plain_scan_hot_and_sealed() {
    let env = SimEnv::new(2);
    let engine = open(&env);
    engine.append(rows(0, 700)).unwrap();
    let mut all = Vec::new();
    engine.for_each(|record| all.push(record)).unwrap();
    let field = |name: &str, test: Test| Filter::Field(name.into(), test);
    let filters = [
        field("_msg", Test::phrase("REQUEST", true)),
        field("_msg", Test::phrase("u13", true)),
        field("_msg", Test::phrase("user u13 took", false)),
        field("_msg", Test::Substring("quest 1".into())),
        field("_msg", Test::Substring("7 ms".into())),
        field("metadata.trace_id", Test::exact("0000000000000000000000000000000000")),
        field(
            "metadata.trace_id",
            Test::exact(&format!("{:032x}", 42u128.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))),
        ),
        field("metadata.rare", Test::Any),
        field("metadata.rare", Test::exact("only #8")),
        field("level", Test::exact("ERROR")),
        Filter::Not(Box::new(field("metadata.status", Test::exact("203")))),
        Filter::And(vec![field("level", Test::exact("ERROR")), field("service_name", Test::exact("cron-7"))]),
        Filter::Or(vec![field("metadata.ratio", Test::exact("3.50")), field("_msg", Test::phrase("600", true))]),
    ];
    fn passes(filter: &Filter, record: &Record) -> bool {
        match filter {
            Filter::All => true,
            Filter::And(parts) => parts.iter().all(|f| passes(f, record)),
            Filter::Or(parts) => parts.iter().any(|f| passes(f, record)),
            Filter::Not(part) => !passes(part, record),
            Filter::Ids(ids) => ids.contains(&record.id()),
            Filter::Numbers(n) => record.epoch == n.epoch && (n.first..=n.last).contains(&record.seq),
            Filter::Streams(_) => unreachable!("these tests have none"),
            Filter::Field(name, test) => test.matches(record.get(name)),
        }
    }
    for sealed in [false, true] {
        if sealed {
            engine.seal().unwrap();
        }
        for filter in &filters {
            let expected: usize = all.iter().filter(|record| passes(filter, record)).count();
            let search = Search { filter: filter.clone(), limit: usize::MAX, ..Search::default() };
            assert_eq!(engine.count(&search).unwrap(), expected as u64, "{filter:?}");
            let found = engine.search(&search).unwrap();
            assert_eq!(found.len(), expected);
            assert!(found.is_sorted_by_key(|record| std::cmp::Reverse((record.time, record.seq))));
            let few = engine.search(&Search { limit: 3, offset: 2, ..search }).unwrap();
            assert_eq!(few, found.iter().skip(2).take(3).cloned().collect::<Vec<_>>());
        }
        let some = Search {
            services: vec!["db".into()],
            from: Some(all[0].time.min(all[5].time)),
            limit: 1000,
            ..Search::default()
        };
        let expected = all.iter().filter(|r| r.get("service_name") == "db" && r.time >= some.from.unwrap()).count();
        assert_eq!(engine.search(&some).unwrap().len(), expected);
    }
    assert_eq!(engine.services(), ["cron-7", "db", "web"]);
}

#[test]
fn an_effect_knows_where_its_rows_are() {
    let env = SimEnv::new(31);
    let engine = open(&env);
    let mark = |n: u64| Effect { key: format!("mark-{n}").into(), value: Some(vec![n as u8]), expires: None };
    let ids = |engine: &Engine, n: u64| {
        let value = engine.effect(format!("mark-{n}").as_bytes()).unwrap();
        let (value, place) = Place::split(&value).unwrap();
        assert_eq!(value, [n as u8]);
        let at = |row: u64| 1_780_000_000_000_000_000 + row as i64 * 1_000_000_000;
        [0, 1].map(|row| RecordId::new(at(10 * n + row), place.epoch, place.first_seq + row))
    };
    // Small ones that wait together become one frame.
    std::thread::scope(|scope| {
        for n in 0..8 {
            let engine = &engine;
            scope.spawn(move || {
                let append = Append { effects: vec![mark(n)], ..rows(10 * n, 10 * n + 2) };
                let appended = engine.append_placed(append).unwrap();
                let of =
                    |row: u64| RecordId::new(appended.times[row as usize], appended.epoch, appended.first_seq + row);
                assert_eq!([of(0), of(1)], ids(engine, n));
            });
        }
    });
    let found: Vec<_> = (0..8).map(|n| ids(&engine, n)).collect();
    assert_eq!((engine.count_effects(b"mark-"), engine.count_effects(b"n")), (8, 0));
    drop(engine);
    env.kill();
    let engine = open(&env);
    for (n, found) in found.into_iter().enumerate() {
        assert_eq!(ids(&engine, n as u64), found);
        assert!(found.iter().all(|id| engine.get(*id).unwrap().is_some()));
    }
    let large = Effect { value: Some(vec![0; crate::limits::EFFECT_BYTES_MAX]), ..mark(9) };
    assert!(engine.append_placed(Append { effects: vec![large], ..rows(0, 1) }).is_err());
}

#[test]
fn rows_are_counted_by_their_arrival() {
    let env = SimEnv::new(32);
    let engine = open(&env);
    engine.append(rows(0, 30)).unwrap();
    engine.seal().unwrap();
    env.advance(std::time::Duration::from_secs(60));
    let later = env.process().now();
    engine.append(rows(30, 60)).unwrap();
    let counts =
        |engine: &Engine| [0, later, later + 60_000_000_000].map(|since| engine.arrived_since("web", since).unwrap());
    assert_eq!(counts(&engine), [20, 10, 0]);
    engine.seal().unwrap();
    engine.compact().unwrap();
    assert_eq!(counts(&engine), [20, 10, 0]);
    assert_eq!(engine.arrived_since("nobody", 0).unwrap(), 0);
}

#[test]
fn effects_are_there_after_crash_seal_and_close() {
    let env = SimEnv::new(3);
    let effect =
        |key: &str, value: Option<&str>| Effect { key: key.into(), value: value.map(Into::into), expires: None };
    let engine = open(&env);
    engine.append(Append { effects: vec![effect("a", Some("1")), effect("b", Some("2"))], ..rows(0, 5) }).unwrap();
    engine
        .append(Append { batch: None, effects: vec![effect("a", None), effect("c", Some("3"))], ack: Ack::Wal })
        .unwrap();
    let check = |engine: &Engine| {
        let value = |key: &str| engine.effect(key.as_bytes()).map(|v| String::from_utf8(v).unwrap());
        assert_eq!([value("a"), value("b"), value("c")], [None, Some("2".into()), Some("3".into())]);
    };
    check(&engine);
    drop(engine);
    env.power_cut();
    env.power_on();
    let engine = open(&env);
    check(&engine);
    engine.seal().unwrap();
    check(&engine);
    drop(engine);
    let engine = open(&env);
    check(&engine);
    engine.close().unwrap();
    drop(engine);
    check(&open(&env));
}

#[test]
fn a_lost_catalog_is_rebuilt_from_segments_and_log() {
    let env = SimEnv::new(4);
    let engine = open(&env);
    engine.append(rows(0, 300)).unwrap();
    engine.seal().unwrap();
    engine.append(rows(300, 400)).unwrap();
    engine.seal().unwrap();
    engine.compact().unwrap();
    engine.append(rows(400, 450)).unwrap();
    let lines = |engine: &Engine| -> Vec<String> {
        let mut all = Vec::new();
        engine.for_each(|record| all.push(record.to_json(|_| true))).unwrap();
        all.sort();
        all
    };
    let before = lines(&engine);
    drop(engine);
    for at in 0..64 {
        env.flip_bit(Path::new("/data/catalog.redb"), at * 7, 3).unwrap();
    }
    let engine = open(&env);
    assert!(engine.troubles()[0].contains("catalog"), "{:?}", engine.troubles());
    assert_eq!(lines(&engine), before);
}

#[test]
fn a_damaged_row_of_the_catalog_costs_no_segment() {
    let env = SimEnv::new(5);
    let engine = open(&env);
    engine.append(rows(0, 300)).unwrap();
    engine.seal().unwrap();
    engine.append(rows(300, 400)).unwrap();
    engine.seal().unwrap();
    engine.append(rows(400, 420)).unwrap();
    let before = shown(&engine);
    drop(engine);
    {
        let machine: Arc<dyn Env> = Arc::new(env.process());
        let catalog = Catalog::open(machine, Path::new("/data/catalog.redb")).unwrap().catalog;
        let mut change = Change::new();
        change.put(crate::catalog::Table::Segments, &SegmentRecord::key(1), &"no segment").unwrap();
        catalog.commit(&change).unwrap();
    }
    let engine = open(&env);
    assert!(engine.troubles().iter().any(|trouble| trouble.contains("segments")), "{:?}", engine.troubles());
    assert_eq!(shown(&engine), before);
    engine.append(rows(420, 430)).unwrap();
    engine.seal().unwrap();
    let after = shown(&engine);
    drop(engine);
    let engine = open(&env);
    assert_eq!(shown(&engine), after);
    assert_eq!(engine.troubles(), Vec::<String>::new());
}

#[test]
fn an_engine_whose_log_failed_says_so_until_it_is_opened_again() {
    let env = SimEnv::new(7);
    let engine = open(&env);
    engine.append(rows(0, 50)).unwrap();
    assert_eq!(engine.failure(), None);
    let before = shown(&engine);
    env.fail(Fault::nth(1).of(IoKind::Sync).under("/data/wal"));
    let refused = engine.append(rows(50, 60)).unwrap_err();
    assert_eq!((refused.kind(), engine.failure()), (ErrorKind::Poisoned, Some(refused.to_string().as_str())));
    // The disk is well again, the log is not.
    assert_eq!(engine.append(rows(60, 70)).unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(shown(&engine), before);
    drop(engine);
    let engine = open(&env);
    assert_eq!(engine.failure(), None);
    engine.append(rows(70, 80)).unwrap();
}

#[test]
fn a_frame_that_cannot_be_read_is_set_aside_and_named() {
    let env = SimEnv::new(6);
    let engine = open(&env);
    engine.append(rows(0, 50)).unwrap();
    let before = shown(&engine);
    drop(engine);
    {
        let machine: Arc<dyn Env> = Arc::new(env.process());
        let wal_options = wal::Options { file_bytes: 256 << 10, ..wal::Options::new("/data/wal", "/data/quarantine") };
        let mut replayed = wal::replay(&machine, Path::new("/data/wal"), 0, &mut |_| Ok(())).unwrap();
        wal::rewrite_tail(&machine, &wal_options, &mut replayed).unwrap();
        let files = wal::Files::open(machine, wal_options, &replayed).unwrap();
        let first_seq = replayed.next_seq;
        let mut writer = wal::Writer::create(files, wal::Start::from(&replayed)).unwrap();
        writer
            .append(&[wal::Frame { first_seq, rows: 7, arrival: 1, parts: &[b"\x01\xFFnot a batch"] }], true)
            .unwrap();
        writer.close().unwrap();
    }
    for _ in 0..2 {
        let engine = open(&env);
        assert!(engine.troubles()[0].contains("records 50 to 56"), "{:?}", engine.troubles());
        assert_eq!(shown(&engine), before);
    }
    assert!(env.files().iter().any(|(path, _)| path.ends_with("quarantine/frame-0000000000000032.bin")));
    let engine = open(&env);
    let appended = engine.append(rows(50, 60)).unwrap();
    assert!(appended.first_seq >= 57);
    engine.seal().unwrap();
    assert_eq!(shown(&engine).len(), 60);
}

#[test]
fn rows_are_found_by_their_numbers_and_spread_over_hours_hot_sealed_and_merged() {
    let env = SimEnv::new(9);
    let engine = open(&env);
    engine.append(rows(0, 4_000)).unwrap();
    engine.append(rows(4_000, 9_000)).unwrap();
    let epoch = engine.epoch();
    let compare = || {
        let mut all = Vec::new();
        engine.for_each(|record| all.push(record)).unwrap();
        all.sort_by_key(|record| record.seq);
        for (first, last) in [(0, u64::MAX), (1, 1), (17, 4_100), (4_001, 4_000), (8_990, 20_000), (20_000, 30_000)] {
            let numbers = Numbers { epoch, first, last };
            let filter = Filter::And(vec![Filter::Numbers(numbers), Filter::Field("service_name".into(), Test::Any)]);
            let search = Search { filter, limit: usize::MAX, order: Order::Oldest, ..Search::default() };
            let expected: Vec<&Record> = all.iter().filter(|row| (first..=last).contains(&row.seq)).collect();
            let found = engine.search_streamed(&search, &Control::default()).unwrap();
            assert!(found.iter().map(|found| &found.record).eq(expected.iter().copied()), "{first} {last}");
            let stream = |record: &Record| format!("{{service_name=\"{}\"}}", record.get("service_name"));
            assert!(found.iter().all(|found| found.stream == stream(&found.record)), "{found:?}");
            assert_eq!(engine.count(&search).unwrap(), expected.len() as u64);
            let not = Filter::Not(Box::new(Filter::Numbers(numbers)));
            let others = Search { filter: not, ..Search::default() };
            assert_eq!(engine.count(&others).unwrap(), (all.len() - expected.len()) as u64);
            let mut sums: BTreeMap<(String, i64), u64> = BTreeMap::new();
            for piece in engine.spread(&search, &Control::default()).unwrap() {
                assert!(piece.numbers.epoch == epoch && piece.numbers.first >= first && piece.numbers.last <= last);
                *sums.entry((piece.service, piece.hour)).or_default() += piece.rows;
            }
            let mut wanted: BTreeMap<(String, i64), u64> = BTreeMap::new();
            for row in &expected {
                let hour = row.time.div_euclid(3_600_000_000_000);
                *wanted.entry((row.get("service_name").to_owned(), hour)).or_default() += 1;
            }
            assert_eq!(sums, wanted);
        }
        let other = Filter::Numbers(Numbers { epoch: epoch ^ 1, first: 0, last: u64::MAX });
        assert_eq!(engine.count(&Search { filter: other, ..Search::default() }).unwrap(), 0);
    };
    compare();
    engine.seal().unwrap();
    compare();
    engine.append(rows(9_000, 9_100)).unwrap();
    compare();
    engine.seal().unwrap();
    engine.compact().unwrap();
    compare();
}
