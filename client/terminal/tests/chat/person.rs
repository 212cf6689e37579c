//! A profile, and the program run with it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A person at a terminal, with a directory of profiles of their own.
pub(crate) struct Person {
    pub(crate) dir: TempDir,
    server: String,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Person {
    pub(crate) fn new(at: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        Self { dir, server: format!("http://{at}") }
    }

    /// A person with an account and a device.
    pub(crate) fn registered(at: SocketAddr, name: &str) -> Self {
        let person = Self::new(at);
        let registered = person.set_up("register", &[name]).done();
        assert_eq!(registered["handle"], format!("{name}@eu.example"));
        person
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// `register` or `login`, with the password of the file.
    pub(crate) fn set_up(&self, command: &str, words: &[&str]) -> Ended {
        let file = self.path("password");
        let mut all = vec![command, "--server", &self.server];
        all.extend(["--password-file", file.to_str().unwrap()]);
        all.extend(words);
        self.run(&all)
    }

    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Runs a command with `--json` to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        end(self.command(words, true).spawn().unwrap())
    }

    /// Runs a command as a person sees it.
    pub(crate) fn run_plain(&self, words: &[&str]) -> Ended {
        end(self.command(words, false).spawn().unwrap())
    }

    /// Starts a command that goes on.
    pub(crate) fn start(&self, words: &[&str]) -> Running {
        Running::new(self.command(words, true).spawn().unwrap())
    }

    /// Runs a command that reads `input`.
    pub(crate) fn run_with(&self, words: &[&str], input: &str) -> Ended {
        let mut child = self.command(words, true).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        end(child)
    }

    pub(crate) fn command(&self, words: &[&str], json: bool) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_posthouse-chat"));
        command.env_clear().env("XDG_DATA_HOME", self.dir.path()).env("TZ", "UTC");
        command.args(words).args(json.then_some("--json"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Waits for the end of a command, and makes one that does not end.
fn end(mut child: Child) -> Ended {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    Ended {
        code: status.code(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

impl Ended {
    /// It succeeded, and printed these objects.
    #[track_caller]
    pub(crate) fn all(&self) -> Vec<Value> {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// It succeeded, and printed one object.
    #[track_caller]
    pub(crate) fn done(&self) -> Value {
        let all = self.all();
        assert_eq!(all.len(), 1, "{self:?}");
        all[0].clone()
    }

    /// It failed with this code, and says all of this.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "\"{part}\" is not in {self:?}");
        }
    }
}

/// A command that goes on; killed when dropped.
pub(crate) struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl Running {
    fn new(mut child: Child) -> Self {
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    /// The next object of this event.
    #[track_caller]
    pub(crate) fn next(&mut self, event: &str) -> Value {
        loop {
            let mut line = String::new();
            if self.out.read_line(&mut line).unwrap() == 0 {
                let mut err = String::new();
                self.err.read_to_string(&mut err).unwrap();
                panic!("it ended before \"{event}\": {err}");
            }
            let object: Value = serde_json::from_str(&line).unwrap();
            if object["event"] == event {
                return object;
            }
        }
    }

    /// The next object on standard error.
    #[track_caller]
    pub(crate) fn complains(&mut self) -> Value {
        let mut line = String::new();
        assert_ne!(self.err.read_line(&mut line).unwrap(), 0, "it ended without a word");
        serde_json::from_str(&line).unwrap()
    }

    /// It ends by itself, well.
    #[track_caller]
    pub(crate) fn ends(mut self) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it does not end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
