//! Times of the command line: a duration is so long ago, else a day, a month or a time, as a server reads them.
//!
//! Invariant: what is no time ends a command with 2, with the name of the flag, before a server is asked.
use super::Failure;
use super::terminal::printable;
use logyard_storage::query::{duration, time_span};
use std::time::{SystemTime, UNIX_EPOCH};

/// A time as the server reads it.
pub(super) fn moment(flag: &str, text: &str) -> Result<String, Failure> {
    span(flag, text)?;
    Ok(as_asked(text))
}

/// The first and the last nanosecond of a time.
pub(super) fn span(flag: &str, text: &str) -> Result<(i64, i64), Failure> {
    let wrong = || {
        let text = printable(text);
        Failure::Usage(format!("{flag} has to be a time such as 1h, 2026-05-28 or 2026-05-28T10:00:00Z, not `{text}`"))
    };
    time_span(&as_asked(text), now()).ok_or_else(wrong)
}

fn as_asked(text: &str) -> String {
    match duration(text) {
        // A number is a time already.
        Some(nanos) if nanos >= 0 && text.parse::<f64>().is_err() => format!("now-{text}"),
        _ => text.to_owned(),
    }
}

/// Nanoseconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_so_long_ago() {
        let asked = |text: &str| moment("--since", text).ok();
        assert_eq!(asked("1h"), Some("now-1h".into()));
        assert_eq!(asked("90s"), Some("now-90s".into()));
        for text in ["2026-05-28", "2026-05", "2026-05-28T10:00:00Z", "now", "1767225600", "now-5m"] {
            assert_eq!(asked(text), Some(text.into()));
        }
        for text in ["bogus", "", "2026-13-01", "1x"] {
            let wrong = moment("--since", text);
            assert!(matches!(&wrong, Err(Failure::Usage(what)) if what.starts_with("--since ")), "{text}: {wrong:?}");
        }
    }
}
