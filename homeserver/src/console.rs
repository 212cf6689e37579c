//! What the commands say to the person who runs them. Logs go elsewhere: `logging`.

use core::fmt::Display;
use std::io::{self, Write};

use crate::failure::Failure;

/// Standard output and standard error. A closed pipe is no failure: nobody reads any more.
#[derive(Debug, Clone, Copy, Default)]
pub struct Console;

impl Console {
    /// Writes a line to standard output.
    pub fn line(self, text: impl Display) {
        let mut out = io::stdout().lock();
        _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// Writes text to standard output as it is.
    pub fn text(self, text: impl Display) {
        let mut out = io::stdout().lock();
        _ = write!(out, "{text}").and_then(|()| out.flush());
    }

    /// Writes a failure to standard error.
    pub fn failure(self, failure: &Failure) {
        _ = writeln!(io::stderr().lock(), "posthouse: {failure}");
    }
}
