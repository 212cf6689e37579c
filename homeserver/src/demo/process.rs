//! The demo's server: the same binary, in a process of its own that can be killed.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{Duration, timeout},
};

use super::failed;
use crate::failure::Failure;

/// How long the server may take to say that it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// A region in a directory, and its running server.
pub(super) struct Server {
    binary: PathBuf,
    domain: String,
    dir: PathBuf,
    address: SocketAddr,
    child: Child,
    /// Kept open: a server whose output nobody takes must not fail over it.
    output: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Makes the region with `posthouse init`, and serves it.
    pub(super) async fn create(domain: &str, dir: &Path) -> Result<Self, Failure> {
        let binary = std::env::current_exe()
            .map_err(|err| failed(format!("The program cannot find itself: {err}.")))?;
        let init = Command::new(&binary)
            .args(["init", "--registration", "open", "--domain", domain, "--dir"])
            .arg(dir)
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|err| failed(format!("`posthouse init` cannot be run: {err}.")))?;
        if !init.status.success() {
            let said = String::from_utf8_lossy(&init.stderr).into_owned();
            return Err(failed(format!("`posthouse init` failed: {said}")));
        }
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let (child, output, address) = start(&binary, dir, any_port).await?;
        let (domain, dir) = (domain.to_owned(), dir.to_owned());
        Ok(Self { binary, domain, dir, address, child, output })
    }

    /// The region's name.
    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    /// Where it listens for clients.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of the authority that clients must trust.
    pub(super) fn authority(&self) -> PathBuf {
        self.dir.join("keys/ca.pem")
    }

    /// Kills the process as a power cut would: SIGKILL, no farewell.
    pub(super) async fn kill(&mut self) -> Result<(), Failure> {
        let killed = self.child.kill().await;
        killed.map_err(|err| failed(format!("The server cannot be killed: {err}.")))
    }

    /// Starts the process again, on the same address and data.
    pub(super) async fn restart(&mut self) -> Result<(), Failure> {
        let (child, output, _) = start(&self.binary, &self.dir, self.address).await?;
        (self.child, self.output) = (child, output);
        Ok(())
    }

    /// Waits until the process ends by itself, which it should not.
    pub(super) async fn ended(&mut self) -> Result<(), Failure> {
        let status = self.child.wait().await;
        Err(failed(match status {
            Ok(status) => format!("The server ended: {status}."),
            Err(err) => format!("The server cannot be watched: {err}."),
        }))
    }
}

type Started = (Child, Lines<BufReader<ChildStdout>>, SocketAddr);

/// Starts the server and reads where it listens from what it says.
async fn start(binary: &Path, dir: &Path, address: SocketAddr) -> Result<Started, Failure> {
    let mut child = Command::new(binary)
        .args(["serve", "--operator-listen", "off", "--log-filter", "error", "--listen"])
        .arg(address.to_string())
        .arg("--config")
        .arg(dir.join("posthouse.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|err| failed(format!("`posthouse serve` cannot be run: {err}.")))?;
    let output = child.stdout.take().ok_or_else(|| failed("The server has no output."))?;
    let mut lines = BufReader::new(output).lines();
    let ready = timeout(READY_TIMEOUT, read_until_ready(&mut lines)).await;
    let address = ready.map_err(|_| failed("The server is not ready after 20 seconds."))??;
    Ok((child, lines, address))
}

async fn read_until_ready(
    lines: &mut Lines<BufReader<ChildStdout>>,
) -> Result<SocketAddr, Failure> {
    let mut address = None;
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(url) = line.strip_prefix("listening client https://") {
            address = url.parse().ok();
        }
        if line.starts_with("ready ") {
            return address.ok_or_else(|| failed("The server did not say where it listens."));
        }
    }
    Err(failed("The server ended before it was ready; its message is above."))
}
