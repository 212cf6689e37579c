//! kill -9 in the middle of commits: whatever was acknowledged is there afterwards, and nothing is
//! there by half.
//!
//! The test starts itself as a child (the ignored test `child`), which commits, and takes envelopes of
//! another region, as fast as it can and prints each acknowledgement; kills it after a random number of them, at whatever moment that is;
//! opens the database again and looks. The seed is printed.

#![expect(
    clippy::unwrap_used,
    clippy::format_push_string,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails there and then"
)]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

use bytes::Bytes;
use posthouse_protocol::{cursor::Cursor, federation::stream::Lane, id::MessageId, time::Stamp};
use posthouse_storage::{
    contract::{
        Subject,
        abroad::{Envelope, Region, received},
        world::{Person, START, World, message},
    },
    ledger::{Accept, Ledger, Outcome},
    reception::{InboundStream, Received, Receptions},
};
use posthouse_storage_sql::SqlStore;
use tempfile::TempDir;
use uuid::Uuid;

/// How often the process is killed.
const ROUNDS: u64 = 12;

/// A database at a path, without a subject's fresh start.
struct At(String);

#[async_trait::async_trait]
impl Subject for At {
    type Store = SqlStore;
    async fn open(&self) -> SqlStore {
        // What goes to all three waits for its rows; what goes to two is written at once.
        SqlStore::open_with(&self.0, Uuid::nil(), 3).await.unwrap()
    }
    async fn close(&self, store: SqlStore) {
        store.close().await;
    }
    fn shared(&self) -> bool {
        false
    }
}

/// Small random numbers from a seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// What the child prints for each accepted message, and whether Dave got it.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Acknowledged {
    id: MessageId,
    stamp: Stamp,
    number: u64,
}

/// The people are made by the parent; the child is told who they are.
struct People {
    alice: Person,
    bob: Person,
    carol: Person,
    dave: Person,
}

impl People {
    /// Those who get a message: Bob and Carol all of them, Dave some.
    fn recipients(&self, with_dave: bool) -> Vec<Uuid> {
        let mut recipients = vec![self.carol.uuid(), self.bob.uuid()];
        recipients.extend(with_dave.then(|| self.dave.uuid()));
        recipients
    }
}

/// Started by [`killed_in_the_middle_of_commits`]. Reads `path`, a seed and a first id from its
/// input, and commits until it is killed.
#[tokio::test]
#[ignore = "started by killed_in_the_middle_of_commits"]
async fn child() {
    let mut lines = std::io::stdin().lines();
    let mut line = || lines.next().unwrap().unwrap();
    let subject = At(line());
    let mut random = Random(line().parse().unwrap());
    let world = World::beside(&subject, line().parse().unwrap()).await;
    let people = people(&world).await;
    let mut us = Region::new("us.example");
    us.stream = world.store.inbound(&us.name).await.unwrap();
    loop {
        let size = 1 + random.below(40);
        // Most batches are of one kind: only then something waits.
        let mixed = random.below(4) == 0;
        let with_dave = random.below(3) != 0;
        let mut with_dave = || if mixed { random.below(2) == 0 } else { with_dave };
        let with_dave: Vec<bool> = (0..size).map(|_| with_dave()).collect();
        if random.below(2) == 0 {
            let told = take(&world, &people, &mut us, &with_dave).await;
            std::io::stdout().write_all(told.as_bytes()).unwrap();
            continue;
        }
        let batch: Vec<Accept> =
            with_dave.iter().map(|to| submission(&world, &people, *to)).collect();
        let bodies: Vec<_> = batch
            .iter()
            .map(|accept| (accept.body, Bytes::copy_from_slice(accept.id.0.as_bytes())))
            .collect();
        let outcomes = world.store.commit(&batch, &bodies).await.unwrap();
        let mut told = String::new();
        for (accept, outcome) in batch.iter().zip(outcomes) {
            let Outcome::Accepted(accepted) = outcome else { panic!("{outcome:?}") };
            told.push_str(&format!(
                "{} {} {} {}\n",
                accept.id,
                accepted.stamp,
                accepted.origin_number,
                accept.recipients.len() == 3
            ));
        }
        // One write: a line is whole, or the batch counts as not acknowledged from there on.
        std::io::stdout().write_all(told.as_bytes()).unwrap();
    }
}

