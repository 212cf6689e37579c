//! The inbox over REST.

use posthouse_protocol::{
    cursor::{Cursor, Since},
    frame::{Ack, AckTarget},
    id::MessageId,
    status::{Seen, Status},
    time::Clock,
};

use super::{
    device::{Device, submission},
    home::Home,
};

fn ids(page: &posthouse_protocol::rest::SyncPage) -> Vec<MessageId> {
    let id = |raw: &serde_json::value::RawValue| {
        let value: serde_json::Value = serde_json::from_str(raw.get()).unwrap();
        MessageId::parse(value["id"].as_str().unwrap()).unwrap()
    };
    page.messages.iter().map(|raw| id(raw)).collect()
}

#[tokio::test]
async fn pages_follow_each_other_and_acknowledge_nothing() {
    let home = Home::start().await;
    let ada = Device::register(&home, "ada").await;
    let ben = Device::register(&home, "ben").await;
    let mut sent = Vec::new();
    for n in 0..25 {
        let submission = submission(ben.account(), &n.to_string());
        sent.push(ada.api.send(ada.token(), &submission).await.unwrap().message_id);
    }
    let (mut got, mut since) = (Vec::new(), None);
    loop {
        let page = ben.api.sync(ben.token(), since, 10).await.unwrap();
        got.extend(ids(&page));
        since = Some(Since::Cursor(page.next_cursor));
        if !page.has_more {
            break;
        }
    }
    assert_eq!(got, sent);
    let again = ben.api.sync(ben.token(), None, 100).await.unwrap();
    assert_eq!(ids(&again), sent, "from the position, which has not moved");
    let beyond = Some(Since::Cursor(Cursor(9_999)));
    let refused = ben.api.sync(ben.token(), beyond, 100).await.unwrap_err();
    assert_eq!(refused.code(), Some("cursor_reset"));
}

#[tokio::test]
async fn a_page_of_large_messages_ends_early_and_the_next_goes_on() {
    let home = Home::start().await;
    let ada = Device::register(&home, "ada").await;
    let ben = Device::register(&home, "ben").await;
    let large = "x".repeat(posthouse_protocol::limits::MAX_BODY);
    let mut sent = Vec::new();
    for _ in 0..120 {
        let submission = submission(ben.account(), &large);
        sent.push(ada.api.send(ada.token(), &submission).await.unwrap().message_id);
    }
    let (mut got, mut since, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = ben.api.sync(ben.token(), since, 1_000).await.unwrap();
        got.extend(ids(&page));
        pages += 1;
        if !page.has_more {
            break;
        }
        since = Some(Since::Cursor(page.next_cursor));
    }
    assert_eq!(got, sent);
    assert!(pages > 1, "120 bodies of 64 KiB do not fit into one page");
}

#[tokio::test]
async fn a_time_resolves_to_the_first_entry_that_arrived_then() {
    let home = Home::start().await;
    let ada = Device::register(&home, "ada").await;
    let ben = Device::register(&home, "ben").await;
    let before = submission(ben.account(), "before");
    ada.api.send(ada.token(), &before).await.unwrap();
    home.clock.pass(10_000);
    let at = home.clock.now();
    let after = submission(ben.account(), "after");
    ada.api.send(ada.token(), &after).await.unwrap();
    let page = ben.api.sync(ben.token(), Some(Since::Time(at)), 100).await.unwrap();
    assert_eq!(ids(&page), [after.id]);
}

#[tokio::test]
async fn a_client_without_a_socket_acknowledges_too() {
    let home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let mut ben = Device::register(&home, "ben").await;
    ada.catch_up(&home).await;
    let first = ada.write(ben.account(), "1").await.message_id;
    let second = ada.write(ben.account(), "2").await.message_id;
    let target = AckTarget::Messages { ids: vec![first], from: None };
    ben.api.ack(ben.token(), &Ack { target, seen: Seen::Read }).await.unwrap();
    ada.status(first, Status::Delivered).await;
    ada.status(first, Status::Read).await;
    let rest: Vec<_> = ben.catch_up(&home).await.iter().map(|m| m.id).collect();
    assert_eq!(rest, [second]);
}

#[tokio::test]
async fn what_a_client_was_never_given_does_not_hold_its_position() {
    let home = Home::start().await;
    let ada = Device::register(&home, "ada").await;
    let ben = Device::register(&home, "ben").await;
    Device::log_in(&home, "ben").await;
    let mut gone = submission(ben.account(), "gone");
    gone.expires = Some(home.clock.now().plus_millis(60_000));
    ada.api.send(ada.token(), &gone).await.unwrap();
    home.clock.pass(61_000);
    // His other device gets a copy of this one, and this device does not.
    ben.api.send(ben.token(), &submission(ada.account(), "mine")).await.unwrap();
    let last = submission(ben.account(), "last");
    ada.api.send(ada.token(), &last).await.unwrap();
    let page = ben.api.sync(ben.token(), None, 100).await.unwrap();
    assert_eq!(ids(&page), [last.id]);
    let target = AckTarget::Messages { ids: vec![last.id], from: None };
    ben.api.ack(ben.token(), &Ack { target, seen: Seen::Delivered }).await.unwrap();
    let after = ben.api.sync(ben.token(), None, 100).await.unwrap();
    assert!(after.messages.is_empty(), "the position has passed all three");
    let mut sender = ada.again(&home);
    sender.connect(&home).await;
    let mark = sender.watermark(Status::Delivered).await;
    assert_eq!((mark.through, &mark.except[..]), (3, &[1][..]));
}

/// `client-socket.md` §3.4: a cursor beyond the end counts as the end, so that what comes later is not
/// acknowledged before it is there.
#[tokio::test]
async fn an_acknowledgement_beyond_the_end_reaches_to_the_end() {
    let home = Home::start().await;
    let ada = Device::register(&home, "ada").await;
    let ben = Device::register(&home, "ben").await;
    let write = async |text: &str| {
        ada.api.send(ada.token(), &submission(ben.account(), text)).await.unwrap().message_id
    };
    write("before").await;
    for text in ["one", "two"] {
        let target = AckTarget::Through(Cursor(u64::MAX >> 1));
        ben.api.ack(ben.token(), &Ack { target, seen: Seen::Delivered }).await.unwrap();
        let page = ben.api.sync(ben.token(), None, 100).await.unwrap();
        assert!(page.messages.is_empty(), "all of them are acknowledged");
        let later = write(text).await;
        let page = ben.api.sync(ben.token(), None, 100).await.unwrap();
        assert_eq!(ids(&page), [later]);
    }
}

#[tokio::test]
async fn nobody_acknowledges_other_peoples_messages() {
    let home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let ben = Device::register(&home, "ben").await;
    let eve = Device::register(&home, "eve").await;
    ada.catch_up(&home).await;
    let id = ada.write(ben.account(), "for ben").await.message_id;
    let target = AckTarget::Messages { ids: vec![id], from: Some(ada.account().clone()) };
    eve.api.ack(eve.token(), &Ack { target, seen: Seen::Read }).await.unwrap();
    let told = ada.settle().await;
    assert!(told.is_empty(), "{told:?}");
    let page = eve.api.sync(eve.token(), Some(Since::Cursor(Cursor::START)), 100).await.unwrap();
    assert!(page.messages.is_empty());
}
