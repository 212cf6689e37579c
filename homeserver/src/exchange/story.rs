//! What is shown: a conversation between two regions with its ticks, then a hundred messages
//! into a cut link, and the link healed.

use core::{fmt::Write, time::Duration};

use posthouse_client::Event;
use posthouse_protocol::{
    frame::{Presence, StatusFrame, WatermarkFrame},
    id::{AccountId, Address, ConversationId, Handle, MessageId, ServerName},
    status::{Seen, Status},
};
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Fault, Stage, person::Person};
use crate::console::Console;

/// Messages that are written into the cut link.
const WAITING_MESSAGES: usize = 100;

/// What the story calls the people of the two regions.
pub(crate) const NAMES: [&str; 2] = ["ada", "ben"];

/// When somebody who types says so again.
const TYPING_AGAIN: Duration = Duration::from_secs(2);

/// A message that its sender's region has taken.
struct Taken {
    id: MessageId,
    conversation: ConversationId,
    number: u64,
}

/// Tells the story; `start` is when its clock begins.
///
/// # Errors
/// A [`Fault`] at the first step that does not show what it should.
pub(crate) async fn tell(
    stage: &Stage,
    start: Instant,
    mut rng: StdRng,
    console: Console,
) -> Result<(), Fault> {
    let say = |text: &str| {
        console.line(format_args!("{:>6.2} s  {text}", start.elapsed().as_secs_f64()));
    };
    let rng = &mut rng;
    let [ada, ben] = NAMES;
    let [north, south] = &stage.regions;
    let mut ada = Person::register(ada, north, stage).await?;
    let mut ben = Person::register(ben, south, stage).await?;
    for (person, region) in [(&ada, north), (&ben, south)] {
        say(&format!("registered {} at {}: {}", person.name, region.domain, person.account()));
    }

    let by_name =
        Address::Handle(Handle { name: south.handle.clone(), server: south.domain.clone() });
    let (ada_id, ben_id) = (ada.account().clone(), ben.account().clone());
    let (to_ada, to_ben) = (Address::Account(ada_id.clone()), Address::Account(ben_id));
    exchange((&mut ada, &mut ben), &by_name, "Hello Ben! Is the road open?", rng, &say).await?;
    exchange((&mut ben, &mut ada), &to_ada, "It is. Which horses do you have?", rng, &say).await?;
    exchange((&mut ada, &mut ben), &to_ben, "Two, and they are fresh.", rng, &say).await?;
    tokio::select! {
        seen = ada.wait("a typing notice", |event| presence(event, Presence::Typing)) => seen?,
        fault = keep_typing(&mut ben, &ada_id) => return Err(fault),
    }
    say("ada sees: ben is typing …");

    let wrote = partition(stage, &mut ada, &to_ben, rng, &say).await?;
    deliver((&mut ada, &mut ben), &wrote, (&north.domain, &south.domain), &say).await?;
    // Whatever came twice would come before these.
    exchange((&mut ben, &mut ada), &to_ada, "All of them are here.", rng, &say).await?;
    exchange((&mut ada, &mut ben), &to_ben, "Then ride.", rng, &say).await?;
    say("everything that was told `sent` arrived: once, in order");
    Ok(())
}

/// A typing notice may be lost, so whoever types says so again and again.
async fn keep_typing(person: &mut Person, to: &AccountId) -> Fault {
    loop {
        if let Err(fault) = person.type_to(to).await {
            return fault;
        }
        tokio::time::sleep(TYPING_AGAIN).await;
    }
}

/// One message from region to region, with its ticks.
async fn exchange(
    (from, to): (&mut Person, &mut Person),
    address: &Address,
    text: &str,
    rng: &mut StdRng,
    say: &impl Fn(&str),
) -> Result<(), Fault> {
    let id = from.write(address, text, rng).await?;
    let taken = from.wait("`sent`", |event| is_sent(event, id)).await?;
    say(&format!("{} → {}: {text}", from.name, to.name));
    to.receive(id).await?;
    to.ack(vec![id], Seen::Delivered).await?;
    // `delivered` has a shorter way than `accepted`, and may overtake it.
    let first = from
        .wait("`accepted`", |event| {
            told(event, &taken)
                .filter(|status| [Status::Accepted, Status::Delivered].contains(status))
        })
        .await?;
    if first == Status::Accepted {
        from.wait("`delivered`", |event| reached(event, &taken, Status::Delivered)).await?;
    }
    to.ack(vec![id], Seen::Read).await?;
    from.wait("`read`", |event| reached(event, &taken, Status::Read)).await?;
    say(&format!(
        "       ✓ sent   ✓ accepted by the other region   ✓✓ delivered   ✓✓ read by {}",
        to.name
    ));
    Ok(())
}

