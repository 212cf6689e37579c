//! The storage contract on SQLite, as it is opened by a region and with every message waiting for its
//! rows.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]

use async_trait::async_trait;
use posthouse_storage::contract::Subject;
use posthouse_storage_sql::SqlStore;
use tempfile::TempDir;
use uuid::Uuid;

struct Sqlite {
    directory: TempDir,
    /// How many inboxes a message has to go to, so that its entries wait.
    fewest: usize,
}

#[async_trait]
impl Subject for Sqlite {
    type Store = SqlStore;

    async fn open(&self) -> SqlStore {
        let path = self.directory.path().join("posthouse.db");
        SqlStore::open_with(&path.display().to_string(), Uuid::nil(), self.fewest).await.unwrap()
    }

    async fn close(&self, store: SqlStore) {
        store.close().await;
    }

    fn shared(&self) -> bool {
        false
    }
}

async fn fresh() -> Sqlite {
    Sqlite { directory: TempDir::new().unwrap(), fewest: 16 }
}

mod where_every_message_waits {
    use super::*;

    async fn fresh() -> Sqlite {
        Sqlite { fewest: 1, ..super::fresh().await }
    }

    posthouse_storage::contract_tests!(fresh);
}

posthouse_storage::contract_tests!(fresh);
