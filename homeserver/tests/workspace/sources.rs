//! Rules for every Rust file.

use crate::tree::{files, none, read};

/// Most lines of a file that are no tests.
const CAP: usize = 500;
/// Above this a file is reported, for somebody to look whether it is two things.
const AIM: usize = 300;

/// Words that mark something left open. Put together here, so that this file has none of them.
const LEFT_OPEN: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK:"),
    concat!("unimple", "mented!"),
    // With a reason it may stand: a test that is another test's second process.
    concat!("#[ig", "nore]"),
    concat!("#[al", "low("),
    concat!("#![al", "low("),
];

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> =
        files("rs").into_iter().filter(|path| !read(path).starts_with("//! ")).collect();
    none("a Rust file starts with `//!` and what it is for:", &silent);
}

#[test]
fn files_stay_short() {
    let mut too_long = Vec::new();
    for path in files("rs").into_iter().filter(|path| !is_test(path)) {
        let lines = without_tests(&read(&path));
        if lines > CAP {
            too_long.push(format!("{path} has {lines}"));
        } else if lines > AIM {
            println!("long: {path} has {lines} lines");
        }
    }
    none(&format!("a file has at most {CAP} lines besides its tests:"), &too_long);
}

#[test]
fn modules_are_named_after_their_file() {
    let found: Vec<_> = files("rs").into_iter().filter(|path| path.ends_with("/mod.rs")).collect();
    none("`foo.rs` beside `foo/`, not `foo/mod.rs`:", &found);
}

#[test]
fn nothing_is_left_open() {
    let mut found = Vec::new();
    for path in files("rs") {
        for (number, line) in read(&path).lines().enumerate() {
            if let Some(word) = LEFT_OPEN.iter().find(|word| line.contains(*word)) {
                found.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    none("do it, file it, or use `#[expect]` with a reason:", &found);
}

#[test]
fn test_lines_are_told_from_the_rest() {
    let text = "//! x\nfn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
    assert_eq!(without_tests(text), 2);
    assert_eq!(without_tests("//! x\n#[cfg(test)]\nmod tests;\nfn a() {}\n"), 4);
    assert!(is_test("protocol/src/frame/client/tests.rs"));
    assert!(is_test("homeserver/tests/workspace/sources.rs"));
    assert!(!is_test("homeserver/src/bin/posthouse.rs"));
}

fn is_test(path: &str) -> bool {
    // The simulator is compiled for tests only.
    path.ends_with("/tests.rs")
        || path.split('/').any(|part| part == "tests" || part == "simulator")
}

/// How many lines come before the test module that closes a file.
fn without_tests(text: &str) -> usize {
    let lines: Vec<_> = text.lines().collect();
    lines
        .windows(2)
        .position(|pair| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        })
        .unwrap_or(lines.len())
}
