//! Batches hold what was put into them.
use super::*;
use crate::hot::{Counted, HotBatch, Known};
use crate::record::{Record, ValueKind};
use crate::scan::{HotPart, Part, RowSet, materialise};
use crate::segment::Counters;
use crate::text::table::ShapeInterner;

/// The rows of a batch, by way of hot data.
pub(crate) fn records(mut batch: Batch) -> Vec<Record> {
    let mut shapes = ShapeInterner::default();
    let (mut shape_map, mut slots) = (vec![0], vec![1]);
    for key in batch.shape_keys() {
        let number = shapes.intern(key.unwrap()).unwrap();
        shape_map.push(number);
        slots.push(shapes.slots_of(number));
    }
    batch.drop_shapes();
    let counted = Counted::of(&batch);
    let hot = HotBatch::new((batch, counted), (10, 1), 99, shape_map, slots);
    let table = shapes.snapshot();
    let counters = Counters::default();
    let part =
        Part::Hot(HotPart { batch: &hot, shapes: &table, known: &Known::default(), epoch: 1, counters: &counters });
    materialise(&part, &RowSet::all(part.rows())).unwrap()
}

fn fill(builder: &mut BatchBuilder) {
    builder.begin_row();
    builder.time(5);
    builder.string("service_name", "web");
    builder.string("_msg", "took 15 ms for 10.0.0.1");
    builder.enter("metadata");
    builder.string("trace_id", "00112233445566778899aabbccddeeff");
    builder.number("n", "1.50");
    builder.int("status", 200);
    builder.json("list", "[1,2]");
    builder.leave();
    builder.bool("ok", true);
    builder.null("none");
    builder.commit_row();
    builder.begin_row();
    builder.string("service_name", "gone");
    builder.abort_row();
    builder.begin_row();
    builder.string("service_name", "db");
    builder.string("_msg", "took 7 ms for 10.0.0.2");
    builder.string("_msg", "again");
    builder.string("extra", "only here");
    builder.commit_row();
}

fn shown(record: &Record) -> String {
    record.to_json(|_| true)
}

