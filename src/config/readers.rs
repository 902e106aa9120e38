//! How values are read from texts: what each has to be, and what it becomes.
//!
//! Invariants
//! * A value that is out of bounds is refused; none is moved to its bound.
//! * A [`Secret`] shows nothing of itself, and none is shown by an error (`given.rs`).
//! * What a value is depends on its text alone, but for [`ADDRESSES`], which asks the resolver.
use super::access::{Cidr, Rate, origin};
use crate::log::{Format, Level};
use logyard_storage::options::{DiskBudget, WhenFull};
use logyard_storage::query::{duration, size};
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// A value as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Raw {
    /// One text; a variable's or a flag's list is one with commas.
    Text(String),
    /// A list in the file.
    List(Vec<String>),
}

impl Raw {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::List(_) => None,
        }
    }

    /// The items of a list, or those between the commas of a text.
    fn items(&self) -> Vec<String> {
        match self {
            Self::List(items) => items.clone(),
            Self::Text(text) => {
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
            }
        }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::List(items) => write!(f, "{items:?}"),
        }
    }
}

/// How a value is read.
pub(crate) struct Reader<T> {
    /// What it is called in a command line's help.
    pub(crate) value: &'static str,
    /// What it has to be.
    pub(crate) what: fn() -> String,
    /// Whether it must not be shown.
    pub(crate) is_secret: bool,
    /// The value, if it is one.
    pub(crate) read: fn(&Raw) -> Option<T>,
}

