//! Rows that are known by a key: what a client sends, what it expects back, and questions about them.
use crate::chance::Rng;
use logyard_storage::batch::{Batch, BatchBuilder};
use logyard_storage::engine::Search;
use logyard_storage::env::sim::fingerprint;
use logyard_storage::record::{FieldPath, Record, Value, ValueKind};
use logyard_storage::scan::filter::{Filter, Test};

/// The services that rows are of.
pub(crate) const SERVICES: [&str; 4] = ["web", "db", "cron-7", ""];
/// The event time of key 0; most keys follow a second apart.
pub(crate) const STARTED: i64 = 1_780_000_000_000_000_000;

/// One row, by its key alone: the same key has the same content.
pub(crate) fn row(key: u64) -> Record {
    let mut rng = Rng::new(key);
    let mut fields = Vec::new();
    let mut push = |name: &str, nesting: &[u16], kind: ValueKind, text: String| {
        let path = FieldPath { name: name.into(), nesting: nesting.into(), occurrence: 0 };
        fields.push((path, Value { kind, text }));
    };
    let service = *rng.pick(&SERVICES);
    if !service.is_empty() {
        push("service_name", &[], ValueKind::String, service.into());
    }
    push("level", &[], ValueKind::String, if rng.one_in(10) { "ERROR" } else { "INFO" }.into());
    push("_msg", &[], ValueKind::String, message(key, &mut rng));
    push("key", &[], ValueKind::Number, key.to_string());
    if rng.one_in(2) {
        let trace = u128::from(rng.draw()) << 64 | u128::from(rng.draw());
        push("metadata.trace_id", &[8], ValueKind::String, format!("{trace:032x}"));
        push("metadata.ratio", &[8], ValueKind::Number, format!("{}.50", rng.below(9)));
        push("metadata.ok", &[8], ValueKind::Bool, if rng.one_in(3) { "false" } else { "true" }.into());
    }
    match rng.below(8) {
        0 => push("gone", &[], ValueKind::Null, String::new()),
        1 => push("tags", &[], ValueKind::Json, format!("[{}, \"b\"]", rng.below(5))),
        2 => push("metadata.rare", &[], ValueKind::String, format!("only #{key}")),
        3 => push("status", &[], ValueKind::Number, (200 + rng.below(5)).to_string()),
        4 => push("status", &[], ValueKind::String, "none é→²".into()),
        _ => {}
    }
    Record { seq: 0, epoch: 0, time: time(key), arrival: 0, fields }
}

fn message(key: u64, rng: &mut Rng) -> String {
    match rng.below(8) {
        0 => String::new(),
        1 => format!("connection reset\n\tby peer 10.0.{}.{}: Broken pipe", rng.below(256), rng.below(256)),
        2 => format!("köln {} \"quoted\" \\ {:x}", key, rng.draw()),
        _ => format!("request {} of user u{} took {} ms", key, rng.below(17), rng.below(1000)),
    }
}

/// Most rows are of one day, some of others.
fn time(key: u64) -> i64 {
    let day = if key.is_multiple_of(23) { (key / 23 % 3) as i64 } else { 0 };
    STARTED + key as i64 * 1_000_000 - day * logyard_storage::retention::DAY_NANOS
}

/// Rows as a batch.
pub(crate) fn batch(builder: &mut BatchBuilder, rows: &[Record]) -> Batch {
    for row in rows {
        builder.begin_row();
        builder.time(row.time);
        for (path, value) in &row.fields {
            let parts: Vec<&str> = path.parts().collect();
            let (leaf, objects) = parts.split_last().unwrap();
            objects.iter().for_each(|object| builder.enter(object));
            match value.kind {
                ValueKind::String => builder.string(leaf, &value.text),
                ValueKind::Number => builder.number(leaf, &value.text),
                ValueKind::Bool => builder.bool(leaf, value.text == "true"),
                ValueKind::Null => builder.null(leaf),
                ValueKind::Json => builder.json(leaf, &value.text),
            }
            objects.iter().for_each(|_| builder.leave());
        }
        builder.commit_row();
    }
    builder.finish().unwrap()
}

