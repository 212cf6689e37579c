//! Who holds this process's leases, and what becomes of those of a process that was killed.
//!
//! A lease holds 30 s, for which nothing would go to other regions after a crash. A process that is
//! killed lets go of the files that it had locked, though, so its successor beside the same keys
//! finds its name in the file and gives its leases back at once. Should the name be wrong (the
//! folder was copied, say), a process that lives loses its leases and takes them again: whoever
//! writes under a lease that has passed on is refused.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use posthouse_storage::leases::Leases;
use posthouse_storage_sql::SqlStore;
use uuid::Uuid;

use crate::{
    config::{Config, Database},
    database::{explain, lockable},
    failure::Failure,
    random::Random,
};

/// Most processes beside the same keys that are told apart; more wait for leases of their dead.
const MAX_BESIDE: usize = 8;

/// The name of this process in leases. While it lives, no other takes it for dead.
pub(super) struct Tenure {
    /// The name.
    pub(super) holder: Uuid,
    _lock: Option<File>,
}

impl Tenure {
    /// Takes a new name, and gives back the leases of a predecessor that is dead.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn begin(
        config: &Config,
        store: &SqlStore,
        random: &Random,
    ) -> Result<Self, Failure> {
        if matches!(config.database, Database::Sqlite(_)) {
            // Its lock lets one process at a time in, so the next is the same holder.
            return Ok(Self { holder: Uuid::from_u128(1), _lock: None });
        }
        let holder = random.uuid();
        let Some(mut lock) = places(&config.signing_key).find_map(|path| locked(&path)) else {
            return Ok(Self { holder, _lock: None });
        };
        if let Some(dead) = read(&mut lock) {
            let released = store.release_all(dead).await;
            released.map_err(|err| explain(&config.database, &err))?;
        }
        if let Err(error) = write(&mut lock, holder) {
            tracing::warn!(%error, "after a crash, leases will be waited for");
        }
        Ok(Self { holder, _lock: Some(lock) })
    }
}

/// The files beside the signing key that may be locked.
fn places(signing_key: &Path) -> impl Iterator<Item = PathBuf> {
    (0..MAX_BESIDE).map(|number| signing_key.with_extension(format!("{number}.lock")))
}

/// The file, locked; `None` if another process has it, or if the folder is not for writing.
fn locked(path: &Path) -> Option<File> {
    let file = lockable(path).inspect_err(|error| {
        tracing::debug!(path = %path.display(), %error, "no lock for leases");
    });
    file.ok().filter(|file| file.try_lock().is_ok())
}

fn read(file: &mut File) -> Option<Uuid> {
    let mut text = String::new();
    file.take(64).read_to_string(&mut text).ok()?;
    Uuid::parse_str(text.trim()).ok()
}

fn write(file: &mut File, holder: Uuid) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{holder}\n").as_bytes())?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_by_the_next_and_only_once_the_file_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("signing.key");
        let first = |key: &Path| places(key).find_map(|path| locked(&path)).unwrap();
        let mut one = first(&key);
        assert_eq!(read(&mut one), None, "nobody came before");
        write(&mut one, Uuid::from_u128(1)).unwrap();
        let mut two = first(&key);
        assert_eq!(read(&mut two), None, "the first one lives, this is another file");
        write(&mut two, Uuid::from_u128(2)).unwrap();
        drop(one);
        let mut next = first(&key);
        assert_eq!(read(&mut next), Some(Uuid::from_u128(1)));
        write(&mut next, Uuid::from_u128(3)).unwrap();
        drop(next);
        assert_eq!(read(&mut first(&key)), Some(Uuid::from_u128(3)));
    }

    #[test]
    fn without_a_folder_to_write_there_is_no_lock() {
        let key = Path::new("/nonexistent/keys/signing.key");
        assert!(places(key).find_map(|path| locked(&path)).is_none());
    }
}
