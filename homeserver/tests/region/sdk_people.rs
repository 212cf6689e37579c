//! People in the SDK: contacts, blocks, and who is there.

use posthouse_client::{
    Availability, ClientError, Connector, Endpoint, Home as Homeserver, MemoryStore, NewAccount,
    Trust, Update,
};
use posthouse_protocol::{id::AccountId, status::Status};

use super::{
    home::Home,
    link::{Link, State},
    sdk::Sdk,
};

impl Sdk {
    /// Registers over a link.
    async fn register_over(link: &Link, name: &str) -> Self {
        let endpoint = Endpoint::parse(&format!("http://{}", link.address)).unwrap();
        let connector = Connector::new(endpoint, Trust::System).unwrap();
        let homeserver = Homeserver::new(connector).unwrap();
        let account = NewAccount::new(name, "correct horse battery staple");
        let opened = homeserver.register(MemoryStore::new(), &account).await;
        let (client, updates) = opened.unwrap();
        Self { client, updates }
    }

    /// The next that is told of somebody's presence.
    async fn presence(&mut self, of: &AccountId) -> (Availability, bool) {
        self.wait("presence", |update| match update {
            Update::Presence { user, availability, last_seen } => {
                assert_eq!(user, of, "somebody else was watched");
                Some((*availability, last_seen.is_some()))
            }
            _ => None,
        })
        .await
    }

    async fn sees(&mut self, of: &AccountId, wanted: Availability) {
        while self.presence(of).await.0 != wanted {}
    }

    /// Ends the device's program.
    async fn leave(self) {
        self.updates.close(self.client).await;
    }

    async fn contact_list(&self) -> Vec<AccountId> {
        let all = self.client.contacts().await.unwrap();
        all.into_iter().map(|one| one.account_id).collect()
    }

    async fn block_list(&self) -> Vec<AccountId> {
        let all = self.client.blocks().await.unwrap();
        all.into_iter().map(|one| one.account_id).collect()
    }
}

