//! Rates, networks and origins as settings have them, and what stands before every route is told of them.
//!
//! Invariant: without a word of the operator nothing is limited, no proxy is believed, and no origin is named.
use super::settings::RateLimit;
use logyard_storage::query::duration;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// What the operator says of access.
pub(crate) struct AccessSettings {
    /// Whether reads and requests of administrators leave records.
    pub(crate) log: bool,
    pub(crate) rate_limit: RateLimit,
    /// Origins whose pages may ask; `*` for all.
    pub(crate) cors_origins: Vec<String>,
    /// Who may say on whose behalf it asks.
    pub(crate) trusted_proxies: Vec<Cidr>,
}

/// So many requests in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) requests: u32,
    pub(crate) within: Duration,
}

impl Rate {
    /// `100/m`, `20/1m`, `5/10s`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (requests, within) = text.split_once('/')?;
        let requests = requests.trim().parse().ok().filter(|requests| *requests > 0)?;
        let within = within.trim();
        let nanos = duration(within).or_else(|| duration(&format!("1{within}")))?;
        let within = Duration::from_nanos(u64::try_from(nanos).ok()?);
        // Times are told in milliseconds.
        (within >= Duration::from_millis(1)).then_some(Self { requests, within })
    }
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    first: u128,
    mask: u128,
}

impl Cidr {
    /// `10.0.0.0/8`, `2001:db8::/32`, or one address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let own = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(own);
        if bits > own {
            return None;
        }
        let mask = u128::MAX.checked_shl(own - bits).unwrap_or(0);
        Some(Self { first: widened(address) & mask, mask })
    }

    /// Whether an address is one of them.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        widened(address) & self.mask == self.first
    }
}

/// An address as one of IPv6, so that those of IPv4 are themselves in either spelling.
fn widened(address: IpAddr) -> u128 {
    let wide: Ipv6Addr = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    wide.to_bits()
}

/// An origin as browsers send it: a scheme, a host and perhaps a port.
pub(super) fn origin(text: &str) -> Option<String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_origin = host.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'?' | b'#'))
    });
    (text == "*" || is_origin).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_requests_in_a_time() {
        let rate = |requests, seconds| Some(Rate { requests, within: Duration::from_secs(seconds) });
        assert_eq!(
            (Rate::parse("100/m"), Rate::parse("20/10s"), Rate::parse("5 / 1h")),
            (rate(100, 60), rate(20, 10), rate(5, 3_600))
        );
        for wrong in ["100", "0/m", "-1/m", "1/0s", "1/", "/m", "1/x", "99999999999/s"] {
            assert_eq!(Rate::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn origins_have_a_scheme_and_a_host_and_nothing_else() {
        assert_eq!(origin("https://A.example"), Some("https://a.example".into()));
        assert!(["*", "http://localhost:3000"].into_iter().all(|text| origin(text).is_some()));
        for wrong in ["example.org", "https://a.example/", "https://", "ftp://a", "https://a b", ""] {
            assert_eq!(origin(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn networks_have_addresses() {
        let has = |network: &str, address: &str| Cidr::parse(network).unwrap().has(address.parse().unwrap());
        assert!(has("10.0.0.0/8", "10.1.2.3") && !has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(has("0.0.0.0/0", "8.8.8.8") && !has("0.0.0.0/0", "2001:db8::1"));
        assert!(has("::/0", "2001:db8::1") && has("2001:db8::/32", "2001:db8:1::"));
        assert!(["10.0.0.0/33", "localhost", "", "10.0.0.0/"].into_iter().all(|text| Cidr::parse(text).is_none()));
        assert!(has("::1", "::1") && !has("::1", "::2") && !has("127.0.0.1", "127.0.0.2"));
    }
}
