//! Positions of devices, and watermarks: how far a reader has got in a conversation.

use posthouse_protocol::{
    cursor::Cursor,
    id::{AccountId, ConversationId, DeviceId, GroupId, ServerName},
    status::Reached,
    time::Timestamp,
};
use uuid::Uuid;

/// A device that has acknowledged its inbox up to `position`, and was last seen at `active_at`. Each
/// of the two rises on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositionAdvance {
    /// The device.
    pub device: DeviceId,
    /// Up to here.
    pub position: Cursor,
    /// When the device was last connected.
    pub active_at: Timestamp,
}

/// Most numbers in a watermark's `except`.
pub const MAX_EXCEPT: usize = 64;

/// How far a reader has got: all numbers of `origin` in the conversation up to `through`, except
/// those listed.
///
/// Watermarks merge like this: `through` is the higher one; `except` is the union of both (a number
/// that was passed over has expired or was refused, for every device and for good), the lowest ones
/// going first where that exceeds [`MAX_EXCEPT`]. A mark has risen if `through` or `except` grew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// The conversation.
    pub conversation: ConversationId,
    /// Who reads.
    pub reader: AccountId,
    /// Whose numbers: the region that accepted the messages.
    pub origin: ServerName,
    /// Accepted by the reader's region, delivered to, or read by the reader.
    pub reached: Reached,
    /// The highest number.
    pub through: u64,
    /// Numbers up to `through` that are not covered; ascending, at most [`MAX_EXCEPT`].
    pub except: Vec<u64>,
    /// When it last rose.
    pub at: Timestamp,
}

impl Watermark {
    /// The highest number that is covered, 0 for none, and the lower ones that are not: as it is told.
    pub fn told(&self) -> (u64, &[u64]) {
        let (mut through, mut except) = (self.through, self.except.as_slice());
        while let Some((last, rest)) = except.split_last()
            && *last >= through
        {
            (through, except) = (through.saturating_sub(1), rest);
        }
        (through, except)
    }
}

/// A watermark that may have risen, and who is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkRise {
    /// The new watermark.
    pub watermark: Watermark,
    /// Local accounts whose inbox gets (or keeps, moved to the end) one entry for this
    /// conversation, reader, origin and kind.
    pub tell: Vec<Uuid>,
    /// For a watermark over another region's numbers: what tells that region.
    pub forward: Option<Forward>,
}

/// An entry of the outbox, in the lane of receipts, that tells a watermark's `origin` of it. If one
/// for the same watermark and recipients has not been offered yet, it tells the new one, and no
/// further entry is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Names the entry; never used before.
    pub id: Uuid,
    /// The senders there that are told.
    pub recipients: Vec<Uuid>,
}

/// Most steps of each list of a [`Tally`].
pub const MAX_STEPS: usize = 64;

/// How many members of a group have got its messages. The number of those who have got the message
/// `n` of `origin` is the sum of [`steps`](Self::steps) at `n` and above, less the sum of
/// [`joined`](Self::joined) at `n` and above, less what [`except`](Self::except) says for `n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The group.
    pub group: GroupId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Whose numbers.
    pub origin: ServerName,
    /// Accepted, delivered, or read.
    pub reached: Reached,
    /// Up to which number so many have got everything; the highest first, at most [`MAX_STEPS`].
    pub steps: Vec<(u64, u64)>,
    /// Up to which number so many of them were not there yet.
    pub joined: Vec<(u64, u64)>,
    /// Which number was passed over by so many of them.
    pub except: Vec<(u64, u64)>,
    /// The lowest number that can be counted by these lists.
    pub from: u64,
    /// When something last rose.
    pub at: Timestamp,
}

/// A watermark that did rise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risen {
    /// The watermark as it is now.
    pub watermark: Watermark,
    /// The entries that tell it.
    pub arrivals: Vec<crate::ledger::Arrival>,
    /// In a group: what those entries tell instead.
    pub tally: Option<Tally>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_ends_with_a_covered_number() {
        let server = ServerName::parse("eu.example").unwrap();
        let mark = |through, except: &[u64]| Watermark {
            conversation: ConversationId([7; 16]),
            reader: AccountId { uuid: Uuid::from_u128(1), server: server.clone() },
            origin: server.clone(),
            reached: Reached::Delivered,
            through,
            except: except.to_vec(),
            at: Timestamp(1),
        };
        assert_eq!(mark(9, &[3]).told(), (9, &[3][..]));
        assert_eq!(mark(9, &[3, 8, 9]).told(), (7, &[3][..]));
        assert_eq!(mark(2, &[1, 2]).told(), (0, &[][..]));
    }
}