/// The link is cut, a hundred messages are written into it, and it is healed. What was written.
async fn partition(
    stage: &Stage,
    ada: &mut Person,
    to_ben: &Address,
    rng: &mut StdRng,
    say: &impl Fn(&str),
) -> Result<Vec<Taken>, Fault> {
    stage.cut();
    say("the link between the regions is cut");
    let mut ids = Vec::new();
    for n in 1..=WAITING_MESSAGES {
        ids.push(ada.write(to_ben, &format!("into the dark, {n}"), rng).await?);
    }
    let mut wrote = Vec::new();
    for id in &ids {
        wrote.push(ada.wait("`sent`", |event| is_sent(event, *id)).await?);
    }
    let last = ids.last().copied();
    ada.wait("`queued`", |event| match event {
        Event::Status(status) if Some(status.message_id) == last => {
            (status.status == Status::Queued).then_some(())
        }
        _ => None,
    })
    .await?;
    say(&format!("ada → ben: {WAITING_MESSAGES} messages, all ✓ sent (durable) and queued"));
    stage.heal();
    say("the link is healed");
    Ok(wrote)
}

/// What was written into the cut link arrives, and its sender learns that it did.
async fn deliver(
    (ada, ben): (&mut Person, &mut Person),
    wrote: &[Taken],
    (north, south): (&ServerName, &ServerName),
    say: &impl Fn(&str),
) -> Result<(), Fault> {
    let mut arrived = Vec::new();
    while arrived.len() < wrote.len() {
        let id = ben
            .wait("the messages", |event| match event {
                Event::Message(message) => Some(message.id),
                _ => None,
            })
            .await?;
        arrived.push(id);
        ben.ack(vec![id], Seen::Delivered).await?;
    }
    say(&format!("ben has them: {} messages", arrived.len()));
    let sent: Vec<MessageId> = wrote.iter().map(|taken| taken.id).collect();
    let (sent, got) = (digest(&sent), digest(&arrived));
    say(&format!("what {north} sent   {sent}"));
    say(&format!("what {south} got    {got}"));
    if sent != got {
        return Err(Fault("What arrived is not what was sent.".into()));
    }
    if let Some(last) = wrote.last() {
        ada.wait("`delivered`", |event| reached(event, last, Status::Delivered)).await?;
        say("ada sees: ✓✓ delivered, all of them");
    }
    Ok(())
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

/// The message was taken, with what watermarks are matched by.
fn is_sent(event: &Event, id: MessageId) -> Option<Taken> {
    match event {
        Event::Status(status) if status.message_id == id && status.status == Status::Sent => {
            let StatusFrame { conversation_id, origin_number, .. } = status.as_ref();
            Some(Taken { id, conversation: (*conversation_id)?, number: (*origin_number)? })
        }
        _ => None,
    }
}

/// The message has got so far, as a status of its own or a watermark tells.
fn reached(event: &Event, taken: &Taken, wanted: Status) -> Option<()> {
    (told(event, taken)? == wanted).then_some(())
}

/// What an event tells of a message.
fn told(event: &Event, taken: &Taken) -> Option<Status> {
    match event {
        Event::Status(status) if status.message_id == taken.id => Some(status.status),
        Event::Watermark(mark) if covers(mark, taken) => Some(mark.status),
        _ => None,
    }
}

fn covers(mark: &WatermarkFrame, taken: &Taken) -> bool {
    mark.conversation_id == taken.conversation
        && mark.through >= taken.number
        && !mark.except.contains(&taken.number)
}

fn presence(event: &Event, wanted: Presence) -> Option<()> {
    matches!(event, Event::Presence(frame) if frame.status == wanted).then_some(())
}
