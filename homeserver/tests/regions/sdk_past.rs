//! What a new device of an account has of the time before it, where people and groups are of two
//! regions: from another device, and from a backup.

use std::slice::from_ref;

use posthouse_client::{Client, Entry, KeyTrust, Update};
use posthouse_protocol::{
    id::{AccountId, GroupId},
    rest::groups::Standing,
};

use crate::{
    person::{PATIENCE, Pair, until},
    sdk::Sdk,
};

const PASSPHRASE: &str = "mare ford oats bridle lantern hay";
const TITLE: &str = "Both sides";

/// Ada of the north and Ben of the south have talked, also in Ada's group.
async fn talked(pair: &Pair) -> (Sdk, Sdk, GroupId) {
    let mut ada = Sdk::register(&pair.north, "ada").await;
    let mut ben = Sdk::register(&pair.south, "ben").await;
    let (to_ada, to_ben) = (ada.client.account().clone(), ben.client.account().clone());
    // By its handle he is found, and known from then on; his region tells nobody.
    assert_eq!(ada.client.handle_of(&to_ben).await.unwrap(), None);
    for (one, name, other) in [(&ada, "ben@south.test", &to_ben), (&ben, "ada@north.test", &to_ada)]
    {
        assert_eq!(one.client.find(name).await.unwrap(), *other);
    }
    for number in 0..40 {
        ada.client.send_text(&to_ben, &number.to_string()).await.unwrap();
        let id = ben.hears(&number.to_string()).await.id;
        ben.client.react(&to_ada, id, "👍").await.unwrap();
    }
    ben.client.send_text(&to_ada, "forty").await.unwrap();
    ada.hears("forty").await;
    let verified = [(&ada, &to_ben), (&ben, &to_ada)];
    for (one, other) in verified {
        one.client.mark_verified(other).await.unwrap();
    }
    let group = ada.client.create_group(TITLE, from_ref(&to_ben)).await.unwrap();
    ben.stands(&group, Some(Standing::Invited), 1).await;
    ben.client.accept_invitation(&group).await.unwrap();
    ada.stands(&group, Some(Standing::Owner), 3).await;
    ada.client.send_to_group(&group, "hello south").await.unwrap();
    ben.hears("hello south").await;
    ben.client.send_to_group(&group, "hello north").await.unwrap();
    ada.hears("hello north").await;
    (ada, ben, group)
}

async fn all(client: &Client, with: &AccountId) -> Vec<Entry> {
    client.timeline(with, None, 1_000).await.unwrap()
}

/// The new device knows what the old one knew.
async fn knows_the_same(new: &Client, old: &Client, with: &AccountId, group: &GroupId) {
    let known = all(new, with).await;
    assert_eq!(known.len(), 41);
    assert_eq!(known.iter().filter(|one| !one.reactions.is_empty()).count(), 40);
    assert_eq!(known, all(old, with).await);
    assert_eq!(new.key_trust(with).await.unwrap(), KeyTrust::Verified);
    let handle = new.handle_of(with).await.unwrap();
    assert!(handle.is_some() && handle == old.handle_of(with).await.unwrap(), "{handle:?}");
    // The chain of the group is read from its region.
    until("the group is known", async || {
        let known = new.group(group).await;
        known.is_ok_and(|known| known.title.as_deref() == Some(TITLE) && known.epoch >= 3)
    })
    .await;
    let talk = async |client: &Client| client.group_timeline(group, None, 10).await.unwrap();
    let texts = async |client: &Client| -> Vec<String> {
        let said = talk(client).await;
        said.iter().filter_map(|one| one.said.text().map(str::to_owned)).collect()
    };
    assert_eq!(texts(new).await, ["hello south", "hello north"]);
    let members = new.members(group).await.unwrap();
    assert_eq!(members, old.members(group).await.unwrap());
}

/// Everything goes on with the new device, and the other person is told of no changed key.
async fn goes_on(new: &mut Sdk, other: &mut Sdk, group: &GroupId) {
    let (own, with) = (new.client.account().clone(), other.client.account().clone());
    new.client.send_text(&with, "from the new one").await.unwrap();
    other.hears("from the new one").await;
    other.client.send_text(&own, "to the new one").await.unwrap();
    new.hears("to the new one").await;
    new.client.send_to_group(group, "to all from the new one").await.unwrap();
    other.hears("to all from the new one").await;
    other.client.send_to_group(group, "to all").await.unwrap();
    new.hears("to all").await;
    assert_eq!(other.client.key_trust(&own).await.unwrap(), KeyTrust::Verified);
}

#[tokio::test(flavor = "multi_thread")]
async fn linked_devices_have_people_and_groups_of_both_regions() {
    let pair = Pair::start();
    let (mut ada, mut ben, group) = talked(&pair).await;
    let (to_ada, to_ben) = (ada.client.account().clone(), ben.client.account().clone());
    let mut laptop = ada.link(&pair.north).await;
    knows_the_same(&laptop.client, &ada.client, &to_ben, &group).await;
    goes_on(&mut laptop, &mut ben, &group).await;
    // The old device has what the new one sent, and what came.
    for text in ["from the new one", "to the new one"] {
        ada.hears(text).await;
    }
    // In the south the group is another region's.
    let pair_of = [&ben, &ada];
    let mut tablet = pair_of[0].link(&pair.south).await;
    assert_eq!(tablet.client.account(), &to_ben);
    until("the group is known", async || {
        tablet.client.group(&group).await.is_ok_and(|one| one.title.as_deref() == Some(TITLE))
    })
    .await;
    assert_eq!(all(&tablet.client, &to_ada).await, all(&ben.client, &to_ada).await);
    tablet.client.send_to_group(&group, "from the tablet").await.unwrap();
    let heard = tokio::time::timeout(PATIENCE, async {
        loop {
            let entry = ada.wait("a message", |update| match update {
                Update::Message(entry) => Some((**entry).clone()),
                _ => None,
            });
            let entry = entry.await;
            if entry.said.text() == Some("from the tablet") {
                return entry;
            }
        }
    });
    assert_eq!(heard.await.unwrap().group, Some(group.clone()));
    ada.client.send_to_group(&group, "to the tablet").await.unwrap();
    tablet.hears("to the tablet").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_bring_back_people_and_groups_of_both_regions() {
    let pair = Pair::start();
    let dir = tempfile::tempdir().unwrap();
    let (mut ada, ben, group) = talked(&pair).await;
    let to_ada = ada.client.account().clone();
    let path = dir.path().join("ben.backup");
    assert_eq!(ben.client.back_up(&path, PASSPHRASE).await.unwrap(), 43);
    let (lost, updates) = (ben.client.clone(), ben.updates);
    let mut again = Sdk::restore(&pair.south, "ben", (&path, PASSPHRASE)).await;
    assert_eq!((again.client.account(), again.client.device()), (ben.client.account(), 2));
    knows_the_same(&again.client, &lost, &to_ada, &group).await;
    // The old device is lost: it never comes back.
    drop(lost);
    updates.close(ben.client).await;
    goes_on(&mut again, &mut ada, &group).await;
}
