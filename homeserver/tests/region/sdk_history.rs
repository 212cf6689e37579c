//! What a device that was let in gets of the time before it, from the device that let it in.

use std::{fs::OpenOptions, io::Write, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use posthouse_client::{
    Client, Entry, Home as Homeserver, KeyTrust, NewAccount, Said, SqliteStore, Update, Updates,
};
use posthouse_protocol::{id::AccountId, rest::groups::Standing, status::Status};

use super::{
    home::Home,
    sdk::Sdk,
    sdk_crash::{Process, device},
};

/// Words that are nowhere but in messages.
const PHRASE: &str = "the bay gelding limps on the left";
const PATIENCE: Duration = Duration::from_mins(4);

async fn history(sdk: &mut Sdk) -> (u64, u64) {
    sdk.wait("the history", |update| match update {
        Update::History { messages, of, done: true } => Some((*messages, *of)),
        _ => None,
    })
    .await
}

async fn all(client: &Client, with: &AccountId) -> Vec<Entry> {
    client.timeline(with, None, 10_000).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_device_gets_people_groups_and_messages() {
    let home = Home::start().await;
    let (mut ada, mut ben) = (Sdk::register(&home, "ada").await, Sdk::register(&home, "ben").await);
    let (to_ada, to_ben) = (ada.account().clone(), ben.account().clone());
    let first = ada.client.send_text(&to_ben, "helo").await.unwrap();
    ada.client.edit(&to_ben, first, PHRASE).await.unwrap();
    for number in 0..90 {
        ada.client.send_text(&to_ben, &format!("{number} {PHRASE}")).await.unwrap();
    }
    let gone = ada.client.send_text(&to_ben, "taken back").await.unwrap();
    ada.client.delete(&to_ben, gone).await.unwrap();
    ada.status(gone, Status::Delivered).await;
    ben.client.react(&to_ada, first, "👍").await.unwrap();
    let unread = ben.client.reply(&to_ada, first, "an answer").await.unwrap();
    while ada.message().await.id != unread {}
    ada.client.mark_verified(&to_ben).await.unwrap();
    let group = ada.client.create_group("Hikers", std::slice::from_ref(&to_ben)).await.unwrap();
    ben.join(&group).await;
    ada.in_group(&group, Some(Standing::Owner), 3).await;
    let said = ben.client.send_to_group(&group, "who walks?").await.unwrap();
    assert_eq!(ada.message().await.id, said);

    let mut laptop = ada.link_at_once(&home).await;
    let (messages, of) = history(&mut laptop).await;
    assert_eq!((messages, of), (94, 94));
    ada.wait("that it was sent", |update| match update {
        Update::HistorySent { device: 2, messages: 94, done: true, .. } => Some(()),
        _ => None,
    })
    .await;
    assert_eq!(all(&laptop.client, &to_ben).await, all(&ada.client, &to_ben).await);
    let edited = laptop.client.message(&to_ada, first).await.unwrap().unwrap();
    assert_eq!((edited.said.text(), edited.edited), (Some(PHRASE), true));
    assert_eq!(edited.reactions, [(to_ben.clone(), "👍".to_owned())]);
    assert_eq!(laptop.client.message(&to_ada, gone).await.unwrap().unwrap().said, Said::Gone);
    assert_eq!(laptop.client.key_trust(&to_ben).await.unwrap(), KeyTrust::Verified);
    assert_eq!(
        laptop.client.conversations().await.unwrap(),
        ada.client.conversations().await.unwrap()
    );
    let talk = laptop.client.group_timeline(&group, None, 10).await.unwrap();
    assert_eq!(talk.iter().map(|one| one.id).collect::<Vec<_>>(), [said]);
    laptop.sees_title(&group, "Hikers").await;

    // It is a full device: it writes to the group and reads what comes.
    let mine = laptop.client.send_to_group(&group, "I do").await.unwrap();
    while ben.message().await.id != mine {}
    let more = ben.client.send_text(&to_ada, "more").await.unwrap();
    assert_eq!(laptop.message().await.id, more);
    hunt(home.dir());
}

/// Looks for the phrase in every file of the region, in the clear and in base64.
fn hunt(dir: &Path) {
    let mut needles = vec![PHRASE.as_bytes().to_vec()];
    needles.extend(
        (0..3).map(|skip| STANDARD.encode(&PHRASE.as_bytes()[skip..skip + 27]).into_bytes()),
    );
    let mut looked_at = 0;
    for file in std::fs::read_dir(dir).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        looked_at += bytes.len();
        for needle in &needles {
            let found = bytes.windows(needle.len()).any(|window| window == needle.as_slice());
            assert!(!found, "the region holds {:?}", String::from_utf8_lossy(needle));
        }
    }
    assert!(looked_at > 100_000, "the ciphertexts are there: {looked_at} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_own_device_has_no_part_in_it() {
    let home = Home::start().await;
    let (mut ada, ben) = (Sdk::register(&home, "ada").await, Sdk::register(&home, "ben").await);
    let id = ada.client.send_text(ben.account(), "before").await.unwrap();
    ada.status(id, Status::Delivered).await;
    let mut laptop = ada.link_at_once(&home).await;
    history(&mut laptop).await;
    // The laptop lets a third one in: it gives the history, and the phone does not.
    let mut tablet = laptop.link_at_once(&home).await;
    history(&mut tablet).await;
    laptop
        .wait("that it was sent", |update| match update {
            Update::HistorySent { device: 3, done: true, .. } => Some(()),
            _ => None,
        })
        .await;
    assert_eq!(all(&tablet.client, ben.account()).await[0].id, id);
    let id = tablet.client.send_text(ben.account(), "from the third").await.unwrap();
    for device in [&mut ada, &mut laptop] {
        device
            .wait("the copy", |update| match update {
                Update::HistorySent { device: 3, .. } => panic!("asked the wrong device"),
                Update::Message(entry) if entry.id == id => Some(()),
                _ => None,
            })
            .await;
    }
}

/// Texts that fill some sixty pieces.
const MESSAGES: usize = 100;

fn long_text(number: usize) -> String {
    format!("{number} {}", "x".repeat(20_000))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_device_killed_in_the_middle_goes_on() {
    let home = Home::start().await;
    let dir = tempfile::tempdir().unwrap();
    let ben = Sdk::register(&home, "ben").await;
    let homeserver = Homeserver::new(home.connector()).unwrap();
    let account = NewAccount::new("phone", "correct horse battery staple");
    let phone_file = SqliteStore::open(dir.path().join("phone.db")).await.unwrap();
    let (phone, mut updates) = homeserver.register(phone_file, &account).await.unwrap();
    let mut last = None;
    for number in 0..MESSAGES {
        last = Some(phone.send_text(ben.account(), &long_text(number)).await.unwrap());
    }
    while let Some(update) = updates.next().await {
        if matches!(update, Update::Status { id, .. } if Some(id) == last) {
            break;
        }
    }
    let laptop_file = SqliteStore::open(dir.path().join("laptop.db")).await.unwrap();
    let linking = homeserver.link(laptop_file, "laptop").await.unwrap();
    let code = linking.code();
    let (linked, approved) = tokio::join!(linking.finish(), phone.approve_link(&code, None));
    approved.unwrap();
    let (laptop, laptop_updates) = linked.unwrap();
    updates.close(phone).await;
    laptop_updates.close(laptop).await;

    let mut giver = Process::start("sdk_history::giver", home.address(), dir.path());
    let mut taker = Process::start("sdk_history::taker", home.address(), dir.path());
    let progress = dir.path().join("progress");
    let (mut kills, mut before) = (0, 0);
    let done = tokio::time::timeout(PATIENCE, async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let text = std::fs::read_to_string(&progress).unwrap_or_default();
            if text.contains("done\n") {
                break;
            }
            let now = text.lines().count();
            if kills < 12 && now >= before + 4 {
                before = now;
                kills += 1;
                if kills % 2 == 0 { giver.restart() } else { taker.restart() }
            }
        }
    });
    done.await.unwrap_or_else(|_| panic!("after {kills} kills: {before} pieces"));
    assert!(kills >= 4, "only {kills} kills");
    println!("{kills} kills");
    drop((giver, taker));
    let (phone, _phone_updates) = open(&homeserver, &dir.path().join("phone.db")).await;
    let (laptop, _laptop_updates) = open(&homeserver, &dir.path().join("laptop.db")).await;
    let (theirs, ours) = (all(&phone, ben.account()).await, all(&laptop, ben.account()).await);
    assert_eq!(ours.len(), MESSAGES);
    let words = |all: &[Entry]| {
        let said = all.iter().map(|one| (one.id, one.stamp, one.said.text().unwrap().to_owned()));
        said.collect::<Vec<_>>()
    };
    assert!(words(&ours) == words(&theirs), "the same messages in the same order");
}

async fn open(homeserver: &Homeserver, path: &Path) -> (Client, Updates) {
    let store = loop {
        match SqliteStore::open(path).await {
            Ok(store) => break store,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    homeserver.open(store).await.unwrap()
}

/// Runs the device that gives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by either_device_killed_in_the_middle_goes_on"]
async fn giver() {
    let (_, _client, mut updates) = device("phone").await;
    while updates.next().await.is_some() {}
    panic!("the client stopped");
}

/// Runs the device that takes, and writes down how far it has come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by either_device_killed_in_the_middle_goes_on"]
async fn taker() {
    let (dir, _client, mut updates) = device("laptop").await;
    let mut options = OpenOptions::new();
    let mut progress = options.create(true).append(true).open(dir.join("progress")).unwrap();
    while let Some(update) = updates.next().await {
        if let Update::History { messages, done, .. } = update {
            let end = if done { "done" } else { "" };
            progress.write_all(format!("{messages} {end}\n").as_bytes()).unwrap();
        }
    }
    panic!("the client stopped");
}
