//! A region on disk, and servers of it as processes that can be killed.

use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// The domain of the tests' region.
const DOMAIN: &str = "eu.example";

/// A region on disk; its log stays readable as long as it lives.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// A new region; `flags` are for `posthouse init`.
    pub(crate) fn new(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut init = posthouse("init");
        init.args(["--domain", DOMAIN, "--registration", "open", "--certificate", "none"]);
        let output = init.arg("--dir").arg(dir.path()).args(flags).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { dir }
    }

    /// Starts a server on this address; port 0 lets the system choose.
    pub(crate) fn start(&self, address: SocketAddr) -> Server {
        Server::start(self.dir.path(), address)
    }

    /// What the servers have logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("serve.log")).unwrap_or_default()
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
}

impl Server {
    fn start(dir: &Path, address: SocketAddr) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(dir.join("serve.log")).unwrap();
        let mut command = posthouse("serve");
        command.arg("--config").arg(dir.join("posthouse.toml"));
        command.args(["--listen", &address.to_string(), "--operator-listen", "off"]);
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut listening = None;
        let mut is_ready = false;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if let Some(url) = line.strip_prefix("listening client http://") {
                listening = url.parse().ok();
            }
            if line.starts_with("ready ") {
                is_ready = true;
                break;
            }
        }
        // Made first, so that the process is ended whatever comes.
        let server = Self { child, address: listening.unwrap_or(address) };
        assert!(is_ready && listening.is_some(), "the server did not start");
        server
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, in a clean environment.
fn posthouse(command: &str) -> Command {
    let mut posthouse = Command::new(env!("CARGO_BIN_EXE_posthouse"));
    posthouse.arg(command).env_clear().stdin(Stdio::null());
    posthouse
}
