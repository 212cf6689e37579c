//! An invite link of a member region, shown in regions that know nothing of it.

use posthouse_crypto::e2ee::signed::group_epoch::{Change, GroupRole};
use serde_json::json;

use crate::{
    groups::{act, caught_up, created, join, signer},
    person::Pair,
};

/// Ben of south is an admin of north's group, and makes a link; Cat of west, where nobody is in the
/// group, and Eve of north, which has it and not the link, ask by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_a_member_region_is_used_from_any_region() {
    let pair = Pair::start_with_west();
    let mut ada = signer(&pair.north, "ada", 1).await;
    let mut ben = signer(&pair.south, "ben", 2).await;
    let mut cat = signer(pair.west.as_ref().unwrap(), "cat", 3).await;
    let eve = signer(&pair.north, "eve", 4).await;
    let mut group = created(&mut ada).await;
    join(&mut ada, &mut ben, &mut group).await;
    let promote = Change::SetRole { account: ben.account().to_string(), role: GroupRole::Admin };
    act(&mut ada, &mut group, promote).await;
    caught_up(&ben, &group).await;
    let at = |what: &str| format!("/v1/groups/{}/{what}", group.group());
    let (links, join_at, requests) = (at("links"), at("join"), at("requests"));
    let link = ben.call("POST", &links, Some(json!({ "expires_in": 600 }))).await;
    assert_eq!(link.status, 201, "{link:?}");
    let code = link.body["code"].as_str().unwrap().to_owned();
    let digits = code.strip_suffix("@south.test").unwrap();
    // Nobody learns anything by a guess, nor by the code at another region than its own.
    let elsewhere = format!("{digits}@north.test");
    for wrong in [format!("{}@south.test", "0".repeat(32)), digits.to_owned(), elsewhere] {
        for person in [&cat, &eve] {
            let body = Some(json!({ "code": wrong }));
            let answer = person.call("POST", &join_at, body).await;
            assert_eq!((answer.status, answer.code()), (404, "not_found"), "{wrong}");
        }
    }
    for person in [&cat, &eve, &cat] {
        let answer = person.call("POST", &join_at, Some(json!({ "code": code }))).await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    let waiting = ben.call("GET", &requests, None).await;
    let who: Vec<_> = waiting.body["requests"].as_array().unwrap().iter().collect();
    assert_eq!(who.len(), 2, "{waiting:?}");
    assert_eq!(
        (&who[0]["account_id"], &who[1]["account_id"]),
        (&json!(cat.account()), &json!(eve.account()))
    );
    // Ben, who sees it, invites; she joins through the region in the group's name.
    join(&mut ben, &mut cat, &mut group).await;
    for one in [&ada, &ben] {
        caught_up(one, &group).await;
    }
    let waiting = ben.call("GET", &requests, None).await.body;
    assert_eq!(waiting["requests"].as_array().unwrap().len(), 1, "{waiting}");
}
