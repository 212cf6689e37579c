//! A client's address: the peer's, or what a trusted proxy says.

use std::net::{IpAddr, SocketAddr};

use hyper::{HeaderMap, header};

use crate::config::{Config, ProxyHeader};

/// What limits by address are counted by: an IPv4 address, or the /64 of an IPv6 address, since
/// one subscriber has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AddressKey {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.to_bits()),
            IpAddr::V6(v6) => Self::V6((v6.to_bits() >> 64) as u64),
        }
    }
}

/// The address of the client behind `peer`. Each trusted proxy appends the address that it saw, so
/// the last address that is not itself a trusted proxy's is the client's. If a trusted proxy says
/// nothing usable, its own address stands.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, config: &Config) -> IpAddr {
    let peer = peer.to_canonical();
    if !config.trusts(peer) {
        return peer;
    }
    let (name, parse): (_, fn(&str) -> Option<IpAddr>) = match config.proxy_header {
        ProxyHeader::XForwardedFor => ("x-forwarded-for", parse_node),
        ProxyHeader::Forwarded => (header::FORWARDED.as_str(), parse_forwarded),
    };
    let mut client = peer;
    let fields: Vec<&str> = headers.get_all(name).iter().flat_map(|v| v.to_str()).collect();
    for hop in fields.iter().rev().flat_map(|field| field.rsplit(',')) {
        // What lies behind an unreadable hop was not vouched for.
        let Some(address) = parse(hop.trim()) else { break };
        client = address;
        if !config.trusts(address) {
            break;
        }
    }
    client
}

/// The `for` parameter of an element of `Forwarded` (RFC 7239 §4).
fn parse_forwarded(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then(|| parse_node(value.trim().trim_matches('"')))?
    })
}

/// An address with or without a port, IPv6 with or without brackets.
fn parse_node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|s| s.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::id::ServerName;

    use super::*;

    fn seen(peer: &str, header: ProxyHeader, fields: &[&str]) -> String {
        let mut config = Config::new(ServerName::parse("eu.example").unwrap());
        config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        config.proxy_header = header;
        let name = match header {
            ProxyHeader::XForwardedFor => "x-forwarded-for",
            ProxyHeader::Forwarded => "forwarded",
        };
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(name, field.parse().unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &config).to_string()
    }

    #[test]
    fn a_strangers_word_is_not_taken() {
        let header = ProxyHeader::XForwardedFor;
        assert_eq!(seen("192.0.2.1", header, &["203.0.113.9"]), "192.0.2.1");
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_counts() {
        let header = ProxyHeader::XForwardedFor;
        assert_eq!(seen("10.0.0.1", header, &["1.1.1.1, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", header, &["203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", header, &["1.1.1.1", "203.0.113.9:443"]), "203.0.113.9");
        assert_eq!(seen("::ffff:10.0.0.1", header, &["[2001:db8::1]:80"]), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", header, &["203.0.113.9, unknown"]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", header, &[]), "10.0.0.1");
    }

    #[test]
    fn forwarded_elements_are_read() {
        let header = ProxyHeader::Forwarded;
        let field = r#"for=1.1.1.1, For="[2001:db8::7]:4711";proto=https;by=10.0.0.1"#;
        assert_eq!(seen("10.0.0.1", header, &[field]), "2001:db8::7");
        assert_eq!(seen("10.0.0.1", header, &["for=1.1.1.1, for=_hidden"]), "10.0.0.1");
    }

    #[test]
    fn a_subscribers_network_counts_as_one() {
        let key = |text: &str| AddressKey::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    }
}
