//! Private certificate authorities: for one region, made by `init` for those who have no public one,
//! or for a federation of its own. Clients and peers trust one by its file `ca.pem`. It can be limited
//! to the names that it may vouch for.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use posthouse_protocol::{id::ServerName, time::Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SerialNumber,
};
use zeroize::Zeroizing;

use super::vouch;
use crate::{
    config::TlsFiles,
    failure::{Exit, Failure},
    keys,
};

/// How long the authority's own certificate is valid.
const AUTHORITY_DAYS: u64 = 3_650;
/// How long a server certificate is valid: what the platforms of clients accept at most.
pub const SERVER_DAYS: u64 = 397;
/// How long before now certificates begin: clients' clocks are late at times.
const EARLIER: Duration = Duration::from_hours(1);
/// Length of a serial number, in bytes (RFC 5280 §4.1.2.2 allows 20).
pub const SERIAL_LEN: usize = 16;

/// A private key and what belongs to it, both as PEM.
pub struct Pair {
    /// The certificate or request.
    pub public: String,
    /// The private key (PKCS #8).
    pub private: Zeroizing<String>,
}

/// Makes an authority that may vouch for `names`, or for any name if there are none.
///
/// # Errors
/// The cryptographic library failed.
pub fn create(
    names: &[ServerName],
    now: Timestamp,
    serial: [u8; SERIAL_LEN],
) -> Result<Pair, Failure> {
    let key = KeyPair::generate().map_err(|err| failed(&err))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name(&match names.first() {
        Some(first) => format!("Private authority of {first}"),
        None => "Private authority of a federation".to_owned(),
    });
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let permitted = |name: &ServerName| GeneralSubtree::DnsName(name.as_str().into());
    params.name_constraints = (!names.is_empty()).then(|| NameConstraints {
        permitted_subtrees: names.iter().map(permitted).collect(),
        excluded_subtrees: Vec::new(),
    });
    valid(&mut params, now, AUTHORITY_DAYS);
    params.serial_number = Some(SerialNumber::from(positive(serial)));
    let certificate = params.self_signed(&key).map_err(|err| failed(&err))?;
    Ok(Pair { public: certificate.pem(), private: Zeroizing::new(key.serialize_pem()) })
}

/// Reads the authority that is in `dir`.
///
/// # Errors
/// A file is missing, or its key can be read by others.
pub fn read(dir: &Path) -> Result<Pair, Failure> {
    let (certificate, key) = (dir.join("ca.pem"), dir.join("ca.key"));
    let private = keys::read_secret(
        &key,
        "the private authority's key",
        "Make an authority with `posthouse certificate authority --dir DIR`, or name the directory \
         of the one that you have.",
    )?;
    let public = fs::read_to_string(&certificate)
        .map_err(|err| Failure::cannot_read(Exit::Keys, &certificate, &err))?;
    Ok(Pair { public, private })
}

/// Makes a private key for a server, as PEM.
///
/// # Errors
/// The cryptographic library failed.
pub fn server_key() -> Result<Zeroizing<String>, Failure> {
    let key = KeyPair::generate().map_err(|err| failed(&err))?;
    Ok(Zeroizing::new(key.serialize_pem()))
}

/// Issues a certificate for `domain` and the key `server_key`; the answer is its PEM.
///
/// # Errors
/// The authority may not vouch for `domain` or is over, one of the PEM texts is damaged, or the
/// cryptographic library failed.
pub fn issue(
    authority: &Pair,
    domain: &ServerName,
    server_key: &str,
    now: Timestamp,
    serial: [u8; SERIAL_LEN],
) -> Result<String, Failure> {
    let issued = sign(authority, domain, server_key, now, serial)?;
    vouch::check(&authority.public, &issued, domain, now)?;
    Ok(issued)
}

/// What [`issue`] does, without asking whether anybody will believe it.
pub(super) fn sign(
    authority: &Pair,
    domain: &ServerName,
    server_key: &str,
    now: Timestamp,
    serial: [u8; SERIAL_LEN],
) -> Result<String, Failure> {
    let key = KeyPair::from_pem(&authority.private).map_err(|err| failed(&err))?;
    let issuer = Issuer::from_ca_cert_pem(&authority.public, key).map_err(|err| failed(&err))?;
    let server_key = KeyPair::from_pem(server_key).map_err(|err| failed(&err))?;
    let mut params = for_server(domain)?;
    params.use_authority_key_identifier_extension = true;
    valid(&mut params, now, SERVER_DAYS);
    params.serial_number = Some(SerialNumber::from(positive(serial)));
    let certificate = params.signed_by(&server_key, &issuer).map_err(|err| failed(&err))?;
    Ok(certificate.pem())
}

/// A request (PKCS #10) for a certificate for `domain` and the key `server_key`, as PEM.
///
/// # Errors
/// The key is damaged, or the cryptographic library failed.
pub fn request(domain: &ServerName, server_key: &str) -> Result<String, Failure> {
    let server_key = KeyPair::from_pem(server_key).map_err(|err| failed(&err))?;
    let request = for_server(domain)?.serialize_request(&server_key).map_err(|err| failed(&err))?;
    request.pem().map_err(|err| failed(&err))
}

/// Where the authority of a certificate has its private key, if it is one of `init`'s.
pub fn beside(files: &TlsFiles) -> PathBuf {
    files.certificate.with_file_name("ca.key")
}

fn for_server(domain: &ServerName) -> Result<CertificateParams, Failure> {
    let mut params =
        CertificateParams::new([domain.as_str().to_owned()]).map_err(|err| failed(&err))?;
    params.distinguished_name = name(domain.as_str());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Between regions it is also a client's, and most TLS libraries ask for that purpose then.
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// The common name is cut at the 64 characters it may have; what counts is the alternative name.
fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common.chars().take(64).collect::<String>());
    name
}

fn valid(params: &mut CertificateParams, now: Timestamp, days: u64) {
    let start = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now.0 / 1000);
    params.not_before = start - EARLIER;
    params.not_after = start + Duration::from_hours(24 * days);
}

/// A serial number is a positive integer (RFC 5280 §4.1.2.2).
fn positive(mut serial: [u8; SERIAL_LEN]) -> Vec<u8> {
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    serial.to_vec()
}

fn failed(err: &rcgen::Error) -> Failure {
    Failure::new(
        Exit::Keys,
        format!("The certificate cannot be made: {err}."),
        "If a file in the keys directory is damaged, restore it from a copy.",
    )
}
