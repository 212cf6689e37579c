//! TLS for clients: the certificate and its checks, how it is replaced while the server runs, and
//! the private authority that `init` can make.

pub mod authority;

mod check;
mod current;
mod vouch;

use std::{sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::NoServerSessionStorage,
    version::{TLS12, TLS13},
};

pub use check::{Certificate, load};
pub use current::{CurrentCertificate, Reload};

use crate::failure::{Exit, Failure};

/// How long before its end a certificate is warned of.
pub const WARN_BEFORE: Duration = Duration::from_hours(14 * 24);

/// The configuration of the client listener: TLS 1.3 and 1.2, X25519MLKEM768 first, HTTP/1.1.
///
/// # Errors
/// The cryptographic library failed.
pub fn server_config(certificate: Arc<CurrentCertificate>) -> Result<ServerConfig, Failure> {
    let failed = |err: rustls::Error| {
        Failure::new(
            Exit::Other,
            format!("TLS cannot be set up: {err}."),
            "This is a defect of the program: please report it.",
        )
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(failed)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Sessions live in tickets that clients keep, sealed with a key that changes every six hours,
    // so that idle clients cost the server nothing.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(failed)?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// The cryptography that all of TLS uses here.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests;
