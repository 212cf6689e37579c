//! `posthouse config`, and configurations that do not do.

use std::fs;

use super::harness::{Region, posthouse, run};

#[test]
fn without_a_configuration_the_way_to_one_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = posthouse(&["serve"]);
    command.current_dir(dir.path());
    run(command).failed(2, &["no configuration at posthouse.toml", "posthouse init --domain"]);
}

#[test]
fn the_environment_names_the_file_and_overrides_it() {
    let region = Region::new();
    let mut command = posthouse(&["config", "check"]);
    command.env("POSTHOUSE_CONFIG", region.path("posthouse.toml"));
    command.env("POSTHOUSE_DRAIN", "3s");
    command.env("POSTHOUSE_DATABASE_URL", "postgres://ph:geheim@db.internal/x");
    command.env("POSTHOUSE_SERVICE_HOST", "10.0.0.1");
    let checked = run(command);
    let shown = checked.done();
    assert!(shown.contains("drain = \"3s\"  # environment variable POSTHOUSE_DRAIN"), "{shown}");
    assert!(shown.contains("url = \"postgres://ph@db.internal/x\""), "{shown}");
    assert!(shown.contains("warning: the environment variable POSTHOUSE_SERVICE_HOST"), "{shown}");
    assert!(!shown.contains("geheim"), "{shown}");
}

#[test]
fn an_unknown_setting_stops_the_start() {
    let region = Region::new();
    let path = region.path("posthouse.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}fliter = \"info\"\n")).unwrap();
    let line = text.lines().count() + 1;
    let place = format!("line {line}: there is no setting \"log.fliter\"");
    region.serve_fails(&[]).failed(2, &[&place, "Did you mean \"log.filter\"?"]);
    let said = Region::new().serve_fails(&["--set", "client.tsl=true"]);
    said.failed(2, &["flag --set: there is no setting", "Did you mean \"client.tls\"?"]);
}

#[test]
fn values_without_meaning_stop_the_start() {
    let region = Region::new();
    let said = region.serve_fails(&["--set", "drain=10", "--log-format", "xml"]);
    said.failed(2, &["drain: a time with its unit", "log.format: \"human\" or \"json\""]);
    region.serve_fails(&["--log-filter", "a=b=c"]).failed(2, &["not a log filter"]);
    region.serve_fails(&["--set", "drain"]).failed(2, &["--set drain has no value"]);
}

#[test]
fn the_sample_is_a_configuration() {
    let sample = run(posthouse(&["config", "sample", "--domain", "us.example"]));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("posthouse.toml");
    fs::write(&path, sample.done()).unwrap();
    let mut command = posthouse(&["config", "check", "--config"]);
    command.arg(&path);
    command.args(["--set", "client.tls=false"]);
    assert!(run(command).done().contains("domain = \"us.example\""));
}

#[test]
fn version_and_help_are_there() {
    let version = run(posthouse(&["--version"]));
    assert_eq!(version.done(), concat!("posthouse ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = run(posthouse(&["--help"]));
    assert!(help.done().contains("posthouse init --domain eu.example"), "{}", help.out);
    assert!(help.out.contains("Exit codes"), "{}", help.out);
    run(posthouse(&["sevre"])).failed(2, &["serve"]);
}
