//! A group of people of two regions: one chain, talk both ways, races, and a region that is away.

use posthouse_client::Event;
use posthouse_crypto::e2ee::{
    signed::group_epoch::{
        Change, GroupEpoch, GroupRole, GroupState, Person as Member, SignedGroupEpoch,
    },
    time::UnixMillis,
};
use posthouse_protocol::{
    content::{Content, Payload},
    frame::{Class, ClientFrame, Submission, TallyFrame},
    id::{Address, GroupId, MessageId},
    rest::groups::{EpochDocument, Epochs},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    http::Answer,
    person::{PATIENCE, Pair, Person, until},
    presence::connect,
    server::Server,
};

const ISSUED: UnixMillis = UnixMillis(1_700_000_000_000);

/// Somebody with an identity key of their own.
pub(crate) async fn signer(server: &Server, handle: &str, seed: u64) -> Person {
    let person = Person::register(server, handle, seed).await;
    let identity = json!({ "identity_key": person.keyring.identity_key() });
    assert_eq!(person.call("PUT", "/v1/keys/identity", Some(identity)).await.status, 204);
    person
}

pub(crate) fn member(of: &Person) -> Member {
    Member { account: of.account().to_string(), identity: of.keyring.identity.public }
}

fn sign(by: &mut Person, epoch: &GroupEpoch) -> SignedGroupEpoch {
    epoch.sign(&by.keyring.identity.private, &mut by.keyring.rng)
}

pub(crate) fn next(by: &mut Person, group: &GroupState, change: Change) -> SignedGroupEpoch {
    let epoch = group.propose(&by.account().to_string(), change, ISSUED);
    sign(by, &epoch)
}

pub(crate) async fn submit(by: &Person, epoch: &SignedGroupEpoch) -> Answer {
    let group = epoch.unverified().unwrap().group;
    let body = json!({ "epoch": EpochDocument(epoch.clone()) });
    by.call("POST", &format!("/v1/groups/{group}/epochs"), Some(body)).await
}

/// A change that must be taken.
pub(crate) async fn act(by: &mut Person, group: &mut GroupState, change: Change) {
    let epoch = next(by, group, change);
    let answer = submit(by, &epoch).await;
    assert_eq!((answer.status, answer.body["status"].as_str()), (200, Some("taken")), "{answer:?}");
    *group = group.apply(&epoch).unwrap();
}