fn is_not_found(refused: &ClientError) -> bool {
    matches!(refused, ClientError::Transport(err) if err.code() == Some("not_found"))
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_are_added_listed_and_removed() {
    let home = Home::start().await;
    let ada = Sdk::register(&home, "ada").await;
    let (ben, cem) = (Sdk::register(&home, "ben").await, Sdk::register(&home, "cem").await);
    assert_eq!(ada.contact_list().await, []);
    ada.client.add_contact(ben.account()).await.unwrap();
    ada.client.add_contact(cem.account()).await.unwrap();
    // Once more is the same.
    ada.client.add_contact(ben.account()).await.unwrap();
    let mut both = vec![ben.account().clone(), cem.account().clone()];
    both.sort();
    assert_eq!(ada.contact_list().await, both);
    ada.client.remove_contact(ben.account()).await.unwrap();
    assert_eq!(ada.contact_list().await, [cem.account().clone()]);
    let again = ada.client.remove_contact(ben.account()).await.unwrap_err();
    assert!(is_not_found(&again), "{again:?}");
    assert_eq!(cem.contact_list().await, [], "contacts are the account's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_of_contacts_is_told_as_it_is_and_as_it_changes() {
    let home = Home::start().await;
    let mut ada = Sdk::register(&home, "ada").await;
    let (ben, cem) = (Sdk::register(&home, "ben").await, Sdk::register(&home, "cem").await);
    let to_ben = ben.account().clone();
    // Ben alone has the other one as contact: that shows nothing yet. Nor does a stranger see him.
    ben.client.add_contact(ada.account()).await.unwrap();
    ada.client.watch_presence(&[cem.account().clone(), to_ben.clone()]).await.unwrap();
    ada.client.add_contact(&to_ben).await.unwrap();
    ada.client.watch_presence(&[]).await.unwrap();
    ada.client.watch_presence(&[cem.account().clone(), to_ben.clone()]).await.unwrap();
    ada.sees(&to_ben, Availability::Online).await;
    ben.client.set_away(true).await.unwrap();
    ada.sees(&to_ben, Availability::Away).await;
    ben.client.set_away(false).await.unwrap();
    ada.sees(&to_ben, Availability::Online).await;
    // With another device that is there, a device that is not does not make him away.
    let laptop = ben.link(&home).await;
    ben.client.set_away(true).await.unwrap();
    laptop.client.set_away(true).await.unwrap();
    ada.sees(&to_ben, Availability::Away).await;
    laptop.client.set_away(false).await.unwrap();
    ada.sees(&to_ben, Availability::Online).await;
    laptop.leave().await;
    ada.sees(&to_ben, Availability::Away).await;
    ben.leave().await;
    let gone = ada.presence(&to_ben).await;
    assert_eq!(gone, (Availability::Offline, true), "with when he was last there");
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_and_being_away_outlast_a_lost_connection() {
    let home = Home::start().await;
    let (first, second) = (Link::to(home.address()).await, Link::to(home.address()).await);
    let mut ada = Sdk::register_over(&first, "ada").await;
    let ben = Sdk::register_over(&second, "ben").await;
    let (to_ada, to_ben) = (ada.account().clone(), ben.account().clone());
    ada.client.add_contact(&to_ben).await.unwrap();
    ben.client.add_contact(&to_ada).await.unwrap();
    ben.client.set_away(true).await.unwrap();
    ada.client.watch_presence(std::slice::from_ref(&to_ben)).await.unwrap();
    ada.sees(&to_ben, Availability::Away).await;
    second.set(State::Cut);
    ada.sees(&to_ben, Availability::Offline).await;
    second.set(State::Up);
    ada.sees(&to_ben, Availability::Away).await;

    first.set(State::Cut);
    ada.wait("the cut", |update| matches!(update, Update::Disconnected).then_some(())).await;
    ben.client.set_away(false).await.unwrap();
    first.set(State::Up);
    ada.sees(&to_ben, Availability::Online).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_blocked_is_not_heard_nor_sees_until_unblocked() {
    let home = Home::start().await;
    let mut ada = Sdk::register(&home, "ada").await;
    let mut eve = Sdk::register(&home, "eve").await;
    let (to_ada, to_eve) = (ada.account().clone(), eve.account().clone());
    let first = eve.client.send_text(&to_ada, "one").await.unwrap();
    ada.message().await;
    eve.status(first, Status::Delivered).await;
    ada.client.send_text(&to_eve, "two").await.unwrap();
    eve.message().await;
    eve.client.watch_presence(std::slice::from_ref(&to_ada)).await.unwrap();
    eve.sees(&to_ada, Availability::Online).await;

    ada.client.block(&to_eve).await.unwrap();
    assert_eq!(ada.block_list().await, std::slice::from_ref(&to_eve));
    assert_eq!(eve.block_list().await, [], "the blocked cannot look it up");
    // Watching anew is answered with nothing, and what she writes stays at `sent`.
    eve.client.watch_presence(&[]).await.unwrap();
    eve.client.watch_presence(std::slice::from_ref(&to_ada)).await.unwrap();
    let lost = eve.client.send_text(&to_ada, "three").await.unwrap();
    eve.wait("that it was sent", |update| match update {
        Update::Presence { availability, .. } => panic!("the blocked saw {availability:?}"),
        Update::Status { id, status, .. } if *id == lost => {
            assert_eq!(*status, Status::Sent);
            Some(())
        }
        _ => None,
    })
    .await;
    // Nor can Ada write to her without thinking of it.
    let refused = ada.client.send_text(&to_eve, "four").await.unwrap();
    ada.status(refused, Status::Failed).await;

    ada.client.unblock(&to_eve).await.unwrap();
    assert_eq!(ada.block_list().await, []);
    let again = ada.client.unblock(&to_eve).await.unwrap_err();
    assert!(is_not_found(&again), "{again:?}");
    let heard = eve.client.send_text(&to_ada, "five").await.unwrap();
    // What was discarded meanwhile is not: this is the next one that comes.
    assert_eq!(ada.message().await.said.text(), Some("five"));
    eve.wait("the status of what is heard again", |update| match update {
        Update::Status { id, status: Status::Delivered, .. } => {
            assert_eq!(*id, heard, "what was discarded is never told as delivered");
            Some(())
        }
        _ => None,
    })
    .await;
    let discarded = eve.client.message(&to_eve, lost).await.unwrap().unwrap();
    assert_eq!(discarded.status, Some(Status::Sent));
}
