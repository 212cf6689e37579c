//! `posthouse config check`: the settings that are in force, and whether the certificates that they
//! name will do.

use std::sync::Arc;

use posthouse_protocol::time::{Clock as _, Timestamp};
use rustls::sign::CertifiedKey;

use crate::{
    clock::SystemClock,
    config::{self, Config, Sources, TlsFiles},
    console::Console,
    failure::Failure,
    serve::federation,
    tls::{self, WARN_BEFORE},
};

/// Shows the settings and what is to be warned of; then looks at the certificates as `serve` does.
///
/// # Errors
/// A certificate that `serve` would not take.
pub(super) fn check(config: &Config, sources: &Sources, console: Console) -> Result<(), Failure> {
    console.text(config::effective(sources));
    for warning in &config.warnings {
        console.line(format_args!("# warning: {warning}"));
    }
    let now = SystemClock.now();
    let looked_at = |files| certificate(files, config, now, console);
    let clients = config.client.tls.as_ref().map(looked_at).transpose()?;
    let between_regions = config.federation.listen.is_some().then_some(&config.federation.tls);
    let Some(files) = between_regions else { return Ok(()) };
    let key = match clients {
        Some(key) if config.client.tls.as_ref() == Some(files) => key,
        _ => certificate(files, config, now, console)?,
    };
    federation::identity(&config.domain, key).map(drop)
}

/// Looks at one certificate.
fn certificate(
    files: &TlsFiles,
    config: &Config,
    now: Timestamp,
    console: Console,
) -> Result<Arc<CertifiedKey>, Failure> {
    let found = tls::load(files, &config.domain, now)?;
    let left = found.expires.0.saturating_sub(now.0);
    if u128::from(left) < WARN_BEFORE.as_millis() {
        let (shown, days) = (files.certificate.display(), left / 86_400_000);
        console.line(format_args!(
            "# warning: the certificate {shown} expires in {days} days: renew it"
        ));
    }
    Ok(found.certified())
}
