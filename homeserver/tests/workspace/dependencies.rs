//! Who may depend on whom. `ARCHITECTURE.md` has the table of our own packages; it is read here and
//! compared with what cargo knows, in both directions. A new line there is a decision record.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::tree::{none, read, root};

/// A library that few packages may see, and which.
const CONFINED: &[(&str, &[&str])] = &[
    ("sqlx", &["storage-sql", "client"]),
    ("rusqlite", &["storage-sql"]),
    ("axum", &["client-api", "federation"]),
    ("hickory-resolver", &["federation"]),
];

/// Where TLS is set up: the packages that `docs/decisions/0006-where-tls-is-set-up.md` names.
const TLS: &[&str] = &["rustls", "tokio-rustls", "hyper-rustls"];
const TLS_RECORD: &str = "docs/decisions/0006-where-tls-is-set-up.md";

type Edges = BTreeMap<String, BTreeSet<String>>;

#[test]
fn the_table_of_architecture_md_is_the_truth() {
    let metadata = metadata();
    let actual = edges(&metadata, |kind| kind != DependencyKind::Development);
    let written = table("Dependencies");
    none("ARCHITECTURE.md, \"Dependencies\":", &differences(&written, &actual));
}

#[test]
fn tests_see_no_more_than_architecture_md_says() {
    let metadata = metadata();
    let mut actual = edges(&metadata, |kind| kind == DependencyKind::Development);
    let normal = edges(&metadata, |kind| kind != DependencyKind::Development);
    // What a package sees anyway needs no second line.
    for (package, seen) in &mut actual {
        seen.retain(|other| !normal.get(package).is_some_and(|all| all.contains(other)));
    }
    actual.retain(|_, seen| !seen.is_empty());
    let written = table("Dependencies of tests");
    none("ARCHITECTURE.md, \"Dependencies of tests\":", &differences(&written, &actual));
}

#[test]
fn few_packages_see_databases_http_servers_dns_and_tls() {
    let metadata = metadata();
    let record = read(TLS_RECORD);
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let own = short(&package.name);
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            if let Some((_, by)) = CONFINED.iter().find(|(library, _)| *library == name)
                && !by.contains(&own)
            {
                wrong.push(format!("{own} sees {name}, which is for {by:?}"));
            }
            let in_tests = dependency.kind == DependencyKind::Development;
            if TLS.contains(&name) && !in_tests && !record.contains(&format!("| `{own}` |")) {
                wrong.push(format!("{own} sees {name}, and {TLS_RECORD} does not name it"));
            }
        }
    }
    none("a library is seen where it should not be:", &wrong);
}

#[test]
fn the_conformance_suite_links_nothing_of_ours() {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let suite = packages.iter().find(|p| p.name.as_str() == "posthouse-conformance").unwrap();
    let ours: Vec<_> = suite
        .dependencies
        .iter()
        .filter(|dependency| dependency.name.starts_with("posthouse-"))
        .map(|dependency| dependency.name.clone())
        .collect();
    none("the suite must judge a stranger's server by the specification alone:", &ours);
}

#[test]
fn versions_and_lints_are_the_workspaces() {
    let mut wrong = Vec::new();
    for package in metadata().workspace_packages() {
        let path = package.manifest_path.strip_prefix(root()).unwrap().to_string();
        let text = read(&path);
        if !text.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{path} does not take the workspace's lints"));
        }
        let mut dependencies = false;
        for line in text.lines() {
            if line.starts_with('[') {
                dependencies = line.contains("dependencies");
            } else if dependencies && line.contains('=') && !line.contains("workspace = true") {
                wrong.push(format!("{path}: {line}"));
            }
        }
    }
    none("one version of each dependency, in the root Cargo.toml:", &wrong);
}

fn metadata() -> Metadata {
    MetadataCommand::new().current_dir(root()).no_deps().exec().unwrap()
}

fn short(name: &str) -> &str {
    name.strip_prefix("posthouse-").unwrap_or(name)
}

/// Our packages that each of our packages sees through dependencies of these kinds.
fn edges(metadata: &Metadata, kinds: impl Fn(DependencyKind) -> bool) -> Edges {
    let mut edges = Edges::new();
    for package in metadata.workspace_packages() {
        let seen = package
            .dependencies
            .iter()
            .filter(|dependency| kinds(dependency.kind))
            .filter_map(|dependency| dependency.name.strip_prefix("posthouse-"))
            .map(str::to_owned)
            .collect();
        edges.insert(short(&package.name).to_owned(), seen);
    }
    edges
}

/// The first code block below this heading: `package: seen, seen` a line, `—` for nothing.
fn table(heading: &str) -> Edges {
    let text = read("ARCHITECTURE.md");
    let below = text.split(&format!("## {heading}\n")).nth(1).expect("the heading is there");
    let block = below.split("```").nth(1).expect("a code block follows the heading");
    let mut edges = Edges::new();
    for line in block.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let (package, seen) = line.split_once(':').unwrap_or_else(|| panic!("no colon: {line}"));
        let seen = seen.split(',').map(str::trim).filter(|one| *one != "—").map(str::to_owned);
        edges.insert(package.trim().to_owned(), seen.collect());
    }
    edges
}

fn differences(written: &Edges, actual: &Edges) -> Vec<String> {
    let all: BTreeSet<_> = written.keys().chain(actual.keys()).collect();
    all.into_iter()
        .filter(|package| written.get(*package) != actual.get(*package))
        .map(|package| {
            format!("{package}: written {:?}, is {:?}", written.get(package), actual.get(package))
        })
        .collect()
}
