//! `groups`: who is in them, and what is said there.

use core::fmt::Write as _;
use std::time::Duration;

use posthouse_client::{ClientError, GroupSummary, Text};
use posthouse_protocol::{
    id::GroupId,
    rest::groups::{EpochStatus, Standing},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    group_links::{self, Link},
    read, send,
};
use crate::{
    args::{Groups, Role},
    failure::Failure,
    mention,
    output::{Output, people, stands},
    session::Session,
    talk::Talk,
};

pub(super) async fn run(
    mut session: Session,
    command: Option<Groups>,
    within: Duration,
    output: Output,
) -> Result<(), Failure> {
    let until = Instant::now() + within;
    if let Some(Groups::Send { group, text, wait }) = command {
        let text = send::text(text)?;
        let group = session.find_group(&group, until).await?.id;
        let text = with_mentions(&mut session, &group, &text).await?;
        let to = Talk::Group(group);
        let id = to.say(&session.client, None, text).await?;
        return send::went(session, &to, id, (wait, within), output).await;
    }
    match command.unwrap_or(Groups::List) {
        Groups::List => {
            session.refreshed(true, until, output).await?;
            list(&mut session, output).await?;
        }
        Groups::Members { group } => members(&mut session, &group, until, output).await?,
        Groups::History { group, limit, search } => {
            let group = session.find_group(&group, until).await?;
            let (talk, own) = (Talk::Group(group.id), session.client.account().clone());
            learn(&mut session).await?;
            let all = read::newest(&session.client, &talk, limit, search.as_deref()).await?;
            for entry in all {
                if !session.names.asked(&entry.from) {
                    session.learn_all(&entry.from).await?;
                }
                if !output.entry(&own, &entry, &session.names) {
                    break;
                }
            }
        }
        Groups::Link { group, create, expires, revoke } => {
            let wanted = match revoke {
                Some(id) => Link::Revoke(id),
                None if create => Link::Create(expires),
                None => Link::List,
            };
            group_links::link(&mut session, (&group, wanted), until, output).await?;
        }
        Groups::Join { link } => group_links::join(&session, &link, output).await?,
        Groups::Asking { group, accept: None, decline } => {
            let group = found(&mut session, &group, until).await?;
            match decline {
                Some(name) => group_links::decline(&mut session, &group, &name, output).await?,
                None => group_links::asking(&mut session, &group, output).await?,
            }
        }
        Groups::Deputies { group, set, none } if set.is_empty() && !none => {
            let group = found(&mut session, &group, until).await?;
            group_links::deputies(&session, &group, output).await?;
        }
        change => {
            // What is signed is signed on top of what the group is now.
            session.connected(until).await?;
            let (group, status) = Box::pin(change_it(&mut session, change, until)).await?;
            // The title's key goes to who was invited.
            session.flush(until).await?;
            let group = session.client.group(&group).await?;
            tell(&mut session, &group, Some(status), output).await?;
        }
    }
    session.close().await;
    Ok(())
}

/// The text, with the members that it names.
async fn with_mentions(
    session: &mut Session,
    group: &GroupId,
    text: &str,
) -> Result<Text, Failure> {
    let mut people = Vec::new();
    if text.contains('@') {
        for member in session.client.members(group).await? {
            session.learn(&member.account).await?;
            people.push(member.account);
        }
    }
    Ok(mention::read(text, &mention::nameable(people.iter(), &session.names)))
}

/// Makes a change. Which group it was, and what became of it.
async fn change_it(
    session: &mut Session,
    change: Groups,
    until: Instant,
) -> Result<(GroupId, EpochStatus), Failure> {
    let mut status = EpochStatus::Taken;
    let id = match change {
        Groups::Create { title, people } => {
            let mut accounts = Vec::new();
            for person in &people {
                accounts.push(session.find(person).await?);
            }
            session.client.create_group(&title, &accounts).await?
        }
        Groups::Invite { group, people } => {
            let id = found(session, &group, until).await?;
            for person in &people {
                let person = session.find(person).await?;
                status = session.client.invite(&id, &person).await?;
            }
            id
        }
        Groups::Accept { group } => {
            let id = found(session, &group, until).await?;
            status = session.client.accept_invitation(&id).await?;
            id
        }
        Groups::Leave { group } => {
            let id = found(session, &group, until).await?;
            status = session.client.leave(&id).await?;
            id
        }
        Groups::Remove { group, person } => {
            let id = found(session, &group, until).await?;
            let person = session.find(&person).await?;
            status = session.client.remove(&id, &person).await?;
            id
        }
        Groups::Role { group, person, role } => {
            let id = found(session, &group, until).await?;
            let person = session.find(&person).await?;
            let role = match role {
                Role::Member => Standing::Member,
                Role::Admin => Standing::Admin,
                Role::Owner => Standing::Owner,
            };
            status = session.client.set_role(&id, &person, role).await?;
            id
        }
        Groups::Rename { group, title } => {
            let id = found(session, &group, until).await?;
            status = session.client.rename(&id, &title).await?;
            id
        }
        Groups::Asking { group, accept: Some(name), .. } => {
            let id = found(session, &group, until).await?;
            let person = session.find(&name).await?;
            status = session.client.add(&id, &person).await?;
            id
        }
        Groups::Deputies { group, set, .. } => {
            let id = found(session, &group, until).await?;
            status = session.client.set_deputies(&id, &set).await?;
            id
        }
        // These change nothing, and were dealt with before.
        Groups::List
        | Groups::Members { .. }
        | Groups::History { .. }
        | Groups::Send { .. }
        | Groups::Link { .. }
        | Groups::Join { .. }
        | Groups::Asking { .. } => {
            return Err(ClientError::UnknownGroup.into());
        }
    };
    Ok((id, status))
}

