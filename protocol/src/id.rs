//! Identifiers (docs/spec/identifiers.md): servers, accounts, groups, handles, devices, messages,
//! conversations.

mod account;
mod conversation;
mod device;
mod handle;
mod message;
mod server_name;

pub use account::{AccountId, Address, GroupId};
pub use conversation::ConversationId;
pub use device::{DeviceId, DeviceNumber, RegistrationId, SessionId};
pub use handle::{Handle, HandleName};
pub use message::MessageId;
pub use server_name::ServerName;

use uuid::Uuid;

/// Why a text is not an identifier. `what` names the kind of id, `why` the rule that it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {what}: {why}")]
pub struct IdError {
    /// The kind of identifier that was expected, with its article.
    pub what: &'static str,
    /// The rule that the text breaks.
    pub why: &'static str,
}

/// Parses the one accepted form of a UUID: lowercase, with hyphens (RFC 9562 §4).
pub(crate) fn parse_uuid(text: &str, what: &'static str) -> Result<Uuid, IdError> {
    let why = "a UUID in lowercase with hyphens is expected";
    let lowercase = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if text.len() != 36 || !lowercase {
        return Err(IdError { what, why });
    }
    Uuid::try_parse(text).map_err(|_| IdError { what, why })
}

/// Implements `Display`-based serde and `FromStr`-based parsing for an id with a `parse` function.
macro_rules! text_id {
    ($name:ty) => {
        impl core::str::FromStr for $name {
            type Err = $crate::id::IdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_id;
