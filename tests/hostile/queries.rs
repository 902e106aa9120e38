//! Queries that mean harm, of many kinds, each larger or smaller by chance.

use crate::harness::encoded;

/// A query as it is sent.
pub(super) struct Hostile {
    pub(super) kind: &'static str,
    pub(super) form: Vec<u8>,
}

/// Chance, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// About as many as that: a tenth up to all.
    fn about(&mut self, most: usize) -> usize {
        most / 10 + self.below(most - most / 10 + 1)
    }
}

/// Some queries of each kind.
pub(super) fn hostile_queries(seed: u64, of_each: usize) -> Vec<Hostile> {
    let mut chance = Chance(seed);
    let mut queries = Vec::new();
    for _ in 0..of_each {
        let texts = [filters(&mut chance), expressions(&mut chance), subqueries(&mut chance), pipes(&mut chance)];
        let others = [groups(&mut chance), growth(&mut chance), extremes(&mut chance), texts_of_any_kind(&mut chance)];
        for (kind, text) in texts.into_iter().chain(others).flatten() {
            queries.push(Hostile { kind, form: format!("query={}", encoded(&text)).into_bytes() });
        }
        queries.extend(forms(&mut chance).into_iter().map(|(kind, form)| Hostile { kind, form }));
    }
    queries
}

