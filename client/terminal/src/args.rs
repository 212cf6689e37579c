//! The command line.

mod account;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use account::Account;

use crate::screen::{Colours, Theme};

const EXITS: &str = "Exit codes:
  0  done
  1  a failure that no other code names
  2  the command line is wrong, or the profile is not ready
  3  the homeserver refused: the message has its code
  4  the homeserver cannot be reached
  5  the time is over: what was to be sent waits and goes with the next command, or is sent and has not
     come as far as was wanted; its status tells which
  6  somebody's identity key has changed: look at `posthouse-chat safety NAME`
  7  the profile's store is in use, or cannot be read or written";

/// Chats, end-to-end encrypted, from a terminal.
#[derive(Debug, Parser)]
#[command(name = "posthouse-chat", version, after_help = EXITS)]
pub(crate) struct Args {
    /// Prints one JSON object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Which account: each profile is a device with a store of its own.
    #[arg(long, global = true, default_value = "default", env = "POSTHOUSE_CHAT_PROFILE")]
    pub(crate) profile: String,
    #[command(flatten)]
    pub(crate) place: Place,
    /// The colours of the full screen.
    #[arg(long, value_enum, default_value_t = Colours::Auto)]
    pub(crate) colours: Colours,
    #[arg(long, env = "NO_COLOR", hide = true)]
    no_color: Option<String>,
    #[arg(long, env = "COLORFGBG", hide = true)]
    colorfgbg: Option<String>,
    /// The full screen if there is none.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

impl Args {
    /// How the full screen looks.
    pub(crate) fn theme(&self) -> Theme {
        // no-color.org: set, and not empty.
        let colourless = self.no_color.as_ref().is_some_and(|set| !set.is_empty());
        Theme::new(self.colours, colourless, self.colorfgbg.as_deref())
    }
}

/// Where profiles are.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The directory of all profiles; `posthouse-chat` in the XDG data directory otherwise.
    #[arg(long, global = true, env = "POSTHOUSE_CHAT_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    #[arg(long, global = true, env = "XDG_DATA_HOME", hide = true)]
    pub(crate) xdg_data_home: Option<PathBuf>,
    #[arg(long, global = true, env = "HOME", hide = true)]
    pub(crate) home: Option<PathBuf>,
}

/// Which homeserver. The profile remembers it; what is left out is as it was, unless another one is named.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Server {
    /// The homeserver: `https://host:port`, or `http://127.0.0.1:port` on this machine.
    #[arg(long = "server", value_name = "URL", env = "POSTHOUSE_CHAT_SERVER")]
    pub(crate) url: Option<String>,
    /// The certificates to believe (PEM), in the place of the system's: for a private authority.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Connects to this address, whatever DNS says of the server's name: for a trial.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) at: Option<SocketAddr>,
    /// Takes nothing of what the profile remembers of its homeserver: address, --ca and --at.
    #[arg(long = "forget-server")]
    pub(crate) forget: bool,
    /// What the device is called in the account's list of devices.
    #[arg(long, value_name = "NAME", default_value = "terminal")]
    pub(crate) device_name: String,
}

/// Where the password comes from; a prompt without echo otherwise.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Password {
    /// Reads the password from the first line of this file; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

/// Where the passphrase of a backup comes from; a prompt without echo otherwise.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Passphrase {
    /// Reads the backup's passphrase from the first line of this file; `-` is standard input, where it
    /// comes after the password.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Account(Account),
    /// The conversations, those with the latest activity first.
    Conversations,
    /// Sends a text.
    Send {
        /// Whom to: `bob`, `bob@us.example`, or an account id.
        to: String,
        /// The text; standard input if it is left out.
        text: Option<String>,
        /// How far the message must have come.
        #[arg(long, value_enum, default_value_t = Wanted::Sent)]
        wait: Wanted,
        /// Lets it disappear so many seconds after it was read.
        #[arg(long, value_name = "SECONDS")]
        disappear: Option<u32>,
        #[command(flatten)]
        within: Within,
    },
    /// Prints what happens until it is interrupted: messages, statuses, changed keys.
    Listen {
        /// Ends after so many messages of others.
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
        /// Ends after so many seconds: with exit code 4 if the homeserver was never reached, and with 5 if
        /// fewer messages came than --count asks for.
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
        /// Tells senders that their messages were read.
        #[arg(long)]
        mark_read: bool,
        /// Prints when this one comes and goes, too; may be given more than once.
        #[arg(long, value_name = "NAME")]
        watch: Vec<String>,
    },
    /// Prints the local timeline of a conversation.
    History {
        /// With whom.
        with: String,
        /// The newest so many.
        #[arg(long, value_name = "NUMBER", default_value_t = 50)]
        limit: usize,
        /// Only messages with this text, large or small letters.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// Tells them that their messages were read.
        #[arg(long)]
        mark_read: bool,
    },
    /// Groups: lists them, and changes them. A group is named by its id, or by its title.
    Groups {
        #[command(flatten)]
        within: Within,
        #[command(subcommand)]
        command: Option<Groups>,
    },
    /// Strangers who have written to you: lists them, or decides about one.
    Requests {
        /// Hears this one.
        #[arg(long, value_name = "NAME", conflicts_with = "decline")]
        accept: Option<String>,
        /// Does not hear this one for 30 days, who cannot tell.
        #[arg(long, value_name = "NAME")]
        decline: Option<String>,
    },
    /// The contacts: lists them, or changes one. Two who have each other as contacts see each other
    /// come and go.
    Contacts {
        #[command(flatten)]
        listed: Listed,
    },
    /// Those of whom you hear nothing, and who cannot tell: lists them, or changes one.
    Blocks {
        #[command(flatten)]
        listed: Listed,
    },
    /// Reports somebody to the operator of your region. The operator sees the messages that you choose, in
    /// the clear, and cannot check them; the other one is not told.
    Report {
        /// Whom.
        user: String,
        /// What it is about.
        #[arg(long, value_enum)]
        reason: Reason,
        /// What you say about it.
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
        /// Shows this message of theirs, by its id (`history --json`); may be given more than once.
        #[arg(long = "message", value_name = "ID")]
        messages: Vec<uuid::Uuid>,
        /// Shows the newest so many of their messages to you.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        last: usize,
    },
    /// Writes everything that this device has said and heard, one JSON object a line.
    Export {
        /// A new file, which only you can read; standard output if it is left out.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Shows the safety number of you and somebody: 60 digits, the same on both sides.
    Safety {
        /// Whose.
        with: String,
        /// Remembers that you have compared it and that it is right.
        #[arg(long, conflicts_with = "accept")]
        verify: bool,
        /// Goes on with a key that has changed.
        #[arg(long)]
        accept: bool,
    },
}

