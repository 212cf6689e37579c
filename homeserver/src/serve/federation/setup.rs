//! What the federation is set up with: keys, certificate, trust, policy, DNS.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use posthouse_crypto::sign::SigningKey;
use posthouse_federation::{
    discovery::{self, AddressPolicy, Discovery, Dns, DnsConfig, WebWellKnown},
    keys::{OwnKeys, OwnKeysError, Secrets, file},
    policy::{Pattern, Policy},
    tls::{PrivateAuthority, Trust, web_roots},
};
use posthouse_protocol::{id::ServerName, time::Clock};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    config::{Authority, Config, Federation},
    failure::{Exit, Failure},
    keys,
};

/// Where the system names its DNS servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// How long one question to DNS may take, and how often it is asked.
const DNS_PATIENCE: (Duration, usize) = (Duration::from_secs(3), 2);

const RESTORE: &str = "Restore the file from a copy. Posthouse never makes new keys for a region that \
                       had some: other regions know it by them.";

/// The keys, held against the key log.
///
/// # Errors
/// A file is missing or damaged, or they do not belong together.
pub(crate) fn own_keys(config: &Config, signing: &SigningKey) -> Result<OwnKeys, Failure> {
    let settings = &config.federation;
    let path = &settings.sealing_keys;
    let text = keys::read_secret(path, "the sealing keys", RESTORE)?;
    let damaged = |path: &Path, fact: &str| {
        let fact = format!("The file {} is damaged: {fact}.", path.display());
        Failure::new(Exit::Keys, fact, RESTORE)
    };
    let sealing = file::parse_sealing(&text).map_err(|fact| damaged(path, fact))?;
    let path = &settings.key_log;
    let text = fs::read_to_string(path).map_err(|err| match err.kind() {
        io::ErrorKind::NotFound => {
            let fact = format!("The file {} with the key log is missing.", path.display());
            Failure::new(Exit::Keys, fact, RESTORE)
        }
        _ => Failure::cannot_read(Exit::Keys, path, &err),
    })?;
    let log = file::parse_log(&text).map_err(|fact| damaged(path, fact))?;
    let secrets = Secrets { signing: signing.clone(), sealing };
    OwnKeys::new(config.domain.clone(), secrets, &log).map_err(|err| {
        if let OwnKeysError::OtherServer(whose) = &err {
            return other_region(config, whose);
        }
        Failure::new(Exit::Keys, format!("The keys do not belong together: {err}."), RESTORE)
    })
}

fn other_region(config: &Config, whose: &ServerName) -> Failure {
    let (domain, log) = (&config.domain, config.federation.key_log.display());
    Failure::new(
        Exit::Keys,
        format!("The keys are those of {whose} ({log}), but the setting domain says {domain}."),
        format!(
            "A region cannot change its name: set domain to {whose} again, or restore the keys of \
             {domain} from a copy. For a new region run `posthouse init --domain {domain}` with a \
             --dir of its own."
        ),
    )
}

/// Whose certificates are believed.
///
/// # Errors
/// The file of an authority cannot be read, or holds no certificate.
pub(crate) fn trust(settings: &Federation) -> Result<Trust, Failure> {
    let public = if settings.web_authorities { roots_of_the_web() } else { RootCertStore::empty() };
    let private: Result<Vec<_>, _> = settings.authorities.iter().map(authority).collect();
    Ok(Trust { public, private: private?, ..Trust::default() })
}

/// What the system trusts for the Web. A system without any, such as a bare container, is no failure:
/// only private authorities count then.
fn roots_of_the_web() -> RootCertStore {
    web_roots(&[]).unwrap_or_else(|err| {
        tracing::warn!(error = %err, "no authority of the Web is believed");
        RootCertStore::empty()
    })
}

