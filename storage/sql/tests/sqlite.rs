//! The storage contract on SQLite.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]

use async_trait::async_trait;
use posthouse_storage::contract::Subject;
use posthouse_storage_sql::SqlStore;
use tempfile::TempDir;
use uuid::Uuid;

struct Sqlite {
    directory: TempDir,
}

#[async_trait]
impl Subject for Sqlite {
    type Store = SqlStore;

    async fn open(&self) -> SqlStore {
        let path = self.directory.path().join("posthouse.db");
        SqlStore::open(&path.display().to_string(), Uuid::nil()).await.unwrap()
    }

    async fn close(&self, store: SqlStore) {
        store.close().await;
    }

    fn shared(&self) -> bool {
        false
    }
}

async fn fresh() -> Sqlite {
    Sqlite { directory: TempDir::new().unwrap() }
}

posthouse_storage::contract_tests!(fresh);
