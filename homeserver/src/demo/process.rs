//! The demo's servers: the same binary, each in a process of its own that can be killed.

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

/// How long a server may take to say that it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// A region in a directory, and its running server.
pub(super) struct Server {
    domain: String,
    dir: PathBuf,
    listening: Listening,
    child: Child,
    /// Kept open: a server whose output nobody takes must not fail over it.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Makes the region with `posthouse init` below `place`, and serves it. Its certificate comes
    /// from the authority in `place`; it asks `dns` where other regions are.
    pub(super) async fn create(
        domain: &str,
        place: &Path,
        dns: SocketAddr,
    ) -> Result<Self, Failure> {
        let binary = own_binary()?;
        let dir = place.join(domain);
        let mut init = Command::new(&binary);
        init.args(["init", "--registration", "open", "--domain", domain, "--authority"]);
        run(init.arg(place).arg("--dir").arg(&dir)).await?;
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let wanted = Listening { clients: any_port, federation: any_port };
        let (child, output, listening) = start(&binary, &dir, dns, wanted).await?;
        Ok(Self { domain: domain.to_owned(), dir, listening, child, _output: output })
    }

    /// The region's name.
    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    /// Where its files are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where it listens for clients.
    pub(super) fn address(&self) -> SocketAddr {
        self.listening.clients
    }

    /// Where it listens for other regions.
    pub(super) fn federation(&self) -> SocketAddr {
        self.listening.federation
    }

    /// The certificate of the authority that clients must trust.
    pub(super) fn authority(&self) -> PathBuf {
        self.dir.join("keys/ca.pem")
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

/// Where a server listens.
#[derive(Debug, Clone, Copy)]
struct Listening {
    clients: SocketAddr,
    federation: SocketAddr,
}

type Started = (Child, Lines<BufReader<ChildStdout>>, Listening);

/// Makes the demo's authority in `place`.
pub(super) async fn make_authority(place: &Path) -> Result<(), Failure> {
    let mut command = Command::new(own_binary()?);
    run(command.args(["certificate", "authority", "--dir"]).arg(place)).await
}

fn own_binary() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|err| failed(format!("The program cannot find itself: {err}.")))
}

/// Runs a command of this program to its end.
async fn run(command: &mut Command) -> Result<(), Failure> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|err| failed(format!("A command of posthouse cannot be run: {err}.")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(failed(format!("A command of posthouse failed: {said}")))
}

/// Starts the server and reads where it listens from what it says.
async fn start(
    binary: &Path,
    dir: &Path,
    dns: SocketAddr,
    wanted: Listening,
) -> Result<Started, Failure> {
    let mut child = Command::new(binary)
        .args(["serve", "--operator-listen", "off", "--log-filter", "error", "--listen"])
        .arg(wanted.clients.to_string())
        .args(["--set", &format!("federation.listen={}", wanted.federation)])
        .args(["--set", &format!("federation.dns={dns}")])
        .args(["--set", "federation.private_addresses=true", "--config"])
        .arg(dir.join("posthouse.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|err| failed(format!("`posthouse serve` cannot be run: {err}.")))?;
    let output = child.stdout.take().ok_or_else(|| failed("The server has no output."))?;
    let mut lines = BufReader::new(output).lines();
    let ready = timeout(READY_TIMEOUT, read_until_ready(&mut lines)).await;
    let listening = ready.map_err(|_| failed("The server is not ready after 20 seconds."))??;
    Ok((child, lines, listening))
}

async fn read_until_ready(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<Listening, Failure> {
    let (mut clients, mut federation) = (None, None);
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(url) = line.strip_prefix("listening client https://") {
            clients = url.parse().ok();
        }
        if let Some(address) = line.strip_prefix("listening federation ") {
            federation = address.parse().ok();
        }
        if line.starts_with("ready ") {
            let listening = clients.zip(federation);
            let listening =
                listening.map(|(clients, federation)| Listening { clients, federation });
            return listening.ok_or_else(|| failed("The server did not say where it listens."));
        }
    }
    Err(failed("The server ended before it was ready; its message is above."))
}
