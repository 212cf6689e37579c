//! The settings of a region: read once from a TOML file, the environment and flags, checked, and
//! then typed. Nothing else in the homeserver reads files or variables to decide how it behaves.

pub mod setting;
pub mod table;
pub mod value;

mod database;
mod federation;
mod sample;
mod sources;

use core::fmt;
use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use posthouse_protocol::id::ServerName;

pub use database::{Database, PostgresUrl};
pub use federation::{Authority, Federation, Override, Peers};
pub use sample::{Chosen, effective, reference, sample};
pub use sources::{Origin, Sources};

use crate::{
    accounts::Registration,
    delivery::accept::Policy,
    failure::{Exit, Failure},
};

/// What the names of all environment variables begin with.
pub const VARIABLE_PREFIX: &str = "POSTHOUSE_";
/// The environment variable that names the configuration file.
pub const CONFIG_VARIABLE: &str = "POSTHOUSE_CONFIG";
/// The name of the configuration file.
pub const FILE_NAME: &str = "posthouse.toml";
/// Largest configuration file, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The settings of a region, checked. Paths are complete.
#[derive(Debug)]
pub struct Config {
    /// The configuration file.
    pub file: PathBuf,
    /// The region.
    pub domain: ServerName,
    /// How long a stopping server waits for its connections.
    pub drain: Duration,
    /// The listener for clients.
    pub client: ClientListener,
    /// The operator's listener.
    pub operator: Option<SocketAddr>,
    /// How the region meets other regions.
    pub federation: Federation,
    /// The database.
    pub database: Database,
    /// The file of the signing key.
    pub signing_key: PathBuf,
    /// Who may register.
    pub registration: Registration,
    /// What the region carries.
    pub policy: Policy,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_filter: String,
    /// What is odd about the configuration, but no error.
    pub warnings: Vec<String>,
}

/// The listener for clients.
#[derive(Debug)]
pub struct ClientListener {
    /// Its addresses; at least one.
    pub listen: Vec<SocketAddr>,
    /// Its certificate; `None` for plain HTTP behind a proxy.
    pub tls: Option<TlsFiles>,
    /// Proxies whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Addresses without limits of their own.
    pub exempt: Vec<IpNet>,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Most connections at a time from one address.
    pub max_connections_per_address: usize,
    /// Whether addresses and accounts are held to rates.
    pub rate_limits: bool,
}

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate with its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Something wrong in the configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// What, as a sentence without its beginning.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => f.write_str(&self.text),
            origin => write!(f, "{origin}: {}", self.text),
        }
    }
}

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Values by flag: the flag, the setting's name, the text.
    pub flags: Vec<(String, String, String)>,
    /// The process's environment.
    pub environment: Vec<(String, String)>,
}

impl Config {
    /// Reads the configuration at `path`, and what overrides it.
    ///
    /// # Errors
    /// A [`Failure`] that names everything that is wrong.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<(Self, Sources), Failure> {
        let text = read_file(path)?;
        let mut sources = Sources::default();
        sources.file(path, &text);
        sources.environment(overrides.environment.iter().cloned());
        for (flag, key, value) in &overrides.flags {
            sources.flag(flag, key, value);
        }
        let built = build(path, &mut sources);
        let problems = sources.take_problems();
        match built {
            Some(config) if problems.is_empty() => {
                guard_password(&config, &sources)?;
                Ok((config, sources))
            }
            _ => Err(failure_of(path, &problems)),
        }
    }
}

/// Builds the typed settings; every problem is noted in `sources`.
fn build(path: &Path, sources: &mut Sources) -> Option<Config> {
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    // All settings are read before the first `?`, so that one run names every problem.
    let domain = sources.read(&table::DOMAIN);
    let drain = sources.read(&table::DRAIN);
    let client = client_listener(base, sources);
    let operator = sources.read(&table::OPERATOR_LISTEN);
    let federation = Federation::read(base, sources);
    let database = sources.read(&table::DATABASE_URL);
    let signing_key = sources.read(&table::KEYS_SIGNING);
    let registration = sources.read(&table::ACCOUNTS_REGISTRATION);
    let policy = policy(sources);
    let log_format = sources.read(&table::LOG_FORMAT);
    let log_filter = sources.read(&table::LOG_FILTER);
    let mut config = Config {
        file: path.into(),
        domain: domain?,
        drain: drain?,
        client: client?,
        operator: operator?,
        federation: federation?,
        database: database?.below(base),
        signing_key: base.join(signing_key?),
        registration: registration?,
        policy: policy?,
        log_format: log_format?,
        log_filter: log_filter?,
        warnings: sources.take_warnings(),
    };
    config.warnings.extend(odd_listeners(&config));
    Some(config)
}

