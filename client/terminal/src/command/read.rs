//! `whoami`, `conversations` and `history`: what this device knows.

use serde_json::json;

use super::account::say_who;
use crate::{failure::Failure, output::Output, session::Session};

pub(super) async fn whoami(session: Session, output: Output) -> Result<(), Failure> {
    say_who(&session, "whoami", output);
    session.close().await;
    Ok(())
}

pub(super) async fn conversations(session: Session, output: Output) -> Result<(), Failure> {
    for one in session.client.conversations().await? {
        let name = session.names.of(&one.with);
        let object = json!({
            "event": "conversation", "with": one.with, "with_name": name, "unread": one.unread,
            "active": one.active,
        });
        let unread = if one.unread == 0 { String::new() } else { format!("  {}", one.unread) };
        if !output.print(&object, format!("{name}{unread}")) {
            break;
        }
    }
    session.close().await;
    Ok(())
}

pub(super) async fn history(
    mut session: Session,
    with: &str,
    limit: usize,
    mark_read: bool,
    output: Output,
) -> Result<(), Failure> {
    let with = session.find(with).await?;
    let own = session.client.account().clone();
    for entry in session.client.timeline(&with, None, limit).await? {
        if !output.entry(&own, &entry, &session.names) {
            break;
        }
    }
    if mark_read {
        session.client.mark_read(&with).await?;
    }
    session.close().await;
    Ok(())
}
