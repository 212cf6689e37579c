//! Leaving a group, and declining an invitation, while the region that sequences it is away.

use posthouse_crypto::e2ee::signed::group_epoch::{Change, GroupState};
use serde_json::{Value, json};

use crate::{
    groups::{act, caught_up, created, heard, hears, join, member, next, say, signer, submit},
    person::{Pair, Person, until},
};

/// What the person's list says of its only group: what they are in it, and whether they leave.
async fn listed(person: &Person) -> Option<(String, bool)> {
    let list = person.call("GET", "/v1/groups", None).await.body;
    let one = list["groups"].as_array().unwrap().first()?;
    let leaves = one.get("leaving").is_some_and(|leaving| leaving == &json!(true));
    Some((one["role"].as_str().unwrap().to_owned(), leaves))
}

/// The newest thing that the person was told of a group, and at which epoch.
async fn told(person: &Person) -> Option<(String, u64)> {
    let inbox = person.inbox().await;
    let mut events = inbox["events"].as_array().unwrap().iter();
    let group = events.rfind(|one| one["type"] == "group")?;
    Some((group["event"].as_str().unwrap().to_owned(), group["epoch"].as_u64().unwrap()))
}

/// In how many conversations the person is.
async fn talks(person: &Person) -> usize {
    let list = person.call("GET", "/v1/conversations", None).await.body;
    list["conversations"].as_array().unwrap().len()
}

