//! What the demo shows: a conversation with its ticks, then a server that is killed while it holds
//! a hundred messages for someone who is away.

use core::fmt::Write;

use posthouse_client::Event;
use posthouse_protocol::{
    frame::Presence,
    id::MessageId,
    status::{Seen, Status},
};
use rand::{SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{failed, person::Person, process::Server};
use crate::{clock::system_random, console::Console, failure::Failure};

/// Messages that wait while their reader is away.
const AWAY_MESSAGES: usize = 100;

/// Tells the story and returns the handles of the two people.
pub(super) async fn tell(
    server: &mut Server,
    console: Console,
) -> Result<(&'static str, &'static str), Failure> {
    let start = Instant::now();
    let mut rng = StdRng::from_seed(system_random()?);
    let say = |text: &str| {
        console.line(format_args!("{:>6.2} s  {text}", start.elapsed().as_secs_f64()));
    };
    say(&format!("the region {} serves at https://{}", server.domain(), server.address()));
    let mut ada = Person::register("ada", server).await?;
    let mut ben = Person::register("ben", server).await?;
    say(&format!("registered ada, who is {}", ada.account()));
    say(&format!("registered ben, who is {}", ben.account()));

    for text in ["Hello Ben, is anybody there?", "The post house has opened."] {
        exchange(&mut ada, &mut ben, text, &mut rng, &say).await?;
    }
    exchange(&mut ben, &mut ada, "I am here! Which horses do you have?", &mut rng, &say).await?;

    let (ada_id, ben_id) = (ada.account().clone(), ben.account().clone());
    ada.watch(&ben_id).await?;
    let online = |event: &Event| presence(event, Presence::Online);
    ada.wait("ben's presence", online).await?;
    say("ada sees: ben is online");
    ben.type_to(&ada_id).await?;
    ada.wait("a typing notice", |event| presence(event, Presence::Typing)).await?;
    say("ada sees: ben is typing …");
    ben.leave().await;
    ada.wait("ben's leaving", |event| presence(event, Presence::Offline)).await?;
    say("ada sees: ben is offline");

    kill_and_deliver(server, (&mut ada, &mut ben), &mut rng, &say).await?;
    say("everything that was told `sent` arrived: once, in order");
    Ok((ada.name, ben.name))
}

/// One message with its three ticks.
async fn exchange(
    from: &mut Person,
    to: &mut Person,
    text: &str,
    rng: &mut StdRng,
    say: &impl Fn(&str),
) -> Result<(), Failure> {
    let recipient = to.account().clone();
    let id = from.write(&recipient, text, rng).await?;
    from.wait("`sent`", |event| has_status(event, id, Status::Sent)).await?;
    say(&format!("{} → {}: {text}  ✓", from.name, to.name));
    to.wait("the message", |event| is_message(event, id)).await?;
    to.ack(vec![id], Seen::Delivered).await?;
    from.wait("`delivered`", |event| has_status(event, id, Status::Delivered)).await?;
    to.ack(vec![id], Seen::Read).await?;
    from.wait("`read`", |event| has_status(event, id, Status::Read)).await?;
    say(&format!("          ✓✓ delivered to {0}, ✓✓ read by {0}", to.name));
    Ok(())
}

/// A hundred messages to someone who is away, SIGKILL, a restart, and the reader's return.
async fn kill_and_deliver(
    server: &mut Server,
    (ada, ben): (&mut Person, &mut Person),
    rng: &mut StdRng,
    say: &impl Fn(&str),
) -> Result<(), Failure> {
    let recipient = ben.account().clone();
    let mut sent = Vec::new();
    for n in 1..=AWAY_MESSAGES {
        sent.push(ada.write(&recipient, &format!("while you were away, {n}"), rng).await?);
    }
    for id in &sent {
        ada.wait("`sent`", |event| has_status(event, *id, Status::Sent)).await?;
    }
    say(&format!("ada → ben: {AWAY_MESSAGES} messages, all ✓ (durable), ben is away"));
    server.kill().await?;
    say("the server is killed (SIGKILL)");
    server.restart().await?;
    say("the server is started again");
    ben.connect().await?;
    let mut arrived = Vec::new();
    while arrived.len() < AWAY_MESSAGES {
        let id = ben
            .wait("the messages", |event| match event {
                Event::Message(message) => Some(message.id),
                _ => None,
            })
            .await?;
        arrived.push(id);
    }
    say(&format!("ben is back: {} messages arrived", arrived.len()));
    let (wrote, got) = (digest(&sent), digest(&arrived));
    say(&format!("what ada sent  {wrote}"));
    say(&format!("what ben got   {got}"));
    if wrote != got {
        return Err(failed("What arrived is not what was sent."));
    }
    ben.ack(arrived, Seen::Delivered).await
}

/// SHA-256 over the ids in their order, shortened.
fn digest(ids: &[MessageId]) -> String {
    let mut hash = Sha256::new();
    for id in ids {
        hash.update(id.0.as_bytes());
    }
    hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

fn has_status(event: &Event, id: MessageId, wanted: Status) -> Option<()> {
    match event {
        Event::Status(status) if status.message_id == id && status.status == wanted => Some(()),
        _ => None,
    }
}

fn is_message(event: &Event, id: MessageId) -> Option<()> {
    matches!(event, Event::Message(message) if message.id == id).then_some(())
}

fn presence(event: &Event, wanted: Presence) -> Option<()> {
    matches!(event, Event::Presence(frame) if frame.status == wanted).then_some(())
}
