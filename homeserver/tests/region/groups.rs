//! Groups over real sockets: changes by signed epochs, in one order; who reads and who is told.

use posthouse_client::Event;
use posthouse_crypto::e2ee::{
    signed::group_epoch::{Change, GroupEpoch, GroupRole, Person},
    time::UnixMillis,
};
use posthouse_protocol::id::AccountId;
use serde_json::{Value, json};

use super::{
    calls::call,
    device::new_id,
    home::{Home, server},
    keyring::Keyring,
    signer::{Signer, body, created, first, joined},
};

fn role(of: &Signer, role: GroupRole) -> Change {
    Change::SetRole { account: of.id(), role }
}

fn roles(list: &Value) -> Vec<&str> {
    list["groups"].as_array().unwrap().iter().map(|one| one["role"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_group_lives_by_signed_epochs() {
    let home = Home::start().await;
    let mut olga = Signer::connected(&home, "olga").await;
    let mut adam = Signer::connected(&home, "adam").await;
    let mut mia = Signer::connected(&home, "mia").await;
    let mut group = created(&home, &mut olga).await;
    let name = group.group().to_owned();
    assert_eq!(olga.told().await, ("epoch".to_owned(), 1));
    joined(&home, &mut group, (&mut olga, &mut adam)).await;
    assert_eq!(adam.told().await, ("invited".to_owned(), 2));
    assert_eq!(adam.told().await, ("epoch".to_owned(), 3));
    olga.act(&home, &mut group, role(&adam, GroupRole::Admin)).await;
    joined(&home, &mut group, (&mut adam, &mut mia)).await;
    adam.act(&home, &mut group, Change::Rename(b"other".to_vec())).await;
    let deputies = Change::SetDeputies(vec!["us.example".to_owned()]);
    olga.act(&home, &mut group, deputies).await;

    // All of them verify the same chain, and the server reads it as they do.
    for one in [&olga, &adam, &mia] {
        assert_eq!(one.verified(&home, &name).await, group);
    }
    let shown = mia.get(&home, &format!("/v1/groups/{name}")).await.body;
    assert_eq!(shown["epoch"], 8);
    assert_eq!(
        (&shown["region"], &shown["deputies"]),
        (&json!("eu.example"), &json!(["us.example"]))
    );
    let mut found: Vec<(String, &str)> = shown["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["account_id"].as_str().unwrap().to_owned(), one["role"].as_str().unwrap()))
        .collect();
    found.sort();
    let mut expected = vec![(olga.id(), "owner"), (adam.id(), "admin"), (mia.id(), "member")];
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(roles(&mia.get(&home, "/v1/groups").await.body), ["member"]);

    // What clients would not believe is refused.
    mia.refused(&home, &group, Change::Rename(b"mine".to_vec()), "forbidden").await;
    adam.refused(&home, &group, Change::Remove(olga.id()), "forbidden").await;
    let forged = group.propose(&adam.id(), Change::Leave, UnixMillis(1));
    let forged = mia.sign(&forged);
    assert_eq!(adam.submit(&home, &forged).await.code(), "bad_signature");
    assert_eq!(mia.submit(&home, &forged).await.code(), "forbidden", "it is not her act");
    let take_over = Change::TakeOver("us.example".to_owned());
    let unsigned = GroupEpoch { actor: None, ..group.propose("", take_over, UnixMillis(1)) };
    assert_eq!(olga.submit(&home, &unsigned.unsigned()).await.code(), "forbidden");
    assert_eq!(olga.verified(&home, &name).await, group, "nothing was written");

    // The last owner's leaving passes the role on: to the oldest admin.
    olga.act(&home, &mut group, Change::Leave).await;
    adam.act(&home, &mut group, role(&mia, GroupRole::Admin)).await;
    assert_eq!(mia.verified(&home, &name).await, group);
    // Who left reads up to there and no further.
    let up_to_there = olga.verified(&home, &name).await;
    assert_eq!(up_to_there.epoch(), group.epoch() - 1);
    assert_eq!(olga.get(&home, &format!("/v1/groups/{name}")).await.code(), "not_found");
    assert_eq!(olga.get(&home, "/v1/groups").await.body["groups"], json!([]));
    let back = olga.next(&group, Change::Rename(b"x".to_vec()));
    assert_eq!(olga.submit(&home, &back).await.code(), "forbidden");
    let gone = olga.device.wait(|event| match event {
        Event::Group(frame) if frame.head.epoch == 9 => Some(frame),
        _ => None,
    });
    assert_eq!(serde_json::to_value(gone.await.event).unwrap(), "gone");
}

#[tokio::test]
async fn two_admins_who_race_get_one_order() {
    let mut home = Home::start().await;
    let mut olga = Signer::new(&home, "olga").await;
    let mut adam = Signer::new(&home, "adam").await;
    let mut group = created(&home, &mut olga).await;
    joined(&home, &mut group, (&mut olga, &mut adam)).await;
    olga.act(&home, &mut group, role(&adam, GroupRole::Admin)).await;
    for round in 0..10u8 {
        let hers = olga.next(&group, Change::Rename(vec![1, round]));
        let his = adam.next(&group, Change::Rename(vec![2, round]));
        let (one, other) = tokio::join!(olga.submit(&home, &hers), adam.submit(&home, &his));
        let ((won, taken), lost) =
            if one.status == 200 { ((hers, one), other) } else { ((his, other), one) };
        assert_eq!(taken.status, 200, "{taken:?} {lost:?}");
        group = group.apply(&won).unwrap();
        // Who was late is told what to follow.
        assert_eq!((lost.status, lost.code()), (409, "stale_epoch"));
        assert_eq!(lost.body["head"]["epoch"], group.epoch());
        assert_eq!(lost.body["head"]["hash"], taken.body["hash"]);
        // Who lost the answer asks again, and nothing happens twice.
        let by = won.unverified().unwrap().actor.unwrap();
        let winner = if by == olga.id() { &olga } else { &adam };
        let again = winner.submit(&home, &won).await;
        assert_eq!((again.status, &again.body["epoch"]), (200, &json!(group.epoch())));
    }
    home.stop().await;
    home.run().await;
    olga.device = olga.device.again(&home);
    assert_eq!(olga.verified(&home, group.group()).await, group, "after a restart");
    adam.device = adam.device.again(&home);
    adam.act(&home, &mut group, Change::Rename(b"after".to_vec())).await;
}

#[tokio::test]
async fn strangers_cannot_tell_that_a_group_exists() {
    let home = Home::start().await;
    let mut olga = Signer::new(&home, "olga").await;
    let mut eve = Signer::new(&home, "eve").await;
    let group = created(&home, &mut olga).await;
    let there = group.group().to_owned();
    let nowhere = format!("g.{}@eu.example", new_id());
    let hers = eve.next(&group, Change::Accept);
    let mut elsewhere = group.propose(&eve.id(), Change::Accept, UnixMillis(1));
    elsewhere.group.clone_from(&nowhere);
    let elsewhere = eve.sign(&elsewhere);
    let mut answers = Vec::new();
    for (name, epoch) in [(&there, &hers), (&nowhere, &elsewhere)] {
        let link = json!({"link_id": new_id().0});
        answers.push([
            eve.get(&home, &format!("/v1/groups/{name}")).await,
            eve.get(&home, &format!("/v1/groups/{name}/epochs")).await,
            eve.get(&home, &format!("/v1/groups/{name}/links")).await,
            eve.get(&home, &format!("/v1/groups/{name}/requests")).await,
            eve.post(&home, &format!("/v1/groups/{name}/epochs"), body(epoch)).await,
            eve.post(&home, &format!("/v1/groups/{name}/links"), json!({})).await,
            eve.post(&home, &format!("/v1/groups/{name}/links/revoke"), link).await,
            eve.post(&home, &format!("/v1/groups/{name}/join"), json!({"code": "x"})).await,
            eve.post(
                &home,
                &format!("/v1/groups/{name}/requests/decline"),
                json!({"user": olga.id()}),
            )
            .await,
        ]);
    }
    for (one, other) in answers[0].iter().zip(&answers[1]) {
        assert_eq!((one.status, one.code()), (404, "not_found"), "{one:?}");
        assert_eq!(one.body, other.body);
    }
    // Nobody makes a group in another's name, of another region, or with another's key.
    let mut stolen = first(&mut olga).unverified().unwrap();
    stolen.actor = Some(eve.id());
    let stolen = eve.sign(&stolen);
    assert_eq!(eve.post(&home, "/v1/groups", body(&stolen)).await.code(), "bad_request");
    let mut foreign = first(&mut eve).unverified().unwrap();
    foreign.group = foreign.group.replace("eu.example", "us.example");
    let foreign = eve.sign(&foreign);
    assert_eq!(eve.post(&home, "/v1/groups", body(&foreign)).await.code(), "bad_request");
    let other_key = Keyring::new(99);
    let mut keyed = first(&mut eve).unverified().unwrap();
    if let Change::Create { owner, .. } = &mut keyed.change {
        owner.identity = other_key.identity.public;
    }
    let keyed = keyed.sign(&other_key.identity.private, &mut eve.keys.rng);
    assert_eq!(eve.post(&home, "/v1/groups", body(&keyed)).await.code(), "conflict");
    // The same first epoch again makes no second group.
    let epoch = first(&mut eve);
    for _ in 0..2 {
        let answer = eve.post(&home, "/v1/groups", body(&epoch)).await;
        assert_eq!((answer.status, &answer.body["epoch"]), (201, &json!(1)));
    }
    assert_eq!(roles(&eve.get(&home, "/v1/groups").await.body), ["owner"]);
    for bad in ["", "epoch", "AAAA"] {
        assert_eq!(eve.post(&home, "/v1/groups", json!({"epoch": bad})).await.status, 400);
    }
    let of_nobody = AccountId { uuid: new_id().0, server: server() };
    let ghost = Person { account: of_nobody.to_string(), identity: other_key.identity.public };
    olga.refused(&home, &group, Change::Invite(ghost), "unknown_user").await;
    let wrong = Person { identity: other_key.identity.public, ..eve.person() };
    olga.refused(&home, &group, Change::Invite(wrong), "conflict").await;
}

#[tokio::test]
async fn nobody_is_put_into_a_group_against_their_will() {
    let home = Home::start().await;
    let mut olga = Signer::new(&home, "olga").await;
    let mut ben = Signer::connected(&home, "ben").await;
    let mut group = created(&home, &mut olga).await;
    let name = group.group().to_owned();
    let privacy = |groups: &str| {
        json!({"last_seen": "exact", "read_receipts": true, "stories": "contacts",
            "groups": groups, "messages": "everyone"})
    };
    let set = async |ben: &Signer, groups: &str| {
        let token = Some(ben.device.token());
        let put = call(&home, "PUT", "/v1/account/privacy", token, Some(privacy(groups))).await;
        assert_eq!(put.status, 204);
    };
    let add = Change::Add(ben.person());
    olga.refused(&home, &group, add.clone(), "consent_needed").await;
    set(&ben, "nobody").await;
    let contact = json!({"user": "olga"});
    assert_eq!(ben.post(&home, "/v1/contacts", contact).await.status, 204);
    olga.refused(&home, &group, add.clone(), "consent_needed").await;
    set(&ben, "contacts").await;
    olga.act(&home, &mut group, add.clone()).await;
    assert_eq!(ben.told().await, ("epoch".to_owned(), 2));
    ben.act(&home, &mut group, Change::Leave).await;
    assert_eq!(ben.told().await.0, "gone");

    // Whom he does not hear cannot add him, and an invitation never reaches him. Nobody is told.
    set(&ben, "everyone").await;
    assert_eq!(ben.post(&home, "/v1/blocks", json!({"user": "olga"})).await.status, 204);
    olga.refused(&home, &group, add, "consent_needed").await;
    olga.act(&home, &mut group, Change::Invite(ben.person())).await;
    ben.device.settle().await;
    assert_eq!(ben.get(&home, "/v1/groups").await.body["groups"], json!([]));
    assert_eq!(ben.get(&home, &format!("/v1/groups/{name}/epochs")).await.code(), "not_found");
    let sync = ben.get(&home, "/v1/messages/sync?since=c0").await.body;
    let about = sync["events"].as_array().unwrap().iter().filter(|one| one["type"] == "group");
    let about: Vec<&Value> = about.collect();
    assert_eq!(about.len(), 1, "{about:?}");
    assert_eq!((&about[0]["event"], &about[0]["epoch"]), (&json!("gone"), &json!(3)));
    let hidden = ben.next(&group, Change::Accept);
    assert_eq!(ben.submit(&home, &hidden).await.code(), "not_found");
    // Taken back, it leaves no trace; from somebody he hears, it comes.
    olga.act(&home, &mut group, Change::Remove(ben.id())).await;
    assert!(ben.device.settle().await.iter().all(|event| !matches!(event, Event::Group(_))));
    let mut adam = Signer::new(&home, "adam").await;
    joined(&home, &mut group, (&mut olga, &mut adam)).await;
    olga.act(&home, &mut group, role(&adam, GroupRole::Admin)).await;
    adam.act(&home, &mut group, Change::Invite(ben.person())).await;
    assert_eq!(ben.told().await.0, "invited");
    assert_eq!(roles(&ben.get(&home, "/v1/groups").await.body), ["invited"]);
    assert_eq!(ben.verified(&home, &name).await, group, "he sees what he is invited to");
}

#[tokio::test]
async fn an_invitation_is_declined_once_and_for_all() {
    let home = Home::start().await;
    let mut olga = Signer::connected(&home, "olga").await;
    let mut ben = Signer::connected(&home, "ben").await;
    let mut group = created(&home, &mut olga).await;
    assert_eq!(olga.told().await, ("epoch".to_owned(), 1));
    olga.act(&home, &mut group, Change::Invite(ben.person())).await;
    assert_eq!(ben.told().await, ("invited".to_owned(), 2));
    assert_eq!(olga.told().await, ("epoch".to_owned(), 2));
    let declines = ben.next(&group, Change::Leave);
    for _ in 0..2 {
        let answer = ben.submit(&home, &declines).await;
        assert_eq!((answer.status, &answer.body["epoch"]), (200, &json!(3)), "{answer:?}");
    }
    group = group.apply(&declines).unwrap();
    // Both are told, once; nothing is left of the invitation but what the chain says.
    assert_eq!(olga.told().await, ("epoch".to_owned(), 3));
    assert_eq!(ben.told().await, ("gone".to_owned(), 3));
    assert_eq!(ben.get(&home, "/v1/groups").await.body["groups"], json!([]));
    let name = group.group().to_owned();
    assert_eq!(olga.verified(&home, &name).await, group);
    assert_eq!(ben.verified(&home, &name).await, group, "he reads it up to there");
    for change in [Change::Accept, Change::Leave] {
        let late = ben.next(&group, change);
        assert_eq!(ben.submit(&home, &late).await.code(), "forbidden");
    }
    // Whoever wants him still asks anew.
    olga.act(&home, &mut group, Change::Invite(ben.person())).await;
    assert_eq!(ben.told().await, ("invited".to_owned(), 4));
    ben.act(&home, &mut group, Change::Accept).await;
    assert_eq!(roles(&ben.get(&home, "/v1/groups").await.body), ["member"]);
}

#[tokio::test]
async fn a_link_lets_somebody_ask() {
    let home = Home::start().await;
    let mut olga = Signer::connected(&home, "olga").await;
    let mut ben = Signer::new(&home, "ben").await;
    let mut mia = Signer::new(&home, "mia").await;
    let mut group = created(&home, &mut olga).await;
    joined(&home, &mut group, (&mut olga, &mut mia)).await;
    let name = group.group().to_owned();
    let at = |what: &str| format!("/v1/groups/{name}/{what}");
    assert_eq!(mia.post(&home, &at("links"), json!({})).await.code(), "forbidden");
    let link = olga.post(&home, &at("links"), json!({"expires_in": 60})).await;
    assert_eq!(link.status, 201, "{link:?}");
    let code = json!({"code": link.body["code"]});
    let wrong = ben.post(&home, &at("join"), json!({"code": "0123"})).await;
    assert_eq!(wrong.code(), "not_found");
    assert_eq!(mia.post(&home, &at("join"), code.clone()).await.code(), "conflict");
    assert_eq!(ben.post(&home, &at("join"), code.clone()).await.status, 204);
    assert_eq!(ben.post(&home, &at("join"), code.clone()).await.status, 204);
    let hint = |event| match event {
        Event::Changed { .. } => Some(()),
        _ => None,
    };
    olga.device.wait(hint).await;
    assert_eq!(ben.get(&home, &at("epochs")).await.code(), "not_found", "asking shows nothing");
    let asks = olga.get(&home, &at("requests")).await;
    assert_eq!(asks.body["requests"][0]["account_id"], json!(ben.id()));
    assert_eq!(mia.get(&home, &at("requests")).await.code(), "forbidden");
    // Who asked has consented.
    olga.act(&home, &mut group, Change::Add(ben.person())).await;
    assert_eq!(olga.get(&home, &at("requests")).await.body["requests"], json!([]));
    assert_eq!(ben.verified(&home, &name).await, group);
    ben.act(&home, &mut group, Change::Leave).await;

    assert_eq!(ben.post(&home, &at("join"), code.clone()).await.status, 204);
    let his = json!({"user": ben.id()});
    assert_eq!(olga.post(&home, &at("requests/decline"), his.clone()).await.status, 204);
    assert_eq!(olga.post(&home, &at("requests/decline"), his).await.code(), "not_found");
    olga.refused(&home, &group, Change::Add(ben.person()), "consent_needed").await;
    home.clock.pass(61_000);
    assert_eq!(ben.post(&home, &at("join"), code).await.code(), "not_found", "it has ended");
    let mut last = Value::Null;
    for _ in 0..10 {
        last = olga.post(&home, &at("links"), json!({})).await.body;
    }
    assert_eq!(olga.post(&home, &at("links"), json!({})).await.code(), "too_many");
    let listed = olga.get(&home, &at("links")).await;
    assert_eq!(listed.body["links"].as_array().unwrap().len(), 10);
    assert!(listed.body["links"][0]["code"].is_null());
    let revoke = json!({"link_id": last["link_id"]});
    assert_eq!(olga.post(&home, &at("links/revoke"), revoke.clone()).await.status, 204);
    assert_eq!(olga.post(&home, &at("links/revoke"), revoke).await.code(), "not_found");
    let revoked = json!({"code": last["code"]});
    assert_eq!(ben.post(&home, &at("join"), revoked).await.code(), "not_found");
    let long = json!({"expires_in": 30 * 24 * 3600 + 1});
    assert_eq!(olga.post(&home, &at("links"), long).await.code(), "bad_request");
}
