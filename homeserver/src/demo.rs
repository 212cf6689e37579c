//! `posthouse demo`: two regions on loopback that anyone can watch at work, with no other set-up. It
//! uses what operators and clients would: the binary's own `init` and `serve`, in processes of their
//! own, a DNS server that knows where they are, mutual TLS between them, and the SDK of clients, which
//! encrypts. What the servers had of it is read from their stores, as an operator could.

mod attach;
mod process;

use std::{net::SocketAddr, path::Path, time::Duration};

use posthouse_federation::zone::Zone;
use posthouse_protocol::id::{HandleName, IdError, ServerName};
use posthouse_storage_sql::SqlStore;
use rand::{SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tokio::{
    net::UdpSocket,
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
    time::Instant,
};

use crate::{
    clock::system_random,
    console::Console,
    exchange::{self, Fault, Inside, Link, NAMES, Region, Stage},
    failure::{Exit, Failure},
};
use attach::People;
use process::Server;
use uuid::Uuid;

/// How long any step of the demo may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The regions of the demo.
const DOMAINS: [&str; 2] = ["north.test", "south.test"];
/// The password of everyone in the demo.
const PASSWORD: &str = "a throw-away password";

/// Runs the demo. With `once` it ends when the story is told; else it serves until Ctrl-C.
///
/// # Errors
/// A [`Failure`] that says which step did not show what it should.
pub fn run(once: bool, console: Console) -> Result<(), Failure> {
    let runtime = Runtime::new()
        .map_err(|err| failed(format!("The threads of the demo cannot be started: {err}.")))?;
    runtime.block_on(async {
        let hear = |kind| signal(kind).map_err(|err| failed(format!("No signals: {err}.")));
        // Its servers end with it, also when its terminal is closed.
        let (mut interrupt, mut terminate, mut hangup) = (
            hear(SignalKind::interrupt())?,
            hear(SignalKind::terminate())?,
            hear(SignalKind::hangup())?,
        );
        tokio::select! {
            outcome = show(once, console) => outcome,
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
            _ = hangup.recv() => Ok(()),
        }
    })
}

/// Two running regions, and the DNS that knows the links in front of them.
struct Running {
    north: Server,
    south: Server,
    dns: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// Starts it all below `place`. The stage that the story is told on comes with it.
    async fn start(place: &Path, people: &People) -> Result<(Self, Stage), Failure> {
        let socket = UdpSocket::bind(("127.0.0.1", 0))
            .await
            .map_err(|err| failed(format!("The demo's DNS cannot be opened: {err}.")))?;
        let dns = socket
            .local_addr()
            .map_err(|err| failed(format!("The demo's DNS has no address: {err}.")))?;
        process::make_authority(place).await?;
        let [north, south] = DOMAINS;
        let (north, south) =
            tokio::try_join!(Server::create(north, place, dns), Server::create(south, place, dns))?;
        let links = vec![link_to(&north).await?, link_to(&south).await?];
        let mut known = Vec::new();
        for (domain, link) in DOMAINS.into_iter().zip(&links) {
            known.push((ServerName::parse(domain).map_err(no_name)?, link.address()));
        }
        let [ada, ben] = NAMES;
        let regions = [region(&north, ada, people).await?, region(&south, ben, people).await?];
        let stage = Stage { regions, password: PASSWORD.into(), patience: PATIENCE, links };
        let dns = tokio::spawn(Zone::new(known).serve(socket));
        Ok((Self { north, south, dns }, stage))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.dns.abort();
    }
}

/// A link in front of a server's federation listener.
async fn link_to(server: &Server) -> Result<Link, Failure> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    Link::open(any_port, server.federation().to_string())
        .await
        .map_err(|err| failed(format!("The demo's link cannot be opened: {err}.")))
}

/// A server as its users meet it, and as its operator could look into it.
async fn region(server: &Server, handle: &str, people: &People) -> Result<Region, Failure> {
    let authority = std::fs::read(server.authority())
        .map_err(|err| failed(format!("The demo's authority cannot be read: {err}.")))?;
    let domain = ServerName::parse(server.domain()).map_err(no_name)?;
    // The server goes on: this is a second reader of its database.
    let random = Uuid::from_bytes(system_random()?);
    let database = server.dir().join("data/posthouse.db");
    let store = SqlStore::open_beside(&database.to_string_lossy(), random)
        .await
        .map_err(|err| failed(format!("A region's database cannot be read: {err}.")))?;
    let inside = Inside::new(store, server.dir().to_owned());
    let device = people.device(handle)?;
    let handle = HandleName::parse(handle).map_err(no_name)?;
    let region = Region::new(domain, handle, server.address(), &authority)?;
    Ok(region.opened(device, inside))
}

fn no_name(err: IdError) -> Failure {
    failed(format!("A name of the demo does not do: {err}."))
}

async fn show(once: bool, console: Console) -> Result<(), Failure> {
    // Removed when the demo ends; the servers' processes are ended before.
    let dir = TempDir::with_prefix("posthouse-demo-")
        .map_err(|err| failed(format!("No directory for the demo can be made: {err}.")))?;
    let start = Instant::now();
    let people = People::new(dir.path());
    let (mut running, stage) = Running::start(dir.path(), &people).await?;
    for server in [&running.north, &running.south] {
        let (domain, clients, regions) = (server.domain(), server.address(), server.federation());
        console.line(format_args!(
            "{:>6.2} s  {domain} serves clients at https://{clients}, regions at {regions}",
            start.elapsed().as_secs_f64()
        ));
    }
    let rng = StdRng::from_seed(system_random()?);
    let devices = exchange::tell(&stage, start, rng, console).await?;
    if once {
        return Ok(());
    }
    people.keep([&running.north, &running.south], devices).await?;
    console.text(people.attach([&running.north, &running.south]));
    let (north, south) = (&mut running.north, &mut running.south);
    tokio::select! {
        ended = north.ended() => ended,
        ended = south.ended() => ended,
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        failed(fault.0)
    }
}

/// A failure of the demo itself.
fn failed(fact: impl Into<String>) -> Failure {
    Failure::new(
        Exit::Other,
        fact,
        "The demo needs a directory for temporary files (TMPDIR) and ports on 127.0.0.1.",
    )
}
