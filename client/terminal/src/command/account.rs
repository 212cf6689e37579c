//! `register` and `login`.

use posthouse_client::NewAccount;
use posthouse_protocol::rest::Secret;
use serde_json::json;

use crate::{
    args::{Password, Server},
    failure::Failure,
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

impl New {
    fn account(&self, twice: bool) -> Result<NewAccount, Failure> {
        let password = secret::password(self.password.password_file.as_deref(), twice)?;
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
    let chosen = Chosen::new(&new.server)?;
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
    code: Option<String>,
    output: Output,
) -> Result<(), Failure> {
    let chosen = Chosen::new(&new.server)?;
    let account = new.account(false)?;
    let opened = chosen.home.log_in(profile.store().await?, &account, code.map(Secret)).await?;
    chosen.remember(profile)?;
    let session = Session::of(profile.clone(), opened)?;
    say_who(&session, "logged_in", output);
    session.close().await;
    Ok(())
}

/// Tells whose device it is now.
pub(super) fn say_who(session: &Session, event: &str, output: Output) {
    let (account, handle) = (session.client.account(), session.client.handle());
    let (device, region) = (session.client.device(), &account.server);
    let object = json!({
        "event": event, "account": account, "handle": format!("{handle}@{region}"), "device": device,
    });
    output.print(&object, format!("You are {handle}@{region}, device {device} ({account})."));
}
