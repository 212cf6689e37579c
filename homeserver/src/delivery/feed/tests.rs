//! Whatever is committed, told, lost on the way, collapsed and acknowledged in whatever order: the
//! device gets every entry that stays, once, in the order of the cursors.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    pin::pin,
    sync::{Mutex, MutexGuard},
    task::Poll,
};

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_client_api::{mailbox::Mailbox, ports::Answer};
use posthouse_protocol::{
    content::{Content, Payload},
    frame::{Class, Submission},
    id::{
        AccountId, ConversationId, DeviceId, DeviceNumber, GroupId, MessageId, ServerName,
        SessionId,
    },
    limits,
    problem::Rejection,
    time::Stamp,
};
use posthouse_storage::{
    bodies::{Bodies, BodyId},
    error::StoreError,
    inbox::{Page, StoredMessage},
    ledger::{Accept, Ledger, Outcome},
    receipts::{PositionAdvance, Risen, WatermarkRise},
    retention::{Cutoffs, Trimmed},
};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::delivery::{
    CommitConfig, Committer, Connections, Progress, accept::Admitted, receipts::Wishes,
    route::route,
};

/// An inbox in memory, with the reads that a feed makes.
#[derive(Default)]
struct Inbox(Mutex<State>);

#[derive(Default)]
struct State {
    entries: BTreeMap<u64, Entry>,
    head: u64,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn append(&self) -> Arc<LiveEntry> {
        self.append_with(|_| {})
    }

    fn append_with(&self, change: impl FnOnce(&mut StoredMessage)) -> Arc<LiveEntry> {
        let mut state = self.state();
        let previous = Cursor(state.head);
        state.head += 1;
        let cursor = Cursor(state.head);
        let mut message = message(cursor.0);
        change(&mut message);
        let kind = EntryKind::Message(Arc::new(message));
        let entry = Entry { cursor, arrived_at: Timestamp(0), kind };
        state.entries.insert(cursor.0, entry.clone());
        Arc::new(LiveEntry {
            previous,
            entry,
            body: Some(LiveBody { bytes: body(), shared: Some(Arc::default()) }),
        })
    }
}

#[async_trait]
impl Ledger for Inbox {
    async fn page(&self, _: Uuid, after: Cursor, limit: usize) -> Result<Page, StoreError> {
        let state = self.state();
        let entries: Vec<_> = state
            .entries
            .range(after.0 + 1..)
            .take(limit)
            .map(|(_, entry)| entry.clone())
            .collect();
        let head = Cursor(state.head);
        let last = entries.last().map_or(after, |entry| entry.cursor);
        let through = if entries.len() < limit { head } else { last };
        Ok(Page { entries, through, head })
    }

    /// Commits, and breaks before it can say so.
    async fn commit(
        &self,
        batch: &[Accept],
        _: &[(BodyId, Bytes)],
    ) -> Result<Vec<Outcome>, StoreError> {
        for _ in batch {
            self.append();
        }
        Err(StoreError::Unavailable("the connection broke".into()))
    }

    async fn cursor_at(&self, _: Uuid, _: Timestamp) -> Result<Cursor, StoreError> {
        Ok(Cursor::START)
    }

    async fn parts(&self, _: &AccountId, _: MessageId) -> Result<Vec<StoredMessage>, StoreError> {
        Ok(Vec::new())
    }

    async fn messages(&self, _: &[MessageId]) -> Result<Vec<StoredMessage>, StoreError> {
        Ok(Vec::new())
    }

    async fn record(
        &self,
        _: &[PositionAdvance],
        _: &[WatermarkRise],
    ) -> Result<Vec<Risen>, StoreError> {
        Ok(Vec::new())
    }

    async fn mutual(&self, ids: &[ConversationId]) -> Result<Vec<bool>, StoreError> {
        Ok(vec![false; ids.len()])
    }

    async fn trim(&self, _: &Cutoffs, _: u32) -> Result<Trimmed, StoreError> {
        Ok(Trimmed::default())
    }
}

#[async_trait]
impl Bodies for Inbox {
    async fn put(&self, _: &[(BodyId, Bytes)]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn get(&self, ids: &[BodyId]) -> Result<Vec<Option<Bytes>>, StoreError> {
        Ok(vec![Some(body()); ids.len()])
    }

    async fn delete(&self, _: &[BodyId]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn delete_before(&self, _: BodyId, _: u32) -> Result<u64, StoreError> {
        Ok(0)
    }
}

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp(1_000)
    }
}

