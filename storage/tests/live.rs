//! Live queries against searches afterwards: each row that passes once, in the order in which rows came, however the engine seals
//! and whenever somebody looks.
//!
//! `LOGYARD_LIVE` says how many runs there are in the long one, `LOGYARD_SEED` from which seed on.
use crate::chance::{Rng, from_env};
use crate::queries::{NOW, Row, canonical, filter, push_row, row};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{
    Ack, Append, Engine, Given, LiveOptions, Options, Polled, QueryControl, Search, Subscription,
};
use logyard_storage::env::sim::SimEnv;
use logyard_storage::error::{ErrorKind, Result};
use logyard_storage::query::{Block, Flow, Start, parse};
use logyard_storage::record::{Record, RecordId};
use logyard_storage::scan::filter::{Filter, Test};
use std::sync::Arc;
use std::time::Duration;

/// Pipes that look at each row by itself and leave its `_id`.
const PIPES: [&str; 19] = [
    "",
    "",
    "",
    "",
    " | fields _id, rowno, level",
    " | delete host, _msg",
    " | rename level as l, k as kk",
    " | copy level as l",
    " | filter k:>3",
    " | math k * 2 as d",
    " | format '<level>-<k>' as f",
    " | extract 'user=<user>' from _msg | filter user:*",
    " | extract_regexp '(?P<n>[0-9]+)' | len(n) as m",
    " | replace ('o', '0') at _msg | collapse_nums",
    " | unpack_json from _msg | unpack_logfmt from _msg result_prefix p_",
    " | unpack_words from _msg as w | unroll by (w) | filter w:~'[aeiou]'",
    " | pack_json fields (k) as all | hash(all) as h",
    " | join by (level) (* | fields level | uniq by (level)) | sample 1",
    " | drop_empty_fields | where !hex:*",
];

/// Somebody who follows, and what came.
struct Follower {
    query: String,
    subscription: Subscription,
    lines: Vec<String>,
    ids: Vec<RecordId>,
    /// Whether records come as they were sent, and those that came.
    whole: bool,
    records: Vec<Record>,
    /// Which rows have to come: those from a number on, and some of those before it.
    from_seq: u64,
    earlier: Vec<String>,
}

impl Follower {
    /// Takes what there is, or a part of it.
    fn take(&mut self, rng: &mut Rng, all: bool) {
        loop {
            let mut left = if all { usize::MAX } else { 1 + rng.below(20) as usize };
            let polled = self.subscription.poll(&mut |given| {
                let rows = match given {
                    Given::Rows(ids, block) => {
                        assert!(ids.len() == block.rows() && !self.whole);
                        self.ids.extend(ids);
                        self.lines.extend(canonical(&block));
                        block.rows()
                    }
                    Given::Records(records) => {
                        assert!(self.whole);
                        self.ids.extend(records.iter().map(Record::id));
                        let rows = records.len();
                        self.records.extend(records);
                        rows
                    }
                    Given::Missed(_) => panic!("nothing is missed"),
                };
                left = left.saturating_sub(rows);
                Ok(if left == 0 { Flow::Enough } else { Flow::More })
            });
            if polled.unwrap() == Polled::Nothing || !all {
                return;
            }
        }
    }
}

fn search(engine: &Engine, query: &str) -> Vec<(RecordId, String)> {
    let mut found = Vec::new();
    let mut take = |block: Block| {
        let ids = block.column("_id");
        let ids: Vec<RecordId> = (0..block.rows()).map(|row| RecordId::parse(ids.value(row)).unwrap()).collect();
        found.extend(ids.into_iter().zip(canonical(&block)));
        Ok(Flow::More)
    };
    engine.query(&parse(query).unwrap(), &QueryControl::default(), &mut take).unwrap();
    found
}

