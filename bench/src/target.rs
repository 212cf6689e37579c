//! The server that is loaded: one that runs already, or one that is started for the run.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use posthouse_client::{Connector, Endpoint, Trust};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{args::TargetArgs, failure::Failure, process, report::Console};

/// The region of a server that is started.
const DOMAIN: &str = "bench.example";
/// How long a server may take to start.
const START_SECONDS: u64 = 30;

/// The server.
#[derive(Debug)]
pub(crate) struct Target {
    connector: Connector,
    /// Its processes, the database's included.
    pub(crate) pids: Vec<u32>,
    /// Its operator's listener.
    pub(crate) operator: Option<SocketAddr>,
    /// Its resident memory before the first client, in KiB.
    pub(crate) fresh_kib: Option<u64>,
    spawned: Option<Spawned>,
}

/// A process that is ended when this is dropped, and then its files.
#[derive(Debug)]
struct Spawned {
    child: Child,
    args: TargetArgs,
    binary: PathBuf,
    files: TempDir,
}

impl Target {
    /// Finds or starts the server.
    pub(crate) async fn prepare(args: &TargetArgs) -> Result<Self, Failure> {
        let target = match (&args.url, &args.spawn) {
            (Some(url), None) if !args.tls && args.database.is_none() => Self::attach(args, url)?,
            (None, Some(binary)) if args.pid.is_none() && args.metrics.is_none() => {
                let deadline = Duration::from_secs(START_SECONDS);
                let late = Failure::TooSlow {
                    what: "the server did not start".into(),
                    seconds: START_SECONDS,
                };
                let spawning = Box::pin(Self::spawn(args, binary));
                tokio::time::timeout(deadline, spawning).await.map_err(|_| late)??
            }
            _ => return Err(Failure::NoTarget),
        };
        Console::progress(format_args!("loading {}", target.connector.endpoint()));
        Ok(target)
    }

    fn attach(args: &TargetArgs, url: &str) -> Result<Self, Failure> {
        let endpoint = Endpoint::parse(url)?;
        let ca = args.ca.as_ref().map(read).transpose()?;
        let trust = ca.as_deref().map_or(Trust::System, Trust::Pem);
        let pids: Vec<u32> = args.pid.iter().chain(&args.also_pid).copied().collect();
        Ok(Self {
            connector: Connector::new(endpoint, trust)?,
            fresh_kib: None,
            pids,
            operator: args.metrics,
            spawned: None,
        })
    }

    async fn spawn(args: &TargetArgs, binary: &Path) -> Result<Self, Failure> {
        let wrote = |source| Failure::Write { path: args.dir.clone(), source };
        let files = TempDir::with_prefix_in("posthouse-bench-", &args.dir).map_err(wrote)?;
        let region = Region { binary, args, dir: files.path() };
        region.init().await?;
        let (child, listeners) = region.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let pids: Vec<u32> = child.id().into_iter().chain(args.also_pid.iter().copied()).collect();
        let spawned = Spawned { child, args: args.clone(), binary: binary.into(), files };
        let client = listeners.client;
        let connector = if args.tls {
            let endpoint = Endpoint::parse(&format!("https://{DOMAIN}:{}", client.port()))?;
            let ca = read(&spawned.files.path().join("keys/ca.pem"))?;
            Connector::new(endpoint, Trust::Pem(&ca))?.at(client)
        } else {
            Connector::new(Endpoint::parse(&format!("http://{client}"))?, Trust::System)?
        };
        let fresh_kib = Some(process::resident_kib(&pids)?);
        let operator = Some(listeners.operator);
        Ok(Self { connector, pids, operator, fresh_kib, spawned: Some(spawned) })
    }

