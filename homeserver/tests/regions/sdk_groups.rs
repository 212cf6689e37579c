//! A group of two regions, through the SDK.

use posthouse_client::Update;
use posthouse_protocol::rest::groups::Standing;

use crate::{person::Pair, sdk::Sdk};

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
