//! Regions in temporary directories, and servers as child processes.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The domain of the tests' regions.
pub(crate) const DOMAIN: &str = "eu.example";

/// The binary, in a clean environment.
pub(crate) fn posthouse(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_posthouse"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// The command failed with this code, and its message holds all of `parts`.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        for part in parts {
            assert!(self.err.contains(part), "\"{part}\" is not in:\n{}", self.err);
        }
    }

    /// The command succeeded; its output.
    #[track_caller]
    pub(crate) fn done(&self) -> &str {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        &self.out
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs a command to its end. A server that should have failed at its start is stopped, and shows
/// itself by its exit code.
pub(crate) fn run(command: Command) -> Ended {
    run_within(PATIENCE, command)
}

/// The same for a command that may take longer.
pub(crate) fn run_within(patience: Duration, mut command: Command) -> Ended {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + patience;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap().into()
}

/// A region on disk.
pub(crate) struct Region {
    pub(crate) dir: TempDir,
}

impl Region {
    /// One that `init` made.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// One that `init` made with more flags.
    pub(crate) fn with(flags: &[&str]) -> Self {
        let region = Self { dir: tempfile::tempdir().unwrap() };
        run(region.init(flags)).done();
        region
    }

    pub(crate) fn init(&self, flags: &[&str]) -> Command {
        let mut command = posthouse(&["init", "--domain", DOMAIN, "--dir"]);
        command.arg(self.dir.path()).args(flags);
        command
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// A path as a message shows it.
    pub(crate) fn shown(&self, relative: &str) -> String {
        self.path(relative).display().to_string()
    }

    /// A command with this region's configuration and ports that the system chooses.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = posthouse(arguments);
        command.arg("--config").arg(self.path("posthouse.toml"));
        command.args(["--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0"]);
        command.args(["--set", "federation.listen=off"]);
        command
    }

    /// Runs `serve`, which is expected to fail.
    pub(crate) fn serve_fails(&self, flags: &[&str]) -> Ended {
        let mut command = self.command(&["serve"]);
        command.args(flags);
        run(command)
    }

    pub(crate) fn serve(&self, flags: &[&str]) -> Server {
        let mut command = self.command(&["serve"]);
        command.args(flags);
        Server::start(command)
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// The lines up to "ready".
    pub(crate) lines: Vec<String>,
    log: Arc<Mutex<String>>,
    _out: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (mut err, sink) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reader = thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = err.read(&mut chunk) {
                sink.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..length]));
            }
        });
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let length = out.read_line(&mut line).unwrap();
            if length == 0 {
                reader.join().unwrap();
                panic!("the server ended before it was ready:\n{}", log.lock().unwrap());
            }
            let ready = line.starts_with("ready ");
            lines.push(line.trim_end().to_owned());
            if ready {
                break;
            }
        }
        Self { child, lines, log, _out: out }
    }

    /// The address behind "listening NAME", with or without "http(s)://".
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        let start = format!("listening {name} ");
        let line = self.lines.iter().find_map(|line| line.strip_prefix(&start)).unwrap();
        line.rsplit("://").next().unwrap().parse().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log holds `text`.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        eventually(&format!("\"{text}\" in the log"), || self.log().contains(text));
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for the end; the exit code.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the server does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// `GET path` on the operator's listener: the status and the body.
    pub(crate) fn operator(&self, path: &str) -> (u16, String) {
        get(self.address("operator"), path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// `GET path` in the clear: the status and the body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    parse(&answer)
}

/// The status and the body of an answer.
pub(crate) fn parse(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// Waits until `holds`.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "gave up waiting for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
