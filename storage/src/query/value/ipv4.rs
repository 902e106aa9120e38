//! IPv4 addresses and networks.
//!
//! Invariants
//! * An address is four numbers of one to three digits, each up to 255, zeros in front included; anything else is none.
//! * A network is told by the bits of its prefix; how those behind were written does not count.

/// An address as a number.
pub(crate) fn ipv4(text: &str) -> Option<u32> {
    if text.len() < 7 || text.len() > 15 {
        return None;
    }
    let mut parts = text.split('.');
    let mut address = 0u32;
    for _ in 0..4 {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        address = address << 8 | u32::from(part.parse::<u8>().ok()?);
    }
    parts.next().is_none().then_some(address)
}

/// The first and the last address of a network such as `10.0.0.0/8`; of a single address, that one twice.
pub(crate) fn network(text: &str) -> Option<(u32, u32)> {
    let Some((address, bits)) = text.split_once('/') else {
        return ipv4(text).map(|address| (address, address));
    };
    let address = ipv4(address)?;
    let bits = u32::try_from(super::number::uint(bits)?).ok().filter(|bits| *bits <= 32)?;
    let hosts = u32::MAX.checked_shr(bits).unwrap_or(0);
    Some((address & !hosts, address | hosts))
}

/// A number as an address.
pub(crate) fn show_ipv4(address: u32) -> String {
    std::net::Ipv4Addr::from(address).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_four_bytes() {
        assert_eq!(ipv4("1.2.3.4"), Some(0x0102_0304));
        assert_eq!(ipv4("255.255.255.255"), Some(u32::MAX));
        for wrong in ["1.2.3", "1.2.3.256", "1.2.3.4.5", "a.b.c.d", "1.2.3.", "1..3.4444"] {
            assert_eq!(ipv4(wrong), None, "{wrong}");
        }
        assert_eq!(show_ipv4(0x0102_0304), "1.2.3.4");
    }

    #[test]
    fn networks_span_their_hosts() {
        assert_eq!(network("127.0.0.1/8"), Some((0x7f00_0000, 0x7fff_ffff)));
        assert_eq!(network("0.0.0.0/0"), Some((0, u32::MAX)));
        assert_eq!(network("1.2.3.4/32"), Some((0x0102_0304, 0x0102_0304)));
        assert_eq!(network("1.2.3.4"), Some((0x0102_0304, 0x0102_0304)));
        assert_eq!((network("1.2.3.4/33"), network("1.2.3.4/x")), (None, None));
    }
}
