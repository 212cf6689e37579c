//! The commands about the account, its devices, and this profile.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Passphrase, Password, Server, Within};

/// What to do about the account.
#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Makes an account, and this profile its first device.
    Register {
        /// The wanted name, without a region.
        name: String,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        password: Password,
        /// The invitation, where the region asks for one.
        #[arg(long, value_name = "CODE")]
        invite: Option<String>,
    },
    /// Logs in again as the device of this profile, after its session was ended; or as the first
    /// device of an account that has none. Further devices are linked: see `link`.
    Login {
        /// The account's name.
        name: String,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        password: Password,
        /// The one-time password, for accounts that ask for one.
        #[arg(long, value_name = "DIGITS")]
        code: Option<String>,
        /// For an account whose devices are all lost, without a backup: goes on under a new identity
        /// key. All other devices are removed, conversations are lost, and everybody who knows the
        /// account is told that its key has changed.
        #[arg(long)]
        new_identity: bool,
    },
    /// Removes this device from the account. What it has said and heard stays in the profile, and can be
    /// read there, as by `history` and `export`, until its directory is deleted.
    Logout {
        /// Also if it is the account's only device: without a backup nobody has its identity key then.
        #[arg(long)]
        last: bool,
    },
    /// Gives the account another password. All its other sessions end: their devices log in again with the
    /// new one.
    #[command(name = "password")]
    ChangePassword {
        #[command(flatten)]
        password: Password,
        /// Reads the new password from the first line of this file; `-` is standard input, where it comes
        /// after the present one.
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
    },
    /// Deletes the account for good, with all its devices and what waits for them. Nothing brings it back,
    /// nobody gets its name again, and what others have of it stays theirs.
    #[command(name = "delete-account")]
    Delete {
        #[command(flatten)]
        password: Password,
        /// The one-time password, for accounts that ask for one.
        #[arg(long, value_name = "DIGITS")]
        code: Option<String>,
        /// The account's name with its region, `ada@eu.example`: it is asked for otherwise.
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
    /// The account's devices: lists them, or removes one.
    Devices {
        /// Removes the device with this number: it hears nothing from then on.
        #[arg(long, value_name = "NUMBER")]
        remove: Option<u8>,
    },
    /// Writes what a new device needs to go on as you into a file: the identity, people, titles of
    /// groups and conversations. Whoever has the file and its passphrase is you.
    Backup {
        /// The file, which only you can read.
        file: PathBuf,
        /// Replaces a file that is there, once the new one is whole.
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Makes this profile a new device of an account, out of a backup. Other devices stay what they are.
    Restore {
        /// What `backup` has written.
        file: PathBuf,
        /// The account's name.
        name: String,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        password: Password,
        #[command(flatten)]
        passphrase: Passphrase,
        /// The one-time password, for accounts that ask for one.
        #[arg(long, value_name = "DIGITS")]
        code: Option<String>,
    },
    /// Makes this profile a further device of an account: shows a code, and waits until it is
    /// given to `approve` on another device of the account.
    Link {
        #[command(flatten)]
        server: Server,
    },
    /// Lets a device in that shows this code. It will read and write as you.
    Approve {
        /// What the new device shows.
        code: String,
        /// Reads the device-link PIN from the first line of this file, for accounts that have one.
        #[arg(long, value_name = "FILE")]
        pin_file: Option<PathBuf>,
        #[command(flatten)]
        within: Within,
    },
    /// Who this profile is.
    Whoami,
    /// What you are called, and a few words about you: shows it, or says it anew. The homeserver keeps it
    /// encrypted; those whom you write to or accept can read it, and the members of groups that you
    /// speak in.
    Profile {
        /// What you are called; an empty one takes it back.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// A few words about you; empty ones take them back.
        #[arg(long, value_name = "WORDS")]
        about: Option<String>,
        #[command(flatten)]
        within: Within,
    },
}