/// The group that a name means, as the homeserver has it now.
pub(super) async fn found(
    session: &mut Session,
    name: &str,
    until: Instant,
) -> Result<GroupId, Failure> {
    let id = session.find_group(name, until).await?.id;
    match session.client.refresh_group(&id).await {
        // What is known stays good while the homeserver is away.
        Err(ClientError::Transport(err)) if err.is_transient() => Ok(id),
        Err(err) => Err(err.into()),
        Ok(()) => Ok(id),
    }
}

async fn list(session: &mut Session, output: Output) -> Result<(), Failure> {
    let all = session.client.groups().await?;
    if all.is_empty() {
        output.remark("You are in no group: `posthouse-chat groups create TITLE NAME` makes one.");
    }
    for group in all {
        if !tell(session, &group, None, output).await? {
            break;
        }
    }
    Ok(())
}

async fn members(
    session: &mut Session,
    group: &str,
    until: Instant,
    output: Output,
) -> Result<(), Failure> {
    let known = session.news(false, until).await?;
    let group = match &known {
        Ok(()) => found(session, group, until).await?,
        Err(why) => {
            let group = session.find_group(group, until).await?.id;
            output.stale(why);
            group
        }
    };
    for member in session.client.members(&group).await? {
        session.learn_all(&member.account).await?;
        let (name, said) = (session.names.of(&member.account), session.names.said(&member.account));
        let object = json!({
            "event": "member", "group": group, "user": member.account, "name": name,
            "profile": said, "role": member.standing, "joined": member.joined,
        });
        let full = session.names.full(&member.account);
        if !output.print(&object, format!("{:8} {full}", role(member.standing))) {
            return Ok(());
        }
    }
    if known.is_err() {
        return Ok(());
    }
    // The region that sequences the group knows, and no other.
    for one in session.client.regions_behind(&group).await?.into_iter().flatten() {
        let object = json!({
            "event": "behind", "group": group, "region": one.region, "from": one.from,
        });
        let text = format!("{} has not heard of epoch {} and later", one.region, one.from);
        if !output.print(&object, text) {
            break;
        }
    }
    Ok(())
}

/// Messages name their groups by title.
async fn learn(session: &mut Session) -> Result<(), Failure> {
    let groups = session.client.groups().await?;
    session.names.learn_groups(groups.into_iter().map(|one| (one.id, one.title)));
    Ok(())
}

/// Prints a group, and who invites to it. Whether anybody still reads.
pub(super) async fn tell(
    session: &mut Session,
    group: &GroupSummary,
    status: Option<EpochStatus>,
    output: Output,
) -> Result<bool, Failure> {
    let inviter = group.invited_by.as_ref();
    if let Some(inviter) = inviter {
        session.learn(inviter).await?;
    }
    let inviter_name = inviter.map(|inviter| session.names.of(inviter));
    let title = group.title.as_deref().unwrap_or("(its title is not known yet)");
    let mut object = json!({
        "event": "group", "group": group.id, "title": group.title, "standing": group.standing,
        "members": group.members, "invited": group.invited, "epoch": group.epoch, "unread": group.unread,
        "mentioned": group.mentioned, "disappears": group.disappears,
        "invited_by": inviter, "invited_by_name": inviter_name,
    });
    if let (Some(status), Value::Object(object)) = (status, &mut object) {
        object.insert("change".to_owned(), json!(status));
    }
    let stands = inviter_name
        .map_or_else(|| stands(group.standing).to_owned(), |name| format!("{name} invites you"));
    let mut text = format!("{title}  {stands}  {}", people(group));
    if group.unread > 0 {
        _ = write!(text, ", {} unread", group.unread);
    }
    if status == Some(EpochStatus::Queued) {
        text.push_str("\n  The group's region cannot be reached now: the change waits.");
    }
    _ = write!(text, "\n  {}", group.id);
    Ok(output.print(&object, crate::text::harmless(&text)))
}

/// A role in a word.
pub(crate) fn role(standing: Standing) -> &'static str {
    match standing {
        Standing::Invited => "invited",
        Standing::Member => "member",
        Standing::Admin => "admin",
        Standing::Owner => "owner",
    }
}
