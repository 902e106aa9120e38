//! Exports of an engine to a bucket in memory that fails when it is told to.
use super::*;
use crate::ingest::lines::{FieldNames, read_line};
use crate::ingest::{Arrival, Open};
use crate::transfer::flat;
use crate::transfer::item::{self, Item};
use crate::transfer::parquet::ParquetReader;
use crate::transfer::part::PartRows;
use crate::transfer::spool::{self, Spool};
use logyard_storage::archive::sim::{BucketFaults, SimBucket};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Options};
use logyard_storage::env::RealEnv;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const AT: i64 = 1_780_000_000_000_000_000;

struct Machine {
    engine: Arc<Engine>,
    bucket: SimBucket,
    data: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let options = Options { background: false, ..Options::new(data.path().join("data")) };
        let engine = Engine::open(Arc::new(RealEnv::new()), options).unwrap();
        Self { engine, bucket: SimBucket::new(), data }
    }

    /// Appends JSON lines, each so many seconds behind [`AT`].
    fn append(&self, lines: &[(i64, &str)], streams: &[&str]) {
        let mut rows = BatchBuilder::with_stream_fields(streams);
        for (seconds, line) in lines {
            let time = layout::rfc3339(AT + seconds * 1_000_000_000);
            let line = line.replacen('{', &format!("{{\"_time\":\"{time}\","), 1).replace(",}", "}");
            let arrival = Arrival::new(AT * 2, Duration::ZERO);
            read_line(line.as_bytes(), 1, &FieldNames::new("", ""), arrival, &mut rows, &mut Open).unwrap();
        }
        self.engine.append(Append::new(rows.finish().unwrap(), Ack::Memory)).unwrap();
    }

    fn export(&self, wanted: &Wanted) -> Result<Found> {
        let export =
            Export { engine: &self.engine, bucket: &self.bucket, spool: self.data.path(), cancel: Cancel::default() };
        export.run(wanted, &mut |_, _| Ok(()))
    }

    /// The rows of all parts that count.
    fn exported(&self) -> Vec<Streamed> {
        let mut rows = Vec::new();
        let names = self.bucket.names();
        let split = |name: &String| {
            let (folder, file) = name.rsplit_once('/').unwrap();
            Some((folder.to_owned(), Part::parse(file)?))
        };
        let parts: Vec<(String, Part)> = names.iter().filter_map(split).collect();
        for (folder, part) in &parts {
            let beside: Vec<Part> =
                parts.iter().filter(|(other, _)| other == folder).map(|(_, part)| part.clone()).collect();
            if !part.is_covered(&beside) {
                let file =
                    Spool::fetched(self.data.path(), &self.bucket, &format!("{folder}/{}", part.name()), &part.digest)
                        .unwrap();
                let read = PartRows::new(ParquetReader::of_file(file).unwrap()).unwrap();
                let read: Vec<Streamed> = read.map(|row| row.unwrap()).collect();
                assert!(read.is_sorted_by_key(|row| (row.record.time, row.record.seq)));
                rows.extend(read);
            }
        }
        rows.sort_by_key(|row| row.record.seq);
        rows
    }

    fn stored(&self) -> Vec<Streamed> {
        let search = Search { limit: usize::MAX, order: Order::Oldest, ..Search::default() };
        let mut rows = self.engine.search_streamed(&search, &Control::default()).unwrap();
        rows.sort_by_key(|row| row.record.seq);
        rows
    }

    /// What is exported is what is there, each row once.
    fn compare(&self) {
        let (stored, exported) = (self.stored(), self.exported());
        assert_eq!(exported.len(), stored.len());
        for (one, other) in exported.iter().zip(&stored) {
            assert!(flat::are_same(&one.record.fields, &other.record.fields), "{one:?} {other:?}");
            assert_eq!((one.record.id(), one.record.arrival), (other.record.id(), other.record.arrival));
            assert_eq!((one.record.time, &one.stream), (other.record.time, &other.stream));
        }
    }
}

fn all(form: Form) -> Wanted {
    Wanted { form, services: Vec::new(), since: None, before: AT + 100 * HOUR, repack: false }
}

