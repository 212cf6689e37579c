//! The specification keeps up with the code: limits, error codes, and the files of `protocol` that
//! decide what is on the wire.

use std::collections::{BTreeMap, BTreeSet};

use posthouse_protocol::problem::Code;
use sha2::{Digest, Sha256};

use crate::tree::{files, none, read};

/// Folders and files of `protocol/src` whose change is a change on the wire.
const WIRE: &[&str] = &["content", "cursor", "frame", "id", "status", "time"];

#[test]
fn every_error_code_is_specified() {
    let text = read("docs/spec/errors.md");
    let missing: Vec<_> = Code::ALL
        .iter()
        .filter(|code| {
            let (name, status) = (format!("`{}`", code.as_str()), code.status().to_string());
            !text.lines().any(|line| line.contains(&name) && line.contains(&status))
        })
        .map(|code| format!("`{}` with {}", code.as_str(), code.status()))
        .collect();
    none("docs/spec/errors.md lacks a line for", &missing);
}

#[test]
fn every_limit_is_specified_with_its_value() {
    let text = read("docs/spec/limits.md");
    let limits = constants(&read("protocol/src/limits.rs"));
    assert!(limits.len() > 20, "{limits:?}");
    let mut wrong: Vec<_> = limits
        .iter()
        .filter(|(name, value)| !text.contains(&format!("| `{name}` | {value} |")))
        .map(|(name, value)| format!("lacks the line `| `{name}` | {value} | …`"))
        .collect();
    for line in text.lines().filter_map(|line| line.strip_prefix("| `")) {
        let name = line.split('`').next().unwrap_or_default();
        let is_constant = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        if is_constant && !limits.contains_key(name) {
            wrong.push(format!("has {name}, which protocol/src/limits.rs lacks"));
        }
    }
    none("docs/spec/limits.md", &wrong);
}

#[test]
fn every_invariant_of_the_federation_is_checked_by_its_name() {
    let text = read("docs/spec/federation-invariants.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    let first = rows.filter_map(|row| row.split(" | ").next());
    let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    let named: BTreeSet<&str> = first.filter(|name| *name != "---").filter(is_name).collect();
    assert!(named.len() >= 9, "{named:?}");
    let code = read("federation/src/simulator/invariants.rs");
    let quoted = code.split('"').skip(1).step_by(2);
    let checked: BTreeSet<&str> = quoted
        .filter_map(|text| text.split(':').next())
        .filter(|name| name.contains(char::is_uppercase) && is_name(name))
        .collect();
    let unlike: Vec<_> = named.symmetric_difference(&checked).map(ToString::to_string).collect();
    none("specified and not checked, or checked and not specified", &unlike);
}

#[test]
fn the_wire_does_not_change_without_its_specification() {
    let text = read("docs/spec/README.md");
    let mut wrong = Vec::new();
    for path in files("rs").iter().filter(|path| is_wire(path)) {
        let digest = Sha256::digest(read(path));
        let short =
            digest.iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        if !text.lines().any(|line| line.contains(&format!("`{path}` | `{short}` |"))) {
            wrong.push(format!("| `{path}` | `{short}` |"));
        }
    }
    none(
        "these files decide what is on the wire and have changed. Bring docs/spec up to date, then \
         put these lines into the table at the end of docs/spec/README.md:",
        &wrong,
    );
}

fn is_wire(path: &str) -> bool {
    let Some(inside) = path.strip_prefix("protocol/src/") else { return false };
    let first = inside.split(['/', '.']).next().unwrap_or_default();
    WIRE.contains(&first) && !inside.ends_with("tests.rs")
}

/// The constants of a file whose values are numbers, products of numbers, or other constants.
fn constants(text: &str) -> BTreeMap<String, u64> {
    let mut known = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("pub const ")) {
        let (name, rest) = line.split_once(':').unwrap();
        let (_, value) = rest.trim_end_matches(';').split_once('=').unwrap();
        let value = value
            .split('*')
            .map(|factor| factor.trim().replace('_', ""))
            .zip(value.split('*').map(str::trim))
            .map(|(digits, word)| digits.parse().ok().or_else(|| known.get(word).copied()))
            .product::<Option<u64>>();
        let value = value.unwrap_or_else(|| panic!("{line}: more than a product of numbers"));
        known.insert(name.to_owned(), value);
    }
    known
}

#[test]
fn constants_are_read() {
    let text = "/// A.\npub const A: usize = 2 * 1_024;\npub const B: u64 = A;\n";
    let expected = [("A".to_owned(), 2_048), ("B".to_owned(), 2_048)];
    assert_eq!(constants(text), BTreeMap::from(expected));
}
