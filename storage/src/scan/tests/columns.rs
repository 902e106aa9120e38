//! Columns against the records of the same rows.
use super::of_field;
use crate::batch::BatchBuilder;
use crate::engine::{Ack, Append, Control, Engine, Options, Search};
use crate::env::sim::SimEnv;
use crate::record::{Record, ValueKind};
use crate::scan::columns::{Lane, Values, View};
use crate::scan::filter::{Filter, Test};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn append(engine: &Engine, from: usize, rows: usize) {
    let mut builder = BatchBuilder::new();
    for i in from..from + rows {
        let mixed = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        builder.begin_row();
        builder.time(1_780_000_000_000_000_000 + (mixed >> 30) as i64);
        builder.string("service_name", ["web", "db"][i % 2]);
        builder.string("_msg", &format!("request {i} took {} ms{}", mixed % 900, [" in all", ""][i % 3 / 2]));
        builder.string("level", ["INFO", "WARN", "ERROR"][i % 3]);
        builder.string("trace", &format!("{mixed:016x}{i:016x}"));
        builder.string("TRACE", &format!("{mixed:016X}ABCDEF00{i:08X}"));
        builder.string("job", &format!("job {:05}", mixed % 100_000));
        builder.string("pod", &format!("web-{:x}-{:04x}", i % 7 * 7_919, i % 30 * 2_111));
        builder.string("when", &format!("2026-06-01T12:{:02}:{:02}.{:03}Z", i / 60 % 60, i % 60, mixed % 1_000));
        builder.int("status", [200, 404, 500][i % 3]);
        builder.int("rising", i as i64 * 7);
        if i % 4 == 0 {
            builder.bool("ok", i % 8 == 0);
            builder.number("ratio", &format!("{}.50", i % 9));
            builder.string("mixed", "text");
        } else if i % 4 == 1 {
            builder.null("ok");
            builder.int("mixed", i as i64);
            builder.json("list", &format!("[{i},null]"));
            builder.string("long", &format!("{} {i}", "1 ".repeat(70)));
        }
        builder.commit_row();
    }
    engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
}

fn fill(engine: &Engine) {
    append(engine, 0, 700);
    engine.seal().unwrap();
    append(engine, 700, 300);
    engine.seal().unwrap();
    append(engine, 1_000, 200);
}

/// The texts of a lane's values, by their rows, as its column has them and as it renders them.
fn texts(view: &View<'_>, lane: Lane<'_>) -> BTreeMap<usize, String> {
    let column = view.column(lane).unwrap();
    let mut rendered = Vec::new();
    view.texts(lane, None, &mut |value, text| {
        assert_eq!(value, rendered.len());
        rendered.push(text.to_string());
    })
    .unwrap();
    assert_eq!(column.values.len(), rendered.len());
    assert_eq!(column.rows.as_ref().map_or(view.len(), Vec::len), rendered.len());
    let own: Vec<String> = match &column.values {
        Values::Null(n) => vec![String::new(); *n],
        Values::Ints(values) => values.iter().map(i64::to_string).collect(),
        Values::Bools(values) => values.iter().map(bool::to_string).collect(),
        Values::Bytes { width, bytes } => {
            let text = |bytes: &[u8]| {
                let mut text = Vec::new();
                lane.push_bytes(bytes, &mut text);
                String::from_utf8(text).unwrap()
            };
            bytes.chunks(*width).map(text).collect()
        }
        Values::Shapes(shapes) => {
            let check = |(shape, text): (&u32, &String)| {
                if let Some(literal) = view.literal(*shape) {
                    assert_eq!(literal, text);
                }
                if let Some(shown) = view.shape(*shape) {
                    let mut rest = text.as_str();
                    for piece in shown.split("<*>").filter(|piece| !piece.is_empty()) {
                        rest = &rest[rest.find(piece).unwrap() + piece.len()..];
                    }
                }
                text.clone()
            };
            shapes.iter().zip(&rendered).map(check).collect()
        }
        Values::Listed { texts, places } => places.iter().map(|place| texts[*place as usize].clone()).collect(),
        Values::Spelled(values) => {
            let text = |value: &i64| {
                let mut text = Vec::new();
                lane.push_spelled(*value, &mut text);
                String::from_utf8(text).unwrap()
            };
            values.iter().map(text).collect()
        }
    };
    assert_eq!(own, rendered, "{:?}", lane.field());
    // One value alone.
    if let Some(last) = rendered.len().checked_sub(1) {
        let mut alone = None;
        view.texts(lane, Some(&[last]), &mut |value, text| alone = Some((value, text.to_string()))).unwrap();
        assert_eq!(alone, Some((last, rendered[last].clone())));
    }
    let rows = column
        .rows
        .map_or_else(|| (0..view.len()).collect::<Vec<_>>(), |rows| rows.iter().map(|r| *r as usize).collect());
    rows.into_iter().zip(rendered).collect()
}

fn name(values: &Values) -> &'static str {
    match values {
        Values::Null(_) => "null",
        Values::Ints(_) => "ints",
        Values::Bools(_) => "bools",
        Values::Bytes { .. } => "bytes",
        Values::Shapes(_) => "shapes",
        Values::Listed { .. } => "listed",
        Values::Spelled(_) => "spelled",
    }
}

