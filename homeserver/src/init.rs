//! `posthouse init`: everything that a new region needs, and nothing that was there before touched.

mod fresh;

use std::path::{Path, PathBuf};

use posthouse_crypto::{
    seal::{Encapsulation, SealingKey},
    sign::SigningKey,
};
use posthouse_federation::keys::{Secrets, file, first_entry};
use posthouse_protocol::{
    id::ServerName,
    time::{Clock, Timestamp},
};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use crate::{
    clock::{SystemClock, system_random},
    config::{self, Database, table},
    console::Console,
    database,
    failure::{Exit, Failure},
    keys,
    random::Random,
    tls::authority::{self, Pair},
};
use fresh::Fresh;

/// What certificate a new region gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CertificateChoice {
    /// One of a private authority, made now; clients must be given keys/ca.pem.
    PrivateCa,
    /// A key and a request (keys/server.csr) for an authority of your choice.
    Request,
    /// None: a proxy in front of the server speaks TLS.
    None,
}

/// What the operator asks for.
#[derive(Debug)]
pub struct Request {
    /// The region.
    pub domain: ServerName,
    /// Where its files go.
    pub dir: PathBuf,
    /// Who may register, checked.
    pub registration: String,
    /// The database as it was written, checked.
    pub database: String,
    /// The same, parsed; relative paths are those of `dir`.
    pub parsed_database: Database,
    /// Which certificate to make.
    pub certificate: CertificateChoice,
    /// The directory of a private authority that exists; it issues the certificate.
    pub authority: Option<PathBuf>,
}

/// Makes a region.
///
/// # Errors
/// Something exists already, or cannot be made. What this call made before is removed again.
pub fn run(request: &Request, console: Console) -> Result<(), Failure> {
    let place = Place::of(request);
    if place.config.exists() {
        return already_there(request, &place, console);
    }
    refuse_leftovers(request, &place)?;
    let now = SystemClock.now();
    let mut fresh = Fresh::default();
    fresh.dir_all(&request.dir)?;
    fresh.private_dir(&place.keys)?;
    make_keys(request, &place, now, &mut fresh)?;
    make_certificate(request, &place, now, &mut fresh)?;
    make_database(&request.domain, &place, &mut fresh)?;
    let has_password = matches!(&place.database, Database::Postgres(url) if url.has_password());
    let mode = if has_password { 0o600 } else { 0o644 };
    // The settings come last: where they are, everything is.
    fresh.file(&place.config, settings(request).as_bytes(), mode)?;
    fresh.keep();
    report(request, &place, console);
    Ok(())
}

/// Where a region's files are.
struct Place {
    config: PathBuf,
    keys: PathBuf,
    signing_key: PathBuf,
    sealing_keys: PathBuf,
    recovery_key: PathBuf,
    key_log: PathBuf,
    authority: PathBuf,
    authority_key: PathBuf,
    certificate: PathBuf,
    private_key: PathBuf,
    request: PathBuf,
    database: Database,
}

impl Place {
    fn of(request: &Request) -> Self {
        let keys = request.dir.join("keys");
        Self {
            config: request.dir.join(config::FILE_NAME),
            signing_key: keys.join("signing.key"),
            sealing_keys: keys.join("sealing.key"),
            recovery_key: keys.join("recovery.key"),
            key_log: keys.join("keys.log"),
            authority: keys.join("ca.pem"),
            authority_key: keys.join("ca.key"),
            certificate: keys.join("server.pem"),
            private_key: keys.join("server.key"),
            request: keys.join("server.csr"),
            database: request.parsed_database.clone().below(&request.dir),
            keys,
        }
    }
}

/// The region is there: says so, and changes nothing.
fn already_there(request: &Request, place: &Place, console: Console) -> Result<(), Failure> {
    let shown = place.config.display();
    let (found, _) = config::Config::load(&place.config, &config::Overrides::default())?;
    if found.domain != request.domain {
        return Err(Failure::new(
            Exit::Config,
            format!("{shown} is there already, for the region {}.", found.domain),
            "Nothing was changed. Choose another --dir for the other region.",
        ));
    }
    console.line(format_args!(
        "The region {} is there already ({shown}); nothing was changed.\nStart it with\n  \
         posthouse serve --config {shown}",
        found.domain
    ));
    Ok(())
}

/// Files without settings are either the rest of a region that lost them, or a stranger's.
fn refuse_leftovers(request: &Request, place: &Place) -> Result<(), Failure> {
    let mut candidates: Vec<&Path> = vec![&place.keys];
    if let Database::Sqlite(path) = &place.database {
        candidates.push(path);
    }
    let found: Vec<String> = candidates
        .into_iter()
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| path.display().to_string())
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    let dir = request.dir.display();
    Err(Failure::new(
        Exit::Config,
        format!(
            "There is no {} in {dir}, but these exist: {}.",
            config::FILE_NAME,
            found.join(", ")
        ),
        format!(
            "Nothing was changed: keys and databases are never overwritten. If they are those of a \
             region, restore its {name} (`posthouse config sample --domain {} > {name}` writes a \
             fresh one); for a new region choose another --dir.",
            request.domain,
            name = config::FILE_NAME,
        ),
    ))
}