fn authority(authority: &Authority) -> Result<PrivateAuthority, Failure> {
    let path = &authority.file;
    let bytes = fs::read(path).map_err(|err| Failure::cannot_read(Exit::Keys, path, &err))?;
    let mut roots = RootCertStore::empty();
    let unusable = |fact: String| {
        Failure::new(
            Exit::Keys,
            format!("{} holds no authority that can be used: {fact}.", path.display()),
            "It should hold certificates between BEGIN CERTIFICATE and END CERTIFICATE lines (PEM). \
             Correct the setting federation.authorities.",
        )
    };
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|err| unusable(err.to_string()))?;
        roots.add(certificate).map_err(|err| unusable(err.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("no certificate is in it".into()));
    }
    Ok(PrivateAuthority { roots, names: authority.names.clone() })
}

/// With whom the region speaks.
///
/// # Errors
/// A pattern is none; the settings' own check comes first.
pub(crate) fn policy(settings: &Federation) -> Result<Policy, Failure> {
    let parse = |texts: &[String]| -> Result<Vec<Pattern>, Failure> {
        texts
            .iter()
            .map(|text| {
                text.parse().map_err(|_| {
                    Failure::new(
                        Exit::Config,
                        format!("\"{text}\" names no regions."),
                        "Correct the settings federation.allow and federation.deny.",
                    )
                })
            })
            .collect()
    };
    let everyone = settings.deny.iter().any(|text| text == "*");
    if everyone {
        return Ok(Policy { allow: Some(Vec::new()), deny: Vec::new() });
    }
    let allow = settings.allow.as_deref().map(parse).transpose()?;
    Ok(Policy { allow, deny: parse(&settings.deny)? })
}

/// Finds other regions.
///
/// # Errors
/// No DNS server is known, or the file of what was found cannot be read.
pub(crate) fn discovery(
    settings: &Federation,
    clock: Arc<dyn Clock>,
) -> Result<Discovery, Failure> {
    let defect = |err: String| {
        let advice = "This is a defect of the program: please report it.";
        Failure::new(Exit::Other, format!("Discovery cannot be set up: {err}."), advice)
    };
    let config = DnsConfig {
        servers: servers(settings)?,
        timeout: DNS_PATIENCE.0,
        attempts: DNS_PATIENCE.1,
    };
    let dns = || Dns::new(&config).map_err(|err| defect(err.to_string()));
    let addresses =
        if settings.private_addresses { AddressPolicy::Any } else { AddressPolicy::PublicOnly };
    let well_known = WebWellKnown::new(roots_of_the_web(), dns()?, addresses, clock)
        .map_err(|err| defect(err.to_string()))?;
    let found = &settings.discovery_file;
    if let Some(parent) = found.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)
            .map_err(|err| Failure::cannot_write(Exit::Other, parent, &err))?;
    }
    let config = discovery::Config { overrides: settings.overrides.clone(), addresses };
    let store = discovery::Store::new(found.clone());
    Discovery::new(config, dns()?, Arc::new(well_known), Some(store)).map_err(|err| {
        Failure::new(
            Exit::Other,
            format!("What was found of other regions cannot be read: {err}."),
            format!("Delete {}: it is made again.", found.display()),
        )
    })
}

/// The DNS servers of the settings, or those of the system.
fn servers(settings: &Federation) -> Result<Vec<SocketAddr>, Failure> {
    if !settings.dns.is_empty() {
        return Ok(settings.dns.clone());
    }
    let text = fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    let servers = system_servers(&text);
    if servers.is_empty() && settings.overrides.is_empty() {
        return Err(Failure::new(
            Exit::Network,
            format!("{RESOLV_CONF} names no DNS server."),
            "Name DNS servers with the setting federation.dns, such as \"127.0.0.53:53\".",
        ));
    }
    Ok(servers)
}

/// The servers of a resolv.conf (resolv.conf(5)); a scope on an IPv6 address is left out.
fn system_servers(text: &str) -> Vec<SocketAddr> {
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let address = |text: &str| text.trim().split('%').next()?.parse::<IpAddr>().ok();
    named.filter_map(address).map(|ip| SocketAddr::new(ip, 53)).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_systems_servers() {
        let text = "# made by hand\nsearch example\nnameserver 192.0.2.1\n nameserver fe80::1%eth0\n\
                    nameserver x\noptions edns0\n";
        let found: Vec<String> = system_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[fe80::1]:53"]);
    }
}
