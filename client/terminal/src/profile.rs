//! A profile: a directory with a device's store, where its homeserver is, and names of people.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use posthouse_client::{Connector, Endpoint, Home, SqliteStore, Trust};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    args::{Args, Server},
    ended::Ended,
    failure::{Exit, Failure},
    names::Names,
};

/// What has happened to a device that is none any more.
const ENDED: &str = "ended.json";

/// Where a profile's files are.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    dir: PathBuf,
}

/// How the homeserver is reached: `server.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Reached {
    /// Its address.
    server: String,
    /// The certificates to believe (PEM), in the place of the system's.
    ca: Option<String>,
    /// Where to connect to, in the place of what DNS says.
    #[serde(default)]
    at: Option<SocketAddr>,
}

/// A homeserver that the command line names.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) home: Home,
    reached: Reached,
}

impl Chosen {
    /// What the command line leaves out is as the profile remembers it. The certificates that it shall
    /// be believed by are read; nothing is connected to.
    pub(crate) fn new(server: &Server, profile: &Profile) -> Result<Self, Failure> {
        let known = if server.forget { None } else { profile.reached()? };
        let named = server.url.clone().or_else(|| known.as_ref().map(|known| known.server.clone()));
        let url = named.ok_or_else(no_server)?;
        let endpoint = Endpoint::parse(&url)?;
        // Another server is believed by what is said of it, not by what was said of the one before.
        let is_same =
            |known: &Reached| Endpoint::parse(&known.server).is_ok_and(|it| it == endpoint);
        let known = known.filter(is_same);
        let ca = match &server.ca {
            Some(path) => {
                let text = fs::read_to_string(path);
                Some(text.map_err(|err| Failure::file(Exit::Usage, path, &err))?)
            }
            None => known.as_ref().and_then(|known| known.ca.clone()),
        };
        let at = server.at.or_else(|| known.and_then(|known| known.at));
        let reached = Reached { server: url, ca, at };
        Ok(Self { home: home(&reached)?, reached })
    }

    /// The profile remembers it: once it was of use.
    pub(crate) fn remember(&self, profile: &Profile) -> Result<(), Failure> {
        profile.write("server.json", &self.reached)
    }
}

impl Profile {
    /// The profile that the command line names. Nothing is made or opened.
    pub(crate) fn find(args: &Args) -> Result<Self, Failure> {
        let name = &args.profile;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            let advice = "A profile's name is made of letters, digits, `-`, `_` and `.`.";
            return Err(Failure::new(Exit::Usage, "That is no name of a profile.", advice));
        }
        let place = &args.place;
        // The XDG specification: a path that is not absolute is to be ignored.
        let xdg = place.xdg_data_home.as_ref().filter(|path| path.is_absolute());
        let base = match (&place.data_dir, xdg, &place.home) {
            (Some(dir), ..) => dir.clone(),
            (None, Some(data), _) => data.join("posthouse-chat"),
            (None, None, Some(home)) => home.join(".local/share/posthouse-chat"),
            (None, None, None) => {
                let advice = "Set HOME, or give a directory with --data-dir DIR.";
                return Err(Failure::new(Exit::Usage, "There is no home directory.", advice));
            }
        };
        Ok(Self { dir: base.join(name) })
    }

    /// The homeserver of a profile that is set up.
    pub(crate) fn home(&self) -> Result<Home, Failure> {
        match self.reached()? {
            Some(reached) => home(&reached),
            None => Err(posthouse_client::ClientError::NoDevice.into()),
        }
    }

    /// The homeserver that is remembered.
    fn reached(&self) -> Result<Option<Reached>, Failure> {
        read(&self.dir.join("server.json"))
    }

    /// Opens the store, which is made if it is not there. Only its owner can read it.
    pub(crate) async fn store(&self) -> Result<SqliteStore, Failure> {
        self.make_dir()?;
        Ok(SqliteStore::open(self.dir.join("device.db")).await?)
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether there is a store.
    pub(crate) fn has_store(&self) -> bool {
        self.dir.join("device.db").exists()
    }

    /// What people are called here.
    pub(crate) fn names(&self) -> Result<Names, Failure> {
        Ok(read(&self.dir.join("names.json"))?.unwrap_or_default())
    }

    /// Remembers what people are called.
    pub(crate) fn keep_names(&self, names: &Names) -> Result<(), Failure> {
        self.write("names.json", names)
    }

    /// What has happened to its device, if it is none any more.
    pub(crate) fn ended(&self) -> Result<Option<Ended>, Failure> {
        read(&self.dir.join(ENDED))
    }

    /// Remembers what has happened to its device.
    pub(crate) fn end(&self, how: Ended) -> Result<(), Failure> {
        self.write(ENDED, &how)
    }

    /// Its device has a session again.
    pub(crate) fn goes_on(&self) -> Result<(), Failure> {
        let path = self.dir.join(ENDED);
        match fs::remove_file(&path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => {
                Err(Failure::file(Exit::Store, &path, &err))
            }
            _ => Ok(()),
        }
    }

    fn make_dir(&self) -> Result<(), Failure> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.map_err(|err| Failure::file(Exit::Store, &self.dir, &err))
    }

    /// Writes a file that only its owner can read: whole, or not at all.
    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), Failure> {
        self.make_dir()?;
        let (path, beside) = (self.dir.join(name), self.dir.join(format!("{name}.new")));
        let written = (|| -> io::Result<()> {
            let text = serde_json::to_vec_pretty(value)?;
            let mut options = fs::OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        })();
        written.map_err(|err| Failure::file(Exit::Store, &path, &err))
    }
}

fn no_server() -> Failure {
    let advice = "Give it as --server https://chat.example; the profile remembers it from then on.";
    Failure::new(Exit::Usage, "No homeserver is named, and the profile knows none.", advice)
}

fn home(reached: &Reached) -> Result<Home, Failure> {
    let trust = match &reached.ca {
        Some(pem) => Trust::Pem(pem.as_bytes()),
        None => Trust::System,
    };
    let connector = Connector::new(Endpoint::parse(&reached.server)?, trust)?;
    let connector = reached.at.map_or_else(|| connector.clone(), |at| connector.at(at));
    Ok(Home::new(connector)?)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Failure> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(Failure::file(Exit::Store, path, &err)),
    };
    let read = serde_json::from_slice(&text);
    read.map(Some).map_err(|err| Failure::file(Exit::Store, path, &err.into()))
}