pub(crate) async fn created(owner: &mut Person) -> GroupState {
    let region = owner.account().server.clone();
    let group = GroupId { uuid: Uuid::from_u128(0x9111), server: region.clone() };
    let create = Change::Create {
        owner: member(owner),
        region: region.to_string(),
        title: b"sealed".to_vec(),
    };
    let epoch = GroupEpoch {
        group: group.to_string(),
        epoch: 1,
        previous: None,
        actor: Some(owner.account().to_string()),
        change: create,
        issued: ISSUED,
    };
    let epoch = sign(owner, &epoch);
    let body = json!({ "epoch": EpochDocument(epoch.clone()) });
    let answer = owner.call("POST", "/v1/groups", Some(body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    GroupState::create(&group.to_string(), &epoch).unwrap()
}

/// Whether the person's region has the chain up to the state, and says what it says.
pub(crate) async fn knows(person: &Person, group: &GroupState) -> bool {
    let path = format!("/v1/groups/{}/epochs", group.group());
    let answer = person.call("GET", &path, None).await;
    if answer.status != 200 {
        return false;
    }
    let page: Epochs = serde_json::from_value(answer.body).unwrap();
    let mut state: Option<GroupState> = None;
    for EpochDocument(epoch) in &page.epochs {
        state = Some(match &state {
            None => GroupState::create(group.group(), epoch).unwrap(),
            Some(state) => state.apply(epoch).unwrap(),
        });
    }
    state.as_ref() == Some(group)
}

/// Waits until the person's region has caught up.
pub(crate) async fn caught_up(person: &Person, group: &GroupState) {
    until("the chain is there", async || knows(person, group).await).await;
}

/// Invited by `by`, and accepted in the own region.
pub(crate) async fn join(by: &mut Person, who: &mut Person, group: &mut GroupState) {
    act(by, group, Change::Invite(member(who))).await;
    caught_up(who, group).await;
    act(who, group, Change::Accept).await;
}

pub(crate) async fn say(by: &Person, group: &GroupState, id: u128, words: &str) -> Answer {
    let content = json!({ "type": "encrypted", "encrypted": true, "body": words });
    let body = json!({
        "id": Uuid::from_u128(id), "to": group.group(), "epoch": group.epoch(), "content": content,
    });
    by.call("POST", "/v1/messages", Some(body)).await
}

/// What the person's inbox has of the group.
pub(crate) async fn heard(person: &Person) -> Vec<String> {
    let inbox = person.inbox().await;
    let messages = inbox["messages"].as_array().unwrap().iter();
    messages.map(|one| one["content"]["body"].as_str().unwrap().to_owned()).collect()
}

pub(crate) async fn hears(person: &Person, words: &str) {
    until(words, async || heard(person).await.iter().any(|one| one == words)).await;
}

async fn acknowledge(person: &Person) {
    let cursor = person.inbox().await["next_cursor"].clone();
    let ack = json!({ "through": cursor, "status": "delivered" });
    assert_eq!(person.call("POST", "/v1/messages/ack", Some(ack)).await.status, 204);
}

/// How many have got the message with this number, as far as its sender was told.
async fn counted(sender: &Person, number: u64) -> Option<u64> {
    let inbox = sender.inbox().await;
    let mut events = inbox["events"].as_array().unwrap().iter();
    let tally = events.find(|one| one["type"] == "group_status" && one["status"] == "delivered")?;
    let tally: TallyFrame = serde_json::from_value(tally.clone()).unwrap();
    tally.count(number)
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_two_regions_share_a_chain_and_talk() {
    let pair = Pair::start();
    let mut ada = signer(&pair.north, "ada", 1).await;
    let mut ann = signer(&pair.north, "ann", 2).await;
    let mut ben = signer(&pair.south, "ben", 3).await;
    let mut bob = signer(&pair.south, "bob", 4).await;
    let mut group = created(&mut ada).await;
    join(&mut ada, &mut ann, &mut group).await;
    join(&mut ada, &mut ben, &mut group).await;
    join(&mut ada, &mut bob, &mut group).await;
    for one in [&ada, &ann, &ben, &bob] {
        caught_up(one, &group).await;
    }
    let said = say(&ada, &group, 1, "hello south").await;
    assert_eq!(said.status, 200, "{said:?}");
    for one in [&ann, &ben, &bob] {
        hears(one, "hello south").await;
    }
    let answered = say(&ben, &group, 2, "hello north").await;
    assert_eq!(answered.status, 200, "{answered:?}");
    for one in [&ada, &ann, &bob] {
        hears(one, "hello north").await;
    }
    assert!(answered.body["stamp"].as_str() > said.body["stamp"].as_str());
    // Both are told how many have got it, wherever they are.
    for one in [&ada, &ann, &ben, &bob] {
        acknowledge(one).await;
    }
    until("all three have got hers", async || counted(&ada, 1).await == Some(3)).await;
    until("all three have got his", async || counted(&ben, 1).await == Some(3)).await;
    assert_eq!(heard(&bob).await, ["hello south", "hello north"]);

    // A change by an admin of the other region, and one who is removed hears no more.
    let promote = Change::SetRole { account: ben.account().to_string(), role: GroupRole::Admin };
    act(&mut ada, &mut group, promote).await;
    caught_up(&ben, &group).await;
    act(&mut ben, &mut group, Change::Remove(bob.account().to_string())).await;
    for one in [&ada, &ann, &ben] {
        caught_up(one, &group).await;
    }
    assert_eq!(say(&bob, &group, 3, "still here").await.code(), "not_found");
    assert_eq!(say(&ada, &group, 4, "without bob").await.status, 200);
    hears(&ben, "without bob").await;
    assert!(!heard(&bob).await.contains(&"without bob".to_owned()));
    let listed = bob.call("GET", "/v1/groups", None).await.body;
    assert_eq!(listed["groups"], json!([]));
    // Regions are refused as their own people would be.
    let back = next(&mut bob, &group, Change::Rename(b"mine".to_vec()));
    assert_eq!(submit(&bob, &back).await.code(), "forbidden");
    let forged = group.propose(&ada.account().to_string(), Change::Leave, ISSUED);
    let forged = sign(&mut ben, &forged);
    assert_eq!(submit(&ben, &forged).await.code(), "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_admins_of_two_regions_who_race_get_one_order() {
    let pair = Pair::start();
    let mut ada = signer(&pair.north, "ada", 1).await;
    let mut ben = signer(&pair.south, "ben", 2).await;
    let mut group = created(&mut ada).await;
    join(&mut ada, &mut ben, &mut group).await;
    let promote = Change::SetRole { account: ben.account().to_string(), role: GroupRole::Admin };
    act(&mut ada, &mut group, promote).await;
    for round in 0..10u8 {
        caught_up(&ben, &group).await;
        let hers = next(&mut ada, &group, Change::Rename(vec![1, round]));
        let his = next(&mut ben, &group, Change::Rename(vec![2, round]));
        let (one, other) = tokio::join!(submit(&ada, &hers), submit(&ben, &his));
        let won = if one.status == 200 { (&hers, &one, &other) } else { (&his, &other, &one) };
        let (epoch, taken, lost) = won;
        assert_eq!(taken.status, 200, "{one:?} {other:?}");
        group = group.apply(epoch).unwrap();
        assert_eq!((lost.status, lost.code()), (409, "stale_epoch"));
        assert_eq!(lost.body["head"]["epoch"], group.epoch());
    }
    caught_up(&ada, &group).await;
    caught_up(&ben, &group).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_owning_region_is_away_talk_goes_on_and_changes_wait() {
    let mut pair = Pair::start();
    let mut ada = signer(&pair.north, "ada", 1).await;
    let mut ben = signer(&pair.south, "ben", 2).await;
    let mut bob = signer(&pair.south, "bob", 3).await;
    let mut group = created(&mut ada).await;
    join(&mut ada, &mut ben, &mut group).await;
    join(&mut ada, &mut bob, &mut group).await;
    let promote = Change::SetRole { account: ben.account().to_string(), role: GroupRole::Admin };
    act(&mut ada, &mut group, promote).await;
    caught_up(&ben, &group).await;
    pair.north.kill();
    assert_eq!(say(&ben, &group, 1, "is north away?").await.status, 200);
    hears(&bob, "is north away?").await;
    let rename = next(&mut ben, &group, Change::Rename(b"waits".to_vec()));
    let answer = submit(&ben, &rename).await;
    assert_eq!(
        (answer.status, answer.body["status"].as_str()),
        (200, Some("queued")),
        "{answer:?}"
    );
    assert_eq!(answer.body["epoch"], group.epoch());
    // It waits durably.
    pair.south.kill();
    pair.restart_south();
    pair.restart_north();
    group = group.apply(&rename).unwrap();
    for one in [&ada, &ben, &bob] {
        caught_up(one, &group).await;
    }
    hears(&ada, "is north away?").await;
    assert_eq!(say(&ada, &group, 2, "here again").await.status, 200);
    hears(&bob, "here again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_was_away_is_told_what_it_missed() {
    let mut pair = Pair::start();
    let mut ada = signer(&pair.north, "ada", 1).await;
    let mut ben = signer(&pair.south, "ben", 2).await;
    let mut group = created(&mut ada).await;
    join(&mut ada, &mut ben, &mut group).await;
    let path = format!("/v1/groups/{}", group.group());
    let behind = async |of: &Person| {
        let shown = of.call("GET", &path, None).await.body;
        shown.get("unacknowledged").cloned()
    };
    until("south has what there is", async || behind(&ada).await == Some(json!([]))).await;
    assert_eq!(behind(&ben).await, None, "the owning region knows");
    let first = group.epoch() + 1;
    pair.south.kill();
    for n in 0..5u8 {
        act(&mut ada, &mut group, Change::Rename(vec![n])).await;
        assert_eq!(say(&ada, &group, u128::from(n) + 1, &format!("word {n}")).await.status, 200);
    }
    let lacks = json!([{ "region": "south.test", "from": first }]);
    assert_eq!(behind(&ada).await, Some(lacks));
    // The message names an epoch that south has not: it waits for it, and neither is lost.
    pair.restart_south();
    caught_up(&ben, &group).await;
    until("south has said so", async || behind(&ada).await == Some(json!([]))).await;
    hears(&ben, "word 4").await;
    let all: Vec<String> = (0..5).map(|n| format!("word {n}")).collect();
    assert_eq!(heard(&ben).await, all);
    let events = ben.inbox().await["events"].clone();
    let about: Vec<&Value> =
        events.as_array().unwrap().iter().filter(|one| one["type"] == "group").collect();
    assert_eq!(about.len(), 1, "{about:?}");
    assert_eq!(about[0]["epoch"], group.epoch());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deputy_takes_over_from_a_region_that_is_gone() {
    let mut pair = Pair::start();
    let mut ada = signer(&pair.north, "ada", 1).await;
    let mut ben = signer(&pair.south, "ben", 2).await;
    let mut bob = signer(&pair.south, "bob", 3).await;
    let mut group = created(&mut ada).await;
    join(&mut ada, &mut ben, &mut group).await;
    let promote = Change::SetRole { account: ben.account().to_string(), role: GroupRole::Owner };
    act(&mut ada, &mut group, promote).await;
    caught_up(&ben, &group).await;
    pair.north.kill();
    // Not without the owner's grant, which has to be in the chain before.
    assert!(!pair.order_south(&["group", "take-over", group.group()]));
    pair.restart_north();
    act(&mut ada, &mut group, Change::SetDeputies(vec!["south.test".to_owned()])).await;
    caught_up(&ben, &group).await;
    pair.north.kill();
    assert!(pair.order_south(&["group", "take-over", group.group()]));
    assert!(!pair.order_south(&["group", "take-over", group.group()]), "it has it");
    let path = format!("/v1/groups/{}", group.group());
    let shown = ben.call("GET", &path, None).await.body;
    assert_eq!(
        (&shown["region"], &shown["epoch"]),
        (&json!("south.test"), &json!(group.epoch() + 1))
    );
    let taken = ben.call("GET", &format!("{path}/epochs?from={}", group.epoch() + 1), None).await;
    let page: Epochs = serde_json::from_value(taken.body).unwrap();
    group = group.apply(&page.epochs[0].0).unwrap();
    // Changes go on without north, which follows when it is back.
    join(&mut ben, &mut bob, &mut group).await;
    pair.restart_north();
    caught_up(&ada, &group).await;
    act(&mut ada, &mut group, Change::Rename(b"by south's order".to_vec())).await;
    caught_up(&bob, &group).await;
}

/// Typing, for instance: kept nowhere, for members who are connected.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_kept_reaches_members_of_other_regions_who_are_connected() {
    let pair = Pair::start();
    let mut ada = signer(&pair.north, "ada", 1).await;
    let mut ben = signer(&pair.south, "ben", 2).await;
    let eve = signer(&pair.south, "eve", 3).await;
    let mut group = created(&mut ada).await;
    join(&mut ada, &mut ben, &mut group).await;
    caught_up(&ada, &group).await;
    assert_eq!(say(&ada, &group, 1, "kept").await.status, 200);
    hears(&ben, "kept").await;
    let mut speaks = connect(&ada, &pair.north).await;
    let mut listens = connect(&ben, &pair.south).await;
    let mut stranger = connect(&eve, &pair.south).await;
    let types = |number: u128| {
        let content = Content {
            kind: "encrypted".into(),
            encrypted: true,
            payload: Payload::Body("types".into()),
        };
        ClientFrame::Message(Box::new(Submission {
            id: MessageId(Uuid::from_u128(number)),
            to: Address::Group(GroupId::parse(group.group()).unwrap()),
            after: None,
            prev: None,
            class: Class::Ephemeral,
            collapse: Some("typing".to_owned()),
            expires: None,
            device_list_version: None,
            epoch: None,
            supplement: false,
            timestamp: None,
            content,
        }))
    };
    let heard_live = async {
        let mut number = 100;
        loop {
            // What is not kept may be lost: whoever goes on typing says so again.
            number += 1;
            speaks.send(&types(number)).await.unwrap();
            let next = async {
                loop {
                    match listens.next().await.unwrap() {
                        Event::Message(message) if message.class == Class::Ephemeral => {
                            return *message;
                        }
                        _ => {}
                    }
                }
            };
            if let Ok(message) = timeout(Duration::from_secs(2), next).await {
                return message;
            }
        }
    };
    let message = timeout(PATIENCE, heard_live).await.expect("typing is heard");
    assert_eq!((&message.from, message.place), (ada.account(), None));
    assert_eq!(message.content.payload, Payload::Body("types".into()));
    assert_eq!(heard(&ben).await, ["kept"], "nothing is kept of it");
    // Who is no member neither hears nor is heard.
    stranger.send(&types(900)).await.unwrap();
    let refused = async {
        loop {
            match stranger.next().await.unwrap() {
                Event::Refused(refusal) => return refusal,
                Event::Message(message) => panic!("{message:?}"),
                _ => {}
            }
        }
    };
    let refused = timeout(PATIENCE, refused).await.expect("an answer comes");
    assert_eq!(refused.code, "not_found");
}

/// Whoever hands out keys learns of a device abroad before anything is sent.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_handed_to_the_devices_that_members_abroad_have() {
    let pair = Pair::start();
    let mut ada = signer(&pair.north, "ada", 1).await;
    let mut ben = signer(&pair.south, "ben", 2).await;
    ben.sign_list(1).await;
    let mut group = created(&mut ada).await;
    join(&mut ada, &mut ben, &mut group).await;
    caught_up(&ada, &group).await;
    let path = format!("/v1/users/{}/devices", ben.account());
    assert_eq!(ada.call("GET", &path, None).await.status, 200);
    let hand = async |number: u128, devices: &[(u64, u32)]| {
        let one = |(device, registration): &(u64, u32)| {
            json!({ "user": ben.account(),
            "device": device, "registration_id": registration, "type": 1, "data": "AAAA" })
        };
        let ciphertexts: Vec<Value> = devices.iter().map(one).collect();
        let content = json!({ "type": "encrypted", "encrypted": true, "ciphertexts": ciphertexts });
        let body = json!({ "id": Uuid::from_u128(number), "to": group.group(), "class": "key",
            "epoch": group.epoch(), "content": content });
        ada.call("POST", "/v1/messages", Some(body)).await
    };
    let one = ben.devices().await;
    let wrong = hand(1, &[(one[0].0, one[0].1 ^ 1)]).await;
    assert_eq!((wrong.status, wrong.code()), (409, "stale_devices"));
    assert_eq!(wrong.body["stale_devices"]["user"], json!(ben.account()));
    assert_eq!(wrong.body["stale_devices"]["stale"], json!([one[0].0]));
    let extra = hand(2, &[one[0], (77, 5)]).await;
    assert_eq!(extra.body["stale_devices"]["extra"], json!([77]));
    let taken = hand(3, &one).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    let keys = async || ben.inbox().await["messages"].as_array().unwrap().len();
    until("the key comes", async || keys().await == 1).await;
}

/// The code of a link is shown in another region: its owner asks, is invited, and joins.
#[tokio::test(flavor = "multi_thread")]
async fn an_invite_link_is_used_from_the_other_region() {
    let pair = Pair::start();
    let mut ada = signer(&pair.north, "ada", 1).await;
    let mut ben = signer(&pair.south, "ben", 2).await;
    let mut group = created(&mut ada).await;
    let at = |what: &str| format!("/v1/groups/{}/{what}", group.group());
    let (links, join_at, requests) = (at("links"), at("join"), at("requests"));
    let link = ada.call("POST", &links, Some(json!({ "expires_in": 600 }))).await;
    assert_eq!(link.status, 201, "{link:?}");
    let wrong = ben.call("POST", &join_at, Some(json!({ "code": "0".repeat(32) }))).await;
    assert_eq!((wrong.status, wrong.code()), (404, "not_found"));
    let nowhere = format!("/v1/groups/g.{}@north.test/join", Uuid::from_u128(0xdead));
    let code = json!({ "code": link.body["code"] });
    let nothing = ben.call("POST", &nowhere, Some(code.clone())).await;
    assert_eq!(nothing.body["detail"], wrong.body["detail"], "a guess learns nothing");
    for _ in 0..2 {
        let asked = ben.call("POST", &join_at, Some(code.clone())).await;
        assert_eq!(asked.status, 204, "{asked:?}");
    }
    let waiting = ada.call("GET", &requests, None).await;
    assert_eq!(waiting.body["requests"][0]["account_id"], json!(ben.account()));
    assert_eq!(waiting.body["requests"].as_array().unwrap().len(), 1);
    let shown = ben.call("GET", &format!("/v1/groups/{}", group.group()), None).await;
    assert_eq!(shown.code(), "not_found", "asking shows nothing");
    join(&mut ada, &mut ben, &mut group).await;
    caught_up(&ada, &group).await;
    let waiting = ada.call("GET", &requests, None).await;
    assert_eq!(waiting.body["requests"], json!([]), "who was invited asks no more");
    let again = ben.call("POST", &join_at, Some(code)).await;
    assert_eq!((again.status, again.code()), (409, "conflict"));
}