impl<T> Reader<T> {
    pub(super) const fn new(value: &'static str, what: fn() -> String, read: fn(&Raw) -> Option<T>) -> Self {
        Self { value, what, is_secret: false, read }
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A directory or a file that has to be there or is made.
pub(crate) const PATH: Reader<PathBuf> =
    Reader::new("PATH", || "a path".into(), |raw| raw.text().filter(|text| !text.is_empty()).map(PathBuf::from));

/// A file, or none.
pub(crate) const FILE: Reader<Option<PathBuf>> = Reader::new(
    "FILE",
    || "the path of a file".into(),
    |raw| raw.text().map(|text| Some(text).filter(|text| !text.is_empty()).map(PathBuf::from)),
);

/// What an address and a port stand for.
pub(crate) const ADDRESSES: Reader<Vec<SocketAddr>> = Reader::new(
    "ADDRESS",
    || "an address and a port such as 127.0.0.1:7514".into(),
    |raw| raw.text()?.to_socket_addrs().ok().map(Iterator::collect).filter(|all: &Vec<_>| !all.is_empty()),
);

/// A key or a token, or none.
pub(crate) const SECRET: Reader<Option<Secret>> = Reader {
    value: "SECRET",
    what: || "visible ASCII characters without spaces".into(),
    is_secret: true,
    read: |raw| {
        let text = raw.text().filter(|text| text.chars().all(|c| c.is_ascii_graphic()))?;
        Some(Some(text).filter(|text| !text.is_empty()).map(|text| Secret(text.to_owned())))
    },
};

/// A while, which may be none.
pub(crate) const DURATION: Reader<Duration> = Reader::new(
    "DURATION",
    || "a duration such as 30s".into(),
    |raw| duration(raw.text()?).and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos),
);

/// How long something may take at most.
pub(crate) const TIMEOUT: Reader<Duration> = Reader::new(
    "DURATION",
    || "a duration from 1ms to 24h".into(),
    |raw| {
        let bounds = Duration::from_millis(1)..=Duration::from_secs(86_400);
        (DURATION.read)(raw).filter(|duration| bounds.contains(duration))
    },
);

/// So many bytes, within bounds.
pub(crate) const fn bytes<const LEAST: usize, const MOST: usize>() -> Reader<usize> {
    Reader::new(
        "BYTES",
        || format!("a number of bytes from {LEAST} to {MOST}, such as 64KiB"),
        |raw| (BYTES.read)(raw).filter(|bytes| (LEAST..=MOST).contains(bytes)),
    )
}

/// So many bytes, one at least.
pub(crate) const BYTES: Reader<usize> = Reader::new(
    "BYTES",
    || "a number of bytes such as 256MiB".into(),
    |raw| number_of_bytes(raw.text()?).and_then(|bytes| usize::try_from(bytes).ok()),
);

/// A number within bounds.
pub(crate) const fn count<const LEAST: usize, const MOST: usize>() -> Reader<usize> {
    Reader::new(
        "N",
        || format!("a number from {LEAST} to {MOST}"),
        |raw| raw.text()?.parse().ok().filter(|count| (LEAST..=MOST).contains(count)),
    )
}

/// So many requests in so long, or as many as come.
pub(crate) const RATE: Reader<Option<Rate>> = Reader::new(
    "RATE",
    || "requests in a time such as 100/m or 20/10s".into(),
    |raw| match raw.text()? {
        "" => Some(None),
        text => Rate::parse(text).map(Some),
    },
);

/// Addresses and networks.
pub(crate) const CIDRS: Reader<Vec<Cidr>> = Reader::new(
    "LIST",
    || "a list of addresses or networks such as 10.0.0.0/8".into(),
    |raw| raw.items().iter().map(|item| Cidr::parse(item)).collect(),
);

/// Origins of pages.
pub(crate) const ORIGINS: Reader<Vec<String>> = Reader::new(
    "LIST",
    || "a list of origins such as https://logs.example, or *".into(),
    |raw| raw.items().iter().map(|item| origin(item)).collect(),
);

/// Yes or no.
pub(crate) const TRUTH: Reader<bool> = Reader::new("BOOL", || "true or false".into(), |raw| raw.text()?.parse().ok());

/// Days, or for ever.
pub(crate) const DAYS: Reader<Option<u32>> = Reader::new(
    "DAYS",
    || "a number of days, or -1".into(),
    |raw| match raw.text()? {
        "-1" => Some(None),
        days => days.parse().ok().filter(|days| (1..=100_000).contains(days)).map(Some),
    },
);

/// `90%` of the file system, or so many bytes under the data directory, as in `20GB`.
pub(crate) const DISK_BUDGET: Reader<DiskBudget> = Reader::new(
    "SIZE",
    || "a part of the file system (`90%`) or a size (`20GB`)".into(),
    |raw| disk_budget(raw.text()?),
);

fn disk_budget(text: &str) -> Option<DiskBudget> {
    if let Some(percent) = text.strip_suffix('%') {
        return percent.trim().parse().ok().filter(|percent| (1..=100).contains(percent)).map(DiskBudget::Percent);
    }
    number_of_bytes(text).map(DiskBudget::Bytes)
}

/// A number of bytes, one at least; one that is larger than any can be is none.
fn number_of_bytes(text: &str) -> Option<u64> {
    size(text).filter(|bytes| *bytes < i64::MAX).and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0)
}

/// What happens when the disk is full.
pub(crate) const WHEN_FULL: Reader<WhenFull> = Reader::new(
    "WHAT",
    || "refuse or drop_oldest".into(),
    |raw| match raw.text()? {
        "refuse" => Some(WhenFull::Refuse),
        "drop_oldest" => Some(WhenFull::DropOldest),
        _ => None,
    },
);

/// How much has to matter that is logged.
pub(crate) const LEVEL: Reader<Level> = Reader::new(
    "LEVEL",
    || "error, warn, info or debug".into(),
    |raw| Level::ALL.into_iter().find(|level| raw.text() == Some(level.name())),
);

/// What lines of the log look like.
pub(crate) const FORMAT: Reader<Format> = Reader::new(
    "FORMAT",
    || "text or json".into(),
    |raw| match raw.text()? {
        "text" => Some(Format::Text),
        "json" => Some(Format::Json),
        _ => None,
    },
);

