//! Linking a device by a code: what each side is told, once, and who is told nothing.

use posthouse_protocol::rest::{Pin, Secret, SessionTokens, SetPin};
use serde_json::{Value, json};

use super::{
    calls::{call, devices},
    device::{Device, PASSWORD},
    home::Home,
    http::Answer,
};

/// A new device's link.
struct Started {
    id: String,
    secret: Value,
}

async fn start(home: &Home) -> Started {
    let request = json!({"registration_id": 77, "name": "laptop"});
    let answer = call(home, "POST", "/v1/links", None, Some(request)).await;
    assert_eq!((answer.status, &answer.body["expires_in"]), (201, &json!(300)));
    let id = answer.body["link_id"].as_str().unwrap().to_owned();
    Started { id, secret: answer.body["secret"].clone() }
}

async fn approve(home: &Home, by: &Device, id: &str, registration_id: u32) -> Answer {
    approve_with(home, by, id, (registration_id, Value::Null)).await
}

async fn approve_with(
    home: &Home,
    by: &Device,
    id: &str,
    (registration_id, pin): (u32, Value),
) -> Answer {
    let request = json!({"registration_id": registration_id, "message": "c2VhbGVk", "pin": pin});
    call(home, "POST", &format!("/v1/links/{id}"), Some(by.token()), Some(request)).await
}

async fn result(home: &Home, id: &str, secret: &Value) -> Answer {
    let path = format!("/v1/links/{id}/result");
    call(home, "POST", &path, None, Some(json!({ "secret": secret }))).await
}

#[tokio::test]
async fn a_device_is_linked_and_gets_message_and_session_once() {
    let home = Home::start().await;
    let phone = Device::register(&home, "ada").await;
    let link = start(&home).await;
    // The new device waits while the old one approves.
    let (outcome, approved) =
        tokio::join!(result(&home, &link.id, &link.secret), approve(&home, &phone, &link.id, 77));
    assert_eq!(approved.status, 201, "{approved:?}");
    assert_eq!(outcome.body["status"], "linked", "{outcome:?}");
    assert_eq!(outcome.body["message"], "c2VhbGVk");
    let tokens: SessionTokens = serde_json::from_value(outcome.body["session"].clone()).unwrap();
    assert_eq!(tokens.account_id, *phone.account());
    assert_eq!(approved.body["device_id"], json!(tokens.device_id));
    assert_eq!(approved.body["device"], json!(tokens.device));
    let laptop = Device { tokens, api: home.api(), connection: None };
    assert_eq!(devices(&home, &laptop).await[1], (2, 77));
    let answer = approve(&home, &phone, &link.id, 77).await;
    assert_eq!((answer.status, answer.code()), (404, "not_found"), "it is approved already");
    assert_eq!(devices(&home, &phone).await.len(), 2, "a replayed approval adds no device");
}

#[tokio::test]
async fn strangers_and_wrong_secrets_get_nothing() {
    let home = Home::start().await;
    let phone = Device::register(&home, "ada").await;
    let link = start(&home).await;
    let mismatch = approve(&home, &phone, &link.id, 78).await;
    assert_eq!((mismatch.status, mismatch.code()), (409, "conflict"), "not what the code showed");
    assert_eq!(devices(&home, &phone).await.len(), 1);
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    assert_eq!(approve(&home, &phone, unknown, 77).await.code(), "not_found");
    assert_eq!(approve(&home, &phone, "17", 77).await.code(), "bad_request");
    assert_eq!(approve(&home, &phone, &link.id, 77).await.status, 201);
    for secret in [json!(""), json!("guess"), json!(link.id)] {
        let answer = result(&home, &link.id, &secret).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"));
        assert!(!answer.body.to_string().contains("c2VhbGVk"));
    }
    assert_eq!(result(&home, unknown, &link.secret).await.code(), "not_found");
    let outcome = result(&home, &link.id, &link.secret).await;
    assert_eq!(outcome.body["status"], "linked", "guesses did not use it up");
    let large = "A".repeat(8 * 1024 / 3 * 4 + 8);
    let path = format!("/v1/links/{}", start(&home).await.id);
    let body = json!({"registration_id": 77, "message": large});
    let answer = call(&home, "POST", &path, Some(phone.token()), Some(body)).await;
    assert_eq!((answer.status, answer.code()), (400, "bad_json"));
}

#[tokio::test]
async fn of_two_approvals_at_once_one_account_gets_the_device() {
    let home = Home::start().await;
    let (ada, ben) = (Device::register(&home, "ada").await, Device::register(&home, "ben").await);
    for _ in 0..5 {
        let link = start(&home).await;
        let (one, two) =
            tokio::join!(approve(&home, &ada, &link.id, 77), approve(&home, &ben, &link.id, 77));
        let (winner, loser) = if one.status == 201 { (&ada, &ben) } else { (&ben, &ada) };
        assert_eq!([one.status, two.status].iter().filter(|status| **status == 201).count(), 1);
        assert_eq!(devices(&home, loser).await.len(), 1);
        assert_eq!(devices(&home, winner).await.len(), 2);
        let outcome = result(&home, &link.id, &link.secret).await;
        assert_eq!(outcome.body["session"]["account_id"], json!(winner.account()));
        let path =
            format!("/v1/devices/{}", outcome.body["session"]["device_id"].as_str().unwrap());
        assert_eq!(call(&home, "DELETE", &path, Some(winner.token()), None).await.status, 204);
    }
}

