//! Where a homeserver's client API is: the URL that a person or a discovery gives.

use core::fmt;
use std::{net::IpAddr, sync::Arc};

/// The address of a client API: scheme, host and port.
///
/// `https://host[:port]` is the rule. `http://` is taken for this machine alone (`localhost` and
/// loopback addresses): tokens must not cross a network in the clear.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: Arc<str>,
    port: u16,
    tls: bool,
}

/// Whose certificates are believed.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// What the operating system trusts, which includes what its owner added.
    System,
    /// The certificates of this PEM text alone: a private authority, or the server's own. Not in a
    /// browser, which has its own authorities.
    Pem(&'a [u8]),
}

/// Why a text is not the address of a client API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Not `http(s)://host[:port]`, with nothing behind it but an optional `/`.
    #[error("an address has the form https://host or https://host:port")]
    Malformed,
    /// `http://` to another machine.
    #[error("http:// is taken for this machine alone; use https://")]
    InTheClear,
}

impl Endpoint {
    /// Parses `https://host[:port]`, or `http://` with a loopback host. The ports default to 443
    /// and 80. IPv6 addresses stand in brackets.
    ///
    /// # Errors
    /// [`EndpointError`] with the rule that `url` breaks.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let malformed = EndpointError::Malformed;
        let (rest, tls) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (rest, true),
            (None, Some(rest)) => (rest, false),
            (None, None) => return Err(malformed),
        };
        let authority: http::uri::Authority =
            rest.strip_suffix('/').unwrap_or(rest).parse().map_err(|_| malformed)?;
        let written = authority.host();
        let behind = authority.as_str().strip_prefix(written).ok_or(malformed)?;
        let port = match behind.strip_prefix(':') {
            Some(digits) => digits.parse().map_err(|_| malformed)?,
            None if !behind.is_empty() => return Err(malformed),
            None if tls => 443,
            None => 80,
        };
        let host = written.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(written);
        if host.is_empty() || port == 0 {
            return Err(malformed);
        }
        if !tls && !is_this_machine(host) {
            return Err(EndpointError::InTheClear);
        }
        Ok(Self { host: host.to_ascii_lowercase().into(), port, tls })
    }

    /// The host, a DNS name or an IP address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the connection is TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// `host:port`, as in the `Host` header.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_https_and_loopback_http() {
        for (url, shown) in [
            ("https://chat.eu.example", "https://chat.eu.example:443"),
            ("https://Chat.eu.example:8443/", "https://chat.eu.example:8443"),
            ("http://127.0.0.1:8008", "http://127.0.0.1:8008"),
            ("http://[::1]:8008", "http://[::1]:8008"),
            ("http://localhost", "http://localhost:80"),
        ] {
            assert_eq!(Endpoint::parse(url).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn refuses_the_rest() {
        for bad in [
            "",
            "chat.eu.example",
            "ws://chat.eu.example",
            "https://",
            "https://a@b.example",
            "https://b.example/path",
            "https://b.example:",
            "https://b.example:99999",
        ] {
            assert_eq!(Endpoint::parse(bad), Err(EndpointError::Malformed), "{bad}");
        }
        for clear in ["http://chat.eu.example", "http://10.0.0.1:80", "http://localhost.example"] {
            assert_eq!(Endpoint::parse(clear), Err(EndpointError::InTheClear), "{clear}");
        }
    }
}
