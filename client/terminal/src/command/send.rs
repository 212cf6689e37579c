//! `send`: a text to somebody.

use std::{
    io::{self, Read as _},
    time::Duration,
};

use posthouse_protocol::id::MessageId;
use serde_json::json;

use crate::{
    args::Wanted,
    failure::{Exit, Failure},
    mention,
    output::{Output, ticks},
    session::Session,
    talk::Talk,
};

/// More is not read from standard input: a text may have 32 KiB.
const MAX_INPUT: u64 = 64 * 1024;

/// What `send` was asked for.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) to: String,
    pub(super) text: String,
    pub(super) wait: Wanted,
    pub(super) disappear: Option<u32>,
    pub(super) within: Duration,
}

/// The text: of the command line, or standard input.
pub(super) fn text(given: Option<String>) -> Result<String, Failure> {
    let text = if let Some(text) = given {
        text
    } else {
        let mut text = String::new();
        let read = io::stdin().lock().take(MAX_INPUT).read_to_string(&mut text);
        read.map_err(|err| Failure::file(Exit::Usage, "standard input".as_ref(), &err))?;
        text.trim_end_matches(['\n', '\r']).to_owned()
    };
    if text.is_empty() {
        let advice = "Write it behind the name, or give it on standard input.";
        return Err(Failure::new(Exit::Usage, "There is no text.", advice));
    }
    Ok(text)
}

pub(super) async fn send(
    mut session: Session,
    sending: &Sending,
    output: Output,
) -> Result<(), Failure> {
    let to = session.find(&sending.to).await?;
    let people = mention::nameable([&to].into_iter(), &session.names);
    let text = mention::read(&sending.text, &people);
    let id = match sending.disappear {
        Some(seconds) => session.client.send_disappearing(&to, text, seconds).await?,
        None => session.client.send_text(&to, text).await?,
    };
    let to = Talk::Person(to);
    went(session, &to, id, (sending.wait, sending.within), output).await
}

/// Tells how far a message comes in its time.
pub(super) async fn went(
    mut session: Session,
    to: &Talk,
    id: MessageId,
    (wanted, within): (Wanted, Duration),
    output: Output,
) -> Result<(), Failure> {
    let came = session.wait_for(to, id, wanted, within).await;
    // A message that has not come so far has come somewhere, and is known by its id.
    let own = session.client.account();
    let status = session.client.message(own, id).await?.and_then(|entry| entry.status);
    let to = match to {
        Talk::Person(to) => to.to_string(),
        Talk::Group(to) => to.to_string(),
    };
    let object = json!({ "event": "sent", "id": id, "to": to, "status": status });
    output.print(&object, format!("{id} {}", ticks(status)));
    session.close().await;
    came.map(drop)
}
