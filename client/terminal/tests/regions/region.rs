//! Regions as processes, and the links between them.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;

const DOMAINS: [&str; 2] = ["north.test", "south.test"];

/// Two regions of one authority, each of which reaches the other through a link.
pub(crate) struct Pair {
    dir: TempDir,
    links: [Link; 2],
    servers: Vec<Server>,
}

struct Server {
    child: Child,
    client: SocketAddr,
    federation: SocketAddr,
}

impl Pair {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        run(posthouse("certificate").args(["authority", "--dir"]).arg(dir.path()));
        for domain in DOMAINS {
            let mut init = posthouse("init");
            init.args(["--registration", "open", "--domain", domain, "--authority"]);
            run(init.arg(dir.path()).arg("--dir").arg(dir.path().join(domain)));
        }
        let links = [Link::open(), Link::open()];
        let mut pair = Self { dir, links, servers: Vec::new() };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        for which in 0..2 {
            let server = pair.serve(which, any, any);
            pair.links[which].lead_to(server.federation);
            pair.servers.push(server);
        }
        pair
    }

    /// Where a region serves clients: 0 is north, 1 is south.
    pub(crate) fn client(&self, which: usize) -> SocketAddr {
        self.servers[which].client
    }

    /// kill -9, and the server again where it was.
    pub(crate) fn restart(&mut self, which: usize) {
        let Server { child, client, federation } = &mut self.servers[which];
        child.kill().unwrap();
        child.wait().unwrap();
        let (client, federation) = (*client, *federation);
        self.servers[which] = self.serve(which, client, federation);
    }

    /// Nothing goes between the regions until it is healed.
    pub(crate) fn cut(&self) {
        self.links.iter().for_each(|link| link.set(false));
    }

    pub(crate) fn heal(&self) {
        self.links.iter().for_each(|link| link.set(true));
    }

    fn serve(&self, which: usize, client: SocketAddr, federation: SocketAddr) -> Server {
        let dir = self.dir.path().join(DOMAINS[which]);
        let (peer, link) = (DOMAINS[1 - which], self.links[1 - which].address);
        let mut command = posthouse("serve");
        command.args(["--listen", &client.to_string(), "--operator-listen", "off"]);
        for setting in [
            "client.tls=false".to_owned(),
            "client.rate_limits=false".to_owned(),
            "federation.private_addresses=true".to_owned(),
            format!("federation.listen={federation}"),
            format!("federation.overrides={peer}={link}"),
        ] {
            command.args(["--set", &setting]);
        }
        command.arg("--config").arg(dir.join("posthouse.toml"));
        let log = log(&dir);
        let child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut server = Server { child, client, federation };
        let out = BufReader::new(server.child.stdout.take().unwrap());
        for line in out.lines().map_while(Result::ok) {
            if let Some(url) = line.strip_prefix("listening client http://") {
                server.client = url.parse().unwrap();
            }
            if let Some(address) = line.strip_prefix("listening federation ") {
                server.federation = address.parse().unwrap();
            }
            if line.starts_with("ready ") {
                return server;
            }
        }
        panic!("{} did not start: {}", DOMAINS[which], read(&dir));
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for domain in DOMAINS {
                println!("{domain}:\n{}", read(&self.dir.path().join(domain)));
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A relay in front of a region.
struct Link {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    cut: bool,
    target: Option<SocketAddr>,
    open: Vec<TcpStream>,
}

impl Link {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // What cannot be relayed is closed, as it would be by the region.
                _ = relay(stream, &shared);
            }
        });
        Self { address, state }
    }

    fn lead_to(&self, target: SocketAddr) {
        self.state.lock().unwrap().target = Some(target);
    }

    fn set(&self, up: bool) {
        let mut state = self.state.lock().unwrap();
        state.cut = !up;
        for stream in state.open.drain(..) {
            _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn relay(from: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut state = state.lock().unwrap();
    let (false, Some(target)) = (state.cut, state.target) else { return Ok(()) };
    let to = TcpStream::connect(target)?;
    state.open.extend([from.try_clone()?, to.try_clone()?]);
    for (mut from, mut to) in [(from.try_clone()?, to.try_clone()?), (to, from)] {
        std::thread::spawn(move || {
            _ = io::copy(&mut from, &mut to);
            _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}

/// A command of the homeserver, which this program is, too.
pub(crate) fn posthouse(command: &str) -> Command {
    let mut posthouse = Command::new(std::env::current_exe().unwrap());
    posthouse.arg(command).env_clear().stdin(Stdio::null());
    posthouse
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn log(dir: &Path) -> File {
    File::options().create(true).append(true).open(log_file(dir)).unwrap()
}

fn read(dir: &Path) -> String {
    std::fs::read_to_string(log_file(dir)).unwrap_or_default()
}

fn log_file(dir: &Path) -> PathBuf {
    dir.join("serve.log")
}
