//! What queries answer is the same whether rows are in memory, sealed, or in segments that were put together.
use crate::queries::{NOW, ask, options};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine, QueryControl};
use logyard_storage::env::sim::SimEnv;
use std::sync::Arc;

const SECOND: i64 = 1_000_000_000;

/// A row: how many nanoseconds before now it was, and what else it has.
type Filled<'f> = (i64, &'f dyn Fn(&mut BatchBuilder));

/// Each query with the values of `row` that it finds, in their order, one after another.
type Cases<'c> = [(&'c str, &'c str)];

fn engine() -> Arc<Engine> {
    let env = SimEnv::new(3);
    env.set_now(NOW);
    Engine::open(Arc::new(env), options()).unwrap()
}

fn append(engine: &Engine, rows: &[Filled<'_>]) {
    let mut builder = BatchBuilder::new();
    for (ago, fill) in rows {
        builder.begin_row();
        builder.time(NOW - ago);
        builder.string("service_name", "shop");
        fill(&mut builder);
        builder.commit_row();
    }
    engine.append(Append::new(builder.finish().unwrap(), Ack::Memory)).unwrap();
}

fn check(engine: &Engine, cases: &Cases<'_>, state: &str) {
    for (query, wanted) in cases {
        let (rows, _) = ask(engine, query, &QueryControl::default()).unwrap_or_else(|e| panic!("{query}: {e}"));
        let value = |row: &String| -> String {
            let row: serde_json::Value = serde_json::from_str(row).unwrap();
            row["row"].as_str().unwrap_or_default().into()
        };
        let mut found: Vec<String> = rows.iter().map(value).collect();
        found.sort();
        assert_eq!(found.concat(), *wanted, "{query}, {state}");
    }
}

/// Puts batches of rows into engines, and asks them in each state that rows can be in.
fn check_states(batches: &[&[Filled<'_>]], cases: &Cases<'_>) {
    let whole = engine();
    batches.iter().for_each(|rows| append(&whole, rows));
    check(&whole, cases, "in memory");
    whole.seal().unwrap();
    check(&whole, cases, "in one segment");
    let parted = engine();
    for rows in batches {
        append(&parted, rows);
        parted.seal().unwrap();
    }
    check(&parted, cases, "in a segment each");
    parted.compact().unwrap();
    check(&parted, cases, "in segments that were put together");
}

#[test]
fn values_keep_what_they_were_sent_as() {
    let row = |builder: &mut BatchBuilder, name: &str| builder.string("row", name);
    check_states(
        &[
            &[
                (9, &|b| {
                    row(b, "a");
                    b.number("n", "1");
                    b.bool("flag", true);
                }),
                (8, &|b| {
                    row(b, "b");
                    b.number("n", "1.50");
                    b.null("flag");
                }),
            ],
            &[
                (7, &|b| {
                    row(b, "c");
                    b.string("n", "1");
                    b.string("flag", "true");
                }),
                (6, &|b| row(b, "d")),
            ],
            &[
                (5, &|b| {
                    row(b, "e");
                    b.null("n");
                    b.string("flag", "");
                }),
                (4, &|b| {
                    row(b, "f");
                    b.bool("n", false);
                    b.bool("flag", false);
                }),
                (3, &|b| {
                    row(b, "g");
                    b.number("n", "1e3");
                    b.number("flag", "0");
                }),
            ],
        ],
        &[
            ("n:value_type(number)", "abg"),
            ("n:value_type(string)", "c"),
            ("n:value_type(bool)", "f"),
            ("n:value_type(null)", "e"),
            ("n:value_type(mixed)", ""),
            ("!n:value_type(number)", "cdef"),
            ("n:value_type(number) n:<2", "ab"),
            ("n:(value_type(null) or value_type(string))", "ce"),
            ("flag:value_type(bool)", "af"),
            ("flag:value_type(null)", "b"),
            ("flag:value_type(string)", "c"),
            ("none:value_type(null)", ""),
            ("_id:value_type(uuid)", "abcdefg"),
            ("service_name:value_type(string) row:value_type(string)", "abcdefg"),
            // Behind pipes too, where these leave rows as they are.
            ("* | filter n:value_type(number)", "abg"),
            ("* | limit 100 | filter n:value_type(null)", "e"),
            ("* | copy n as m | fields row, m | filter m:value_type(bool)", "f"),
            // What puts rows together anew makes texts.
            ("* | sort by (_time) desc | limit 3 | filter n:value_type(number)", ""),
            ("* | sort by (_time) desc | limit 3 | filter n:value_type(string)", "fg"),
            ("row:in(* | filter n:value_type(string) | fields row)", "c"),
            ("* | format '<n>' as m | filter m:value_type(number)", ""),
            ("* | format '<n>' as m | filter m:value_type(string)", "abcfg"),
        ],
    );
}

#[test]
fn times_that_rows_have_are_asked_as_their_texts_are() {
    let row = |name: &'static str| move |builder: &mut BatchBuilder| builder.string("row", name);
    let (minute, hour, day) = (60 * SECOND, 3_600 * SECOND, 86_400 * SECOND);
    // Now is 2024-06-10T12:00:00Z, a Monday; the clock goes on a little while rows come and are asked.
    check_states(
        &[
            &[(0, &row("a")), (5 * minute - SECOND, &row("b")), (5 * minute + SECOND, &row("c"))],
            &[(hour + 3 * minute, &row("d")), (day - SECOND, &row("e")), (2 * day + 12 * hour, &row("f"))],
            &[(365 * day - SECOND, &row("g")), (400 * day, &row("h")), (36 * hour + SECOND, &row("i"))],
        ],
        &[
            ("_time:5m", "ab"),
            ("_time:<5m", "ab"),
            ("_time:>5m", "cdefghi"),
            ("_time:>=5m", "cdefghi"),
            ("_time:5m offset 1h", "d"),
            ("_time:offset 1d", "fghi"),
            ("_time:1.5d", "abcde"),
            ("_time:1y", "abcdefgi"),
            ("_time:2024-06-10Z", "abcd"),
            ("_time:2024-06Z", "abcdefi"),
            ("_time:2023Z", "gh"),
            ("_time:2024-06-10+05:30", "abcd"),
            ("_time:2024-06-08T00:00Z", "f"),
            ("_time:[2024-06-08Z, 2024-06-09Z)", "fi"),
            ("_time:(2024-06-08Z, 2024-06-09Z]", "ei"),
            ("_time:>2024-06-10T11:55:01Z", "a"),
            ("_time:>=2024-06-10T11:55:01Z", "ab"),
            ("_time:<=2024-06-08", "fghi"),
            ("_time:<2024-06-08", "gh"),
            ("_time:day_range[11:00, 12:00)", "bc"),
            ("_time:day_range[11:00, 12:00] _time:1d", "abc"),
            ("_time:day_range[09:00, 10:00] offset 2h _time:1w", "abc"),
            ("_time:week_range[Sat, Sat]", "fi"),
            ("_time:week_range[Sun, Mon] _time:1w", "abcde"),
            ("_time:week_range[Sun, Sun] offset -1h _time:1w", "ei"),
            ("!_time:1w", "gh"),
            ("_time:5m or _time:2023Z", "abgh"),
            ("_time:=\"2024-06-10T12:00:00Z\"", "a"),
            ("* | filter _time:5m", "ab"),
        ],
    );
}
