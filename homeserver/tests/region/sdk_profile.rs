//! Profiles in the SDK: who reads them, on which devices, and who does not any more.

use posthouse_client::{Home as Homeserver, MemoryStore, NewAccount, Profile, Update};
use posthouse_protocol::{id::AccountId, rest::groups::Standing, status::Status};

use super::{home::Home, sdk::Sdk};

impl Sdk {
    /// Waits until a profile was told anew, and gives what it says now.
    async fn profile_of(&mut self, user: &AccountId) -> Profile {
        self.wait("a profile", |update| match update {
            Update::Profile { user: of } => (of == user).then_some(()),
            _ => None,
        })
        .await;
        self.client.profile(user).await.unwrap().unwrap()
    }

    async fn name_of(&mut self, user: &AccountId) -> Option<String> {
        self.profile_of(user).await.name
    }

    /// Waits until somebody is called so.
    async fn calls(&mut self, user: &AccountId, name: &str) {
        while self.name_of(user).await.as_deref() != Some(name) {}
    }

    /// Sets the own name, and waits until it is published.
    async fn is_named(&mut self, name: &str) {
        let mut profile = self.client.own_profile().await.unwrap();
        profile.name = Some(name.to_owned());
        self.client.set_profile(profile).await.unwrap();
        let own = self.account().clone();
        self.calls(&own, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_written_to_or_accepted_reads_the_profile_and_nobody_else() {
    let home = Home::start().await;
    let (mut ada, mut ben) = (Sdk::register(&home, "ada").await, Sdk::register(&home, "ben").await);
    let (to_ada, to_ben) = (ada.account().clone(), ben.account().clone());
    let mut profile = Profile::named("  Ada\u{202e}\n Lovelace ");
    profile.about = Some("counts".to_owned());
    profile.avatar = Some(vec![7; 28_670]);
    ada.client.set_profile(profile).await.unwrap();
    // The key is still on its way to the homeserver: it is owed.
    ada.client.send_text(&to_ben, "one").await.unwrap();
    let seen = ben.profile_of(&to_ada).await;
    assert_eq!(seen.name.as_deref(), Some("Ada Lovelace"), "clean");
    assert_eq!(seen.about.as_deref(), Some("counts"));
    assert_eq!(seen.avatar.map(|avatar| avatar.len()), Some(28_670));
    // Anybody may ask the homeserver: what it has, nobody reads without the key.
    let eve = Sdk::register(&home, "eve").await;
    assert!(eve.client.refresh_profile(&to_ada).await.unwrap().is_none());

    // Ben has a name too, and has not answered: a stranger is told nothing.
    ben.is_named("Ben").await;
    assert!(ada.client.profile(&to_ben).await.unwrap().is_none());
    ben.client.accept_request(&to_ada).await.unwrap();
    assert_eq!(ada.name_of(&to_ben).await.as_deref(), Some("Ben"));
    // Another name under the same key is told by the homeserver, when it is asked.
    ben.is_named("Benedict").await;
    let again = ada.client.refresh_profile(&to_ben).await.unwrap().unwrap();
    assert_eq!(again.name.as_deref(), Some("Benedict"));
    // No name is a name too.
    ben.client.set_profile(Profile::default()).await.unwrap();
    assert_eq!(ben.name_of(&to_ben).await, None);
    let again = ada.client.refresh_profile(&to_ben).await.unwrap().unwrap();
    assert_eq!(again, Profile::default());
    let long = Profile::named("x".repeat(257));
    assert!(ada.client.set_profile(long).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_blocked_reads_what_was_and_nothing_of_what_comes() {
    let home = Home::start().await;
    let mut ada = Sdk::register(&home, "ada").await;
    let (mut ben, mut eve) = (Sdk::register(&home, "ben").await, Sdk::register(&home, "eve").await);
    let (to_ada, to_ben, to_eve) =
        (ada.account().clone(), ben.account().clone(), eve.account().clone());
    ada.is_named("Ada").await;
    for to in [&to_ben, &to_eve] {
        ada.client.send_text(to, "hello").await.unwrap();
    }
    ben.calls(&to_ada, "Ada").await;
    eve.calls(&to_ada, "Ada").await;
    // She writes to both of them in a group, too, where the key goes with each message.
    let people = [to_ben.clone(), to_eve.clone()];
    let group = ada.client.create_group("Three", &people).await.unwrap();
    ben.join(&group).await;
    eve.join(&group).await;
    ada.in_group(&group, Some(Standing::Owner), 5).await;

    ada.client.block(&to_eve).await.unwrap();
    ada.profile_of(&to_ada).await;
    ada.is_named("Countess").await;
    let id = ada.client.send_to_group(&group, "to all").await.unwrap();
    let heard = |update: &Update| match update {
        Update::Message(entry) if entry.id == id => Some(()),
        _ => None,
    };
    eve.wait("the message to the group", heard).await;
    let still = eve.client.refresh_profile(&to_ada).await.unwrap().unwrap();
    assert_eq!(still.name.as_deref(), Some("Ada"), "the key was replaced");
    // Ben has the new key with the next message, and she may have it again once she is heard.
    let id = ada.client.send_text(&to_ben, "and now").await.unwrap();
    ada.status(id, Status::Delivered).await;
    ben.calls(&to_ada, "Countess").await;
    ada.client.unblock(&to_eve).await.unwrap();
    ada.client.send_text(&to_eve, "again").await.unwrap();
    eve.calls(&to_ada, "Countess").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_group_read_the_profile_of_who_speaks() {
    let home = Home::start().await;
    let mut ada = Sdk::register(&home, "ada").await;
    let (mut ben, mut cem) = (Sdk::register(&home, "ben").await, Sdk::register(&home, "cem").await);
    let to_ada = ada.account().clone();
    ada.is_named("Ada").await;
    let people = [ben.account().clone(), cem.account().clone()];
    let group = ada.client.create_group("Three", &people).await.unwrap();
    ben.join(&group).await;
    cem.join(&group).await;
    ada.in_group(&group, Some(Standing::Owner), 5).await;
    ada.client.send_to_group(&group, "to all").await.unwrap();
    ben.calls(&to_ada, "Ada").await;
    cem.calls(&to_ada, "Ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn own_devices_and_backups_have_the_key_and_the_keys_of_others() {
    let home = Home::start().await;
    let (mut ada, mut ben) = (Sdk::register(&home, "ada").await, Sdk::register(&home, "ben").await);
    let (to_ada, to_ben) = (ada.account().clone(), ben.account().clone());
    let mut tablet = ada.link(&home).await;
    // The first profile comes to a device that is there already.
    ada.is_named("Ada").await;
    tablet.calls(&to_ada, "Ada").await;
    tablet.is_named("Countess").await;
    ada.calls(&to_ada, "Countess").await;
    ben.is_named("Ben").await;
    ben.client.send_text(&to_ada, "hello").await.unwrap();
    for device in [&mut ada, &mut tablet] {
        device.calls(&to_ben, "Ben").await;
    }
    // Blocking on one device gives the other one the new key.
    let eve = Sdk::register(&home, "eve").await;
    tablet.client.block(eve.account()).await.unwrap();
    tablet.profile_of(&to_ada).await;
    ada.profile_of(&to_ada).await;
    ada.is_named("Lady Ada").await;
    tablet.calls(&to_ada, "Lady Ada").await;

    // A new device, and one of a backup.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ada.backup");
    ada.client.back_up(&path, "mare ford oats").await.unwrap();
    let laptop = ada.link_at_once(&home).await;
    let homeserver = Homeserver::new(home.connector()).unwrap();
    let account = NewAccount::new("ada", "correct horse battery staple");
    let backup = (path.as_path(), "mare ford oats");
    let (client, updates) =
        homeserver.restore(MemoryStore::new(), &account, None, backup).await.unwrap();
    for mut device in [laptop, Sdk { client, updates }] {
        // Asking for who is shown is enough.
        device.calls(&to_ada, "Lady Ada").await;
        if device.client.profile(&to_ben).await.unwrap().is_none() {
            device.calls(&to_ben, "Ben").await;
        }
        let theirs = device.client.profile(&to_ben).await.unwrap().unwrap();
        assert_eq!(theirs.name.as_deref(), Some("Ben"));
    }
}
