//! Profiles over two regions: who writes first is known by name.

use posthouse_client::{Profile, Update};
use posthouse_protocol::id::AccountId;

use crate::{person::Pair, sdk::Sdk};

impl Sdk {
    async fn calls(&mut self, user: &AccountId, name: &str) {
        loop {
            self.wait("a profile", |update| match update {
                Update::Profile { user: of } => (of == user).then_some(()),
                _ => None,
            })
            .await;
            let known = self.client.profile(user).await.unwrap();
            if known.and_then(|profile| profile.name).as_deref() == Some(name) {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_of_the_other_region_is_known_by_name() {
    let pair = Pair::start();
    let mut ada = Sdk::register(&pair.north, "ada").await;
    let mut ben = Sdk::register(&pair.south, "ben").await;
    let (to_ada, to_ben) = (ada.client.account().clone(), ben.client.account().clone());
    ada.client.set_profile(Profile::named("Ada Lovelace")).await.unwrap();
    ben.client.set_profile(Profile::named("Ben")).await.unwrap();
    ada.client.send_text(&to_ben, "one").await.unwrap();
    ben.calls(&to_ada, "Ada Lovelace").await;
    // Nothing goes back before Ben has answered.
    assert!(ada.client.profile(&to_ben).await.unwrap().is_none());
    ben.client.send_text(&to_ada, "two").await.unwrap();
    ada.calls(&to_ben, "Ben").await;
}
