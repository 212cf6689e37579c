//! What lies over a conversation.

use posthouse_client::KeyTrust;
use posthouse_protocol::rest::Secret;

use super::editor::Editor;

/// A dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dialog {
    /// The keys.
    Help,
    /// A line of text is asked for.
    Ask(Question, Editor),
    /// Only messages with this text are shown.
    Search(Editor),
    /// The safety number of the open conversation.
    Safety(Safety),
    /// Who is in the open group; the place of the chosen one.
    Members(usize),
    /// A stranger, or an invitation: whether it is heard.
    Decide,
    /// What the person of the open conversation is to this account.
    Person(Relation),
    /// The own devices.
    Devices(Devices),
}

/// What somebody is to this account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) contact: bool,
    pub(crate) blocked: bool,
}

/// The own devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Devices {
    pub(crate) all: Vec<Device>,
    /// The place of the chosen one.
    pub(crate) at: usize,
    /// Whether a new one is let in by a PIN.
    pub(crate) pin: bool,
}

/// A device of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) number: u8,
    pub(crate) name: String,
    /// It is this one.
    pub(crate) current: bool,
}

/// What a line of text is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whom to write to.
    To,
    /// What a new group is called.
    GroupTitle,
    /// Whom a group of this title begins with.
    GroupPeople(String),
    /// Whom to invite to the open group.
    Invite,
    /// What the open group is to be called.
    Rename,
    /// The code that a new device of the account shows.
    Code,
    /// The PIN that the account asks for, with that code.
    CodePin(String),
    /// The number of the device, to be sure that it is to be removed.
    Remove(Device),
    /// A PIN for letting devices in; none removes it.
    NewPin,
    /// The password, for that PIN.
    PinPassword(Secret),
    /// For how long what is said in the open conversation is shown.
    Disappear,
    /// The reaction to the chosen message.
    Reaction,
    /// What the person is called.
    Name,
}

impl Question {
    /// Whether nobody who looks on shall read what is written.
    pub(crate) fn is_secret(&self) -> bool {
        matches!(self, Self::CodePin(_) | Self::NewPin | Self::PinPassword(_))
    }

    /// Whether nothing is an answer, too.
    pub(crate) fn takes_nothing(&self) -> bool {
        matches!(self, Self::Reaction | Self::NewPin | Self::Disappear | Self::Name)
    }

    /// The title of its box, and what is to be written.
    pub(crate) fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::To => (" Write to (Enter, Esc) ", "A name, or name@region of another region:"),
            Self::GroupTitle => (" New group (Enter, Esc) ", "What its members call it:"),
            Self::GroupPeople(_) => {
                (" New group (Enter, Esc) ", "Whom to invite, with spaces in between:")
            }
            Self::Invite => (" Invite (Enter, Esc) ", "Names, with spaces in between:"),
            Self::Rename => (" Rename the group (Enter, Esc) ", "What its members call it:"),
            Self::Code => {
                (" Let a device in (Enter, Esc) ", "The code that the new device shows as text:")
            }
            Self::CodePin(_) => (" Let a device in (Enter, Esc) ", "Your PIN for new devices:"),
            Self::Remove(_) => (
                " Remove a device (Enter, Esc) ",
                "It hears nothing from then on. Its number, if you are sure:",
            ),
            Self::NewPin => {
                (" PIN for new devices (Enter, Esc) ", "6 to 12 digits; nothing removes the PIN:")
            }
            Self::PinPassword(_) => (" PIN for new devices (Enter, Esc) ", "Your password:"),
            Self::Disappear => (
                " Disappearing messages (Enter, Esc) ",
                "After they were read: 30s, 5m, 12h, 7d; nothing keeps them:",
            ),
            Self::Name => {
                (" Your name (Enter, Esc) ", "What you are called; nothing takes the name back:")
            }
            Self::Reaction => (" React (Enter, Esc) ", "An emoji; nothing takes yours back:"),
        }
    }
}

/// What the safety-number screen shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Safety {
    pub(crate) digits: String,
    pub(crate) trust: KeyTrust,
    pub(crate) code: Vec<String>,
}
