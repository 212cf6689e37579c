//! The documents name what is there, and nothing that is not.

use std::path::{Component, Path, PathBuf};

use cargo_metadata::MetadataCommand;

use crate::tree::{files, none, read, root};

#[test]
fn architecture_md_names_every_package() {
    let text = read("ARCHITECTURE.md");
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec().unwrap();
    let missing: Vec<_> = metadata
        .workspace_packages()
        .iter()
        .map(|package| {
            let folder = package.manifest_path.parent().unwrap().strip_prefix(root()).unwrap();
            format!("`{folder}/`")
        })
        .filter(|folder| !text.contains(folder))
        .collect();
    none("ARCHITECTURE.md does not name", &missing);
}

#[test]
fn paths_in_documents_exist() {
    let mut missing = Vec::new();
    for document in ["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md", "SECURITY.md"] {
        for path in paths(&read(document)) {
            if !root().join(&path).exists() {
                missing.push(format!("{document}: `{path}`"));
            }
        }
    }
    none("no such file or folder:", &missing);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut missing = Vec::new();
    for document in files("md") {
        let folder = Path::new(&document).parent().unwrap().to_owned();
        for link in links(&read(&document)) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !root().join(normal(&folder.join(target))).exists() {
                missing.push(format!("{document}: {link}"));
            }
        }
    }
    none("a link leads nowhere:", &missing);
}

#[test]
fn the_change_log_has_room_for_the_next_release() {
    let text = read("CHANGELOG.md");
    let first = text.lines().find(|line| line.starts_with("## "));
    assert_eq!(first, Some("## Unreleased"), "what is new goes there");
}

#[test]
fn the_readmes_commands_are_what_ci_runs() {
    let readme = read("README.md");
    let ci = read(".ci/run");
    let block = readme.split("```sh\n").nth(1).expect("the commands are in a `sh` block");
    let commands: Vec<_> =
        block.split("```").next().unwrap_or_default().lines().map(command).collect();
    assert!(commands.contains(&"cargo test --workspace"), "{commands:?}");
    let missing: Vec<_> =
        commands.iter().filter(|one| !ci.contains(**one)).map(|one| (*one).to_owned()).collect();
    none(".ci/run does not run", &missing);
}

#[test]
fn decisions_have_their_four_parts_and_are_listed() {
    let index = read("docs/decisions/README.md");
    let mut wrong = Vec::new();
    for path in files("md").iter().filter(|path| path.starts_with("docs/decisions/0")) {
        let text = read(path);
        for part in ["## Context", "## Decision", "## Consequences", "## Rejected"] {
            if !text.contains(part) {
                wrong.push(format!("{path} lacks {part}"));
            }
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        if !index.contains(&format!("({name})")) {
            wrong.push(format!("docs/decisions/README.md does not list {name}"));
        }
    }
    none("decision records:", &wrong);
}

/// A line of a shell block without its comment.
fn command(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// Everything in backticks that has a slash inside and no space: a path from the root. What starts
/// with a slash is an address of the API.
fn paths(text: &str) -> Vec<String> {
    let prose = without_blocks(text);
    prose
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.contains('/') && !code.starts_with('/'))
        .filter(|code| code.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)))
        .map(str::to_owned)
        .collect()
}

/// The targets of links that are no addresses of the web.
fn links(text: &str) -> Vec<String> {
    let prose = without_blocks(text);
    prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link.to_owned())
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .collect()
}

/// The text without its code blocks.
fn without_blocks(text: &str) -> String {
    let mut inside = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

#[test]
fn paths_and_links_are_found() {
    let text = "`storage/sql/` and `/v1/connect`, [x](docs/y.md#z) `a b/c`\n```\n`no/no`\n```\n";
    assert_eq!(paths(text), ["storage/sql/"]);
    assert_eq!(links(text), ["docs/y.md#z"]);
    assert_eq!(normal(Path::new("docs/spec/../x.md")), Path::new("docs/x.md"));
}
