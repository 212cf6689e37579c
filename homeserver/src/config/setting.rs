//! What a setting is: a name, a form, a default and a meaning.

use super::value::{Form, Raw};

/// A setting of type `T`. All of them stand in [`super::table`].
#[derive(Debug)]
pub struct Setting<T> {
    /// The name with its section: `client.listen`.
    pub key: &'static str,
    /// The default, as it is written in TOML; `None` if the operator must choose.
    pub default: Option<&'static str>,
    /// What it means, in whole sentences.
    pub about: &'static str,
    /// Whether a parsed value is allowed; if not, why.
    pub check: fn(&T) -> Result<(), String>,
}

impl<T> Setting<T> {
    /// A setting for which every value of its form is allowed.
    pub const fn new(
        key: &'static str,
        default: Option<&'static str>,
        about: &'static str,
    ) -> Self {
        Self { key, default, about, check: |_| Ok(()) }
    }

    /// The same setting with a check of its values.
    #[must_use]
    pub const fn checked(self, check: fn(&T) -> Result<(), String>) -> Self {
        Self { check, ..self }
    }
}

impl<T: Form> Setting<T> {
    /// Parses and checks a value.
    ///
    /// # Errors
    /// Why the value is not allowed.
    pub fn parse(&self, raw: &Raw) -> Result<T, String> {
        let value = T::read(raw)?;
        (self.check)(&value)?;
        Ok(value)
    }
}

/// A setting of any type: what the sample, the reference and the reading of sources need.
pub trait Described: Sync {
    /// The name with its section.
    fn key(&self) -> &'static str;
    /// The default, in TOML.
    fn default(&self) -> Option<&'static str>;
    /// What it means.
    fn about(&self) -> &'static str;
    /// What its values look like.
    fn form(&self) -> &'static str;
    /// Whether `raw` is allowed; if not, why.
    fn accepts(&self, raw: &Raw) -> Result<(), String>;

    /// The section; empty for the few settings at the top.
    fn section(&self) -> &'static str {
        self.key().split_once('.').map_or("", |(section, _)| section)
    }

    /// The name within the section.
    fn name(&self) -> &'static str {
        self.key().split_once('.').map_or_else(|| self.key(), |(_, name)| name)
    }

    /// The environment variable that sets it.
    fn variable(&self) -> String {
        format!("{}{}", super::VARIABLE_PREFIX, self.key().replace('.', "_").to_uppercase())
    }
}

impl<T: Form> Described for Setting<T> {
    fn key(&self) -> &'static str {
        self.key
    }

    fn default(&self) -> Option<&'static str> {
        self.default
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn form(&self) -> &'static str {
        T::FORM
    }

    fn accepts(&self, raw: &Raw) -> Result<(), String> {
        self.parse(raw).map(drop)
    }
}
