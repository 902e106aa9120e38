//! Names of what is exported: folders by hour, parts by the numbers of their rows, and the seed's own layout. Pure.
//!
//! Invariants
//! * A part's name says which numbers of which epoch it covers. Of two parts of a folder one of which covers no more than the other,
//!   the other one counts alone.
//! * A value in a name is escaped as Hive does it, so that no value leaves its folder. Of one that is too long for a name the beginning
//!   stands there, and a digest.
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The folder of Parquet files, and that of single logs.
pub(crate) const PARQUET: &str = "parquet";
pub(crate) const LOGS: &str = "logs";
/// Nanoseconds of an hour.
pub(crate) const HOUR: i64 = 3_600_000_000_000;
/// Bytes of an escaped value in a name.
const VALUE_BYTES_MAX: usize = 200;
/// What a missing value is called.
const NOTHING: &str = "__HIVE_DEFAULT_PARTITION__";

/// A part as its name says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) epoch: u32,
    /// The first and the last number that it covers.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The beginning of its contents' digest, in hex digits.
    pub(crate) digest: String,
}

impl Part {
    /// The name of its file.
    pub(crate) fn name(&self) -> String {
        format!("part-{:06x}-{:016}-{:016}-{}.parquet", self.epoch, self.first, self.last, self.digest)
    }

    /// What a name says; nothing where it is none of ours.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut pieces = name.strip_prefix("part-")?.strip_suffix(".parquet")?.split('-');
        let mut next = || pieces.next();
        let epoch = u32::from_str_radix(next()?, 16).ok()?;
        let part =
            Self { epoch, first: next()?.parse().ok()?, last: next()?.parse().ok()?, digest: next()?.to_owned() };
        // Only what is spelled as we spell it.
        (part.name() == name && part.first <= part.last).then_some(part)
    }

    fn covers(&self, other: &Self) -> bool {
        self.epoch == other.epoch && self.first <= other.first && other.last <= self.last
    }

    /// Whether it does not count because of another one.
    pub(crate) fn is_covered(&self, all: &[Self]) -> bool {
        let counts_before = |other: &Self| other.covers(self) && (!self.covers(other) || other.digest < self.digest);
        all.iter().any(|other| other != self && counts_before(other))
    }
}

/// The folder of an hour and service, or account, below [`PARQUET`].
pub(crate) fn folder(hour: i64, key: &str, value: &str) -> String {
    let (year, month, day) = civil(hour.div_euclid(24));
    let hour = hour.rem_euclid(24);
    format!("{PARQUET}/year={year:04}/month={month:02}/day={day:02}/hour={hour:02}/{key}={}", escaped(value))
}

/// The object of one log in the seed's layout, at a time in nanoseconds.
pub(crate) fn log_object(service: &str, time: i64, id: &str) -> String {
    let (year, month, day) = civil(time.div_euclid(24 * HOUR));
    format!("{LOGS}/{}/{year:04}-{month:02}-{day:02}/{id}.json.gz", escaped(service))
}

/// A value as part of a name.
pub(crate) fn escaped(value: &str) -> String {
    if value.is_empty() {
        return NOTHING.to_owned();
    }
    let mut out = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        let is_plain = !c.is_control() && !r##""#%'*/:=?\{}[]^"##.contains(c);
        // A name that begins with a dot is hidden, and one of dots alone is another folder.
        if is_plain && !(at == 0 && c == '.') {
            out.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a string cannot fail.
                let _infallible = write!(out, "%{byte:02X}");
            }
        }
    }
    if out.len() > VALUE_BYTES_MAX { shortened(&out) } else { out }
}

/// The beginning of a long name, and its digest: file systems take 255 bytes.
fn shortened(name: &str) -> String {
    let mut end = VALUE_BYTES_MAX - 40;
    // Neither in the middle of a character, nor of an escape.
    while !name.is_char_boundary(end)
        || name.get(..end).is_some_and(|kept| kept.bytes().rev().take(2).any(|b| b == b'%'))
    {
        end -= 1;
    }
    let digest = Sha256::digest(name.as_bytes());
    let digest: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}~{digest}", name.get(..end).unwrap_or_default())
}

/// The value that a part of a name stands for.
#[cfg(test)]
fn unescaped(name: &str) -> String {
    if name == NOTHING {
        return String::new();
    }
    let (mut out, mut rest) = (Vec::with_capacity(name.len()), name.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A time as RFC 3339 with nine digits, in UTC.
pub(crate) fn rfc3339(time: i64) -> String {
    let (year, month, day) = civil(time.div_euclid(24 * HOUR));
    let of_day = time.rem_euclid(24 * HOUR);
    let (seconds, nanos) = (of_day / 1_000_000_000, of_day % 1_000_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// Year, month and day of a day since 1970; years begin in March, so that a leap day ends one.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::time::from_text;

    #[test]
    fn values_come_back_out_of_names_and_stay_in_their_folder() {
        for value in
            ["shop", "", "a/b", "..", ".", ".hidden", "a.b", "a=b%c", "ümlaut →", "a\u{1}b", "a:b?", "%2F", "x%"]
        {
            let name = escaped(value);
            assert_eq!(unescaped(&name), value);
            assert!(!name.contains(['/', '=']) && !name.starts_with('.'), "{name}");
        }
        assert_eq!(escaped("a/b=c"), "a%2Fb%3Dc");
        for long in ["x".repeat(300), "ü".repeat(150), "/".repeat(100)] {
            let (name, other) = (escaped(&long), escaped(&format!("{long}y")));
            assert!(name.len() <= VALUE_BYTES_MAX && name != other && name.contains('~'), "{name}");
            let (kept, _) = name.split_once('~').unwrap();
            assert!(long.starts_with(&unescaped(kept)), "{name}");
        }
        let at = from_text("2026-11-30T14:57:56.5Z").unwrap();
        let folder = folder(at.div_euclid(HOUR), "service", "shop");
        assert_eq!(folder, "parquet/year=2026/month=11/day=30/hour=14/service=shop");
        assert_eq!(log_object("shop", at, "x-1"), "logs/shop/2026-11-30/x-1.json.gz");
        assert_eq!(rfc3339(at), "2026-11-30T14:57:56.500000000Z");
    }

    #[test]
    fn every_time_is_written_as_it_is_read() {
        for day in (-106_000..106_000).step_by(13) {
            let time = day * 24 * HOUR + 86_399_123_456_789;
            assert_eq!(from_text(&rfc3339(time)), Some(time));
        }
    }

    #[test]
    fn a_part_says_what_it_covers_and_gives_way_to_one_that_covers_more() {
        let part = |epoch, first, last, digest: &str| Part { epoch, first, last, digest: digest.into() };
        let name = part(0xab, 1, 20, "0f0f0f0f").name();
        assert_eq!(name, "part-0000ab-0000000000000001-0000000000000020-0f0f0f0f.parquet");
        assert_eq!(Part::parse(&name), Some(part(0xab, 1, 20, "0f0f0f0f")));
        for other in ["part-00000.parquet", "part-ab-1-20-0f.parquet", "x", "part-0000ab-1-2-3-4.parquet"] {
            assert_eq!(Part::parse(other), None, "{other}");
        }
        let all = [
            part(1, 0, 10, "b"),
            part(1, 11, 20, "b"),
            part(1, 0, 20, "c"),
            part(2, 5, 6, "a"),
            part(1, 21, 30, "b"),
            part(1, 21, 30, "a"),
        ];
        let counted: Vec<bool> = all.iter().map(|part| !part.is_covered(&all)).collect();
        assert_eq!(counted, [false, false, true, true, false, true]);
    }
}
