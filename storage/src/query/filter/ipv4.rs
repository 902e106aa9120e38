//! `ipv4_range(...)`: IPv4 addresses of a range or a network.
//!
//! Invariants
//! * Both ends are in it. A text that is no address, the empty one too, never passes.
use super::parse::{Scope, arguments, function};
use super::{Filter, Test};
use crate::query::fault::{Fault, Parsed};
use crate::query::parse::Parser;
use crate::query::value::ipv4::{ipv4, network, show_ipv4};
use std::fmt;

/// A range of addresses, both ends in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipv4Range {
    /// The first address.
    pub min: u32,
    /// The last address.
    pub max: u32,
}

impl Ipv4Range {
    /// Whether a text is an address in it.
    pub(crate) fn has(&self, text: &str) -> bool {
        ipv4(text).is_some_and(|address| address >= self.min && address <= self.max)
    }
}

impl fmt::Display for Ipv4Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ipv4_range({}, {})", show_ipv4(self.min), show_ipv4(self.max))
    }
}

pub(super) fn parse(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    if let Some(word) = function(parser, scope, &["("])? {
        return Ok(word);
    }
    let at = parser.at();
    let bounds = match arguments(parser)?.as_slice() {
        [only] => network(only),
        [min, max] => ipv4(min).zip(ipv4(max)),
        _ => None,
    };
    let (min, max) = bounds
        .ok_or_else(|| Fault::new(at.0, "an IPv4 address, a network such as 10.0.0.0/8 or two addresses are wanted"))?;
    Ok(scope.test(Test::Ipv4(Ipv4Range { min, max })))
}

#[cfg(test)]
mod tests {
    use crate::query::testing::{check_faults, check_filters};

    const ROWS: &str = r#"
        {"row":"a","user.ip":"127.0.0.1","_msg":"127.255.255.255"}
        {"row":"b","user.ip":"127.255.255.255","_msg":"request from 127.0.0.1: done"}
        {"row":"c","user.ip":"128.0.0.0"}
        {"row":"d","user.ip":"126.255.255.255"}
        {"row":"e","user.ip":"1.2.3.4","user:ip":"10.0.0.1"}
        {"row":"f","user.ip":""}
        {"row":"g","user.ip":"1.2.3.4.5"}
        {"row":"h","user.ip":"0.0.0.0"}
        {"row":"i","user.ip":"255.255.255.255"}
        {"row":"j","user.ip":"١.2.3.4"}
        {"row":"k","user.ip":" 1.2.3.4"}
    "#;

    #[test]
    fn whole_texts_are_addresses_in_a_range() {
        check_filters(
            ROWS,
            &[
                ("user.ip:ipv4_range(127.0.0.0, 127.255.255.255)", "ab"),
                ("user.ip:ipv4_range(\"127.0.0.0/8\")", "ab"),
                ("user.ip:ipv4_range(127.0.0.0/8)", "ab"),
                ("user.ip:ipv4_range(127.9.9.9/8)", "ab"),
                ("user.ip:IPV4_RANGE(127.0.0.0/8)", "ab"),
                ("user.ip:ipv4_range(\"1.2.3.4\")", "e"),
                ("user.ip:ipv4_range(1.2.3.4/32)", "e"),
                ("user.ip:ipv4_range(0.0.0.0/0)", "abcdehi"),
                ("user.ip:ipv4_range(128.0.0.0, 127.0.0.0)", ""),
                ("\"user:ip\":ipv4_range(10.0.0.0/24)", "e"),
                ("ipv4_range(127.0.0.0/8)", "a"),
                ("none:ipv4_range(0.0.0.0/0)", ""),
                ("user.ip:(ipv4_range(1.2.3.4) OR ipv4_range(128.0.0.0/16))", "ce"),
                ("user.ip:!ipv4_range(0.0.0.0/1)", "cfgijk"),
                ("ipv4_range", ""),
            ],
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for query in ["ipv4_range(1.2.3)", "ipv4_range(1.2.3.4/33)", "ipv4_range(1.2.3.4, x)", "ipv4_range()"] {
            check_faults(&[(query, 10, "10.0.0.0/8")]);
        }
        check_faults(&[("a:ipv4_range(1.2.3.4, 1.2.3.5, 1.2.3.6)", 12, "two addresses")]);
    }
}