    /// Starts a server anew that was started for this run, at the same address: its memory is then
    /// free of what registering took. `false` for a server that is not ours to end.
    pub(crate) async fn restart(&mut self) -> Result<bool, Failure> {
        let Some(spawned) = &mut self.spawned else { return Ok(false) };
        let endpoint = self.connector.endpoint();
        let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port()));
        let ended = spawned.child.kill().await;
        ended.map_err(|source| Failure::Run { binary: spawned.binary.clone(), source })?;
        let (args, dir) = (&spawned.args, spawned.files.path());
        let region = Region { binary: &spawned.binary, args, dir };
        let (child, listeners) = region.serve(address).await?;
        self.pids = child.id().into_iter().chain(args.also_pid.iter().copied()).collect();
        self.operator = Some(listeners.operator);
        self.fresh_kib = Some(process::resident_kib(&self.pids)?);
        spawned.child = child;
        Ok(true)
    }

    /// A connector for one of many clients. On this machine each one comes from an address of its
    /// own (127.0.0.0/8), so that the server's limits by address hold as they are.
    pub(crate) fn connector(&self, client: u32) -> Connector {
        let host = self.connector.endpoint().host();
        let is_local = self.spawned.is_some()
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !is_local || host.contains(':') {
            return self.connector.clone();
        }
        // 127.1.0.1 and on: neither the network's nor the broadcast address.
        let [_, high, middle, low] = (client % (1 << 22)).to_be_bytes();
        let source = Ipv4Addr::new(127, 1 + high, middle, low.max(1));
        self.connector.from_source(source.into())
    }

    /// What is told of it in the report.
    pub(crate) fn describe(&self) -> String {
        let how = if self.spawned.is_some() { "started for this run" } else { "running" };
        format!("{} ({how})", self.connector.endpoint())
    }
}

/// A region in a directory of its own.
struct Region<'a> {
    binary: &'a Path,
    args: &'a TargetArgs,
    dir: &'a Path,
}

struct Listeners {
    client: SocketAddr,
    operator: SocketAddr,
}

impl Region<'_> {
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.binary);
        command.arg(name).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn init(&self) -> Result<(), Failure> {
        let certificate = if self.args.tls { "private-ca" } else { "none" };
        let mut command = self.command("init");
        command.args(["--domain", DOMAIN, "--registration", "open", "--certificate", certificate]);
        command.arg("--dir").arg(self.dir);
        if let Some(url) = &self.args.database {
            command.args(["--database", url]);
        }
        let output = command.output().await;
        let output = output.map_err(|source| self.not_run(source))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Failure::Server { binary: self.binary.into(), what: "init failed", said })
    }

    async fn serve(&self, address: SocketAddr) -> Result<(Child, Listeners), Failure> {
        let log = self.dir.join("serve.log");
        let file =
            File::create(&log).map_err(|source| Failure::Write { path: log.clone(), source })?;
        let mut command = self.command("serve");
        command.arg("--config").arg(self.dir.join("posthouse.toml"));
        command.args(["--listen", &address.to_string(), "--operator-listen", "127.0.0.1:0"]);
        command.args(["--log-filter", "warn"]);
        // One account here stands for many people, so the limits of one are not what is measured.
        command.args(["--set", "client.rate_limits=false"]);
        command.args(["--set", "messages.per_second=1000000", "--set", "messages.burst=1000000"]);
        command.stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().map_err(|source| self.not_run(source))?;
        let (mut client, mut operator) = (None, None);
        let output = child.stdout.take().map(|output| BufReader::new(output).lines());
        let Some(mut lines) = output else { return Err(self.odd("has no output", &log)) };
        while let Ok(Some(line)) = lines.next_line().await {
            let address = line.rsplit_once("://").and_then(|(_, address)| address.parse().ok());
            if line.starts_with("listening client ") {
                client = address;
            } else if line.starts_with("listening operator ") {
                operator = address;
            } else if line.starts_with("ready ") {
                break;
            }
        }
        if let (Some(client), Some(operator)) = (client, operator) {
            return Ok((child, Listeners { client, operator }));
        }
        // It has closed its output without a word of its listeners.
        Err(self.odd("did not start", &log))
    }

    fn odd(&self, what: &'static str, log: &Path) -> Failure {
        let said = fs::read_to_string(log).unwrap_or_default().trim().to_owned();
        Failure::Server { binary: self.binary.into(), what, said }
    }

    fn not_run(&self, source: std::io::Error) -> Failure {
        Failure::Run { binary: self.binary.into(), source }
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|source| Failure::Read { path: path.clone(), source })
}
