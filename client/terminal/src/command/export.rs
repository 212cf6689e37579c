//! `export`: everything that this device has said and heard, for a person to keep.

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use posthouse_client::Entry;
use posthouse_protocol::id::AccountId;
use serde_json::json;

use crate::{
    failure::{Exit, Failure},
    output::entry_json,
    session::Session,
    talk::Talk,
};

/// The version of the form (docs/chat.md).
const VERSION: u32 = 1;
/// Messages that are read at once.
const PAGE: usize = 200;

pub(super) async fn run(mut session: Session, to: Option<&Path>) -> Result<(), Failure> {
    let into = to.unwrap_or_else(|| "standard output".as_ref());
    let failed = |err: io::Error| Failure::file(Exit::Usage, into, &err);
    let mut out: Box<dyn Write + Send> = match to {
        Some(path) => {
            // What exists is never overwritten.
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            Box::new(BufWriter::new(file.map_err(failed)?))
        }
        None => Box::new(io::stdout()),
    };
    let groups = session.client.groups().await?;
    session.names.learn_groups(groups.iter().map(|one| (one.id.clone(), one.title.clone())));
    let (account, handle) = (session.client.account().clone(), session.client.handle().to_string());
    let head = json!({
        "event": "export", "version": VERSION, "account": account,
        "handle": format!("{handle}@{}", account.server), "device": session.client.device(),
    });
    writeln!(out, "{head}").map_err(failed)?;
    for one in session.client.conversations().await? {
        session.learn_all(&one.with).await?;
        let name = session.names.of(&one.with);
        let object = json!({ "event": "conversation", "with": one.with, "with_name": name });
        writeln!(out, "{object}").map_err(failed)?;
        messages(&mut session, &Talk::Person(one.with), &mut out).await?.map_err(failed)?;
    }
    for group in groups {
        let members: Vec<_> = session
            .client
            .members(&group.id)
            .await?
            .into_iter()
            .map(|one| json!({ "user": one.account, "role": one.standing }))
            .collect();
        let object = json!({
            "event": "group", "group": group.id, "title": group.title,
            "standing": group.standing, "epoch": group.epoch, "members": members,
        });
        writeln!(out, "{object}").map_err(failed)?;
        messages(&mut session, &Talk::Group(group.id), &mut out).await?.map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    session.close().await;
    Ok(())
}

/// Writes a conversation, the oldest message first. It is read from the newest back, and held in memory
/// meanwhile.
async fn messages(
    session: &mut Session,
    with: &Talk,
    out: &mut (dyn Write + Send),
) -> Result<io::Result<()>, Failure> {
    let mut pages: Vec<Vec<Entry>> = Vec::new();
    loop {
        let before = pages.last().and_then(|page| page.first());
        let page = with.timeline(&session.client, before, PAGE).await?;
        if page.is_empty() {
            break;
        }
        pages.push(page);
    }
    let authors: BTreeSet<&AccountId> = pages.iter().flatten().map(|entry| &entry.from).collect();
    for author in authors {
        session.learn_all(author).await?;
    }
    let own = session.client.account();
    for entry in pages.iter().rev().flatten() {
        if let Err(err) = writeln!(out, "{}", entry_json(own, entry, &session.names)) {
            return Ok(Err(err));
        }
    }
    Ok(Ok(()))
}
