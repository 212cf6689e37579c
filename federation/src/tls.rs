//! Mutual TLS between homeservers (docs/spec/federation-tls.md): TLS 1.3 only, X25519MLKEM768
//! preferred, both ends show a certificate for their own domain.
//!
//! The certificate proves the domain itself, never the host that DNS names for it. No session is
//! resumed: a resumed one would carry an expired or withdrawn certificate on.

mod clock;
mod identity;
mod trust;
mod verifier;

pub use clock::TlsClock;
pub use identity::{Identity, IdentityError, IdentityStore};
pub use trust::{PeerNames, PrivateAuthority, Trust, TrustError, TrustStore, spki_digest};

use std::sync::Arc;

use posthouse_protocol::time::Timestamp;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::CertificateDer,
    server::NoServerSessionStorage,
    time_provider::TimeProvider,
    version::TLS13,
};

use self::verifier::PeerVerifier;
pub(crate) use self::verifier::Seen;

/// The application protocol that both ends offer (RFC 7301): HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// The algorithms: TLS 1.3 suites, the hybrid key exchange first.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
            aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![
            aws_lc_rs::kx_group::X25519MLKEM768,
            aws_lc_rs::kx_group::X25519,
            aws_lc_rs::kx_group::SECP256R1,
        ],
        ..aws_lc_rs::default_provider()
    }
}

/// What the federation listener speaks. Changes of `identity` and `trust` hold from the next
/// handshake on.
///
/// # Errors
/// [`rustls::Error`] if the algorithms do not fit together, which is a defect of this program.
pub fn server_config(
    identity: Arc<IdentityStore>,
    trust: Arc<TrustStore>,
    clock: Arc<dyn TimeProvider>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(provider());
    let verifier = Arc::new(PeerVerifier::new(trust, provider.signature_verification_algorithms));
    let mut config = ServerConfig::builder_with_details(provider, clock)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// What a connection to a peer speaks. The peer's domain goes into the handshake as server name.
///
/// # Errors
/// [`rustls::Error`] if the algorithms do not fit together, which is a defect of this program.
pub fn client_config(
    identity: Arc<IdentityStore>,
    trust: Arc<TrustStore>,
    clock: Arc<dyn TimeProvider>,
) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(provider());
    let algorithms = provider.signature_verification_algorithms;
    client(identity, PeerVerifier::new(trust, algorithms), provider, clock)
}

/// As [`client_config`], and notes which certificate the other end shows, believed or not.
pub(crate) fn examining_config(
    identity: Arc<IdentityStore>,
    trust: Arc<TrustStore>,
    clock: Arc<dyn TimeProvider>,
    seen: Seen,
) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(provider());
    let algorithms = provider.signature_verification_algorithms;
    let verifier = PeerVerifier::new(trust, algorithms).noting(seen);
    client(identity, verifier, provider, clock)
}

fn client(
    identity: Arc<IdentityStore>,
    verifier: PeerVerifier,
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn TimeProvider>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_details(provider, clock)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(identity);
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// What is spoken with servers of the Web, to whom we show no certificate.
pub(crate) fn web_config(
    roots: RootCertStore,
    clock: Arc<dyn TimeProvider>,
) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, clock)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// The names that a certificate, the first of `chain`, proves at `now`.
///
/// # Errors
/// [`TrustError`] if it proves none; without a certificate [`TrustError::BadEncoding`].
pub fn chain_names(
    chain: &[CertificateDer<'_>],
    trust: &Trust,
    now: Timestamp,
) -> Result<PeerNames, TrustError> {
    let (leaf, intermediates) = chain.split_first().ok_or(TrustError::BadEncoding)?;
    let algorithms = provider().signature_verification_algorithms;
    trust.names(leaf, intermediates, algorithms.all, clock::unix(now))
}

/// The authorities of the Web as this machine knows them, and `extra` ones.
///
/// # Errors
/// [`RootsError`] if an extra one is no certificate, or if there is none at all.
pub fn web_roots(extra: &[CertificateDer<'static>]) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    // Machines carry some that nothing can read; what counts is that some can be.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in extra {
        roots.add(certificate.clone()).map_err(RootsError::Unusable)?;
    }
    if roots.is_empty() { Err(RootsError::None) } else { Ok(roots) }
}

/// Why there are no roots.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The machine has no authorities, and none was given.
    #[error("this machine has no certificates of authorities; install ca-certificates")]
    None,
    /// A certificate that was given is none of an authority.
    #[error("the certificate of an authority cannot be used: {0}")]
    Unusable(#[source] rustls::Error),
}

#[cfg(test)]
pub(crate) mod tests;
