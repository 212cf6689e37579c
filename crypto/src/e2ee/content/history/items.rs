//! The items of a history, each an array that begins with its kind:
//!
//! ```text
//! 0 person        account, identity key (33), whether the safety number was compared
//! 1 group         group, [keys of titles (32), newest first], [epoch, hash (32)] or null
//! 2 conversation  account or group, last active (ms), highest stamp or null
//! 3 message       account or group, sender, id (16), stamp, sent at (ms), said,
//!                 shown for seconds or null, read, edited, origin number or null,
//!                 status or null, members who have it, of how many,
//!                 who is mentioned in the text, if somebody is
//! 4 mark          account or group, target (16), by, [1, text, stamp] | [2] | [3, emoji, stamp];
//!                 an edit that mentions somebody ends with who that is
//! 5 expiry        sender, id (16), disappears at (ms)
//! 6 profile       account, [keys of the profile (32), newest first], the own profile key that the
//!                 account was given or null; of the own account, its own keys and null
//! 7 handle        account, its handle without the region
//! said            [1, text] | [4, text, target (16)] | [6] gone | [kind that cannot be shown]
//! ```
//! A kind that is not known is passed over.

use zeroize::Zeroizing;

use super::super::{
    KeyBytes, MAX_CONVERSATION_LEN, MAX_TEXT_LEN, Mention, MessageId,
    body::MAX_REACTION_LEN,
    bounded,
    mention::{read_mentions, write_mentions},
};
use crate::e2ee::{
    cbor::{CborError, Reader, Writer},
    primitives::curve::{PUBLIC_KEY_LEN, PublicKey},
    time::UnixMillis,
};

/// The most keys of titles of one group.
const MAX_TITLE_KEYS: usize = 16;
/// The most keys of one profile.
const MAX_PROFILE_KEYS: usize = 16;
/// The longest name of a status, in bytes.
const MAX_STATUS_LEN: usize = 32;

/// Something that an own device knows from before. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub enum HistoryItem {
    /// What is believed of somebody's identity key.
    Person {
        /// Whose.
        account: String,
        /// The key.
        identity: PublicKey,
        /// Whether the safety number was compared.
        verified: bool,
    },
    /// What is needed of a group beside its chain, which its region has.
    Group {
        /// Which.
        group: String,
        /// Keys of titles, newest first.
        titles: Vec<KeyBytes>,
        /// The newest epoch that was verified, and its hash.
        head: Option<(u64, [u8; 32])>,
    },
    /// A conversation.
    Conversation {
        /// With this account or group.
        with: String,
        /// When something was last said in it.
        active: UnixMillis,
        /// The highest stamp that was seen.
        highest: Option<u64>,
    },
    /// A message.
    Message(Box<PastMessage>),
    /// What was said about a message.
    Mark {
        /// In the conversation with this account or group.
        with: String,
        /// About which message.
        target: MessageId,
        /// By whom.
        by: String,
        /// What.
        mark: PastMark,
    },
    /// A message whose time runs.
    Expiry {
        /// Its sender.
        from: String,
        /// Its id.
        id: MessageId,
        /// When it disappears.
        at: UnixMillis,
    },
    /// What opens somebody's profile, or the own one.
    Profile {
        /// Whose.
        account: String,
        /// Keys, newest first.
        keys: Vec<KeyBytes>,
        /// The key of the own profile that they were given last.
        given: Option<KeyBytes>,
    },
    /// By which handle an account of another region was found: that region tells nobody.
    Handle {
        /// Whose.
        account: String,
        /// The handle, without the region.
        handle: String,
    },
    /// An item of a later version.
    Unknown,
}

/// A message of the past, as it was at last.
#[derive(Clone, PartialEq, Eq)]
pub struct PastMessage {
    /// In the conversation with this account or group.
    pub with: String,
    /// Its sender.
    pub from: String,
    /// The sender's id for it.
    pub id: MessageId,
    /// Its place.
    pub stamp: u64,
    /// When it was written, by its sender's clock.
    pub sent_at: UnixMillis,
    /// What it says.
    pub said: PastSaid,
    /// For how many seconds it is shown after it was read.
    pub expires_after: Option<u32>,
    /// Whether the account has read it.
    pub read: bool,
    /// Whether its sender has changed it.
    pub edited: bool,
    /// Of own messages: its number among what the region took in the conversation.
    pub origin_number: Option<u64>,
    /// Of own messages: the name of its status (docs/spec/statuses.md).
    pub status: Option<String>,
    /// Of own messages to groups: how many members have it.
    pub delivered: u64,
    /// Of how many.
    pub audience: u64,
    /// Who is mentioned in its text.
    pub mentions: Vec<Mention>,
}