/// Begins to follow in any of the ways to begin.
fn follow(rng: &mut Rng, engine: &Engine, rows: &[Row], next_seq: u64) -> Follower {
    let (filter, pipe) = (filter(rng, rows, 2), rng.pick(&PIPES));
    let query = format!("{filter}{pipe}");
    // A filter that comes first is part of what rows have to pass.
    let mut there = search(engine, if pipe.starts_with(" | filter") { &query } else { &filter });
    there.sort_by_key(|(id, _)| id.seq());
    let (mut from_seq, mut earlier) = (next_seq, Vec::new());
    let start = match rng.below(5) {
        0 => Start::Now,
        1 => {
            let rows = rng.below(30) as usize;
            there.sort_by_key(|(id, _)| std::cmp::Reverse((time_of(engine, *id), id.seq())));
            earlier.extend(there.iter().take(rows).map(|(id, _)| id.to_string()));
            Start::Last(rows)
        }
        2 => {
            let time = NOW - rng.below(4 * 3_600) as i64 * 1_000_000_000;
            let is_young = |(id, _): &&(RecordId, String)| time_of(engine, *id) >= time;
            earlier.extend(there.iter().filter(is_young).map(|(id, _)| id.to_string()));
            Start::Since(time)
        }
        _ => {
            let id = there.get(rng.below(there.len() as u64) as usize).map(|(id, _)| *id);
            let id = id.unwrap_or_else(|| RecordId::new(NOW, engine.epoch(), next_seq - 1));
            from_seq = id.seq() + 1;
            Start::After(id)
        }
    };
    let whole = pipe.is_empty() && rng.one_in(2);
    let options = LiveOptions { start, whole, ..LiveOptions::default() };
    let subscription = engine.live(&parse(&query).unwrap(), &options).unwrap();
    let (lines, ids, records) = (Vec::new(), Vec::new(), Vec::new());
    Follower { query, subscription, lines, ids, whole, records, from_seq, earlier }
}

fn time_of(engine: &Engine, id: RecordId) -> i64 {
    engine.get(id).unwrap().unwrap().time
}

fn append(engine: &Engine, builder: &mut BatchBuilder, rows: &[Row]) -> u64 {
    rows.iter().for_each(|row| push_row(builder, row));
    engine.append(Append::new(builder.finish().unwrap(), Ack::Memory)).unwrap().first_seq + rows.len() as u64
}

fn run(seed: u64) -> (usize, usize) {
    let mut rng = Rng::new(seed);
    let env = SimEnv::new(seed);
    env.set_now(NOW);
    let options = Options { background: false, copy_rows_min: 64, ..Options::new("/data") };
    let engine = Engine::open(Arc::new(env), options).unwrap();
    let rows: Vec<Row> = (0..60 + rng.below(300) as usize).map(|at| row(&mut rng, at)).collect();
    let mut builder = if rng.one_in(2) { BatchBuilder::new() } else { BatchBuilder::with_stream_fields(&["host"]) };
    let mut followers: Vec<Follower> = Vec::new();
    let (mut at, mut next_seq) = (0, 1);
    while at < rows.len() {
        let most = *rng.pick(&[1, 3, 100]);
        let until = (at + 1 + rng.below(most) as usize).min(rows.len());
        next_seq = append(&engine, &mut builder, &rows[at..until]);
        at = until;
        if rng.one_in(3) && followers.len() < 12 {
            followers.push(follow(&mut rng, &engine, &rows, next_seq));
        }
        for follower in &mut followers {
            if rng.one_in(3) {
                let all = rng.one_in(2);
                follower.take(&mut rng, all);
            }
        }
        match rng.below(12) {
            0 => engine.seal().unwrap(),
            1 => engine.compact().unwrap(),
            // Goes on after the last row that it was given, as another one.
            2 if !followers.is_empty() => {
                let which = rng.below(followers.len() as u64) as usize;
                let follower = &mut followers[which];
                if let Some(last) = follower.ids.last().filter(|_| follower.earlier.is_empty()) {
                    let (start, whole) = (Start::After(*last), follower.whole);
                    let options = LiveOptions { start, whole, ..LiveOptions::default() };
                    follower.subscription = engine.live(&parse(&follower.query).unwrap(), &options).unwrap();
                }
            }
            _ => {}
        }
    }
    if rng.one_in(2) {
        engine.seal().unwrap();
    }
    let (mut given, mut telling) = (0, 0);
    for follower in &mut followers {
        follower.take(&mut rng, true);
        let wanted = |id: &RecordId| id.seq() >= follower.from_seq || follower.earlier.contains(&id.to_string());
        let mut wanted: Vec<(RecordId, String)> =
            search(&engine, &follower.query).into_iter().filter(|(id, _)| wanted(id)).collect();
        // Rows that were made of one row stay in their order.
        wanted.sort_by_key(|(id, _)| id.seq());
        let (ids, lines): (Vec<RecordId>, Vec<String>) = wanted.into_iter().unzip();
        if follower.whole {
            for record in &follower.records {
                let there = engine.get(record.id()).unwrap().unwrap();
                assert_eq!(in_order(record), in_order(&there), "seed {seed}: {}", follower.query);
            }
        } else {
            assert_eq!(follower.lines, lines, "seed {seed}: {}", follower.query);
        }
        assert_eq!(follower.ids, ids, "seed {seed}: {}", follower.query);
        let end = follower.subscription.cursor().unwrap();
        assert_eq!(end.seq() + 1, next_seq, "seed {seed}");
        given += lines.len();
        telling += usize::from(!lines.is_empty());
    }
    (given, telling)
}

