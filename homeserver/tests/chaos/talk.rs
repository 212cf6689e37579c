//! Two people who write to each other through links that break all the time: each message is shown
//! once, in order, and in the same order on both sides.

use std::{sync::Arc, time::Duration};

use posthouse_client::{Client, Entry, Update, Updates};
use posthouse_protocol::{id::AccountId, status::Status};
use tokio::time::{Instant, timeout_at};

use crate::chaos::{Chaos, Weather};

/// A seed, printed; that of POSTHOUSE_CHAOS_SEED if it is set.
pub(crate) fn seed() -> u64 {
    let given = std::env::var_os("POSTHOUSE_CHAOS_SEED");
    let given = given.map(|seed| seed.to_str().unwrap().parse().unwrap());
    let seed = given.unwrap_or_else(|| rand::random_range(0..u64::MAX));
    println!("POSTHOUSE_CHAOS_SEED={seed}");
    seed
}

/// A person's device and the link that it has to its region.
pub(crate) struct Talker {
    pub(crate) client: Client,
    pub(crate) updates: Updates,
    pub(crate) link: Chaos,
}

/// What was said before.
const GREETING: &str = "hello";

/// Lets two people exchange a message each, so that their devices have sessions that both know.
pub(crate) async fn greet([one, other]: &mut [Talker; 2]) {
    one.client.send_text(other.client.account(), GREETING).await.unwrap();
    heard(other).await;
    other.client.send_text(one.client.account(), GREETING).await.unwrap();
    heard(one).await;
}

async fn heard(by: &mut Talker) {
    while !matches!(by.updates.next().await, Some(Update::Message(_)) | None) {}
}

/// Both write `each` messages at the same time.
pub(crate) async fn talk(both: [Talker; 2], each: usize, weather: Weather, patience: Duration) {
    let [one, other] = &both;
    let accounts = [one.client.account().clone(), other.client.account().clone()];
    let tallies = [Arc::clone(&one.link.tally), Arc::clone(&other.link.tally)];
    let [one, other] = both;
    let [first, second] = accounts.clone();
    let until = Instant::now() + patience;
    let task = (each, weather, until);
    let (one, other) = tokio::join!(hold(one, second, task), hold(other, first, task));
    println!("{tallies:?}");
    let events = tallies.iter().map(|tally| tally.events()).sum::<usize>();
    assert!(events >= 3, "only {events} events");
    assert_eq!(one.len(), 2 * each);
    let order = |seen: &[Entry]| -> Vec<_> {
        seen.iter().map(|entry| (entry.stamp, entry.from.clone(), entry.id)).collect()
    };
    assert_eq!(order(&one), order(&other), "both see one order");
}

/// Writes everything, is shown everything, and gives the own timeline.
async fn hold(talker: Talker, with: AccountId, task: (usize, Weather, Instant)) -> Vec<Entry> {
    let (each, weather, until) = task;
    let Talker { client, mut updates, link } = talker;
    link.begin(weather);
    let writing = async {
        for number in 0..each {
            client.send_text(&with, &number.to_string()).await.unwrap();
        }
    };
    let reading = async {
        let (mut shown, mut delivered) = (0, 0);
        while shown < each || delivered < each {
            let next = timeout_at(until, updates.next()).await;
            let next = next.unwrap_or_else(|_| {
                panic!("{shown} of {each} shown, {delivered} delivered: {:?}", link.tally)
            });
            match next.expect("the device goes on") {
                Update::Message(entry) => {
                    let wanted = shown.to_string();
                    assert_eq!(entry.said.text(), Some(wanted.as_str()), "once, in order");
                    shown += 1;
                }
                Update::Status { status, reason, .. } => {
                    assert!(reason.is_none(), "{reason:?}");
                    delivered += usize::from(status == Status::Delivered);
                }
                update @ (Update::Undecryptable { .. } | Update::Refused { .. }) => {
                    panic!("{update:?}")
                }
                _ => {}
            }
        }
    };
    tokio::join!(writing, reading);
    link.end();
    let mut seen = client.timeline(&with, None, 2 * each + 9).await.unwrap();
    seen.retain(|entry| entry.said.text() != Some(GREETING));
    seen
}
