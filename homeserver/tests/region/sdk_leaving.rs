//! Leaving a group without a homeserver: whatever the group has become meanwhile, who left is out once
//! the device is connected again.

use std::{net::SocketAddr, path::Path, time::Duration};

use posthouse_client::{
    ClientError, Connector, Endpoint, Home as Homeserver, MemoryStore, NewAccount, SqliteStore,
    Store, Trust,
};
use posthouse_protocol::{
    id::GroupId,
    rest::groups::{EpochStatus, Standing},
};

use super::{
    home::Home,
    link::{Link, State},
    sdk::Sdk,
};

fn homeserver(at: SocketAddr) -> Homeserver {
    let endpoint = Endpoint::parse(&format!("http://{at}")).unwrap();
    Homeserver::new(Connector::new(endpoint, Trust::System).unwrap()).unwrap()
}

/// The process before lets the file go a moment after it stopped.
async fn open(path: &Path) -> SqliteStore {
    loop {
        match SqliteStore::open(path).await {
            Ok(store) => break store,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// A group of Ada's that Ben is in, over a link that can be cut.
struct Hikers {
    /// It serves for as long as it is held.
    _home: Home,
    link: Link,
    ada: Sdk,
    ben: Sdk,
    group: GroupId,
}

/// Ben's device has this store.
async fn hikers(store: impl Store + 'static) -> Hikers {
    let home = Home::start().await;
    let link = Link::to(home.address()).await;
    let account = NewAccount::new("ben", "correct horse battery staple");
    let (client, updates) = homeserver(link.address).register(store, &account).await.unwrap();
    let (mut ada, mut ben) = (Sdk::register(&home, "ada").await, Sdk { client, updates });
    let group = ada.client.create_group("Hikers", &[ben.account().clone()]).await.unwrap();
    ben.join(&group).await;
    ada.in_group(&group, Some(Standing::Owner), 3).await;
    Hikers { _home: home, link, ada, ben, group }
}

/// Who is in the group, as `of` sees it, by how many.
async fn members(of: &Sdk, group: &GroupId) -> usize {
    of.client.members(group).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_offline_is_out_although_the_group_has_moved_on() {
    let Hikers { _home, link, mut ada, mut ben, group } = hikers(MemoryStore::new()).await;

    link.set(State::Cut);
    assert_eq!(ben.client.leave(&group).await.unwrap(), EpochStatus::Queued);
    assert!(ben.client.group(&group).await.unwrap().leaving);
    ada.client.rename(&group, "Climbers").await.unwrap();
    ada.client.rename(&group, "Runners").await.unwrap();
    link.set(State::Up);
    ben.in_group(&group, None, 6).await;
    ada.in_group(&group, Some(Standing::Owner), 6).await;
    assert_eq!(members(&ada, &group).await, 1);
    let shown = ben.client.group(&group).await.unwrap();
    assert_eq!((shown.standing, shown.leaving), (None, false));
    let again = ben.client.leave(&group).await;
    assert!(matches!(again, Err(ClientError::Group(_))), "{again:?}");
    // Invited once more, he is like everybody else: nothing takes him out again.
    ada.client.invite(&group, ben.account()).await.unwrap();
    ben.join(&group).await;
    ada.client.rename(&group, "Swimmers").await.unwrap();
    ben.in_group(&group, Some(Standing::Member), 9).await;
    assert_eq!(members(&ada, &group).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_offline_is_out_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ben.db");
    let Hikers { _home, link, mut ada, ben, group } = hikers(open(&path).await).await;
    link.set(State::Cut);
    assert_eq!(ben.client.leave(&group).await.unwrap(), EpochStatus::Queued);
    drop(ben);
    ada.client.rename(&group, "Climbers").await.unwrap();
    link.set(State::Up);
    let (client, updates) = homeserver(link.address).open(open(&path).await).await.unwrap();
    let mut ben = Sdk { client, updates };
    ben.in_group(&group, None, 5).await;
    ada.in_group(&group, Some(Standing::Owner), 5).await;
    assert_eq!(members(&ada, &group).await, 1);
}

/// Removed meanwhile and invited again: that is another matter than what was left.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_invited_again_meanwhile_has_not_left_that() {
    let Hikers { _home, link, mut ada, mut ben, group } = hikers(MemoryStore::new()).await;
    link.set(State::Cut);
    assert_eq!(ben.client.leave(&group).await.unwrap(), EpochStatus::Queued);
    ada.client.remove(&group, ben.account()).await.unwrap();
    ada.client.invite(&group, ben.account()).await.unwrap();
    link.set(State::Up);
    ben.in_group(&group, Some(Standing::Invited), 5).await;
    assert!(!ben.client.group(&group).await.unwrap().leaving);
    ben.client.accept_invitation(&group).await.unwrap();
    ada.in_group(&group, Some(Standing::Owner), 6).await;
    assert_eq!(members(&ada, &group).await, 2);
}
