//! Databases that do not do.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use super::harness::{Region, posthouse, run, set_mode};

/// A database that holds one row only: the version of a schema of the far future. It was made with
/// the sqlite3 of Python: the table `_sqlx_migrations` as sqlx makes it, a page size of 512, and the
/// version 99999999.
const NEWER: &[u8] = include_bytes!("newer.db");

#[test]
fn a_missing_database_is_not_made_again() {
    let region = Region::new();
    let path = region.path("data/posthouse.db");
    fs::remove_file(&path).unwrap();
    let said = region.serve_fails(&[]);
    said.failed(4, &[&region.shown("data/posthouse.db"), "is missing", "backup"]);
    assert!(!path.exists());
}

/// What a copy onto a full disk leaves.
#[test]
fn an_empty_file_is_not_made_a_database() {
    let region = Region::new();
    let path = region.path("data/posthouse.db");
    fs::write(&path, "").unwrap();
    region.serve_fails(&[]).failed(4, &["is empty", "backup"]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

/// SQLite would make its log with the same mode, and could not write it once the file itself can be.
/// Root may write everywhere, so a test that runs as root becomes another user.
#[test]
fn files_that_may_only_be_read_are_named_before_others_are_made() {
    let region = Region::new();
    let database = region.path("data/posthouse.db");
    let copy = region.path("posthouse");
    fs::copy(env!("CARGO_BIN_EXE_posthouse"), &copy).unwrap();
    let is_root = fs::metadata(&copy).unwrap().uid() == 0;
    if is_root {
        give_away(region.dir.path());
    }
    let list = || {
        let mut command = Command::new(&copy);
        command.args(["account", "list", "--config"]).arg(region.path("posthouse.toml"));
        command.env_clear();
        if is_root {
            command.uid(OTHER).gid(OTHER);
        }
        run(command)
    };
    list().done();
    set_mode(&database, 0o444);
    let shown = database.display().to_string();
    list().failed(4, &[&shown, "cannot be written", "0600", "-wal and -shm"]);
    set_mode(&database, 0o600);
    list().done();
}

/// Some user who is not root.
const OTHER: u32 = 65_534;

/// Gives a directory with all that is in it to [`OTHER`].
fn give_away(path: &Path) {
    chown(path, Some(OTHER), Some(OTHER)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

#[test]
fn a_database_of_a_newer_program_is_left_alone() {
    let region = Region::new();
    let path = region.path("data/posthouse.db");
    fs::write(&path, NEWER).unwrap();
    region.serve_fails(&[]).failed(4, &["99999999", "newer"]);
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let region = Region::new();
    let path = region.path("data/posthouse.db");
    fs::write(&path, "not a database, but long enough to be looked at as one".repeat(100)).unwrap();
    region.serve_fails(&[]).failed(4, &["cannot be opened", "not a database"]);
}

/// Also where the region keeps to itself, and by commands that need no keys.
#[test]
fn the_database_of_another_region_is_refused() {
    let (region, south) = (Region::new(), tempfile::tempdir().unwrap());
    let mut init = posthouse(&["init", "--certificate", "none", "--domain", "us.example", "--dir"]);
    init.arg(south.path());
    run(init).done();
    let url = format!("sqlite:{}", south.path().join("data/posthouse.db").display());
    let parts = ["belongs to the region us.example", "says eu.example", "set database.url to"];
    region.serve_fails(&["--database", &url]).failed(4, &parts);
    let mut order = region.command(&["invite", "create"]);
    order.args(["--database", &url]);
    run(order).failed(4, &parts);
    region.serve(&[]);
}

#[test]
fn a_second_server_on_one_file_is_refused() {
    let region = Region::new();
    let first = region.serve(&[]);
    let said = region.serve_fails(&[]);
    said.failed(4, &["Another posthouse process (process ", "uses the database", "Stop that one"]);
    assert_eq!(first.operator("/readyz").0, 200);
    drop(first);
    // A server that was killed leaves no lock behind.
    region.serve(&[]);
}

#[test]
fn a_postgresql_that_is_not_there_is_named_without_its_password() {
    let region = Region::new();
    let said = region.serve_fails(&["--database", "postgres://ph:geheim@127.0.0.1:1/posthouse"]);
    said.failed(
        4,
        &["postgres://ph@127.0.0.1:1/posthouse", "refused", "Check that PostgreSQL runs"],
    );
    assert!(!said.err.contains("geheim"), "{}", said.err);
}