/// A change that waits.
async fn queue(by: &mut Person, group: &GroupState, change: Change) -> Value {
    let epoch = next(by, group, change);
    let answer = submit(by, &epoch).await;
    assert_eq!(
        (answer.status, answer.body["status"].as_str()),
        (200, Some("queued")),
        "{answer:?}"
    );
    // The same again is answered in the same way.
    let again = submit(by, &epoch).await;
    assert_eq!((again.status, &again.body), (200, &answer.body));
    answer.body
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_the_owning_region_is_away_is_out_at_once() {
    let mut pair = Pair::start();
    let mut ada = signer(&pair.north, "ada", 1).await;
    let mut ben = signer(&pair.south, "ben", 2).await;
    let mut bob = signer(&pair.south, "bob", 3).await;
    let mut cat = signer(&pair.south, "cat", 4).await;
    let mut group = created(&mut ada).await;
    for one in [&mut ben, &mut bob, &mut cat] {
        join(&mut ada, one, &mut group).await;
    }
    caught_up(&ben, &group).await;
    assert_eq!(say(&ben, &group, 1, "bob hears this").await.status, 200);
    hears(&bob, "bob hears this").await;
    hears(&ada, "bob hears this").await;
    assert_eq!(talks(&bob).await, 1);
    pair.north.kill();
    queue(&mut bob, &group, Change::Leave).await;
    assert_eq!(told(&bob).await, Some(("gone".to_owned(), group.epoch())));
    assert_eq!((listed(&bob).await, talks(&bob).await), (Some(("member".to_owned(), true)), 0));
    assert_eq!(say(&bob, &group, 2, "am I out?").await.code(), "not_found");
    assert_eq!(say(&ben, &group, 3, "without bob").await.status, 200);
    hears(&cat, "without bob").await;
    // It holds over a restart, and he changes nothing any more.
    pair.south.kill();
    pair.restart_south();
    assert_eq!(say(&ben, &group, 4, "still without bob").await.status, 200);
    hears(&cat, "still without bob").await;
    let rename = next(&mut bob, &group, Change::Rename(b"his".to_vec()));
    assert_eq!(submit(&bob, &rename).await.code(), "forbidden");
    let shown = bob.call("GET", &format!("/v1/groups/{}", group.group()), None).await;
    assert_eq!(shown.status, 200, "he reads what he signs anew against: {shown:?}");

    pair.restart_north();
    // North does not know it yet, or does already: whatever it sends is not for him.
    let mut number = 10;
    until("north has heard of it", async || {
        number += 1;
        if say(&ada, &group, number, "from north").await.status == 200 {
            return false;
        }
        let path = format!("/v1/groups/{}", group.group());
        let shown = ada.call("GET", &path, None).await.body;
        shown["epoch"].as_u64() == Some(group.epoch() + 1)
    })
    .await;
    hears(&ada, "still without bob").await;
    until("bob has nothing to do with it any more", async || listed(&bob).await.is_none()).await;
    assert_eq!(heard(&bob).await, ["bob hears this"]);
    assert_eq!(told(&bob).await, Some(("gone".to_owned(), group.epoch() + 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_signs_anew_if_the_group_has_moved_on() {
    let mut pair = Pair::start();
    let mut ada = signer(&pair.north, "ada", 1).await;
    let mut bob = signer(&pair.south, "bob", 2).await;
    let mut group = created(&mut ada).await;
    join(&mut ada, &mut bob, &mut group).await;
    caught_up(&bob, &group).await;
    pair.north.kill();
    queue(&mut bob, &group, Change::Leave).await;
    pair.south.kill();
    pair.restart_north();
    act(&mut ada, &mut group, Change::Rename(b"meanwhile".to_vec())).await;
    pair.restart_south();
    // He is told that the chain has him still, and is out nevertheless.
    let moved = Some(("epoch".to_owned(), group.epoch()));
    until("he is told", async || told(&bob).await == moved).await;
    caught_up(&bob, &group).await;
    assert_eq!(listed(&bob).await, Some(("member".to_owned(), true)));
    assert_eq!(say(&ada, &group, 1, "to nobody").await.status, 200);
    assert_eq!(say(&bob, &group, 2, "no").await.code(), "not_found");
    act(&mut bob, &mut group, Change::Leave).await;
    caught_up(&ada, &group).await;
    assert_eq!(listed(&bob).await, None);
    // Invited once more he is like everybody else.
    join(&mut ada, &mut bob, &mut group).await;
    caught_up(&bob, &group).await;
    assert_eq!(listed(&bob).await, Some(("member".to_owned(), false)));
    assert_eq!(say(&ada, &group, 3, "welcome back").await.status, 200);
    hears(&bob, "welcome back").await;
    assert_eq!(heard(&bob).await, ["welcome back"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_from_another_region_is_declined() {
    let mut pair = Pair::start();
    let mut ada = signer(&pair.north, "ada", 1).await;
    let mut ben = signer(&pair.south, "ben", 2).await;
    let mut group = created(&mut ada).await;
    act(&mut ada, &mut group, Change::Invite(member(&ben))).await;
    caught_up(&ben, &group).await;
    act(&mut ben, &mut group, Change::Leave).await;
    caught_up(&ada, &group).await;
    assert_eq!(told(&ada).await, Some(("epoch".to_owned(), group.epoch())));
    assert_eq!((listed(&ben).await, talks(&ben).await), (None, 0));
    // While the owning region is away it is gone at once, too.
    act(&mut ada, &mut group, Change::Invite(member(&ben))).await;
    caught_up(&ben, &group).await;
    pair.north.kill();
    queue(&mut ben, &group, Change::Leave).await;
    assert_eq!(listed(&ben).await, Some(("invited".to_owned(), true)));
    let accepts = next(&mut ben, &group, Change::Accept);
    assert_eq!(submit(&ben, &accepts).await.code(), "forbidden");
    // If the group has moved on meanwhile, he is told, and signs anew.
    pair.south.kill();
    pair.restart_north();
    act(&mut ada, &mut group, Change::Rename(b"meanwhile".to_vec())).await;
    pair.restart_south();
    let moved = Some(("epoch".to_owned(), group.epoch()));
    until("he is told", async || told(&ben).await == moved).await;
    assert_eq!(listed(&ben).await, Some(("invited".to_owned(), true)));
    act(&mut ben, &mut group, Change::Leave).await;
    until("the chain says so", async || listed(&ben).await.is_none()).await;
    let shown = ada.call("GET", &format!("/v1/groups/{}", group.group()), None).await.body;
    assert_eq!(shown["members"].as_array().unwrap().len(), 1, "{shown}");
}
