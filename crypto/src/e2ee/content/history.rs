//! What an own device tells a new one of the time before it: item by item. The same items are in
//! backups.
//!
//! ```text
//! step      0 nothing   1 request   2 chunk
//! request   17 position, absent at the beginning
//! chunk     17 the position that was asked for, absent at the beginning
//!           18 the position behind it, absent if it is the last chunk
//!           19 whether the answer ends with it   20 messages so far   21 messages in all
//!           22 items
//! ```
//! A position is the giving device's own business: up to 512 bytes that mean nothing to others.

mod items;

pub use items::{HistoryItem, PastMark, PastMessage, PastSaid};

use super::{CborError, Fields, Reader};

/// The longest position, in bytes.
pub const MAX_POSITION_LEN: usize = 512;
/// The most items of one chunk.
pub const MAX_HISTORY_ITEMS: usize = 1_024;
/// The most bytes of the items of one chunk together: with it the content fits into a padded
/// length of 40,959 bytes, and a ciphertext of it into an inline body.
pub const MAX_HISTORY_BYTES: usize = 39_000;

/// A step of the history's way to a new device: between own devices only.
#[derive(Clone, PartialEq, Eq)]
pub enum HistoryStep {
    /// Nothing for the device that gets this: it is for another one.
    Nothing,
    /// The new device asks for what stands behind a position.
    Request {
        /// `None` from the beginning.
        after: Option<Vec<u8>>,
    },
    /// A piece of the history.
    Chunk(HistoryChunk),
}

/// A piece of the history.
#[derive(Clone, PartialEq, Eq)]
pub struct HistoryChunk {
    /// The position behind which it begins.
    pub after: Option<Vec<u8>>,
    /// The position behind it; `None` if nothing follows.
    pub next: Option<Vec<u8>>,
    /// Whether the answer to a request ends with it: the next piece comes when it is asked for.
    pub ends: bool,
    /// Messages up to the end of it.
    pub messages: u64,
    /// Messages in all, as they were counted at the beginning.
    pub of: u64,
    /// What is in it.
    pub items: Vec<HistoryItem>,
}

impl HistoryStep {
    pub(super) fn put(&self, fields: &mut Fields) {
        let mut position = |key, position: Option<&[u8]>| {
            if let Some(position) = position {
                fields.put(key, |w| w.bytes(position));
            }
        };
        match self {
            Self::Nothing => fields.put(16, |w| w.uint(0)),
            Self::Request { after } => {
                position(17, after.as_deref());
                fields.put(16, |w| w.uint(1));
            }
            Self::Chunk(chunk) => {
                position(17, chunk.after.as_deref());
                position(18, chunk.next.as_deref());
                fields.put(16, |w| w.uint(2));
                fields.put(19, |w| w.bool(chunk.ends));
                fields.put(20, |w| w.uint(chunk.messages));
                fields.put(21, |w| w.uint(chunk.of));
                fields.put(22, |w| {
                    w.array(chunk.items.len());
                    chunk.items.iter().for_each(|item| item.write(w));
                });
            }
        }
    }

    pub(super) fn take(fields: &mut Fields) -> Result<Self, CborError> {
        Ok(match fields.uint(16)? {
            0 => Self::Nothing,
            1 => Self::Request { after: position(fields, 17)? },
            2 => Self::Chunk(HistoryChunk {
                after: position(fields, 17)?,
                next: position(fields, 18)?,
                ends: fields.bool(19)?,
                messages: fields.uint(20)?,
                of: fields.uint(21)?,
                items: fields.take(22, |r| r.sequence(MAX_HISTORY_ITEMS, HistoryItem::read))?,
            }),
            _ => return Err(CborError),
        })
    }
}

fn position(fields: &mut Fields, key: u64) -> Result<Option<Vec<u8>>, CborError> {
    fields.take_optional(key, |r: &mut Reader<'_>| {
        let bytes = r.bytes()?;
        if bytes.len() <= MAX_POSITION_LEN { Ok(bytes.to_vec()) } else { Err(CborError) }
    })
}

impl core::fmt::Debug for HistoryStep {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Request { .. } => "Request(..)",
            Self::Chunk(_) => "Chunk(..)",
        })
    }
}

impl core::fmt::Debug for HistoryChunk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HistoryChunk(..)")
    }
}

#[cfg(test)]
mod tests;
