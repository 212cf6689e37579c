//! Failures of the command line: what went wrong, what to do about it, and the exit code.

use core::fmt;
use std::{io, path::Path, process::ExitCode};

/// The exit codes of the `posthouse` binary (docs/operator.md, "Exit codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// A failure that no other code names. 1.
    Other,
    /// The command line or the configuration is wrong. 2, as with every usage error.
    Config,
    /// A key or certificate is missing, damaged, exposed, or not the right one. 3.
    Keys,
    /// The database cannot be opened, reached or written. 4.
    Database,
    /// A listener cannot be opened, or a running server's does not answer. 5.
    Network,
}

impl Exit {
    /// The number that the process ends with.
    pub fn number(self) -> u8 {
        match self {
            Self::Other => 1,
            Self::Config => 2,
            Self::Keys => 3,
            Self::Database => 4,
            Self::Network => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// A failure as the operator sees it: a fact, and what to do. Neither holds a secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    exit: Exit,
    fact: String,
    advice: String,
}

impl Failure {
    /// A failure with `fact`, what went wrong, and `advice`, what to do: whole sentences.
    pub fn new(exit: Exit, fact: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { exit, fact: fact.into(), advice: advice.into() }
    }

    /// A file or directory could not be written.
    pub fn cannot_write(exit: Exit, path: &Path, err: &io::Error) -> Self {
        let shown = path.display();
        let advice = match err.kind() {
            io::ErrorKind::PermissionDenied => {
                "Give the user that runs posthouse write access to that directory, or choose \
                 another directory."
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "The disk is full: free some space there, then repeat the command."
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "The file system is mounted read-only: choose another directory."
            }
            io::ErrorKind::NotADirectory => {
                "A part of that path is a file: choose another directory."
            }
            _ => "Check the path and the disk.",
        };
        Self::new(exit, format!("{shown} cannot be written: {err}."), advice)
    }

    /// A file could not be read, although it exists.
    pub fn cannot_read(exit: Exit, path: &Path, err: &io::Error) -> Self {
        let advice = if err.kind() == io::ErrorKind::PermissionDenied {
            "Run posthouse as the user that owns the file, or give the file to that user (chown)."
        } else {
            "Check the path and the disk."
        };
        Self::new(exit, format!("{} cannot be read: {err}.", path.display()), advice)
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What went wrong.
    pub fn fact(&self) -> &str {
        &self.fact
    }

    /// What to do about it.
    pub fn advice(&self) -> &str {
        &self.advice
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.fact, self.advice)
    }
}
