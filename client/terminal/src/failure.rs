//! Failures as a person sees them: what went wrong, what to do about it, and the exit code.

use core::fmt;
use std::{path::Path, process::ExitCode};

use posthouse_client::{ClientError, EndpointError, Error, StoreError};
use serde_json::{Value, json};

use crate::ended::Ended;

/// The exit codes (docs/chat.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A failure that no other code names. 1.
    Other,
    /// The command line is wrong, or the profile is not ready. 2.
    Usage,
    /// The homeserver refused. 3.
    Refused,
    /// The homeserver cannot be reached. 4.
    Unreachable,
    /// The time is over. 5.
    Waits,
    /// Somebody's identity key has changed. 6.
    KeyChanged,
    /// The store is in use or cannot be used. 7.
    Store,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Other => 1_u8,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Unreachable => 4,
            Exit::Waits => 5,
            Exit::KeyChanged => 6,
            Exit::Store => 7,
        })
    }
}

/// A failure. None of its parts holds a secret.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    exit: Exit,
    code: Option<String>,
    fact: String,
    advice: String,
}

impl Failure {
    /// A failure with `fact`, what went wrong, and `advice`, what to do: whole sentences.
    pub(crate) fn new(exit: Exit, fact: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { exit, code: None, fact: fact.into(), advice: advice.into() }
    }

    /// A file of the person's, or of the profile's, cannot be used.
    pub(crate) fn file(exit: Exit, path: &Path, err: &std::io::Error) -> Self {
        let fact = format!("{} cannot be used: {err}.", path.display());
        Self::new(exit, fact, "Check the path, and who may read and write it.")
    }

    /// The same with another advice.
    pub(crate) fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: advice.into(), ..self }
    }

    /// The same refusal with what it means here.
    pub(crate) fn meaning(self, told: Self) -> Self {
        Self { code: self.code, ..told }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "event": "error", "code": self.code, "message": self.fact, "advice": self.advice })
    }

    /// The same while it is no failure: what it is about is tried again, or told without.
    pub(crate) fn passing_json(&self, event: &str) -> Value {
        json!({ "event": event, "message": self.fact, "advice": self.advice })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {}", self.fact, self.advice)
    }
}

impl From<EndpointError> for Failure {
    fn from(err: EndpointError) -> Self {
        let advice = "Give the homeserver as --server https://chat.example, or \
                      http://127.0.0.1:PORT for one on this machine.";
        Self::new(Exit::Usage, format!("That is no homeserver's address: {err}."), advice)
    }
}

impl From<ClientError> for Failure {
    fn from(err: ClientError) -> Self {
        let (exit, advice) = match &err {
            ClientError::AlreadyThere => (
                Exit::Usage,
                "`posthouse-chat whoami` says whose. Choose another profile with --profile NAME.",
            ),
            ClientError::NoDevice => (
                Exit::Usage,
                "Begin with `posthouse-chat register NAME --server URL`, or with `posthouse-chat \
                 link --server URL` if you have the account on another device, or with \
                 `posthouse-chat restore FILE NAME --server URL` if you have a backup.",
            ),
            ClientError::LinkNeeded => (
                Exit::Usage,
                "Run `posthouse-chat link --server URL` here and give its code to \
                 `posthouse-chat approve CODE` on the other device. If all are lost: \
                 `posthouse-chat restore` with a backup, or `login --new-identity` without.",
            ),
            ClientError::Backup(_) => {
                (Exit::Usage, "Check the passphrase, and that the file is whole.")
            }
            ClientError::File(_) => {
                (Exit::Usage, "Check the path, the disk, and who may read and write there.")
            }
            ClientError::OtherIdentity => (
                Exit::Refused,
                "The account was set up anew since the backup was made: link this device to one of \
                 its present ones.",
            ),
            ClientError::Link(why) if why.contains("group") => {
                (Exit::Usage, "Copy the whole link, which begins with `posthouse-group:`.")
            }
            ClientError::Link(_) => (
                Exit::Usage,
                "Copy the whole code, which begins with `posthouse-link:`. A code is good for \
                 five minutes: `posthouse-chat link` shows another one.",
            ),
            ClientError::Oneself => (Exit::Usage, "Name somebody else."),
            ClientError::ProfileTooLong => (Exit::Usage, "Say it in fewer words."),
            ClientError::Name(_) => {
                (Exit::Usage, "Names have the form `bob`, or `bob@us.example` of another region.")
            }
            ClientError::TooLong => (Exit::Usage, "A text has at most 32 KiB: send it in parts."),
            ClientError::SessionEnded => return Ended::Session.failure(),
            ClientError::Store(err) => return Self::from_store(err),
            ClientError::Transport(err) => return Self::from_transport(err),
            ClientError::UnknownKeys => (
                Exit::Usage,
                "The number exists once a message went there or came from there: send one first.",
            ),
            ClientError::OtherDevices(_) => {
                (Exit::Refused, "Remove them with the client that added them, then log in again.")
            }
            _ => (Exit::Other, "Try it again."),
        };
        let mut fact = match &err {
            ClientError::AlreadyThere => "this profile is a device already".to_owned(),
            ClientError::NoDevice => "this profile is no device yet".to_owned(),
            other => other.to_string(),
        };
        capitalise(&mut fact);
        Self::new(exit, format!("{fact}."), advice)
    }
}

