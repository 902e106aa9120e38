//! The bounds of queries.
use super::text;
use logyard_storage::limits::MIB;
use logyard_storage::query::{duration, size};
use std::ffi::OsString;
use std::time::Duration;

const MAX_MEMORY: &str = "LOGYARD_QUERY_MAX_MEMORY";
const MAX_TOTAL_MEMORY: &str = "LOGYARD_QUERY_MAX_TOTAL_MEMORY";
const MAX_DURATION: &str = "LOGYARD_QUERY_MAX_DURATION";
const MAX_CONCURRENT: &str = "LOGYARD_QUERY_MAX_CONCURRENT";
const MAX_WAIT: &str = "LOGYARD_QUERY_MAX_WAIT";
const MAX_TAILS: &str = "LOGYARD_QUERY_MAX_TAILS";
/// What a query may take that has its process for itself, where nothing is said.
const PIPED_MEMORY: usize = 1_024 * MIB;
/// More queries at once than there are threads for.
const CONCURRENT_MAX: usize = 256;
/// Nearly as many as there are connections.
const TAILS_MAX: usize = 8_000;

/// What the command line sets of the bounds of queries.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueryFlags {
    pub(crate) max_memory: Option<String>,
    pub(crate) max_total_memory: Option<String>,
    pub(crate) max_duration: Option<String>,
    pub(crate) max_concurrent: Option<String>,
    pub(crate) max_wait: Option<String>,
    pub(crate) max_tails: Option<String>,
}

/// The bounds of queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueryBounds {
    /// Bytes that one may take.
    pub(crate) memory: usize,
    /// Bytes that all may take that run together, beside 8 MiB for each.
    pub(crate) total_memory: usize,
    /// How long one may take.
    pub(crate) duration: Duration,
    /// How many may run at once.
    pub(crate) concurrent: usize,
    /// How long one waits for its turn.
    pub(crate) wait: Duration,
    /// How many live queries may be open at once.
    pub(crate) tails: usize,
}

impl Default for QueryBounds {
    /// For a machine of 1 GiB.
    fn default() -> Self {
        Self {
            memory: 256 * MIB,
            total_memory: 512 * MIB,
            duration: Duration::from_secs(30),
            concurrent: 16,
            wait: Duration::from_secs(10),
            tails: 1_000,
        }
    }
}

impl QueryBounds {
    /// Puts the sources together; `text` gives what the environment has.
    pub(super) fn new(
        flags: QueryFlags,
        text: impl Fn(&str) -> Result<Option<String>, String>,
    ) -> Result<Self, String> {
        let said = |flag: Option<String>, name: &str| match flag {
            Some(value) => Ok(Some(value)),
            None => text(name),
        };
        let wrong = |name: &str, value: &str, wanted: &str| format!("{name} is `{value}`, and has to be {wanted}");
        let bytes = |flag: Option<String>, name: &str, default: usize| match said(flag, name)? {
            None => Ok(default),
            Some(value) => {
                let bytes = size(&value).and_then(|bytes| usize::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
                bytes.ok_or_else(|| wrong(name, &value, "a number of bytes such as 256MiB"))
            }
        };
        let time = |flag: Option<String>, name: &str, default: Duration| match said(flag, name)? {
            None => Ok(default),
            Some(value) => {
                let nanos = duration(&value).and_then(|nanos| u64::try_from(nanos).ok());
                nanos.map(Duration::from_nanos).ok_or_else(|| wrong(name, &value, "a duration such as 30s"))
            }
        };
        let default = Self::default();
        let count = |flag: Option<String>, name: &str, most: usize, default: usize| match said(flag, name)? {
            None => Ok(default),
            Some(value) => {
                let count = value.parse().ok().filter(|count| (1..=most).contains(count));
                count.ok_or_else(|| wrong(name, &value, &format!("a number from 1 to {most}")))
            }
        };
        Ok(Self {
            memory: bytes(flags.max_memory, MAX_MEMORY, default.memory)?,
            total_memory: bytes(flags.max_total_memory, MAX_TOTAL_MEMORY, default.total_memory)?,
            duration: time(flags.max_duration, MAX_DURATION, default.duration)?,
            concurrent: count(flags.max_concurrent, MAX_CONCURRENT, CONCURRENT_MAX, default.concurrent)?,
            tails: count(flags.max_tails, MAX_TAILS, TAILS_MAX, default.tails)?,
            wait: time(flags.max_wait, MAX_WAIT, default.wait)?,
        })
    }
}

/// What a query over rows that are piped in may take, which has its process for itself.
pub(crate) fn query_memory(env: impl Fn(&str) -> Option<OsString>) -> Result<usize, String> {
    let set = QueryBounds::new(QueryFlags::default(), |name| text(&env, name))?;
    Ok(if text(&env, MAX_MEMORY)?.is_some() { set.memory } else { PIPED_MEMORY })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(flags: QueryFlags, env: &[(&str, &str)]) -> Result<QueryBounds, String> {
        QueryBounds::new(flags, |name| Ok(env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into())))
    }

    #[test]
    fn queries_have_bounds() {
        let none = bounds(QueryFlags::default(), &[]).unwrap();
        assert_eq!(none, QueryBounds::default());
        let env = [(MAX_MEMORY, "1GiB"), (MAX_DURATION, "5m"), (MAX_CONCURRENT, "3"), (MAX_WAIT, "0s")];
        let set = bounds(QueryFlags::default(), &env).unwrap();
        assert_eq!((set.memory, set.duration, set.concurrent), (1 << 30, Duration::from_secs(300), 3));
        assert_eq!((set.total_memory, set.wait), (none.total_memory, Duration::ZERO));
        let query =
            QueryFlags { max_memory: Some("5KB".into()), max_concurrent: Some("7".into()), ..QueryFlags::default() };
        let both = bounds(query, &env).unwrap();
        assert_eq!((both.memory, both.concurrent, both.duration), (5_000, 7, set.duration));
        for (name, value) in [
            (MAX_MEMORY, "0"),
            (MAX_MEMORY, "-1"),
            (MAX_TOTAL_MEMORY, "much"),
            (MAX_DURATION, "-1s"),
            (MAX_CONCURRENT, "0"),
            (MAX_CONCURRENT, "100000"),
            (MAX_TAILS, "0"),
            (MAX_WAIT, "long"),
        ] {
            let fault = bounds(QueryFlags::default(), &[(name, value)]).err().unwrap();
            assert!(fault.contains(name) && fault.contains(value), "{fault}");
        }
    }

    #[test]
    fn who_has_a_process_for_itself_may_take_more() {
        assert_eq!(query_memory(|_| None), Ok(PIPED_MEMORY));
        assert_eq!(query_memory(|name| (name == MAX_MEMORY).then(|| "5MiB".into())), Ok(5 * MIB));
        assert!(query_memory(|name| (name == MAX_MEMORY).then(|| "5 apples".into())).is_err());
    }
}
