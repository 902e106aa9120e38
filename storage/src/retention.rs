//! What decides how long rows stay, as pure policy.
//!
//! Invariants
//! * A row expires when both its event time and its arrival are older than its time to live.
//! * A class never lets rows go before their own time to live is over: it rounds up.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Nanoseconds of a day.
pub const DAY_NANOS: i64 = 86_400_000_000_000;

/// Rows that expire together: a segment has rows of one class only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RetentionClass {
    /// Days that rows stay; for ever where there are none.
    pub ttl_days: Option<u32>,
    /// Days that rows stay on this disk.
    pub local_days: Option<u32>,
    /// Whether rows go to the archive.
    pub archive: bool,
}

impl RetentionClass {
    /// The class of a time to live: days to 14, then weeks, then months, rounded up.
    pub fn of_days(ttl_days: Option<u32>) -> Self {
        let ttl_days = ttl_days.map(|days| match days {
            0..=14 => days,
            15..=90 => days.div_ceil(7) * 7,
            _ => days.div_ceil(30) * 30,
        });
        Self { ttl_days, ..Self::default() }
    }
}

/// How long the rows of each service live, to the day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lives {
    /// Days where a service has none of its own; for ever where there are none.
    pub default_days: Option<u32>,
    /// Days of the services that have their own.
    pub days_of: BTreeMap<String, Option<u32>>,
}

impl Lives {
    /// Days that rows of a service live; for ever where there are none.
    pub fn days(&self, service: &str) -> Option<u32> {
        self.days_of.get(service).copied().unwrap_or(self.default_days)
    }

    /// Before this time, the later of event time and arrival, a row of some service may be past its life. Whatever is
    /// later is alive, whose ever it is.
    pub fn alive_from(&self, now: i64) -> i64 {
        let shortest = self.days_of.values().chain([&self.default_days]).flatten().min();
        shortest.map_or(i64::MIN, |days| now.saturating_sub(i64::from(*days).saturating_mul(DAY_NANOS)))
    }
}

/// Whether a row of a service with this time to live is past its life.
pub fn is_expired(expire_from: i64, ttl_days: Option<u32>, now: i64) -> bool {
    ttl_days.is_some_and(|days| expire_from < now.saturating_sub(i64::from(days).saturating_mul(DAY_NANOS)))
}

/// The UTC day of a time, as `YYYY-MM-DD`.
pub fn day_of(time: i64) -> String {
    let (year, month, day) = civil(time.div_euclid(DAY_NANOS));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of the day that is so many days after 1970-01-01.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    // Days since 0000-03-01, in 400-year eras of 146,097 days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`] for every date that there is; [`civil`] of the result says whether there is this one.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_civil() {
        assert_eq!(day_of(0), "1970-01-01");
        assert_eq!(day_of(-1), "1969-12-31");
        assert_eq!(day_of(1_709_164_800_000_000_000), "2024-02-29");
        assert_eq!(day_of(1_780_000_000_000_000_000), "2026-05-28");
        for days in (-800_000..3_000_000).step_by(97) {
            let (year, month, day) = civil(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_ne!(civil(days_from_civil(2026, 2, 29)), (2026, 2, 29));
        assert_ne!(civil(days_from_civil(2026, 0, 7)), (2026, 0, 7));
    }

    #[test]
    fn the_shortest_life_says_what_is_alive() {
        let mut lives = Lives { default_days: None, ..Lives::default() };
        assert_eq!(lives.alive_from(0), i64::MIN);
        lives.days_of.insert("a".into(), Some(3));
        lives.days_of.insert("b".into(), None);
        assert_eq!((lives.days("a"), lives.days("b"), lives.days("c")), (Some(3), None, None));
        assert_eq!(lives.alive_from(5 * DAY_NANOS), 2 * DAY_NANOS);
        lives.default_days = Some(1);
        assert_eq!(lives.alive_from(5 * DAY_NANOS), 4 * DAY_NANOS);
        assert!(!is_expired(lives.alive_from(5 * DAY_NANOS), Some(1), 5 * DAY_NANOS));
    }

    #[test]
    fn classes_round_up_and_expiry_is_exact() {
        assert_eq!(RetentionClass::of_days(Some(3)).ttl_days, Some(3));
        assert_eq!(RetentionClass::of_days(Some(15)).ttl_days, Some(21));
        assert_eq!(RetentionClass::of_days(Some(91)).ttl_days, Some(120));
        assert_eq!(RetentionClass::of_days(None).ttl_days, None);
        assert!(is_expired(DAY_NANOS - 1, Some(1), 2 * DAY_NANOS));
        assert!(!is_expired(DAY_NANOS, Some(1), 2 * DAY_NANOS));
        assert!(!is_expired(0, None, i64::MAX));
    }
}