/// The keys that the region is known by, and the log that other regions follow.
fn make_keys(
    request: &Request,
    place: &Place,
    now: Timestamp,
    fresh: &mut Fresh,
) -> Result<(), Failure> {
    let mut rng = system_rng()?;
    let signing = SigningKey::generate(&mut rng);
    let kinds = [Encapsulation::XWing, Encapsulation::X25519];
    let sealing = kinds.map(|kind| SealingKey::generate(kind, &mut rng)).to_vec();
    let recovery = SigningKey::generate(&mut rng);
    let secrets = Secrets { signing, sealing };
    let first = first_entry(&request.domain, &secrets, recovery.verifying_key(), now);
    fresh.file(&place.signing_key, keys::render(&secrets.signing).as_bytes(), 0o600)?;
    let text = file::render_sealing(&secrets.sealing);
    fresh.file(&place.sealing_keys, text.as_bytes(), 0o600)?;
    fresh.file(&place.recovery_key, file::render_recovery(&recovery).as_bytes(), 0o600)?;
    fresh.file(&place.key_log, file::render_log(&[first]).as_bytes(), 0o644)
}

fn make_certificate(
    request: &Request,
    place: &Place,
    now: Timestamp,
    fresh: &mut Fresh,
) -> Result<(), Failure> {
    if request.certificate == CertificateChoice::None {
        return Ok(());
    }
    let server_key: Zeroizing<String> = authority::server_key()?;
    fresh.file(&place.private_key, server_key.as_bytes(), 0o600)?;
    if request.certificate == CertificateChoice::Request {
        let text = authority::request(&request.domain, &server_key)?;
        return fresh.file(&place.request, text.as_bytes(), 0o644);
    }
    let ca: Pair = if let Some(dir) = &request.authority {
        authority::read(dir)?
    } else {
        let names = core::slice::from_ref(&request.domain);
        let ca = authority::create(names, now, system_random()?)?;
        fresh.file(&place.authority_key, ca.private.as_bytes(), 0o600)?;
        ca
    };
    let issued = authority::issue(&ca, &request.domain, &server_key, now, system_random()?)?;
    fresh.file(&place.authority, ca.public.as_bytes(), 0o644)?;
    fresh.file(&place.certificate, issued.as_bytes(), 0o644)
}

fn make_database(domain: &ServerName, place: &Place, fresh: &mut Fresh) -> Result<(), Failure> {
    if let Database::Sqlite(path) = &place.database {
        if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
            if let Some(above) = parent.parent() {
                fresh.dir_all(above)?;
            }
            fresh.private_dir(parent)?;
        }
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            fresh.expect_file(name.into());
        }
    }
    let runtime = Runtime::new().map_err(|err| {
        Failure::new(
            Exit::Other,
            format!("Threads cannot be started: {err}."),
            "Check the limits of the process (ulimit -u).",
        )
    })?;
    let node = Random::from_seed(system_random()?).uuid();
    runtime.block_on(async {
        let opened = database::open_or_create(&place.database, domain, node).await?;
        opened.store.close().await;
        Ok(())
    })
}

/// The text of the new region's settings.
fn settings(request: &Request) -> String {
    let quoted = |text: &str| toml::Value::String(text.into()).to_string();
    let mut chosen = vec![
        (table::DOMAIN.key, quoted(request.domain.as_str())),
        (table::DATABASE_URL.key, quoted(&request.database)),
        (table::ACCOUNTS_REGISTRATION.key, quoted(&request.registration)),
    ];
    if request.certificate != CertificateChoice::None {
        // It cannot prove its name to others without a certificate of its own.
        chosen.push((table::FEDERATION_LISTEN.key, quoted("0.0.0.0:7443")));
    }
    if request.authority.is_some() {
        chosen.push((table::FEDERATION_AUTHORITIES.key, "[\"keys/ca.pem\"]".into()));
    }
    if request.certificate == CertificateChoice::None {
        chosen.push((table::CLIENT_TLS.key, "false".into()));
        chosen.push((table::CLIENT_LISTEN.key, quoted("127.0.0.1:8080")));
        chosen.push((table::CLIENT_TRUSTED_PROXIES.key, "[\"127.0.0.1\", \"::1\"]".into()));
    }
    config::sample(&chosen)
}

fn report(request: &Request, place: &Place, console: Console) {
    let shown = place.config.display();
    console.line(format_args!("Made the region {} in {}:", request.domain, request.dir.display()));
    let line = |path: &Path, what: &str| {
        let relative = path.strip_prefix(&request.dir).unwrap_or(path);
        console.line(format_args!("  {:<18} {what}", relative.display()));
    };
    line(&place.config, "the settings, each with its meaning");
    line(&place.signing_key, "signs tokens and envelopes: keep a copy in a safe place");
    line(&place.sealing_keys, "opens envelopes of other regions: keep a copy too");
    line(&place.key_log, "the public history of these keys, which other regions follow");
    line(&place.recovery_key, "replaces all of them if they are lost: move it elsewhere");
    match request.certificate {
        CertificateChoice::PrivateCa => {
            line(&place.certificate, "the certificate, with its key server.key");
            line(&place.authority, "the authority that issued it: clients must trust it");
            if request.authority.is_none() {
                line(&place.authority_key, "the authority's key, to renew the certificate");
            }
        }
        CertificateChoice::Request => {
            line(&place.private_key, "the key for the certificate");
            line(&place.request, "the request for a certificate");
        }
        CertificateChoice::None => {}
    }
    match &place.database {
        Database::Sqlite(path) => line(path, "the database"),
        postgres @ Database::Postgres(_) => {
            console.line(format_args!("  {postgres} has its tables"));
        }
    }
    console.line("Next:");
    if request.certificate == CertificateChoice::Request {
        console.line(format_args!(
            "  send {} to a certificate authority\n  save its answer, with the chain, as {}",
            place.request.display(),
            place.certificate.display()
        ));
    }
    console.line(format_args!(
        "  posthouse config check --config {shown}\n  posthouse serve --config {shown}"
    ));
}

/// A generator for one key.
fn system_rng() -> Result<rand::rngs::StdRng, Failure> {
    use rand::SeedableRng;
    Ok(rand::rngs::StdRng::from_seed(system_random()?))
}