/// A record whose fields have an order of their own.
fn in_order(record: &Record) -> Record {
    let mut record = record.clone();
    record.fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    record
}

fn campaign(runs: u64, first_seed: u64) {
    let (mut given, mut telling) = (0, 0);
    for seed in first_seed..first_seed + runs {
        let (rows, followers) = run(seed);
        (given, telling) = (given + rows, telling + followers);
    }
    println!("{given} rows were given to {telling} live queries, beside those that were given none");
    assert!(telling > runs as usize * 2, "most live queries are given nothing");
}

#[test]
fn live_queries_give_what_searches_find_afterwards() {
    campaign(60, 1);
}

#[test]
#[ignore = "takes as long as it is told to"]
fn live_queries_give_what_searches_find_afterwards_at_length() {
    campaign(from_env("LOGYARD_LIVE", 1_000), from_env("LOGYARD_SEED", 1_000_000));
}

fn engine(env: &SimEnv, options: impl FnOnce(Options) -> Options) -> Arc<Engine> {
    env.set_now(NOW);
    let options = options(Options { background: false, ..Options::new("/data") });
    Engine::open(Arc::new(env.process()), options).unwrap()
}

/// Appends rows whose message is their number.
fn numbers(engine: &Engine, numbers: std::ops::Range<u64>) {
    let mut builder = BatchBuilder::new();
    for n in numbers {
        builder.begin_row();
        builder.string("service_name", if n % 2 == 0 { "even" } else { "odd" });
        builder.string("_msg", &format!("number {n}"));
        builder.commit_row();
    }
    engine.append(Append::new(builder.finish().unwrap(), Ack::Memory)).unwrap();
}

#[test]
fn what_a_live_query_begins_with_is_given_back() {
    let env = SimEnv::new(9);
    let engine = engine(&env, |options| options);
    numbers(&engine, 0..1_000);
    let (memory, start) = (engine.query_memory(), Start::Since(NOW - 1));
    let options = LiveOptions { start, memory: Some(memory.clone()), ..LiveOptions::default() };
    let mut live = engine.live(&parse("*").unwrap(), &options).unwrap();
    let begun = memory.used();
    let mut rows = 0;
    let mut take = |given: Given| -> Result<Flow> {
        if let Given::Rows(ids, _) = given {
            rows += ids.len();
        }
        Ok(Flow::More)
    };
    while live.poll(&mut take).unwrap() == Polled::More {}
    assert_eq!(rows, 1_000);
    assert!(memory.used() + 1_000 * 32 < begun, "{} of {begun}", memory.used());
}

/// What came so far: messages, and how many rows were missed in their place.
fn came(subscription: &mut Subscription) -> Result<Vec<String>> {
    let mut came = Vec::new();
    let mut take = |given| {
        match given {
            Given::Missed(rows) => came.push(format!("missed {rows}")),
            Given::Records(_) => panic!("nobody asked for these"),
            Given::Rows(_, block) => {
                came.extend((0..block.rows()).map(|row| block.column("_msg").value(row).replace("number ", "")));
            }
        }
        Ok(Flow::More)
    };
    while subscription.poll(&mut take)? == Polled::More {}
    Ok(came)
}

fn live(engine: &Engine, query: &str) -> Subscription {
    engine.live(&parse(query).unwrap(), &LiveOptions::default()).unwrap()
}

