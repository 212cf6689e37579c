//! Every setting of a region. The sample configuration, the reference in docs/operator.md, the
//! environment variables and the check for unknown names all come from here.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use posthouse_protocol::id::ServerName;

use super::{
    Authority, Database, LogFormat, Override, Peers,
    setting::{Described, Setting},
};
use crate::accounts::Registration;

/// What a section is about, for the sample; sections in the order of the file.
pub const SECTIONS: &[(&str, &str)] = &[
    ("", ""),
    ("client", "The listener for clients: REST and WebSocket."),
    ("federation", "The listener for other regions, and how they are found and believed."),
    ("operator", "The listener for the operator: health and metrics, without authentication."),
    ("database", "Where accounts and messages are kept."),
    ("keys", "The keys of the server. Keep a copy of them in a safe place."),
    ("accounts", "Who may have an account."),
    ("messages", "What the region carries."),
    ("log", "What the server writes to standard error."),
];

/// All settings, in the order of the file.
pub const SETTINGS: &[&dyn Described] = &[
    &DOMAIN,
    &DRAIN,
    &CLIENT_LISTEN,
    &CLIENT_TLS,
    &CLIENT_CERTIFICATE,
    &CLIENT_PRIVATE_KEY,
    &CLIENT_TRUSTED_PROXIES,
    &CLIENT_EXEMPT,
    &CLIENT_MAX_CONNECTIONS,
    &CLIENT_MAX_CONNECTIONS_PER_ADDRESS,
    &CLIENT_RATE_LIMITS,
    &FEDERATION_LISTEN,
    &FEDERATION_CERTIFICATE,
    &FEDERATION_PRIVATE_KEY,
    &FEDERATION_AUTHORITIES,
    &FEDERATION_WEB_AUTHORITIES,
    &FEDERATION_ALLOW,
    &FEDERATION_DENY,
    &FEDERATION_OVERRIDES,
    &FEDERATION_DNS,
    &FEDERATION_PRIVATE_ADDRESSES,
    &FEDERATION_DISCOVERY_FILE,
    &FEDERATION_MAX_CONNECTIONS,
    &FEDERATION_KEEP,
    &OPERATOR_LISTEN,
    &DATABASE_URL,
    &KEYS_SIGNING,
    &KEYS_SEALING,
    &KEYS_LOG,
    &ACCOUNTS_REGISTRATION,
    &MESSAGES_ALLOW_UNENCRYPTED,
    &MESSAGES_PER_SECOND,
    &MESSAGES_BURST,
    &MESSAGES_NEW_PEOPLE_PER_DAY,
    &LOG_FORMAT,
    &LOG_FILTER,
];

/// See its text.
pub const DOMAIN: Setting<ServerName> = Setting::new(
    "domain",
    None,
    "The domain of this region: the part after the @ of its users' addresses. It is in every \
     address, key and token: never change it once the region has users.",
);

/// See its text.
pub const DRAIN: Setting<Duration> = Setting::new(
    "drain",
    Some("\"10s\""),
    "How long a server that stops waits for its connections to end: it tells clients to \
     reconnect, finishes what it has begun, then closes what is left. At most 10m.",
)
.checked(|value| at_most(*value <= Duration::from_mins(10), "10m"));

/// See its text.
pub const CLIENT_LISTEN: Setting<Vec<SocketAddr>> = Setting::new(
    "client.listen",
    Some("\"0.0.0.0:8443\""),
    "Where clients connect. Port 0 lets the system choose; the port is printed at start.",
)
.checked(|value| match value.len() {
    0 => Err("at least one address is needed".into()),
    _ => Ok(()),
});

/// See its text.
pub const CLIENT_TLS: Setting<bool> = Setting::new(
    "client.tls",
    Some("true"),
    "Whether this listener speaks TLS. Set it to false only behind a proxy that does, and let \
     nobody but the proxy reach the listener.",
);

/// See its text.
pub const CLIENT_CERTIFICATE: Setting<PathBuf> = Setting::new(
    "client.certificate",
    Some("\"keys/server.pem\""),
    "The certificate for the domain with its chain, the server's own first (PEM). Read again on \
     SIGHUP, and within a minute when the file changes.",
);

/// See its text.
pub const CLIENT_PRIVATE_KEY: Setting<PathBuf> = Setting::new(
    "client.private_key",
    Some("\"keys/server.key\""),
    "The private key of the certificate (PEM), readable by its owner only. Read again together \
     with the certificate.",
);

/// See its text.
pub const CLIENT_TRUSTED_PROXIES: Setting<Vec<IpNet>> = Setting::new(
    "client.trusted_proxies",
    Some("[]"),
    "Proxies whose X-Forwarded-For header is believed. From anyone else the header is ignored: \
     a client could write what it likes into it.",
);

/// See its text.
pub const CLIENT_EXEMPT: Setting<Vec<IpNet>> = Setting::new(
    "client.exempt",
    Some("[\"127.0.0.0/8\", \"::1/128\"]"),
    "Addresses without limits of their own on connections, registrations and log-ins: the \
     machines of the operator.",
);

