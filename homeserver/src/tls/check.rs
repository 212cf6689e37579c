//! Reads a certificate with its key, and checks before the first client does that it will do.

use std::{fs, io, path::Path, sync::Arc};

use posthouse_protocol::{id::ServerName, time::Timestamp};
use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use x509_parser::{extensions::GeneralName, prelude::X509Certificate};

use super::{authority, provider};
use crate::{
    config::TlsFiles,
    failure::{Exit, Failure},
    keys::read_secret,
};

/// A certificate that fits its domain, its key and the time of its check.
#[derive(Debug)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// When it expires.
    pub expires: Timestamp,
}

impl Certificate {
    /// The chain with its key.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

/// Reads and checks a certificate.
///
/// # Errors
/// A file is missing or damaged, the key can be read by others or belongs to another certificate,
/// the certificate names another domain, or is not valid at `now`.
pub fn load(files: &TlsFiles, domain: &ServerName, now: Timestamp) -> Result<Certificate, Failure> {
    let chain = read_chain(files)?;
    let first = chain.first().ok_or_else(|| {
        let shown = files.certificate.display();
        keys_failure(format!("The file {shown} holds no certificate."), PEM_WANTED)
    })?;
    let (_, parsed) = x509_parser::parse_x509_certificate(first)
        .map_err(|_| damaged(&files.certificate, "its first certificate cannot be read"))?;
    check_name(files, domain, first, &parsed)?;
    let expires = check_time(files, &parsed, now)?;
    let key = read_key(files)?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        // Keys of an external signer cannot tell; files can.
        Ok(()) => Ok(Certificate { key: Arc::new(key), expires }),
        Err(_) => Err(keys_failure(
            format!(
                "The private key in {} does not belong to the certificate in {}.",
                files.private_key.display(),
                files.certificate.display(),
            ),
            "Put the two files there that were made together. If the certificate was renewed with \
             a new key, replace both.",
        )),
    }
}

const PEM_WANTED: &str = "It should hold the server's certificate, then the intermediate ones, \
                          each between BEGIN CERTIFICATE and END CERTIFICATE lines (PEM).";

fn read_chain(files: &TlsFiles) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let path = &files.certificate;
    let bytes = fs::read(path).map_err(|err| match err.kind() {
        io::ErrorKind::NotFound => missing(files),
        _ => Failure::cannot_read(Exit::Keys, path, &err),
    })?;
    CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|err| damaged(path, &err.to_string()))
}

fn missing(files: &TlsFiles) -> Failure {
    let shown = files.certificate.display();
    let request = files.certificate.with_extension("csr");
    let advice = if request.exists() {
        format!(
            "Send the request {} to a certificate authority, and put what it answers with there.",
            request.display()
        )
    } else {
        "Put the domain's certificate there, or name its place in client.certificate. Behind a \
         proxy that speaks TLS, set client.tls to false."
            .into()
    };
    keys_failure(format!("The certificate {shown} is missing."), advice)
}

fn check_name(
    files: &TlsFiles,
    domain: &ServerName,
    der: &CertificateDer<'_>,
    parsed: &X509Certificate<'_>,
) -> Result<(), Failure> {
    let wanted = rustls::pki_types::ServerName::try_from(domain.as_str());
    let fits = match (ParsedCertificate::try_from(der), wanted) {
        (Ok(certificate), Ok(wanted)) => verify_server_name(&certificate, &wanted).is_ok(),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(keys_failure(
        format!(
            "The certificate {} is for {}, not for {domain}.",
            files.certificate.display(),
            names(parsed),
        ),
        format!(
            "Put a certificate there whose subject alternative names hold {domain}; in a chain the \
             server's own comes first. If the region has another name, correct the setting domain."
        ),
    ))
}

/// The DNS names of a certificate, for people.
fn names(parsed: &X509Certificate<'_>) -> String {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return "no name".into() };
    let shown: Vec<&str> = extension
        .value
        .general_names
        .iter()
        .filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None })
        .take(10)
        .collect();
    if shown.is_empty() { "no name".into() } else { shown.join(", ") }
}

fn check_time(
    files: &TlsFiles,
    parsed: &X509Certificate<'_>,
    now: Timestamp,
) -> Result<Timestamp, Failure> {
    let validity = parsed.validity();
    let seconds = i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
    let shown = files.certificate.display();
    if seconds < validity.not_before.timestamp() {
        return Err(keys_failure(
            format!("The certificate {shown} is valid only from {}.", validity.not_before),
            "Check the clock of this machine; if it is right, wait, or use another certificate.",
        ));
    }
    if seconds > validity.not_after.timestamp() {
        let advice = if authority::beside(files).exists() {
            "Run `posthouse certificate renew`, and check the clock of this machine."
        } else {
            "Have your certificate authority renew it, and check the clock of this machine."
        };
        let fact = format!("The certificate {shown} expired on {}.", validity.not_after);
        return Err(keys_failure(fact, advice));
    }
    let expires = u64::try_from(validity.not_after.timestamp()).unwrap_or(0);
    Ok(Timestamp(expires.saturating_mul(1000)))
}

fn read_key(files: &TlsFiles) -> Result<Arc<dyn rustls::sign::SigningKey>, Failure> {
    let path = &files.private_key;
    let text = read_secret(
        path,
        "the private key of the certificate",
        "Restore it from a copy, or have a certificate made for a new key and replace both files.",
    )?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|err| damaged(path, &err.to_string()))?;
    provider().key_provider.load_private_key(key).map_err(|err| damaged(path, &err.to_string()))
}

fn damaged(path: &Path, fact: &str) -> Failure {
    keys_failure(
        format!("The file {} is damaged: {fact}.", path.display()),
        "Restore it from a copy, or have a new certificate made.",
    )
}

fn keys_failure(fact: String, advice: impl Into<String>) -> Failure {
    Failure::new(Exit::Keys, fact, advice)
}