#[test]
fn whoever_is_too_slow_is_told_how_many_rows_it_missed() {
    let env = SimEnv::new(1);
    let engine = engine(&env, |options| Options { live_batches_max: 3, ..options });
    let (mut all, mut even, mut late) = (live(&engine, "*"), live(&engine, "{service_name=even}"), None);
    numbers(&engine, 0..2);
    assert_eq!(came(&mut all).unwrap(), ["0", "1"]);
    for n in 1..8 {
        numbers(&engine, n * 10..n * 10 + 3);
        if n == 6 {
            late = Some(live(&engine, "*"));
        }
    }
    assert_eq!(came(&mut all).unwrap(), ["missed 12", "50", "51", "52", "60", "61", "62", "70", "71", "72"]);
    assert_eq!(came(&mut even).unwrap(), ["missed 14", "50", "52", "60", "62", "70", "72"]);
    assert_eq!(came(&mut late.unwrap()).unwrap(), ["70", "71", "72"]);
    // One that has a batch in hand misses nothing of it.
    numbers(&engine, 100..1_300);
    let mut first = Vec::new();
    let mut one = |given| {
        let Given::Rows(_, block) = given else { panic!("nothing is missed") };
        first.extend((0..block.rows()).map(|row| block.column("_msg").value(row).replace("number ", "")));
        Ok(Flow::Enough)
    };
    assert_eq!(all.poll(&mut one).unwrap(), Polled::More);
    assert!(first.len() < 600);
    (0..5).for_each(|n| numbers(&engine, n..n + 1));
    first.extend(came(&mut all).unwrap());
    let wanted = (100..1_300).map(|n: u64| n.to_string());
    assert_eq!(first, wanted.chain(["missed 2", "2", "3", "4"].map(String::from)).collect::<Vec<_>>());
}

#[test]
fn batches_wait_within_a_bound_of_bytes() {
    let env = SimEnv::new(2);
    let engine = engine(&env, |options| Options { live_bytes_max: 1, ..options });
    let mut subscription = live(&engine, "*");
    numbers(&engine, 0..100);
    numbers(&engine, 100..101);
    numbers(&engine, 101..103);
    assert_eq!(came(&mut subscription).unwrap(), ["missed 101", "101", "102"]);
}

#[test]
fn what_is_deleted_or_expired_is_not_given() {
    let env = SimEnv::new(3);
    let engine = engine(&env, |options| options);
    let mut subscription = live(&engine, "*");
    numbers(&engine, 0..4);
    let filter = Filter::Field("_msg".into(), Test::phrase("2", false));
    engine.delete(&Search { filter, ..Search::default() }, false).unwrap();
    assert_eq!(came(&mut subscription).unwrap(), ["0", "1", "3"]);
    numbers(&engine, 0..4);
    env.advance(Duration::from_secs(31 * 86_400));
    assert!(came(&mut subscription).unwrap().is_empty());
    numbers(&engine, 1..4);
    assert_eq!(came(&mut subscription).unwrap(), ["1", "2", "3"]);
}

#[test]
fn times_that_are_relative_move_with_the_clock() {
    let env = SimEnv::new(4);
    let engine = engine(&env, |options| options);
    let mut young = live(&engine, "_time:5m _msg:in(\"number 1\", \"number 2\")");
    let mut chosen = live(&engine, "_time:5m _msg:in(_msg:1 | fields _msg) or _time:>1d");
    for n in 1..4 {
        env.advance(Duration::from_secs(3_600));
        numbers(&engine, n..n + 1);
        let wanted: &[&str] = if n < 3 { &[&n.to_string()] } else { &[] };
        assert_eq!(came(&mut young).unwrap(), wanted);
    }
    assert!(came(&mut chosen).unwrap().is_empty(), "a subquery is answered once, and nothing is so old");
}