/// What a message of the past says. The numbers are those of the kinds of content.
#[derive(Clone, PartialEq, Eq)]
pub enum PastSaid {
    /// A text.
    Text(String),
    /// An answer.
    Reply {
        /// Its text.
        text: String,
        /// What it answers.
        target: MessageId,
    },
    /// It was taken back, or its time is over.
    Gone,
    /// Something that the giving device could not show; the number of its kind.
    Unknown(u64),
}

/// What was said about a message.
#[derive(Clone, PartialEq, Eq)]
pub enum PastMark {
    /// Another text.
    Edit {
        /// The text.
        text: String,
        /// Its place.
        stamp: u64,
        /// Who is mentioned in it.
        mentions: Vec<Mention>,
    },
    /// It was taken back.
    Delete,
    /// A reaction; an empty one takes it back.
    Reaction {
        /// What is shown.
        emoji: String,
        /// Its place.
        stamp: u64,
    },
}

impl HistoryItem {
    /// The bytes of the item.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            Self::Person { account, identity, verified } => {
                head(w, 4, 0);
                w.text(account);
                w.bytes(&identity.to_bytes());
                w.bool(*verified);
            }
            Self::Group { group, titles, head: newest } => {
                head(w, 4, 1);
                w.text(group);
                w.array(titles.len());
                for key in titles {
                    w.bytes(key.0.expose());
                }
                w.optional(newest.as_ref(), |w, (epoch, hash)| {
                    w.array(2);
                    w.uint(*epoch);
                    w.bytes(hash);
                });
            }
            Self::Conversation { with, active, highest } => {
                head(w, 4, 2);
                w.text(with);
                w.uint(active.0);
                w.optional(highest.as_ref(), |w, stamp| w.uint(*stamp));
            }
            Self::Message(message) => message.write(w),
            Self::Mark { with, target, by, mark } => {
                head(w, 5, 4);
                w.text(with);
                w.bytes(target);
                w.text(by);
                mark.write(w);
            }
            Self::Expiry { from, id, at } => {
                head(w, 4, 5);
                w.text(from);
                w.bytes(id);
                w.uint(at.0);
            }
            Self::Profile { account, keys, given } => {
                head(w, 4, 6);
                w.text(account);
                w.array(keys.len());
                for key in keys {
                    w.bytes(key.0.expose());
                }
                w.optional(given.as_ref(), |w, key| w.bytes(key.0.expose()));
            }
            Self::Handle { account, handle } => {
                head(w, 3, 7);
                w.text(account);
                w.text(handle);
            }
            Self::Unknown => head(w, 1, u64::MAX),
        }
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, CborError> {
        let len = r.array()?;
        let kind = r.uint()?;
        Ok(match (kind, len) {
            (0, 4) => Self::Person {
                account: name(r)?,
                identity: PublicKey::from_bytes(&r.exact::<PUBLIC_KEY_LEN>()?)
                    .map_err(|_| CborError)?,
                verified: r.bool()?,
            },
            (1, 4) => Self::Group {
                group: name(r)?,
                titles: r.sequence(MAX_TITLE_KEYS, super::super::parts::read_key_bytes)?,
                head: r.optional(|r| {
                    r.fixed_array(2)?;
                    Ok::<_, CborError>((r.uint()?, r.exact()?))
                })?,
            },
            (2, 4) => Self::Conversation {
                with: name(r)?,
                active: UnixMillis(r.uint()?),
                highest: r.optional(Reader::uint)?,
            },
            (3, 14 | 15) => Self::Message(Box::new(PastMessage::read(r, len == 15)?)),
            (4, 5) => Self::Mark {
                with: name(r)?,
                target: r.exact()?,
                by: name(r)?,
                mark: PastMark::read(r)?,
            },
            (5, 4) => Self::Expiry { from: name(r)?, id: r.exact()?, at: UnixMillis(r.uint()?) },
            (6, 4) => Self::Profile {
                account: name(r)?,
                keys: r.sequence(MAX_PROFILE_KEYS, super::super::parts::read_key_bytes)?,
                given: r.optional(super::super::parts::read_key_bytes)?,
            },
            (7, 3) => Self::Handle { account: name(r)?, handle: name(r)? },
            (0..=7, _) => return Err(CborError),
            _ => {
                for _ in 1..len {
                    r.skip()?;
                }
                Self::Unknown
            }
        })
    }
}

