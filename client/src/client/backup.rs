//! Backups: what a device knows, in one file under a passphrase (docs/spec/history.md §3).
//!
//! The file holds the account's identity key, what is believed of people's keys, the keys of
//! groups' titles, and the conversations. It holds no session, no prekey and no token: a restored
//! device is a new one, which signs itself into the account's device list.

use std::path::Path;

use posthouse_crypto::e2ee::{
    backup::{
        BackupError, BackupHead, BackupReader, BackupWriter, Cost, HEADER_LEN, MAX_PART_LEN,
        items_from_bytes, items_to_bytes,
    },
    content::history::HistoryItem,
    primitives::curve::PrivateKey,
    time::UnixMillis,
};
use posthouse_protocol::rest::Secret;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter},
};
use zeroize::Zeroizing;

use super::Client;
use crate::{
    ClientError,
    machine::{Position, page},
    records::own,
    store::{Table, Tx},
};

impl Client {
    /// Writes a backup to the file at `path`, in the place of one that is there: it is whole or not
    /// there at all. What is written to the store meanwhile may be in it or not. How many messages
    /// are in it.
    ///
    /// Whoever has the file and the passphrase *is* the account: the identity key is in it. A
    /// passphrase of six random words holds; one that a person made up may be guessed, which costs
    /// 64 MiB and three passes of Argon2id a guess.
    ///
    /// # Errors
    /// [`ClientError::File`], [`ClientError::Store`].
    pub async fn back_up(
        &self,
        path: impl AsRef<Path>,
        passphrase: &str,
    ) -> Result<u64, ClientError> {
        let path = path.as_ref();
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".part");
        let written = Box::pin(self.write_backup(Path::new(&unfinished), passphrase)).await;
        match written {
            Ok(messages) => {
                tokio::fs::rename(&unfinished, path).await?;
                Ok(messages)
            }
            Err(err) => {
                // It may not even have been made.
                let _ = tokio::fs::remove_file(&unfinished).await;
                Err(err)
            }
        }
    }

    async fn write_backup(&self, path: &Path, passphrase: &str) -> Result<u64, ClientError> {
        let store = &*self.access.store;
        let identity = store.get(Table::Own, own::IDENTITY).await?.ok_or(ClientError::NoDevice)?;
        let identity = identity.as_slice().try_into().map_err(|_| ClientError::NoDevice)?;
        let head = BackupHead {
            account: self.account.id.to_string(),
            identity: PrivateKey::from_bytes(identity),
            made_at: UnixMillis(self.home.clock.now().0),
        };
        let mut file = BufWriter::new(make(path).await?);
        let (mut rng, passphrase) = (self.home.fork(), Secret(passphrase.to_owned()));
        let begun = tokio::task::spawn_blocking(move || {
            let mut out = Vec::new();
            let writer = BackupWriter::new(&passphrase.0, Cost::default(), &mut rng, &mut out);
            writer.map(|writer| (writer, out))
        });
        let (mut writer, mut out) = begun.await.map_err(|_| ClientError::Stopped)??;
        writer.push(&head.to_bytes(), &mut out)?;
        let (mut at, mut messages) = (Some(Position::default()), 0);
        while let Some(position) = at {
            let tx = Tx::new(store);
            let (items, next) = page(&tx, &self.account.id, position, MAX_PART_LEN - 16).await?;
            messages += count(&items);
            writer.push(&items_to_bytes(&items), &mut out)?;
            file.write_all(&out).await?;
            out.clear();
            at = next;
        }
        writer.finish(&items_to_bytes(&[]), &mut out)?;
        file.write_all(&out).await?;
        file.flush().await?;
        file.get_ref().sync_all().await?;
        Ok(messages)
    }
}

fn count(items: &[HistoryItem]) -> u64 {
    items.iter().filter(|item| matches!(item, HistoryItem::Message(_))).count() as u64
}

/// A new file that nobody else can read.
async fn make(path: &Path) -> std::io::Result<File> {
    let mut options = tokio::fs::OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(path).await
}

/// A backup file, open behind its head.
pub(super) struct Open {
    file: BufReader<File>,
    reader: BackupReader,
    pub(super) head: BackupHead,
}

impl Open {
    pub(super) async fn at(path: &Path, passphrase: &str) -> Result<Self, ClientError> {
        let mut file = BufReader::new(File::open(path).await?);
        let mut header = [0; HEADER_LEN];
        file.read_exact(&mut header).await.map_err(|err| cut_off(err, BackupError::NotABackup))?;
        let passphrase = Secret(passphrase.to_owned());
        let opened =
            tokio::task::spawn_blocking(move || BackupReader::open(&header, &passphrase.0));
        let mut reader = opened.await.map_err(|_| ClientError::Stopped)??;
        let (part, _) = next(&mut file, &mut reader).await?;
        let head = BackupHead::from_bytes(&part)?;
        Ok(Self { file, reader, head })
    }

    /// The next items, and whether they are the last: there the file must end.
    pub(super) async fn items(&mut self) -> Result<(Vec<HistoryItem>, bool), ClientError> {
        let (part, last) = next(&mut self.file, &mut self.reader).await?;
        if last && self.file.read(&mut [0]).await? != 0 {
            return Err(BackupError::Damaged.into());
        }
        Ok((items_from_bytes(&part)?, last))
    }
}

async fn next(
    file: &mut BufReader<File>,
    reader: &mut BackupReader,
) -> Result<(Zeroizing<Vec<u8>>, bool), ClientError> {
    let mut head = [0; 4];
    file.read_exact(&mut head).await.map_err(|err| cut_off(err, BackupError::Damaged))?;
    let head = BackupReader::head(head)?;
    let mut sealed = vec![0; head.len];
    file.read_exact(&mut sealed).await.map_err(|err| cut_off(err, BackupError::Damaged))?;
    Ok((reader.part(head, sealed)?, head.last))
}

/// A file that ends too early is damaged; other failures are the system's.
fn cut_off(err: std::io::Error, backup: BackupError) -> ClientError {
    match err.kind() {
        std::io::ErrorKind::UnexpectedEof => backup.into(),
        _ => err.into(),
    }
}
