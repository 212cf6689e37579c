//! A group of two regions, through the SDK.

use posthouse_client::Update;
use posthouse_protocol::rest::groups::{EpochStatus, Standing};

use crate::{
    person::{Pair, until},
    sdk::Sdk,
};

#[tokio::test(flavor = "multi_thread")]
async fn people_of_two_regions_talk_in_a_group_until_one_is_removed() {
    let pair = Pair::start();
    let mut ada = Sdk::register(&pair.north, "ada").await;
    let mut ben = Sdk::register(&pair.south, "ben").await;
    let mut cid = Sdk::register(&pair.south, "cid").await;
    let people = [ben.client.account().clone(), cid.client.account().clone()];
    let group = ada.client.create_group("Both sides", &people).await.unwrap();
    for one in [&mut ben, &mut cid] {
        one.stands(&group, Some(Standing::Invited), 1).await;
        one.client.accept_invitation(&group).await.unwrap();
    }
    ada.stands(&group, Some(Standing::Owner), 5).await;
    let sent = ada.client.send_to_group(&group, "hello south").await.unwrap();
    for one in [&mut ben, &mut cid] {
        let entry = one.hears("hello south").await;
        assert_eq!((entry.id, entry.group.as_ref()), (sent, Some(&group)));
    }
    ada.wait("both counted", |update| match update {
        Update::Delivered { id, delivered: 2, audience: 2, .. } if *id == sent => Some(()),
        _ => None,
    })
    .await;
    ben.client.send_to_group(&group, "hello north").await.unwrap();
    ada.hears("hello north").await;
    cid.hears("hello north").await;
    assert_eq!(ben.client.group(&group).await.unwrap().title.as_deref(), Some("Both sides"));

    ada.client.remove(&group, cid.client.account()).await.unwrap();
    cid.stands(&group, None, 6).await;
    ada.client.send_to_group(&group, "the two of us").await.unwrap();
    ben.hears("the two of us").await;
    ben.client.send_to_group(&group, "indeed").await.unwrap();
    ada.hears("indeed").await;
    let kept = cid.client.group_timeline(&group, None, 10).await.unwrap();
    let texts: Vec<_> = kept.iter().filter_map(|one| one.said.text()).collect();
    assert_eq!(texts, ["hello south", "hello north"]);
}

/// Who leaves while the owning region is away is out at once here, and everywhere once it is back,
/// although the group has moved on there.
#[tokio::test(flavor = "multi_thread")]
async fn who_left_while_the_owning_region_was_away_signs_anew() {
    let mut pair = Pair::start();
    let mut ada = Sdk::register(&pair.north, "ada").await;
    let mut ben = Sdk::register(&pair.south, "ben").await;
    let people = [ben.client.account().clone()];
    let group = ada.client.create_group("Both sides", &people).await.unwrap();
    ben.stands(&group, Some(Standing::Invited), 1).await;
    ben.client.accept_invitation(&group).await.unwrap();
    ada.stands(&group, Some(Standing::Owner), 3).await;
    pair.north.kill();
    assert_eq!(ben.client.leave(&group).await.unwrap(), EpochStatus::Queued);
    pair.south.kill();
    pair.restart_north();
    until("ada is connected again", async || ada.client.rename(&group, "North").await.is_ok())
        .await;
    pair.restart_south();
    ben.stands(&group, None, 5).await;
    until("north knows it", async || ada.client.members(&group).await.unwrap().len() == 1).await;
}
