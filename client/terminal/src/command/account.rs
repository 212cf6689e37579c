//! `register`, `login` and `logout`.

use posthouse_client::{ClientError, NewAccount};
use posthouse_protocol::rest::Secret;
use serde_json::{Value, json};

use crate::{
    args::{Password, Server},
    ended::Ended,
    failure::{Exit, Failure},
    output::Output,
    profile::{Chosen, Profile},
    secret,
    session::Session,
};

/// Whose device it shall be.
#[derive(Debug)]
pub(super) struct New {
    pub(super) name: String,
    pub(super) server: Server,
    pub(super) password: Password,
}

/// What else `login` was told.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) code: Option<String>,
    /// All devices are lost.
    pub(super) new_identity: bool,
}

impl New {
    pub(super) fn account(&self, twice: bool) -> Result<NewAccount, Failure> {
        let file = self.password.password_file.as_deref();
        let password = if twice { secret::first_password(file)? } else { secret::password(file)? };
        let mut account = NewAccount::new(&self.name, &password);
        account.device_name = Some(self.server.device_name.clone());
        Ok(account)
    }
}

pub(super) async fn register(
    profile: &Profile,
    new: &New,
    invite: Option<String>,
    output: Output,
) -> Result<(), Failure> {
    let chosen = Chosen::new(&new.server, profile)?;
    let mut account = new.account(true)?;
    account.invite = invite.map(Secret);
    let opened = chosen.home.register(profile.store().await?, &account).await?;
    chosen.remember(profile)?;
    let session = Session::of(profile.clone(), opened)?;
    say_who(&session, "registered", output);
    output
        .remark("`posthouse-chat profile --name NAME` says to whom you write what you are called.");
    session.close().await;
    Ok(())
}

pub(super) async fn log_in(
    profile: &Profile,
    new: &New,
    proof: Proof,
    output: Output,
) -> Result<(), Failure> {
    let chosen = Chosen::new(&new.server, profile)?;
    let account = new.account(false)?;
    let (home, store, code) = (&chosen.home, profile.store().await?, proof.code.map(Secret));
    let opened = if proof.new_identity {
        home.begin_anew(store, &account, code).await
    } else {
        home.log_in(store, &account, code).await
    };
    // It is the right server, too, if it knows the account and this profile needs another way in.
    if matches!(opened, Ok(_) | Err(ClientError::LinkNeeded)) {
        chosen.remember(profile)?;
    }
    let opened = opened.map_err(|err| not_let_in(profile, err))?;
    profile.goes_on()?;
    let session = Session::of(profile.clone(), opened)?;
    say_who(&session, "logged_in", output);
    if proof.new_identity {
        output.remark(
            "Your identity key is a new one: compare safety numbers with people anew, and ask to be \
             invited to your groups again.",
        );
    }
    session.close().await;
    Ok(())
}

/// Why a log-in came to nothing. There is a device in the profile if the homeserver misses it.
fn not_let_in(profile: &Profile, err: ClientError) -> Failure {
    let is_gone = err.code() == Some("not_found");
    let failure = Failure::from(err);
    if !is_gone {
        return failure;
    }
    let known = profile.ended().ok().flatten().filter(|known| known.is_final());
    let ended = known.unwrap_or_else(|| {
        // It is said in any case, and found again by the next log-in.
        _ = profile.end(Ended::Removed);
        Ended::Removed
    });
    failure.meaning(ended.failure())
}

/// Takes this device out of its account; the only one if `last` says so.
pub(super) async fn log_out(
    session: Session,
    profile: &Profile,
    last: bool,
    output: Output,
) -> Result<(), Failure> {
    let (account, device) = (session.client.account().clone(), session.client.device());
    let name = format!("{}@{}", session.client.handle(), account.server);
    if !last && session.client.devices().await?.iter().all(|one| one.current) {
        session.close().await;
        return Err(Failure::new(
            Exit::Usage,
            "This is the account's only device: no other has its identity key.",
            "Make a backup with `posthouse-chat backup FILE`, or link another device. `logout --last` \
             goes all the same.",
        ));
    }
    session.client.log_out().await?;
    profile.end(Ended::LoggedOut)?;
    let object = json!({ "event": "logged_out", "account": account, "device": device });
    output.print(&object, format!("Device {device} is none of {name}'s any more."));
    output.remark(format!(
        "What it has said and heard is still in {}: `history` and `export` read it; delete the directory to \
         be rid of it.",
        profile.dir().display()
    ));
    Ok(())
}

/// Tells whose device it is now.
pub(super) fn say_who(session: &Session, event: &str, output: Output) {
    let (object, name) = who(session, event);
    output.print(&object, format!("You are {name}."));
}

/// Whose device it is, as an object and in words.
pub(super) fn who(session: &Session, event: &str) -> (Value, String) {
    let (account, handle) = (session.client.account(), session.client.handle());
    let (device, region) = (session.client.device(), &account.server);
    let object = json!({
        "event": event, "account": account, "handle": format!("{handle}@{region}"), "device": device,
    });
    (object, format!("{handle}@{region}, device {device} ({account})"))
}
