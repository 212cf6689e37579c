//! What stands inside the ciphertext: one deterministic CBOR map with numbers as keys, padded.
//!
//! ```text
//! 0  version, 1            1  kind              2  sent at (ms)
//! 3  conversation, where the device that gets it could not tell (own devices, groups)
//! 4  how long the message is shown after it was read (seconds)
//! 5  the message that this one is again, after a resend request
//! 6  who is mentioned in the text, where there is one
//! 7  the key of the sender's profile, in messages to groups
//! 16.. fields of the kind
//! ```
//! Entries that this version does not know are kept and written again. A map with a higher
//! version is not read; a kind that is not known is [`Body::Unknown`].

mod body;
mod encode;
pub mod history;
mod mention;
mod parts;

pub use body::{Body, MAX_RECEIPT_MESSAGES};
pub use mention::{MAX_MENTIONS, Mention, mentions_fit};
pub use parts::{AttachmentPointer, KeyBytes, MessageId, ReceiptStatus, ResendRequest};

use zeroize::Zeroizing;

use super::{
    cbor::{CborError, Fields, Reader, Writer},
    padding::{pad_message, unpad_message},
    time::UnixMillis,
};
use history::HistoryStep;
use mention::{read_mentions, write_mentions};

/// The version of the format.
const VERSION: u64 = 1;
/// The longest content, in bytes, before padding: what fits into an inline body of 64 KiB.
pub const MAX_CONTENT_LEN: usize = 60 * 1024;
/// The longest text of a message, in bytes.
pub const MAX_TEXT_LEN: usize = 32 * 1024;
/// The longest name of a conversation, in bytes.
const MAX_CONVERSATION_LEN: usize = 320;

/// The content of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// When the sender's device made it, by its own clock.
    pub sent_at: UnixMillis,
    /// Which conversation it belongs to: a full account or group name.
    pub conversation: Option<String>,
    /// For how many seconds after reading it is shown; absent for good.
    pub expires_after: Option<u32>,
    /// Which message of the same sender this one is again; absent the first time.
    pub again: Option<MessageId>,
    /// Who is meant by pieces of its text, if it has one: [`mentions_fit`].
    pub mentions: Vec<Mention>,
    /// The key of its sender's profile; in messages to groups, where it goes to everybody at once.
    pub profile_key: Option<KeyBytes>,
    /// What it says.
    pub body: Body,
    unknown: Fields,
}

impl Content {
    /// A content of ours.
    pub fn new(sent_at: UnixMillis, conversation: Option<String>, body: Body) -> Self {
        Self {
            sent_at,
            conversation,
            expires_after: None,
            again: None,
            mentions: Vec::new(),
            profile_key: None,
            body,
            unknown: Fields::default(),
        }
    }

    /// The padded bytes to encrypt.
    ///
    /// # Errors
    /// [`ContentError::TooLong`], [`ContentError::Malformed`] for mentions that are not in the text.
    pub fn to_padded_bytes(&self) -> Result<Zeroizing<Vec<u8>>, ContentError> {
        let mut fields = self.unknown.clone();
        fields.put(0, |w| w.uint(VERSION));
        fields.put(1, |w| w.uint(self.body.kind()));
        fields.put(2, |w| w.uint(self.sent_at.0));
        if let Some(conversation) = &self.conversation {
            fields.put(3, |w| w.text(conversation));
        }
        if let Some(seconds) = self.expires_after {
            fields.put(4, |w| w.uint(u64::from(seconds)));
        }
        if let Some(again) = &self.again {
            fields.put(5, |w| w.bytes(again));
        }
        if !self.mentions.is_empty() {
            if !self.body.text().is_some_and(|text| mentions_fit(&self.mentions, text)) {
                return Err(ContentError::Malformed);
            }
            fields.put(6, |w| write_mentions(&self.mentions, w));
        }
        if let Some(key) = &self.profile_key {
            fields.put(7, |w| w.bytes(key.0.expose()));
        }
        self.body.put(&mut fields);
        let mut writer = Writer::new();
        fields.write(&mut writer);
        let bytes = writer.finish();
        if bytes.len() > MAX_CONTENT_LEN {
            return Err(ContentError::TooLong);
        }
        Ok(pad_message(&bytes))
    }

    /// Reads what was decrypted.
    ///
    /// # Errors
    /// [`ContentError`].
    pub fn from_padded_bytes(padded: &[u8]) -> Result<Self, ContentError> {
        let bytes = unpad_message(padded).ok_or(ContentError::Malformed)?;
        if bytes.len() > MAX_CONTENT_LEN {
            return Err(ContentError::TooLong);
        }
        let mut reader = Reader::new(bytes);
        let mut fields = Fields::read(&mut reader)?;
        reader.end()?;
        let version = fields.uint(0)?;
        if version != VERSION {
            return Err(ContentError::Version(version));
        }
        let kind = fields.uint(1)?;
        let sent_at = UnixMillis(fields.uint(2)?);
        let conversation = fields.take_optional(3, |r| bounded(r, MAX_CONVERSATION_LEN))?;
        let expires_after = fields.optional_u32(4)?;
        let again = fields.take_optional(5, |r| {
            let id: MessageId = r.exact()?;
            Ok(id)
        })?;
        let body = Body::take(kind, &mut fields)?;
        let mentions = match body.text() {
            Some(text) => fields.take_optional(6, |r| read_mentions(r, text))?,
            None => None,
        };
        let mentions = mentions.unwrap_or_default();
        let profile_key = fields.take_optional(7, parts::read_key_bytes)?;
        let unknown = fields;
        Ok(Self {
            sent_at,
            conversation,
            expires_after,
            again,
            mentions,
            profile_key,
            body,
            unknown,
        })
    }
}

/// A text of at most `max` bytes.
fn bounded(reader: &mut Reader<'_>, max: usize) -> Result<String, CborError> {
    let text = reader.text()?;
    if text.len() <= max { Ok(text.to_owned()) } else { Err(CborError) }
}

/// Why a plaintext is no content, or cannot become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// Not padded deterministic CBOR with the fields that its kind needs.
    #[error("the content is malformed")]
    Malformed,
    /// Longer than [`MAX_CONTENT_LEN`]: it belongs into an attachment.
    #[error("the content is too long")]
    TooLong,
    /// Of a later version.
    #[error("the content has version {0}, which is unknown here")]
    Version(u64),
}

impl From<CborError> for ContentError {
    fn from(_: CborError) -> Self {
        Self::Malformed
    }
}

#[cfg(test)]
mod tests;
