//! One region.

use crate::server::{Place, posthouse, run};

/// The domain of the tests' region.
const DOMAIN: &str = "eu.example";

impl Place {
    /// A new region; `flags` are for `posthouse init`.
    pub(crate) fn new(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut init = posthouse("init");
        init.args(["--domain", DOMAIN, "--registration", "open", "--certificate", "none"]);
        run(init.arg("--dir").arg(dir.path()).args(flags));
        Self { dir, domain: DOMAIN.to_owned(), settings: Vec::new() }
    }
}