/// The content of a record, whatever the order of its fields.
pub(crate) fn content(record: &Record) -> u64 {
    let mut record = record.clone();
    record.fields.sort_by(|a, b| a.0.cmp(&b.0));
    fingerprint(format!("{} {}", record.time, record.to_json(|_| true)).as_bytes())
}

/// The key of a record; none where it has lost it.
pub(crate) fn key_of(record: &Record) -> Option<u64> {
    record.get("key").parse().ok()
}

/// Whether a record passes, worked out on its texts alone.
pub(crate) fn passes(search: &Search, record: &Record) -> bool {
    let service = record.get("service_name");
    (search.services.is_empty() || search.services.iter().any(|s| s == service))
        && !search.exclude_services.iter().any(|s| s == service)
        && search.from.is_none_or(|from| record.time >= from)
        && search.until.is_none_or(|until| record.time <= until)
        && passes_filter(&search.filter, record)
}

fn passes_filter(filter: &Filter, record: &Record) -> bool {
    match filter {
        Filter::All => true,
        Filter::And(parts) => parts.iter().all(|part| passes_filter(part, record)),
        Filter::Or(parts) => parts.iter().any(|part| passes_filter(part, record)),
        Filter::Not(part) => !passes_filter(part, record),
        Filter::Ids(ids) => ids.contains(&record.id()),
        Filter::Numbers(n) => record.epoch == n.epoch && (n.first..=n.last).contains(&record.seq),
        Filter::Streams(_) => unreachable!("these tests have none"),
        Filter::Field(name, test) => test.matches(record.get(name)),
    }
}

/// A question about rows with keys below `keys`.
pub(crate) fn question(rng: &mut Rng, keys: u64) -> Search {
    let mut search = Search { filter: filter(rng, keys, 2), limit: usize::MAX, ..Search::default() };
    match rng.below(6) {
        0 => search.services = vec![(*rng.pick(&SERVICES)).into(), "no-such".into()],
        1 => search.exclude_services = vec![(*rng.pick(&SERVICES)).into()],
        2 => search.from = Some(time(rng.below(keys))),
        3 => search.until = Some(time(rng.below(keys))),
        _ => {}
    }
    if rng.one_in(3) {
        (search.limit, search.offset) = (rng.below(20) as usize, rng.below(10) as usize);
    }
    search
}

fn filter(rng: &mut Rng, keys: u64, depth: u32) -> Filter {
    if depth > 0 && rng.one_in(3) {
        let parts = (0..1 + rng.below(3)).map(|_| filter(rng, keys, depth - 1)).collect();
        return match rng.below(3) {
            0 => Filter::And(parts),
            1 => Filter::Or(parts),
            _ => Filter::Not(Box::new(filter(rng, keys, depth - 1))),
        };
    }
    let known = row(rng.below(keys));
    match rng.below(8) {
        0 => Filter::All,
        1 => Filter::Field("no.such".into(), Test::Any),
        2 => Filter::Field("metadata.rare".into(), Test::Any),
        3 => {
            let phrase: &&str = rng.pick(&["request", "RESET by", "u13", "took"]);
            Filter::Field("_msg".into(), Test::phrase(phrase, rng.one_in(2)))
        }
        _ => {
            let (path, value) = rng.pick(&known.fields);
            Filter::Field((*path.name).into(), test(rng, &value.text))
        }
    }
}

/// A test that some text of the kind may pass.
fn test(rng: &mut Rng, text: &str) -> Test {
    let chars: Vec<char> = text.chars().collect();
    let from = rng.below(chars.len() as u64 + 1) as usize;
    let to = from + rng.below((chars.len() - from) as u64 + 1) as usize;
    let part: String = chars[from..to].iter().collect();
    match rng.below(4) {
        0 => Test::exact(text),
        1 => Test::Substring(part),
        2 => Test::phrase(&part, rng.one_in(2)),
        _ => Test::phrase(text.split_whitespace().next().unwrap_or(""), rng.one_in(2)),
    }
}

/// What a search must find among records: newest first, cut to its limit.
pub(crate) fn expected(search: &Search, all: &[Record]) -> Vec<Record> {
    let mut found: Vec<Record> = all.iter().filter(|record| passes(search, record)).cloned().collect();
    found.sort_by_key(|record| std::cmp::Reverse((record.time, record.seq)));
    found.into_iter().skip(search.offset).take(search.limit).collect()
}
