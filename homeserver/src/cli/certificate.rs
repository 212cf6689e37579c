//! `posthouse certificate renew`: a new certificate from the region's private authority.

use std::{fs, io, path::Path};

use posthouse_protocol::time::Clock;

use crate::{
    clock::{SystemClock, system_random},
    config::Config,
    console::Console,
    failure::{Exit, Failure},
    keys,
    tls::authority::{self as ca, Pair, SERVER_DAYS},
};

/// Issues a new certificate for the same key, and puts it in the place of the old one.
pub(super) fn renew(
    config: &Config,
    authority: Option<&Path>,
    console: Console,
) -> Result<(), Failure> {
    let Some(files) = &config.client.tls else {
        return Err(Failure::new(
            Exit::Config,
            "This region has no certificate: client.tls is false.",
            "Renew the certificate of the proxy in front of it.",
        ));
    };
    let authority_key = authority.map_or_else(|| ca::beside(files), |dir| dir.join("ca.key"));
    let private = keys::read_secret(
        &authority_key,
        "the private authority's key",
        "Only certificates of a private authority can be renewed here: for one that is elsewhere, \
         name its directory with --authority. For others, ask the authority that issued them.",
    )?;
    let authority_path = authority_key.with_extension("pem");
    let public = fs::read_to_string(&authority_path)
        .map_err(|err| Failure::cannot_read(Exit::Keys, &authority_path, &err))?;
    let server_key = keys::read_secret(
        &files.private_key,
        "the private key of the certificate",
        "Restore it from a copy.",
    )?;
    let pair = Pair { public, private };
    let now = SystemClock.now();
    let issued = ca::issue(&pair, &config.domain, &server_key, now, system_random()?)?;
    keys::replace(&files.certificate, issued.as_bytes(), 0o644)
        .map_err(|err: io::Error| Failure::cannot_write(Exit::Keys, &files.certificate, &err))?;
    console.line(format_args!(
        "Renewed {} for {} days.\nA running server takes it within a minute, or at once on SIGHUP.",
        files.certificate.display(),
        SERVER_DAYS,
    ));
    Ok(())
}
