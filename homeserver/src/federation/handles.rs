//! Who has which handle here, for other regions that ask.

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_federation::ports::Handles;
use posthouse_protocol::id::HandleName;
use posthouse_storage::error::StoreError;
use uuid::Uuid;

use crate::accounts::Directory;

/// Handles of this region.
pub struct LocalHandles(pub Arc<Directory>);

#[async_trait]
impl Handles for LocalHandles {
    async fn account(&self, handle: &HandleName) -> Result<Option<Uuid>, StoreError> {
        self.0.by_handle(handle).await
    }
}
