//! The messages of the Signal protocol as bytes: a version byte, Protocol Buffers, and a MAC or
//! a signature.

pub mod message;
pub mod prekey_message;
pub mod sender_key_message;

pub(crate) mod protobuf;

/// The longest message that a parser looks at, in bytes. A body of 64 KiB fits with room for
/// padding and headers.
pub const MAX_MESSAGE_LEN: usize = 256 * 1024;

/// Why bytes are no message of the Signal protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A key in it is malformed.
    #[error("the message holds a malformed key")]
    Key(#[from] super::primitives::curve::KeyError),
    /// Not of the form that the version byte announces, or a field is missing.
    #[error("the message is malformed")]
    Malformed,
    /// Longer than [`MAX_MESSAGE_LEN`].
    #[error("the message is too long")]
    TooLong,
    /// A version of the protocol that is not spoken here.
    #[error("the message has version {0}")]
    Version(u8),
}

#[cfg(test)]
mod tests;
