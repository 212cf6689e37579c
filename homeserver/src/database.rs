//! Opens the region's database, for `init` and `serve`: creates nothing unasked, keeps a second
//! server off a SQLite file, and explains what fails.

use core::error::Error;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use posthouse_protocol::id::ServerName;
use posthouse_storage::{error::StoreError, ownership::Ownership as _};
use posthouse_storage_sql::SqlStore;
use uuid::Uuid;

use crate::{
    config::Database,
    failure::{Exit, Failure},
};

/// An open database. While it lives, no other server opens the same SQLite file.
pub struct OpenDatabase {
    /// The store.
    pub store: SqlStore,
    _lock: Option<File>,
}

/// Opens the database of the region `domain`, which exists, and brings its schema up to date.
///
/// # Errors
/// A [`Failure`] with [`Exit::Database`]; a missing or empty SQLite file is one, since a new database
/// in its place would hide the loss, and so are files that may not be written, and the database of
/// another region.
pub async fn open(
    database: &Database,
    domain: &ServerName,
    node: Uuid,
) -> Result<OpenDatabase, Failure> {
    if let Database::Sqlite(path) = database {
        let exists = path.try_exists().map_err(|err| {
            let advice = "Run this as the user that the server runs as, or correct the setting \
                          database.url.";
            failure(format!("The database {} cannot be looked at: {err}.", path.display()), advice)
        })?;
        if !exists {
            return Err(failure(
                format!("The database {} is missing.", path.display()),
                "Restore it from a backup, or correct the setting database.url. A new region gets \
                 its database from `posthouse init`.",
            ));
        }
        check_files(path)?;
    }
    open_or_create(database, domain, node).await
}