fn account(n: u128) -> AccountId {
    AccountId { uuid: Uuid::from_u128(n), server: ServerName::parse("eu.example").unwrap() }
}

fn body() -> Bytes {
    let payload = Payload::Body("x".into());
    Content { kind: "text".into(), encrypted: false, payload }.to_stored().into()
}

fn message(n: u64) -> StoredMessage {
    StoredMessage {
        part: 0,
        sender: account(2),
        device: None,
        device_number: None,
        device_list_version: None,
        id: MessageId(Uuid::from_u128(u128::from(n))),
        to: account(1).to_string(),
        conversation: ConversationId([0; 16]),
        stamp: Stamp(n),
        origin_number: n,
        class: Class::Message,
        collapse: None,
        expires: None,
        epoch: None,
        client_timestamp: Timestamp(0),
        accepted_at: Timestamp(0),
        body: BodyId([0; 16]),
    }
}

fn feed(inbox: &Arc<Inbox>) -> Feed {
    let caller = Caller {
        account: account(1),
        device: DeviceId(Uuid::from_u128(3)),
        number: DeviceNumber::FIRST,
        session: SessionId(Uuid::from_u128(4)),
    };
    let connections = Arc::new(Connections::new());
    let server = caller.account.server.clone();
    let line = Arc::new(Line::new(caller.clone(), Arc::new(Mailbox::new())));
    connections.open(caller.account.uuid, Arc::clone(&line));
    Feed {
        caller,
        line,
        window: Window::new(Cursor::START),
        store: MessageStore::together(Arc::<Inbox>::clone(inbox), Arc::<Inbox>::clone(inbox)),
        receipts: Receipts {
            server: server.clone(),
            connections: Arc::clone(&connections),
            progress: Arc::new(Progress::new()),
            random: Arc::new(crate::random::Random::from_seed([1; 32])),
            regions: Arc::new(crate::regions::Alone),
            wishes: Arc::new(Open),
        },
        watchers: Arc::new(Watchers::new(server, connections)),
        clock: Arc::new(Stopped),
        behind: true,
        told_caught_up: false,
        held_back: false,
    }
}

/// Readers who hide nothing.
struct Open;

#[async_trait]
impl Wishes for Open {
    async fn tells_read(&self, _reader: Uuid) -> Result<bool, Rejection> {
        Ok(true)
    }

    async fn belongs(&self, _: &AccountId, _: &GroupId, _: u64) -> Result<bool, Rejection> {
        Ok(true)
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A commit of this process, told to the line.
    Commit,
    /// A commit of another process, of which nothing is heard.
    Foreign,
    /// Another process's hint, or the slow poll.
    Hint,
    /// An entry that was not sent yet is collapsed into a newer one.
    Collapse(u8),
    Pull,
    AcknowledgeAll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Commit),
        3 => Just(Step::Foreign),
        1 => Just(Step::Hint),
        1 => any::<u8>().prop_map(Step::Collapse),
        4 => Just(Step::Pull),
        1 => Just(Step::AcknowledgeAll),
    ]
}

/// The cursors of the `message` frames among `frames`.
fn cursors(frames: &[Frame]) -> Vec<u64> {
    let cursor = |frame: &Frame| {
        let json: serde_json::Value = serde_json::from_str(frame.as_str()).unwrap();
        (json["type"] == "message")
            .then(|| Cursor::parse(json["cursor"].as_str().unwrap()).unwrap().0)
    };
    frames.iter().filter_map(cursor).collect()
}

/// Pulls as a connection does; whether it would do so again by itself.
async fn pull(feed: &mut Feed, got: &mut Vec<u64>) -> bool {
    let mut frames = Vec::new();
    let more = feed.pull(&mut frames).await.unwrap();
    got.extend(&cursors(&frames));
    let mailbox = Arc::clone(&feed.line.mailbox);
    let woken = poll_fn(|cx| Poll::Ready(pin!(mailbox.changed()).poll(cx).is_ready()));
    more || woken.await
}

async fn acknowledge_all(feed: &mut Feed) {
    let target = AckTarget::Through(Cursor(u64::MAX));
    feed.acknowledge(Ack { target, seen: Seen::Delivered }).await.unwrap();
}

