//! `contacts` and `blocks`: who is known, and who is not heard.

use std::time::Duration;

use posthouse_protocol::{id::AccountId, time::Timestamp};
use serde_json::json;
use tokio::time::Instant;

use crate::{args::Listed, failure::Failure, output::Output, session::Session};

/// How long it is waited for what goes with a change.
const SOON: Duration = Duration::from_secs(5);

pub(super) async fn contacts(
    mut session: Session,
    listed: Listed,
    output: Output,
) -> Result<(), Failure> {
    if let Some(name) = listed.add {
        let user = session.find(&name).await?;
        session.client.add_contact(&user).await?;
        let object = json!({ "event": "contact_added", "user": user });
        output.print(&object, format!("{} is a contact.", session.names.of(&user)));
    } else if let Some(name) = listed.remove {
        let user = session.find(&name).await?;
        session.client.remove_contact(&user).await?;
        let object = json!({ "event": "contact_removed", "user": user });
        output.print(&object, format!("{} is no contact any more.", session.names.of(&user)));
    } else {
        let all = session.client.contacts().await?.into_iter();
        let all = all.map(|one| (one.account_id, one.added_at)).collect();
        list(&mut session, "contact", all, output).await?;
    }
    session.close().await;
    Ok(())
}

pub(super) async fn blocks(
    mut session: Session,
    listed: Listed,
    output: Output,
) -> Result<(), Failure> {
    if let Some(name) = listed.add {
        let user = session.find(&name).await?;
        session.client.block(&user).await?;
        // The own profile gets another key; what does not come so far goes with the next command.
        _ = session.published(Instant::now() + SOON).await;
        let object = json!({ "event": "blocked", "user": user });
        let name = session.names.of(&user);
        output.print(&object, format!("You hear nothing of {name}, who cannot tell."));
    } else if let Some(name) = listed.remove {
        let user = session.find(&name).await?;
        session.client.unblock(&user).await?;
        let object = json!({ "event": "unblocked", "user": user });
        output.print(&object, format!("You hear {} again.", session.names.of(&user)));
    } else {
        let all = session.client.blocks().await?.into_iter();
        let all = all.map(|one| (one.account_id, one.blocked_at)).collect();
        list(&mut session, "block", all, output).await?;
    }
    session.close().await;
    Ok(())
}

/// Prints people and since when they are in a list.
async fn list(
    session: &mut Session,
    event: &str,
    all: Vec<(AccountId, Timestamp)>,
    output: Output,
) -> Result<(), Failure> {
    if all.is_empty() {
        output.remark(if event == "contact" {
            "You have no contacts."
        } else {
            "You block nobody."
        });
    }
    for (user, since) in all {
        session.learn_all(&user).await?;
        let (name, said) = (session.names.of(&user), session.names.said(&user));
        let object =
            json!({ "event": event, "user": user, "name": name, "profile": said, "since": since });
        if !output.print(&object, session.names.full(&user)) {
            break;
        }
    }
    Ok(())
}