/// Takes an envelope for Bob, Carol and perhaps Dave; each message has the stream's sequence as its number.
/// Gives the acknowledgements.
async fn take(
    world: &World<SqlStore>,
    people: &People,
    us: &mut Region,
    with_dave: &[bool],
) -> String {
    let first = 1 + through(&us.stream) * PER_ENVELOPE;
    let messages = (first..).zip(with_dave).map(|(number, with_dave)| {
        let one = received(world, &us.account(1), &people.bob, number);
        Received { recipients: people.recipients(*with_dave), ..one }
    });
    let envelope = Envelope::of(messages.collect::<Vec<_>>());
    us.take(world, &envelope).await;
    let line = |received: &Received| {
        let (one, with_dave) = (&received.message, received.recipients.len() == 3);
        format!("{} {} {} {with_dave}\n", one.id, one.stamp, one.origin_number)
    };
    envelope.messages.iter().map(line).collect()
}

/// Numbers that an envelope may use: the first ones after a multiple of this.
const PER_ENVELOPE: u64 = 100;

/// How many envelopes were taken.
fn through(stream: &InboundStream) -> u64 {
    stream.standing.map_or(0, |standing| standing.lanes.of(Lane::Messages).through)
}

/// From Alice to Bob, Carol and perhaps Dave.
fn submission(world: &World<SqlStore>, people: &People, with_dave: bool) -> Accept {
    Accept {
        recipients: people.recipients(with_dave),
        ..world.message(&people.alice, &people.bob, START)
    }
}

/// Looks the people up by their handles; makes them in a new database.
async fn people(world: &World<SqlStore>) -> People {
    use posthouse_storage::accounts::Accounts;
    let find = async |handle: &str| {
        let name = posthouse_protocol::id::HandleName::parse(handle).unwrap();
        let Some(account) = world.store.account_by_handle(&name).await.unwrap() else {
            return world.person(handle).await;
        };
        let device = world.store.devices(account.id).await.unwrap().remove(0);
        let server = posthouse_storage::contract::world::server();
        let account = posthouse_protocol::id::AccountId { uuid: account.id, server };
        Person { account, device }
    };
    People {
        alice: find("alice").await,
        bob: find("bob").await,
        carol: find("carol").await,
        dave: find("dave").await,
    }
}

fn start_child(path: &str, seed: u64, first: u64) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child", "--nocapture", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.as_mut().unwrap();
    write!(input, "{path}\n{seed}\n{first}\n").unwrap();
    child
}

