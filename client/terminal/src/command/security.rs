//! `password` and `delete-account`: what takes the account's password once more.

use std::path::PathBuf;

use posthouse_protocol::rest::Secret;
use serde_json::json;

use crate::{
    ended::Ended,
    failure::{Exit, Failure},
    output::Output,
    profile::Profile,
    secret,
    session::Session,
};

/// Where the passwords come from.
#[derive(Debug)]
pub(super) struct Passwords {
    pub(super) current: Option<PathBuf>,
    pub(super) new: Option<PathBuf>,
}

pub(super) async fn password(
    session: Session,
    from: &Passwords,
    output: Output,
) -> Result<(), Failure> {
    let current = secret::password(from.current.as_deref())?;
    let new = secret::new_password(from.new.as_deref())?;
    let (current, new) = (Secret(current.to_string()), Secret(new.to_string()));
    session.client.change_password(current, new).await?;
    let object = json!({ "event": "password_changed", "account": session.client.account() });
    output.print(&object, "The account has the new password.");
    output.remark(
        "All other sessions are ended: `posthouse-chat login NAME` with the new one on your other \
         devices.",
    );
    session.close().await;
    Ok(())
}

/// What `delete-account` was given.
#[derive(Debug)]
pub(super) struct Deletion {
    pub(super) password: Option<PathBuf>,
    /// The one-time password.
    pub(super) code: Option<String>,
    /// The name that was typed already.
    pub(super) confirm: Option<String>,
}

pub(super) async fn delete(
    session: Session,
    profile: &Profile,
    wanted: Deletion,
    output: Output,
) -> Result<(), Failure> {
    let account = session.client.account().clone();
    let name = format!("{}@{}", session.client.handle(), account.server);
    confirmed(&name, wanted.confirm)?;
    let password = secret::password(wanted.password.as_deref())?;
    let (password, code) = (Secret(password.to_string()), wanted.code.map(Secret));
    session.client.delete_account(password, code).await?;
    profile.end(Ended::Deleted)?;
    let object = json!({ "event": "account_deleted", "account": account });
    output.print(&object, format!("{name} is deleted for good."));
    output.remark(format!(
        "What this device has said and heard is still in {}: delete the directory to be rid of it.",
        profile.dir().display()
    ));
    Ok(())
}

/// The person has typed the account's name, and so knows which one goes.
fn confirmed(name: &str, given: Option<String>) -> Result<(), Failure> {
    let typed = if let Some(given) = given {
        given
    } else {
        let question = format!(
            "This deletes the account {name}, all its devices and what waits for them; nothing brings \
             it back.\nType {name} to go on: "
        );
        secret::seen(&question, "--confirm")?
    };
    if typed.trim() == name {
        return Ok(());
    }
    let fact = format!("\"{}\" is not {name}: nothing was deleted.", typed.trim());
    Err(Failure::new(Exit::Usage, fact, "Type the whole name, with its region."))
}
