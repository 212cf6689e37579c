//! What a region's server has of what people say: read from its own store and its files, as its
//! operator could.

use core::fmt::Write as _;
use std::{fs, io, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use posthouse_protocol::{
    content::{Content, Payload},
    id::{AccountId, MessageId},
    time::Timestamp,
};
use posthouse_storage::{bodies::Bodies as _, ledger::Ledger as _};
use posthouse_storage_sql::SqlStore;

use super::Fault;

/// Bytes of a ciphertext that are shown.
const SHOWN: usize = 6;

/// A server, looked into: its store, and the directory of all its files.
pub(crate) struct Inside {
    store: SqlStore,
    dir: PathBuf,
}

/// Everything that a server has of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    from: AccountId,
    to: String,
    at: Timestamp,
    /// The ciphertexts, one for each device.
    ciphertexts: Vec<Vec<u8>>,
}

/// What a search through files has gone through.
#[derive(Debug, Default)]
pub(super) struct Searched {
    pub(super) files: usize,
    pub(super) bytes: u64,
}

impl Inside {
    /// A region with its files in `dir`, and its open store.
    pub(crate) fn new(store: SqlStore, dir: PathBuf) -> Self {
        Self { store, dir }
    }

    /// What the server has of a message.
    pub(super) async fn seen(&self, id: MessageId) -> Result<Seen, Fault> {
        let unreadable = |err| Fault(format!("The region's store cannot be read: {err}."));
        let found = self.store.messages(&[id]).await.map_err(unreadable)?;
        let message = found.into_iter().next().ok_or_else(|| missing(id))?;
        let bodies = self.store.get(&[message.body]).await.map_err(unreadable)?;
        let body = bodies.into_iter().next().flatten().ok_or_else(|| missing(id))?;
        let content = Content::from_stored(&body).ok_or_else(|| missing(id))?;
        let Payload::Ciphertexts(all) = content.payload else {
            return Err(Fault(format!("The message {id} is not encrypted.")));
        };
        let decoded = all.iter().map(|one| STANDARD.decode(&one.data)).collect::<Result<_, _>>();
        let ciphertexts = decoded.map_err(|_| Fault(format!("{id} has a broken ciphertext.")))?;
        Ok(Seen { from: message.sender, to: message.to, at: message.accepted_at, ciphertexts })
    }

    /// Looks for texts in every file of the region.
    ///
    /// # Errors
    /// A [`Fault`] that names the file which has one.
    pub(super) fn search(&self, texts: &[&str]) -> Result<Searched, Fault> {
        let mut searched = Searched::default();
        let mut dirs = vec![self.dir.clone()];
        while let Some(dir) = dirs.pop() {
            let unreadable = |err: io::Error| {
                Fault(format!("The region's files in {} cannot be read: {err}.", dir.display()))
            };
            for entry in fs::read_dir(&dir).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let path = entry.path();
                if entry.file_type().map_err(unreadable)?.is_dir() {
                    dirs.push(path);
                    continue;
                }
                let bytes = fs::read(&path).map_err(unreadable)?;
                if let Some(text) = texts.iter().find(|text| has(&bytes, text.as_bytes())) {
                    return Err(Fault(format!("\"{text}\" stands in {}.", path.display())));
                }
                searched.files += 1;
                searched.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            }
        }
        Ok(searched)
    }
}

impl Seen {
    /// On one line.
    pub(super) fn line(&self) -> String {
        let size: usize = self.ciphertexts.iter().map(Vec::len).sum();
        let mut text = format!(
            "{}  {} → {}  {size} bytes ",
            time_of_day(self.at),
            short(&self.from.to_string()),
            short(&self.to),
        );
        for byte in self.ciphertexts.iter().flatten().take(SHOWN) {
            _ = write!(text, " {byte:02x}");
        }
        text.push_str(" …");
        text
    }
}

/// An account by its end, which is random.
fn short(account: &str) -> String {
    match account.rsplit_once('-') {
        Some((_, end)) => {
            let (id, region) = end.split_once('@').unwrap_or((end, ""));
            format!("…{}@{region}", id.get(id.len().saturating_sub(4)..).unwrap_or(id))
        }
        None => account.to_owned(),
    }
}

/// Hours, minutes and seconds, UTC.
fn time_of_day(at: Timestamp) -> String {
    let seconds = at.0 / 1000;
    format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    let Some((first, _)) = wanted.split_first() else { return true };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        let (_, from) = rest.split_at(at);
        if from.starts_with(wanted) {
            return true;
        }
        rest = from.get(1..).unwrap_or_default();
    }
    false
}

fn missing(id: MessageId) -> Fault {
    Fault(format!("The region's store does not have the message {id}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_it_stands() {
        for (bytes, found) in
            [("xxhorse", true), ("horsex", true), ("hhorse", true), ("hors", false), ("", false)]
        {
            assert_eq!(has(bytes.as_bytes(), b"horse"), found, "{bytes}");
        }
    }

    #[tokio::test]
    async fn a_file_that_has_a_text_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("a.db");
        let store = SqlStore::open(database.to_str().unwrap(), uuid::Uuid::nil()).await.unwrap();
        let inside = Inside::new(store, dir.path().to_owned());
        fs::create_dir(dir.path().join("logs")).unwrap();
        fs::write(dir.path().join("logs/new"), "it said: Two, and they are fresh.").unwrap();
        assert!(inside.search(&["Then ride."]).unwrap().files >= 2);
        let Fault(why) = inside.search(&["Then ride.", "they are fresh"]).unwrap_err();
        assert!(why.contains("logs/new"), "{why}");
        let Fault(why) = inside.seen(MessageId(uuid::Uuid::nil())).await.unwrap_err();
        assert!(why.contains("does not have"), "{why}");
    }

    #[test]
    fn what_a_server_has_fits_on_a_line() {
        let account = |end: u8| format!("01890a5d-ac96-774b-bcce-b302099a80{end}@eu.example");
        let seen = Seen {
            from: AccountId::parse(&account(57)).unwrap(),
            to: account(58),
            at: Timestamp(1_796_000_000_000),
            ciphertexts: vec![vec![0x44, 0x0a], vec![0xff; 20]],
        };
        assert_eq!(
            seen.line(),
            "00:53:20  …8057@eu.example → …8058@eu.example  22 bytes  44 0a ff ff ff ff …"
        );
    }
}
