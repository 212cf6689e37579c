//! People in the SDK over two regions: contacts who see each other, and who is blocked.

use posthouse_client::{Availability, Update};
use posthouse_protocol::{id::AccountId, status::Status};

use crate::{person::Pair, sdk::Sdk};

impl Sdk {
    async fn sees(&mut self, of: &AccountId, wanted: Availability) -> bool {
        self.wait(&format!("{wanted:?}"), |update| match update {
            Update::Presence { user, availability, last_seen } if user == of => {
                (*availability == wanted).then_some(last_seen.is_some())
            }
            _ => None,
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_of_two_regions_are_seen_and_the_blocked_see_and_say_nothing() {
    let pair = Pair::start();
    let mut ada = Sdk::register(&pair.north, "ada").await;
    let mut ben = Sdk::register(&pair.south, "ben").await;
    let to_ben = ada.client.find("ben@south.test").await.unwrap();
    let to_ada = ada.client.account().clone();
    assert_eq!(to_ben, *ben.client.account());
    ada.client.add_contact(&to_ben).await.unwrap();
    ben.client.add_contact(&to_ada).await.unwrap();
    assert_eq!(ada.client.contacts().await.unwrap()[0].account_id, to_ben);
    ada.client.send_text(&to_ben, "one").await.unwrap();
    ben.hears("one").await;
    ben.client.send_text(&to_ada, "two").await.unwrap();
    ada.hears("two").await;
    ada.client.watch_presence(std::slice::from_ref(&to_ben)).await.unwrap();
    ada.sees(&to_ben, Availability::Online).await;
    ben.client.set_away(true).await.unwrap();
    ada.sees(&to_ben, Availability::Away).await;
    ben.client.set_away(false).await.unwrap();
    ada.sees(&to_ben, Availability::Online).await;

    ben.client.block(&to_ada).await.unwrap();
    assert_eq!(ben.client.blocks().await.unwrap()[0].account_id, to_ada);
    let lost = ada.client.send_text(&to_ben, "three").await.unwrap();
    // Once the other region has it, it was judged.
    ada.wait("that it was accepted", |update| match update {
        Update::Status { id, status, .. } if *id == lost => {
            assert!(*status < Status::Delivered, "{status:?}");
            (*status == Status::Accepted).then_some(())
        }
        _ => None,
    })
    .await;
    ben.client.unblock(&to_ada).await.unwrap();
    let heard = ada.client.send_text(&to_ben, "four").await.unwrap();
    ben.hears("four").await;
    ada.wait("the status of what was heard", |update| match update {
        Update::Status { id, status: Status::Delivered, .. } => {
            assert_ne!(*id, lost, "what was discarded is never told as delivered");
            (*id == heard).then_some(())
        }
        _ => None,
    })
    .await;

    ben.updates.close(ben.client).await;
    assert!(ada.sees(&to_ben, Availability::Offline).await, "with when he was last there");
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_of_two_regions_who_never_wrote_see_each_other() {
    let pair = Pair::start();
    let mut ada = Sdk::register(&pair.north, "ada").await;
    let mut ben = Sdk::register(&pair.south, "ben").await;
    let (to_ada, to_ben) = (ada.client.account().clone(), ben.client.account().clone());
    ada.client.add_contact(&to_ben).await.unwrap();
    ben.client.add_contact(&to_ada).await.unwrap();
    ada.client.watch_presence(std::slice::from_ref(&to_ben)).await.unwrap();
    ben.client.watch_presence(std::slice::from_ref(&to_ada)).await.unwrap();
    ada.sees(&to_ben, Availability::Online).await;
    ben.sees(&to_ada, Availability::Online).await;
    ben.client.set_away(true).await.unwrap();
    ada.sees(&to_ben, Availability::Away).await;
    ben.client.set_away(false).await.unwrap();
    ada.sees(&to_ben, Availability::Online).await;
    ben.updates.close(ben.client).await;
    assert!(ada.sees(&to_ben, Availability::Offline).await, "with when he was last there");
}
