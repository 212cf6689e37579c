//! What the demo's visitors need to go on as its people: profiles of `posthouse-chat`
//! (docs/chat.md), and the commands that open them.

use core::fmt::Write as _;
use std::{
    env, fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{PASSWORD, failed, process::Server};
use crate::{
    exchange::{NAMES, Person},
    failure::Failure,
};

/// The client's binary, and the package that it is made of.
const CLIENT: [&str; 2] = ["posthouse-chat", "posthouse-client-terminal"];
/// Where the password of everyone in the demo is, for programs.
const PASSWORD_FILE: &str = "password";

/// The profiles of the demo's people, one directory for each.
pub(super) struct People {
    dir: PathBuf,
}

impl People {
    /// Profiles below `place`.
    pub(super) fn new(place: &Path) -> Self {
        Self { dir: place.join("people") }
    }

    /// Where somebody's device keeps what it has. Only the owner can enter the directory.
    pub(super) fn device(&self, name: &str) -> Result<PathBuf, Failure> {
        let profile = self.dir.join(name);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&profile);
        made.map_err(|err| failed(format!("A profile cannot be made: {err}.")))?;
        Ok(profile.join("device.db"))
    }

    /// Ends the demo's own programs, and leaves the devices to those that visitors start.
    pub(super) async fn keep(
        &self,
        servers: [&Server; 2],
        devices: [Person; 2],
    ) -> Result<(), Failure> {
        let [ada, ben] = &devices;
        let names = [(ada, NAMES[0], servers[0]), (ben, NAMES[1], servers[1])];
        for (_, name, server) in names {
            let authority = fs::read_to_string(server.authority());
            let authority = authority
                .map_err(|err| failed(format!("The demo's authority cannot be read: {err}.")))?;
            let reached = json!({ "server": url(server), "ca": authority, "at": server.address() });
            self.write(name, "server.json", &reached.to_string())?;
            // Both know each other by name: regions tell nobody the handles of other regions.
            let called = names.map(|(person, called, of)| {
                let called = if of.domain() == server.domain() {
                    called.to_owned()
                } else {
                    format!("{called}@{}", of.domain())
                };
                (person.account().to_string(), json!(called))
            });
            let called: serde_json::Map<_, _> = called.into_iter().collect();
            self.write(name, "names.json", &serde_json::Value::from(called).to_string())?;
        }
        let password = fs::write(self.dir.join(PASSWORD_FILE), format!("{PASSWORD}\n"));
        password.map_err(|err| failed(format!("A password cannot be kept: {err}.")))?;
        for person in devices {
            person.leave().await;
        }
        Ok(())
    }

    /// The commands with which a visitor goes on.
    pub(super) fn attach(&self, servers: [&Server; 2]) -> String {
        let [ada, ben] = NAMES;
        let [north, south] = servers;
        let chat = format!("{} --data-dir {}", client(), quoted(&self.dir));
        let mut text = format!(
            "\nBoth regions serve until Ctrl-C. Go on as {ada} and as {ben}, in a terminal each \
             (F1 has the keys):\n  \
             {chat} --profile {ada}\n  \
             {chat} --profile {ben}\n\
             Somebody new:\n  \
             {chat} --profile eve register eve --server {} --at {} --ca {} --password-file {}\n",
            url(north),
            north.address(),
            quoted(&north.authority()),
            quoted(&self.dir.join(PASSWORD_FILE)),
        );
        _ = writeln!(
            text,
            "Any client of yours: {ada}@{} and {ben}@{} have the password \"{PASSWORD}\"\n  \
             curl --cacert {} --connect-to {}:{}:{} {}/v1/capabilities",
            north.domain(),
            south.domain(),
            quoted(&north.authority()),
            north.domain(),
            north.address().port(),
            north.address(),
            url(north),
        );
        text
    }

    fn write(&self, name: &str, file: &str, text: &str) -> Result<(), Failure> {
        let path = self.dir.join(name).join(file);
        fs::write(path, text).map_err(|err| failed(format!("A profile cannot be made: {err}.")))
    }
}

fn url(server: &Server) -> String {
    format!("https://{}:{}", server.domain(), server.address().port())
}

/// How the terminal client is run here: the binary beside this one; else one that cargo makes of the
/// workspace that this is run in.
fn client() -> String {
    let [binary, package] = CLIENT;
    let beside = env::current_exe().ok().map(|own| own.with_file_name(binary));
    if let Some(path) = beside.filter(|path| path.exists()) {
        return quoted(&path);
    }
    let here = env::current_dir().ok();
    match here.filter(|dir| dir.join("client/terminal/Cargo.toml").exists()) {
        Some(dir) => {
            let manifest = quoted(&dir.join("Cargo.toml"));
            format!("cargo run --release --manifest-path {manifest} -p {package} --")
        }
        None => binary.to_owned(),
    }
}

/// A path as a word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_words_of_a_shell() {
        assert_eq!(quoted(Path::new("/tmp/posthouse-demo-a1")), "/tmp/posthouse-demo-a1");
        assert_eq!(quoted(Path::new("/tmp/it's here")), r"'/tmp/it'\''s here'");
    }
}
