//! The own certificate, which can be exchanged while the server runs.

use std::sync::{Arc, RwLock};

use posthouse_protocol::{id::ServerName, time::Timestamp};
use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::parse_x509_certificate;

/// A certificate chain with its key, checked against the domain that it is for.
#[derive(Debug, Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    expires: Timestamp,
}

/// Why a certificate is of no use as our own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The chain is empty or its first certificate cannot be read.
    #[error("the certificate cannot be read")]
    Certificate,
    /// The key is of a kind that cannot sign, or belongs to another certificate.
    #[error("the private key does not fit the certificate: {0}")]
    Key(#[source] rustls::Error),
    /// The certificate does not name the domain.
    #[error("the certificate is not for {0}")]
    OtherName(ServerName),
}

impl Identity {
    /// Checks that the key belongs to the certificate and that the certificate names `domain`.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn new(
        domain: &ServerName,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, IdentityError> {
        let leaf = chain.first().ok_or(IdentityError::Certificate)?;
        let parsed = parse_x509_certificate(leaf).map_err(|_| IdentityError::Certificate)?.1;
        let expires = parsed.validity().not_after.timestamp();
        let expires = u64::try_from(expires).unwrap_or(0).saturating_mul(1_000);
        let names = super::trust::names_of(leaf).map_err(|_| IdentityError::Certificate)?;
        if !names.contains(domain) {
            return Err(IdentityError::OtherName(domain.clone()));
        }
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let key = Arc::new(key.map_err(IdentityError::Key)?);
        Ok(Self { key, expires: Timestamp(expires) })
    }

    /// The same for a chain whose key was checked to belong to it.
    ///
    /// # Errors
    /// [`IdentityError::Certificate`] or [`IdentityError::OtherName`].
    pub fn from_certified(
        domain: &ServerName,
        key: Arc<CertifiedKey>,
    ) -> Result<Self, IdentityError> {
        let leaf = key.cert.first().ok_or(IdentityError::Certificate)?;
        let parsed = parse_x509_certificate(leaf).map_err(|_| IdentityError::Certificate)?.1;
        let expires = parsed.validity().not_after.timestamp();
        let expires = u64::try_from(expires).unwrap_or(0).saturating_mul(1_000);
        let names = super::trust::names_of(leaf).map_err(|_| IdentityError::Certificate)?;
        if !names.contains(domain) {
            return Err(IdentityError::OtherName(domain.clone()));
        }
        Ok(Self { key, expires: Timestamp(expires) })
    }

    /// When the certificate expires: a metric, a finding and an alert.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// The identity in force.
#[derive(Debug)]
pub struct IdentityStore(RwLock<Identity>);

impl IdentityStore {
    /// Starts with `identity`.
    pub fn new(identity: Identity) -> Self {
        Self(RwLock::new(identity))
    }

    /// Uses `identity` from the next handshake on.
    pub fn replace(&self, identity: Identity) {
        // A poisoned lock holds a whole value: writers only exchange it.
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = identity;
    }

    /// The identity in force.
    pub fn current(&self) -> Identity {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for IdentityStore {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current().key)
    }
}

impl ResolvesClientCert for IdentityStore {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.current().key)
    }

    fn has_certs(&self) -> bool {
        true
    }
}
