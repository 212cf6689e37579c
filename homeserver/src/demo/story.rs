//! What the demo shows: a conversation between two regions with its ticks, then a hundred messages
//! into a cut link, and the link healed.

use core::fmt::Write;

use posthouse_client::Event;
use posthouse_protocol::{
    frame::{Presence, StatusFrame, WatermarkFrame},
    id::{Address, ConversationId, Handle, HandleName, MessageId, ServerName},
    status::{Seen, Status},
};
use rand::{SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Stage, failed, person::Person};
use crate::{clock::system_random, console::Console, failure::Failure};

/// Messages that are written into the cut link.
const WAITING_MESSAGES: usize = 100;

/// Who lives in the two regions.
pub(super) const PEOPLE: [&str; 2] = ["ada", "ben"];

/// A message that its sender's region has taken.
struct Taken {
    id: MessageId,
    conversation: ConversationId,
    number: u64,
}

/// Tells the story.
pub(super) async fn tell(stage: &Stage, console: Console) -> Result<(), Failure> {
    let start = Instant::now();
    let mut rng = StdRng::from_seed(system_random()?);
    let say = |text: &str| {
        console.line(format_args!("{:>6.2} s  {text}", start.elapsed().as_secs_f64()));
    };
    for server in [&stage.north, &stage.south] {
        let (domain, clients) = (server.domain(), server.address());
        let federation = server.federation();
        say(&format!("{domain} serves clients at https://{clients}, regions at {federation}"));
    }
    let [ada, ben] = PEOPLE;
    let mut ada = Person::register(ada, &stage.north).await?;
    let mut ben = Person::register(ben, &stage.south).await?;
    say(&format!("registered ada at north.test: {}", ada.account()));
    say(&format!("registered ben at south.test: {}", ben.account()));

    let by_name = handle(PEOPLE[1], stage.south.domain())?;
    let (ada_id, ben_id) = (ada.account().clone(), ben.account().clone());
    let (to_ada, to_ben) = (Address::Account(ada_id.clone()), Address::Account(ben_id.clone()));
    exchange((&mut ada, &mut ben), &by_name, "Hello Ben! Is the road open?", &mut rng, &say)
        .await?;
    exchange((&mut ben, &mut ada), &to_ada, "It is. Which horses do you have?", &mut rng, &say)
        .await?;
    exchange((&mut ada, &mut ben), &to_ben, "Two, and they are fresh.", &mut rng, &say).await?;
    ben.type_to(&ada_id).await?;
    ada.wait("a typing notice", |event| presence(event, Presence::Typing)).await?;
    say("ada sees: ben is typing …");

    partition(stage, (&mut ada, &mut ben), &mut rng, &say).await?;
    say("everything that was told `sent` arrived: once, in order");
    Ok(())
}

/// One message from region to region, with its ticks.
async fn exchange(
    (from, to): (&mut Person, &mut Person),
    address: &Address,
    text: &str,
    rng: &mut StdRng,
    say: &impl Fn(&str),
) -> Result<(), Failure> {
    let id = from.write(address, text, rng).await?;
    let taken = from.wait("`sent`", |event| is_sent(event, id)).await?;
    say(&format!("{} → {}: {text}", from.name, to.name));
    to.wait("the message", |event| is_message(event, id)).await?;
    to.ack(vec![id], Seen::Delivered).await?;
    from.wait("`accepted`", |event| reached(event, &taken, Status::Accepted)).await?;
    from.wait("`delivered`", |event| reached(event, &taken, Status::Delivered)).await?;
    to.ack(vec![id], Seen::Read).await?;
    from.wait("`read`", |event| reached(event, &taken, Status::Read)).await?;
    say(&format!(
        "       ✓ sent   ✓ accepted by the other region   ✓✓ delivered   ✓✓ read by {}",
        to.name
    ));
    Ok(())
}

/// The link is cut, a hundred messages are written into it, and it is healed.
async fn partition(
    stage: &Stage,
    (ada, ben): (&mut Person, &mut Person),
    rng: &mut StdRng,
    say: &impl Fn(&str),
) -> Result<(), Failure> {
    stage.cut();
    say("the link between the regions is cut");
    let to_ben = Address::Account(ben.account().clone());
    let mut wrote = Vec::new();
    for n in 1..=WAITING_MESSAGES {
        wrote.push(ada.write(&to_ben, &format!("into the dark, {n}"), rng).await?);
    }
    for id in &wrote {
        ada.wait("`sent`", |event| is_sent(event, *id)).await?;
    }
    let last = wrote.last().copied();
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
    let mut arrived = Vec::new();
    while arrived.len() < WAITING_MESSAGES {
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
    let (north, south) = (digest(&wrote), digest(&arrived));
    say(&format!("what north.test sent   {north}"));
    say(&format!("what south.test got    {south}"));
    if north == south { Ok(()) } else { Err(failed("What arrived is not what was sent.")) }
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

fn handle(name: &str, domain: &str) -> Result<Address, Failure> {
    let name = HandleName::parse(name).map_err(|err| failed(err.to_string()))?;
    let server = ServerName::parse(domain).map_err(|err| failed(err.to_string()))?;
    Ok(Address::Handle(Handle { name, server }))
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
    let told = match event {
        Event::Status(status) => status.message_id == taken.id && status.status == wanted,
        Event::Watermark(mark) => covers(mark, taken) && mark.status == wanted,
        _ => false,
    };
    told.then_some(())
}

fn covers(mark: &WatermarkFrame, taken: &Taken) -> bool {
    mark.conversation_id == taken.conversation
        && mark.through >= taken.number
        && !mark.except.contains(&taken.number)
}

fn is_message(event: &Event, id: MessageId) -> Option<()> {
    matches!(event, Event::Message(message) if message.id == id).then_some(())
}

fn presence(event: &Event, wanted: Presence) -> Option<()> {
    matches!(event, Event::Presence(frame) if frame.status == wanted).then_some(())
}
