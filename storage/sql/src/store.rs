//! The store: opening, closing, and what its ports share.

use std::sync::{Arc, Weak};

use posthouse_storage::{error::StoreError, message_store::MessageStore};
use uuid::Uuid;

use crate::{
    counters::Counters,
    db::{Args, Db},
    failure::Failure,
    fanouts::{self, Fanouts},
    retention::TrimPlace,
    servers::Servers,
    statement::Statement,
    wakes::Listener,
};

/// The store on SQLite or PostgreSQL. Implements every port; cheap to clone.
#[derive(Clone)]
pub struct SqlStore {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) db: Db,
    /// This process, as others see it in notifications.
    pub(crate) node: Uuid,
    pub(crate) servers: Servers,
    pub(crate) trim_place: TrimPlace,
    pub(crate) listener: Listener,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(fanouts) = self.db.fanouts() {
            fanouts.close();
        }
    }
}

impl SqlStore {
    /// Opens `sqlite://path`, a plain path, or `postgres://user@host/database`, creates the file
    /// where it is missing (readable by its owner only) and brings the schema up to date. `node`
    /// tells this process's notifications from those of others: a new one for every start.
    ///
    /// A SQLite file has one store at a time: the caller sees to that.
    ///
    /// # Errors
    /// [`StoreError::Newer`] if a newer binary wrote the schema, [`StoreError::Unavailable`] if the
    /// database cannot be opened.
    pub async fn open(url_or_path: &str, node: Uuid) -> Result<Self, StoreError> {
        Self::open_with(url_or_path, node, fanouts::FEWEST).await
    }

    /// [`Self::open`], where a message to so many inboxes is one row on SQLite until its entries are
    /// written. With 1 every message is, which tests use.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_with(
        url_or_path: &str,
        node: Uuid,
        fewest_inboxes: usize,
    ) -> Result<Self, StoreError> {
        let store = Self::connect(url_or_path, node, fewest_inboxes).await?;
        if let Some(fanouts) = store.db().fanouts() {
            fanouts.recover(&store).await.map_err(StoreError::from)?;
            let inner: Weak<Inner> = Arc::downgrade(&store.inner);
            tokio::spawn(fanouts::keep_spreading(Arc::clone(fanouts), inner));
        }
        Ok(store)
    }

    /// Opens the database to look into it while another process has it open: what waits there is that
    /// process's to write. Nothing may be written through this store.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_beside(url_or_path: &str, node: Uuid) -> Result<Self, StoreError> {
        Self::connect(url_or_path, node, usize::MAX).await
    }

    async fn connect(url_or_path: &str, node: Uuid, fewest: usize) -> Result<Self, StoreError> {
        let inner = Inner {
            db: Db::open(url_or_path, Fanouts::new(fewest)).await?,
            node,
            servers: Servers::default(),
            trim_place: TrimPlace::default(),
            listener: Listener::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// How many entries of inboxes are durable and have no row of their own yet.
    pub fn waiting_entries(&self) -> usize {
        self.db().fanouts().map_or(0, |fanouts| fanouts.waiting())
    }

    /// Ledger and bodies together: one transaction holds both.
    pub fn message_store(&self) -> MessageStore {
        MessageStore::together(Arc::new(self.clone()), Arc::new(self.clone()))
    }

    /// What the store has done since it was opened.
    pub fn counters(&self) -> &Counters {
        &self.inner.db.counters
    }

    /// Writes them; committing goes on meanwhile. What is not written is as durable as what is.
    ///
    /// # Errors
    /// [`StoreError`]: some wait still.
    pub async fn write_waiting_entries(&self) -> Result<(), StoreError> {
        match self.db().fanouts() {
            Some(fanouts) => Ok(self.spread(fanouts).await?),
            None => Ok(()),
        }
    }

    /// Waits until what runs is done, and closes every connection. Later calls fail with
    /// [`StoreError::Unavailable`].
    pub async fn close(&self) {
        if let Err(error) = self.write_waiting_entries().await {
            tracing::warn!(%error, "entries of inboxes wait for the next start");
        }
        self.inner.listener.close();
        self.inner.db.close().await;
    }

    pub(crate) fn db(&self) -> &Db {
        &self.inner.db
    }

    /// A transaction of one statement; how many rows it changed.
    pub(crate) async fn change(
        &self,
        statement: &'static Statement,
        bind: impl FnOnce(&mut Args),
    ) -> Result<u64, Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let changed = script.one(statement, bind);
        Ok(tx.finish(script).await?.changed(&changed))
    }
}
