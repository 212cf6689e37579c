//! `report`: shows the operator what somebody writes.

use posthouse_client::{Client, ClientError, Entry};
use posthouse_protocol::{
    id::{AccountId, MessageId},
    limits::{MAX_REPORT_COMMENT, MAX_REPORT_MESSAGES},
    rest::ReportReason,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    args::Reason,
    failure::{Exit, Failure},
    output::Output,
    session::Session,
    talk::Talk,
};

/// Messages that are read at once.
const PAGE: usize = 200;

/// What `report` was given.
#[derive(Debug)]
pub(super) struct Reported {
    pub(super) user: String,
    pub(super) reason: Reason,
    pub(super) comment: Option<String>,
    /// Messages of theirs, by their ids.
    pub(super) messages: Vec<Uuid>,
    /// So many of their newest ones.
    pub(super) last: usize,
}

pub(super) async fn run(
    mut session: Session,
    wanted: &Reported,
    output: Output,
) -> Result<(), Failure> {
    if wanted.comment.as_ref().is_some_and(|text| text.len() > MAX_REPORT_COMMENT) {
        let fact = format!("The comment has more than {MAX_REPORT_COMMENT} bytes.");
        return Err(Failure::new(Exit::Usage, fact, "Say it in fewer words."));
    }
    let user = session.find(&wanted.user).await?;
    let mut shown = Vec::new();
    for id in &wanted.messages {
        shown.push(message(&session.client, &user, MessageId(*id)).await?);
    }
    if wanted.last > 0 {
        for one in newest(&session.client, &user, wanted.last).await? {
            if shown.iter().all(|known: &Entry| known.id != one.id) {
                shown.push(one);
            }
        }
    }
    if wanted.last > 0 && shown.is_empty() {
        let fact = format!("This device has no messages of {}'s to you.", session.names.of(&user));
        let advice = "Leave --last out to report them without any, or name messages of groups with \
                      --message.";
        return Err(Failure::new(Exit::Usage, fact, advice));
    }
    if shown.len() > MAX_REPORT_MESSAGES {
        let fact = format!("A report shows at most {MAX_REPORT_MESSAGES} messages.");
        return Err(Failure::new(Exit::Usage, fact, "Choose those that say most."));
    }
    let (reason, comment) = (reason(wanted.reason), wanted.comment.as_deref());
    let filed = session.client.report(&user, reason, comment, &shown).await.map_err(refused)?;
    let object = json!({
        "event": "reported", "report": filed, "user": user, "messages": shown.len(),
    });
    let (name, region) = (session.names.of(&user), &session.client.account().server);
    output.print(
        &object,
        format!(
            "The operator of {region} has your report {filed}, {}.",
            match shown.len() {
                0 => format!("without any of {name}'s messages"),
                1 => format!("with one of {name}'s messages"),
                more => format!("with {more} of {name}'s messages"),
            }
        ),
    );
    output.remark(format!("{name} is not told."));
    session.close().await;
    Ok(())
}

/// A message of theirs that says something.
async fn message(client: &Client, user: &AccountId, id: MessageId) -> Result<Entry, Failure> {
    let found = client.message(user, id).await?.filter(|entry| entry.said.text().is_some());
    found.ok_or_else(|| {
        let fact = format!("This device has no words of theirs with the id {id}.");
        let advice =
            "`posthouse-chat history NAME --json` shows the ids; in groups, `groups history`.";
        Failure::new(Exit::Usage, fact, advice)
    })
}

/// The newest of their messages that say something, the oldest of them first.
async fn newest(
    client: &Client,
    user: &AccountId,
    count: usize,
) -> Result<Vec<Entry>, ClientError> {
    let (talk, mut found, mut before) = (Talk::Person(user.clone()), Vec::new(), None::<Entry>);
    while found.len() < count {
        let page = talk.timeline(client, before.as_ref(), PAGE).await?;
        let Some(oldest) = page.first().cloned() else { break };
        let says = |one: &Entry| one.from == *user && one.said.text().is_some();
        let room = count - found.len();
        found.extend(page.into_iter().rev().filter(says).take(room));
        before = Some(oldest);
    }
    found.reverse();
    Ok(found)
}

fn refused(err: ClientError) -> Failure {
    let advice = match err.code() {
        Some("too_large") => "Show fewer messages: a report has at most 64 KiB.",
        Some("too_many") => "50 reports of yours wait for the operator: give them time.",
        _ => return err.into(),
    };
    Failure::from(err).advise(advice)
}

fn reason(given: Reason) -> ReportReason {
    match given {
        Reason::Spam => ReportReason::Spam,
        Reason::Harassment => ReportReason::Harassment,
        Reason::Impersonation => ReportReason::Impersonation,
        Reason::Illegal => ReportReason::Illegal,
        Reason::Other => ReportReason::Other,
    }
}
