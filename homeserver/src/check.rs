//! `posthouse check`: two regions that run elsewhere exchange messages, and this process judges. It
//! stands in the way between them, so that it can cut it: DNS (or `federation.overrides`) must send
//! each region's peers to a listener of this process, which relays to the region.

use std::{fs, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use posthouse_protocol::id::{HandleName, ServerName};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    net::lookup_host,
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    time::Instant,
};

use crate::{
    clock::system_random,
    console::Console,
    exchange::{self, Fault, Link, NAMES, Region, Stage},
    failure::{Exit, Failure},
};

/// What to do about anything that a check finds.
const ADVICE: &str = "The regions' own logs say more; `posthouse doctor` says what keeps one from \
                      reaching the other.";

/// What is to be checked.
#[derive(Debug)]
pub struct Request {
    /// The two regions, with their client listeners.
    pub regions: [Served; 2],
    /// The links between them, through this process.
    pub links: Vec<Relay>,
    /// The authority of the certificates of the client listeners (PEM).
    pub authority: PathBuf,
    /// How long any step may take.
    pub patience: Duration,
}

/// A region and its client listener, as in `south.example=10.0.0.7:8443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    domain: ServerName,
    /// Host and port.
    address: String,
}

/// Where a region's peers are made to connect, and its federation listener, as in
/// `0.0.0.0:7443=10.0.0.7:7443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    listen: SocketAddr,
    /// Host and port.
    target: String,
}

impl FromStr for Served {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (domain, address) = text
            .split_once('=')
            .ok_or("a region with its address is expected: DOMAIN=HOST:PORT")?;
        let domain = ServerName::parse(domain).map_err(|err| err.to_string())?;
        Ok(Self { domain, address: host_and_port(address)? })
    }
}

impl FromStr for Relay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (listen, target) =
            text.split_once('=').ok_or("two addresses are expected: ADDRESS:PORT=HOST:PORT")?;
        let listen = listen
            .parse()
            .map_err(|_| format!("\"{listen}\" is no IP address with a port to listen at"))?;
        Ok(Self { listen, target: host_and_port(target)? })
    }
}

fn host_and_port(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    match port.and_then(|port| port.parse::<u16>().ok()) {
        Some(1..) => Ok(text.to_owned()),
        _ => Err(format!("\"{text}\" is no host with a port")),
    }
}

/// Checks, and says on its last line that all is well.
///
/// # Errors
/// A [`Failure`] that says which step did not show what it should. SIGTERM and SIGINT are failures
/// too: there is no verdict then.
pub fn run(request: &Request, console: Console) -> Result<(), Failure> {
    let runtime =
        Runtime::new().map_err(|err| failed(format!("Threads cannot be started: {err}.")))?;
    runtime.block_on(async {
        let hear = |kind| signal(kind).map_err(|err| failed(format!("No signals: {err}.")));
        let (mut terminate, mut interrupt) =
            (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
        tokio::select! {
            outcome = judge(request, console) => outcome,
            _ = terminate.recv() => Err(stopped()),
            _ = interrupt.recv() => Err(stopped()),
        }
    })
}

async fn judge(request: &Request, console: Console) -> Result<(), Failure> {
    let mut rng = StdRng::from_seed(system_random()?);
    let authority = fs::read(&request.authority)
        .map_err(|err| Failure::cannot_read(Exit::Keys, &request.authority, &err))?;
    let mut links = Vec::new();
    for relay in &request.links {
        let opened = Link::open(relay.listen, relay.target.clone()).await;
        links.push(opened.map_err(|err| {
            let fact = format!("The link at {} cannot be opened: {err}.", relay.listen);
            Failure::new(Exit::Network, fact, "Choose another --link.")
        })?);
    }
    // New accounts each time: the regions remember those of earlier checks.
    let run: u32 = rng.random();
    let [north, south] = &request.regions;
    let [ada, ben] = NAMES;
    let regions = [
        region(north, &format!("{ada}-{run:08x}"), &authority).await?,
        region(south, &format!("{ben}-{run:08x}"), &authority).await?,
    ];
    let password = format!("{:032x}", rng.random::<u128>());
    let stage = Stage { regions, password, patience: request.patience, links };
    let people = exchange::tell(&stage, Instant::now(), rng, console).await;
    for person in people.map_err(|Fault(fact)| failed(fact))? {
        person.leave().await;
    }
    console.line(format_args!("passed: {} and {} work together", north.domain, south.domain));
    Ok(())
}

async fn region(served: &Served, handle: &str, authority: &[u8]) -> Result<Region, Failure> {
    let Served { domain, address } = served;
    let unknown = |why: String| {
        let fact = format!("The address {address} of {domain} cannot be looked up: {why}.");
        Failure::new(Exit::Network, fact, "Correct --region.")
    };
    let mut found = lookup_host(address.as_str()).await.map_err(|err| unknown(err.to_string()))?;
    let address = found.next().ok_or_else(|| unknown("it has none".into()))?;
    let handle = HandleName::parse(handle).map_err(|err| failed(err.to_string()))?;
    Region::new(domain.clone(), handle, address, authority).map_err(|Fault(fact)| failed(fact))
}

fn failed(fact: impl Into<String>) -> Failure {
    Failure::new(Exit::Other, fact, ADVICE)
}

fn stopped() -> Failure {
    Failure::new(Exit::Other, "Stopped before there was a verdict.", "Run the check again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_and_links_are_read() {
        let region: Served = "north.test=north:8443".parse().unwrap();
        assert_eq!((region.domain.as_str(), region.address.as_str()), ("north.test", "north:8443"));
        let link: Relay = "[::]:7443=[2001:db8::7]:7443".parse().unwrap();
        assert_eq!((link.listen.port(), link.target.as_str()), (7443, "[2001:db8::7]:7443"));
    }

    #[test]
    fn what_is_no_region_or_link_is_refused() {
        for bad in ["north.test", "=north:8443", "north.test=north", "north.test=:1", "n.t=h:0"] {
            bad.parse::<Served>().expect_err(bad);
        }
        for bad in ["north:7443", "link:7443=north:7443", "0.0.0.0:7443=north:99999"] {
            bad.parse::<Relay>().expect_err(bad);
        }
    }
}