#[tokio::test]
async fn an_expired_link_is_worth_nothing_and_leaves_no_device() {
    let home = Home::start().await;
    let phone = Device::register(&home, "ada").await;
    let (late, unfetched) = (start(&home).await, start(&home).await);
    assert_eq!(approve(&home, &phone, &unfetched.id, 77).await.status, 201);
    assert_eq!(devices(&home, &phone).await.len(), 2);
    home.clock.pass(300_000);
    assert_eq!(approve(&home, &phone, &late.id, 77).await.code(), "not_found");
    for link in [&late, &unfetched] {
        assert_eq!(result(&home, &link.id, &link.secret).await.code(), "not_found");
    }
    home.region().silent_devices().round().await.unwrap();
    assert_eq!(devices(&home, &phone).await.len(), 1, "nobody came for it");
}

/// A lost answer strands nobody.
#[tokio::test]
async fn the_outcome_of_a_link_can_be_asked_for_again() {
    let home = Home::start().await;
    let phone = Device::register(&home, "ada").await;
    let link = start(&home).await;
    assert_eq!(approve(&home, &phone, &link.id, 77).await.status, 201);
    let lost = result(&home, &link.id, &link.secret).await;
    let again = result(&home, &link.id, &link.secret).await;
    assert_eq!(again.body["session"]["device_id"], lost.body["session"]["device_id"]);
    assert_eq!(again.body["message"], lost.body["message"]);
    assert_eq!(devices(&home, &phone).await.len(), 2);
    let me = async |outcome: &Answer| {
        let token = Secret(outcome.body["session"]["access_token"].as_str().unwrap().to_owned());
        call(&home, "GET", "/v1/sessions", Some(&token), None).await.status
    };
    assert_eq!(me(&again).await, 200);
    assert_eq!(me(&lost).await, 401, "the session before has ended");
    home.clock.pass(300_000);
    assert_eq!(result(&home, &link.id, &link.secret).await.code(), "not_found");
    home.region().silent_devices().round().await.unwrap();
    assert_eq!(devices(&home, &phone).await.len(), 2, "it was fetched");
}

#[tokio::test]
async fn an_account_that_is_full_links_no_more() {
    let home = Home::start().await;
    let phone = Device::register(&home, "ada").await;
    for _ in 0..7 {
        Device::log_in(&home, "ada").await;
    }
    let link = start(&home).await;
    let answer = approve(&home, &phone, &link.id, 77).await;
    assert_eq!((answer.status, answer.code()), (409, "too_many"));
}

#[tokio::test]
async fn a_pin_is_asked_for_where_one_is_set() {
    let home = Home::start().await;
    let (ada, ben) = (Device::register(&home, "ada").await, Device::register(&home, "ben").await);
    let pin = |digits: &str| Pin::parse(Secret(digits.into())).unwrap();
    let set = SetPin { current_password: Secret(PASSWORD.into()), pin: pin("271828") };
    ada.api.set_pin(ada.token(), &set).await.unwrap();
    let link = start(&home).await;
    let with = async |by, pin: Value| approve_with(&home, by, &link.id, (77, pin)).await;
    let answer = with(&ada, Value::Null).await;
    assert_eq!((answer.status, answer.code()), (403, "pin_required"));
    for wrong in ["271829", "", "two seven one"] {
        let answer = with(&ada, json!(wrong)).await;
        assert_eq!((answer.status, answer.code()), (401, "wrong_code"), "{wrong:?}");
    }
    assert_eq!(devices(&home, &ada).await.len(), 1, "nobody was let in");
    assert_eq!(with(&ada, json!("271828")).await.status, 201);
    assert_eq!(result(&home, &link.id, &link.secret).await.body["status"], "linked");
    // Tries are counted also if there is no such link: the PIN cannot be guessed by them.
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    for _ in 0..5 {
        let answer = approve_with(&home, &ada, unknown, (77, json!("000000"))).await;
        assert_eq!(answer.code(), "wrong_code");
    }
    let answer = approve_with(&home, &ada, unknown, (77, json!("271828"))).await;
    assert_eq!((answer.code(), answer.retry_after), ("rate_limited", Some(60)));
    // Another account has none, and may say one all the same.
    for pin in [Value::Null, json!("271828")] {
        let link = start(&home).await;
        assert_eq!(approve_with(&home, &ben, &link.id, (77, pin)).await.status, 201);
    }
}
