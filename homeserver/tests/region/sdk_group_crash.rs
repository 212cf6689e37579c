//! Members of a group whose processes are killed in the middle of anything, behind a link that
//! breaks all the time: every message is shown once, in order, also while sender keys are handed
//! out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use posthouse_client::{Client, Home as Homeserver, NewAccount, SqliteStore, Updates};
use posthouse_protocol::{id::GroupId, rest::groups::Standing};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    home::Home,
    sdk::Sdk,
    sdk_crash::{Process, device, lines, relay, write_down},
};

const MESSAGES: usize = 400;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_mins(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_members_of_a_group_show_every_message_once_in_order() {
    let home = Home::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut owner = member(&home, dir.path(), "walker").await;
    let mut other = member(&home, dir.path(), "friend").await;
    let group =
        owner.client.create_group("Hikers", std::slice::from_ref(other.account())).await.unwrap();
    other.join(&group).await;
    owner.in_group(&group, Some(Standing::Owner), 3).await;
    for one in [owner, other] {
        one.updates.close(one.client).await;
    }
    std::fs::write(dir.path().join("group"), group.to_string()).unwrap();
    let cuts = Arc::new(AtomicUsize::new(0));
    let relay = relay(home.address(), Arc::clone(&cuts)).await;
    let mut reader = Process::start("sdk_group_crash::reader", relay, dir.path());
    let mut sender = Process::start("sdk_group_crash::sender", relay, dir.path());
    let shown = dir.path().join("shown");
    let mut rng = StdRng::seed_from_u64(6);
    let (mut kills, mut next) = (0, 0);
    let all = tokio::time::timeout(PATIENCE, async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let now = lines(&shown).len();
            if now >= MESSAGES {
                break;
            }
            if kills < 16 && now >= next {
                next = now + rng.random_range(1..MESSAGES / 16);
                kills += 1;
                if rng.random_bool(0.5) { reader.restart() } else { sender.restart() }
            }
        }
    });
    all.await.unwrap_or_else(|_| panic!("{} of {MESSAGES} shown", lines(&shown).len()));
    let expected: Vec<String> = (0..MESSAGES).map(text).collect();
    assert_eq!(lines(&shown), expected);
    assert!(kills >= 3, "only {kills} kills");
    println!("{kills} kills, {} broken connections", cuts.load(Ordering::Relaxed));
}

fn text(number: usize) -> String {
    format!("{number}: who walks on Sunday?")
}

async fn member(home: &Home, dir: &std::path::Path, name: &str) -> Sdk {
    let homeserver = Homeserver::new(home.connector()).unwrap();
    let store = SqliteStore::open(dir.join(format!("{name}.db"))).await.unwrap();
    let account = NewAccount::new(name, "correct horse battery staple");
    let (client, updates) = homeserver.register(store, &account).await.unwrap();
    Sdk { client, updates }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by killed_members_of_a_group_show_every_message_once_in_order"]
async fn reader() {
    write_down("friend").await;
}

/// Sends what its own timeline lacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by killed_members_of_a_group_show_every_message_once_in_order"]
async fn sender() {
    let (dir, client, mut updates): (_, Client, Updates) = device("walker").await;
    let group = GroupId::parse(&std::fs::read_to_string(dir.join("group")).unwrap()).unwrap();
    let sent = client.group_timeline(&group, None, 10 * MESSAGES).await.unwrap();
    for (number, entry) in sent.iter().enumerate() {
        assert_eq!(entry.said.text().unwrap(), text(number), "its own timeline is in order");
    }
    for number in sent.len()..MESSAGES {
        client.send_to_group(&group, &text(number)).await.unwrap();
    }
    while updates.next().await.is_some() {}
    panic!("the client stopped");
}
