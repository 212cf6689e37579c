//! A store in a browser's IndexedDB.
//!
//! The database belongs to the pages of one origin, and to one of them at a time. It is *not*
//! encrypted: whatever script the origin runs can read the conversations and take the keys. A
//! browser may throw it away when it lacks room, unless the page asks for lasting storage
//! (`navigator.storage.persist()`).

mod database;
mod lock;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use self::{database::Database, lock::Lock};
use super::{Batch, Scan, Store, StoreError, Table, Value};
use crate::platform::{local, spawn};

/// Requests that wait.
const MAX_WAITING: usize = 64;

/// Keeps a device's records in a database of the page's origin.
#[derive(Debug)]
pub struct IndexedDbStore {
    requests: mpsc::Sender<Request>,
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

enum Request {
    Get(Vec<u8>, Reply<Option<Value>>),
    Scan(Scan, Reply<Vec<(Vec<u8>, Value)>>),
    Commit(Batch, Reply<()>),
}

impl IndexedDbStore {
    /// Opens the database `name` of this origin, which is made if it is not there. The page must be
    /// a secure context: `https://`, or this machine.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another page has it, which is waited for for a second;
    /// [`StoreError::Version`], [`StoreError::Failed`].
    pub async fn open(name: &str) -> Result<Self, StoreError> {
        let name = name.to_owned();
        let (requests, asked) = mpsc::channel(MAX_WAITING);
        local(async move {
            let lock = Lock::acquire(&name).await?;
            let database = Database::open(&name).await?;
            spawn(serve(database, lock, asked));
            Ok(())
        })
        .await?;
        Ok(Self { requests })
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let gone = || StoreError::Failed("the database was closed".into());
        self.requests.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Answers until the store is dropped; then others may have the database.
async fn serve(database: Database, lock: Lock, mut asked: mpsc::Receiver<Request>) {
    while let Some(request) = asked.recv().await {
        // Whoever asked may be gone.
        match request {
            Request::Get(key, reply) => drop(reply.send(database.get(&key).await)),
            Request::Scan(scan, reply) => drop(reply.send(database.scan(scan).await)),
            Request::Commit(batch, reply) => drop(reply.send(database.commit(&batch).await)),
        }
    }
    database.close();
    drop(lock);
}

#[async_trait]
impl Store for IndexedDbStore {
    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        let key = stored_key(table, key);
        self.ask(|reply| Request::Get(key, reply)).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Vec<(Vec<u8>, Value)>, StoreError> {
        let scan = scan.clone();
        self.ask(|reply| Request::Scan(scan, reply)).await
    }

    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.ask(|reply| Request::Commit(batch, reply)).await
    }
}

/// All tables are one map: the table's number stands before the key. IndexedDB sorts binary keys
/// bytewise.
fn stored_key(table: Table, key: &[u8]) -> Vec<u8> {
    [&[table as u8], key].concat()
}

fn value(bytes: Vec<u8>) -> Value {
    Zeroizing::new(bytes)
}
