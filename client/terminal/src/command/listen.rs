//! `listen`: prints what happens.

use std::time::Duration;

use posthouse_client::{ClientError, GroupSummary, Update};
use posthouse_protocol::rest::groups::Standing;
use tokio::time::Instant;

use super::{
    groups,
    ticks::{TOGETHER, Ticks},
};
use crate::{
    failure::{Exit, Failure},
    output::Output,
    session::{Session, replaced},
    talk::Talk,
};

/// When to end, and what to tell others.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) count: Option<u64>,
    pub(super) timeout: Option<u64>,
    pub(super) mark_read: bool,
    /// Whose presence to print.
    pub(super) watch: Vec<String>,
}

/// How a listening ended.
enum Ended {
    Counted,
    /// The time is over; whether the homeserver was reached in it.
    TimedOut(bool),
    Unread,
}

pub(super) async fn listen(
    mut session: Session,
    listening: &Listening,
    output: Output,
) -> Result<(), Failure> {
    let mut watched = Vec::with_capacity(listening.watch.len());
    for name in &listening.watch {
        watched.push(session.find(name).await?);
    }
    session.client.watch_presence(&watched).await?;
    let ended = listen_on(&mut session, listening, output).await?;
    let not_reached = session.not_reached();
    session.close().await;
    match ended {
        Ended::TimedOut(false) => Err(not_reached),
        Ended::TimedOut(true) if listening.count.is_some() => Err(Failure::new(
            Exit::Waits,
            "The time is over, and fewer messages came.",
            "Give it more with --timeout SECONDS.",
        )),
        _ => Ok(()),
    }
}

/// The group, if this account is invited to it by now.
async fn invitation(session: &Session, update: &Update) -> Result<Option<GroupSummary>, Failure> {
    let Update::Group { group, standing: Some(Standing::Invited), .. } = update else {
        return Ok(None);
    };
    let group = session.client.group(group).await?;
    Ok(Some(group).filter(|group| group.standing == Some(Standing::Invited)))
}

fn is_of_group(update: &Update) -> bool {
    match update {
        Update::Group { .. } | Update::Delivered { .. } | Update::GroupRefused { .. } => true,
        Update::Message(entry) => entry.group.is_some(),
        _ => false,
    }
}

async fn listen_on(
    session: &mut Session,
    listening: &Listening,
    output: Output,
) -> Result<Ended, Failure> {
    let until = listening.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (own, mut left) = (session.client.account().clone(), listening.count);
    let (mut reached, mut ticks) = (false, Ticks::default());
    loop {
        let together = (!ticks.is_empty()).then(|| Instant::now() + TOGETHER);
        let next = session.updates.next_numbered();
        let next = match until.into_iter().chain(together).min() {
            Some(until) => tokio::time::timeout_at(until, next).await.ok(),
            None => Some(next.await),
        };
        if let Some(Some(next)) = &next
            && output.is_for_people()
            && ticks.take(next)
        {
            continue;
        }
        if !ticks.is_empty() && !ticks.print(session, output).await? {
            return Ok(Ended::Unread);
        }
        let next = match next {
            Some(Some(next)) => next,
            Some(None) => return Err(ClientError::Stopped.into()),
            None if until.is_some_and(|until| Instant::now() >= until) => {
                return Ok(Ended::TimedOut(reached));
            }
            None => continue,
        };
        session.note(&next.update);
        reached |= next.update == Update::Connected;
        let heard = match &next.update {
            Update::Message(entry) if entry.from != own => Some(entry.from.clone()),
            Update::Profile { user } => {
                session.learn_profile(user).await?;
                None
            }
            Update::Replaced => return Err(replaced()),
            Update::SessionEnded => return Err(ClientError::SessionEnded.into()),
            _ => None,
        };
        if let Some(from) = &heard {
            session.learn_all(from).await?;
        }
        if is_of_group(&next.update) {
            let groups = session.client.groups().await?;
            session.names.learn_groups(groups.into_iter().map(|one| (one.id, one.title)));
        }
        let read = match invitation(session, &next.update).await? {
            Some(group) => Some(groups::tell(session, &group, None, output).await?),
            None => output.update(&own, &next.update, &session.names),
        };
        if read == Some(false) {
            // What nobody read is printed again next time.
            return Ok(Ended::Unread);
        }
        if let Some(number) = next.number {
            session.updates.taken(number).await?;
        }
        let (Some(_), Update::Message(entry)) = (heard, &next.update) else { continue };
        let from = Talk::of(entry);
        if listening.mark_read {
            from.mark_read(&session.client).await?;
        }
        left = left.map(|left| left - 1);
        if left == Some(0) {
            return Ok(Ended::Counted);
        }
    }
}
