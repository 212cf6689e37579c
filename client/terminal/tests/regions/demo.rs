//! The demo goes on serving: what it says then can be copied.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::region::posthouse;

pub(crate) fn the_demo_offers_commands_that_work() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = posthouse("demo");
    command.env("TMPDIR", dir.path()).current_dir(dir.path());
    let mut demo = Demo(command.stdout(Stdio::piped()).spawn().unwrap());
    let (mut said, mut offered) = (String::new(), Vec::new());
    for line in BufReader::new(demo.0.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if line.trim_start().starts_with("posthouse-chat ") {
            offered.push(line.trim().to_owned());
        }
        said.push_str(&line);
        said.push('\n');
        if line.trim_start().starts_with("curl ") {
            break;
        }
    }
    assert_eq!(offered.len(), 3, "{said}");
    for part in ["north.test saw", "none of their words", "safety number, the same for both"] {
        assert!(said.contains(part), "\"{part}\" is not in:\n{said}");
    }
    let [ada, ben, eve] = [&offered[0], &offered[1], &offered[2]];
    assert!(shell(&format!("{ada} whoami")).contains("You are ada@north.test"));
    // What was said in the demo is there, decrypted, and the people know each other by name.
    let history = shell(&format!("{ben} history ada@north.test --limit 1"));
    assert!(history.contains("ada@north.test: Then ride."), "{history}");
    shell(&format!("{ben} send ada@north.test 'Off we go'"));
    let heard = shell(&format!("{ada} listen --count 1 --timeout 60"));
    assert!(heard.contains("ben@south.test: Off we go"), "{heard}");
    assert!(shell(eve).contains("You are eve@north.test"));
    // Where the server is and by what it is believed was said once.
    let (chat, said_once) = eve.split_once(" register ").unwrap();
    let (_, password) = said_once.split_once(" --password-file ").unwrap();
    let again = shell(&format!("{chat} login eve --password-file {password}"));
    assert!(again.contains("You are eve@north.test"), "{again}");
    demo.hang_up();
    assert!(demo.0.wait().unwrap().success());
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 0, "the demo leaves nothing behind");
}

/// A running demo, which is ended whatever happens: it ends its servers.
struct Demo(Child);

impl Demo {
    /// As a terminal does that is closed.
    fn hang_up(&self) {
        let kill = format!("kill -HUP {}", self.0.id());
        _ = Command::new("/bin/sh").args(["-c", &kill]).status();
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.hang_up();
            _ = self.0.wait();
        }
    }
}

/// Runs what a person would paste.
fn shell(line: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_posthouse-chat"));
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).env_clear().env("PATH", binary.parent().unwrap()).env("TZ", "UTC");
    command.env("HOME", "/nonexistent").stdin(Stdio::null());
    let output = command.output().unwrap();
    let (out, err) = (&output.stdout, &output.stderr);
    let text = String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err);
    assert!(output.status.success(), "{line}: {text}");
    text
}
