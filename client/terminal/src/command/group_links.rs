//! `groups link`, `join`, `asking` and `deputies`: ways in, and who may take a group over.

use jiff::tz::TimeZone;
use posthouse_protocol::id::{GroupId, ServerName};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::groups::found;
use crate::{
    failure::Failure,
    output::{Output, when},
    session::Session,
    text::harmless,
};

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
    match wanted {
        Link::List => {
            let all = session.client.group_links(&group).await?;
            if all.is_empty() {
                output.remark("No link holds: --create makes one.");
            }
            for one in all {
                session.learn(&one.made_by).await?;
                let object = json!({
                    "event": "group_link", "group": group, "link_id": one.link_id,
                    "made_by": one.made_by, "expires_at": one.expires_at,
                });
                let name = session.names.of(&one.made_by);
                let until = when(one.expires_at, &TimeZone::system());
                let text = format!("{}  by {name}  until {until}", one.link_id);
                if !output.print(&object, harmless(&text)) {
                    break;
                }
            }
        }
        Link::Create(expires) => {
            let made = session.client.create_group_link(&group, expires).await?;
            let object = json!({
                "event": "group_link", "group": group, "link_id": made.id, "link": made.link,
                "expires_at": made.expires_at,
            });
            output.print(&object, &made.link.0);
            output.remark(format!(
                "It lets people ask to join until {}, and is shown this once.\n`posthouse-chat groups link \
                 {group} --revoke {}` ends it, and `groups asking {group}` shows who asks.",
                when(made.expires_at, &TimeZone::system()),
                made.id
            ));
        }
        Link::Revoke(id) => {
            session.client.revoke_group_link(&group, id).await?;
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
    let all = session.client.join_requests(group).await?;
    if all.is_empty() {
        output.remark("Nobody asks to join.");
    }
    for one in all {
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
