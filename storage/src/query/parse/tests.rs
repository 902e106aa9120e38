//! What is shown parses to the same; what is wrong is told where; what is hostile ends.
use super::*;
use proptest::prelude::*;

fn same_again(text: &str) -> Result<(), TestCaseError> {
    let Ok(query) = parse(text) else { return Ok(()) };
    let shown = query.to_string();
    match parse(&shown) {
        Ok(again) => {
            prop_assert_eq!(&again, &query, "{} shown as {}", text, shown);
            prop_assert_eq!(again.to_string(), shown);
        }
        Err(fault) => prop_assert!(false, "{text} shown as {shown}: {fault}"),
    }
    Ok(())
}

/// A text as a word, quoted in one of the ways or not at all.
fn word() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[a-z]{1,3}",
        "[a-z]{1,2}[.][a-z0-9]{1,2}",
        "[0-9]{1,3}(KB|m|Ki|\\.5)?",
        Just("日本".to_string()),
        prop::sample::select(vec![
            "and", "or", "not", "in", "i", "by", "stats", "count", "now", "offset", "limit", "as", "if"
        ])
        .prop_map(String::from),
        "[ a-z:*|()\\\\\"'é{},=!<>~-]{0,5}",
    ];
    (text, 0..4u8).prop_map(|(text, quotes)| match quotes {
        0 => text,
        1 => super::super::value::quote::quote(&text),
        2 => format!("`{}`", text.replace('`', "")),
        _ => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
    })
}

fn simple_filter() -> impl Strategy<Value = String> {
    let templates = vec![
        "A",
        "A*",
        "A:B",
        "A:B*",
        "A:*",
        "*",
        "A:=B",
        "A:=B*",
        "A:!=B",
        "A:~B",
        "A:!~B",
        "i(A)",
        "A:i(B*)",
        "exact(A*)",
        "A:in(B,A)",
        "in(*)",
        "contains_all(A,B)",
        "A:contains_any(B,)",
        "seq(A,B)",
        "A:>B",
        "A:>=12.5",
        "A:<=B",
        "A:<5KB",
        "A:range(1,5.5]",
        "A:range[1e3,inf)",
        "A:string_range(A,B)",
        "len_range(0x10,inf)",
        "A:ipv4_range(1.2.3.0/24)",
        "A:eq_field(B)",
        "A:le_field(B)",
        "lt_field(B)",
        "value_type(A)",
        "_time:5m",
        "_time:=2024-01-02",
        "_time:>=2024Z",
        "_time:<1h offset 5m",
        "_time:(2024-01,now]",
        "_time:offset 1w",
        "_time:day_range[08:00,18:00) offset 2h",
        "_time:week_range(Mon,fri]",
        "{A=B,c=~'d' or e!='f'}",
        "{A in (B,c)}",
        "_stream:{a not_in (*)}",
        "_stream_id:0123456789abcdef",
        "_stream_id:in(0123456789abcdef,0123456789abcde0)",
        "A:in(B | fields A)",
        "A:contains_any(B | uniq by (A) limit 5)",
        "re(A)",
        "\"\"",
        "A:\"\"",
        "_msg:*",
        "A:_msg:B",
    ];
    (prop::sample::select(templates), word(), word()).prop_map(|(template, a, b)| fill(template, &a, &b))
}

fn fill(template: &str, a: &str, b: &str) -> String {
    template
        .chars()
        .map(|c| match c {
            'A' => a.to_string(),
            'B' => b.to_string(),
            c => c.to_string(),
        })
        .collect()
}

fn filter() -> impl Strategy<Value = String> {
    simple_filter().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} or {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) and ({b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            inner.clone().prop_map(|a| format!("not {a}")),
            (word(), inner).prop_map(|(field, a)| format!("{field}:({a})")),
        ]
    })
}

