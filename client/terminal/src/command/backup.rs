//! `backup` and `restore`: what a device knows, in a file under a passphrase (docs/backups.md).

use std::{
    io,
    path::{Path, PathBuf},
};

use posthouse_protocol::rest::Secret;
use serde_json::json;

use super::account::{New, say_who};
use crate::{
    failure::{Exit, Failure},
    output::Output,
    profile::{Chosen, Profile},
    secret,
    session::Session,
};

/// What `backup` was asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) file: PathBuf,
    pub(super) replace: bool,
    pub(super) passphrase: Option<PathBuf>,
}

/// What `restore` was given.
#[derive(Debug)]
pub(super) struct From {
    pub(super) file: PathBuf,
    pub(super) passphrase: Option<PathBuf>,
    pub(super) code: Option<String>,
}

pub(super) async fn make(session: Session, wanted: &Wanted, output: Output) -> Result<(), Failure> {
    if !wanted.replace && wanted.file.exists() {
        let there = io::Error::from(io::ErrorKind::AlreadyExists);
        let failure = Failure::file(Exit::Usage, &wanted.file, &there);
        return Err(failure.advise("Choose another name, or replace it with --replace."));
    }
    let passphrase = secret::new_passphrase(wanted.passphrase.as_deref())?;
    output.remark("Making the key and writing the backup …");
    let messages = session.client.back_up(&wanted.file, &passphrase).await?;
    let file = shown(&wanted.file);
    let object = json!({ "event": "backup", "file": file, "messages": messages });
    output.print(&object, format!("{file} has everything, with {messages} messages."));
    output.remark("Without the passphrase nobody can read it, and neither can you.");
    session.close().await;
    Ok(())
}

pub(super) async fn restore(
    profile: &Profile,
    new: &New,
    from: From,
    output: Output,
) -> Result<(), Failure> {
    let chosen = Chosen::new(&new.server, profile)?;
    let account = new.account(false)?;
    let passphrase = secret::passphrase(from.passphrase.as_deref())?;
    output.remark("Making the key and reading the backup …");
    let (store, code) = (profile.store().await?, from.code.map(Secret));
    let backup = (from.file.as_path(), passphrase.as_str());
    let opened = chosen.home.restore(store, &account, code, backup).await?;
    chosen.remember(profile)?;
    let session = Session::of(profile.clone(), opened)?;
    say_who(&session, "restored", output);
    session.close().await;
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
