//! How often may be asked: windows of fixed length, one for each address or key and each kind of request.
//!
//! Invariants
//! * What has no rate is not counted.
//! * At most [`WINDOWS_MAX`] are open of a kind; who comes beyond that shares one with all others that do.
//! * Addresses of IPv6 count by their first 64 bits, which one client has all of.
use super::table::Class;
use crate::config::{Rate, RateLimit};
use crate::server::error::ApiError;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

const WINDOWS_MAX: usize = 65_536;
/// How often finished windows are looked for where there are too many.
const SWEEP_MILLIS: i64 = 1_000;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// What is left of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    limit: u32,
    remaining: u32,
    /// When it ends, milliseconds since 1970.
    reset: i64,
    is_over: bool,
}

impl Quota {
    /// Of two the one that ends sooner for whoever asks.
    pub(super) fn tighter(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        [one, other].into_iter().flatten().min_by_key(|quota| (!quota.is_over, quota.remaining))
    }

    /// Refuses what is over it.
    pub(super) fn check(self, now: i64) -> Result<(), ApiError> {
        if !self.is_over {
            return Ok(());
        }
        let seconds = u64::try_from(self.reset - now).unwrap_or(0).div_ceil(1_000).max(1);
        let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded");
        Err(error.with("retry_after", seconds).retry_after(seconds))
    }

    /// Tells it.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(self.reset));
    }
}

/// The rates of all kinds of requests.
pub(super) struct RateLimits {
    addresses: Kinds<IpAddr>,
    keys: Kinds<Arc<str>>,
}

impl RateLimits {
    pub(super) fn new(rates: &RateLimit) -> Self {
        let of_keys =
            [rates.ingest_per_key, rates.batch_per_key, rates.read_per_key, rates.admin_per_key, rates.jobs_per_key];
        Self {
            addresses: Kinds::new([rates.ingest, rates.batch, rates.read, rates.admin, rates.jobs]),
            keys: Kinds::new(of_keys),
        }
    }

    /// Counts a request from an address.
    pub(super) fn of_address(&self, class: Class, address: IpAddr, now: i64) -> Option<Quota> {
        let counted = match address {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
            v4 => v4,
        };
        Some(self.addresses.of(class)?.take(&counted, now))
    }

    /// Counts a request with a key.
    pub(super) fn of_key(&self, class: Class, key: &Arc<str>, now: i64) -> Option<Quota> {
        Some(self.keys.of(class)?.take(key, now))
    }
}

/// Windows for each kind of request.
struct Kinds<K> {
    ingest: Option<Windows<K>>,
    batch: Option<Windows<K>>,
    read: Option<Windows<K>>,
    admin: Option<Windows<K>>,
    jobs: Option<Windows<K>>,
}

impl<K: Hash + Eq + Clone> Kinds<K> {
    fn new(rates: [Option<Rate>; 5]) -> Self {
        let windows = |rate: Option<Rate>| rate.map(|rate| Windows::new(rate, WINDOWS_MAX));
        let [ingest, batch, read, admin, jobs] = rates.map(windows);
        Self { ingest, batch, read, admin, jobs }
    }

    fn of(&self, class: Class) -> Option<&Windows<K>> {
        match class {
            Class::Uncounted => None,
            Class::Ingest => self.ingest.as_ref(),
            Class::Batch => self.batch.as_ref(),
            Class::Read => self.read.as_ref(),
            Class::Admin => self.admin.as_ref(),
            Class::Jobs => self.jobs.as_ref(),
        }
    }
}

/// Requests since a window began.
#[derive(Clone, Copy, Default)]
struct Window {
    began: i64,
    requests: u32,
}

struct Open<K> {
    windows: HashMap<K, Window>,
    /// Of all for whom there is no room.
    others: Window,
    swept: i64,
}

/// The windows of one kind of request.
struct Windows<K> {
    limit: u32,
    millis: i64,
    most: usize,
    open: Mutex<Open<K>>,
}

