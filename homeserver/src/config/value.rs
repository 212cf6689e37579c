//! The forms of values: how text, numbers and lists become typed values.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use posthouse_protocol::id::ServerName;

use super::{Database, LogFormat};
use crate::accounts::Registration;

/// Most elements of a list.
const MAX_LIST: usize = 64;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Number(i64),
    /// A TOML boolean.
    Flag(bool),
    /// A TOML array of strings.
    List(Vec<String>),
    /// Text from the environment or a flag, which knows no types; lists are separated by commas.
    Plain(String),
}

impl Raw {
    fn described(&self) -> String {
        match self {
            Self::Text(text) => format!("the text \"{text}\""),
            Self::Number(number) => format!("the number {number}"),
            Self::Flag(flag) => format!("the boolean {flag}"),
            Self::List(_) => "a list".into(),
            Self::Plain(text) => format!("\"{text}\""),
        }
    }

    fn text(&self, form: &str) -> Result<&str, String> {
        match self {
            Self::Text(text) | Self::Plain(text) => Ok(text),
            _ => Err(self.mismatch(form)),
        }
    }

    pub(super) fn texts(&self, form: &str) -> Result<Vec<&str>, String> {
        let texts: Vec<&str> = match self {
            Self::Text(text) => vec![text],
            Self::List(texts) => texts.iter().map(String::as_str).collect(),
            Self::Plain(text) if text.is_empty() => Vec::new(),
            Self::Plain(text) => text.split(',').map(str::trim).collect(),
            Self::Number(_) | Self::Flag(_) => return Err(self.mismatch(form)),
        };
        if texts.len() > MAX_LIST {
            return Err(format!("at most {MAX_LIST} elements are allowed"));
        }
        Ok(texts)
    }

    fn mismatch(&self, form: &str) -> String {
        format!("{form} is expected, but this is {}", self.described())
    }
}

/// A type that a setting can have.
pub trait Form: Sized {
    /// What a value looks like, to follow "is expected".
    const FORM: &'static str;

    /// Parses a value.
    ///
    /// # Errors
    /// What is wrong with it. The text is shown to the operator: no secret is repeated in it.
    fn read(raw: &Raw) -> Result<Self, String>;
}

impl Form for ServerName {
    const FORM: &'static str = "a lowercase DNS name";

    fn read(raw: &Raw) -> Result<Self, String> {
        Self::parse(raw.text(Self::FORM)?).map_err(|err| err.to_string())
    }
}

impl Form for PathBuf {
    const FORM: &'static str = "a path, relative to the directory of posthouse.toml";

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.text(Self::FORM)? {
            "" => Err("a path is expected, but this is empty".into()),
            text => Ok(text.into()),
        }
    }
}

impl Form for String {
    const FORM: &'static str = "a text";

    fn read(raw: &Raw) -> Result<Self, String> {
        raw.text(Self::FORM).map(Into::into)
    }
}

impl Form for bool {
    const FORM: &'static str = "true or false";

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Flag(flag) => Ok(*flag),
            Raw::Plain(text) if text == "true" => Ok(true),
            Raw::Plain(text) if text == "false" => Ok(false),
            _ => Err(raw.mismatch(Self::FORM)),
        }
    }
}

impl Form for usize {
    const FORM: &'static str = "a whole number";

    fn read(raw: &Raw) -> Result<Self, String> {
        let parsed = match raw {
            Raw::Number(number) => Self::try_from(*number).ok(),
            Raw::Plain(text) => text.parse().ok(),
            _ => None,
        };
        parsed.ok_or_else(|| raw.mismatch(Self::FORM))
    }
}

impl Form for Duration {
    const FORM: &'static str = "a time with its unit (ms, s, m, h), such as \"10s\"";

    fn read(raw: &Raw) -> Result<Self, String> {
        let text = raw.text(Self::FORM)?;
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let millis = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(raw.mismatch(Self::FORM)),
        };
        let number: u64 = number.parse().map_err(|_| raw.mismatch(Self::FORM))?;
        number
            .checked_mul(millis)
            .map(Self::from_millis)
            .ok_or_else(|| "this time is too long".into())
    }
}

impl Form for Vec<SocketAddr> {
    const FORM: &'static str = "an IP address with a port, such as \"0.0.0.0:8443\" or \
                                \"[::]:8443\", or a list of them";

    fn read(raw: &Raw) -> Result<Self, String> {
        raw.texts(Self::FORM)?
            .into_iter()
            .map(|text| {
                text.parse()
                    .map_err(|_| format!("{} is expected, but this is \"{text}\"", Self::FORM))
            })
            .collect()
    }
}

impl Form for Option<SocketAddr> {
    const FORM: &'static str = "an IP address with a port, or \"off\"";

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.text(Self::FORM)? {
            "off" => Ok(None),
            text => text.parse().map(Some).map_err(|_| raw.mismatch(Self::FORM)),
        }
    }
}

impl Form for Vec<IpNet> {
    const FORM: &'static str = "a list of IP addresses or networks, such as \"10.0.0.0/8\"";

    fn read(raw: &Raw) -> Result<Self, String> {
        raw.texts(Self::FORM)?
            .into_iter()
            .map(|text| {
                let address = text.parse::<IpAddr>().map(IpNet::from);
                address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
                    format!("{} is expected, but an element is \"{text}\"", Self::FORM)
                })
            })
            .collect()
    }
}

impl Form for Registration {
    const FORM: &'static str = "\"open\", \"invite\" or \"closed\"";

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.text(Self::FORM)? {
            "open" => Ok(Self::Open),
            "invite" => Ok(Self::Invite),
            "closed" => Ok(Self::Closed),
            _ => Err(raw.mismatch(Self::FORM)),
        }
    }
}

impl Form for LogFormat {
    const FORM: &'static str = "\"human\" or \"json\"";

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.text(Self::FORM)? {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(raw.mismatch(Self::FORM)),
        }
    }
}

impl Form for Database {
    const FORM: &'static str = "\"sqlite:PATH\" or \"postgres://USER@HOST/NAME\"";

    fn read(raw: &Raw) -> Result<Self, String> {
        // The value may hold a password: it is never repeated.
        let wrong = || format!("{} is expected, but this is something else", Self::FORM);
        let text = raw.text(Self::FORM).map_err(|_| wrong())?;
        if let Some(path) = text.strip_prefix("sqlite:") {
            return match path {
                "" | ":memory:" => Err("a database in memory would lose every message".into()),
                path => Ok(Self::Sqlite(path.into())),
            };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return super::PostgresUrl::parse(text).map(Self::Postgres);
        }
        Err(wrong())
    }
}
