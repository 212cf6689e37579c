//! What is shown: a conversation between two regions with its ticks, then a hundred messages
//! into a cut link, and the link healed.

use core::{fmt::Write, time::Duration};
use std::collections::BTreeSet;

use posthouse_client::Update;
use posthouse_protocol::{
    id::{AccountId, MessageId},
    status::Status,
};
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Fault, Region, Stage, person::Person};
use crate::console::Console;

/// Messages that are written into the cut link.
const WAITING_MESSAGES: usize = 100;
/// What each of those says, with its number behind.
const INTO_THE_DARK: &str = "into the dark,";
/// What else is said, in turns, beginning with ada.
const TALK: [&str; 5] = [
    "Hello Ben! Is the road open?",
    "It is. Which horses do you have?",
    "Two, and they are fresh.",
    "All of them are here.",
    "Then ride.",
];

/// What the story calls the people of the two regions.
pub(crate) const NAMES: [&str; 2] = ["ada", "ben"];

/// When somebody who types says so again.
const TYPING_AGAIN: Duration = Duration::from_secs(2);

/// A message as one of the two has it.
type Said = (MessageId, String);

/// Tells the story; `start` is when its clock begins. The people go on afterwards.
///
/// # Errors
/// A [`Fault`] at the first step that does not show what it should.
pub(crate) async fn tell(
    stage: &Stage,
    start: Instant,
    mut rng: StdRng,
    console: Console,
) -> Result<[Person; 2], Fault> {
    let say = |text: &str| {
        console.line(format_args!("{:>6.2} s  {text}", start.elapsed().as_secs_f64()));
    };
    let [ada, ben] = NAMES;
    let [north, south] = &stage.regions;
    let [hello, question, answer, thanks, farewell] = TALK;
    let mut ada = Person::register(ada, north, stage, &mut rng).await?;
    let mut ben = Person::register(ben, south, stage, &mut rng).await?;
    for (person, region) in [(&ada, north), (&ben, south)] {
        say(&format!("registered {} at {}: {}", person.name, region.domain, person.account()));
    }

    // Whom a handle means, the regions find out between themselves.
    let known = ada.find(&south.address()).await?;
    if known != *ben.account() {
        return Err(Fault(format!("{} means somebody else: {known}.", south.address())));
    }
    let id = exchange((&mut ada, &mut ben), hello, &say).await?;
    look_inside(&stage.regions, id, &say).await?;
    exchange((&mut ben, &mut ada), question, &say).await?;
    compare_numbers(&ada, &ben, &say).await?;
    exchange((&mut ada, &mut ben), answer, &say).await?;
    let to_ada = ada.account().clone();
    let typing = |update: &Update| matches!(update, Update::Typing { typing: true, .. });
    tokio::select! {
        seen = ada.wait("a typing notice", |update| typing(update).then_some(())) => seen?,
        fault = keep_typing(&ben, &to_ada) => return Err(fault),
    }
    say("ada sees: ben is typing …");

    let wrote = partition(stage, (&mut ada, &ben), &say).await?;
    deliver((&mut ada, &mut ben), &wrote, &say).await?;
    // Whatever came twice would come before these.
    exchange((&mut ben, &mut ada), thanks, &say).await?;
    exchange((&mut ada, &mut ben), farewell, &say).await?;
    say("everything that was told `sent` arrived: once, in order");
    search_all(&stage.regions, &say)?;
    Ok([ada, ben])
}

/// A typing notice may be lost, so whoever types says so again and again.
async fn keep_typing(person: &Person, to: &AccountId) -> Fault {
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
    text: &str,
    say: &impl Fn(&str),
) -> Result<MessageId, Fault> {
    let id = from.write(&to.account().clone(), text).await?;
    from.reached(id, &[Status::Sent]).await?;
    say(&format!("{} → {}: {text}", from.name, to.name));
    let got = to.receive().await?;
    if (got.id, got.said.text()) != (id, Some(text)) {
        return Err(Fault(format!("{} got {} where {id} was due.", to.name, got.id)));
    }
    // `delivered` has a shorter way than `accepted`, and may overtake it.
    let first = from.reached(id, &[Status::Accepted, Status::Delivered]).await?;
    if first == Status::Accepted {
        from.reached(id, &[Status::Delivered]).await?;
    }
    to.read(&from.account().clone()).await?;
    from.reached(id, &[Status::Read]).await?;
    say(&format!(
        "       ✓ sent   ✓ accepted by the other region   ✓✓ delivered   ✓✓ read by {}",
        to.name
    ));
    Ok(id)
}