impl<K: Hash + Eq + Clone> Windows<K> {
    fn new(rate: Rate, most: usize) -> Self {
        let millis = i64::try_from(rate.within.as_millis()).unwrap_or(i64::MAX);
        let open = Open { windows: HashMap::new(), others: Window::default(), swept: i64::MIN };
        Self { limit: rate.requests, millis, most, open: Mutex::new(open) }
    }

    /// Counts a request of `key`.
    fn take(&self, key: &K, now: i64) -> Quota {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = &mut *open;
        let is_known = open.windows.contains_key(key);
        if !is_known && open.windows.len() >= self.most && now.abs_diff(open.swept) >= SWEEP_MILLIS.unsigned_abs() {
            open.windows.retain(|_, window| !self.is_finished(window, now));
            open.swept = now;
        }
        let window = if is_known || open.windows.len() < self.most {
            open.windows.entry(key.clone()).or_default()
        } else {
            &mut open.others
        };
        if self.is_finished(window, now) {
            *window = Window { began: now, requests: 0 };
        }
        let is_over = window.requests >= self.limit;
        window.requests = window.requests.saturating_add(1);
        let remaining = self.limit.saturating_sub(window.requests);
        Quota { limit: self.limit, remaining, reset: window.began.saturating_add(self.millis), is_over }
    }

    /// A clock that was set back ends windows, too.
    fn is_finished(&self, window: &Window, now: i64) -> bool {
        window.requests == 0 || now < window.began || now - window.began >= self.millis
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn windows(requests: u32, most: usize) -> Windows<u32> {
        Windows::new(Rate { requests, within: Duration::from_secs(60) }, most)
    }

    #[test]
    fn a_window_has_so_many_and_then_ends() {
        let windows = windows(2, 10);
        let quota = |remaining, reset, is_over| Quota { limit: 2, remaining, reset, is_over };
        assert_eq!(windows.take(&1, 1_000), quota(1, 61_000, false));
        assert_eq!(windows.take(&1, 2_000), quota(0, 61_000, false));
        assert_eq!(windows.take(&1, 60_999), quota(0, 61_000, true));
        assert_eq!(windows.take(&2, 60_999), quota(1, 120_999, false));
        assert_eq!(windows.take(&1, 61_000), quota(1, 121_000, false));
        assert_eq!(windows.take(&1, 500), quota(1, 60_500, false));
    }

    #[test]
    fn there_are_only_so_many_windows() {
        let windows = windows(3, 2);
        windows.take(&1, 1_000);
        windows.take(&2, 30_000);
        assert_eq!(windows.take(&3, 30_001).remaining, 2);
        assert_eq!(windows.take(&4, 30_002).remaining, 1);
        assert_eq!(windows.take(&1, 30_003).remaining, 1);
        // The first has finished, and its place is taken.
        assert_eq!(windows.take(&5, 61_001).remaining, 2);
        assert_eq!(windows.open.lock().unwrap().windows.len(), 2);
    }

    #[test]
    fn kinds_are_counted_apart_and_the_tighter_is_told() {
        let rate = |requests| Some(Rate { requests, within: Duration::from_secs(60) });
        let none: Option<Rate> = None;
        let limits = RateLimits {
            addresses: Kinds::new([rate(1), none, rate(9), none, none]),
            keys: Kinds::new([rate(5), none, none, none, none]),
        };
        let (here, key): (IpAddr, Arc<str>) = ("2001:db8::1".parse().unwrap(), "k".into());
        let next_door: IpAddr = "2001:db8::2".parse().unwrap();
        assert!(!limits.of_address(Class::Ingest, here, 0).unwrap().is_over);
        let address = limits.of_address(Class::Ingest, next_door, 0);
        assert!(address.unwrap().is_over);
        let told = Quota::tighter(limits.of_key(Class::Ingest, &key, 0), address).unwrap();
        assert_eq!((told.limit, told.check(59_001).is_err()), (1, true));
        assert!(limits.of_address(Class::Read, here, 0).is_some_and(|quota| !quota.is_over));
        assert_eq!(limits.of_key(Class::Read, &key, 0), None);
        assert_eq!(
            (limits.of_address(Class::Uncounted, here, 0), limits.of_address(Class::Jobs, here, 0)),
            (None, None)
        );
    }
}