const LINES: [(i64, &str); 8] = [
    (0, r#"{"service_name":"a","level":"INFO","_msg":"m","n":1,"d":1.5,"b":true,"s":"x","deep":{"a":{"b":2}}}"#),
    (1, r#"{"service_name":"a","n":-7,"d":1.50,"s":"","mixed":"1","deep":{"a":{"b":3}},"deep.a.b":4}"#),
    (2, r#"{"service_name":"b/c","n":null,"d":1e3,"list":[1, 2],"empty":{},"level":30,"message":"m"}"#),
    (3_600, r#"{"service_name":"a","d":12345678901234567890123,"_time":"now","n":1,"n":2,"id":"x","metadata":{}}"#),
    (90_000, r#"{"_msg":{"a":1},"r2_key":"k","timestamp":5}"#),
    (-90_000, r#"{"service_name":"a","level":"","metadata":{"a":[{"b":1}]},"source_type":"http","_fields":"z"}"#),
    (-5, r#"{"service_name":"a","_msg":"two\nlines\u0000","level":"ERROR","_id_sent":"old"}"#),
    (7, r#"{"service_name":"a",}"#),
];

#[test]
fn what_is_exported_is_what_is_there_hot_and_sealed() {
    let machine = Machine::new();
    machine.append(&LINES, &["service_name"]);
    machine.append(&[(9, r#"{"service_name":"a","pod":"p"}"#), (10, r#"{"service_name":"a"}"#)], &["pod"]);
    let found = machine.export(&all(Form::Parquet)).unwrap();
    assert_eq!((found.rows, found.existed), (10, 0));
    machine.compare();
    let names = machine.bucket.names();
    assert!(names.iter().any(|name| name.contains("/service=b%2Fc/part-")), "{names:?}");
    assert!(names.iter().any(|name| name.contains("/service=__HIVE_DEFAULT_PARTITION__/part-")), "{names:?}");
    machine.engine.seal().unwrap();
    machine.append(&LINES, &["service_name"]);
    machine.export(&all(Form::Parquet)).unwrap();
    machine.compare();
}

#[test]
fn a_range_is_exported_once_and_late_records_are_merged() {
    let machine = Machine::new();
    machine.append(&LINES, &["service_name"]);
    let first = machine.export(&all(Form::Parquet)).unwrap();
    let names = machine.bucket.names();
    let again = machine.export(&all(Form::Parquet)).unwrap();
    assert_eq!((again.parts, again.rows, again.existed), (0, 0, first.parts));
    assert_eq!(machine.bucket.names(), names);
    machine.engine.seal().unwrap();
    assert_eq!(machine.export(&all(Form::Parquet)).unwrap().parts, 0, "sealing changes nothing");
    // Late ones, twice.
    for line in [r#"{"service_name":"a","late":1}"#, r#"{"service_name":"a","late":"x"}"#] {
        machine.append(&[(-3, line)], &["service_name"]);
        let late = machine.export(&all(Form::Parquet)).unwrap();
        assert_eq!((late.parts, late.rows), (1, 1));
        machine.compare();
    }
    let repack = Wanted { repack: true, ..all(Form::Parquet) };
    let merged = machine.export(&repack).unwrap();
    assert_eq!((merged.parts, merged.removed), (1, 3));
    machine.compare();
    assert_eq!(machine.export(&repack).unwrap().parts, 0);
    // A part that somebody took away is made again.
    let gone = machine.bucket.names().into_iter().next().unwrap();
    machine.bucket.remove(&gone).unwrap();
    assert_eq!(machine.export(&all(Form::Parquet)).unwrap().parts, 1);
    machine.compare();
    // Only what is asked for.
    let other = Machine::new();
    other.append(&LINES, &["service_name"]);
    let some = Wanted { services: vec!["b/c".into()], since: Some(AT), before: AT + 1, ..all(Form::Parquet) };
    assert_eq!(other.export(&some).unwrap().rows, 1, "the whole hour of one service");
}

#[test]
fn an_export_cut_short_at_any_call_leaves_each_row_once() {
    let mut at = 0;
    loop {
        let machine = Machine::new();
        machine.append(&LINES, &["service_name"]);
        machine.export(&all(Form::Parquet)).unwrap();
        machine.append(&LINES, &["service_name"]);
        let repack = Wanted { repack: true, ..all(Form::Parquet) };
        machine.bucket.fail(BucketFaults { lost_after: Some(at), ..BucketFaults::default() });
        let cut = machine.export(&repack);
        let calls = machine.bucket.calls();
        machine.bucket.fail(BucketFaults::default());
        assert!(cut.is_ok() || cut.unwrap_err().kind() == ErrorKind::Unavailable);
        machine.export(&repack).unwrap();
        machine.compare();
        let folders: BTreeSet<String> =
            machine.bucket.names().iter().map(|name| name.rsplit_once('/').unwrap().0.to_owned()).collect();
        assert_eq!(folders.len(), machine.bucket.names().len(), "one part a folder");
        if calls < at {
            break;
        }
        at += 1;
    }
    assert!(at > 20, "{at}");
}

#[test]
fn a_log_by_itself_comes_back_as_it_was() {
    let machine = Machine::new();
    machine.append(&LINES, &["service_name"]);
    machine.append(&[(9, r#"{"service_name":"a","pod":"p"}"#), (10, r#"{"service_name":"a"}"#)], &["pod"]);
    let found = machine.export(&all(Form::Ndjson)).unwrap();
    assert_eq!((found.parts, found.existed), (10, 0));
    let again = machine.export(&all(Form::Ndjson)).unwrap();
    assert_eq!((again.parts, again.existed), (0, 10));
    for row in machine.stored() {
        let (record, service) = (&row.record, row.record.get("service_name"));
        let name = layout::log_object(service, record.time, &record.id().to_string());
        let (packed, _) = machine.bucket.small(&name, u64::MAX).unwrap().unwrap_or_else(|| panic!("no {name}"));
        let back = ndjson::read(&spool::unpacked(&packed)).unwrap();
        assert!(flat::are_same(&back.fields, &record.fields), "{back:?} {record:?}");
        assert_eq!((back.time, back.id), (record.time, record.id().to_string()));
        assert_eq!(item::stream_fields(&back.stream, service), item::stream_fields(&row.stream, service));
    }
    let plain = r#"{"id":"u","service_name":"a","level":"INFO","message":"m","timestamp":1763690000123,"metadata":{},"source_type":"http","r2_key":null}"#;
    let read = ndjson::read(plain).unwrap();
    assert_eq!(flat::to_json(read.fields), r#"{"service_name":"a","level":"INFO","_msg":"m","source_type":"http"}"#);
    let item = Item { time: read.time, service: "a".into(), stream: Vec::new(), id: None, fields: Vec::new() };
    assert_eq!(item.line(), r#"{"_time":"2025-11-21T01:53:20.123000000Z"}"#);
}

#[test]
fn what_no_part_covers_is_missing() {
    let part = |first, last| Part { epoch: 1, first, last, digest: "a".into() };
    let piece = |epoch, first, last, rows| Spread {
        service: "a".into(),
        hour: 0,
        rows,
        numbers: Numbers { epoch, first, last },
    };
    let found = |parts: &[Part], pieces: &[Spread]| {
        let all = missing(parts, pieces);
        all.into_iter().map(|numbers| (numbers.epoch, numbers.first, numbers.last)).collect::<Vec<_>>()
    };
    assert_eq!(found(&[], &[piece(1, 5, 9, 2), piece(2, 1, 1, 1)]), [(1, 0, 9), (2, 0, 1)]);
    assert_eq!(found(&[part(0, 9)], &[piece(1, 5, 9, 2)]), []);
    assert_eq!(found(&[part(0, 9)], &[piece(1, 5, 19, 2)]), [(1, 10, 19)]);
    assert_eq!(found(&[part(0, 9), part(20, 29)], &[piece(1, 5, 40, 2)]), [(1, 10, 19), (1, 30, 40)]);
    assert_eq!(found(&[part(0, 9), part(5, 29)], &[piece(1, 5, 29, 2)]), []);
    let many = PART_ROWS_MAX / 2 + 1;
    let cut = found(&[], &[piece(1, 10, 19, many), piece(1, 20, 29, many), piece(1, 30, 39, many)]);
    assert_eq!(cut, [(1, 0, 19), (1, 20, 29), (1, 30, 39)]);
}