/// See its text.
pub const CLIENT_MAX_CONNECTIONS: Setting<usize> = Setting::new(
    "client.max_connections",
    Some("100000"),
    "Most connections of clients at a time; a further one is closed at once. Each takes a file \
     descriptor. 1 to 10000000.",
)
.checked(|value| between(*value, 1, 10_000_000));

/// See its text.
pub const CLIENT_MAX_CONNECTIONS_PER_ADDRESS: Setting<usize> = Setting::new(
    "client.max_connections_per_address",
    Some("2000"),
    "Most connections at a time from one address; an IPv6 address counts with its /64. Trusted \
     proxies have no such limit. 1 to 10000000.",
)
.checked(|value| between(*value, 1, 10_000_000));

/// See its text.
pub const CLIENT_RATE_LIMITS: Setting<bool> = Setting::new(
    "client.rate_limits",
    Some("true"),
    "Whether registrations, log-ins and requests are limited by address and account. Set it to \
     false for load tests only: passwords can then be tried without a limit.",
);

/// See its text.
pub const FEDERATION_LISTEN: Setting<Option<SocketAddr>> = Setting::new(
    "federation.listen",
    Some("\"off\""),
    "Where other regions connect, with mutual TLS: \"0.0.0.0:7443\" where nothing else names a \
     port. \"off\" keeps the region to itself.",
);

/// See its text.
pub const FEDERATION_CERTIFICATE: Setting<PathBuf> = Setting::new(
    "federation.certificate",
    Some("\"keys/server.pem\""),
    "The certificate that proves the domain to other regions, with its chain (PEM). It may be that \
     of the client listener. Read again on SIGHUP, and within a minute when the file changes.",
);

/// See its text.
pub const FEDERATION_PRIVATE_KEY: Setting<PathBuf> = Setting::new(
    "federation.private_key",
    Some("\"keys/server.key\""),
    "The private key of that certificate (PEM), readable by its owner only.",
);

/// See its text.
pub const FEDERATION_AUTHORITIES: Setting<Vec<Authority>> = Setting::new(
    "federation.authorities",
    Some("[]"),
    "Private authorities whose certificates other regions may show, besides those of the Web. \
     With \"only\" and names an authority may vouch for those names alone.",
);

/// See its text.
pub const FEDERATION_WEB_AUTHORITIES: Setting<bool> = Setting::new(
    "federation.web_authorities",
    Some("true"),
    "Whether certificates of the authorities that this system trusts for the Web are believed.",
);

/// See its text.
pub const FEDERATION_ALLOW: Setting<Vec<Peers>> = Setting::new(
    "federation.allow",
    Some("[\"*\"]"),
    "The regions that this one speaks with: names, \"*.example\" for every name below example, \
     or \"*\" for all.",
);

/// See its text.
pub const FEDERATION_DENY: Setting<Vec<Peers>> = Setting::new(
    "federation.deny",
    Some("[]"),
    "Regions that this one does not speak with, in the same form. It wins over federation.allow.",
);

/// See its text.
pub const FEDERATION_OVERRIDES: Setting<Vec<Override>> = Setting::new(
    "federation.overrides",
    Some("[]"),
    "Where regions are that are not to be looked up in DNS. A domain may stand more than once; \
     the first host that proves the domain is used.",
);

/// See its text.
pub const FEDERATION_DNS: Setting<Vec<SocketAddr>> = Setting::new(
    "federation.dns",
    Some("[]"),
    "The recursive DNS servers to ask. If none is named, those of /etc/resolv.conf.",
);

/// See its text.
pub const FEDERATION_PRIVATE_ADDRESSES: Setting<bool> = Setting::new(
    "federation.private_addresses",
    Some("false"),
    "Whether regions may be at private or loopback addresses. Leave it false on the Internet: \
     other people's DNS could otherwise point this server at your own network.",
);

/// See its text.
pub const FEDERATION_DISCOVERY_FILE: Setting<PathBuf> = Setting::new(
    "federation.discovery_file",
    Some("\"data/discovery.json\""),
    "Where the server remembers where other regions are, so that it finds them while DNS is down. \
     It may be deleted.",
);

/// See its text.
pub const FEDERATION_MAX_CONNECTIONS: Setting<usize> = Setting::new(
    "federation.max_connections",
    Some("1024"),
    "Most connections of other regions at a time. 8 to 100000.",
)
.checked(|value| between(*value, 8, 100_000));

/// See its text.
pub const FEDERATION_KEEP: Setting<Duration> = Setting::new(
    "federation.keep",
    Some("\"168h\""),
    "How long what another region has signed for is kept here, so that it can be sent again if that \
     region is restored from a backup. Less needs less disk; what is gone by then is lost to a \
     region that lost it, and named as a gap. At most 720h.",
)
.checked(|value| at_most(*value <= Duration::from_hours(720), "720h"));

