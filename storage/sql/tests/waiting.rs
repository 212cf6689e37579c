//! Entries that wait for their rows cannot be told from those that have some: the same steps on a
//! store where every message waits and on one where none does come to the same.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails there and then"
)]

use bytes::Bytes;
use posthouse_protocol::{
    cursor::Cursor,
    id::{DeviceId, MessageId},
    time::Timestamp,
};
use posthouse_storage::{
    accounts::{Accounts, AddDevice},
    bodies::{Bodies, BodyId},
    contract::{
        Subject,
        abroad::{Envelope, Region, received},
        world::{Person, START, World},
    },
    conversations::Conversations,
    erasure::{Erasure, Next},
    inbox::Entry,
    keys::{KeyNotice, Keys},
    ledger::{Accept, Ledger, Outcome},
    receipts::PositionAdvance,
    reception::Received,
    retention::{Cutoffs, Trimmed},
};
use posthouse_storage_sql::SqlStore;
use proptest::{collection::vec, prelude::*};
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

/// How many people there are.
const PEOPLE: usize = 4;

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    /// Messages, each from somebody to some, some of which replace each other.
    Send(Vec<(usize, Vec<usize>, bool)>),
    /// An envelope of another region.
    Receive(Vec<(Vec<usize>, bool)>),
    /// One acknowledges this much of the inbox.
    Acknowledge(usize, u8),
    /// One deletes a message of those sent, for the own devices.
    Delete(usize, usize),
    /// One gets a second device, which begins at the end.
    Device(usize),
    /// One is told that another's devices have changed.
    Tell(usize, usize),
    /// One deletes the account.
    Erase(usize),
    /// Time goes by, and what is old is trimmed.
    Trim(u64),
    /// What waits gets rows.
    Write,
    /// The process ends, in order or without a word.
    Restart(bool),
}

fn some() -> impl Strategy<Value = Vec<usize>> {
    proptest::sample::subsequence((0..PEOPLE).collect::<Vec<_>>(), 0..=PEOPLE)
}

fn step() -> impl Strategy<Value = Step> {
    let one = 0..PEOPLE;
    prop_oneof![
        6 => vec((0..PEOPLE, some(), prop::bool::weighted(0.2)), 1..4).prop_map(Step::Send),
        3 => vec((some(), prop::bool::weighted(0.2)), 1..4).prop_map(Step::Receive),
        2 => (one.clone(), any::<u8>()).prop_map(|(who, part)| Step::Acknowledge(who, part)),
        1 => (one.clone(), 0..40_usize).prop_map(|(who, what)| Step::Delete(who, what)),
        2 => (one.clone(), 0..PEOPLE).prop_map(|(who, about)| Step::Tell(who, about)),
        1 => one.clone().prop_map(Step::Device),
        1 => one.prop_map(Step::Erase),
        1 => (0..40_u64).prop_map(Step::Trim),
        1 => Just(Step::Write),
        1 => any::<bool>().prop_map(Step::Restart),
    ]
}

/// A database of which a message to `fewest` inboxes waits.
struct Sqlite {
    directory: TempDir,
    /// How often the process ended without a word: each time it goes on with a file of its own.
    crashes: usize,
    fewest: usize,
}

impl Sqlite {
    fn new(fewest: usize) -> Self {
        Self { directory: TempDir::new().unwrap(), crashes: 0, fewest }
    }

    fn path(&self) -> String {
        let file = format!("posthouse-{}.db", self.crashes);
        self.directory.path().join(file).display().to_string()
    }

    /// Goes on with what the file holds at this moment, as if the process were killed now.
    async fn crash(&mut self) {
        let mut database = SqliteConnection::connect(&self.path()).await.unwrap();
        self.crashes += 1;
        sqlx::query("VACUUM INTO ?").bind(self.path()).execute(&mut database).await.unwrap();
    }
}