impl From<StoreError> for Failure {
    fn from(err: StoreError) -> Self {
        Self::from_store(&err)
    }
}

impl From<Error> for Failure {
    fn from(err: Error) -> Self {
        Self::from_transport(&err)
    }
}

impl Failure {
    fn from_store(err: &StoreError) -> Self {
        let advice = match err {
            StoreError::InUse => {
                "Another posthouse-chat runs with this profile: end it, or choose another profile \
                 with --profile NAME."
            }
            StoreError::Version(_) => "A newer posthouse-chat has written it: use that one.",
            _ => "Check the disk and who owns the profile's directory.",
        };
        Self::new(Exit::Store, format!("The profile's store cannot be used: {err}."), advice)
    }

    fn from_transport(err: &Error) -> Self {
        let (exit, advice) = match (err, err.code()) {
            (_, Some("handle_taken")) => (Exit::Refused, "Choose another name."),
            (_, Some("unknown_user")) => {
                (Exit::Refused, "Check the name; people of other regions are `name@region`.")
            }
            (_, Some("wrong_credentials")) => (Exit::Refused, "Check the name and the password."),
            (_, Some("code_required" | "wrong_code")) => (
                Exit::Refused,
                "The account has one-time passwords: --code DIGITS takes the one that your \
                 authenticator shows now.",
            ),
            (_, Some("not_found")) => (
                Exit::Refused,
                "There is nothing like that, or not any more: check what you named; codes expire.",
            ),
            (_, Some("region_unreachable")) => {
                (Exit::Refused, "Check the name of the region: it may not exist, or be away.")
            }
            (_, Some("weak_password")) => (
                Exit::Refused,
                "Choose another: a few words that do not belong together are a good one.",
            ),
            (_, Some("bad_request")) => {
                (Exit::Refused, "Change what it names, then repeat the command.")
            }
            (_, Some("pin_required")) => {
                (Exit::Refused, "The account has a PIN for new devices: --pin-file FILE has it.")
            }
            (Error::Refused(_), _) if err.is_transient() => {
                (Exit::Refused, "The homeserver is busy, or you are too fast: wait a little.")
            }
            (Error::Refused(_), _) => (Exit::Refused, "The operator of the region knows more."),
            (Error::Trust(_), _) => {
                (Exit::Usage, "--ca takes certificates in PEM, as the operator gives them out.")
            }
            _ => return Self::unreached(&err.to_string()),
        };
        let code = err.code().map(str::to_owned);
        Self { code, ..Self::new(exit, sentence(&err.to_string()), advice) }
    }

    /// The homeserver is not reached: why, as the SDK says it.
    pub(crate) fn unreached(reason: &str) -> Self {
        let advice = if is_about_name(reason) {
            "The certificate is for another name: give the address as the certificate has it, and \
             where it is with --at ADDRESS:PORT if DNS does not say so."
        } else if reason.contains("ertificate") {
            "The server's certificate is not believed. If its region has a private \
             authority, give its certificate with --ca FILE."
        } else if reason.starts_with("refused") {
            "The homeserver is busy, or you are too fast: wait a little."
        } else {
            "Check the address, and whether the server runs."
        };
        Self::new(Exit::Unreachable, sentence(reason), advice)
    }
}

/// What an error says, as a sentence. Addresses stay as they are.
fn sentence(fact: &str) -> String {
    let mut fact = format!("{}.", fact.trim_end_matches('.'));
    if !fact.starts_with("http") {
        capitalise(&mut fact);
    }
    fact
}

/// Whether a certificate is for another name, as the TLS library says it.
fn is_about_name(failure: &str) -> bool {
    failure.contains("ertificate") && failure.contains("not valid for name")
}

fn capitalise(text: &mut str) {
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
}
