//! The SDK and a whole client on the official Signal library talk with each other.

use posthouse_client::Update;
use posthouse_protocol::{id::GroupId, rest::groups::Standing, status::Status};
use serde_json::json;

use super::{home::Home, libsignal::LibsignalClient, sdk::Sdk};

#[tokio::test(flavor = "multi_thread")]
async fn libsignal_plays_a_whole_client() {
    let home = Home::start().await;
    let mut ada = Sdk::register(&home, "ada").await;
    let mut bob = LibsignalClient::start(home.address(), "bob").await;
    let (to_ada, to_bob) = (ada.account().to_string(), bob.account.clone());

    // The other one begins; later the SDK does, with somebody else.
    for round in 0..10 {
        let text = format!("from libsignal {round}");
        let id = bob.send(&json!({ "do": "send", "to": to_ada, "text": text })).await;
        let heard = ada.message().await;
        assert_eq!((heard.id, heard.said.text()), (id, Some(text.as_str())));
        let text = format!("from the SDK {round}");
        let id = ada.client.send_text(&to_bob, &text).await.unwrap();
        bob.hears(id, &text).await;
        ada.status(id, Status::Delivered).await;
        bob.send(&json!({ "do": "read", "to": to_ada, "ids": [id.0] })).await;
        ada.status(id, Status::Read).await;
    }
    ada.client.mark_read(&to_bob).await.unwrap();
    let receipt = bob.event("receipt").await;
    assert_eq!(receipt["ids"].as_array().unwrap().len(), 10, "{receipt}");
    ada.client.set_typing(&to_bob, true).await.unwrap();
    assert_eq!(bob.event("other").await["kind"], 8);

    let mut cid = Sdk::register(&home, "cid").await;
    let first = cid.client.send_text(&to_bob, "the SDK begins").await.unwrap();
    bob.hears(first, "the SDK begins").await;
    let to_cid = cid.account().to_string();
    let id = bob.send(&json!({ "do": "send", "to": to_cid, "text": "and is answered" })).await;
    assert_eq!(cid.message().await.id, id);

    let group = in_a_group(&mut ada, &mut bob, &mut cid).await;
    for round in 0..3 {
        let text = format!("to the group {round}");
        let id = ada.client.send_to_group(&group, &text).await.unwrap();
        bob.hears(id, &text).await;
        assert_eq!(cid.message().await.id, id);
        let id = bob.send(&json!({ "do": "say", "group": group, "text": text })).await;
        for one in [&mut ada, &mut cid] {
            let heard = one.message().await;
            let seen = (heard.id, heard.group.as_ref(), heard.said.text());
            assert_eq!(seen, (id, Some(&group), Some(text.as_str())));
        }
    }

    // Whoever is removed hears nothing more.
    ada.client.remove(&group, cid.account()).await.unwrap();
    cid.in_group(&group, None, 6).await;
    let id = ada.client.send_to_group(&group, "the two of us").await.unwrap();
    bob.hears(id, "the two of us").await;
    let own = cid.client.group_timeline(&group, None, 20).await.unwrap();
    assert!(own.iter().all(|entry| entry.id != id));
}

async fn in_a_group(ada: &mut Sdk, bob: &mut LibsignalClient, cid: &mut Sdk) -> GroupId {
    let people = [bob.account.clone(), cid.account().clone()];
    let group = ada.client.create_group("Riders", &people).await.unwrap();
    cid.join(&group).await;
    bob.order(&json!({ "do": "join", "group": group }));
    bob.event("joined").await;
    for (one, standing) in [(ada, Standing::Owner), (cid, Standing::Member)] {
        one.wait("three members", |update| match update {
            Update::Group { group: of, standing: now, epoch: 5.. } => {
                (*of == group && *now == Some(standing)).then_some(())
            }
            _ => None,
        })
        .await;
    }
    group
}
