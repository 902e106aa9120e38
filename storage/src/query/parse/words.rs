//! Which words mean something of their own, so that they have to be quoted where they are only text.
//!
//! Invariants
//! * A word that begins a pipe or is a function of `stats` has to be quoted to begin a filter, but for `pack_logfmt`.
use crate::query::value::number::looks_like_number;
use crate::query::value::quote::quote;
use crate::text::words::is_word;

/// Words of filters, times and options.
const RESERVED: [&str; 24] = [
    "and",
    "or",
    "not",
    "now",
    "offset",
    "contains_all",
    "contains_any",
    "contains_common_case",
    "eq_field",
    "equals_common_case",
    "exact",
    "fuzzy",
    "i",
    "in",
    "ipv4_range",
    "le_field",
    "len_range",
    "lt_field",
    "range",
    "re",
    "seq",
    "string_range",
    "value_type",
    "options",
];

/// Words that pipes begin with.
pub(crate) const PIPES: [&str; 53] = [
    "block_stats",
    "blocks_count",
    "collapse_nums",
    "copy",
    "cp",
    "decolorize",
    "delete",
    "del",
    "rm",
    "drop",
    "drop_empty_fields",
    "extract",
    "extract_regexp",
    "facets",
    "field_names",
    "field_values",
    "fields",
    "keep",
    "filter",
    "where",
    "first",
    "format",
    "join",
    "json_array_len",
    "hash",
    "last",
    "len",
    "limit",
    "head",
    "math",
    "eval",
    "offset",
    "skip",
    "pack_json",
    "rename",
    "mv",
    "replace",
    "replace_regexp",
    "sample",
    "sort",
    "order",
    "stats",
    "stats_remote",
    "by",
    "stream_context",
    "top",
    "union",
    "uniq",
    "unpack_json",
    "unpack_logfmt",
    "unpack_syslog",
    "unpack_words",
    "unroll",
];

/// Functions of `stats`, which may begin a pipe without that word.
const FUNCTIONS: [&str; 20] = [
    "avg",
    "count",
    "count_empty",
    "count_uniq",
    "count_uniq_hash",
    "histogram",
    "json_values",
    "max",
    "median",
    "min",
    "quantile",
    "rate",
    "rate_sum",
    "row_any",
    "row_max",
    "row_min",
    "sum",
    "sum_len",
    "uniq_values",
    "values",
];

/// Whether a word begins a pipe, so that no filter can begin with it.
pub(crate) fn begins_pipe(word: &str) -> bool {
    PIPES.iter().chain(&FUNCTIONS).any(|known| known.eq_ignore_ascii_case(word))
}

fn needs_quotes(text: &str) -> bool {
    let known = [&RESERVED[..], &PIPES[..], &FUNCTIONS[..]];
    text.is_empty()
        || text.chars().any(|c| !is_word(c) && c != '.')
        || known.iter().any(|words| words.iter().any(|word| word.eq_ignore_ascii_case(text)))
}

/// A text as a token that means only it.
pub(crate) fn quote_if_needed(text: &str) -> String {
    if needs_quotes(text) { quote(text) } else { text.into() }
}

/// The name of a field in front of its filter; the message goes without.
pub(crate) fn quote_field(name: &str) -> String {
    if name == "_msg" { String::new() } else { format!("{}:", quote_if_needed(name)) }
}

/// A name or a prefix and `*`.
pub(crate) fn quote_pattern(pattern: &str) -> String {
    match pattern.strip_suffix('*') {
        Some(prefix) if prefix.is_empty() || !needs_quotes(prefix) => pattern.into(),
        _ => quote_if_needed(pattern),
    }
}

/// A number, time or duration as it was written, where it reads back so.
pub(crate) fn quote_operand(text: &str) -> String {
    let plain = |c: char| is_word(c) || matches!(c, '.' | '-' | '+' | ':');
    let plain = !text.is_empty() && text.chars().all(plain);
    if plain { text.into() } else { quote(text) }
}

/// A text after `<` and the like, which must not read as a number.
pub(crate) fn quote_text_operand(text: &str) -> String {
    if looks_like_number(text) { quote(text) } else { quote_if_needed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse;

    #[test]
    fn a_quoted_word_before_a_group_stays_a_word() {
        for word in RESERVED.iter().chain(&PIPES).chain(&FUNCTIONS) {
            for text in [format!("\"{word}\" (a or b)"), format!("\"{word}\":a"), format!("a:\"{word}\" (b)")] {
                let query = parse(&text).unwrap();
                let again = parse(&query.to_string()).unwrap_or_else(|fault| panic!("{text} as {query}: {fault}"));
                assert_eq!(again, query, "{text} as {query}");
            }
        }
    }
}
