//! The SDK in one region: devices with real keys, over real sockets.

use std::time::Duration;

use posthouse_client::{
    Change, Client, ClientError, Entry, Home as Homeserver, MemoryStore, NewAccount, Said,
    SqliteStore, Update, Updates,
};
use posthouse_protocol::{
    id::{AccountId, MessageId},
    status::Status,
};
use tokio::sync::mpsc;

use super::{hello::hello, home::Home};

pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

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

    /// Links a device, which then has the history: what is said before that is complete may come with
    /// it, and is not told as a message.
    pub(crate) async fn link(&self, home: &Home) -> Self {
        let mut linked = self.link_at_once(home).await;
        let is_done = |update: &Update| matches!(update, Update::History { done: true, .. });
        linked.wait("the history", |update| is_done(update).then_some(())).await;
        linked
    }

    /// Links a device, whose history is still to come.
    pub(crate) async fn link_at_once(&self, home: &Home) -> Self {
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
        let mut passed = Vec::new();
        let picked = tokio::time::timeout(PATIENCE, async {
            while let Some(update) = self.updates.next().await {
                if let Some(picked) = pick(&update) {
                    return picked;
                }
                passed.push(update);
            }
            panic!("the client stopped before {what}: {passed:?}");
        });
        let picked = picked.await;
        picked.unwrap_or_else(|_| panic!("{what} did not come, but {passed:?}"))
    }

    pub(crate) async fn message(&mut self) -> Entry {
        self.wait("a message", |update| match update {
            Update::Message(entry) => Some((**entry).clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn status(&mut self, id: MessageId, wanted: Status) {
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
async fn what_no_reader_would_take_is_refused_at_once() {
    let home = Home::start().await;
    let (ada, mut ben) = (Sdk::register(&home, "ada").await, Sdk::register(&home, "ben").await);
    let longest = "x".repeat(32 * 1024);
    let id = ada.client.send_text(ben.account(), &longest).await.unwrap();
    assert_eq!(ben.message().await.said.text(), Some(longest.as_str()));
    let too_long = ada.client.send_text(ben.account(), &(longest + "x")).await;
    assert!(matches!(too_long, Err(ClientError::TooLong)));
    let too_long = ada.client.react(ben.account(), id, &"x".repeat(65)).await;
    assert!(matches!(too_long, Err(ClientError::TooLong)));
    let alone = ada.client.send_text(ada.account(), "note").await;
    assert!(matches!(alone, Err(ClientError::Oneself)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_text_comes_to_more_devices_than_fit_into_a_message() {
    let home = Home::start().await;
    let (mut ada, ben) = (Sdk::register(&home, "ada").await, Sdk::register(&home, "ben").await);
    let mut theirs = vec![];
    for _ in 0..5 {
        theirs.push(ben.link(&home).await);
    }
    theirs.push(ben);
    let (mut tablet, to_ben) = (ada.link(&home).await, theirs[0].account().clone());
    let longest = "x".repeat(32 * 1024);
    let id = ada.client.send_text(&to_ben, &longest).await.unwrap();
    let next = ada.client.send_text(&to_ben, "and this").await.unwrap();
    theirs.push(tablet);
    for device in &mut theirs {
        // Which of the two comes first is open for those that get it later; its place is not.
        let mut seen = [device.message().await, device.message().await];
        seen.sort_by_key(|entry| entry.stamp);
        assert_eq!(seen.map(|entry| entry.id), [id, next]);
        let with = if *device.account() == to_ben { ada.account() } else { &to_ben };
        let kept = device.client.timeline(with, None, 10).await.unwrap();
        let said: Vec<_> = kept.iter().filter_map(|entry| entry.said.text()).collect();
        assert_eq!(said, [longest.as_str(), "and this"], "once, in order");
    }
    tablet = theirs.pop().unwrap();
    let status = ada.client.message(ada.account(), id).await.unwrap().unwrap().status;
    assert!(status >= Some(Status::Sent), "{status:?}");
    // Everybody has it: the same once more comes in one piece to nobody.
    ada.status(next, Status::Delivered).await;
    let answer = theirs[3].client.send_text(ada.account(), "got it").await.unwrap();
    assert_eq!((ada.message().await.id, tablet.message().await.id), (answer, answer));
}

fn changed(id: MessageId, wanted: Change) -> impl Fn(&Update) -> Option<()> {
    move |update| match update {
        Update::Changed { id: of, change, .. } if *of == id && *change == wanted => Some(()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_edited_reacted_to_taken_back_and_disappear() {
    let home = Home::start().await;
    let (mut ada, mut ben) = (Sdk::register(&home, "ada").await, Sdk::register(&home, "ben").await);
    let (to_ada, to_ben) = (ada.account().clone(), ben.account().clone());
    let first = ada.client.send_text(&to_ben, "helo").await.unwrap();
    let second = ada.client.send_text(&to_ben, "and this").await.unwrap();
    ada.client.edit(&to_ben, first, "hello").await.unwrap();
    ben.wait("the edit", changed(first, Change::Edited)).await;
    ben.client.react(&to_ada, first, "👍").await.unwrap();
    // Only who wrote a message changes it.
    ben.client.edit(&to_ada, second, "not this").await.unwrap();
    ben.client.delete(&to_ada, second).await.unwrap();
    ada.wait("the reaction", changed(first, Change::Reacted)).await;
    ada.wait("a vain deletion", changed(second, Change::Deleted)).await;
    let now = |client: &Client, id| {
        let (client, from) = (client.clone(), to_ada.clone());
        async move { client.message(&from, id).await.unwrap().unwrap() }
    };
    for client in [&ada.client, &ben.client] {
        let entry = now(client, first).await;
        assert_eq!((entry.said.text(), entry.edited), (Some("hello"), true));
        assert_eq!(entry.reactions, [(to_ben.clone(), "👍".to_owned())]);
        assert_eq!(now(client, second).await.said.text(), Some("and this"));
    }
    ada.client.delete(&to_ben, second).await.unwrap();
    ben.wait("the deletion", changed(second, Change::Deleted)).await;
    assert_eq!(now(&ben.client, second).await.said, Said::Gone);
    assert_eq!(now(&ada.client, second).await.said, Said::Gone);

    let third = ada.client.send_disappearing(&to_ben, "burn this", 1).await.unwrap();
    assert_eq!(ben.message().await.said.text(), Some("burn this"));
    ben.client.mark_read(&to_ada).await.unwrap();
    ben.wait("its end", changed(third, Change::Expired)).await;
    ada.wait("its end", changed(third, Change::Expired)).await;
    assert_eq!(now(&ben.client, third).await.said, Said::Gone);
    assert_eq!(now(&ada.client, third).await.said, Said::Gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn own_devices_keep_step_and_people_see_each_other_type() {
    let home = Home::start().await;
    let (mut ada, mut ben) = (Sdk::register(&home, "ada").await, Sdk::register(&home, "ben").await);
    let (to_ada, to_ben) = (ada.account().clone(), ben.account().clone());
    let mut laptop = ben.link(&home).await;
    let id = ada.client.send_text(&to_ben, "read me").await.unwrap();
    ben.message().await;
    laptop.message().await;
    let unread = |client: Client| async move { client.conversations().await.unwrap()[0].unread };
    assert_eq!(unread(laptop.client.clone()).await, 1);
    ben.client.mark_read(&to_ada).await.unwrap();
    laptop.wait("that it was read", changed(id, Change::ReadElsewhere)).await;
    assert_eq!(unread(laptop.client.clone()).await, 0);
    ada.status(id, Status::Read).await;

    let answer = ben.client.send_text(&to_ada, "typed").await.unwrap();
    assert_eq!(ada.message().await.id, answer);
    ben.client.set_typing(&to_ada, true).await.unwrap();
    ada.wait("typing", |update| match update {
        Update::Typing { user, typing: true } if *user == to_ben => Some(()),
        _ => None,
    })
    .await;
    let (of_ada, of_ben) = (
        ada.client.safety_number(&to_ben).await.unwrap(),
        ben.client.safety_number(&to_ada).await.unwrap(),
    );
    assert_eq!(of_ada.digits(), of_ben.digits());
    assert_eq!(of_ada.compare(&of_ben.scannable()), Ok(()));

    // The phone removes the laptop; what comes then is for the phone alone.
    let devices = ben.client.devices().await.unwrap();
    ben.client.remove_device(&devices[1]).await.unwrap();
    laptop.wait("the end", |update| matches!(update, Update::SessionEnded).then_some(())).await;
    let id = ada.client.send_text(&to_ben, "just you").await.unwrap();
    assert_eq!(ben.message().await.id, id);
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
