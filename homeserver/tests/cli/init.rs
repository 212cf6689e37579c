//! `posthouse init`.

use std::{
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    process::Command,
};

use super::harness::{DOMAIN, Ended, Region, mode, posthouse, run, set_mode};

/// Everything below a directory with its contents.
fn contents(region: &Region) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![region.dir.path().to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((path.display().to_string(), fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn empty() -> Region {
    Region { dir: tempfile::tempdir().unwrap() }
}

#[test]
fn a_region_is_made_whole() {
    let region = empty();
    let made = run(region.init(&["--registration", "open"]));
    let out = made.done();
    assert!(out.contains(&format!("posthouse serve --config {}", region.shown("posthouse.toml"))));
    for (path, expected) in [
        ("keys", 0o700),
        ("keys/signing.key", 0o600),
        ("keys/server.key", 0o600),
        ("keys/ca.key", 0o600),
        ("keys/server.pem", 0o644),
        ("keys/ca.pem", 0o644),
        ("posthouse.toml", 0o644),
        ("data", 0o700),
        ("data/posthouse.db", 0o600),
    ] {
        assert_eq!(mode(&region.path(path)), expected, "{path}");
    }
    let checked = run(region.command(&["config", "check"]));
    assert!(checked.done().contains("registration = \"open\""), "{}", checked.out);
}

#[test]
fn a_second_init_changes_nothing() {
    let region = Region::new();
    let before = contents(&region);
    let again = run(region.init(&[]));
    assert!(again.done().contains("nothing was changed"), "{}", again.out);
    let mut other = posthouse(&["init", "--domain", "us.example", "--dir"]);
    other.arg(region.dir.path());
    run(other).failed(2, &["is there already, for the region eu.example", "another --dir"]);
    assert_eq!(contents(&region), before);
}

#[test]
fn keys_without_settings_are_left_alone() {
    let region = Region::new();
    fs::remove_file(region.path("posthouse.toml")).unwrap();
    let before = contents(&region);
    let said = run(region.init(&[]));
    said.failed(2, &[&region.shown("keys"), "never overwritten", "posthouse config sample"]);
    assert_eq!(contents(&region), before);
}

#[test]
fn a_request_can_be_made_instead_of_a_certificate() {
    let region = empty();
    let made = run(region.init(&["--certificate", "request"]));
    let (_, next) = made.done().split_once("Next:").unwrap();
    let steps = ["keys/server.csr", "keys/server.pem", "config check", "posthouse serve"];
    let places: Vec<_> = steps.iter().map(|step| next.find(step)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{next}");
    let request = fs::read_to_string(region.path("keys/server.csr")).unwrap();
    assert!(request.starts_with("-----BEGIN CERTIFICATE REQUEST-----"), "{request}");
    assert!(!region.path("keys/server.pem").exists());
    let said = region.serve_fails(&[]);
    said.failed(3, &[&region.shown("keys/server.pem"), "Send the request", "server.csr"]);
}

#[test]
fn behind_a_proxy_there_is_no_certificate() {
    let region = Region::with(&["--certificate", "none"]);
    assert!(!region.path("keys/server.key").exists());
    let mut command = posthouse(&["config", "check", "--config"]);
    command.arg(region.path("posthouse.toml"));
    let checked = run(command);
    let shown = checked.done();
    assert!(shown.contains("tls = false"), "{shown}");
    assert!(shown.contains("listen = \"127.0.0.1:8080\""), "{shown}");
    assert!(!shown.contains("warning"), "{shown}");
}

#[test]
fn wrong_flags_are_explained() {
    let region = empty();
    let init = |domain: &str, more: &[&str]| -> Ended {
        let mut command = posthouse(&["init", "--domain", domain, "--dir"]);
        command.arg(region.dir.path()).args(more);
        run(command)
    };
    init("EU.example", &[]).failed(2, &["--domain", "lowercase", "posthouse init --help"]);
    init("localhost", &[]).failed(2, &["at least two labels"]);
    init(DOMAIN, &["--registration", "friends"]).failed(2, &["\"invite\""]);
    init(DOMAIN, &["--database", "mysql://h/x"]).failed(2, &["--database", "sqlite:PATH"]);
    init(DOMAIN, &["--certificate", "acme"]).failed(2, &["private-ca", "request", "none"]);
    assert_eq!(contents(&region), []);
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let region = empty();
    let url = "postgres://ph:geheim@127.0.0.1:1/posthouse";
    let said = run(region.init(&["--database", url]));
    said.failed(
        4,
        &["postgres://ph@127.0.0.1:1/posthouse", "refused", "Check that PostgreSQL runs"],
    );
    assert!(!said.err.contains("geheim"), "{}", said.err);
    assert_eq!(fs::read_dir(region.dir.path()).unwrap().count(), 0);
}

#[test]
fn an_authority_for_other_names_is_not_used() {
    let place = tempfile::tempdir().unwrap();
    let mut make = posthouse(&["certificate", "authority", "--for", "north.test"]);
    make.args(["--for", "south.test", "--dir"]).arg(place.path());
    run(make).done();
    let region = empty();
    let authority = place.path().display().to_string();
    run(region.init(&["--authority", &authority])).failed(
        3,
        &[
            "may vouch for north.test, south.test only, not for eu.example",
            "posthouse certificate authority --dir DIR --for eu.example",
        ],
    );
    assert_eq!(fs::read_dir(region.dir.path()).unwrap().count(), 0, "files were left");
    let mut init = posthouse(&["init", "--domain", "south.test", "--dir"]);
    init.arg(region.dir.path()).args(["--authority", &authority]);
    run(init).done();
}

/// Root may write everywhere, so a test that runs as root becomes another user.
#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let region = empty();
    let dir = region.path("closed");
    fs::create_dir(&dir).unwrap();
    set_mode(region.dir.path(), 0o755);
    set_mode(&dir, 0o555);
    // The other user may not be let into the build's directory: it gets a copy.
    let copy = region.path("posthouse");
    fs::copy(env!("CARGO_BIN_EXE_posthouse"), &copy).unwrap();
    let mut command = Command::new(copy);
    command.args(["init", "--domain", DOMAIN, "--dir"]).arg(&dir).env_clear();
    // What this process makes belongs to its user.
    if fs::metadata(region.dir.path()).unwrap().uid() == 0 {
        command.uid(65_534).gid(65_534);
    }
    let keys = dir.join("keys");
    run(command).failed(1, &[&keys.display().to_string(), "cannot be written", "write access"]);
}

/// A file system of 128 KiB is too small for the database.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_nothing_stays() {
    let region = empty();
    let script = "mount -t tmpfs -o size=128k none \"$1\" || exit 77\n\
                  \"$2\" init --domain eu.example --dir \"$1\"\n\
                  code=$?\n\
                  ls -A \"$1\"\n\
                  exit $code";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    command.arg(region.dir.path()).arg(env!("CARGO_BIN_EXE_posthouse"));
    let said = run(command);
    if said.code == Some(77) || said.err.contains("unshare") {
        println!("not tested: a file system of one's own cannot be mounted here: {}", said.err);
        return;
    }
    said.failed(4, &["disk is full", "free some space"]);
    assert_eq!(said.out, "", "files were left");
}
