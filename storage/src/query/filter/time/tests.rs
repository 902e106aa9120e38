//! Times as they may be written, each with the rows that it means.
use crate::query::testing::{check_faults, check_filters};

/// Now is 2024-06-10T12:00:00Z.
const ROWS: &str = r#"
    {"row":"a","_time":"2024-06-10T12:00:00Z"}
    {"row":"b","_time":"2024-06-10T11:55:00Z"}
    {"row":"c","_time":"2024-06-10T11:54:59.999999999Z"}
    {"row":"d","_time":"2024-06-10T10:57:00Z"}
    {"row":"e","_time":"2024-06-07T23:44:17.655Z"}
    {"row":"f","_time":"2023-04-25T22:45:59.999999999Z"}
    {"row":"g","_time":"2023-04-25T22:45:59Z"}
    {"row":"h","_time":"2023-04-25T00:00:00Z"}
    {"row":"i","_time":"2023-04-24T18:30:00Z"}
    {"row":"j","_time":"2023-02-01T00:00:00Z"}
    {"row":"k","_time":"2023-03-01T06:59:59.999999999Z"}
    {"row":"l","_time":"2023-02-28T23:59:59Z"}
    {"row":"m","_time":"2025-01-01T00:00:00Z"}
    {"row":"n","_time":""}
    {"row":"o","_msg":"no time"}
    {"row":"p","_time":"no time"}
"#;

#[test]
fn durations_end_now() {
    check_filters(
        ROWS,
        &[
            ("_time:5m", "ab"),
            ("_time:=5m", "ab"),
            ("_time:300s", "ab"),
            ("_time:0.5h", "abc"),
            ("_time:-5m", "ab"),
            ("_time:2.5d15m42.345s", "abcde"),
            ("_time:2.5d15m42.344s", "abcd"),
            ("_time:1.5d", "abcd"),
            ("_time:1w", "abcde"),
            ("_time:1y", "abcde"),
            ("_time:\"5m\"", "ab"),
            ("_time:>5m", "cdefghijkl"),
            ("_time:>=5m", "bcdefghijkl"),
            ("_time:<5m", "a"),
            ("_time:<=5m", "ab"),
            ("_time:>1h _time:<2h", "d"),
            ("_time:offset 1h", "defghijkl"),
            ("_time:5m offset 1h", "d"),
            ("_time:4m offset 1h", "d"),
            ("_time:2m offset 1h", ""),
            ("_time:5m offset -5m", "a"),
            ("_time:>5m offset 1h", "efghijkl"),
            ("!_time:5m", "cdefghijklmnop"),
            ("_time:5m or _time:2023-04-25Z", "abfgh"),
        ],
    );
}

#[test]
fn names_of_units_are_the_whole_of_them() {
    check_filters(
        ROWS,
        &[
            ("_time:2023Z", "fghijkl"),
            ("_time:2023", "fghijkl"),
            ("_time:=2023Z", "fghijkl"),
            ("_time:2023-04Z", "fghi"),
            ("_time:2023-04-25Z", "fgh"),
            ("_time:2023-04-25", "fgh"),
            ("_time:2023-04-25T22Z", "fg"),
            ("_time:2023-04-25T22:45Z", "fg"),
            ("_time:2023-04-25T22:45:59Z", "fg"),
            ("_time:2023-04-25T22:45:59.000Z", "g"),
            ("_time:2023-04-25T22:45:59.999999999Z", "f"),
            ("_time:\"2023-04-25T22:45:59Z\"", "fg"),
            ("_time:2023-04-25+05:30", "hi"),
            ("_time:2023-04-25-05:30", "fg"),
            ("_time:2023-02-07:00", "kl"),
            ("_time:2023-02Z", "jl"),
            ("_time:2023-07:00", "fghijkl"),
            ("_time:2023-07Z", ""),
            ("_time:2023-05Z offset 1w", "fghi"),
            ("_time:2023-04-25T23Z offset 30m", "fg"),
        ],
    );
}

#[test]
fn ranges_have_their_ends_or_not() {
    check_filters(
        ROWS,
        &[
            ("_time:>2023-04-25Z", "abcdefgm"),
            ("_time:>=2023-04-25Z", "abcdefghm"),
            ("_time:<2023-04-25Z", "ijkl"),
            ("_time:<=2023-04-25Z", "fghijkl"),
            ("_time:> 2023-04-25Z", "abcdefgm"),
            ("_time:[2023-04-01Z, 2023-04-30Z]", "fghi"),
            ("_time:[2023-02-01Z, 2023-03-01Z)", "jl"),
            ("_time:[2023-02-01Z,2023-03-01Z]", "jkl"),
            ("_time:(2023-02-01Z, 2023-03-01Z)", "l"),
            ("_time:(2023-02-01Z, 2023-02Z]", "l"),
            ("_time:[2023-02-08Z, 2023-03-08Z) offset 1w", "jl"),
            ("_time:[2023-02, 2023-04]", "fghijkl"),
            ("_time:[2023, 2024]", "abcdefghijkl"),
            ("_time:[now-5m, now]", "ab"),
            ("_time:[-5m, now)", "b"),
            ("_time:[1718020500, now]", "ab"),
            ("_time:[1718020500000, 1718020800]", "ab"),
            ("_time:[1718020500.0, 1718020800000000000]", "ab"),
            ("_time:>=now-5m", "abm"),
            ("_time:now", "a"),
            ("_time:[2023-04-25T22:45:59, 2023-04-25T22:45:59]", "fg"),
            ("_time:[2024Z, 2023Z]", ""),
            ("(_time:2023-04Z or _time:2023-02Z) !_time:2023-04-25Z", "ijl"),
        ],
    );
}

#[test]
fn what_is_no_time_is_refused() {
    check_faults(&[
        ("_time:", 6, "ends"),
        ("_time:foo", 6, "no duration"),
        ("_time:5", 6, "no duration"),
        ("_time:2023-13", 6, "no time"),
        ("_time:2023-02-30Z", 6, "no time"),
        ("_time:[2023Z]", 12, "','"),
        ("_time:[2023Z, 2024Z", 19, "ends"),
        ("_time:[2023Z, x]", 14, "no time"),
        ("_time:>x", 7, "no duration"),
        ("_time:5m offset", 15, "ends"),
        ("_time:5m offset 5", 16, "no duration"),
        ("_time:*", 6, "no duration"),
    ]);
}
