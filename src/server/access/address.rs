//! Where a request comes from: the other end of its connection, or whom a trusted proxy names.
//!
//! Invariant: what a header says of addresses counts only when the other end is a trusted proxy, and of a list of forwarders
//! nothing that stands before the first which is not trusted.
use crate::config::Cidr;
use axum::http::HeaderMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const OF_CLOUDFLARE: &str = "cf-connecting-ip";
const FORWARDERS: &str = "x-forwarded-for";
const OF_NGINX: &str = "x-real-ip";

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Peer(pub(in crate::server) IpAddr);

impl Default for Peer {
    fn default() -> Self {
        Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

/// Whose request it is.
pub(super) fn client(trusted: &[Cidr], Peer(peer): Peer, headers: &HeaderMap) -> IpAddr {
    let peer = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.has(address));
    if !is_trusted(peer) {
        return peer;
    }
    let one = |name: &str| headers.get(name)?.to_str().ok().and_then(address);
    one(OF_CLOUDFLARE).or_else(|| forwarded(headers, is_trusted)).or_else(|| one(OF_NGINX)).unwrap_or(peer)
}

/// The last forwarder that is not trusted itself; the first of all where all are.
fn forwarded(headers: &HeaderMap, is_trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    // What a client wrote that is no text must not hide what proxies wrote behind it.
    let lists: Vec<_> =
        headers.get_all(FORWARDERS).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    let mut last = None;
    for text in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
        // What stands before something that is no address is no better than it.
        let found = address(text)?;
        last = Some(found);
        if !is_trusted(found) {
            break;
        }
    }
    last
}

/// An address, perhaps with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let parsed = bare.parse().ok().or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()));
    parsed.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(trusted: &[&str], peer: &str, headers: &[(&'static str, &str)]) -> String {
        let trusted: Vec<Cidr> = trusted.iter().map(|network| Cidr::parse(network).unwrap()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        client(&trusted, Peer(peer.parse().unwrap()), &map).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let all = [(OF_CLOUDFLARE, "1.1.1.1"), (FORWARDERS, "2.2.2.2"), (OF_NGINX, "3.3.3.3")];
        assert_eq!(seen(&[], "10.0.0.1", &all), "10.0.0.1");
        assert_eq!(seen(&["10.0.0.2"], "10.0.0.1", &all), "10.0.0.1");
        assert_eq!(seen(&["10.0.0.0/8"], "::ffff:10.0.0.1", &all), "1.1.1.1");
        assert_eq!(seen(&["10.0.0.0/8"], "10.0.0.1", &all[1..]), "2.2.2.2");
        assert_eq!(seen(&["10.0.0.0/8"], "10.0.0.1", &all[2..]), "3.3.3.3");
        assert_eq!(seen(&["10.0.0.0/8"], "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_clients_claim_to_be_forwarded_for_does_not_count() {
        let of = |lists: &[&str]| {
            let headers: Vec<_> = lists.iter().map(|list| (FORWARDERS, *list)).collect();
            seen(&["10.0.0.0/8"], "10.0.0.1", &headers)
        };
        assert_eq!(of(&["6.6.6.6, 2.2.2.2"]), "2.2.2.2");
        assert_eq!(of(&["6.6.6.6, 2.2.2.2, 10.0.0.7"]), "2.2.2.2");
        assert_eq!(of(&["6.6.6.6", "2.2.2.2:4711, 10.0.0.7"]), "2.2.2.2");
        assert_eq!(of(&["[2001:db8::1]:80"]), "2001:db8::1");
        assert_eq!(of(&["10.0.0.9, 10.0.0.8"]), "10.0.0.9");
        assert_eq!(of(&["6.6.6.6, unknown"]), "10.0.0.1");
        // What is no text hides nothing of what proxies wrote behind it.
        assert_eq!(of(&["6.6.6.6", "\u{fc}, 2.2.2.2"]), "2.2.2.2");
        assert_eq!(of(&["6.6.6.6", "\u{fc}"]), "10.0.0.1");
    }
}