#[test]
fn names_that_are_the_same_once_they_are_cut_have_a_value_each() {
    let long = "n".repeat(crate::limits::FIELD_NAME_BYTES_MAX);
    let mut builder = BatchBuilder::new();
    for _ in 0..2 {
        builder.begin_row();
        for (end, value) in [("a", "1"), ("b", "2"), ("a", "3"), ("", "4")] {
            builder.string(&format!("{long}{end}"), value);
        }
        builder.commit_row();
    }
    let found = records(builder.finish().unwrap());
    let paths: std::collections::BTreeSet<&FieldPath> = found[0].fields.iter().map(|(path, _)| path).collect();
    assert_eq!(paths.len(), 4);
    let expected = format!(r#"{{"{long}":"1","{long}":"2","{long}":"3","{long}":"4"}}"#);
    assert!(found.iter().all(|record| shown(record) == expected));
    // What is left before a character of four bytes may be a whole name, too.
    let left = &long[3..];
    builder.begin_row();
    builder.string(left, "1");
    builder.string(&format!("{left}\u{1f600}"), "2");
    builder.commit_row();
    let found = records(builder.finish().unwrap());
    let [(first, _), (second, _)] = found[0].fields.as_slice() else { panic!("{found:?}") };
    assert_eq!(first.name, second.name);
    assert_ne!(first, second);
}

#[test]
fn what_is_nested_beneath_a_very_long_name_is_read_again() {
    // Such a place, as a short number, is a place within what is left of the name.
    let long = "n".repeat(usize::from(u16::MAX) + 1 + 100);
    let mut builder = BatchBuilder::new();
    builder.begin_row();
    builder.enter(&long);
    builder.string("inner", "x");
    builder.leave();
    builder.commit_row();
    let batch = builder.finish().unwrap();
    assert_eq!(shown(&records(batch)[0]), format!(r#"{{"{}":"x"}}"#, &long[..crate::limits::FIELD_NAME_BYTES_MAX]));
}

#[test]
fn rows_come_back_as_they_were_sent() {
    let mut builder = BatchBuilder::new();
    for _ in 0..3 {
        fill(&mut builder);
        let batch = builder.finish().unwrap();
        assert_eq!(
            batch.streams().iter().map(|s| &*s.tags).collect::<Vec<_>>(),
            [r#"{service_name="web"}"#, r#"{service_name="db"}"#]
        );
        let rows = records(batch);
        assert_eq!(rows.iter().map(|r| (r.seq, r.time)).collect::<Vec<_>>(), [(10, 5), (11, 99)]);
        assert_eq!(
            shown(&rows[0]),
            r#"{"service_name":"web","_msg":"took 15 ms for 10.0.0.1","metadata":{"trace_id":"00112233445566778899aabbccddeeff","n":1.50,"status":200,"list":[1,2]},"ok":true,"none":null}"#
        );
        assert_eq!(
            shown(&rows[1]),
            r#"{"service_name":"db","_msg":"took 7 ms for 10.0.0.2","_msg":"again","extra":"only here"}"#
        );
        assert_eq!(rows[1].get("_msg"), "again");
    }
}

#[test]
fn absorbed_rows_stay_the_same() {
    let mut builder = BatchBuilder::new();
    fill(&mut builder);
    let small = builder.finish().unwrap();
    let mut merged = BatchBuilder::new();
    merged.absorb(&small).unwrap();
    merged.absorb(&small).unwrap();
    let merged = merged.finish().unwrap();
    assert_eq!(merged.streams().len(), 2);
    let (one, two) = (records(small), records(merged));
    let expected: Vec<String> = one.iter().chain(&one).map(shown).collect();
    assert_eq!(two.iter().map(shown).collect::<Vec<_>>(), expected);
}

#[test]
fn every_cut_and_every_flipped_byte_is_refused_or_harmless() {
    let mut builder = BatchBuilder::new();
    fill(&mut builder);
    let batch = builder.finish().unwrap();
    for end in 0..batch.columns().len() {
        assert!(Batch::parse(&batch.columns()[..end], batch.shapes()).is_err());
    }
    for at in 0..batch.columns().len() {
        let mut bad = batch.columns().to_vec();
        bad[at] ^= 0x55;
        if let Ok(bad) = Batch::parse(bad, batch.shapes()) {
            records(bad);
        }
    }
    for at in 0..batch.shapes().len() {
        let mut bad = batch.shapes().to_vec();
        bad[at] ^= 0x55;
        if let Ok(bad) = Batch::parse(batch.columns(), bad) {
            records(bad);
        }
    }
}

#[test]
fn a_stream_of_ever_new_texts_is_kept_whole() {
    let mut builder = BatchBuilder::new();
    let mut whole = 0;
    for round in 0..20u32 {
        for i in 0..1_000u32 {
            builder.begin_row();
            builder.string("service_name", if i % 2 == 0 { "chatty" } else { "calm" });
            let letters: String =
                (0..8).map(|k| char::from(b'a' + ((round * 1_000 + i) >> (k * 3) & 7) as u8)).collect();
            builder.string("_msg", &if i % 2 == 0 { format!("x {letters}") } else { format!("took {i} ms") });
            builder.commit_row();
        }
        let batch = builder.finish().unwrap();
        let message = batch.lanes().find(|lane| &*batch.fields()[lane.field].name == "_msg").unwrap();
        assert_eq!(message.kind.value_kind(), ValueKind::String);
        whole = message.shapes().filter(|shape| *shape == 0).count();
    }
    assert!(whole > 400 && whole <= 500, "{whole}");
}

/// A batch of rows that all have a null in each of so many lanes, which take no bytes for it.
fn nulls(rows: usize, lanes: usize) -> Vec<u8> {
    use crate::codec::{put_bytes, put_varint};
    let mut out = vec![1];
    put_varint(&mut out, rows as u64);
    put_varint(&mut out, 1);
    put_bytes(&mut out, b"web");
    put_bytes(&mut out, b"{}");
    // Stream of each row, times, fields, shapes, lanes.
    out.extend([0, 0]);
    put_varint(&mut out, lanes as u64);
    for field in 0..lanes {
        put_bytes(&mut out, format!("f{field}").as_bytes());
        out.extend([0, 0]);
    }
    out.push(0);
    put_varint(&mut out, lanes as u64);
    for field in 0..lanes {
        put_varint(&mut out, field as u64);
        out.extend(LaneKind::Null.code());
        out.push(0);
        put_varint(&mut out, rows as u64);
    }
    out
}

#[test]
fn a_batch_with_more_values_than_rows_can_have_is_refused() {
    use crate::limits::{BATCH_LANES_MAX, BATCH_ROWS_MAX, RECORD_FIELDS_MAX};
    let most = Batch::parse(nulls(BATCH_ROWS_MAX, RECORD_FIELDS_MAX), Vec::new()).unwrap();
    assert_eq!(most.lanes().map(|lane| lane.count).sum::<usize>(), BATCH_ROWS_MAX * RECORD_FIELDS_MAX);
    for lanes in [RECORD_FIELDS_MAX + 1, BATCH_LANES_MAX] {
        let refused = Batch::parse(nulls(BATCH_ROWS_MAX, lanes), Vec::new()).unwrap_err();
        assert_eq!(refused.kind(), crate::error::ErrorKind::Corrupt, "{lanes}");
    }
}

#[test]
fn names_of_rows_that_were_not_committed_fill_no_batch() {
    let mut rows = BatchBuilder::new();
    for round in 0..3 {
        rows.begin_row();
        for name in 0..100_000 {
            rows.string(&format!("{round}-{name}"), "v");
        }
        assert!(!rows.is_full());
        rows.begin_row();
        rows.string("_msg", "text");
        rows.commit_row();
        assert_eq!(rows.finish().unwrap().rows(), 1);
    }
}
