//! Presence and typing.

use std::time::Duration;

use posthouse_client::Event;
use posthouse_protocol::{
    frame::{ClientFrame, Presence, PresenceFrame, PresenceUpdate},
    id::{Address, GroupId},
    time::Clock,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{calls::call, device::Device, home::Home};

/// Within this, 95 % of changes must be visible; a clean one must always be.
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);

fn watch(whom: &Device) -> ClientFrame {
    ClientFrame::Subscribe(vec![Address::Account(whom.account().clone())])
}

fn typing(to: &Device, started: bool) -> ClientFrame {
    let to = Address::Account(to.account().clone());
    ClientFrame::Presence(PresenceUpdate::Typing { to, started })
}

async fn presence(device: &mut Device) -> PresenceFrame {
    device
        .wait(|event| match event {
            Event::Presence(frame) => Some(*frame),
            _ => None,
        })
        .await
}

async fn acquainted(home: &Home) -> (Device, Device) {
    let mut ada = Device::register(home, "ada").await;
    let mut ben = Device::register(home, "ben").await;
    ada.catch_up(home).await;
    ben.catch_up(home).await;
    ada.write(ben.account(), "hello").await;
    ben.write(ada.account(), "hello").await;
    (ada, ben)
}

#[tokio::test]
async fn coming_going_and_being_away_are_seen_in_time() {
    let home = Home::start().await;
    let (mut ada, mut ben) = acquainted(&home).await;
    ada.send(watch(&ben)).await;
    assert_eq!(presence(&mut ada).await.status, Presence::Online);
    let start = Instant::now();
    ben.send(ClientFrame::Presence(PresenceUpdate::Away)).await;
    assert_eq!(presence(&mut ada).await.status, Presence::Away);
    ben.leave().await;
    let offline = presence(&mut ada).await;
    assert_eq!(offline.status, Presence::Offline);
    assert!(offline.last_seen.is_some());
    ben.connect(&home).await;
    assert_eq!(presence(&mut ada).await.status, Presence::Online);
    assert!(start.elapsed() < VISIBLE_WITHIN);
}

#[tokio::test]
async fn last_seen_survives_a_restart() {
    let mut home = Home::start().await;
    let (mut ada, mut ben) = acquainted(&home).await;
    home.clock.pass(600_000);
    ben.leave().await;
    home.stop().await;
    home.run().await;
    ada.connect(&home).await;
    ada.send(watch(&ben)).await;
    let seen = presence(&mut ada).await;
    assert_eq!(seen.status, Presence::Offline);
    let registered = ben.tokens.clone();
    assert_eq!(&seen.user_id, &registered.account_id);
    let ago = home.clock.now().0 - seen.last_seen.unwrap().0;
    assert!(ago < 60_000, "{ago} ms");
}

#[tokio::test]
async fn strangers_see_neither_presence_nor_typing() {
    let home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let mut eve = Device::register(&home, "eve").await;
    ada.catch_up(&home).await;
    eve.catch_up(&home).await;
    eve.write(ada.account(), "look at me").await;
    eve.send(watch(&ada)).await;
    eve.send(typing(&ada, true)).await;
    let nobody = Address::parse("nobody", &ada.account().server).unwrap();
    eve.send(ClientFrame::Presence(PresenceUpdate::Typing { to: nobody, started: true })).await;
    let nothing = |event: &Event| !matches!(event, Event::Presence(_) | Event::Refused(_));
    assert!(eve.settle().await.iter().all(nothing));
    assert!(ada.settle().await.iter().all(nothing));
}

/// In a group it is a message that the server cannot read.
#[tokio::test]
async fn typing_to_a_group_is_refused_whether_or_not_there_is_one() {
    let home = Home::start().await;
    let (mut ada, _) = acquainted(&home).await;
    let group = GroupId { uuid: Uuid::from_u128(0x9111), server: ada.account().server.clone() };
    let to = Address::Group(group);
    ada.send(ClientFrame::Presence(PresenceUpdate::Typing { to, started: true })).await;
    let refused = ada
        .wait(|event| match event {
            Event::Refused(refusal) => Some(refusal.code),
            _ => None,
        })
        .await;
    assert_eq!(refused, "bad_request");
}

#[tokio::test]
async fn typing_is_told_once_a_second_at_most_and_expires() {
    let home = Home::start().await;
    let (mut ada, mut ben) = acquainted(&home).await;
    ben.settle().await;
    for _ in 0..5 {
        ada.send(typing(&ben, true)).await;
    }
    ada.settle().await;
    let notice = presence(&mut ben).await;
    assert_eq!((notice.status, notice.expires_in), (Presence::Typing, Some(10)));
    ada.send(typing(&ben, false)).await;
    assert_eq!(presence(&mut ben).await.status, Presence::StoppedTyping, "four were dropped");
}

#[tokio::test]
async fn heartbeats_presence_and_typing_write_nothing_to_the_database() {
    let home = Home::start().await;
    let (mut ada, mut ben) = acquainted(&home).await;
    ada.send(watch(&ben)).await;
    presence(&mut ada).await;
    let before = home.store().counters().read().transactions;
    for _ in 0..200 {
        ada.send(ClientFrame::Ping(None)).await;
        ben.send(ClientFrame::Presence(PresenceUpdate::Online)).await;
        ben.send(typing(&ada, true)).await;
    }
    ada.settle().await;
    ben.settle().await;
    assert_eq!(home.store().counters().read().transactions, before);
}

/// Who shows nothing sees nothing, also not what they watched before they chose so.
#[tokio::test]
async fn own_watches_end_with_the_choice_to_show_nothing() {
    let home = Home::start().await;
    let (mut ada, mut ben) = acquainted(&home).await;
    let mut cem = Device::register(&home, "cem").await;
    cem.catch_up(&home).await;
    cem.write(ada.account(), "hello").await;
    ada.write(cem.account(), "hello").await;
    for watcher in [&mut ben, &mut cem] {
        watcher.send(watch(&ada)).await;
        assert_eq!(presence(watcher).await.status, Presence::Online);
    }
    let path = "/v1/account/privacy";
    let mut privacy = call(&home, "GET", path, Some(ben.token()), None).await.body;
    privacy["last_seen"] = "nobody".into();
    let chosen = call(&home, "PUT", path, Some(ben.token()), Some(privacy)).await;
    assert_eq!(chosen.status, 204, "{chosen:?}");
    ada.send(ClientFrame::Presence(PresenceUpdate::Away)).await;
    assert_eq!(presence(&mut cem).await.status, Presence::Away);
    let told = ben.settle().await;
    assert!(!told.iter().any(|event| matches!(event, Event::Presence(_))), "{told:?}");
}
