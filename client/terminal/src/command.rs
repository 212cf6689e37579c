//! The scriptable commands.

mod account;

mod backup;

mod devices;

mod export;

mod group_links;

mod groups;

mod link;

mod listen;

mod people;

mod profile;

mod read;

mod report;

mod requests;

mod safety;

mod security;

mod send;

mod ticks;

pub(crate) use groups::role;
pub(crate) use safety::grouped;

use crate::{
    args::{Account, Args, Command, Groups},
    ended::explain,
    failure::Failure,
    output::Output,
    profile::Profile,
    screen,
    session::Session,
};

/// The device of a profile, which says on standard error when its homeserver is not reached. One that is
/// none any more does nothing, and says why.
async fn open(profile: Profile, output: Output) -> Result<Session, Failure> {
    match profile.ended()?.filter(|ended| ended.is_final()) {
        Some(ended) => Err(ended.failure()),
        None => open_to_read(profile, output).await,
    }
}

/// The same, for what reads what the device has: also of one that is none any more.
async fn open_to_read(profile: Profile, output: Output) -> Result<Session, Failure> {
    Ok(Session::open(profile).await?.telling(output))
}

/// Does what the command line asks for.
pub(crate) async fn run(args: Args, output: Output) -> Result<(), Failure> {
    let profile = Profile::find(&args)?;
    let theme = args.theme();
    let done = match args.command {
        None => Box::pin(screen::run(&profile, theme)).await,
        Some(command) => Box::pin(act(profile.clone(), command, output)).await,
    };
    done.map_err(|failure| explain(&profile, failure))
}

/// What is about the account, its devices, and the profile.
async fn own(profile: Profile, command: Account, output: Output) -> Result<(), Failure> {
    match command {
        Account::Register { name, server, password, invite } => {
            let new = account::New { name, server, password };
            Box::pin(account::register(&profile, &new, invite, output)).await
        }
        Account::Login { name, server, password, code, new_identity } => {
            let new = account::New { name, server, password };
            let proof = account::Proof { code, new_identity };
            Box::pin(account::log_in(&profile, &new, proof, output)).await
        }
        Account::Logout { last } => {
            account::log_out(open(profile.clone(), output).await?, &profile, last, output).await
        }
        Account::ChangePassword { password, new_password_file } => {
            let session = open(profile, output).await?;
            let current = password.password_file;
            let from = security::Passwords { current, new: new_password_file };
            Box::pin(security::password(session, &from, output)).await
        }
        Account::Delete { password, code, confirm } => {
            let session = open(profile.clone(), output).await?;
            let password = password.password_file;
            let wanted = security::Deletion { password, code, confirm };
            Box::pin(security::delete(session, &profile, wanted, output)).await
        }
        Account::Devices { remove } => {
            devices::run(open(profile, output).await?, remove, output).await
        }
        Account::Backup { file, replace, passphrase } => {
            let passphrase = passphrase.passphrase_file;
            let wanted = backup::Wanted { file, replace, passphrase };
            Box::pin(backup::make(open(profile, output).await?, &wanted, output)).await
        }
        Account::Restore { file, name, server, password, passphrase, code } => {
            let new = account::New { name, server, password };
            let from = backup::From { file, passphrase: passphrase.passphrase_file, code };
            Box::pin(backup::restore(&profile, &new, from, output)).await
        }
        Account::Link { server } => Box::pin(link::link(&profile, &server, output)).await,
        Account::Approve { code, pin_file, within } => {
            let session = open(profile, output).await?;
            let asked = link::Approval { code, pin_file, within: within.duration() };
            Box::pin(link::approve(session, &asked, output)).await
        }
        Account::Profile { name, about, within } => {
            let session = open(profile, output).await?;
            let said = profile::Said { name, about, within: within.duration() };
            Box::pin(profile::run(session, said, output)).await
        }
        Account::Whoami => read::whoami(open_to_read(profile, output).await?, output).await,
    }
}

/// What is about other people, and the rest.
async fn act(profile: Profile, command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Account(command) => Box::pin(own(profile, command, output)).await,
        Command::Conversations => {
            read::conversations(open_to_read(profile, output).await?, output).await
        }
        Command::Send { to, text, wait, disappear, within } => {
            let text = send::text(text)?;
            let session = open(profile, output).await?;
            let within = within.duration();
            let sending = send::Sending { to, text, wait, disappear, within };
            Box::pin(send::send(session, &sending, output)).await
        }
        Command::Listen { count, timeout, mark_read, watch } => {
            let session = open(profile, output).await?;
            let listening = listen::Listening { count, timeout, mark_read, watch };
            Box::pin(listen::listen(session, &listening, output)).await
        }
        Command::History { with, limit, search, mark_read } => {
            let session = open_to_read(profile, output).await?;
            let asked = read::Asked { with, limit, search, mark_read };
            Box::pin(read::history(session, &asked, output)).await
        }
        Command::Groups { within, command } => {
            let session = match &command {
                None | Some(Groups::List | Groups::History { .. } | Groups::Members { .. }) => {
                    open_to_read(profile, output).await?
                }
                Some(_) => open(profile, output).await?,
            };
            Box::pin(groups::run(session, command, within.duration(), output)).await
        }
        Command::Requests { accept, decline } => {
            let session = open(profile, output).await?;
            Box::pin(requests::run(session, accept, decline, output)).await
        }
        Command::Contacts { listed } => {
            people::contacts(open(profile, output).await?, listed, output).await
        }
        Command::Blocks { listed } => {
            people::blocks(open(profile, output).await?, listed, output).await
        }
        Command::Report { user, reason, comment, messages, last } => {
            let session = open(profile, output).await?;
            let wanted = report::Reported { user, reason, comment, messages, last };
            Box::pin(report::run(session, &wanted, output)).await
        }
        Command::Export { to } => {
            export::run(open_to_read(profile, output).await?, to.as_deref()).await
        }
        Command::Safety { with, verify, accept } => {
            let session = open(profile, output).await?;
            let act = safety::Act { verify, accept };
            Box::pin(safety::safety(session, &with, act, output)).await
        }
    }
}
