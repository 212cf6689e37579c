//! The settings of the federation: the listener for other regions, whom to believe, whom to speak
//! with, and where to find them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use posthouse_protocol::id::ServerName;

use super::{
    TlsFiles,
    sources::Sources,
    table,
    value::{Form, Raw},
};

/// How the region meets other regions.
#[derive(Debug)]
pub struct Federation {
    /// Where other regions connect; `None` if the region keeps to itself.
    pub listen: Option<SocketAddr>,
    /// The certificate that proves the domain to them.
    pub tls: TlsFiles,
    /// Private authorities whose certificates are believed, besides those of the Web.
    pub authorities: Vec<Authority>,
    /// Whether the authorities of the Web are believed.
    pub web_authorities: bool,
    /// Domains that are not to be discovered, with their hosts and ports.
    pub overrides: BTreeMap<ServerName, Vec<(String, u16)>>,
    /// Whether private addresses may be used.
    pub private_addresses: bool,
    /// DNS servers; those of the system if there are none.
    pub dns: Vec<SocketAddr>,
    /// Names or patterns of regions that it speaks with; `None` for all.
    pub allow: Option<Vec<String>>,
    /// Names or patterns of regions that it does not speak with.
    pub deny: Vec<String>,
    /// Most connections of other regions at a time.
    pub max_connections: usize,
    /// How long what another region has signed for is kept.
    pub keep: Duration,
    /// Where it is remembered where other regions are.
    pub discovery_file: PathBuf,
    /// The file of the sealing keys.
    pub sealing_keys: PathBuf,
    /// The file of the own key log.
    pub key_log: PathBuf,
}

/// A private authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Its certificates (PEM).
    pub file: PathBuf,
    /// The names that it may vouch for; `None` for any.
    pub names: Option<BTreeSet<ServerName>>,
}

impl Federation {
    /// Reads the section; every problem is noted in `sources`.
    pub(super) fn read(base: &Path, sources: &mut Sources) -> Option<Self> {
        let listen = sources.read(&table::FEDERATION_LISTEN);
        let certificate = sources.read(&table::FEDERATION_CERTIFICATE);
        let private_key = sources.read(&table::FEDERATION_PRIVATE_KEY);
        let authorities = sources.read(&table::FEDERATION_AUTHORITIES);
        let web_authorities = sources.read(&table::FEDERATION_WEB_AUTHORITIES);
        let overrides = sources.read(&table::FEDERATION_OVERRIDES);
        let private_addresses = sources.read(&table::FEDERATION_PRIVATE_ADDRESSES);
        let dns = sources.read(&table::FEDERATION_DNS);
        let allow = sources.read(&table::FEDERATION_ALLOW);
        let deny = sources.read(&table::FEDERATION_DENY);
        let max_connections = sources.read(&table::FEDERATION_MAX_CONNECTIONS);
        let keep = sources.read(&table::FEDERATION_KEEP);
        let discovery_file = sources.read(&table::FEDERATION_DISCOVERY_FILE);
        let sealing_keys = sources.read(&table::KEYS_SEALING);
        let key_log = sources.read(&table::KEYS_LOG);
        let authorities: Vec<Authority> = authorities?;
        let below =
            |authority: Authority| Authority { file: base.join(&authority.file), ..authority };
        let everyone = |patterns: Vec<Peers>| {
            let texts: Vec<String> = patterns.into_iter().map(|one| one.0).collect();
            (!texts.iter().any(|text| text == "*")).then_some(texts)
        };
        Some(Self {
            listen: listen?,
            tls: TlsFiles {
                certificate: base.join(certificate?),
                private_key: base.join(private_key?),
            },
            authorities: authorities.into_iter().map(below).collect(),
            web_authorities: web_authorities?,
            overrides: grouped(overrides?),
            private_addresses: private_addresses?,
            dns: dns?,
            allow: everyone(allow?),
            deny: deny?.into_iter().map(|one| one.0).collect(),
            max_connections: max_connections?,
            keep: keep?,
            discovery_file: base.join(discovery_file?),
            sealing_keys: base.join(sealing_keys?),
            key_log: base.join(key_log?),
        })
    }
}

/// A host of a domain, as it is written: `south.example=fed.south.example:7443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    domain: ServerName,
    host: String,
    port: u16,
}

/// A name or pattern of regions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers(String);

fn grouped(overrides: Vec<Override>) -> BTreeMap<ServerName, Vec<(String, u16)>> {
    let mut all: BTreeMap<ServerName, Vec<(String, u16)>> = BTreeMap::new();
    for one in overrides {
        all.entry(one.domain).or_default().push((one.host, one.port));
    }
    all
}

fn each<T>(raw: &Raw, form: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    let one = |text: &str| {
        parse(text).ok_or_else(|| format!("{form} is expected, but an element is \"{text}\""))
    };
    raw.texts(form)?.into_iter().map(one).collect()
}

impl Form for Vec<Override> {
    const FORM: &'static str =
        "a list of domains with a host and port, such as \"south.example=10.0.0.7:7443\"";

    fn read(raw: &Raw) -> Result<Self, String> {
        each(raw, Self::FORM, |text| {
            let (domain, target) = text.split_once('=')?;
            let (host, port) = target.trim().rsplit_once(':')?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let port = port.parse().ok().filter(|port| *port != 0)?;
            let domain = ServerName::parse(domain.trim()).ok()?;
            (!host.is_empty()).then(|| Override { domain, host: host.to_owned(), port })
        })
    }
}

impl Form for Vec<Authority> {
    const FORM: &'static str = "a list of PEM files, each perhaps with the names that it may vouch \
                                for, such as \"keys/ca.pem\" or \"ca.pem only a.example b.example\"";

    fn read(raw: &Raw) -> Result<Self, String> {
        each(raw, Self::FORM, |text| {
            let (file, names) = match text.split_once(" only ") {
                Some((file, names)) => {
                    let parsed: Result<BTreeSet<ServerName>, _> =
                        names.split_whitespace().map(ServerName::parse).collect();
                    (file, Some(parsed.ok().filter(|names| !names.is_empty())?))
                }
                None => (text, None),
            };
            (!file.trim().is_empty()).then(|| Authority { file: file.trim().into(), names })
        })
    }
}

impl Form for Vec<Peers> {
    const FORM: &'static str =
        "a list of regions, such as \"south.example\", \"*.example\" or \"*\" for all";

    fn read(raw: &Raw) -> Result<Self, String> {
        each(raw, Self::FORM, |text| {
            let name = text.strip_prefix("*.").unwrap_or(text);
            let fits = text == "*" || ServerName::parse(name).is_ok();
            fits.then(|| Peers(text.to_owned()))
        })
    }
}