type Kinds = Vec<(&'static str, String)>;

/// Items with their number, one after another.
fn each(n: usize, item: impl Fn(usize) -> String, between: &str) -> String {
    (0..n).map(item).collect::<Vec<_>>().join(between)
}

fn nested(n: usize, open: &str, inner: &str, close: &str) -> String {
    format!("{}{inner}{}", open.repeat(n), close.repeat(n))
}

fn filters(c: &mut Chance) -> Kinds {
    let field = c.one(&["", "_msg:", "id:", "n:", "list:", "none:", "_stream:"]);
    vec![
        ("ors", each(c.about(10_000), |i| format!("{field}a{i}"), " or ")),
        ("ors of one letter", each(c.about(400_000), |_| "a".into(), " ")),
        ("ands", each(c.about(10_000), |i| format!("took !x{i}"), " ")),
        (
            "ors of tests",
            each(c.about(8_000), |i| format!("n:>{i} n:range({i}, 9e9] or id:string_range({i}, z)"), " or "),
        ),
        ("parentheses", nested(c.about(10_000), "(", "a", ")")),
        ("parentheses that are allowed", nested(100, "(a or b ", "", ")")),
        ("negations", format!("{}a", c.one(&["!", "-", "not "]).repeat(c.about(100_000)))),
        ("negations of groups", nested(120, "!(a ", "b", ")")),
        ("a long list", format!("{field}in({})", each(c.about(60_000), |i| format!("v{i}"), ","))),
        ("words of which any", format!("contains_any({})", each(c.about(20_000), |i| format!("w{i}"), ","))),
        ("words that are all", format!("contains_all({})", each(c.about(20_000), |i| format!("w{i}"), ","))),
        ("letters that are all", format!("contains_any({})", "\"o\",".repeat(c.about(50_000)))),
        ("a sequence", format!("seq({})", "o,".repeat(c.about(50_000)))),
        ("a long name", format!("{}:(a b)", "n".repeat(c.about(500_000)))),
        ("a name before many", format!("{}:({})", "n".repeat(1_000), "a ".repeat(c.about(400_000)))),
        ("names before each other", "a:".repeat(c.about(300_000)) + "a"),
        ("streams", format!("{{{}}}", each(c.about(5_000), |i| format!("service_name=\"s{i}\""), " or "))),
        ("prefixes", each(c.about(5_000), |i| format!("{i}*"), " or ")),
        ("any case", each(c.about(5_000), |i| format!("i(RequesT{i})"), " or ")),
        ("numbers of days", each(c.about(3_000), |i| format!("_time:{i}d offset {i}h"), " or ")),
    ]
}

fn expressions(c: &mut Chance) -> Kinds {
    let bomb = c.one(&[
        "(a{1,999}){9}",
        "((a{1,99}){9}){9}",
        "(a|b|[0-9])*1([a-z0-9 ]){14}",
        "(.*.*.*.*.*)*x",
        "(\\\\p{L}{1,90} ){9}",
        "(?i)(request|took|path){1,300}z",
        "([0-9a-f]{1,50}[^g]){30}$",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
    ]);
    let word = |i: usize| format!("word{i}");
    vec![
        ("an expression", format!("~\"{bomb}\" | count()")),
        ("an expression over large texts", format!("big:~\"{bomb}\"")),
        ("expressions", each(c.about(3_000), |i| format!("~\"{bomb}{i}\""), " or ")),
        ("small expressions", each(c.about(20_000), |i| format!("~\"a.{i}\""), " or ")),
        ("a long expression", format!("~\"{}\"", each(c.about(4_000), word, "|"))),
        ("a longer expression", format!("~\"{}\"", each(c.about(90_000), word, "|"))),
        ("groups in an expression", format!("~\"{}\"", nested(c.about(20_000), "(", "a", ")"))),
        ("an expression for streams", format!("{{service_name=~\"{bomb}\"}}")),
        (
            "an expression of named groups",
            format!("* | extract_regexp \"{}\"", each(c.about(300), |i| format!("(?P<g{i}>.?)"), "")),
        ),
        ("an expression that is replaced", format!("* | replace_regexp (\"{bomb}\", \"$0$0\") at big")),
        ("replaced again and again", format!("*{}", " | replace_regexp (\".\", \"$0$0$0$0\")".repeat(c.about(20)))),
    ]
}

fn subqueries(c: &mut Chance) -> Kinds {
    let deep = |n: usize| nested(n, "n:in(* | ", "fields n", " | fields n)");
    vec![
        ("queries in queries", deep(c.about(30))),
        ("many queries in queries", deep(c.about(10_000))),
        ("queries side by side", each(c.about(1_000), |i| format!("n:in(* | fields n) -n:{i}"), " or ")),
        ("a query of all values", "id:in(* | fields id) _msg:in(* | fields _msg) n:contains_any(* | fields n)".into()),
        ("phrases of a query", "contains_any(* | fields id) | count()".into()),
        (
            "all with all",
            c.one(&[
                "* | join by (k) (*)",
                "* | join by (k) (*) | join by (k) (*) | count()",
                "* | join by (k) (* | fields k, n) inner prefix x | sort by (xn) | limit 3",
                "* | join by (k) (*) | stats by (id, n) values(_msg)",
            ])
            .into(),
        ),
        (
            "joined again and again",
            format!("*{}", each(c.about(100), |i| format!(" | join by (id) (* | fields id, n) prefix p{i}"), "")),
        ),
        ("unions", format!("*{} | count()", " | union (*)".repeat(c.about(200)))),
        ("unions in unions", format!("*{}", nested(14, " | union (* | union (*)", "", ")"))),
        ("streams around", "* | stream_context before 1000000 after 1000000".into()),
        ("streams far around", "n:0 | stream_context before 1e30 after 18446744073709551615 time_window 1000y".into()),
        (
            "conditions with queries",
            format!("* | stats {}", each(c.about(300), |i| format!("count() if (n:in(* | fields n)) c{i}"), ", ")),
        ),
    ]
}

fn pipes(c: &mut Chance) -> Kinds {
    let pipe =
        c.one(&["limit 9", "unroll list", "uniq by (id)", "sort by (id)", "decolorize", "copy a b", "len(_msg) as l"]);
    vec![
        ("pipes", format!("*{}", " | limit 1".repeat(c.about(50_000)))),
        ("as many pipes as there may be", format!("*{}", format!(" | {pipe}").repeat(250))),
        ("copies", format!("* | copy {}", each(c.about(1_990), |i| format!("n as c{i}"), ", "))),
        ("more copies", format!("* | copy {}", each(c.about(80_000), |i| format!("n as c{i}"), ", "))),
        ("copies of all", format!("*{}", each(12, |i| format!(" | copy * as p{i}*"), ""))),
        (
            "names",
            format!(
                "*{}",
                each(
                    50,
                    |p| format!(" | sort by ({})", each(c.0 as usize % 300 + 300, |i| format!("f{p}x{i}"), ",")),
                    ""
                )
            ),
        ),
        (
            "sorted without end",
            c.one(&["* | sort", "* | sort by (_msg, id, n) desc", "* | sort by (big) | union (* | sort)"]).into(),
        ),
        ("sorted with a huge limit", "* | sort by (id) offset 18446744073709551615 limit 18446744073709551615".into()),
        ("first of each", "* | sort by (n) partition by (id, _msg) limit 1000000000".into()),
        ("facets", "* | facets 1e18 max_values_per_field 1e18 max_value_len 1e18 keep_const_fields".into()),
        ("the most of everything", "* | top 1e15 by (_msg, id, n, big, list)".into()),
        ("different ones of everything", "* | uniq by (_msg, id, n, big, list, _time) with hits".into()),
        ("extracted", format!("* | extract \"{}\"", each(c.about(3_000), |i| format!("<a{i}> "), ""))),
        ("words of words", format!("* | unpack_words{}", " as w | unroll w | unpack_words from w".repeat(c.about(20)))),
        ("JSON of JSON", format!("*{}", " | pack_json as j".repeat(c.about(200)))),
        (
            "JSON unpacked",
            format!("*{}", " | pack_json as j | unpack_json from j result_prefix x".repeat(c.about(100))),
        ),
        ("unrolled", "* | stats values(_msg) v, json_values(*) j | unroll v | unroll j | unroll list".into()),
    ]
}

fn groups(c: &mut Chance) -> Kinds {
    let function = c.one(&[
        "values(*)",
        "json_values(*)",
        "uniq_values(*)",
        "row_any(*)",
        "quantile(0.5, *)",
        "median(*)",
        "row_max(id, *)",
        "count_uniq(*)",
    ]);
    vec![
        ("a group for each row", format!("* | stats by (id, _msg) {function} x | sort by (x)")),
        ("everything in one value", format!("* | stats {function} x")),
        (
            "values within values",
            format!("*{}", " | stats by (k) values(*) v | unroll v | format 1 as k".repeat(c.about(40))),
        ),
        (
            "functions",
            format!("* | stats by (id) {}", each(c.about(1_000), |i| format!("quantile(0.{i}, n, ratio) q{i}"), ", ")),
        ),
        ("more functions", format!("* | stats {}", each(c.about(40_000), |i| format!("count() c{i}"), ", "))),
        ("fields of a function", format!("* | stats sum({})", each(c.about(50_000), |i| format!("f{i}"), ","))),
        (
            "small steps",
            format!("* | stats by (_time:1ns, n:{}, took.ms:1e-300) count()", c.one(&["1e-320", "1e308", "1", "0.1"])),
        ),
        (
            "conditions",
            format!(
                "* | stats by (n) {}",
                each(c.about(400), |i| format!("count() if (id:~\"{i}.*\" or _msg:{i}) c{i}"), ", ")
            ),
        ),
        ("histograms of all", "* | stats by (id) histogram(n) h, rate_sum(n) r, avg(*) a, max(*) m, min(*) i".into()),
    ]
}

fn growth(c: &mut Chance) -> Kinds {
    let long = "x".repeat(c.about(300_000));
    vec![
        ("doubled", format!("*{}", " | format \"<_msg><_msg>\"".repeat(c.about(200)))),
        (
            "doubled elsewhere",
            format!(
                "*{}",
                each(c.about(200), |i| format!(" | format \"<_msg><_msg>\" as m{i} | copy m{i} as _msg"), "")
            ),
        ),
        (
            "kept in many fields",
            format!("*{}", each(c.about(240), |i| format!(" | format \"<big><big>{i}\" as m{i}"), "")),
        ),
        ("a long pattern", format!("* | format \"{}\" as x", "<_msg>".repeat(c.about(100_000)))),
        ("replaced by much", format!("* | replace (\"o\", \"{long}\")")),
        ("replaced by more", format!("*{}", " | replace (\"o\", \"oooooooooo\")".repeat(c.about(100)))),
        ("a long sum", format!("* | math {} as x", each(c.about(250), |i| format!("n * {i}"), " + "))),
        ("a longer sum", format!("* | math {} as x", "n + ".repeat(c.about(50_000)) + "n")),
        ("a tree of sums", format!("* | math {} as x", nested(100, "(n + ", "n", " * n + (n - 1))"))),
        ("the greatest of many", format!("* | math max({}) as x", "n,".repeat(c.about(200_000)) + "1")),
        ("sums side by side", format!("* | math {}", each(c.about(1_900), |i| format!("n + {i} as s{i}"), ", "))),
        ("powers", format!("* | math {} as x", "n ^ ".repeat(120) + "n")),
        (
            "options",
            format!("options(concurrency={}) * | sort", c.one(&["0", "1", "4294967296", "99999999999999999999"])),
        ),
    ]
}

fn extremes(c: &mut Chance) -> Kinds {
    let number = c.one(&[
        "18446744073709551615",
        "9223372036854775808",
        "1e400",
        "-1e400",
        "inf",
        "-inf",
        "nan",
        "0x8000000000000000",
        "1e-400",
        "00000000000000000001",
        "9e18KiB",
        "-9223372036854775808",
    ]);
    vec![
        ("a number", format!("n:>{number} or n:range({number}, {number}] or n:len_range(0, {number})")),
        ("a limit", format!("* | limit {number}")),
        ("an offset", format!("* | offset {number} | limit {number}")),
        ("a sample", format!("* | sample {number}")),
        ("a time", format!("_time:{number} or _time:[{number}, {number}] or _time:>{number}")),
        ("a duration", format!("_time:{number}y offset {number}w")),
        ("a time of day", format!("_time:day_range[{number}, 99:99] offset {number}h")),
        (
            "a year",
            format!("_time:{}", c.one(&["0000", "9999-12-31T23:59:60Z", "1677-09-21", "2262-04-12", "-1", "99999"])),
        ),
        ("a step", format!("* | stats by (_time:{number}y offset {number}w, n:{number} offset {number}) count()")),
        (
            "an address",
            format!("_msg:ipv4_range({number}) or _msg:ipv4_range(0.0.0.0/0) or _msg:ipv4_range(1.2.3.4/33)"),
        ),
        ("a top", format!("* | top {number} by (id) | first {number} by (id) | last {number} by (hits)")),
        ("a quantile", format!("* | stats quantile({number}, n) q, count_uniq(id) limit {number} u")),
        (
            "arithmetic",
            format!("* | math {number} ^ {number} % 0 / 0 xor {number} or n & {number}, round(n, {number}) as r"),
        ),
        ("a hash", "* | hash(_msg) as h | stats by (h) count() | math h ^ h".into()),
    ]
}

fn texts_of_any_kind(c: &mut Chance) -> Kinds {
    const WORDS: [&str; 44] = [
        "a",
        "_msg",
        ":",
        "*",
        "(",
        ")",
        "[",
        "]",
        ",",
        "|",
        "!",
        "-",
        "=",
        "~",
        "<",
        ">",
        "{",
        "}",
        "or",
        "and",
        "in(",
        "range(",
        "_time:",
        "5m",
        "2024",
        "'x y'",
        "\"",
        "stats",
        "count()",
        "by",
        "if",
        "fields",
        "math",
        "+",
        "options(",
        "1.5",
        "offset",
        "sort",
        "limit",
        "#",
        "\n",
        "é",
        "\u{0}",
        "_stream_id:",
    ];
    let soup =
        |c: &mut Chance, n: usize, between: &str| (0..n).map(|_| c.one(&WORDS)).collect::<Vec<_>>().join(between);
    let (many, few) = (c.about(5_000), c.about(12));
    vec![
        ("words at random", soup(c, many, " ")),
        ("a few words at random", soup(c, few, " ")),
        ("a few words without spaces", soup(c, few, "")),
        ("pipes at random", format!("* | {}", soup(c, few, " "))),
        ("quotes", "\"".repeat(c.about(500_000))),
        ("all quotes", "\"'`".repeat(c.about(150_000))),
        ("escapes", "'\\".repeat(c.about(200_000))),
        ("braces", "{".repeat(c.about(100_000))),
        ("brackets", "a:range[".repeat(c.about(50_000))),
        ("comments", "# a\n".repeat(c.about(100_000)) + "a"),
        ("spaces", " ".repeat(c.about(900_000)) + "a"),
        ("no letters", "\u{0}\u{1}\u{feff}\u{202e}\u{10ffff}".repeat(c.about(10_000))),
        ("a long word", "a".repeat(c.about(1_000_000))),
        ("a text that is too long", "a ".repeat(1 << 20)),
        ("nothing", c.one(&["", " ", "#", "|", "\u{0}"]).into()),
        ("ambiguous", format!("* | {}a{}", "(x) count (y) if (a:in(* | ".repeat(60), "))".repeat(60))),
        ("stats or filter", format!("* | {}", "by (a) count(b) c, ".repeat(c.about(20_000)))),
    ]
}

/// Forms whose other parts are no better.
fn forms(c: &mut Chance) -> Vec<(&'static str, Vec<u8>)> {
    let text = |form: String| form.into_bytes();
    vec![
        ("no UTF-8", b"query=\xff\xfe%ff".to_vec()),
        ("encoded no UTF-8", text("query=%ff%fe%80*".into())),
        ("half an escape", text("query=*%".into())),
        ("a wrong escape", text("query=%zz%2".into())),
        ("no form", text("{\"query\":\"*\"}".into())),
        ("many parameters", text("query=*&".repeat(c.about(50_000)))),
        ("parameters without values", text("&=&".repeat(c.about(50_000)))),
        (
            "times",
            text(format!(
                "query=*&start={}&end={}",
                c.one(&["9e999", "-1", "now-99999y", "x"]),
                c.one(&["0", "1e300", "%00"])
            )),
        ),
        ("a timeout", text(format!("query=*&timeout={}", c.one(&["99999999999y", "-1s", "1e400s", "0", "x"])))),
        (
            "a limit beside",
            text(format!(
                "query=*&limit={}",
                c.one(&["18446744073709551615", "1e99", "-1", "x", "99999999999999999999999"])
            )),
        ),
        ("explained", text(format!("explain=1&query={}", encoded(&each(c.about(5_000), |i| format!("a{i}"), " or "))))),
        ("a large form", vec![b'a'; 5 << 20]),
    ]
}