fn client_listener(base: &Path, sources: &mut Sources) -> Option<ClientListener> {
    let listen = sources.read(&table::CLIENT_LISTEN);
    let tls = sources.read(&table::CLIENT_TLS);
    let certificate = sources.read(&table::CLIENT_CERTIFICATE);
    let private_key = sources.read(&table::CLIENT_PRIVATE_KEY);
    let trusted_proxies = sources.read(&table::CLIENT_TRUSTED_PROXIES);
    let exempt = sources.read(&table::CLIENT_EXEMPT);
    let max_connections = sources.read(&table::CLIENT_MAX_CONNECTIONS);
    let per_address = sources.read(&table::CLIENT_MAX_CONNECTIONS_PER_ADDRESS);
    let rate_limits = sources.read(&table::CLIENT_RATE_LIMITS);
    let files =
        TlsFiles { certificate: base.join(certificate?), private_key: base.join(private_key?) };
    Some(ClientListener {
        listen: listen?,
        tls: tls?.then_some(files),
        trusted_proxies: trusted_proxies?,
        exempt: exempt?,
        max_connections: max_connections?,
        max_connections_per_address: per_address?,
        rate_limits: rate_limits?,
    })
}

fn policy(sources: &mut Sources) -> Option<Policy> {
    let allow_unencrypted = sources.read(&table::MESSAGES_ALLOW_UNENCRYPTED);
    let per_second = sources.read(&table::MESSAGES_PER_SECOND);
    let burst = sources.read(&table::MESSAGES_BURST);
    let new_people = sources.read(&table::MESSAGES_NEW_PEOPLE_PER_DAY);
    // The table keeps all far below the largest u32.
    let bounded = |value| u32::try_from(value).unwrap_or(u32::MAX);
    Some(Policy {
        allow_unencrypted: allow_unencrypted?,
        messages_per_second: bounded(per_second?),
        message_burst: bounded(burst?),
        new_people_per_day: bounded(new_people?),
    })
}

/// Listeners that may be more open than the operator meant.
fn odd_listeners(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let public = config.client.listen.iter().find(|address| !address.ip().is_loopback());
    if let (Some(address), None) = (public, &config.client.tls) {
        warnings.push(format!(
            "clients reach {address} without TLS: let nobody but your proxy reach that address"
        ));
    }
    if let Some(address) = config.operator.filter(|address| !address.ip().is_loopback()) {
        warnings.push(format!(
            "the operator listener on {address} asks for no password: keep it on a private network"
        ));
    }
    warnings
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let too_large = || {
        Failure::new(
            Exit::Config,
            format!("{shown} is larger than {MAX_FILE} bytes."),
            "This is not a configuration file of posthouse: check the path given with --config.",
        )
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_FILE => return Err(too_large()),
        _ => {}
    }
    fs::read_to_string(path).map_err(|err| match err.kind() {
        io::ErrorKind::NotFound => Failure::new(
            Exit::Config,
            format!("There is no configuration at {shown}."),
            "For a new region, run `posthouse init --domain YOUR.DOMAIN` in an empty directory. \
             For one that exists, name its file with --config.",
        ),
        io::ErrorKind::InvalidData => Failure::new(
            Exit::Config,
            format!("{shown} is not UTF-8 text."),
            "Check that the path given with --config is that of a configuration file.",
        ),
        _ => Failure::cannot_read(Exit::Config, path, &err),
    })
}

/// A file that holds the database's password must not be readable by others.
fn guard_password(config: &Config, sources: &Sources) -> Result<(), Failure> {
    let Database::Postgres(url) = &config.database else { return Ok(()) };
    let in_file = matches!(sources.origin(table::DATABASE_URL.key), Origin::File { .. });
    if !in_file || !url.has_password() {
        return Ok(());
    }
    let path = &config.file;
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if !readable_by_others(mode) {
        return Ok(());
    }
    let shown = path.display();
    Err(Failure::new(
        Exit::Config,
        format!("{shown} holds a database password and can be read by other users."),
        format!(
            "Run `chmod 600 {shown}`, or move the password to the environment variable \
             POSTHOUSE_DATABASE_URL."
        ),
    ))
}

/// Whether the mode of a file gives anyone but its owner anything.
pub(crate) fn readable_by_others(mode: u32) -> bool {
    mode & 0o077 != 0
}

fn failure_of(path: &Path, problems: &[Problem]) -> Failure {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Failure::new(
        Exit::Config,
        format!("The configuration is wrong.\n  {}", lines.join("\n  ")),
        format!(
            "Correct it, then try again with `posthouse config check --config {}`.",
            path.display()
        ),
    )
}

#[cfg(test)]
mod tests;
