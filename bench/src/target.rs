//! The server that is loaded: one that runs already, or one that is started for the run.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
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

/// The region of a server that is started, and the other ones of --across.
const DOMAINS: [&str; 3] = ["bench.example", "other.example", "third.example"];
/// How long a server may take to start.
const START_SECONDS: u64 = 30;

/// The server.
#[derive(Debug)]
pub(crate) struct Target {
    connector: Connector,
    /// The other regions', with --across.
    others: Vec<Connector>,
    /// Its processes, the database's included.
    pub(crate) pids: Vec<u32>,
    /// Its operator's listener.
    pub(crate) operator: Option<SocketAddr>,
    /// Its resident memory before the first client, in KiB.
    pub(crate) fresh_kib: Option<u64>,
    spawned: Option<Spawned>,
}

/// Processes that are ended when this is dropped, and then their files.
#[derive(Debug)]
struct Spawned {
    /// The regions' servers, in the order of [`DOMAINS`].
    children: Vec<Child>,
    args: TargetArgs,
    binary: PathBuf,
    files: TempDir,
    /// The ports of the federation listeners, in the order of [`DOMAINS`], with --across.
    ports: Vec<u16>,
}

impl Target {
    /// Finds or starts the server.
    pub(crate) async fn prepare(args: &TargetArgs) -> Result<Self, Failure> {
        let target = match (&args.url, &args.spawn) {
            (Some(url), None) if !args.tls && args.across.is_none() && args.database.is_none() => {
                Self::attach(args, url)?
            }
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
            others: Vec::new(),
            fresh_kib: None,
            pids,
            operator: args.metrics,
            spawned: None,
        })
    }

    async fn spawn(args: &TargetArgs, binary: &Path) -> Result<Self, Failure> {
        let wrote = |source| Failure::Write { path: args.dir.clone(), source };
        let files = TempDir::with_prefix_in("posthouse-bench-", &args.dir).map_err(wrote)?;
        let ports = (0..args.across.unwrap_or_default()).map(|_| free_port());
        let ports = ports.collect::<Result<Vec<u16>, _>>()?;
        let mut spawned = Spawned {
            children: Vec::new(),
            args: args.clone(),
            binary: binary.into(),
            files,
            ports,
        };
        let (mut connectors, mut operator) = (Vec::new(), None);
        if args.across.is_some() {
            spawned.region(0).make_authority().await?;
        }
        for number in 0..usize::from(args.across.unwrap_or(1)) {
            let region = spawned.region(number);
            region.init().await?;
            let (child, listeners) = region.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
            connectors.push(region.connector(listeners.client)?);
            operator.get_or_insert(listeners.operator);
            spawned.children.push(child);
        }
        let pids = spawned.pids();
        let fresh_kib = Some(process::resident_kib(&pids)?);
        let mut connectors = connectors.into_iter();
        let connector = connectors.next().ok_or(Failure::NoTarget)?;
        let others = connectors.collect();
        Ok(Self { connector, others, pids, operator, fresh_kib, spawned: Some(spawned) })
    }

    /// Starts a server anew that was started for this run, at the same address: its memory is then
    /// free of what registering took. `false` for a server that is not ours to end.
    pub(crate) async fn restart(&mut self) -> Result<bool, Failure> {
        let Some(spawned) = &mut self.spawned else { return Ok(false) };
        let endpoint = self.connector.endpoint();
        let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port()));
        spawned.kill(0).await?;
        let (child, listeners) = spawned.region(0).serve(address).await?;
        spawned.children.insert(0, child);
        self.pids = spawned.pids();
        self.operator = Some(listeners.operator);
        self.fresh_kib = Some(process::resident_kib(&self.pids)?);
        Ok(true)
    }

    /// kill -9 of the other region's server, with --across.
    pub(crate) async fn kill_other(&mut self) -> Result<(), Failure> {
        let spawned = self.across()?;
        spawned.kill(1).await?;
        self.pids = self.across()?.pids();
        Ok(())
    }

    /// Starts the other region's server again, at the same address, and waits until it is ready.
    pub(crate) async fn start_other(&mut self) -> Result<(), Failure> {
        let other = self.others.first().ok_or(Failure::NotAcross)?;
        let address = SocketAddr::from(([127, 0, 0, 1], other.endpoint().port()));
        let spawned = self.across()?;
        let (child, _) = spawned.region(1).serve(address).await?;
        spawned.children.insert(1, child);
        self.pids = self.across()?.pids();
        Ok(())
    }

    fn across(&mut self) -> Result<&mut Spawned, Failure> {
        self.spawned.as_mut().filter(|spawned| !spawned.ports.is_empty()).ok_or(Failure::NotAcross)
    }

    /// A connector for one of many clients. On this machine each one comes from an address of its
    /// own (127.0.0.0/8), so that the server's limits by address hold as they are. With --across
    /// they are of one region after the other.
    pub(crate) fn connector(&self, client: u32) -> Connector {
        let place = client as usize % self.regions();
        let other = place.checked_sub(1).and_then(|place| self.others.get(place));
        let region = other.unwrap_or(&self.connector);
        let host = region.endpoint().host();
        let is_local = self.spawned.is_some()
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !is_local || host.contains(':') {
            return region.clone();
        }
        // 127.1.0.1 and on: neither the network's nor the broadcast address.
        let [_, high, middle, low] = (client % (1 << 22)).to_be_bytes();
        let source = Ipv4Addr::new(127, 1 + high, middle, low.max(1));
        region.from_source(source.into())
    }

    /// How many regions there are.
    pub(crate) fn regions(&self) -> usize {
        1 + self.others.len()
    }

    /// What is told of it in the report.
    pub(crate) fn describe(&self) -> String {
        let how = if self.spawned.is_some() { "started for this run" } else { "running" };
        let all = [&self.connector].into_iter().chain(&self.others);
        let all: Vec<String> = all.map(|region| region.endpoint().to_string()).collect();
        let count = if all.len() > 1 { format!("{} regions, ", all.len()) } else { String::new() };
        format!("{} ({count}{how})", all.join(", "))
    }
}