/// A change of a list of people; the list itself if there is none.
#[derive(Debug, clap::Args)]
pub(crate) struct Listed {
    /// Puts this one into it.
    #[arg(long, value_name = "NAME", conflicts_with = "remove")]
    pub(crate) add: Option<String>,
    /// Takes this one out of it.
    #[arg(long, value_name = "NAME")]
    pub(crate) remove: Option<String>,
}

/// What to do about groups; a list of them if there is nothing.
#[derive(Debug, Subcommand)]
pub(crate) enum Groups {
    /// Makes a group, and invites people.
    Create {
        /// What its members call it.
        title: String,
        /// Whom to invite.
        people: Vec<String>,
    },
    /// The groups of this account, and those that it is invited to.
    List,
    /// Who is in a group, and who is invited.
    Members {
        /// Which.
        group: String,
    },
    /// Invites people. For admins.
    Invite {
        /// To which.
        group: String,
        /// Whom.
        #[arg(required = true)]
        people: Vec<String>,
    },
    /// Joins a group that you are invited to.
    Accept {
        /// Which.
        group: String,
    },
    /// Leaves a group, or declines an invitation.
    Leave {
        /// Which.
        group: String,
    },
    /// Removes somebody, or takes an invitation back. For admins.
    Remove {
        /// From which.
        group: String,
        /// Whom.
        person: String,
    },
    /// Gives a member a role. For owners.
    Role {
        /// In which.
        group: String,
        /// Whom.
        person: String,
        /// What they shall be.
        #[arg(value_enum)]
        role: Role,
    },
    /// Gives a group another title. For admins.
    Rename {
        /// Which.
        group: String,
        /// What its members call it from now on.
        title: String,
    },
    /// Invite links: lists them, makes one, or ends one. For admins of groups of the own region.
    Link {
        /// Of which group.
        group: String,
        /// Makes one.
        #[arg(long, conflicts_with = "revoke")]
        create: bool,
        /// For how many seconds the new one holds; 30 days otherwise.
        #[arg(long, value_name = "SECONDS", requires = "create")]
        expires: Option<u64>,
        /// Ends this one, by its id.
        #[arg(long, value_name = "ID")]
        revoke: Option<uuid::Uuid>,
    },
    /// Asks to join a group by an invite link.
    Join {
        /// The link.
        link: String,
    },
    /// Who asks to join: lists them, or decides about one. For admins.
    Asking {
        /// To which group.
        group: String,
        /// Lets this one in.
        #[arg(long, value_name = "NAME", conflicts_with = "decline")]
        accept: Option<String>,
        /// Does not let this one in, who is not told.
        #[arg(long, value_name = "NAME")]
        decline: Option<String>,
    },
    /// The regions that may take a group over if its own is gone: shows them, or names others.
    Deputies {
        /// Of which group.
        group: String,
        /// Names these, in the place of those before. For owners.
        #[arg(long, value_name = "REGION", num_args = 1.., conflicts_with = "none")]
        set: Vec<posthouse_protocol::id::ServerName>,
        /// Names none.
        #[arg(long)]
        none: bool,
    },
    /// Sends a text to a group.
    Send {
        /// To which.
        group: String,
        /// The text; standard input if it is left out.
        text: Option<String>,
        /// How far the message must have come: on a device of every member, for `delivered`.
        #[arg(long, value_enum, default_value_t = Wanted::Sent)]
        wait: Wanted,
    },
    /// Prints the local timeline of a group.
    History {
        /// Which.
        group: String,
        /// The newest so many.
        #[arg(long, value_name = "NUMBER", default_value_t = 50)]
        limit: usize,
        /// Only messages with this text, large or small letters.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
}

/// A role in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Writes and leaves.
    Member,
    /// Also invites, removes and renames.
    Admin,
    /// Also gives roles.
    Owner,
}

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reason {
    /// Unwanted advertising.
    Spam,
    /// Insults, threats, pursuit.
    Harassment,
    /// Somebody pretends to be somebody else.
    Impersonation,
    /// What the law forbids.
    Illegal,
    /// Anything else: --comment says what.
    Other,
}

/// How long to wait.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Within {
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", global = true, default_value_t = 30)]
    timeout: u64,
}

impl Within {
    pub(crate) fn duration(self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// How far a message must have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wanted {
    /// Durable in this profile's store: it goes with the next command.
    Queued,
    /// Durable on the homeserver (✓).
    Sent,
    /// On a device of theirs (✓✓).
    Delivered,
    /// Read.
    Read,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Args;

    #[test]
    fn no_command_contradicts_itself() {
        Args::command().debug_assert();
    }
}
