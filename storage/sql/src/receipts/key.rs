//! What identifies a watermark, in columns and in the slot of an inbox entry.

use posthouse_protocol::status::Reached;
use posthouse_storage::{error::StoreError, receipts::Watermark};
use uuid::Uuid;

use crate::{
    columns,
    db::{Args, Fields},
    store::SqlStore,
};

/// The primary key of `watermarks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(super) conversation: [u8; 16],
    pub(super) reader: Uuid,
    pub(super) reader_server: i64,
    pub(super) origin: i64,
    pub(super) reached: Reached,
}

/// First byte of the slots of watermarks.
const SLOT_WATERMARK: u8 = b'w';

/// Length of such a slot.
const SLOT_LEN: usize = 1 + 16 + 16 + 8 + 8 + 1;

impl Key {
    /// The key of a watermark whose regions are interned.
    pub(crate) fn of(store: &SqlStore, watermark: &Watermark) -> Self {
        let id = |name| store.inner.servers.id(name).unwrap_or_default();
        Self::with_servers(watermark, id(&watermark.reader.server), id(&watermark.origin))
    }

    /// The key of a watermark, whose regions have these numbers.
    pub(crate) fn with_servers(watermark: &Watermark, reader_server: i64, origin: i64) -> Self {
        Self {
            conversation: watermark.conversation.0,
            reader: watermark.reader.uuid,
            reader_server,
            origin,
            reached: watermark.reached,
        }
    }

    /// The conversation.
    pub(crate) fn conversation(&self) -> [u8; 16] {
        self.conversation
    }

    /// Adds the five columns of the key.
    pub(super) fn bind(&self, args: &mut Args) {
        args.bytes(&self.conversation)
            .uuid(self.reader)
            .integer(self.reader_server)
            .integer(self.origin)
            .integer(columns::reached_code(self.reached));
    }

    /// `'w' ‖ conversation (16) ‖ reader (16) ‖ reader's region (8) ‖ origin (8) ‖ code of what was reached (1)`, the
    /// numbers big-endian.
    pub(super) fn slot(&self) -> Vec<u8> {
        [
            &[SLOT_WATERMARK][..],
            &self.conversation,
            self.reader.as_bytes(),
            &self.reader_server.to_be_bytes(),
            &self.origin.to_be_bytes(),
            &[reached_byte(self.reached)],
        ]
        .concat()
    }

    /// Reads what [`Self::slot`] wrote.
    pub(crate) fn parse(fields: &Fields<'_>, slot: &[u8]) -> Result<Self, StoreError> {
        let wrong = || fields.corrupt("slot", "neither a message nor the key of a watermark");
        let slot: &[u8; SLOT_LEN] = slot.try_into().map_err(|_| wrong())?;
        let (kind, rest) = slot.split_first_chunk::<1>().ok_or_else(wrong)?;
        let (conversation, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
        let (reader, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
        let (reader_server, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let (origin, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let reached = match (kind, rest) {
            (&[SLOT_WATERMARK], [0]) => Reached::Delivered,
            (&[SLOT_WATERMARK], [1]) => Reached::Read,
            (&[SLOT_WATERMARK], [2]) => Reached::Accepted,
            _ => return Err(wrong()),
        };
        Ok(Self {
            conversation: *conversation,
            reader: Uuid::from_bytes(*reader),
            reader_server: i64::from_be_bytes(*reader_server),
            origin: i64::from_be_bytes(*origin),
            reached,
        })
    }
}

fn reached_byte(reached: Reached) -> u8 {
    match reached {
        Reached::Delivered => 0,
        Reached::Read => 1,
        Reached::Accepted => 2,
    }
}

/// What the slots of all watermarks of one reader in one conversation begin with.
pub(crate) fn slots_of(conversation: &[u8; 16], reader: Uuid, reader_server: i64) -> Vec<u8> {
    [&[SLOT_WATERMARK][..], conversation, reader.as_bytes(), &reader_server.to_be_bytes()].concat()
}
