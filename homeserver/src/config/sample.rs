//! The settings as text: the commented file that `init` writes, the reference in docs/operator.md,
//! and the effective values that `config check` shows.

use core::fmt::Write;

use super::{
    Sources,
    database::PostgresUrl,
    setting::Described,
    table::{SECTIONS, SETTINGS},
    value::Raw,
};

/// Values that are written out in a sample; all others stand there as commented defaults.
pub type Chosen<'a> = &'a [(&'a str, String)];

/// The commented configuration file of a region.
pub fn sample(chosen: Chosen<'_>) -> String {
    let mut out = String::from(
        "# The configuration of a Posthouse region. Lines that begin with #name show defaults.\n\
         # Every setting can also be given as environment variable (POSTHOUSE_SECTION_NAME) or\n\
         # with --set section.name=value. `posthouse config check` shows what is in force.\n",
    );
    for (section, about) in SECTIONS {
        if !section.is_empty() {
            _ = write!(out, "\n# {about}\n[{section}]\n");
        }
        for setting in SETTINGS.iter().filter(|setting| setting.section() == *section) {
            out.push('\n');
            comment(&mut out, setting.about());
            let form = capitalised(setting.form());
            match setting.default() {
                Some(default) => comment(&mut out, &format!("{form}. Default: {default}.")),
                None => comment(&mut out, &format!("{form}. There is no default.")),
            }
            let value = chosen.iter().find(|(key, _)| *key == setting.key());
            match (value, setting.default()) {
                (Some((_, value)), _) => _ = writeln!(out, "{} = {value}", setting.name()),
                (None, Some(default)) => _ = writeln!(out, "#{} = {default}", setting.name()),
                (None, None) => _ = writeln!(out, "#{} = ", setting.name()),
            }
        }
    }
    out
}

/// The reference of all settings, in Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "| setting | environment variable | form | default | meaning |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for setting in SETTINGS {
        let default = setting.default().map_or_else(|| "none".into(), |text| format!("`{text}`"));
        _ = writeln!(
            out,
            "| `{}` | `{}` | {} | {default} | {} |",
            setting.key(),
            setting.variable(),
            setting.form(),
            setting.about(),
        );
    }
    out
}

/// The values in force with their origins, without secrets.
pub fn effective(sources: &Sources) -> String {
    let mut out = String::new();
    for (section, _) in SECTIONS {
        if !section.is_empty() {
            _ = write!(out, "\n[{section}]\n");
        }
        for setting in SETTINGS.iter().filter(|setting| setting.section() == *section) {
            if let Some(value) = sources.toml(*setting) {
                let origin = sources.origin(setting.key());
                _ = writeln!(out, "{} = {value}  # {origin}", setting.name());
            }
        }
    }
    out
}

/// A value as TOML, typed as the setting's default is, passwords left out.
pub(super) fn toml_of(raw: &Raw, setting: &dyn Described) -> String {
    match raw {
        Raw::Text(text) => quoted(text),
        Raw::Number(number) => number.to_string(),
        Raw::Flag(flag) => flag.to_string(),
        Raw::List(texts) => list(texts.iter().map(String::as_str)),
        Raw::Plain(text) => match setting.default() {
            Some(default) if default.starts_with('[') => {
                list(text.split(',').filter(|text| !text.is_empty()))
            }
            Some(default) if !default.starts_with('"') => text.clone(),
            _ => quoted(text),
        },
    }
}

fn quoted(text: &str) -> String {
    let shown = match PostgresUrl::parse(text) {
        Ok(url) => format!("{url:?}"),
        Err(_) => text.into(),
    };
    toml::Value::String(shown).to_string()
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = texts.map(|text| quoted(text.trim())).collect();
    format!("[{}]", quoted.join(", "))
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Writes `text` as comment lines of at most 98 characters.
fn comment(out: &mut String, text: &str) {
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count() + 1;
        if width == 0 || width + length > 98 {
            out.push_str(if width == 0 { "#" } else { "\n#" });
            width = 1;
        }
        out.push(' ');
        out.push_str(word);
        width += length;
    }
    out.push('\n');
}
