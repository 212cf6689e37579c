//! What lies over a conversation.

use posthouse_client::KeyTrust;

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
    /// The own devices, one a line.
    Devices(Vec<String>),
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
    /// The reaction to the chosen message.
    Reaction,
}

impl Question {
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
