//! `posthouse demo`: two regions on loopback that anyone can watch at work, with no other set-up. It
//! uses what operators and clients would: the binary's own `init` and `serve`, in processes of their
//! own, a DNS server that knows where they are, mutual TLS between them, and the public client API.

mod link;
mod person;
mod process;
mod story;

use std::path::Path;

use posthouse_federation::zone::Zone;
use posthouse_protocol::id::ServerName;
use tempfile::TempDir;
use tokio::{net::UdpSocket, runtime::Runtime, signal, task::JoinHandle};

use crate::{
    console::Console,
    failure::{Exit, Failure},
};
use link::Link;
use process::Server;

/// The regions of the demo.
const DOMAINS: [&str; 2] = ["north.test", "south.test"];

/// Runs the demo. With `once` it ends when the story is told; else it serves until Ctrl-C.
///
/// # Errors
/// A [`Failure`] that says which step did not show what it should.
pub fn run(once: bool, console: Console) -> Result<(), Failure> {
    let runtime = Runtime::new()
        .map_err(|err| failed(format!("The threads of the demo cannot be started: {err}.")))?;
    runtime.block_on(async {
        tokio::select! {
            outcome = show(once, console) => outcome,
            _ = signal::ctrl_c() => Ok(()),
        }
    })
}

/// Two regions, the links in front of them, and the DNS that knows the links.
struct Stage {
    north: Server,
    south: Server,
    links: [Link; 2],
    dns: JoinHandle<std::io::Result<()>>,
}

impl Stage {
    async fn build(place: &Path) -> Result<Self, Failure> {
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
        let links = [Link::to(north.federation()).await?, Link::to(south.federation()).await?];
        let mut regions = Vec::new();
        for (domain, link) in DOMAINS.into_iter().zip(&links) {
            let name = ServerName::parse(domain)
                .map_err(|err| failed(format!("{domain} is no name: {err}.")))?;
            regions.push((name, link.address()));
        }
        let dns = tokio::spawn(Zone::new(regions).serve(socket));
        Ok(Self { north, south, links, dns })
    }

    fn cut(&self) {
        self.links.iter().for_each(Link::cut);
    }

    fn heal(&self) {
        self.links.iter().for_each(Link::heal);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.dns.abort();
    }
}

async fn show(once: bool, console: Console) -> Result<(), Failure> {
    // Removed when the demo ends; the servers' processes are ended before.
    let dir = TempDir::with_prefix("posthouse-demo-")
        .map_err(|err| failed(format!("No directory for the demo can be made: {err}.")))?;
    let mut stage = Stage::build(dir.path()).await?;
    story::tell(&stage, console).await?;
    if once {
        return Ok(());
    }
    console.text(attach(&stage));
    let (north, south) = (&mut stage.north, &mut stage.south);
    tokio::select! {
        ended = north.ended() => ended,
        ended = south.ended() => ended,
    }
}

/// How to attach a client.
fn attach(stage: &Stage) -> String {
    use core::fmt::Write;

    let mut text =
        String::from("\nBoth regions serve until Ctrl-C. Attach a client of your own:\n");
    for (server, person) in [(&stage.north, story::PEOPLE[0]), (&stage.south, story::PEOPLE[1])] {
        let (domain, address) = (server.domain(), server.address());
        let port = address.port();
        _ = writeln!(
            text,
            "  {person}@{domain}, password {:?}:\n    curl --cacert {} --connect-to \
             {domain}:{port}:{address} https://{domain}:{port}/v1/capabilities",
            person::PASSWORD,
            server.authority().display(),
        );
    }
    text.push_str(
        "  log in with POST /v1/sessions (docs/spec/rest.md, docs/spec/client-socket.md)\n",
    );
    text
}

/// A failure of the demo itself.
fn failed(fact: impl Into<String>) -> Failure {
    Failure::new(
        Exit::Other,
        fact,
        "The demo needs a directory for temporary files (TMPDIR) and ports on 127.0.0.1.",
    )
}
