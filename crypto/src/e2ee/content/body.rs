//! The kinds of content.

use core::fmt;

use super::{
    AttachmentPointer, CborError, Fields, HistoryStep, KeyBytes, MessageId, Reader, ReceiptStatus,
    ResendRequest,
};
use super::{MAX_TEXT_LEN, bounded, parts::read_key_bytes};
use crate::e2ee::wire::sender_key_message::SenderKeyDistribution;

/// The longest reaction, in bytes: one emoji with its modifiers.
pub(super) const MAX_REACTION_LEN: usize = 64;
/// How many messages one receipt names at most.
pub const MAX_RECEIPT_MESSAGES: usize = 1_000;

/// What a message says. Its `Debug` shows the kind only: nobody's words belong in a log.
#[derive(Clone)]
#[non_exhaustive]
pub enum Body {
    /// Kind 1: `16 text`.
    Text {
        /// UTF-8, at most 32 KiB.
        text: String,
    },
    /// Kind 2: `16 caption, 17 attachment`.
    Media {
        /// May be empty.
        caption: String,
        /// The media.
        attachment: AttachmentPointer,
    },
    /// Kind 3: `16 emoji, 17 target`. An empty emoji takes the reaction back.
    Reaction {
        /// What is shown.
        emoji: String,
        /// The message reacted to.
        target: MessageId,
    },
    /// Kind 4: `16 text, 17 target`.
    Reply {
        /// The answer.
        text: String,
        /// The message answered.
        target: MessageId,
    },
    /// Kind 5: `16 text, 17 target`. Counts only from the target's own sender.
    Edit {
        /// The new text.
        text: String,
        /// The message replaced.
        target: MessageId,
    },
    /// Kind 6: `17 target`. Counts only from the target's own sender, or from a group's admin.
    Delete {
        /// The message to take back.
        target: MessageId,
    },
    /// Kind 7: `16 status, 17 targets`.
    Receipt {
        /// How far they have come.
        status: ReceiptStatus,
        /// At most 1,000.
        targets: Vec<MessageId>,
    },
    /// Kind 8: `16 whether typing began or ended`.
    Typing {
        /// Began or ended.
        started: bool,
    },
    /// Kind 9: `17 target`: a story or a view-once message was seen.
    View {
        /// What was seen.
        target: MessageId,
    },
    /// Kind 10: `16 request`.
    Resend(ResendRequest),
    /// Kind 11: `16 sender key distribution`.
    KeyDistribution(SenderKeyDistribution),
    /// Kind 12: `16 step` and what goes with it: what an own device knows, for a new one.
    History(HistoryStep),
    /// Kind 13: `16 key` of the sender's profile.
    ProfileKey(KeyBytes),
    /// A kind of a later version. Its fields are kept with the content.
    Unknown {
        /// The kind's number.
        kind: u64,
    },
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

impl Body {
    pub(super) fn kind(&self) -> u64 {
        match self {
            Self::Text { .. } => 1,
            Self::Media { .. } => 2,
            Self::Reaction { .. } => 3,
            Self::Reply { .. } => 4,
            Self::Edit { .. } => 5,
            Self::Delete { .. } => 6,
            Self::Receipt { .. } => 7,
            Self::Typing { .. } => 8,
            Self::View { .. } => 9,
            Self::Resend(_) => 10,
            Self::KeyDistribution(_) => 11,
            Self::History(_) => 12,
            Self::ProfileKey(_) => 13,
            Self::Unknown { kind } => *kind,
        }
    }

    pub(super) fn take(kind: u64, fields: &mut Fields) -> Result<Self, CborError> {
        Ok(match kind {
            1 => Self::Text { text: text(fields)? },
            2 => Self::Media {
                caption: text(fields)?,
                attachment: fields.take(17, AttachmentPointer::read)?,
            },
            3 => Self::Reaction {
                emoji: fields.take(16, |r| bounded(r, MAX_REACTION_LEN))?,
                target: target(fields)?,
            },
            4 => Self::Reply { text: text(fields)?, target: target(fields)? },
            5 => Self::Edit { text: text(fields)?, target: target(fields)? },
            6 => Self::Delete { target: target(fields)? },
            7 => Self::Receipt {
                status: fields.take(16, ReceiptStatus::read_from)?,
                targets: fields.take(17, |r| r.sequence(MAX_RECEIPT_MESSAGES, Reader::exact))?,
            },
            8 => Self::Typing { started: fields.bool(16)? },
            9 => Self::View { target: target(fields)? },
            10 => Self::Resend(fields.take(16, ResendRequest::read)?),
            11 => Self::KeyDistribution(fields.take(16, |r| {
                SenderKeyDistribution::from_bytes(r.bytes()?).map_err(|_| CborError)
            })?),
            12 => Self::History(HistoryStep::take(fields)?),
            13 => Self::ProfileKey(fields.take(16, read_key_bytes)?),
            kind => Self::Unknown { kind },
        })
    }
}

fn text(fields: &mut Fields) -> Result<String, CborError> {
    fields.take(16, |r| bounded(r, MAX_TEXT_LEN))
}

fn target(fields: &mut Fields) -> Result<MessageId, CborError> {
    fields.exact(17)
}
