//! An account is deleted: the regions of people who have written with it forget it.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::person::{PASSWORD, Pair, Person, until};

/// Writes, and waits until it is there.
async fn write(from: &Person, to: &Person, id: u128) {
    let content = json!({ "type": "encrypted", "encrypted": true, "body": "c2VhbGVk" });
    let answer = from.send(to.account(), id, content).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = json!(Uuid::from_u128(id));
    until("the message arrives", async || {
        to.inbox().await["messages"].as_array().unwrap().iter().any(|one| one["id"] == id)
    })
    .await;
}

async fn names(of: &Person, path: &str, member: &str) -> Vec<Value> {
    let answer = of.call("GET", path, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body[member].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_is_forgotten_by_the_other_region() {
    let pair = Pair::start();
    let ada = Person::register(&pair.north, "ada", 1).await;
    let ben = Person::register(&pair.south, "ben", 2).await;
    let cem = Person::register(&pair.north, "cem", 3).await;
    for (one, id) in [(&ada, 1), (&cem, 3)] {
        write(one, &ben, id).await;
        write(&ben, one, id + 1).await;
    }
    for other in [&ada, &cem] {
        let body = json!({ "user": other.account() });
        let put = ben.call("POST", "/v1/contacts", Some(body)).await;
        assert_eq!(put.status, 204, "{put:?}");
    }
    assert_eq!(names(&ben, "/v1/contacts", "contacts").await.len(), 2);
    assert_eq!(names(&ben, "/v1/conversations", "conversations").await.len(), 2);

    let confirmed = Some(json!({ "current_password": PASSWORD }));
    assert_eq!(ada.call("POST", "/v1/account/delete", confirmed).await.status, 204);
    until("the contact is gone", async || names(&ben, "/v1/contacts", "contacts").await.len() == 1)
        .await;
    until("the conversation is gone from the list", async || {
        names(&ben, "/v1/conversations", "conversations").await.len() == 1
    })
    .await;
    let left = names(&ben, "/v1/contacts", "contacts").await;
    assert_eq!(left[0]["account_id"], json!(cem.account()), "who is there stays");
    let path = format!("/v1/users/{}/devices", ada.account());
    assert_eq!(ben.call("GET", &path, None).await.body["code"], "unknown_user");
    // What was said stays his.
    let inbox = ben.inbox().await;
    let from_ada = |one: &Value| one["from"] == json!(ada.account());
    assert!(inbox["messages"].as_array().unwrap().iter().any(from_ada), "{inbox}");
}

/// Nobody wrote anything, and the other region is away until long after the account was erased.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_was_away_learns_of_a_deletion_without_a_message() {
    let mut pair = Pair::start();
    let ada = Person::register(&pair.north, "ada", 1).await;
    let ben = Person::register(&pair.south, "ben", 2).await;
    let cem = Person::register(&pair.north, "cem", 3).await;
    for (one, other) in [(&ada, &ben), (&ben, &ada), (&ben, &cem), (&cem, &ben)] {
        let body = json!({ "user": other.account() });
        assert_eq!(one.call("POST", "/v1/contacts", Some(body)).await.status, 204);
    }
    pair.south.kill();
    let confirmed = Some(json!({ "current_password": PASSWORD }));
    assert_eq!(ada.call("POST", "/v1/account/delete", confirmed).await.status, 204);
    // It is durable, whatever becomes of the region that told it.
    pair.north.kill();
    pair.restart_north();
    pair.restart_south();
    until("the contact is gone", async || names(&ben, "/v1/contacts", "contacts").await.len() == 1)
        .await;
    let left = names(&ben, "/v1/contacts", "contacts").await;
    assert_eq!(left[0]["account_id"], json!(cem.account()), "who is there stays");
    // Nobody makes it a contact again, or writes to it.
    let body = json!({ "user": ada.account() });
    let again = ben.call("POST", "/v1/contacts", Some(body)).await;
    assert_eq!(again.body["code"], "unknown_user", "{again:?}");
    let content = json!({ "type": "encrypted", "encrypted": true, "body": "c2VhbGVk" });
    let lost = ben.send(ada.account(), 1, content).await;
    assert_eq!(lost.body["code"], "unknown_user", "{lost:?}");
}

/// Who was written to and never answered has a request, and no more once the account is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_a_deleted_account_goes_with_it() {
    let mut pair = Pair::start();
    let ada = Person::register(&pair.north, "ada", 1).await;
    let ben = Person::register(&pair.south, "ben", 2).await;
    write(&ada, &ben, 1).await;
    assert_eq!(names(&ben, "/v1/requests", "requests").await.len(), 1);
    pair.south.kill();
    // Under way when the account goes: it arrives, and is no new request.
    let content = json!({ "type": "encrypted", "encrypted": true, "body": "c2VhbGVk" });
    assert_eq!(ada.send(ben.account(), 2, content).await.status, 200);
    let confirmed = Some(json!({ "current_password": PASSWORD }));
    assert_eq!(ada.call("POST", "/v1/account/delete", confirmed).await.status, 204);
    pair.restart_south();
    until("the message arrives", async || {
        ben.inbox().await["messages"].as_array().unwrap().len() == 2
    })
    .await;
    until("the request is gone", async || {
        names(&ben, "/v1/requests", "requests").await.is_empty()
            && names(&ben, "/v1/conversations", "conversations").await.is_empty()
    })
    .await;
}