#[test]
fn pipes_that_need_all_rows_are_refused_by_name() {
    let env = SimEnv::new(5);
    let engine = engine(&env, |options| options);
    for (pipe, name) in [
        ("stats count()", "stats"),
        ("fields a | sort by (a)", "sort"),
        ("limit 5", "limit"),
        ("head 5", "limit"),
        ("offset 1", "offset"),
        ("uniq by (a)", "uniq"),
        ("top 3 by (a)", "top"),
        ("first 3 by (a)", "first"),
        ("union (*)", "union"),
        ("stream_context before 1", "stream_context"),
        ("field_names", "field_names"),
        ("field_values a", "field_values"),
        ("facets", "facets"),
        ("blocks_count", "blocks_count"),
    ] {
        let query = parse(&format!("* | {pipe}")).unwrap();
        let error = engine.live(&query, &LiveOptions::default()).err().unwrap();
        assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains(&format!("`{name}`")), "{error}");
    }
    let wrong = |start| engine.live(&parse("*").unwrap(), &LiveOptions { start, ..LiveOptions::default() }).err();
    assert_eq!(wrong(Start::Last(1_000_000)).unwrap().kind(), ErrorKind::Invalid);
    assert_eq!(wrong(Start::After(RecordId::new(NOW, engine.epoch() ^ 1, 1))).unwrap().kind(), ErrorKind::NotFound);
}

#[test]
fn live_queries_end_with_the_engine() {
    let env = SimEnv::new(6);
    let engine = engine(&env, |options| options);
    let (mut closed, mut dropped) = (live(&engine, "*"), live(&engine, "*"));
    drop(live(&engine, "*"));
    numbers(&engine, 0..1);
    engine.close().unwrap();
    let kind = |subscription: &mut Subscription| subscription.poll(&mut |_| Ok(Flow::More)).unwrap_err().kind();
    let mut last = Vec::new();
    let ended = closed.poll(&mut |given| {
        last.push(matches!(given, Given::Rows(..)));
        Ok(Flow::More)
    });
    assert_eq!((ended.unwrap_err().kind(), last), (ErrorKind::Closed, vec![true]), "what came is given first");
    assert_eq!(engine.rows_arrived(), 1);
    assert!(engine.live(&parse("*").unwrap(), &LiveOptions::default()).is_err());
    drop(engine);
    assert_eq!(kind(&mut dropped), ErrorKind::Closed);
    Engine::open(Arc::new(env.process()), Options { background: false, ..Options::new("/data") }).unwrap();
}

#[test]
fn rows_that_come_from_several_at_once_are_given_once_in_order() {
    const EACH: u64 = 1_500;
    let env = SimEnv::new(7);
    let engine = engine(&env, |options| Options { background: true, seal_rows: 700, ..options });
    numbers(&engine, 0..1);
    let first = search(&engine, "*")[0].0;
    let starts = [Start::Now, Start::After(first), Start::Last(10_000), Start::Since(NOW - 1)];
    let begin = |start| {
        let options = LiveOptions { start, ..LiveOptions::default() };
        (start, engine.live(&parse("_msg:number").unwrap(), &options).unwrap(), Vec::new())
    };
    let take = |subscription: &mut Subscription, seqs: &mut Vec<u64>| {
        let mut take = |given| {
            let Given::Rows(ids, _) = given else { panic!("nothing is missed") };
            seqs.extend(ids.iter().map(|id: &RecordId| id.seq()));
            Ok(if seqs.len().is_multiple_of(3) { Flow::Enough } else { Flow::More })
        };
        while subscription.poll(&mut take).unwrap() == Polled::More {}
    };
    let mut followers: Vec<(Start, Subscription, Vec<u64>)> = Vec::new();
    std::thread::scope(|scope| {
        let send = |sender: u64| {
            let mut at = sender * EACH;
            while at < (sender + 1) * EACH {
                let until = (at + 1 + at % 7).min((sender + 1) * EACH);
                numbers(&engine, at..until);
                at = until;
            }
        };
        let senders: Vec<_> = (0..3).map(|sender| scope.spawn(move || send(sender))).collect();
        while !senders.iter().all(|sender| sender.is_finished()) {
            if followers.len() < 60 {
                followers.push(begin(starts[followers.len() % starts.len()]));
            }
            followers.iter_mut().step_by(2).for_each(|(_, subscription, seqs)| take(subscription, seqs));
        }
    });
    let last = first.seq() + 3 * EACH;
    for (start, mut subscription, mut seqs) in followers {
        take(&mut subscription, &mut seqs);
        let from = match start {
            Start::Now => seqs.first().map_or(last + 1, |seq| *seq),
            Start::After(_) => first.seq() + 1,
            Start::Last(_) | Start::Since(_) => first.seq(),
        };
        assert!(seqs.iter().copied().eq(from..=last), "{start:?}: {} of {} rows", seqs.len(), last + 1 - from);
    }
}
