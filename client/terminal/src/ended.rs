//! A profile whose device is none any more, or has lost its session: what has happened, and what can be
//! done about it. What this device has said and heard stays readable.

use posthouse_client::ClientError;
use serde::{Deserialize, Serialize};

use crate::{
    failure::{Exit, Failure},
    profile::Profile,
};

/// What has happened. The words are those of `ended.json` and of `whoami` (docs/chat.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    /// It has taken itself out of the account.
    LoggedOut,
    /// It is not among the account's devices any more: another one has taken it out.
    Removed,
    /// The account was deleted, from here.
    Deleted,
    /// The homeserver takes its session no more, and has not said why.
    #[serde(rename = "session_ended")]
    Session,
}

const ANOTHER: &str = "`history` and `export` still read what this profile has. To go on, make another \
                       profile (--profile NAME) a device of the account: `posthouse-chat link --server \
                       URL`, or, if the account has none left, `restore` with a backup or `login \
                       --new-identity` without.";

impl Ended {
    /// Whether nothing brings the device back.
    pub(crate) fn is_final(self) -> bool {
        self != Self::Session
    }

    /// What has happened, as a sentence.
    pub(crate) fn fact(self) -> &'static str {
        match self {
            Self::LoggedOut => "This profile's device has logged out of the account.",
            Self::Removed => "This profile's device was removed from the account.",
            Self::Deleted => "This profile's account was deleted.",
            Self::Session => "The homeserver has ended this device's session.",
        }
    }

    /// What can be done.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::LoggedOut | Self::Removed => ANOTHER,
            Self::Deleted => {
                "`history` and `export` still read what this profile has. Choose another one with \
                 --profile NAME."
            }
            Self::Session => {
                "After a change of the password, `posthouse-chat login NAME` goes on with the new one. If \
                 another device has removed this one, that is refused and says what to do."
            }
        }
    }

    /// Why a command cannot do what it should.
    pub(crate) fn failure(self) -> Failure {
        Failure::new(Exit::Refused, self.fact(), self.advice())
    }
}

/// A failure with what is known of the device that met it. That its session has ended is remembered.
pub(crate) fn explain(profile: &Profile, failure: Failure) -> Failure {
    let known = profile.ended().ok().flatten();
    if failure == Failure::from(ClientError::SessionEnded) {
        if known.is_none() {
            // It is said in any case, and found again by the next command.
            _ = profile.end(Ended::Session);
        }
        return known.unwrap_or(Ended::Session).failure();
    }
    match known.filter(|known| known.is_final()) {
        Some(known) if failure == Failure::from(ClientError::AlreadyThere) => known.failure(),
        _ => failure,
    }
}