impl Spawned {
    fn region(&self, number: usize) -> Region<'_> {
        let domain = DOMAINS.get(number).copied().unwrap_or(DOMAINS[0]);
        Region {
            binary: &self.binary,
            args: &self.args,
            place: self.files.path(),
            domain,
            dir: self.files.path().join(domain),
            federation: self.ports.get(number).map(|own_port| Federation {
                own_port: *own_port,
                peers: DOMAINS.into_iter().zip(self.ports.iter().copied()).collect(),
            }),
        }
    }

    fn pids(&self) -> Vec<u32> {
        let own = self.children.iter().filter_map(Child::id);
        own.chain(self.args.also_pid.iter().copied()).collect()
    }

    /// kill -9 of a region's server.
    async fn kill(&mut self, number: usize) -> Result<(), Failure> {
        if number < self.children.len() {
            let ended = self.children.remove(number).kill().await;
            ended.map_err(|source| Failure::Run { binary: self.binary.clone(), source })?;
        }
        Ok(())
    }
}

/// How a region meets the others.
struct Federation {
    own_port: u16,
    /// All regions and their ports.
    peers: Vec<(&'static str, u16)>,
}

/// A port that nobody uses just now.
fn free_port() -> Result<u16, Failure> {
    let bound = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(Failure::Port)
}

/// A region in a directory of its own.
struct Region<'a> {
    binary: &'a Path,
    args: &'a TargetArgs,
    /// The directory of the run; the authority of all regions is in it.
    place: &'a Path,
    domain: &'static str,
    dir: PathBuf,
    federation: Option<Federation>,
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

    async fn make_authority(&self) -> Result<(), Failure> {
        let mut command = self.command("certificate");
        self.run(command.args(["authority", "--dir"]).arg(self.place), "made no authority").await
    }

    async fn init(&self) -> Result<(), Failure> {
        let mut command = self.command("init");
        command.args(["--domain", self.domain, "--registration", "open"]);
        command.arg("--dir").arg(&self.dir);
        if self.federation.is_some() {
            command.arg("--authority").arg(self.place);
        } else {
            let certificate = if self.args.tls { "private-ca" } else { "none" };
            command.args(["--certificate", certificate]);
        }
        if let Some(url) = &self.args.database {
            command.args(["--database", url]);
        }
        self.run(&mut command, "init failed").await
    }

    /// Runs a command to its end.
    async fn run(&self, command: &mut Command, what: &'static str) -> Result<(), Failure> {
        let output = command.output().await;
        let output = output.map_err(|source| self.not_run(source))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Failure::Server { binary: self.binary.into(), what, said })
    }

    /// How clients reach the region at `client`.
    fn connector(&self, client: SocketAddr) -> Result<Connector, Failure> {
        if self.args.tls {
            let endpoint = Endpoint::parse(&format!("https://{}:{}", self.domain, client.port()))?;
            let ca = read(&self.dir.join("keys/ca.pem"))?;
            Ok(Connector::new(endpoint, Trust::Pem(&ca))?.at(client))
        } else {
            let endpoint = Endpoint::parse(&format!("http://{client}"))?;
            Ok(Connector::new(endpoint, Trust::System)?)
        }
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
        let tls = format!("client.tls={}", self.args.tls);
        command.args(["--set", &tls]);
        let federation = match &self.federation {
            None => vec!["federation.listen=off".to_owned()],
            Some(Federation { own_port, peers }) => {
                let peers = peers.iter().filter(|(domain, _)| *domain != self.domain);
                let peers: Vec<String> =
                    peers.map(|(domain, port)| format!("{domain}=127.0.0.1:{port}")).collect();
                vec![
                    format!("federation.listen=127.0.0.1:{own_port}"),
                    format!("federation.overrides={}", peers.join(",")),
                    "federation.private_addresses=true".to_owned(),
                ]
            }
        };
        for setting in &federation {
            command.args(["--set", setting]);
        }
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
