//! Regions on disk, and servers of them as processes that can be killed.

use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// A region on disk; its log stays readable as long as it lives.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    /// Its name.
    pub(crate) domain: String,
    /// What `serve` is told by --set.
    pub(crate) settings: Vec<String>,
}

/// Where a server listens; port 0 lets the system choose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    /// For clients.
    pub(crate) client: SocketAddr,
    /// For other regions, in a region that federates.
    pub(crate) federation: SocketAddr,
    /// For the operator.
    pub(crate) operator: SocketAddr,
}

impl At {
    /// Wherever there is room.
    pub(crate) fn any() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { client: any, federation: any, operator: any }
    }
}

impl Place {
    /// Starts a server.
    pub(crate) fn start(&self, at: At) -> Server {
        Server::start(self, at)
    }

    /// What the servers have logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("serve.log")).unwrap_or_default()
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) at: At,
}

impl Server {
    fn start(place: &Place, at: At) -> Self {
        let dir = place.dir.path();
        let log = OpenOptions::new().create(true).append(true).open(dir.join("serve.log")).unwrap();
        let mut command = posthouse("serve");
        command.arg("--config").arg(dir.join("posthouse.toml"));
        command.args(["--listen", &at.client.to_string()]);
        command.args(["--operator-listen", &at.operator.to_string()]);
        if !place.settings.is_empty() {
            command.args(["--set", &format!("federation.listen={}", at.federation)]);
        }
        for setting in &place.settings {
            command.args(["--set", setting]);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let (mut client, mut federation, mut operator) = (None, None, None);
        let mut is_ready = false;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if let Some(url) = line.strip_prefix("listening client http://") {
                client = url.parse().ok();
            }
            if let Some(address) = line.strip_prefix("listening federation ") {
                federation = address.parse().ok();
            }
            if let Some(address) = line.strip_prefix("listening operator http://") {
                operator = address.parse().ok();
            }
            if line.starts_with("ready ") {
                is_ready = true;
                break;
            }
        }
        // Made first, so that the process is ended whatever comes.
        let open = At {
            client: client.unwrap_or(at.client),
            federation: federation.unwrap_or(at.federation),
            operator: operator.unwrap_or(at.operator),
        };
        let server = Self { child, at: open };
        assert!(is_ready && client.is_some(), "the server did not start: {}", place.log());
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

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The binary, in a clean environment.
pub(crate) fn posthouse(command: &str) -> Command {
    let mut posthouse = Command::new(env!("CARGO_BIN_EXE_posthouse"));
    posthouse.arg(command).env_clear().stdin(Stdio::null());
    posthouse
}