/// Reads acknowledgements, kills the child after `many`, and reads what it had still written.
fn acknowledged(mut child: Child, many: usize) -> Vec<(Acknowledged, bool)> {
    let mut read = Vec::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = Vec::new();
    let mut killed = false;
    loop {
        line.clear();
        if output.read_until(b'\n', &mut line).unwrap() == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        // The test runner's own lines are passed over, and a line that was cut.
        let fields: Vec<&str> = text.strip_suffix('\n').unwrap_or_default().split(' ').collect();
        if let [id, stamp, number, with_dave] = fields[..]
            && let (Ok(id), Ok(stamp), Ok(number), Ok(with_dave)) =
                (MessageId::parse(id), Stamp::parse(stamp), number.parse(), with_dave.parse())
        {
            read.push((Acknowledged { id, stamp, number }, with_dave));
        }
        if read.len() >= many && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    assert!(!child.wait().unwrap().success(), "it ends only by being killed");
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_commits() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("posthouse.db").display().to_string();
    let seed = u64::from(std::process::id()) << 20 | 1;
    println!("seed {seed}");
    let mut random = Random(seed);
    let subject = At(path.clone());
    let world = World::beside(&subject, 1).await;
    people(&world).await;
    subject.close(world.store).await;

    let mut told: HashMap<MessageId, (Acknowledged, bool)> = HashMap::new();
    for round in 1..=ROUNDS {
        let many = usize::try_from(1 + random.below(800)).unwrap();
        let child = start_child(&path, random.below(u64::MAX >> 1) | 1, round * 1_000_000);
        let read = tokio::task::spawn_blocking(move || acknowledged(child, many)).await.unwrap();
        assert!(read.len() >= many, "round {round}: {} of {many}", read.len());
        told.extend(read.into_iter().map(|one| (one.0.id, one)));
        check(&subject, &told).await;
    }
}

/// Everything that was told is there, once and as it was told; everything that is there is whole.
async fn check(subject: &At, told: &HashMap<MessageId, (Acknowledged, bool)>) {
    let world = World::beside(subject, 1).await;
    let people = people(&world).await;
    let mut inboxes = Vec::new();
    for person in [&people.bob, &people.carol] {
        inboxes.push(read(&world.store, person).await);
    }
    assert_eq!(inboxes[0], inboxes[1], "a message is in both inboxes or in none");
    let found = &inboxes[0];
    let dave = read(&world.store, &people.dave).await;
    assert!(dave.iter().all(|(place, one)| found.get(place) == Some(one)));
    let all: HashMap<MessageId, &Acknowledged> = found.values().map(|one| (one.id, one)).collect();
    let dave_has: HashSet<MessageId> = dave.values().map(|one| one.id).collect();
    for (acknowledged, with_dave) in told.values() {
        assert_eq!(all.get(&acknowledged.id), Some(&acknowledged));
        assert_eq!(dave_has.contains(&acknowledged.id), *with_dave);
    }
    // Dense: what was not acknowledged is there wholly or not at all, and numbers go on.
    let numbers = |abroad: bool| {
        let of = found.keys().filter(move |(is_abroad, _)| *is_abroad == abroad);
        of.map(|(_, number)| *number).collect::<Vec<u64>>()
    };
    let own = numbers(false);
    assert_eq!(own, (1..=own.len() as u64).collect::<Vec<_>>());
    // The stream is exactly as far as its effects.
    let us = world.store.inbound(&Region::new("us.example").name).await.unwrap();
    let mut last: u64 = 0;
    for number in numbers(true) {
        // The next one of its envelope, or the first one of the next envelope.
        let next_envelope = last.next_multiple_of(PER_ENVELOPE) + 1;
        assert!(number == last + 1 || number == next_envelope, "{number} after {last}");
        last = number;
    }
    assert_eq!(last.div_ceil(PER_ENVELOPE), through(&us));
    subject.close(world.store).await;
}

/// An inbox by whether it came from abroad, and by origin number; every entry has its body, and cursors have no gap.
async fn read(store: &SqlStore, person: &Person) -> BTreeMap<(bool, u64), Acknowledged> {
    use posthouse_storage::bodies::Bodies;
    let (mut found, mut ids, mut cursor) = (BTreeMap::new(), HashSet::new(), Cursor::START);
    loop {
        let page = store.page(person.uuid(), cursor, 500).await.unwrap();
        if page.entries.is_empty() {
            assert_eq!(page.head, cursor, "the head is the last entry");
            return found;
        }
        let messages: Vec<_> = page.entries.iter().map(|entry| message(entry).unwrap()).collect();
        let bodies: Vec<_> = messages.iter().map(|message| message.body).collect();
        for (message, body) in messages.iter().zip(store.get(&bodies).await.unwrap()) {
            assert_eq!(body.as_deref(), Some(&message.id.0.as_bytes()[..]));
            assert!(ids.insert(message.id), "twice");
            let one = Acknowledged {
                id: message.id,
                stamp: message.stamp,
                number: message.origin_number,
            };
            let is_abroad = message.device.is_none();
            assert_eq!(found.insert((is_abroad, one.number), one), None);
        }
        for entry in &page.entries {
            assert_eq!(entry.cursor.0, cursor.0 + 1);
            cursor = entry.cursor;
        }
    }
}