/// A short name, or none.
pub(crate) const NAME: Reader<String> = Reader::new(
    "NAME",
    || "a name of at most 100 characters without control characters".into(),
    |raw| {
        let is_name = |text: &&str| text.chars().count() <= 100 && !text.chars().any(char::is_control);
        raw.text().filter(is_name).map(str::to_owned)
    },
);

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(reader: &Reader<T>, text: &str) -> Option<T> {
        (reader.read)(&Raw::Text(text.into()))
    }

    #[test]
    fn a_disk_budget_is_a_part_or_a_size() {
        let of = |text| read(&DISK_BUDGET, text);
        assert_eq!(of("75%"), Some(DiskBudget::Percent(75)));
        assert_eq!(of("20GB"), Some(DiskBudget::Bytes(20_000_000_000)));
        assert_eq!(of("3GiB"), Some(DiskBudget::Bytes(3 << 30)));
        // Sizes are written as everywhere else.
        assert_eq!((of("1.5KB"), of("512KiB")), (Some(DiskBudget::Bytes(1_500)), Some(DiskBudget::Bytes(512 << 10))));
        assert_eq!(of("4096"), Some(DiskBudget::Bytes(4096)));
        for wrong in ["0%", "101%", "%", "0", "GB", "-1", "1.5", "5 apples", "99999999999TB"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_durations_and_days_have_bounds() {
        assert_eq!(read(&BYTES, "5KB"), Some(5_000));
        assert!(["0", "-1", "much", "", "99999999999TB"].iter().all(|text| read(&BYTES, text).is_none()));
        assert_eq!(read(&DURATION, "5m"), Some(Duration::from_secs(300)));
        assert_eq!(read(&DURATION, "0s"), Some(Duration::ZERO));
        assert_eq!((read(&TIMEOUT, "0s"), read(&TIMEOUT, "2d"), read(&TIMEOUT, "1ms").is_some()), (None, None, true));
        let some = bytes::<8, 1_024>();
        assert_eq!((read(&some, "1KiB"), read(&some, "7"), read(&some, "2KiB")), (Some(1_024), None, None));
        assert!(["-1s", "long", "30"].iter().all(|text| read(&DURATION, text).is_none()));
        let few = count::<1, 5>();
        assert_eq!((read(&few, "5"), read(&few, "6"), read(&few, "0")), (Some(5), None, None));
        assert_eq!((few.what)(), "a number from 1 to 5");
        assert_eq!((read(&DAYS, "-1"), read(&DAYS, "7"), read(&DAYS, "0")), (Some(None), Some(Some(7)), None));
    }

    #[test]
    fn a_list_is_one_in_the_file_and_has_commas_elsewhere() {
        let texts = vec!["http://a".to_owned(), "http://b".to_owned()];
        assert_eq!(read(&ORIGINS, "http://a, http://b,"), Some(texts.clone()));
        assert_eq!((ORIGINS.read)(&Raw::List(texts.clone())), Some(texts.clone()));
        assert!((DURATION.read)(&Raw::List(texts)).is_none());
    }

    #[test]
    fn the_log_has_levels_formats_and_a_name() {
        assert_eq!((read(&LEVEL, "warn"), read(&LEVEL, "loud")), (Some(Level::Warn), None));
        assert_eq!((read(&FORMAT, "json"), read(&FORMAT, "xml")), (Some(Format::Json), None));
        assert_eq!((read(&NAME, ""), read(&NAME, "a\nb")), (Some(String::new()), None));
        assert!(read(&NAME, &"ä".repeat(100)).is_some() && read(&NAME, &"ä".repeat(101)).is_none());
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = read(&SECRET, "abc").unwrap().unwrap();
        assert_eq!((secret.reveal(), format!("{secret:?}").contains("abc")), ("abc", false));
        assert!(read(&SECRET, "a b").is_none());
    }
}
