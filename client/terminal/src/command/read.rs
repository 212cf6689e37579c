//! `whoami`, `conversations` and `history`: what this device knows.

use posthouse_client::{Client, ClientError, Entry};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::account::who;
use crate::{
    failure::Failure,
    output::Output,
    session::{self, Session},
    talk::Talk,
};

/// Messages that a search reads at once.
const PAGE: usize = 200;

pub(super) async fn whoami(mut session: Session, output: Output) -> Result<(), Failure> {
    // Whether the homeserver still knows the device; if it is away, nothing is missed.
    _ = session.news(false, Instant::now() + session::NEWS).await?;
    let ended = session.how_ended()?;
    let (mut object, name) = who(&session, "whoami");
    if let Value::Object(object) = &mut object {
        object.insert("ended".to_owned(), json!(ended));
    }
    let text = match ended {
        Some(ended) if ended.is_final() => format!("You were {name}.\n{}", ended.failure()),
        Some(ended) => format!("You are {name}.\n{}", ended.failure()),
        None => format!("You are {name}."),
    };
    output.print(&object, text);
    session.close().await;
    Ok(())
}

pub(super) async fn conversations(mut session: Session, output: Output) -> Result<(), Failure> {
    session.refreshed(false, Instant::now() + session::NEWS, output).await?;
    let all = session.client.conversations().await?;
    if all.is_empty() {
        output.remark(
            "You have talked with nobody here yet: `posthouse-chat send NAME TEXT` begins.",
        );
    }
    for one in all {
        session.learn_all(&one.with).await?;
        let (name, said) = (session.names.of(&one.with), session.names.said(&one.with));
        let object = json!({
            "event": "conversation", "with": one.with, "with_name": name, "with_profile": said,
            "unread": one.unread, "active": one.active, "mentioned": one.mentioned, "disappears": one.disappears,
        });
        let sign = if one.mentioned > 0 { "@" } else { "" };
        let unread =
            if one.unread == 0 { String::new() } else { format!("  {sign}{}", one.unread) };
        if !output.print(&object, format!("{}{unread}", session.names.full(&one.with))) {
            break;
        }
    }
    session.close().await;
    Ok(())
}

/// What `history` was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) with: String,
    pub(super) limit: usize,
    pub(super) search: Option<String>,
    pub(super) mark_read: bool,
}

pub(super) async fn history(
    mut session: Session,
    asked: &Asked,
    output: Output,
) -> Result<(), Failure> {
    let with = session.find(&asked.with).await?;
    session.learn_all(&with).await?;
    let own = session.client.account().clone();
    let with = Talk::Person(with);
    for entry in newest(&session.client, &with, asked.limit, asked.search.as_deref()).await? {
        if !output.entry(&own, &entry, &session.names) {
            break;
        }
    }
    if asked.mark_read && session.ended.is_none() {
        with.mark_read(&session.client).await?;
    }
    session.close().await;
    Ok(())
}

/// The newest messages that are asked for, the oldest of them first.
pub(super) async fn newest(
    client: &Client,
    with: &Talk,
    limit: usize,
    search: Option<&str>,
) -> Result<Vec<Entry>, ClientError> {
    let Some(wanted) = search.map(str::to_lowercase) else {
        return with.timeline(client, None, limit).await;
    };
    let mut found: Vec<Entry> = Vec::new();
    let mut before: Option<Entry> = None;
    while found.len() < limit {
        let page = with.timeline(client, before.as_ref(), PAGE).await?;
        let Some(oldest) = page.first().cloned() else { break };
        let matches =
            |one: &Entry| one.said.text().is_some_and(|t| t.to_lowercase().contains(&wanted));
        let room = limit - found.len();
        found.extend(page.into_iter().rev().filter(matches).take(room));
        before = Some(oldest);
    }
    found.reverse();
    Ok(found)
}