#[async_trait::async_trait]
impl Subject for Sqlite {
    type Store = SqlStore;

    async fn open(&self) -> SqlStore {
        SqlStore::open_with(&self.path(), Uuid::nil(), self.fewest).await.unwrap()
    }

    async fn close(&self, store: SqlStore) {
        store.close().await;
    }

    fn shared(&self) -> bool {
        false
    }
}

/// A store and what was done to it. Ids are counted, so that two of these name everything alike.
struct Side {
    subject: Sqlite,
    world: World<SqlStore>,
    people: Vec<Person>,
    us: Region,
    sent: Vec<(Person, MessageId)>,
    now: Timestamp,
    /// What a step answered beside what the inboxes hold.
    answers: Vec<String>,
}

/// What an inbox looks like: its head, its entries, a page in the middle, and cursors of times.
type Seen = (Cursor, Vec<Entry>, Vec<Entry>, Vec<Cursor>);

/// A row of `inboxes`.
type Counted = (Vec<u8>, i64, i64, i64, i64);

impl Side {
    async fn new(fewest: usize) -> Self {
        let subject = Sqlite::new(fewest);
        let world = World::new(&subject).await;
        let mut people = Vec::new();
        for n in 0..PEOPLE {
            people.push(world.person(&format!("p{n}")).await);
        }
        let us = Region::new("us.example");
        Self { subject, world, people, us, sent: Vec::new(), now: START, answers: Vec::new() }
    }

    fn ids(&self, who: &[usize]) -> Vec<Uuid> {
        who.iter().filter_map(|n| self.people.get(*n)).map(Person::uuid).collect()
    }

    async fn play(mut self, step: &Step) -> Self {
        self.now = self.now.plus_millis(1);
        match step {
            Step::Send(messages) => self.send(messages).await,
            Step::Receive(messages) => {
                let messages = messages.iter().zip(1_u64..).map(|((to, collapses), n)| {
                    let number = self.us.stream.standing.map_or(0, |_| 1) + n;
                    let one = received(&self.world, &self.us.account(1), &self.people[0], number);
                    let mut one = Received { recipients: self.ids(to), ..one };
                    one.message.collapse = collapses.then(|| "key".to_owned());
                    one
                });
                let envelope = Envelope::of(messages.collect::<Vec<_>>());
                let (arrivals, _) = self.us.take_at(&self.world, &envelope, self.now).await;
                self.answers.push(format!("{arrivals:?}"));
            }
            Step::Acknowledge(who, part) => {
                let person = &self.people[*who];
                let head = self.seen(person).await.0;
                let position = Cursor(head.0 * u64::from(*part) / 255);
                let device = person.device.id;
                let advance = PositionAdvance { device, position, active_at: self.now };
                self.world.store.record(&[advance], &[]).await.unwrap();
            }
            Step::Delete(who, what) => {
                let Some((sender, id)) = self.sent.get(*what) else { return self };
                let account = self.people[*who].uuid();
                let named = [(sender.account.clone(), *id)];
                let deleted = self.world.store.delete_messages(account, &named).await.unwrap();
                self.answers.push(format!("{deleted} deleted"));
            }
            Step::Device(who) => self.add_device(*who).await,
            Step::Tell(who, about) => {
                let user = self.people[*about].account.clone();
                let notice = KeyNotice::DeviceList { user, version: self.now.0 };
                let who = self.people[*who].uuid();
                let told = self.world.store.tell(&notice, &[who], self.now).await.unwrap();
                self.answers.push(format!("{told:?}"));
            }
            Step::Erase(who) => {
                let account = &self.people[*who].account;
                self.world.store.begin_erasure(account.uuid, self.now).await.unwrap();
                loop {
                    let erased = self.world.store.erase_some(account, 2, self.now).await.unwrap();
                    self.answers.push(format!("{:?}", erased.bodies));
                    if erased.next != Next::Step {
                        break;
                    }
                }
            }
            Step::Trim(days) => {
                self.now = self.now.plus_millis(days * 24 * 3_600_000);
                loop {
                    let cutoffs = Cutoffs::at(self.now);
                    let Trimmed { entries, unreferenced, more, .. } =
                        self.world.store.trim(&cutoffs, 100).await.unwrap();
                    self.world.store.delete(&unreferenced).await.unwrap();
                    self.answers.push(format!("{entries} trimmed, {unreferenced:?}"));
                    if !more {
                        break;
                    }
                }
            }
            Step::Write => {
                self.world.store.write_waiting_entries().await.unwrap();
                assert_eq!(self.world.store.waiting_entries(), 0);
            }
            Step::Restart(in_order) => return self.restart(*in_order).await,
        }
        self
    }

