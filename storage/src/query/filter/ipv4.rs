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
