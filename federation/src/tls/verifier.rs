//! The rules of [`super::trust`], in the shape that rustls asks for.

use std::sync::{Arc, Mutex, PoisonError};

use posthouse_protocol::id::ServerName;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature},
    pki_types::{self, CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::trust::{TrustError, TrustStore};

/// Checks the certificate of either end.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    trust: Arc<TrustStore>,
    algorithms: WebPkiSupportedAlgorithms,
    seen: Option<Seen>,
}

/// The certificate that a server showed last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Option<CertificateDer<'static>>>>);

impl Seen {
    /// The certificate, if one was shown.
    pub(crate) fn leaf(&self) -> Option<CertificateDer<'static>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, leaf: &CertificateDer<'_>) {
        let leaf = Some(leaf.clone().into_owned());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = leaf;
    }
}

impl PeerVerifier {
    pub(super) fn new(trust: Arc<TrustStore>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trust, algorithms, seen: None }
    }

    /// Notes in `seen` what servers show.
    pub(super) fn noting(self, seen: Seen) -> Self {
        Self { seen: Some(seen), ..self }
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &pki_types::ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(seen) = &self.seen {
            seen.note(end_entity);
        }
        let wanted = ServerName::parse(&server_name.to_str()).map_err(|_| TrustError::NoName)?;
        let trust = self.trust.current();
        let names = trust.names(end_entity, intermediates, self.algorithms.all, now)?;
        if names.contains(&wanted) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Whom we trust is nobody's business.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let trust = self.trust.current();
        trust.names(end_entity, intermediates, self.algorithms.all, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
