//! The private authority and the certificate's replacement.

use std::{fs, path::Path};

use posthouse_protocol::{id::ServerName, time::Timestamp};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
};

use super::{authority::*, *};
use crate::{config::TlsFiles, keys::write_new};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn domain() -> ServerName {
    ServerName::parse("eu.example").unwrap()
}

struct Made {
    dir: tempfile::TempDir,
    authority: Pair,
    files: TlsFiles,
}

fn made(now: Timestamp) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        certificate: dir.path().join("server.pem"),
        private_key: dir.path().join("server.key"),
    };
    let authority = create(&[domain()], now, [1; SERIAL_LEN]).unwrap();
    let key = server_key().unwrap();
    write_new(&files.private_key, key.as_bytes(), 0o600).unwrap();
    let issued = issue(&authority, &domain(), &key, now, [2; SERIAL_LEN]).unwrap();
    write_new(&files.certificate, issued.as_bytes(), 0o644).unwrap();
    Made { dir, authority, files }
}

fn accepts(authority: &Pair, certificate: &Path, name: &str) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.public.as_bytes()).unwrap()).unwrap();
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
    let leaf = CertificateDer::from_pem_file(certificate).unwrap();
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_millis(NOW.0));
    verifier.verify_server_cert(&leaf, &[], &name, &[], now).is_ok()
}

#[test]
fn clients_that_trust_the_authority_trust_the_server() {
    let made = made(NOW);
    assert!(accepts(&made.authority, &made.files.certificate, "eu.example"));
    assert!(!accepts(&made.authority, &made.files.certificate, "us.example"));
    load(&made.files, &domain(), NOW).unwrap();
}

/// Whoever steals the authority's key cannot use it against other domains.
#[test]
fn the_authority_can_vouch_for_its_domain_only() {
    let made = made(NOW);
    let other = ServerName::parse("bank.example").unwrap();
    let key = fs::read_to_string(&made.files.private_key).unwrap();
    let forged = sign(&made.authority, &other, &key, NOW, [3; SERIAL_LEN]).unwrap();
    let path = made.dir.path().join("forged.pem");
    fs::write(&path, forged).unwrap();
    assert!(!accepts(&made.authority, &path, "bank.example"));
}

/// What nobody would believe is not issued, and the reason is told.
#[test]
fn nothing_is_issued_that_clients_would_refuse() {
    let made = made(NOW);
    let key = server_key().unwrap();
    let issue = |authority: &Pair, name: &str, now| {
        let name = ServerName::parse(name).unwrap();
        issue(authority, &name, &key, now, [3; SERIAL_LEN])
    };
    let refused = |authority: &Pair, name: &str, now| {
        issue(authority, name, now).unwrap_err().fact().to_owned()
    };
    for other in ["bank.example", "neu.example", "eu.example.org"] {
        let fact = refused(&made.authority, other, NOW);
        let want = format!("may vouch for eu.example only, not for {other}:");
        assert!(fact.contains(&want), "{fact}");
    }
    issue(&made.authority, "chat.eu.example", NOW).unwrap();
    let late = NOW.plus_millis(3_651 * 86_400_000);
    assert!(refused(&made.authority, "eu.example", late).contains("expired on"));
    let other = create(&[], NOW, [5; SERIAL_LEN]).unwrap();
    issue(&other, "bank.example", NOW).unwrap();
    let mixed = Pair { public: other.public, private: made.authority.private };
    let fact = refused(&mixed, "eu.example", NOW);
    assert!(fact.contains("would not be believed"), "{fact}");
}

#[test]
fn a_request_names_the_domain() {
    let key = server_key().unwrap();
    let text = request(&domain(), &key).unwrap();
    let parsed = rcgen::CertificateSigningRequestParams::from_pem(&text).unwrap();
    let names = &parsed.params.subject_alt_names;
    assert!(matches!(&names[..], [rcgen::SanType::DnsName(name)] if name.as_str() == "eu.example"));
}

#[test]
fn a_replacement_that_does_not_do_changes_nothing() {
    let made = made(NOW);
    let current = CurrentCertificate::open(made.files.clone(), domain(), NOW).unwrap();
    let before = current.expires();
    assert_eq!(current.reload(false, NOW).unwrap(), Reload::Unchanged);
    fs::write(&made.files.certificate, "no certificate").unwrap();
    let failure = current.reload(false, NOW).unwrap_err();
    assert!(failure.fact().contains("holds no certificate"), "{failure}");
    assert_eq!(current.expires(), before);
    // The same files do not fail again and again.
    assert_eq!(current.reload(false, NOW).unwrap(), Reload::Unchanged);
    let later = NOW.plus_millis(24 * 3_600_000);
    let key = fs::read_to_string(&made.files.private_key).unwrap();
    let renewed = issue(&made.authority, &domain(), &key, later, [4; SERIAL_LEN]).unwrap();
    fs::write(&made.files.certificate, renewed).unwrap();
    assert_eq!(current.reload(false, later).unwrap(), Reload::Replaced);
    assert!(current.expires() > before);
}
