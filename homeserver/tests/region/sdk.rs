//! The SDK in one region: devices with real keys, over real sockets.

use std::time::Duration;

use posthouse_client::{
    Client, ClientError, Entry, Home as Homeserver, MemoryStore, NewAccount, SqliteStore, Update,
    Updates,
};
use posthouse_protocol::{id::AccountId, status::Status};
use tokio::sync::mpsc;

use super::{hello::hello, home::Home};

const PATIENCE: Duration = Duration::from_secs(30);

/// A person's device and what it was told so far.
pub(crate) struct Sdk {
    pub(crate) client: Client,
    pub(crate) updates: Updates,
}

impl Sdk {
    pub(crate) async fn register(home: &Home, name: &str) -> Self {
        let homeserver = Homeserver::new(home.connector()).unwrap();
        let account = NewAccount::new(name, "correct horse battery staple");
        let opened = homeserver.register(MemoryStore::new(), &account).await;
        let (client, updates) = opened.unwrap();
        Self { client, updates }
    }

    /// A further device of the same account.
    pub(crate) async fn link(&self, home: &Home) -> Self {
        let homeserver = Homeserver::new(home.connector()).unwrap();
        let linking = homeserver.link(MemoryStore::new(), "laptop").await.unwrap();
        let code = linking.code();
        let (linked, approved) =
            tokio::join!(linking.finish(), self.client.approve_link(&code, None));
        approved.unwrap();
        let (client, updates) = linked.unwrap();
        Self { client, updates }
    }

    pub(crate) fn account(&self) -> &AccountId {
        self.client.account()
    }

    /// Waits for an update from which `pick` takes something.
    pub(crate) async fn wait<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(&Update) -> Option<T>,
    ) -> T {
        let picked = tokio::time::timeout(PATIENCE, async {
            let mut passed = Vec::new();
            while let Some(update) = self.updates.next().await {
                if let Some(picked) = pick(&update) {
                    return picked;
                }
                passed.push(update);
            }
            panic!("the client stopped before {what}: {passed:?}");
        });
        picked.await.unwrap_or_else(|_| panic!("{what} did not come"))
    }

    pub(crate) async fn message(&mut self) -> Entry {
        self.wait("a message", |update| match update {
            Update::Message(entry) => Some((**entry).clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn status(&mut self, id: posthouse_protocol::id::MessageId, wanted: Status) {
        self.wait(&format!("{wanted:?}"), |update| match update {
            Update::Status { id: of, status, .. } if *of == id => {
                assert!(*status <= wanted, "{status:?}");
                (*status == wanted).then_some(())
            }
            _ => None,
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_greets_and_is_greeted() {
    let home = Home::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let at = format!("http://{}", home.address());
    let (bob, alice) = (file("bob.db"), file("alice.db"));
    let (show, mut shown) = mpsc::unbounded_channel();
    let waits = {
        let (at, show) = (at.clone(), show.clone());
        tokio::spawn(async move {
            let _ = hello(&[&at, &bob, "bob"], |line| show.send(line).unwrap()).await;
        })
    };
    assert!(shown.recv().await.unwrap().starts_with("bob is "));
    let words = [at.as_str(), &alice, "alice", "bob"];
    let greets = hello(&words, |line| show.send(line).unwrap());
    tokio::time::timeout(PATIENCE, greets).await.unwrap().unwrap();
    waits.abort();
    assert!(shown.recv().await.unwrap().starts_with("alice is "));
    assert_eq!(shown.recv().await.unwrap(), "bob is told: Hello!");
    assert_eq!(shown.recv().await.unwrap(), "alice is told: Hello to you!");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_go_both_ways_with_their_statuses() {
    let home = Home::start().await;
    let (mut ada, mut ben) = (Sdk::register(&home, "ada").await, Sdk::register(&home, "ben").await);
    let to_ben = ada.client.find("ben").await.unwrap();
    assert_eq!(to_ben, *ben.account());
    let first = ada.client.send_text(&to_ben, "one").await.unwrap();
    let second = ada.client.send_text(&to_ben, "two").await.unwrap();
    for (id, text) in [(first, "one"), (second, "two")] {
        let got = ben.message().await;
        assert_eq!((got.id, got.from, got.said.text()), (id, ada.account().clone(), Some(text)));
    }
    ada.status(first, Status::Delivered).await;
    ben.client.mark_read(ada.account()).await.unwrap();
    ada.status(second, Status::Read).await;
    let answer = ben.client.reply(ada.account(), second, "three").await.unwrap();
    assert_eq!(ada.message().await.id, answer);
    let seen = ada.client.timeline(ben.account(), None, 10).await.unwrap();
    let texts: Vec<_> = seen.iter().map(|entry| entry.said.text().unwrap()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    ben.status(answer, Status::Delivered).await;
    let also = ben.client.timeline(ada.account(), None, 10).await.unwrap();
    let places = |all: &[Entry]| all.iter().map(|one| (one.stamp, one.id)).collect::<Vec<_>>();
    assert_eq!(places(&seen), places(&also));
    let older = ada.client.timeline(ben.account(), Some(&seen[2]), 1).await.unwrap();
    assert_eq!(older, seen[1..2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_device_gets_what_was_sent_and_what_the_own_other_one_sends() {
    let home = Home::start().await;
    let (mut ada, mut ben) = (Sdk::register(&home, "ada").await, Sdk::register(&home, "ben").await);
    // A session with one device before there is a second: the devices are stale then.
    let id = ada.client.send_text(ben.account(), "early").await.unwrap();
    ada.status(id, Status::Delivered).await;
    ben.message().await;
    let mut laptop = ben.link(&home).await;
    assert_eq!((laptop.account(), laptop.client.device()), (ben.account(), 2));
    let id = ada.client.send_text(ben.account(), "to both").await.unwrap();
    assert_eq!(ben.message().await.id, id);
    assert_eq!(laptop.message().await.id, id);
    let id = laptop.client.send_text(ada.account(), "from the laptop").await.unwrap();
    let copy = ben.message().await;
    assert_eq!((copy.id, copy.from, copy.with), (id, ben.account().clone(), ada.account().clone()));
    assert_eq!(ada.message().await.id, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_the_device_and_its_queue() {
    let home = Home::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ada.db");
    let mut ben = Sdk::register(&home, "ben").await;
    let homeserver = Homeserver::new(home.connector()).unwrap();
    let account = NewAccount::new("ada", "correct horse battery staple");
    let empty = homeserver.open(MemoryStore::new()).await;
    assert!(matches!(empty, Err(ClientError::NoDevice)));
    for round in 0..3 {
        let store = loop {
            // The process before lets the file go a moment after it stopped.
            match SqliteStore::open(&path).await {
                Ok(store) => break store,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let (client, updates) = homeserver.open_or_register(store, &account).await.unwrap();
        let text = format!("round {round}");
        let id = client.send_text(ben.account(), &text).await.unwrap();
        if round < 2 {
            assert_eq!(ben.message().await.id, id);
        }
        drop((client, updates));
    }
    // The last one was dropped at once: what was queued is sent by who opens it next.
    let store = loop {
        match SqliteStore::open(&path).await {
            Ok(store) => break store,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let opened = homeserver.open(store).await.unwrap();
    assert_eq!(ben.message().await.said.text(), Some("round 2"));
    drop(opened);
}