/// See its text.
pub const OPERATOR_LISTEN: Setting<Option<SocketAddr>> = Setting::new(
    "operator.listen",
    Some("\"127.0.0.1:8450\""),
    "Where /healthz, /readyz and /metrics are served, in plain HTTP. Keep it on a loopback or \
     private address. \"off\" serves them nowhere.",
);

/// See its text.
pub const DATABASE_URL: Setting<Database> = Setting::new(
    "database.url",
    Some("\"sqlite:data/posthouse.db\""),
    "A file (SQLite, for one machine) or a PostgreSQL database. A password is best given in the \
     environment variable; a configuration file that holds one must be readable by its owner only.",
);

/// See its text.
pub const KEYS_SIGNING: Setting<PathBuf> = Setting::new(
    "keys.signing",
    Some("\"keys/signing.key\""),
    "The Ed25519 key that signs access tokens and what goes to other regions. It is made by `posthouse init` and never made \
     again: if it is lost, restore it from a copy.",
);

/// See its text.
pub const KEYS_SEALING: Setting<PathBuf> = Setting::new(
    "keys.sealing",
    Some("\"keys/sealing.key\""),
    "The keys that other regions seal envelopes to. Made by `posthouse init` and never made again.",
);

/// See its text.
pub const KEYS_LOG: Setting<PathBuf> = Setting::new(
    "keys.log",
    Some("\"keys/keys.log\""),
    "The region's public key log: every set of keys it ever had, each signed by the one before. \
     Other regions follow it, so it must never be lost or begun anew.",
);

/// See its text.
pub const ACCOUNTS_REGISTRATION: Setting<Registration> = Setting::new(
    "accounts.registration",
    Some("\"closed\""),
    "Who may register: \"open\" lets anyone in who can reach the server, \"invite\" who has a code \
     of `posthouse invite create`, \"closed\" nobody.",
);

/// See its text.
pub const MESSAGES_ALLOW_UNENCRYPTED: Setting<bool> = Setting::new(
    "messages.allow_unencrypted",
    Some("false"),
    "Whether contents are taken that are not end-to-end encrypted. Clients see the answer in \
     /v1/capabilities.",
);

/// See its text.
pub const MESSAGES_PER_SECOND: Setting<usize> = Setting::new(
    "messages.per_second",
    Some("1000"),
    "Messages that one account may send per second in the long run: a bound for programs that \
     run wild. 1 to 1000000.",
)
.checked(|value| between(*value, 1, 1_000_000));

/// See its text.
pub const MESSAGES_BURST: Setting<usize> = Setting::new(
    "messages.burst",
    Some("20000"),
    "Messages that one account may send at once after a rest. 1 to 10000000.",
)
.checked(|value| between(*value, 1, 10_000_000));

/// See its text.
pub const MESSAGES_NEW_PEOPLE_PER_DAY: Setting<usize> = Setting::new(
    "messages.new_people_per_day",
    Some("500"),
    "People whom one account may write to for the first time, a day: a bound for spam. 1 to \
     1000000.",
)
.checked(|value| between(*value, 1, 1_000_000));

/// See its text.
pub const LOG_FORMAT: Setting<LogFormat> = Setting::new(
    "log.format",
    Some("\"human\""),
    "How log lines look: \"human\" for people, \"json\" for collectors, one object a line.",
);

/// See its text.
pub const LOG_FILTER: Setting<String> = Setting::new(
    "log.filter",
    Some("\"info,sqlx=warn\""),
    "What is logged: a level (error, warn, info, debug, trace), or levels by module separated by \
     commas, such as \"info,posthouse_client_api=debug\".",
)
.checked(|value| crate::logging::parse_filter(value).map(drop));

/// The setting whose name is most like `name`, if any is like it at all.
pub fn nearest(name: &str) -> Option<&'static str> {
    // A name without its section, or with a wrong one, still finds its setting.
    let last = name.rsplit('.').next().unwrap_or(name);
    SETTINGS
        .iter()
        .filter_map(|setting| {
            let whole = strsim::damerau_levenshtein(setting.key(), name);
            let by_key = (whole <= slips(name)).then_some(whole);
            let by_name = strsim::damerau_levenshtein(setting.name(), last);
            let by_name = (by_name <= slips(last)).then_some(by_name);
            let distance = by_key.into_iter().chain(by_name).min()?;
            Some((distance, whole, setting.key()))
        })
        .min()
        .map(|(_, _, key)| key)
}

/// So many letters of a word may be wrong while it is still known: of a short one few, since any other
/// short one would do otherwise.
fn slips(word: &str) -> usize {
    (word.len() / 3).min(3)
}

/// The setting of that name.
pub fn find(key: &str) -> Option<&'static dyn Described> {
    SETTINGS.iter().copied().find(|setting| setting.key() == key)
}

fn at_most(holds: bool, most: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("at most {most} is allowed")) }
}

fn between(value: usize, least: usize, most: usize) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{value} is not allowed: {least} to {most} is"))
    }
}
