//! Messages to a group of one region, over real sockets.

use posthouse_client::Event;
use posthouse_crypto::e2ee::signed::group_epoch::{Change, GroupState};
use posthouse_protocol::{
    content::{Ciphertext, Content, Payload},
    frame::{Class, ClientFrame, Submission, TallyFrame},
    id::{Address, ConversationId, GroupId},
    status::{Seen, Status},
};
use serde_json::{Value, json};

use super::{
    device::{Device, PASSWORD, submission, text},
    home::Home,
    signer::{Signer, created, joined},
};

/// A text to the group as its sender knows it.
fn to_group(state: &GroupState, by: &Signer, words: &str) -> Submission {
    let group = GroupId::parse(state.group()).unwrap();
    Submission {
        to: Address::Group(group),
        epoch: Some(state.epoch()),
        ..submission(by.device.account(), words)
    }
}

/// A group of the first, with all the others as members.
async fn group_of(home: &Home, people: &mut [Signer]) -> GroupState {
    let (owner, others) = people.split_first_mut().unwrap();
    let mut group = created(home, owner).await;
    for one in others {
        joined(home, &mut group, (owner, one)).await;
    }
    group
}

async fn people(home: &Home, handles: &[&str]) -> Vec<Signer> {
    let mut people = Vec::new();
    for handle in handles {
        people.push(Signer::connected(home, handle).await);
    }
    people
}