/// The records of a view; what kinds of values it has goes into `kinds`.
fn check(view: &View<'_>, kinds: &mut BTreeSet<&'static str>) -> Vec<Record> {
    let records = view.records(None).unwrap();
    assert!(!view.is_empty() && records.len() == view.len());
    assert!(records.iter().map(Record::id).eq(view.ids().unwrap()));
    assert!(records.iter().map(|record| record.time).eq(view.times().unwrap()));
    assert!(records.iter().map(|record| record.seq).eq(view.seqs().unwrap()));
    let services: Vec<&str> = view.streams().unwrap().into_iter().map(|stream| view.service(stream)).collect();
    assert!(records.iter().map(|record| record.get("service_name")).eq(services));
    let mut rebuilt: Vec<Vec<(String, ValueKind, String)>> = vec![Vec::new(); records.len()];
    for lane in view.lanes() {
        kinds.insert(name(&view.column(lane).unwrap().values));
        let texts = texts(view, lane);
        if let Some((different, places)) = view.numbered(lane, 4_096).unwrap() {
            kinds.insert("numbered");
            assert!(places.iter().map(|place| &different[*place as usize]).eq(texts.values()));
            if let Some(fewer) = different.len().checked_sub(1) {
                assert!(view.numbered(lane, fewer).unwrap().is_none());
            }
        }
        if let Some(counts) = view.counts(lane).unwrap() {
            kinds.insert("counted");
            let mut tally: BTreeMap<String, usize> = BTreeMap::new();
            texts.values().for_each(|text| *tally.entry(text.clone()).or_default() += 1);
            assert!(tally.into_iter().eq(counts.into_iter().collect::<BTreeMap<_, _>>()));
        }
        for (row, text) in texts {
            rebuilt[row].push((lane.field().name.to_string(), lane.kind(), text));
        }
    }
    for (record, own) in records.iter().zip(&rebuilt) {
        let fields =
            record.fields.iter().map(|(field, value)| (field.name.to_string(), value.kind, value.text.clone()));
        assert_eq!(fields.collect::<Vec<_>>(), *own);
    }
    let some: Vec<usize> = (0..view.len()).step_by(3).collect();
    assert!(view.records(Some(&some)).unwrap().iter().eq(records.iter().step_by(3)));
    records
}

#[test]
fn columns_have_what_records_have() {
    for threads in [1, 3] {
        let env = SimEnv::new(6);
        let options = Options { background: false, scan_threads: Some(threads), ..Options::new("/data") };
        let engine = Engine::open(Arc::new(env.process()), options).unwrap();
        fill(&engine);
        let mut kinds = BTreeSet::new();
        let tests = [
            Search { limit: 0, ..Search::default() },
            of_field("status", Test::exact("404")),
            of_field("_msg", Test::Substring("9 ms in".into())),
            of_field("_msg", Test::phrase("request 777", false)),
            of_field("ok", Test::exact("")),
            of_field("nothing", Test::Any),
        ];
        for search in tests {
            let fold = |(found, kinds): &mut (Vec<Record>, BTreeSet<&'static str>), view: &View<'_>| {
                found.extend(check(view, kinds));
                Ok(())
            };
            let (states, stats) = engine.fold(&search, &Control::default(), Default::default, fold).unwrap();
            let (found, seen): (Vec<_>, Vec<_>) = states.into_iter().unzip();
            let mut found: Vec<Record> = found.into_iter().flatten().collect();
            kinds.extend(seen.into_iter().flatten());
            found.sort_by_key(|record| std::cmp::Reverse((record.time, record.seq)));
            let expected = engine.search(&Search { limit: usize::MAX, ..search.clone() }).unwrap();
            assert_eq!(found, expected);
            assert!(stats.blocks_read <= stats.blocks_considered);
        }
        let all = ["bools", "bytes", "counted", "ints", "listed", "null", "numbered", "shapes", "spelled"];
        assert!(kinds.into_iter().eq(all));
    }
}

#[test]
fn a_count_by_group_rebuilds_no_text() {
    let env = SimEnv::new(7);
    let engine = Engine::open(Arc::new(env.process()), Options { background: false, ..Options::new("/data") }).unwrap();
    append(&engine, 0, 1_000);
    engine.seal().unwrap();
    let search = Search { filter: Filter::Field("_msg".into(), Test::phrase("took", false)), ..Search::default() };
    let fold = |counts: &mut BTreeMap<String, u64>, view: &View<'_>| {
        for lane in view.lanes_of("level") {
            let Values::Shapes(shapes) = view.column(lane)?.values else { continue };
            for shape in shapes {
                *counts.entry(view.literal(shape).unwrap().to_string()).or_default() += 1;
            }
        }
        Ok(())
    };
    let (states, stats) = engine.fold(&search, &Control::default(), BTreeMap::new, fold).unwrap();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    states.into_iter().flatten().for_each(|(level, n)| *counts.entry(level).or_default() += n);
    let expected = [("ERROR", 333), ("INFO", 334), ("WARN", 333)].map(|(level, n)| (level.to_string(), n));
    assert!(counts.into_iter().eq(expected));
    assert_eq!((stats.texts_rebuilt, stats.value_bytes, stats.row_bytes), (0, 0, 0), "{stats:?}");
}
