//! Where values come from: the file, then the environment, then flags; a later one wins.

use core::fmt;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Problem, VARIABLE_PREFIX,
    setting::{Described, Setting},
    table,
    value::{Form, Raw},
};

/// Variables that are not the server's.
const CLIENT_PREFIX: &str = "POSTHOUSE_CHAT_";

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// In the configuration file, at this line.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// In this environment variable.
    Variable(String),
    /// With this flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Values by setting, with their origins, and everything that was wrong so far.
#[derive(Debug, Default)]
pub struct Sources {
    values: BTreeMap<&'static str, (Raw, Origin)>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Sources {
    /// Adds the text of the file at `path`.
    pub fn file(&mut self, path: &Path, text: &str) {
        let origin = |at: usize| Origin::File { path: path.into(), line: line_of(text, at) };
        let document = match DeTable::parse(text) {
            Ok(document) => document,
            Err(err) => {
                let at = err.span().map_or(0, |span| span.start);
                self.problem(origin(at), format!("this is not TOML: {}", err.message().trim_end()));
                return;
            }
        };
        let mut found = Vec::new();
        collect("", document.get_ref(), &mut found);
        for (key, at, value) in found {
            let Some(setting) = table::find(&key) else {
                self.unknown(origin(at), &key);
                continue;
            };
            match raw(value) {
                Some(raw) => self.set(setting, raw, origin(at)),
                None => self.problem(
                    origin(at),
                    format!("{key}: {} is expected, but this is not", setting.form()),
                ),
            }
        }
    }

    /// Adds those of `variables` that name settings. Others that begin like them are no error,
    /// since a container platform adds such variables by itself, but they are worth a warning.
    pub fn environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, text) in variables {
            // Those of the terminal client, which the same person may have set.
            let is_ours = name.starts_with(VARIABLE_PREFIX) && !name.starts_with(CLIENT_PREFIX);
            if !is_ours || name == super::CONFIG_VARIABLE {
                continue;
            }
            match table::SETTINGS.iter().find(|setting| setting.variable() == name) {
                Some(setting) => {
                    self.set(*setting, Raw::Plain(text), Origin::Variable(name));
                }
                None => self.warnings.push(format!(
                    "the environment variable {name} names no setting and is ignored"
                )),
            }
        }
    }

    /// Adds a value given with `flag` for the setting `key`.
    pub fn flag(&mut self, flag: &str, key: &str, text: &str) {
        let origin = Origin::Flag(flag.into());
        match table::find(key) {
            Some(setting) => self.set(setting, Raw::Plain(text.into()), origin),
            None => self.unknown(origin, key),
        }
    }

    /// The value of a setting: as written, or its default. `None` if it is missing or wrong; the
    /// problem is noted.
    pub fn read<T: Form>(&mut self, setting: &Setting<T>) -> Option<T> {
        let Some((raw, origin)) = self.values.get(setting.key) else {
            let Some(default) = setting.default else {
                self.problem(Origin::Default, format!("{} is missing", setting.key));
                return None;
            };
            let value = default_raw(default).and_then(|raw| setting.parse(&raw).ok());
            if value.is_none() {
                self.problem(Origin::Default, format!("{}: the default is wrong", setting.key));
            }
            return value;
        };
        match setting.parse(raw) {
            Ok(value) => Some(value),
            Err(why) => {
                let problem =
                    Problem { origin: origin.clone(), text: format!("{}: {why}", setting.key) };
                self.problems.push(problem);
                None
            }
        }
    }

    /// Where the value of a setting comes from.
    pub fn origin(&self, key: &str) -> Origin {
        self.values.get(key).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// The value of a setting as TOML, as written or the default; `None` if it is missing.
    pub fn toml(&self, setting: &dyn Described) -> Option<String> {
        match self.values.get(setting.key()) {
            Some((raw, _)) => Some(super::sample::toml_of(raw, setting)),
            None => setting.default().map(Into::into),
        }
    }

    /// What was wrong, in the order of the file's lines. Empty if all is well.
    pub fn take_problems(&mut self) -> Vec<Problem> {
        let mut problems = core::mem::take(&mut self.problems);
        problems.sort_by_key(|problem| match problem.origin {
            Origin::File { line, .. } => line,
            _ => usize::MAX,
        });
        problems
    }

    /// What is odd, but no error.
    pub fn take_warnings(&mut self) -> Vec<String> {
        core::mem::take(&mut self.warnings)
    }

    /// Notes a problem that was found between settings.
    pub fn problem(&mut self, origin: Origin, text: String) {
        self.problems.push(Problem { origin, text });
    }

    fn set(&mut self, setting: &dyn Described, raw: Raw, origin: Origin) {
        self.values.insert(setting.key(), (raw, origin));
    }

    fn unknown(&mut self, origin: Origin, key: &str) {
        let hint = match table::nearest(key) {
            Some(near) => format!(" Did you mean \"{near}\"?"),
            None => " `posthouse config reference` lists all settings.".into(),
        };
        self.problem(origin, format!("there is no setting \"{key}\".{hint}"));
    }
}

/// The raw form of a default of the table.
pub(super) fn default_raw(default: &str) -> Option<Raw> {
    raw(DeValue::parse(default).ok()?.get_ref())
}

/// All values below a table with their full names and places. A table that is itself the value of a
/// setting's name ends up unknown under the names of its fields.
fn collect<'a>(
    prefix: &str,
    table: &'a DeTable<'_>,
    found: &mut Vec<(String, usize, &'a DeValue<'a>)>,
) {
    for (name, value) in table {
        let key = match prefix {
            "" => name.get_ref().to_string(),
            prefix => format!("{prefix}.{}", name.get_ref()),
        };
        let known_section = table::SECTIONS.iter().any(|(section, _)| *section == key);
        match value.get_ref() {
            DeValue::Table(inner) if known_section || table::find(&key).is_none() => {
                // An unknown section is named once, not once for each of its fields.
                if known_section {
                    collect(&key, inner, found);
                } else {
                    found.push((key, name.span().start, value.get_ref()));
                }
            }
            inner => found.push((key, name.span().start, inner)),
        }
    }
}

fn raw(value: &DeValue<'_>) -> Option<Raw> {
    match value {
        DeValue::String(text) => Some(Raw::Text(text.to_string())),
        DeValue::Boolean(flag) => Some(Raw::Flag(*flag)),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(Raw::Number)
        }
        DeValue::Array(elements) => {
            let text = |element: &Spanned<DeValue<'_>>| element.get_ref().as_str().map(Into::into);
            elements.iter().map(text).collect::<Option<_>>().map(Raw::List)
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
