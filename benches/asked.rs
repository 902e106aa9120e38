//! The queries of the reference table as LogsQL; what is looked for is taken from the data.
//!
//! Invariants
//! * The same store gives the same queries: samples are taken at fixed places of it.
use logyard_storage::engine::{Engine, Search};
use logyard_storage::scan::filter::{Filter, Test};

/// Digits of an identifier in a message that is looked for as a word.
const HEX_DIGITS: usize = 8;

/// The queries, each by its name.
pub(crate) fn queries(engine: &Engine) -> Vec<(&'static str, String)> {
    let rows = engine.stats().expect("sizes").rows as usize;
    let sample = |filter: Filter, offset: usize| {
        let search = Search { limit: 1, offset, filter, ..Search::default() };
        engine.search(&search).expect("a search").pop()
    };
    let trace = sample(Filter::All, rows / 2).map(|r| r.get("metadata.trace_id").to_owned()).unwrap_or_default();
    let claim = Filter::Field("_msg".into(), Test::phrase("Attempting claim: memory", false));
    let claim = sample(claim, 10).map(|r| r.get("_msg").to_owned()).unwrap_or_default();
    let claim: String =
        claim.split("Attempting").nth(1).unwrap_or(" claim: memory 0").split_inclusive(' ').take(4).collect();
    vec![
        ("trace id, whole record", format!("metadata.trace_id:=\"{trace}\"")),
        ("rare hex id in messages, as a word", rare_word(engine, rows)),
        ("rare phrase", format!("\"Attempting{}\"", claim.trim_end())),
        ("count of all", "* | stats count() n".into()),
        ("count by level", "* | stats by (level) count() n".into()),
        (
            "newest 100 errors of a service",
            "service_name:=openssh level:=ERROR | sort by (_time) desc | limit 100".into(),
        ),
        ("newest 50 with a phrase", "\"Received connection request\" | sort by (_time) desc | limit 50".into()),
        ("failed by hour", "\"failed\" | stats by (_time:1h) count() n".into()),
        (
            "status 500 by host, p95",
            "metadata.status:=500 | stats by (metadata.host) count() n, quantile(0.95, metadata.duration_ms) p \
             | sort by (n) desc | limit 10"
                .into(),
        ),
        ("regexp count", "_msg:~\"rhost=[^ ]+ .*user=(root|admin)\" | stats count() n".into()),
        ("substring count: ail", "_msg:~\"ail\" | stats count() n".into()),
        ("word count: connection", "connection | stats count() n".into()),
        ("substring count: nnection req", "_msg:~\"nnection req\" | stats count() n".into()),
        ("distinct users", "* | stats count_uniq(metadata.user_id) u".into()),
    ]
}

/// A word of hex digits out of some message.
fn rare_word(engine: &Engine, rows: usize) -> String {
    for step in 1..200 {
        let search = Search { limit: 50, offset: rows / 200 * step, ..Search::default() };
        for record in engine.search(&search).expect("a search") {
            let words = record.get("_msg").split(|c: char| !c.is_ascii_alphanumeric());
            let is_hex = |word: &&str| {
                word.len() >= HEX_DIGITS
                    && word.bytes().all(|byte| byte.is_ascii_hexdigit())
                    && word.bytes().any(|byte| byte.is_ascii_alphabetic())
                    && word.bytes().any(|byte| byte.is_ascii_digit())
            };
            if let Some(word) = words.into_iter().find(is_hex) {
                return word.to_owned();
            }
        }
    }
    "0badcafe".into()
}
