//! `posthouse check` with two regions in processes of their own, and `posthouse health`.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use super::harness::{Ended, Region, Server, posthouse, run, run_within};

const DOMAINS: [&str; 2] = ["north.test", "south.test"];
/// How long a whole check may take: most of it is waiting for other tests to leave a processor.
const LONG: Duration = Duration::from_mins(2);

/// Two regions of one authority. Each is sent to the other by a link of the check.
struct Pair {
    dir: TempDir,
    links: [SocketAddr; 2],
    servers: Vec<Server>,
}

impl Pair {
    /// The ports of the links are taken until the check needs them, so that nobody else does.
    fn start() -> (Self, [TcpListener; 2]) {
        let dir = tempfile::tempdir().unwrap();
        let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let links = [0, 1].map(|n: usize| taken[n].local_addr().unwrap());
        let mut authority = posthouse(&["certificate", "authority", "--dir"]);
        authority.arg(dir.path());
        run(authority).done();
        let [north, south] = DOMAINS;
        let servers = vec![
            serve(dir.path(), north, (south, links[1])),
            serve(dir.path(), south, (north, links[0])),
        ];
        (Self { dir, links, servers }, taken)
    }

    /// Where the regions listen for each other.
    fn federation(&self) -> [SocketAddr; 2] {
        [0, 1].map(|n: usize| self.servers[n].address("federation"))
    }

    /// The check, with the listeners that its links lead to.
    fn check(&self, targets: [SocketAddr; 2], flags: &[&str]) -> Ended {
        let mut command = posthouse(&["check", "--authority"]);
        command.arg(self.dir.path().join("ca.pem"));
        for n in 0..2 {
            let clients = self.servers[n].address("client");
            command.arg("--region").arg(format!("{}={clients}", DOMAINS[n]));
            command.arg("--link").arg(format!("{}={}", self.links[n], targets[n]));
        }
        command.args(flags);
        run_within(LONG, command)
    }
}

fn serve(place: &Path, domain: &str, (peer, link): (&str, SocketAddr)) -> Server {
    let dir = place.join(domain);
    let mut init = posthouse(&["init", "--registration", "open", "--domain", domain, "--dir"]);
    init.arg(&dir).arg("--authority").arg(place);
    run(init).done();
    let mut command = posthouse(&["serve", "--listen", "127.0.0.1:0", "--operator-listen"]);
    command.args(["127.0.0.1:0", "--set", "federation.listen=127.0.0.1:0"]);
    command.args(["--set", &format!("federation.overrides={peer}={link}"), "--config"]);
    command.arg(dir.join("posthouse.toml"));
    Server::start(command)
}

#[test]
fn two_regions_that_work_together_pass_again_and_again() {
    let (pair, taken) = Pair::start();
    drop(taken);
    for _ in 0..2 {
        let ended = pair.check(pair.federation(), &[]);
        let said = ended.done();
        for part in ["the link between the regions is cut", "ada sees: ✓✓ delivered, all of them"]
        {
            assert!(said.contains(part), "\"{part}\" is not in:\n{said}");
        }
        assert!(said.ends_with("passed: north.test and south.test work together\n"), "{said}");
    }
}

/// Each link leads to the wrong region, whose certificate is not for the name.
#[test]
fn regions_that_do_not_reach_each_other_fail() {
    let (pair, taken) = Pair::start();
    let [north, south] = pair.federation();
    drop(taken);
    let ended = pair.check([south, north], &["--patience", "3s"]);
    ended.failed(1, &["posthouse doctor"]);
    assert!(!ended.out.contains("passed"), "{}", ended.out);
}

#[test]
fn a_check_needs_two_regions_and_two_links() {
    let one = ["check", "--authority", "x", "--region", "n.test=127.0.0.1:1", "--link"];
    let mut command = posthouse(&one);
    command.arg("127.0.0.1:0=127.0.0.1:1");
    run(command).failed(2, &["There must be two --region."]);
    run(posthouse(&["check", "--region", "n.test"])).failed(2, &["DOMAIN=HOST:PORT"]);
}

#[test]
fn health_tells_whether_a_server_is_ready() {
    let region = Region::with(&["--certificate", "none"]);
    let server = region.serve(&[]);
    let ask = |address: SocketAddr| -> Ended {
        let mut command: Command = posthouse(&["health", "--config"]);
        command.arg(region.path("posthouse.toml"));
        command.args(["--operator-listen", &address.to_string()]);
        run(command)
    };
    assert_eq!(ask(server.address("operator")).done(), "eu.example is ready\n");
    // Port 1 belongs to a service that nobody has run for decades.
    ask("127.0.0.1:1".parse().unwrap()).failed(5, &["No server answers", "operator.listen"]);
    let mut off = region.command(&["health"]);
    off.args(["--set", "operator.listen=off"]);
    run(off).failed(2, &["operator.listen is \"off\""]);
}
