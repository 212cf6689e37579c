//! Why the SDK could not do what it was asked for.

use posthouse_crypto::e2ee::{backup::BackupError, signed::group_epoch::EpochError};
use posthouse_protocol::id::IdError;

use crate::{Error, store::StoreError};

/// A wish of the application that was not fulfilled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The store has a device already; open it.
    #[error("the store has a device already")]
    AlreadyThere,
    /// The account has an identity key that this device does not know: another device of it must
    /// link this one.
    #[error("another device of the account must link this one")]
    LinkNeeded,
    /// The passphrase is wrong, or the file is damaged or no backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The file of a backup could not be written or read.
    #[error("the file failed: {0}")]
    File(#[from] std::io::Error),
    /// The backup is of another account than the one that was logged in to.
    #[error("the backup is of another account")]
    OtherAccount,
    /// The account has another identity key than the backup, or a device list that it did not sign:
    /// it was set up anew since.
    #[error("the account has another identity key than the backup")]
    OtherIdentity,
    /// The account may not change the group in this way, or the change makes no sense any more.
    #[error("the group cannot be changed: {0}")]
    Group(#[from] EpochError),
    /// The group's chain, as the server shows it, was not believed:
    /// [`Update::GroupRefused`](crate::Update::GroupRefused) says why.
    #[error("the group's chain was not believed")]
    Chain,
    /// The account does not know of this group.
    #[error("there is no such group")]
    UnknownGroup,
    /// The link's code, or what came through it, is none of ours.
    #[error("the link is not valid: {0}")]
    Link(&'static str),
    /// The client was stopped, its device was replaced, or its store failed.
    #[error("the client has stopped")]
    Stopped,
    /// The store has no device yet: register, log in or link first.
    #[error("the store has no device")]
    NoDevice,
    /// Notes to oneself need another device to go to.
    #[error("a message needs somebody else to go to")]
    Oneself,
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] IdError),
    /// The account has devices that nobody has signed in.
    #[error("the account has {0} other devices that are in no signed list: remove them first")]
    OtherDevices(usize),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// The name, the words or the picture are longer than a profile may have.
    #[error("the profile is too long: a name has 256 bytes, the words about it 1,024")]
    ProfileTooLong,
    /// The homeserver ended the session: log in again.
    #[error("the session was ended")]
    SessionEnded,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The text is too long for a message.
    #[error("the message is too long")]
    TooLong,
    /// The homeserver was not reached, or refused the call.
    #[error(transparent)]
    Transport(#[from] Error),
    /// Nothing is known of this user's keys yet.
    #[error("nothing is known of the user's keys yet")]
    UnknownKeys,
}

impl ClientError {
    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transport(err) if err.is_transient())
    }

    /// The stable code of a refusal (docs/spec/errors.md).
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Transport(err) => err.code(),
            _ => None,
        }
    }
}
