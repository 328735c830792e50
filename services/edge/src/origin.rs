//! Where a request comes from: the peer's address, or what proxies that are trusted say of it.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// More of it is not passed on.
const MAX_USER_AGENT_CHARS: usize = 256;

/// Address and device of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) address: String,
    pub(crate) user_agent: String,
}

impl Origin {
    /// Reads the headers of a request that came from `peer`. Of the addresses in `X-Forwarded-For`, each proxy's
    /// addition last, the last one that no trusted proxy has counts: what stands before it the client may have made up.
    pub(crate) fn of(headers: &HeaderMap, peer: Option<IpAddr>, trusted: &[IpNet]) -> Self {
        let address = address(headers, peer, trusted);
        let agent = headers
            .get(USER_AGENT)
            .and_then(|value| value.to_str().ok());
        Self {
            address: address
                .map(|address| address.to_string())
                .unwrap_or_default(),
            user_agent: agent
                .unwrap_or_default()
                .chars()
                .take(MAX_USER_AGENT_CHARS)
                .collect(),
        }
    }
}

/// The address that a request comes from. None where the peer is not known.
pub(crate) fn address(
    headers: &HeaderMap,
    peer: Option<IpAddr>,
    trusted: &[IpNet],
) -> Option<IpAddr> {
    peer.map(|peer| client_of(headers, peer.to_canonical(), trusted))
}

fn client_of(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer;
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops {
        if !is_trusted(&client) {
            break;
        }
        let Some(before) = address_of(hop) else {
            break;
        };
        client = before.to_canonical();
    }
    client
}

/// Some proxies add the port.
fn address_of(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop.trim_ascii()).ok()?;
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    hop.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded: &[&str], trusted: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            let line = axum::http::HeaderValue::from_bytes(line.as_bytes());
            headers.append(FORWARDED_FOR, line.unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let origin = Origin::of(&headers, Some(peer.parse().unwrap()), &trusted);
        assert_eq!(origin.address, expected);
    }

    #[test]
    fn without_trusted_proxies_the_peer_is_the_client() {
        check("192.0.2.1", &["203.0.113.9"], &[], "192.0.2.1");
        check("::ffff:192.0.2.1", &[], &[], "192.0.2.1");
    }

    #[test]
    fn ports_that_proxies_add_are_none_of_the_address() {
        let proxies = ["10.0.0.0/8"];
        check("10.0.0.1", &["203.0.113.9:4711"], &proxies, "203.0.113.9");
        check("10.0.0.1", &["[2001:db8::1]:4711"], &proxies, "2001:db8::1");
    }

    #[test]
    fn what_a_client_made_up_does_not_count() {
        let proxies = ["10.0.0.0/8"];
        check(
            "10.0.0.1",
            &["1.1.1.1, 203.0.113.9"],
            &proxies,
            "203.0.113.9",
        );
        check(
            "10.0.0.1",
            &["1.1.1.1", "203.0.113.9, 10.0.0.2"],
            &proxies,
            "203.0.113.9",
        );
        check("10.0.0.1", &["nonsense"], &proxies, "10.0.0.1");
        check(
            "10.0.0.1",
            &["\u{e9}, 203.0.113.9"],
            &proxies,
            "203.0.113.9",
        );
        check("10.0.0.1", &[], &proxies, "10.0.0.1");
    }
}