/// Looks at the files of a SQLite database before SQLite does: it would make a new database of an empty
/// file, and its log with the mode of a file that may only be read, which outlives that mode.
fn check_files(path: &Path) -> Result<(), Failure> {
    if fs::metadata(path).is_ok_and(|found| found.len() == 0) {
        return Err(failure(
            format!("The database {} is empty: it has 0 bytes.", path.display()),
            "Restore it from a backup. A copy onto a full disk leaves such a file.",
        ));
    }
    for ending in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        let file = PathBuf::from(name);
        match OpenOptions::new().write(true).open(&file) {
            Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {
                return Err(failure(
                    format!(
                        "The file {} of the database cannot be written: {err}.",
                        file.display()
                    ),
                    "Give it to the user that runs posthouse, with mode 0600, and so the files beside it \
                     whose names end in -wal and -shm: they belong to the database.",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Opens the database as [`open`] does, unless it is a SQLite file that another process has open:
/// then `None`.
///
/// # Errors
/// As [`open`].
pub async fn open_if_free(
    database: &Database,
    domain: &ServerName,
    node: Uuid,
) -> Result<Option<OpenDatabase>, Failure> {
    if let Database::Sqlite(path) = database
        && path.exists()
        && is_locked(path)?
    {
        return Ok(None);
    }
    open(database, domain, node).await.map(Some)
}

/// Opens the database, and creates it if it is a SQLite file that does not exist. One that was
/// nobody's is `domain`'s from now on.
///
/// # Errors
/// As [`open`].
pub async fn open_or_create(
    database: &Database,
    domain: &ServerName,
    node: Uuid,
) -> Result<OpenDatabase, Failure> {
    let (lock, address) = match database {
        Database::Sqlite(path) => {
            let address = path.to_str().ok_or_else(|| {
                failure(
                    format!("The path {} of the database is not UTF-8.", path.display()),
                    "Choose another path.",
                )
            })?;
            (Some(lock(path)?), format!("sqlite://{address}"))
        }
        Database::Postgres(url) => (None, url.expose().to_owned()),
    };
    let opened = SqlStore::open(&address, node).await;
    let store = opened.map_err(|err| explain(database, &err))?;
    let whose = store.claim_for(domain).await.map_err(|err| explain(database, &err));
    match whose {
        Ok(whose) if whose == *domain => Ok(OpenDatabase { store, _lock: lock }),
        other => {
            store.close().await;
            Err(other.map_or_else(|failure| failure, |whose| foreign(database, domain, &whose)))
        }
    }
}

/// Ids, tokens and streams in a database name its region: under another name none of them fits.
fn foreign(database: &Database, domain: &ServerName, whose: &ServerName) -> Failure {
    failure(
        format!(
            "The database {database} belongs to the region {whose}, but the setting domain says \
             {domain}."
        ),
        format!(
            "A region cannot change its name: set domain to {whose} again, or set database.url to \
             the database of {domain}. For a new region run `posthouse init --domain {domain}` with \
             a --dir of its own."
        ),
    )
}

/// The file whose lock a server holds while it uses the database at `path`.
pub fn lock_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// A file to be locked; it is made if it is missing.
pub(crate) fn lockable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn is_locked(database: &Path) -> Result<bool, Failure> {
    let path = lock_file(database);
    let file = lockable(&path);
    let file = file.map_err(|err| Failure::cannot_write(Exit::Database, &path, &err))?;
    Ok(matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn lock(database: &Path) -> Result<File, Failure> {
    let path = lock_file(database);
    let cannot = |err: &io::Error| Failure::cannot_write(Exit::Database, &path, err);
    let mut file = lockable(&path).map_err(|err| cannot(&err))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is told as well as it can be found out.
            _ = (&mut file).take(32).read_to_string(&mut holder);
            return Err(failure(
                format!(
                    "Another posthouse process ({}) uses the database {}.",
                    holder.trim(),
                    database.display()
                ),
                "Stop that one first: one SQLite database serves one process. Several processes of \
                 one region need PostgreSQL.",
            ));
        }
        Err(TryLockError::Error(err)) => return Err(cannot(&err)),
    }
    let holder = format!("process {}\n", std::process::id());
    file.set_len(0).and_then(|()| file.write_all(holder.as_bytes())).map_err(|err| cannot(&err))?;
    Ok(file)
}

/// Says what to do about an error of the store.
pub fn explain(database: &Database, err: &StoreError) -> Failure {
    let advice = match err {
        StoreError::Newer { .. } => {
            "Run the newer posthouse that has written it, or restore a backup that is as old as \
             this one. An older program would not understand the data."
        }
        StoreError::Unavailable(source) => return unavailable(database, source.as_ref()),
        _ => "Restore the database from a backup.",
    };
    failure(format!("The database {database} cannot be used: {err}."), advice)
}

fn unavailable(database: &Database, source: &(dyn Error + 'static)) -> Failure {
    let reason = deepest(source);
    match database {
        Database::Postgres(_) => failure(
            format!("The database {database} cannot be reached: {reason}."),
            "Check that PostgreSQL runs there, that it lets this user in, and the setting \
             database.url.",
        ),
        Database::Sqlite(path) => {
            let shown = path.display();
            let advice = if is_full(source) {
                "The disk is full: free some space there, then repeat the command."
            } else if path.exists() && fs::metadata(path).is_ok_and(|found| found.len() > 0) {
                "Check that the user that runs posthouse can read and write the file and its \
                 directory, that the disk is not full, and that it is a database of posthouse. If it is \
                 damaged, restore a backup."
            } else {
                "Check that the user that runs posthouse can write to its directory."
            };
            failure(format!("The database {shown} cannot be opened: {reason}."), advice)
        }
    }
}

/// SQLite tells a full disk by its result code 13 with this text; the file system by its own.
fn is_full(source: &(dyn Error + 'static)) -> bool {
    let mut next = Some(source);
    while let Some(err) = next {
        let full = err.downcast_ref::<io::Error>().is_some_and(|err| {
            matches!(err.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        });
        if full || err.to_string().contains("database or disk is full") {
            return true;
        }
        next = err.source();
    }
    false
}

/// The innermost error: the one that says what happened rather than who noticed.
fn deepest(source: &(dyn Error + 'static)) -> String {
    let mut last = source;
    while let Some(inner) = last.source() {
        last = inner;
    }
    last.to_string()
}

fn failure(fact: String, advice: impl Into<String>) -> Failure {
    Failure::new(Exit::Database, fact, advice)
}
