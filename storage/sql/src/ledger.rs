//! The port `Ledger`: each method's work is in a file of its own.

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    cursor::Cursor,
    id::{AccountId, ConversationId, MessageId},
    time::Timestamp,
};
use posthouse_storage::{
    bodies::BodyId,
    error::StoreError,
    inbox::{Page, StoredMessage},
    ledger::{Accept, Ledger, Outcome},
    receipts::{PositionAdvance, Risen, WatermarkRise},
    retention::{Cutoffs, Trimmed},
};
use uuid::Uuid;

use crate::store::SqlStore;

#[async_trait]
impl Ledger for SqlStore {
    async fn commit(
        &self,
        batch: &[Accept],
        bodies: &[(BodyId, Bytes)],
    ) -> Result<Vec<Outcome>, StoreError> {
        self.accept(batch, bodies).await
    }

    async fn page(&self, account: Uuid, after: Cursor, limit: usize) -> Result<Page, StoreError> {
        Ok(self.read_page(account, after, limit).await?)
    }

    async fn cursor_at(&self, account: Uuid, at: Timestamp) -> Result<Cursor, StoreError> {
        Ok(self.read_cursor_at(account, at).await?)
    }

    async fn parts(
        &self,
        sender: &AccountId,
        id: MessageId,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        Ok(self.read_parts(sender, id).await?)
    }

    async fn messages(&self, ids: &[MessageId]) -> Result<Vec<StoredMessage>, StoreError> {
        Ok(self.read_messages(ids).await?)
    }

    async fn record(
        &self,
        positions: &[PositionAdvance],
        rises: &[WatermarkRise],
    ) -> Result<Vec<Risen>, StoreError> {
        self.record_receipts(positions, rises).await
    }

    async fn mutual(&self, conversations: &[ConversationId]) -> Result<Vec<bool>, StoreError> {
        Ok(self.read_mutual(conversations).await?)
    }

    async fn trim(&self, cutoffs: &Cutoffs, limit: u32) -> Result<Trimmed, StoreError> {
        self.trim_ledger(cutoffs, limit).await
    }
}