async fn play(steps: Vec<Step>) {
    let inbox = Arc::new(Inbox::default());
    let mut feed = feed(&inbox);
    let account = feed.caller.account.uuid;
    let (mut got, mut stay): (Vec<u64>, BTreeSet<u64>) = (Vec::new(), BTreeSet::new());
    for step in steps {
        match step {
            Step::Commit => {
                let live = inbox.append();
                stay.insert(live.entry.cursor.0);
                feed.receipts.connections.arrive(account, &live);
            }
            Step::Foreign => {
                stay.insert(inbox.append().entry.cursor.0);
            }
            Step::Hint => feed.receipts.connections.inbox_grew(account),
            Step::Collapse(which) => {
                let waiting: Vec<u64> =
                    stay.iter().copied().filter(|n| Cursor(*n) > feed.window.sent()).collect();
                if let Some(gone) = waiting.get(usize::from(which) % waiting.len().max(1)) {
                    inbox.state().entries.remove(gone);
                    stay.remove(gone);
                }
            }
            Step::Pull => {
                pull(&mut feed, &mut got).await;
            }
            Step::AcknowledgeAll => acknowledge_all(&mut feed).await,
        }
    }
    feed.receipts.connections.inbox_grew(account);
    loop {
        acknowledge_all(&mut feed).await;
        if !pull(&mut feed, &mut got).await && !feed.is_held_back() {
            break;
        }
    }
    assert!(got.is_sorted_by(|a, b| a < b), "in order, once: {got:?}");
    let got: BTreeSet<u64> = got.into_iter().collect();
    assert!(stay.is_subset(&got), "missing: {:?}", stay.difference(&got));
}

/// Whoever sends thousands of messages that expire unread must not block the inbox behind them.
#[tokio::test]
async fn expired_messages_hold_up_nothing_however_many_they_are() {
    let inbox = Arc::new(Inbox::default());
    for _ in 0..limits::WINDOW * 20 {
        inbox.append_with(|message| message.expires = Some(Timestamp(1)));
    }
    let kept = inbox.append().entry.cursor.0;
    let mut feed = feed(&inbox);
    let mut got = Vec::new();
    for _ in 0..limits::WINDOW {
        pull(&mut feed, &mut got).await;
        assert!(!feed.is_held_back(), "there is nothing that the device could acknowledge");
    }
    assert_eq!(got, [kept]);
    let skipped: Vec<u64> = (kept - 64..kept).collect();
    let ack = AckTarget::Messages { ids: vec![message(kept).id], from: None };
    feed.acknowledge(Ack { target: ack, seen: Seen::Delivered }).await.unwrap();
    let rise = feed.receipts.progress.waiting_rises().pop().unwrap().watermark;
    assert_eq!((rise.through, &rise.except[rise.except.len() - 64..]), (kept, &skipped[..]));
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_reaches_those_who_are_connected() {
    let inbox = Arc::new(Inbox::default());
    let mut feed = feed(&inbox);
    let mut got = Vec::new();
    pull(&mut feed, &mut got).await;
    let (shutdown, connections) = (CancellationToken::new(), &feed.receipts.connections);
    let (config, store) = (CommitConfig::default(), feed.store.clone());
    let (committer, run) = Committer::start(
        config,
        store,
        crate::delivery::Told {
            connections: Arc::clone(connections),
            regions: Arc::new(crate::regions::Alone),
            recent: Arc::default(),
        },
        shutdown.clone(),
    );
    let running = tokio::spawn(run);
    let (sender, recipient) = (account(2), feed.caller.account.clone());
    let json = format!(
        r#"{{"id":"01890a5d-ac96-774b-bcce-b302099a8057","to":"{recipient}",
            "content":{{"type":"text","body":"x"}}}}"#
    );
    let submission = Submission::parse(&json, &recipient.server).unwrap();
    let caller = Caller { account: sender, ..feed.caller.clone() };
    let admitted = Admitted::for_test(submission, caller, recipient.clone(), (false, Timestamp(5)));
    let (answer, outcome) = tokio::sync::oneshot::channel();
    let plan = route(&admitted, &recipient.server, BodyId([1; 16]));
    committer.commit(plan, Answer::Request(answer)).await;
    assert!(outcome.await.unwrap().is_err(), "the sender cannot know");
    pull(&mut feed, &mut got).await;
    assert_eq!(got, [1]);
    shutdown.cancel();
    running.await.unwrap();
}

proptest! {
    #[test]
    fn every_entry_comes_once_and_in_order(steps in prop::collection::vec(step(), 0..600)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(steps));
    }
}
