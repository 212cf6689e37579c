//! Streams to other servers over the storage port: states and marks in the form in which they are
//! kept, log entries in the form in which they are sent.

mod event;
mod state;

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_protocol::{
    federation::{receipt::RejectionReason, stream::Lane},
    id::ServerName,
    status::FailReason,
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    leases::Fence,
    outbox::{self, Mark, Outbox, OutboxEntry, OutboxItem, Settled},
};

use crate::{
    engine::outbound::{LogEntry, LogItem, OutboundStream, RECORD_OVERHEAD},
    ports::{
        EXPIRY_MARGIN_MS, FAIL_AT_ONCE, LoadRange, Loaded, OutboundStore, Overdue, Refused,
        Settlement,
    },
};

/// Streams to other servers, kept by the storage port.
pub struct StreamStore {
    outbox: Arc<dyn Outbox>,
}

impl StreamStore {
    /// The streams that `outbox` keeps.
    pub fn new(outbox: Arc<dyn Outbox>) -> Self {
        Self { outbox }
    }
}

#[async_trait]
impl OutboundStore for StreamStore {
    async fn waiting(
        &self,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError> {
        self.outbox.waiting(after, limit).await
    }

    async fn streams(
        &self,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError> {
        self.outbox.streams(after, limit).await
    }

    async fn stream(
        &self,
        fence: &Fence,
        destination: &ServerName,
        fresh: &OutboundStream,
    ) -> Result<OutboundStream, StoreError> {
        let kept = self.outbox.stream(fence, destination, &state::keep(fresh)).await?;
        state::read(&kept, destination)
    }

    async fn load(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        range: LoadRange,
    ) -> Result<Loaded, StoreError> {
        let LoadRange { after, limit, max_bytes } = range;
        let range = outbox::LoadRange { after, limit, max_bytes };
        let loaded = self.outbox.load(fence, destination, lane, range).await?;
        let mut entries = Vec::new();
        let mut bytes = 0_usize;
        for kept in loaded.entries {
            let entry = entry(kept, destination);
            bytes = bytes.saturating_add(size(&entry));
            // Events are larger than the contents that the store counts.
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        Ok(Loaded { entries, end: loaded.offered })
    }

    async fn settle(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        settlement: Settlement<'_>,
    ) -> Result<Settled, StoreError> {
        let reasons = settlement.rejected.iter();
        let rejected: Vec<(u64, FailReason)> =
            reasons.map(|(index, rejection)| (*index, reason(rejection.reason))).collect();
        let Settlement { to, now, .. } = settlement;
        let settlement = outbox::Settlement { to, rejected: &rejected, now };
        self.outbox.settle(fence, destination, lane, settlement).await
    }

    async fn rewind(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        to: Mark,
    ) -> Result<(), StoreError> {
        self.outbox.rewind(fence, destination, lane, to).await
    }

    async fn refuse(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        refused: Refused,
    ) -> Result<Settled, StoreError> {
        let Refused { index, reason, now } = refused;
        self.outbox.refuse(fence, destination, lane, index, (reason, now)).await
    }

    async fn expire(
        &self,
        fence: &Fence,
        destination: &ServerName,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        let times = (now.minus_millis(EXPIRY_MARGIN_MS), now);
        self.outbox.expire(fence, destination, times, FAIL_AT_ONCE).await
    }

    async fn fail_all(
        &self,
        fence: &Fence,
        destination: &ServerName,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        let failure = (FailReason::NoSuchRegion, now);
        self.outbox.fail_all(fence, destination, failure, FAIL_AT_ONCE).await
    }

    async fn overdue(
        &self,
        _fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        range: Overdue,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let Overdue { before, limit } = range;
        let entries = self.outbox.overdue(destination, lane, before, limit).await?;
        Ok(entries.into_iter().map(|kept| entry(kept, destination)).collect())
    }

    async fn forget(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        floor: Mark,
    ) -> Result<(), StoreError> {
        self.outbox.forget(fence, destination, lane, floor).await
    }

    async fn open(
        &self,
        fence: &Fence,
        destination: &ServerName,
        next: &OutboundStream,
    ) -> Result<(), StoreError> {
        self.outbox.open(fence, destination, &state::keep(next)).await
    }
}

/// A kept entry in the form in which it is sent.
fn entry(entry: OutboxEntry, destination: &ServerName) -> LogEntry {
    let OutboxEntry { index, id, sender, item } = entry;
    let event = match item {
        OutboxItem::Refused => return LogEntry { index, item: LogItem::Refused },
        OutboxItem::Message { message, recipients, body, payload_version } => {
            event::message(&message, recipients, &body, payload_version, destination)
        }
        OutboxItem::Watermark { watermark, recipients, payload_version } => {
            event::watermark(&watermark, recipients, payload_version)
        }
        OutboxItem::Gone { payload_version } => Some(event::gone(payload_version)),
        // What has failed, and kinds that a newer version queued, cannot be sent.
        _ => None,
    };
    // An event without a content is rejected by the destination; its place and hash stay.
    let event = event.unwrap_or_default();
    LogEntry { index, item: LogItem::Event { id, sender, event } }
}

/// The bytes that an entry takes in an envelope, at most.
fn size(entry: &LogEntry) -> usize {
    let event = match &entry.item {
        LogItem::Event { event, .. } => event.len(),
        LogItem::Refused => 0,
    };
    event.saturating_add(RECORD_OVERHEAD)
}

fn reason(reason: RejectionReason) -> FailReason {
    match reason {
        RejectionReason::Expired => FailReason::Expired,
        RejectionReason::Malformed => FailReason::Malformed,
        RejectionReason::Refused => FailReason::Refused,
        RejectionReason::TooLarge => FailReason::TooLarge,
        RejectionReason::UnknownRecipient => FailReason::UnknownUser,
        RejectionReason::Unsupported => FailReason::Unsupported,
        RejectionReason::QueueFull => FailReason::QueueFull,
        _ => FailReason::Other,
    }
}