    async fn send(&mut self, messages: &[(usize, Vec<usize>, bool)]) {
        let batch: Vec<Accept> = messages
            .iter()
            .map(|(from, to, collapses)| Accept {
                recipients: self.ids(to),
                side: 0,
                collapse: collapses.then(|| "key".to_owned()),
                ..self.world.message(&self.people[*from], &self.people[0], self.now)
            })
            .collect();
        let body = |accept: &Accept| (accept.body, Bytes::copy_from_slice(accept.id.0.as_bytes()));
        let bodies: Vec<(BodyId, Bytes)> = batch.iter().map(body).collect();
        let outcomes = self.world.store.commit(&batch, &bodies).await.unwrap();
        for ((accept, outcome), (from, ..)) in batch.iter().zip(outcomes).zip(messages) {
            assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
            self.sent.push((self.people[*from].clone(), accept.id));
            self.answers.push(format!("{outcome:?}"));
        }
    }

    async fn add_device(&mut self, who: usize) {
        let account = self.people[who].uuid();
        let new = self.world.new_device(account, self.now);
        let session = self.world.new_session(&new, self.now);
        match self.world.store.add_device(&new, &session, 8).await.unwrap() {
            AddDevice::Added(device) => {
                let (id, position): (DeviceId, Cursor) = (device.id, device.position);
                self.answers.push(format!("{id:?} begins at {position:?}"));
                // It counts for what all devices have acknowledged: only once.
                self.world.store.remove_device(account, id, self.now).await.unwrap();
            }
            other => self.answers.push(format!("{other:?}")),
        }
    }

    async fn restart(self, in_order: bool) -> Self {
        let Self { mut subject, world, people, us, sent, now, answers } = self;
        let next = world.id().as_u64_pair().1 + 1;
        if !in_order {
            subject.crash().await;
        }
        // After a crash: of the file that nobody goes on with.
        world.store.close().await;
        let world = World::beside(&subject, next).await;
        Self { subject, world, people, us, sent, now, answers }
    }

    async fn seen(&self, person: &Person) -> Seen {
        let (account, store) = (person.uuid(), &self.world.store);
        let whole = store.page(account, Cursor::START, 1_000).await.unwrap();
        let middle = Cursor(whole.head.0 / 2);
        let part = store.page(account, middle, 2).await.unwrap();
        assert_eq!(part.head, whole.head);
        let mut cursors = vec![part.through];
        for back in [0, 1, 3, 10] {
            let at = self.now.minus_millis(back);
            cursors.push(store.cursor_at(account, at).await.unwrap());
        }
        (whole.head, whole.entries, part.entries, cursors)
    }

    /// What inboxes hold and what refers to messages, as the database counts it.
    async fn tables(&self) -> (Vec<Counted>, Vec<(Vec<u8>, i64)>) {
        let mut database = SqliteConnection::connect(&self.subject.path()).await.unwrap();
        let fanouts: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM fanouts")
            .fetch_one(&mut database)
            .await
            .unwrap();
        assert_eq!(fanouts, 0);
        let inboxes = "SELECT account, head, entries, bytes, counted FROM inboxes ORDER BY account";
        let inboxes = sqlx::query_as(inboxes).fetch_all(&mut database).await.unwrap();
        let pointers = "SELECT id, pointers FROM messages ORDER BY id, sender";
        let pointers = sqlx::query_as(pointers).fetch_all(&mut database).await.unwrap();
        (inboxes, pointers)
    }