/// The next `group_status` that `wanted` takes.
async fn tally(of: &mut Device, wanted: impl Fn(&TallyFrame) -> bool) -> TallyFrame {
    of.wait(|event| match event {
        Event::GroupStatus(frame) if wanted(&frame) => Some(*frame),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_message_reaches_every_member_once() {
    let home = Home::start().await;
    let mut all = people(&home, &["ada", "ben", "cid", "dot"]).await;
    let mut tablet = Device::log_in(&home, "ada").await;
    tablet.catch_up(&home).await;
    let mut eve = Signer::connected(&home, "eve").await;
    let mut group = group_of(&home, &mut all).await;
    let conversation = ConversationId::group(&GroupId::parse(group.group()).unwrap());
    let first = to_group(&group, &all[0], "hello all");
    let sent = all[0].device.submit(first.clone()).await.unwrap();
    assert_eq!(sent.conversation_id, Some(conversation));
    assert_eq!(sent.origin_number, Some(1));
    for one in &mut all[1..] {
        let message = one.device.message().await;
        assert_eq!((text(&message), message.conversation), ("hello all", conversation));
        assert_eq!((message.epoch, message.to), (Some(group.epoch()), None));
        assert_eq!(message.place.unwrap().stamp, sent.stamp.unwrap());
    }
    let copy = tablet.message().await;
    assert_eq!(copy.to.as_deref(), Some(group.group()));
    let answer = to_group(&group, &all[1], "hello yourself");
    let answered = all[1].device.submit(answer).await.unwrap();
    assert_eq!(answered.origin_number, Some(2));
    assert!(answered.stamp > sent.stamp);
    assert_eq!(text(&all[0].device.message().await), "hello yourself");
    let listed = all[3].get(&home, "/v1/conversations").await.body;
    assert_eq!(listed["conversations"][0]["with"], group.group());

    // Who does not belong to it hears nothing, and learns nothing by writing.
    let stranger = eve.device.submit(to_group(&group, &eve, "let me in")).await.unwrap_err();
    assert_eq!(stranger.code, "not_found");
    let (ada, rest) = all.split_first_mut().unwrap();
    ada.act(&home, &mut group, Change::Invite(eve.person())).await;
    let invited = eve.device.submit(to_group(&group, &eve, "let me in")).await.unwrap_err();
    assert_eq!(invited.code, "not_found");

    // Who is behind is told the head, nothing is half delivered, and then it goes.
    let mut late = to_group(&group, &rest[0], "a word more");
    late.epoch = Some(group.epoch() - 1);
    let stale = rest[0].device.submit(late.clone()).await.unwrap_err();
    assert_eq!((stale.code.as_str(), stale.head.unwrap().epoch), ("stale_epoch", group.epoch()));
    late.epoch = Some(group.epoch());
    rest[0].device.submit(late).await.unwrap();
    assert_eq!(text(&ada.device.message().await), "a word more");
    let unknown = Submission { epoch: None, ..to_group(&group, ada, "x") };
    assert_eq!(ada.device.submit(unknown).await.unwrap_err().code, "bad_request");
    // A repetition is answered like the first time, also when the group has moved on.
    let again = ada.device.submit(first).await.unwrap();
    assert_eq!((again.stamp, again.origin_number), (sent.stamp, sent.origin_number));

    // Who was removed neither writes nor hears.
    let cid = rest[1].id();
    ada.act(&home, &mut group, Change::Remove(cid)).await;
    let removed = rest[1].device.submit(to_group(&group, &rest[1], "still here")).await;
    assert_eq!(removed.unwrap_err().code, "not_found");
    ada.device.submit(to_group(&group, ada, "without Cid")).await.unwrap();
    for word in ["hello yourself", "a word more", "without Cid"] {
        assert_eq!(text(&rest[2].device.message().await), word);
    }
    let heard = rest[1].device.settle().await;
    let heard: Vec<&str> = heard
        .iter()
        .filter_map(|event| match event {
            Event::Message(message) => Some(text(message)),
            _ => None,
        })
        .collect();
    assert!(!heard.contains(&"without Cid"), "{heard:?}");
}

#[tokio::test]
async fn what_became_of_a_message_is_counted() {
    let home = Home::start().await;
    let mut all = people(&home, &["ada", "ben", "cid", "dot"]).await;
    let mut group = group_of(&home, &mut all).await;
    all[3].device.leave().await;
    let sent = to_group(&group, &all[0], "one");
    let number = all[0].device.submit(sent).await.unwrap().origin_number.unwrap();
    for one in &mut all[1..3] {
        let id = one.device.message().await.id;
        one.device.ack(vec![id], Seen::Delivered).await;
    }
    let two = tally(&mut all[0].device, |frame| frame.count(number) == Some(2)).await;
    assert_eq!((two.status, two.group.to_string()), (Status::Delivered, group.group().to_owned()));

    // Who comes back later counts then; who joins later never does.
    let mut eve = Signer::connected(&home, "eve").await;
    joined(&home, &mut group, (&mut all[0], &mut eve)).await;
    let next = to_group(&group, &all[1], "two");
    all[1].device.submit(next).await.unwrap();
    let message = eve.device.message().await;
    assert_eq!(text(&message), "two");
    eve.device.ack(vec![message.id], Seen::Delivered).await;
    let mut dot = all.pop().unwrap();
    let backlog = dot.device.catch_up(&home).await;
    dot.device.ack(backlog.iter().map(|one| one.id).collect(), Seen::Delivered).await;
    let three = tally(&mut all[0].device, |frame| frame.count(number) == Some(3)).await;
    assert_eq!(three.count(number + 2), Some(0));
    // Ben is told of what he said; Eve has got that.
    let second = number + 1;
    tally(&mut all[1].device, |frame| frame.count(second) == Some(2)).await;

    // One entry for all readers, also for who was away; and no frame for each of them.
    let page = all[0].get(&home, "/v1/messages/sync?since=c0").await.body;
    let about: Vec<&Value> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["type"] == "group_status" || one["type"] == "status")
        .collect();
    assert_eq!(about.len(), 1, "{about:?}");
    let kept: TallyFrame = serde_json::from_value(about[0].clone()).unwrap();
    assert_eq!(kept.count(number), Some(3));
    // Readable receipts are counted by themselves.
    let id = all[2].device.message().await.id;
    all[2].device.ack(vec![id], Seen::Read).await;
    let read = tally(&mut all[1].device, |frame| frame.status == Status::Read).await;
    assert_eq!(read.count(second), Some(1));
}

fn ciphertext(user: &Signer, device: u8, registration_id: u64) -> Ciphertext {
    serde_json::from_value(json!({
        "user": user.id(), "device": device, "registration_id": registration_id, "type": 3,
        "data": format!("key{device}"),
    }))
    .unwrap()
}

async fn registration(home: &Home, of: &Signer) -> u64 {
    let path = format!("/v1/users/{}/devices", of.id());
    of.get(home, &path).await.body["devices"][0]["registration_id"].as_u64().unwrap()
}

fn keys_to(state: &GroupState, by: &Signer, all: Vec<Ciphertext>) -> Submission {
    let content =
        Content { kind: "encrypted".into(), encrypted: true, payload: Payload::Ciphertexts(all) };
    Submission { class: Class::Key, content, ..to_group(state, by, "") }
}

#[tokio::test]
async fn keys_go_to_the_devices_that_a_piece_names() {
    let home = Home::start().await;
    let mut all = people(&home, &["ada", "ben", "cid"]).await;
    let eve = Signer::connected(&home, "eve").await;
    let group = group_of(&home, &mut all).await;
    let ben = ciphertext(&all[1], 1, registration(&home, &all[1]).await);
    let cid = ciphertext(&all[2], 1, registration(&home, &all[2]).await);
    let piece = keys_to(&group, &all[0], vec![ben.clone()]);
    all[0].device.submit(piece).await.unwrap();
    let got = all[1].device.message().await;
    assert_eq!(got.class, Class::Key);
    assert_eq!(got.content.payload, Payload::Ciphertexts(vec![ben.clone()]));
    let both = keys_to(&group, &all[0], vec![ben.clone(), cid.clone()]);
    all[0].device.submit(both).await.unwrap();
    assert_eq!(
        all[1].device.message().await.content.payload,
        Payload::Ciphertexts(vec![ben.clone()])
    );
    let only = all[2].device.message().await;
    assert_eq!(
        only.content.payload,
        Payload::Ciphertexts(vec![cid.clone()]),
        "the first was not for him"
    );

    // A device that was not thought of: nothing is half delivered.
    let second = Device::log_in(&home, "ben").await;
    let stale = keys_to(&group, &all[0], vec![cid.clone(), ben.clone()]);
    let refused = all[0].device.submit(stale).await.unwrap_err();
    assert_eq!(refused.code, "stale_devices");
    let stale = refused.stale_devices.unwrap();
    assert_eq!((stale.user, stale.missing), (all[1].id(), vec![second.tokens.device.get()]));
    let stranger = keys_to(&group, &all[0], vec![ciphertext(&eve, 1, 1)]);
    assert_eq!(all[0].device.submit(stranger).await.unwrap_err().code, "bad_request");
    let nameless = Ciphertext { user: None, ..cid.clone() };
    let nameless = keys_to(&group, &all[0], vec![nameless]);
    assert_eq!(all[0].device.submit(nameless).await.unwrap_err().code, "bad_request");
    let message =
        Submission { class: Class::Message, ..keys_to(&group, &all[0], vec![cid.clone()]) };
    assert_eq!(all[0].device.submit(message).await.unwrap_err().code, "bad_request");
    let many = keys_to(&group, &all[0], vec![cid; 101]);
    assert_eq!(all[0].device.submit(many).await.unwrap_err().code, "bad_request");
    assert!(all[2].device.settle().await.iter().all(|event| !matches!(event, Event::Message(_))));
}

#[tokio::test]
async fn typing_reaches_who_is_there_and_is_kept_nowhere() {
    let home = Home::start().await;
    let mut all = people(&home, &["ada", "ben", "cid"]).await;
    let group = group_of(&home, &mut all).await;
    all[2].device.leave().await;
    let typing = Submission { class: Class::Ephemeral, ..to_group(&group, &all[0], "types") };
    all[0].device.send(ClientFrame::Message(Box::new(typing))).await;
    let got = all[1].device.message().await;
    assert_eq!((text(&got), got.class, got.place), ("types", Class::Ephemeral, None));
    assert!(all[2].device.catch_up(&home).await.is_empty());
    let mut stranger = Signer::connected(&home, "eve").await;
    let typing = Submission { class: Class::Ephemeral, ..to_group(&group, &stranger, "types") };
    assert_eq!(stranger.device.submit(typing).await.unwrap_err().code, "not_found");
}

#[tokio::test]
async fn a_deleted_member_keeps_nobody_from_hearing() {
    let home = Home::start().await;
    let mut all = people(&home, &["ada", "ben", "cid"]).await;
    let mut group = group_of(&home, &mut all).await;
    let gone = json!({"current_password": PASSWORD});
    assert_eq!(all[2].post(&home, "/v1/account/delete", gone).await.status, 204);
    let (ada, rest) = all.split_first_mut().unwrap();
    ada.device.submit(to_group(&group, ada, "who is there?")).await.unwrap();
    assert_eq!(text(&rest[0].device.message().await), "who is there?");
    let cid = rest[1].id();
    ada.act(&home, &mut group, Change::Remove(cid)).await;
    ada.device.submit(to_group(&group, ada, "two")).await.unwrap();
    assert_eq!(text(&rest[0].device.message().await), "two");
    let shown = ada.get(&home, &format!("/v1/groups/{}", group.group())).await.body;
    assert_eq!(shown["members"].as_array().unwrap().len(), 2);
}