impl PastMessage {
    fn write(&self, w: &mut Writer) {
        head(w, if self.mentions.is_empty() { 14 } else { 15 }, 3);
        w.text(&self.with);
        w.text(&self.from);
        w.bytes(&self.id);
        w.uint(self.stamp);
        w.uint(self.sent_at.0);
        self.said.write(w);
        w.optional(self.expires_after.as_ref(), |w, seconds| w.uint(u64::from(*seconds)));
        w.bool(self.read);
        w.bool(self.edited);
        w.optional(self.origin_number.as_ref(), |w, number| w.uint(*number));
        w.optional(self.status.as_ref(), |w, status| w.text(status));
        w.uint(self.delivered);
        w.uint(self.audience);
        if !self.mentions.is_empty() {
            write_mentions(&self.mentions, w);
        }
    }

    fn read(r: &mut Reader<'_>, mentions: bool) -> Result<Self, CborError> {
        let mut message = Self {
            with: name(r)?,
            from: name(r)?,
            id: r.exact()?,
            stamp: r.uint()?,
            sent_at: UnixMillis(r.uint()?),
            said: PastSaid::read(r)?,
            expires_after: r.optional(Reader::u32)?,
            read: r.bool()?,
            edited: r.bool()?,
            origin_number: r.optional(Reader::uint)?,
            status: r.optional(|r| bounded(r, MAX_STATUS_LEN))?,
            delivered: r.uint()?,
            audience: r.uint()?,
            mentions: Vec::new(),
        };
        if mentions {
            message.mentions = read_mentions(r, message.said.text().ok_or(CborError)?)?;
        }
        Ok(message)
    }
}

impl PastSaid {
    /// The text, if it has one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Reply { text, .. } => Some(text),
            Self::Gone | Self::Unknown(_) => None,
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Text(text) => {
                head(w, 2, 1);
                w.text(text);
            }
            Self::Reply { text, target } => {
                head(w, 3, 4);
                w.text(text);
                w.bytes(target);
            }
            Self::Gone => head(w, 1, 6),
            Self::Unknown(kind) => head(w, 1, *kind),
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CborError> {
        let len = r.array()?;
        Ok(match (r.uint()?, len) {
            (1, 2) => Self::Text(bounded(r, MAX_TEXT_LEN)?),
            (4, 3) => Self::Reply { text: bounded(r, MAX_TEXT_LEN)?, target: r.exact()? },
            (6, 1) => Self::Gone,
            (kind, 1) if !matches!(kind, 1 | 4) => Self::Unknown(kind),
            _ => return Err(CborError),
        })
    }
}

impl PastMark {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Edit { text, stamp, mentions } => {
                head(w, if mentions.is_empty() { 3 } else { 4 }, 1);
                w.text(text);
                w.uint(*stamp);
                if !mentions.is_empty() {
                    write_mentions(mentions, w);
                }
            }
            Self::Delete => head(w, 1, 2),
            Self::Reaction { emoji, stamp } => {
                head(w, 3, 3);
                w.text(emoji);
                w.uint(*stamp);
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CborError> {
        let len = r.array()?;
        Ok(match (r.uint()?, len) {
            (1, 3 | 4) => {
                let (text, stamp) = (bounded(r, MAX_TEXT_LEN)?, r.uint()?);
                let mentions = if len == 4 { read_mentions(r, &text)? } else { Vec::new() };
                Self::Edit { text, stamp, mentions }
            }
            (2, 1) => Self::Delete,
            (3, 3) => Self::Reaction { emoji: bounded(r, MAX_REACTION_LEN)?, stamp: r.uint()? },
            _ => return Err(CborError),
        })
    }
}

/// Opens an array of `len` items that begins with its kind.
fn head(w: &mut Writer, len: usize, kind: u64) {
    w.array(len);
    w.uint(kind);
}

fn name(r: &mut Reader<'_>) -> Result<String, CborError> {
    bounded(r, MAX_CONVERSATION_LEN)
}

/// Nobody's words belong in a log.
macro_rules! silent {
    ($($name:ident),*) => {$(
        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

silent!(HistoryItem, PastMessage, PastSaid, PastMark);