    async fn look(&self) -> (Vec<Seen>, Vec<String>) {
        let mut all = Vec::new();
        for person in &self.people {
            all.push(self.seen(person).await);
        }
        (all, self.answers.clone())
    }
}

async fn compare(steps: Vec<Step>) {
    let (mut waiting, mut written) = (Side::new(1).await, Side::new(usize::MAX).await);
    let first = Step::Send(vec![(0, (0..PEOPLE).collect(), false)]);
    waiting = waiting.play(&first).await;
    assert_eq!(waiting.world.store.waiting_entries(), PEOPLE, "they do wait");
    written = written.play(&first).await;
    for step in &steps {
        (waiting, written) = (waiting.play(step).await, written.play(step).await);
        assert_eq!(written.world.store.waiting_entries(), 0);
        assert_eq!(waiting.look().await, written.look().await, "after {step:?}");
    }
    // What is written at last is what was there before.
    let before = waiting.look().await;
    waiting.world.store.write_waiting_entries().await.unwrap();
    assert_eq!(waiting.look().await, before);
    assert_eq!(waiting.tables().await, written.tables().await);
}

/// Readers go on while what they read gets its rows: nothing is passed over, nothing comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_every_entry_once_while_it_gets_its_row() {
    const MESSAGES: u64 = 400;
    let subject = Sqlite::new(2);
    let world = World::new(&subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let carol = world.person("carol").await;
    let mut readers = JoinSet::new();
    for (who, limit) in [(&bob, 1), (&bob, 7), (&carol, 1_000)] {
        let (store, account) = (world.store.clone(), who.uuid());
        readers.spawn(async move {
            let mut cursor = Cursor::START;
            while cursor < Cursor(MESSAGES) {
                let page = store.page(account, cursor, limit).await.unwrap();
                for entry in &page.entries {
                    assert_eq!(entry.cursor.0, cursor.0 + 1, "limit {limit}");
                    cursor = entry.cursor;
                }
                assert!(page.through <= page.head && page.through == cursor);
                let end = store.cursor_at(account, Timestamp(u64::MAX)).await.unwrap();
                assert!(end >= page.head);
            }
        });
    }
    let store = world.store.clone();
    let writer = tokio::spawn(async move {
        loop {
            store.write_waiting_entries().await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let to = vec![bob.uuid(), carol.uuid()];
    let mut waited = 0;
    for n in 0..MESSAGES {
        // Now and then one that is written at once, and writes what waits of its inbox.
        let message = world.message(&alice, &bob, START);
        let collapse = (n % 9 == 0).then(|| n.to_string());
        world.accept(&Accept { recipients: to.clone(), collapse, ..message }).await;
        waited += world.store.waiting_entries();
    }
    assert!(waited > 0, "nothing ever waited");
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
    writer.abort();
}

/// An inbox that is made again after an erasure begins at 1, while a row still names the entries of the
/// one before.
#[tokio::test]
async fn what_an_erased_account_had_does_not_come_back() {
    let one = |from, to: &[usize]| Step::Send(vec![(from, to.to_vec(), false)]);
    let steps = vec![
        one(0, &[1]),
        one(0, &[1, 3]),
        Step::Erase(1),
        Step::Receive(vec![(vec![1], false)]),
        Step::Restart(false),
        one(2, &[0, 3]),
        Step::Restart(true),
    ];
    compare(steps).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn waiting_changes_nothing(steps in vec(step(), 1..30)) {
        tokio::runtime::Runtime::new().unwrap().block_on(compare(steps));
    }
}