/// What the servers have of a message that the people have just read.
async fn look_inside(
    regions: &[Region; 2],
    id: MessageId,
    say: &impl Fn(&str),
) -> Result<(), Fault> {
    for region in regions {
        if let Some(inside) = &region.inside {
            let seen = inside.seen(id).await?;
            say(&format!("       {} saw  {}", region.domain, seen.line()));
        }
    }
    Ok(())
}

/// Both see the same number, or somebody stands between them.
async fn compare_numbers(ada: &Person, ben: &Person, say: &impl Fn(&str)) -> Result<(), Fault> {
    let numbers =
        (ada.safety_number(ben.account()).await?, ben.safety_number(ada.account()).await?);
    if numbers.0 != numbers.1 {
        return Err(Fault(format!("The safety numbers differ: {numbers:?}.")));
    }
    let mut groups = String::new();
    for (place, digit) in numbers.0.chars().enumerate() {
        if place > 0 && place % 5 == 0 {
            groups.push(' ');
        }
        groups.push(digit);
    }
    say(&format!("safety number, the same for both: {groups}"));
    Ok(())
}

/// None of the texts stands in any file of the regions.
fn search_all(regions: &[Region; 2], say: &impl Fn(&str)) -> Result<(), Fault> {
    let texts: Vec<&str> = TALK.into_iter().chain([INTO_THE_DARK]).collect();
    for region in regions {
        if let Some(inside) = &region.inside {
            let searched = inside.search(&texts)?;
            let (domain, files, kib) = (&region.domain, searched.files, searched.bytes / 1024);
            say(&format!("{domain} has none of their words: {files} files, {kib} KiB searched"));
        }
    }
    Ok(())
}

/// The link is cut, a hundred messages are written into it, and it is healed. What was written.
async fn partition(
    stage: &Stage,
    (ada, ben): (&mut Person, &Person),
    say: &impl Fn(&str),
) -> Result<Vec<Said>, Fault> {
    stage.cut();
    say("the link between the regions is cut");
    let mut wrote = Vec::new();
    for n in 1..=WAITING_MESSAGES {
        let text = format!("{INTO_THE_DARK} {n}");
        wrote.push((ada.write(ben.account(), &text).await?, text));
    }
    let mut open: BTreeSet<MessageId> = wrote.iter().map(|(id, _)| *id).collect();
    let last = wrote.last().map(|(id, _)| *id);
    let mut is_queued = false;
    ada.wait("all to be `sent` and the last to be `queued`", |update| {
        if let Update::Status { id, status, .. } = update {
            open.remove(id);
            is_queued |= Some(*id) == last && *status == Status::Queued;
        }
        (open.is_empty() && is_queued).then_some(())
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
    wrote: &[Said],
    say: &impl Fn(&str),
) -> Result<(), Fault> {
    let mut arrived = Vec::new();
    while arrived.len() < wrote.len() {
        let got = ben.receive().await?;
        arrived.push((got.id, got.said.text().unwrap_or_default().to_owned()));
    }
    say(&format!("ben has them: {} messages", arrived.len()));
    let (sent, got) = (digest(wrote), digest(&arrived));
    say(&format!("what ada wrote   {sent}"));
    say(&format!("what ben reads   {got}"));
    if sent != got {
        return Err(Fault("What arrived is not what was sent.".into()));
    }
    if let Some((last, _)) = wrote.last() {
        ada.reached(*last, &[Status::Delivered]).await?;
        say("ada sees: ✓✓ delivered, all of them");
    }
    Ok(())
}

/// SHA-256 over ids and texts in their order, shortened.
fn digest(said: &[Said]) -> String {
    let mut hash = Sha256::new();
    for (id, text) in said {
        hash.update(id.0.as_bytes());
        hash.update(text);
    }
    hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}
