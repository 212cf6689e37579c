//! What an operator can set at this edge, and the bounds that nobody sets.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use posthouse_protocol::id::ServerName;

use crate::rate::Rate;

/// Largest head of a request, in bytes.
pub const MAX_HEAD: usize = 16 * 1024;
/// Most header fields of a request.
pub const MAX_HEADERS: usize = 64;
/// Largest body of requests that carry names, passwords and tokens, in bytes. Strangers may send
/// them, so they get little room.
pub const MAX_CREDENTIALS: usize = 16 * 1024;
/// Most users in one `GET /v1/presence`.
pub const MAX_PRESENCE_QUERY: usize = 100;
/// Links that one address may open.
pub const LINKS: Rate = Rate { burst: 20, interval: Duration::from_secs(15) };
/// Requests for outcomes of links by one address; each waits for up to 30 seconds.
pub const LINK_RESULTS: Rate = Rate { burst: 60, interval: Duration::from_secs(2) };
/// How long `GET /readyz` waits for the homeserver's answer.
pub const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// What an operator can set. [`Config::new`] gives the defaults stated at each field.
#[derive(Debug, Clone)]
pub struct Config {
    /// The region that bare ids and handles belong to.
    pub server_name: ServerName,
    /// The software and its version, as `GET /v1/capabilities` tells it.
    pub software: String,
    /// Who may register. Shown in capabilities; the accounts port decides. Open.
    pub registration: Registration,
    /// Whether contents that are not encrypted are taken. Shown in capabilities; the messaging port
    /// decides. Off.
    pub allow_unencrypted: bool,
    /// Proxies whose word on a client's address is taken. None.
    pub trusted_proxies: Vec<IpNet>,
    /// Addresses without limits of their own on connections, registrations and log-ins: the machines
    /// of the operator. None.
    pub exempt: Vec<IpNet>,
    /// The header field in which they give it. `X-Forwarded-For`.
    pub proxy_header: ProxyHeader,
    /// Most connections at a time; a further one is closed at once. 100,000.
    pub max_connections: usize,
    /// Most connections at a time from one address (an IPv6 address counts with its /64); a trusted
    /// proxy has no such limit. 2,000.
    pub max_connections_per_address: usize,
    /// How long a TLS handshake may take. 10 s.
    pub handshake_timeout: Duration,
    /// How long the head of a request may take, and how long a connection may wait for its next
    /// request. 15 s.
    pub head_timeout: Duration,
    /// How long the body of a request may take. 20 s.
    pub body_timeout: Duration,
    /// How long a peer may leave what is written to it unread, without taking a single byte. 30 s.
    pub write_timeout: Duration,
    /// How often a socket is pinged. 30 s.
    pub ping_interval: Duration,
    /// How often it is pinged while someone watches the account's presence. 15 s.
    pub watched_ping_interval: Duration,
    /// How long requests and sockets may take to finish once the server stops. 10 s.
    pub drain_timeout: Duration,
    /// Frames of one socket. 5,000 a second, 20,000 at once.
    pub frames: Rate,
    /// Typing notices of one socket. 5 a second, 20 at once.
    pub typing: Rate,
    /// Requests.
    pub requests: RequestRates,
}

/// How often requests are taken.
#[derive(Debug, Clone, Copy)]
pub struct RequestRates {
    /// Registrations from one address. One in 30 s, 20 at once.
    pub register: Rate,
    /// Log-ins from one address. One in 2 s, 30 at once.
    pub log_in: Rate,
    /// Refreshes from one address. 2 a second, 100 at once.
    pub refresh: Rate,
    /// Requests of one account. 50 a second, 500 at once.
    pub account: Rate,
    /// Messages of one account by `POST /v1/messages`. 200 a second, 2,000 at once.
    pub messages: Rate,
    /// User look-ups of one account, against enumeration. One a second, 60 at once.
    pub lookup: Rate,
}

impl Default for RequestRates {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            register: Rate { burst: 20, interval: seconds(30) },
            log_in: Rate { burst: 30, interval: seconds(2) },
            refresh: Rate { burst: 100, interval: Duration::from_millis(500) },
            account: Rate { burst: 500, interval: Duration::from_millis(20) },
            messages: Rate { burst: 2_000, interval: Duration::from_millis(5) },
            lookup: Rate { burst: 60, interval: seconds(1) },
        }
    }
}

/// Who may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Anyone.
    Open,
    /// Who was invited.
    Invite,
    /// Nobody.
    Closed,
}

impl Registration {
    /// As capabilities tell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Invite => "invite",
            Self::Closed => "closed",
        }
    }
}

/// Where a trusted proxy puts the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`: addresses, the nearest hop last.
    XForwardedFor,
    /// `Forwarded` (RFC 7239): elements with `for=`, the nearest hop last.
    Forwarded,
}

impl Config {
    /// The defaults, for the region `server_name`.
    pub fn new(server_name: ServerName) -> Self {
        let seconds = Duration::from_secs;
        Self {
            server_name,
            software: concat!("Posthouse ", env!("CARGO_PKG_VERSION")).into(),
            registration: Registration::Open,
            allow_unencrypted: false,
            trusted_proxies: Vec::new(),
            exempt: Vec::new(),
            proxy_header: ProxyHeader::XForwardedFor,
            max_connections: 100_000,
            max_connections_per_address: 2_000,
            handshake_timeout: seconds(10),
            head_timeout: seconds(15),
            body_timeout: seconds(20),
            write_timeout: seconds(30),
            ping_interval: seconds(30),
            watched_ping_interval: seconds(15),
            drain_timeout: seconds(10),
            frames: Rate { burst: 20_000, interval: Duration::from_micros(200) },
            typing: Rate { burst: 20, interval: Duration::from_millis(200) },
            requests: RequestRates::default(),
        }
    }

    /// Whether `address` has no limits of its own.
    pub(crate) fn exempts(&self, address: IpAddr) -> bool {
        self.exempt.iter().any(|net| net.contains(&address))
    }

    /// Whether `address` is one of the trusted proxies.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(&address))
    }
}
