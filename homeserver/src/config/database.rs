//! Which database a region uses.

use core::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Which database a region uses.
#[derive(Debug, Clone)]
pub enum Database {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(PostgresUrl),
}

impl Database {
    /// The same database, a relative path taken from `base`.
    #[must_use]
    pub fn below(self, base: &Path) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(base.join(path)),
            postgres @ Self::Postgres(_) => postgres,
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => fmt::Debug::fmt(url, f),
        }
    }
}

/// The address of a PostgreSQL database, which may hold a password. Shown without it.
#[derive(Clone)]
pub struct PostgresUrl {
    text: Zeroizing<String>,
    shown: String,
    has_password: bool,
}

impl PostgresUrl {
    /// Parses `postgres://USER:PASSWORD@HOST:PORT/NAME?…`.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = url::Url::parse(text)
            .map_err(|err| format!("this is not the address of a PostgreSQL database: {err}"))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err("this is not the address of a PostgreSQL database".into());
        }
        if url.path().len() < 2 {
            return Err("the name of the database is missing after the host".into());
        }
        // Options can hold a password as well; none of them is shown.
        let in_options = url.query_pairs().any(|(name, _)| name == "password");
        let has_password = url.password().is_some() || in_options;
        let user = match url.username() {
            "" => String::new(),
            user => format!("{user}@"),
        };
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let shown = format!("postgres://{user}{host}{port}{}", url.path());
        Ok(Self { text: Zeroizing::new(text.into()), shown, has_password })
    }

    /// The whole address, with the password.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether it holds a password.
    pub fn has_password(&self) -> bool {
        self.has_password
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
