//! `groups link`, `join`, `asking` and `deputies`: ways in, and who may take a group over.

use posthouse_protocol::id::{GroupId, ServerName};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::groups::found;
use crate::{failure::Failure, output::Output, session::Session, text::harmless};

/// What `groups link` was asked for.
pub(super) enum Link {
    List,
    Create(Option<u64>),
    Revoke(Uuid),
}

pub(super) async fn link(
    session: &mut Session,
    (group, wanted): (&str, Link),
    until: Instant,
    output: Output,
) -> Result<(), Failure> {
    let group = found(session, group, until).await?;
    let client = &session.client;
    match wanted {
        Link::List => {
            for one in client.group_links(&group).await? {
                let object = json!({
                    "event": "group_link", "group": group, "link_id": one.link_id,
                    "made_by": one.made_by, "expires_at": one.expires_at,
                });
                let name = session.names.of(&one.made_by);
                if !output.print(&object, harmless(&format!("{}  by {name}", one.link_id))) {
                    break;
                }
            }
        }
        Link::Create(expires) => {
            let made = client.create_group_link(&group, expires).await?;
            let object = json!({
                "event": "group_link", "group": group, "link_id": made.id, "link": made.link,
                "expires_at": made.expires_at,
            });
            output.print(&object, &made.link.0);
        }
        Link::Revoke(id) => {
            client.revoke_group_link(&group, id).await?;
            let object = json!({ "event": "group_link_revoked", "group": group, "link_id": id });
            output.print(&object, format!("The link {id} has ended."));
        }
    }
    Ok(())
}

pub(super) async fn join(session: &Session, link: &str, output: Output) -> Result<(), Failure> {
    let group = session.client.join_by_link(link).await?;
    let object = json!({ "event": "asked_to_join", "group": group });
    output.print(&object, "You have asked to join: an admin decides.");
    Ok(())
}

/// Who asks to join.
pub(super) async fn asking(
    session: &mut Session,
    group: &GroupId,
    output: Output,
) -> Result<(), Failure> {
    for one in session.client.join_requests(group).await? {
        session.learn(&one.account_id).await?;
        let name = session.names.of(&one.account_id);
        let object = json!({
            "event": "join_request", "group": group, "user": one.account_id, "name": name,
            "since": one.asked_at,
        });
        if !output.print(&object, harmless(&name)) {
            break;
        }
    }
    Ok(())
}

pub(super) async fn decline(
    session: &mut Session,
    group: &GroupId,
    name: &str,
    output: Output,
) -> Result<(), Failure> {
    let user = session.find(name).await?;
    session.client.decline_join(group, &user).await?;
    let object = json!({ "event": "join_declined", "group": group, "user": user });
    output.print(&object, harmless(&format!("{name} is not let in, and not told.")));
    Ok(())
}

/// The regions that may take a group over.
pub(super) async fn deputies(
    session: &Session,
    group: &GroupId,
    output: Output,
) -> Result<(), Failure> {
    let regions = session.client.deputies(group).await?;
    let names: Vec<String> = regions.iter().map(ServerName::to_string).collect();
    let object = json!({ "event": "deputies", "group": group, "regions": names });
    let text = if names.is_empty() { "none".to_owned() } else { names.join("\n") };
    output.print(&object, text);
    Ok(())
}