fn pipe() -> impl Strategy<Value = String> {
    let templates = vec![
        "block_stats",
        "blocks_count A",
        "collapse_nums if (F) at A prettify",
        "copy A as B, A* B*",
        "decolorize A",
        "rm A, B*",
        "drop_empty_fields",
        "extract 'x<A>y<b>z' from B keep_original_fields",
        "extract if (F) \"<a>,\"",
        "extract_regexp 'a(?P<x>.*)b' from A skip_empty_results",
        "facets 5 max_value_len 7 keep_const_fields",
        "field_names as A",
        "field_values (A) limit 3",
        "keep A, B*",
        "where F",
        "F",
        "first 3 by (A desc, B) rank as r",
        "last by (A) partition by (B)",
        "format 'a<q:b>' as A skip_empty_results",
        "hash(A) as B",
        "join by (A) (F | fields A) inner prefix B",
        "json_array_len(A) as B",
        "len(A)",
        "head",
        "limit 1_000",
        "eval (a + b * -c) ^ 2 - max(A, 3, 1.5K) as B, A % B",
        "math round(a/b, 0.1) default now() or 3 xor 4",
        "skip 5",
        "pack_json fields (A, B*) as c",
        "pack_logfmt",
        "mv A B",
        "replace if (F) (A, B) at c limit 3",
        "replace_regexp ('a(b)', '$1') at A",
        "sample 3",
        "order by (A, B desc) desc offset 3 limit 7 rank",
        "sort (A) partition (B) limit 3",
        "stats by (A, B:5m offset 1h) count() as x, quantile(0.5, A*) if (F)",
        "stats count_uniq(A, B) limit 5 as y, row_max(A, B), uniq_values(A) limit 3",
        "count(), rate() z",
        "sum(A), histogram(B) as h, json_values(A*) limit 2",
        "stream_context before 3 after 5 time_window 2h",
        "top 3 by (A, B) hits as h rank as r",
        "union (F)",
        "uniq by (A, B) with hits limit 3",
        "unpack_json if (F) from A fields (B, c*) result_prefix p keep_original_fields",
        "unpack_logfmt from A result_prefix B skip_empty_results",
        "unpack_syslog from A offset 5h30m result_prefix B",
        "unpack_json from A fields (*, B)",
        "unpack_words from A as B drop_duplicates",
        "unroll if (F) (A, B)",
    ];
    (prop::sample::select(templates), word(), word(), filter())
        .prop_map(|(template, a, b, f)| fill(&template.replace('F', "\u{1}"), &a, &b).replace('\u{1}', &f))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_shown_parses_to_the_same(filter in filter(), pipes in prop::collection::vec(pipe(), 0..4)) {
        let text = [filter].into_iter().chain(pipes).collect::<Vec<_>>().join(" | ");
        same_again(&text)?;
    }

    #[test]
    fn any_tokens_are_parsed_or_refused(tokens in prop::collection::vec(prop::sample::select(vec![
        "a", "b:", "*", "(", ")", "[", "]", ",", "|", "!", "-", "=", "~", "<", ">", "{", "}", "or", "and", "not", "in(",
        "range(", "_time:", "5m", "2024", "'x y'", "\"", "stats", "count()", "by", "if", "(a)", "fields", "math", "+", ":",
        "options(", "in", "1.5", "offset", "as", "sort", "limit", "#", " ", "\n", "é", "\u{0}", "_stream_id:",
    ]), 0..20)) {
        same_again(&tokens.concat())?;
        same_again(&tokens.join(" "))?;
    }
}

#[test]
fn generated_queries_mostly_parse() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let good = (0..300).filter(|_| parse(&format!("a | {}", pipe().new_tree(&mut runner).unwrap().current())).is_ok());
    assert!(good.count() > 100, "a round trip of what is refused tests nothing");
}

#[test]
fn faults_name_their_place() {
    for (text, at, part) in [
        ("foo | bar(", 6, "space"),
        ("foo and", 7, "filter after 'and'"),
        ("a:in(x", 6, "ends"),
        ("a (b", 4, "')'"),
        ("a b(c)", 3, "no filter 'b(...)'; a space"),
        ("a:pattern_match(b)", 15, "no filter 'pattern_match(...)'"),
        ("* | stats count() x, sum(y) x", 21, "two results"),
        ("a:~'('", 3, "regular expression"),
        ("a | sort by (x) limit y", 22, "number"),
        ("_time:5x", 6, "no duration"),
        ("count()", 0, "begins a pipe"),
        ("\"abc", 0, "missing closing"),
        ("'a\\q'", 0, "escape"),
        ("a | fields", 10, "name of a field"),
        ("a | extract '<a><b>'", 12, "text between"),
    ] {
        let fault = parse(text).expect_err(text);
        assert!(fault.at() == at && fault.reason().contains(part), "{text}: {fault}");
    }
}

#[test]
fn precedence_is_not_and_or() {
    for (text, shown) in [
        ("a or b c or !d e", "a or b c or !d e"),
        ("(a or b) c", "(a or b) c"),
        ("not (a b)", "!(a b)"),
        ("not not a", "a"),
        ("f:(a or b:c)", "f:a or f:b:c"),
        ("a AND B Or c", "a B or c"),
        ("(a and (b and c))", "a b c"),
        ("f:!a -g:b", "!f:a !g:b"),
        ("a # comment\n b", "a b"),
    ] {
        let shown_as = parse(text).unwrap().to_string();
        assert_eq!(shown_as.replace("\"b:c\"", "b:c"), shown, "{text}");
    }
}

#[test]
fn hostile_queries_end() {
    let deep_subquery = |n: usize| format!("{}a{}", "x:in(* | ".repeat(n), " | fields x)".repeat(n));
    let ambiguous = format!("* | {}a{}", "(x) count (y) if (a:in(* | ".repeat(60), "))".repeat(60));
    let queries = vec![
        "(".repeat(10_000) + "a" + &")".repeat(10_000),
        "!".repeat(100_000) + "a",
        "a:".repeat(100_000) + "a",
        "a or ".repeat(10_000) + "a",
        format!("in({}a)", "a,".repeat(100_000)),
        deep_subquery(10_000),
        deep_subquery(100),
        ambiguous,
        "a ~'(a{1,999}){9}'".into(),
        format!("* | math {}a", "-".repeat(50_000)),
        format!("* | math {}a", "a + ".repeat(50_000)),
        format!("* | math {}a", "a ^ (".repeat(50_000)),
        format!("* | math {}a{}", "(".repeat(120), format!("{})", "+a".repeat(200)).repeat(120)),
        format!("* | {}a", "limit 1 | ".repeat(50_000)),
        format!("* | stats {}count() x", "count() x, ".repeat(50_000)),
        "\"".repeat(500_000),
        "'\\".repeat(200_000),
        "{".repeat(100_000),
        "a".repeat(QUERY_BYTES_MAX + 1),
    ];
    for query in queries {
        let outcome = parse(&query).map(|query| query.to_string().len());
        drop(outcome);
    }
    assert!(parse(&("a or ".repeat(10_000) + "a")).is_ok());
    assert!(parse(&("(".repeat(100) + "a" + &")".repeat(100))).is_ok());
}
