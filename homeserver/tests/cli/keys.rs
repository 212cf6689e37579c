//! Keys and certificates that do not do. None of them is ever replaced by the server.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use posthouse_homeserver::clock::SystemClock;
use posthouse_protocol::time::Clock as _;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::harness::{DOMAIN, Ended, Region, run, set_mode};

/// Puts a self-signed certificate for `name`, valid between two years, in the region's place.
fn put_certificate(region: &Region, name: &str, from: i32, until: i32) {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    put(region, &params);
}

/// Puts one for the region there that is valid for so many more days.
fn put_certificate_for(region: &Region, days: u64) {
    let mut params = CertificateParams::new([DOMAIN.to_owned()]).unwrap();
    let hour = Duration::from_hours(1);
    let now = date_time_ymd(1970, 1, 1) + Duration::from_millis(SystemClock.now().0);
    params.not_before = now - hour;
    params.not_after = now + Duration::from_hours(days * 24) + hour;
    put(region, &params);
}

fn put(region: &Region, params: &CertificateParams) {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(region.path("keys/server.pem"), certificate.pem()).unwrap();
    fs::write(region.path("keys/server.key"), key.serialize_pem()).unwrap();
}

#[test]
fn a_missing_signing_key_is_not_made_again() {
    let region = Region::new();
    let path = region.path("keys/signing.key");
    fs::remove_file(&path).unwrap();
    region.serve_fails(&[]).failed(3, &[&region.shown("keys/signing.key"), "missing", "Restore"]);
    assert!(!path.exists());
}

#[test]
fn a_damaged_signing_key_is_noticed() {
    let region = Region::new();
    let path = region.path("keys/signing.key");
    let text = fs::read_to_string(&path).unwrap();
    // One bit of the secret, as a failing disk would have it.
    let at = text.find("secret ").unwrap() + 10;
    let mut bytes = text.into_bytes();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    fs::write(&path, &bytes).unwrap();
    let said = region.serve_fails(&[]);
    said.failed(3, &["signing.key is damaged", "do not belong together", "Restore"]);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    fs::write(&path, "").unwrap();
    region.serve_fails(&[]).failed(3, &["signing.key is damaged"]);
}

/// Whether or not the region federates: the harness's regions keep to themselves.
#[test]
fn another_name_does_not_go_with_the_keys() {
    let region = Region::with(&["--certificate", "none"]);
    let said = region.serve_fails(&["--set", "domain=us.example"]);
    said.failed(3, &["those of eu.example", "says us.example", "set domain to eu.example again"]);
    region.serve(&[]);
}

#[test]
fn keys_that_do_not_belong_together_stop_the_start() {
    let other = Region::new();
    for (name, fact) in [
        ("signing.key", "does not name the signing key of the file"),
        ("sealing.key", "does not name the sealing keys of the file"),
        ("keys.log", "does not name the signing key of the file"),
    ] {
        let region = Region::new();
        let path = region.path("keys").join(name);
        fs::remove_file(&path).unwrap();
        let missing = [&*path.display().to_string(), "is missing", "Restore the file from a copy"];
        region.serve_fails(&[]).failed(3, &missing);
        assert!(!path.exists());
        fs::copy(other.path("keys").join(name), &path).unwrap();
        region.serve_fails(&[]).failed(3, &[fact, "Restore the file from a copy"]);
    }
}

#[test]
fn keys_that_others_can_read_are_refused() {
    for name in ["signing.key", "server.key"] {
        let region = Region::new();
        let path = region.path("keys").join(name);
        for mode in [0o640, 0o604] {
            set_mode(&path, mode);
            let advice = format!("chmod 600 {}", path.display());
            region.serve_fails(&[]).failed(3, &["can be read by other users", &advice]);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o604);
    }
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let region = Region::new();
    put_certificate(&region, "us.example", 2020, 2100);
    let said = region.serve_fails(&[]);
    said.failed(3, &["is for us.example, not for eu.example", "subject alternative names"]);
    put_certificate(&region, "eu.example", 2020, 2100);
    region.serve(&[]);
}

#[test]
fn a_certificate_out_of_its_time_is_refused() {
    let region = Region::new();
    put_certificate(&region, "eu.example", 2020, 2021);
    region.serve_fails(&[]).failed(3, &["expired on", "posthouse certificate renew", "clock"]);
    put_certificate(&region, "eu.example", 2090, 2100);
    region.serve_fails(&[]).failed(3, &["valid only from", "clock"]);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (region, other) = (Region::new(), Region::new());
    fs::copy(other.path("keys/server.key"), region.path("keys/server.key")).unwrap();
    let said = region.serve_fails(&[]);
    said.failed(3, &["does not belong to the certificate", &region.shown("keys/server.key")]);
}

#[test]
fn certificates_that_are_none_are_refused() {
    let region = Region::new();
    let path = region.path("keys/server.pem");
    fs::write(&path, "").unwrap();
    region.serve_fails(&[]).failed(3, &["holds no certificate", "BEGIN CERTIFICATE"]);
    fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    region.serve_fails(&[]).failed(3, &["server.pem is damaged"]);
    fs::remove_file(&path).unwrap();
    region.serve_fails(&[]).failed(3, &["server.pem is missing", "client.certificate"]);
}

/// `config check` with the certificate of the region's place, for clients or for other regions.
fn config_check(region: &Region, flags: &[&str]) -> Ended {
    let mut command = region.command(&["config", "check"]);
    command.args(flags);
    run(command)
}

#[test]
fn config_check_finds_what_would_stop_the_start() {
    let (region, other) = (Region::new(), Region::new());
    let federation = ["--set", "client.tls=false", "--set", "federation.listen=127.0.0.1:0"];
    let both = |facts: &[&str]| {
        config_check(&region, &[]).failed(3, facts);
        config_check(&region, &federation).failed(3, facts);
    };
    for flags in [&[] as &[&str], &federation] {
        assert!(config_check(&region, flags).done().contains("domain = \"eu.example\""));
    }
    put_certificate(&region, "us.example", 2020, 2100);
    both(&["is for us.example, not for eu.example"]);
    put_certificate(&region, "eu.example", 2020, 2021);
    both(&["expired on", "posthouse certificate renew"]);
    put_certificate(&region, "eu.example", 2090, 2100);
    both(&["valid only from"]);
    put_certificate(&region, "eu.example", 2020, 2100);
    fs::copy(other.path("keys/server.key"), region.path("keys/server.key")).unwrap();
    both(&["does not belong to the certificate", &region.shown("keys/server.key")]);
    fs::write(region.path("keys/server.key"), "no key").unwrap();
    both(&["server.key is damaged"]);
    fs::remove_file(region.path("keys/server.key")).unwrap();
    both(&["server.key", "is missing"]);
    fs::write(region.path("keys/server.pem"), "").unwrap();
    both(&["holds no certificate"]);
    fs::remove_file(region.path("keys/server.pem")).unwrap();
    both(&["server.pem is missing"]);
    // Where neither listener uses it, nothing is missed.
    config_check(&region, &["--set", "client.tls=false"]).done();
}

#[test]
fn config_check_warns_of_a_certificate_that_is_about_to_expire() {
    let region = Region::new();
    for (days, warns) in [(0, true), (13, true), (14, false)] {
        put_certificate_for(&region, days);
        let checked = config_check(&region, &[]);
        let warning = format!("keys/server.pem expires in {days} days: renew it");
        assert_eq!(checked.done().contains(&warning), warns, "{days}: {}", checked.out);
        assert_eq!(checked.out.contains("# warning"), warns, "{days}: {}", checked.out);
    }
}
