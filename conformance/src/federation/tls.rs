//! Certificates, and both ends of TLS (federation-tls.md).

use std::{net::IpAddr, sync::Arc};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    server::{
        ResolvesServerCertUsingSni,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

/// Most names of a certificate that are looked at.
const MAX_NAMES: usize = 64;

/// A certificate authority of the test federation.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// What a certificate should say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shape<'a> {
    /// DNS names.
    pub names: &'a [&'a str],
    /// Addresses.
    pub addresses: &'a [IpAddr],
    /// Whether its time is over.
    pub expired: bool,
    /// Whether it is for servers only (EKU serverAuth).
    pub for_servers_only: bool,
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Credential {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl core::fmt::Debug for Authority {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// From the PEM of its certificate and key.
    ///
    /// # Errors
    /// A sentence for the person who gave them.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, String> {
        let told = |err: rcgen::Error| format!("the authority cannot be used: {err}");
        let key = KeyPair::from_pem(key).map_err(told)?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(told)?;
        let der = <CertificateDer<'_> as rustls_pki_types::pem::PemObject>::from_pem_slice(
            certificate.as_bytes(),
        );
        let certificate =
            der.map_err(|err| format!("the authority's certificate cannot be read: {err}"))?;
        Ok(Self { issuer, certificate })
    }

    /// A new one, which nobody trusts.
    ///
    /// # Errors
    /// A sentence.
    pub fn fresh() -> Result<Self, String> {
        let (certificate, key) = fresh_pem()?;
        Self::from_pem(&certificate, &key)
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Issues a certificate for a new key.
    ///
    /// # Errors
    /// A sentence.
    pub fn issue(&self, shape: Shape<'_>) -> Result<Credential, String> {
        let told = |err: rcgen::Error| format!("no certificate could be issued: {err}");
        let names: Vec<_> = shape.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(told)?;
        params.subject_alt_names.extend(shape.addresses.iter().copied().map(SanType::IpAddress));
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(if shape.expired { 2021 } else { 2040 }, 1, 1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if !shape.for_servers_only {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        let key = KeyPair::generate().map_err(told)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(told)?;
        let key = PrivateKeyDer::try_from(key.serialize_der())?;
        Ok(Credential { certificate: certificate.into(), key })
    }
}

/// The PEM of a new authority's certificate and key.
///
/// # Errors
/// A sentence.
pub fn fresh_pem() -> Result<(String, String), String> {
    let told = |err: rcgen::Error| format!("no authority could be made: {err}");
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "Conformance authority");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let key = KeyPair::generate().map_err(told)?;
    let certificate = params.self_signed(&key).map_err(told)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A client that shows `credential`, if any, and believes what `authority` signed.
///
/// # Errors
/// A sentence.
pub fn client(
    authority: &Authority,
    credential: Option<&Credential>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ClientConfig>, String> {
    let told = |err: Error| format!("no TLS client: {err}");
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.clone()).map_err(told)?;
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(versions).map_err(told)?;
    let builder = builder.with_root_certificates(roots);
    let mut config = match credential {
        None => builder.with_no_client_auth(),
        Some(Credential { certificate, key }) => builder
            .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
            .map_err(told)?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// A server with these credentials by name, which asks its clients for certificates.
///
/// # Errors
/// A sentence.
pub fn server<'a>(
    authority: &Authority,
    credentials: impl IntoIterator<Item = (&'a str, &'a Credential)>,
) -> Result<Arc<ServerConfig>, String> {
    let told = |err: Error| format!("no TLS server: {err}");
    let mut by_name = ResolvesServerCertUsingSni::new();
    for (name, Credential { certificate, key }) in credentials {
        let chain = vec![certificate.clone()];
        let certified = CertifiedKey::from_der(chain, key.clone_key(), &provider());
        by_name.add(name, certified.map_err(told)?).map_err(told)?;
    }
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(told)?;
    let verifier = ByAuthority { authority: authority.certificate.clone(), provider: provider() };
    let builder = builder.with_client_cert_verifier(Arc::new(verifier));
    let mut config = builder.with_cert_resolver(Arc::new(by_name));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The exact DNS names that a certificate, which was verified, proves.
pub fn proved_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let names = certificate.valid_dns_names().take(MAX_NAMES);
    names.filter(|name| !name.contains('*')).map(str::to_owned).collect()
}

/// Takes certificates of one authority, whether they are for servers, for clients, or do not say.
#[derive(Debug)]
struct ByAuthority {
    authority: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for ByAuthority {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let told = |err: webpki::Error| Error::General(err.to_string());
        let anchors = [webpki::anchor_from_trusted_cert(&self.authority).map_err(told)?];
        let certificate = EndEntityCert::try_from(end_entity).map_err(told)?;
        let mut end = Ok(ClientCertVerified::assertion());
        for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
            let algorithms = webpki::ALL_VERIFICATION_ALGS;
            match certificate.verify_for_usage(
                algorithms,
                &anchors,
                intermediates,
                now,
                usage,
                None,
                None,
            ) {
                Ok(_) => return Ok(ClientCertVerified::assertion()),
                Err(err) => end = Err(told(err)),
            }
        }
        end
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
