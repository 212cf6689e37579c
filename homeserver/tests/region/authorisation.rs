//! One user can never read or change another's. Made from the table of routes: every route has an
//! entry here that says what Bob tries with what is Alice's; a route without one fails the test.

use posthouse_client_api::rest::{Access, ROUTES};
use posthouse_crypto::e2ee::signed::group_epoch::Change;
use posthouse_protocol::rest::Secret;
use serde_json::{Value, json};

use super::{
    calls::{call, devices},
    device::{Device, PASSWORD},
    home::Home,
    http::Answer,
    keyring::Keyring,
    signer::{Signer, body as body_of, created, first},
};

const NOBODYS: &str = "01890a5d-ffff-774b-bcce-b302099a8057";

/// What is Alice's, by the names under which Bob may have heard of it.
struct Alice {
    device: Device,
    session: String,
    conversation: String,
    message: String,
    received: String,
    link: String,
    link_secret: Value,
    refresh_token: Secret,
    /// Her next device list, signed by her.
    next_list: Value,
    group: String,
    /// The first epoch of the group, and one that would be the next, signed by her.
    epochs: [Value; 2],
    /// A group that she has signed and nobody has.
    unborn: (String, Value),
    invite: Value,
}

/// What Bob tries on a route.
enum Attempt {
    /// The call names something of Alice's. It is answered exactly as the same call with something
    /// that nobody has.
    Names { hers: (String, Value), nobodys: (String, Value) },
    /// The call names nothing that is somebody's: it does to Bob's account what it does, or nothing.
    Own(Value),
    /// What it shows or does is meant for everybody, Alice's name included.
    Public(String, Value),
}
use Attempt::{Names, Own, Public};

/// A call with a path that names something.
fn path(template: &str, hers: &str, nobodys: &str) -> Attempt {
    with_body(template, hers, nobodys, &Value::Null)
}

fn with_body(template: &str, hers: &str, nobodys: &str, body: &Value) -> Attempt {
    let at = |one: &str| template.replace("{id}", one).replace("{user}", one);
    Names { hers: (at(hers), body.clone()), nobodys: (at(nobodys), body.clone()) }
}

/// A call with a body that names something.
fn body(template: &str, hers: Value, nobodys: Value) -> Attempt {
    Names { hers: (template.into(), hers), nobodys: (template.into(), nobodys) }
}

/// What Bob tries on the route of this name.
fn attempt(name: &str, template: &str, alice: &Alice) -> Attempt {
    of_strangers(name, template, alice)
        .or_else(|| of_the_own_account(name, alice))
        .or_else(|| of_hers(name, template, alice))
        .or_else(|| of_her_group(name, template, alice))
        .or_else(|| for_everybody(name, template, alice))
        .unwrap_or_else(|| panic!("{name} has no entry: what can Bob try with what is Alice's?"))
}

/// What a stranger may do. Nothing of it names an account that is there already, but for logging in,
/// which asks for the password.
fn of_strangers(name: &str, template: &str, alice: &Alice) -> Option<Attempt> {
    Some(match name {
        "accounts_register" => {
            Public(template.into(), json!({"handle": "alice", "password": PASSWORD}))
        }
        "sessions_log_in" => {
            let wrong = |user: &str, device: &str| json!({"user": user, "password": "a wrong password", "device_id": device});
            let device = alice.device.tokens.device_id.to_string();
            body(template, wrong("alice", &device), wrong("nobody", NOBODYS))
        }
        "sessions_refresh" => Public(template.into(), json!({"refresh_token": "guessed"})),
        "links_start" => Public(template.into(), json!({"registration_id": 7})),
        "links_result" => with_body(template, &alice.link, NOBODYS, &json!({"secret": "guessed"})),
        _ => return None,
    })
}

/// What a person does with the own account: the token says whose, and nothing else can.
fn of_the_own_account(name: &str, alice: &Alice) -> Option<Attempt> {
    let confirmation = json!({"current_password": PASSWORD});
    Some(Own(match name {
        "accounts_me" | "security_show" | "sessions_list" | "people_privacy" | "profiles_own"
        | "devices_list" | "keys_status" | "connect_ticket" | "connect_connect"
        | "messages_sync" | "conversations_list" | "people_contacts" | "people_blocks"
        | "people_requests" | "groups_list" | "sessions_log_out" => Value::Null,
        "security_change_password" => {
            json!({"current_password": PASSWORD, "new_password": "another horse"})
        }
        "security_enrol_totp"
        | "security_remove_totp"
        | "security_renew_codes"
        | "security_remove_pin"
        | "security_delete_account" => confirmation,
        "security_confirm_totp" => json!({"code": "123456"}),
        "security_set_pin" => json!({"current_password": PASSWORD, "pin": "271828"}),
        "people_set_privacy" => json!({"last_seen": "nobody", "read_receipts": false,
            "stories": "nobody", "groups": "nobody", "messages": "contacts"}),
        "profiles_put" => json!({"replaces": 0, "name": "bob was here"}),
        "keys_set_identity" => json!({"identity_key": Keyring::new(2).identity_key()}),
        // Alice's next list, signed with her own key: it is hers to publish.
        "keys_put_list" => alice.next_list.clone(),
        "keys_upload" => json!(Keyring::new(2).upload(1)),
        _ => return None,
    }))
}

/// Alice's things by their names.
fn of_hers(name: &str, template: &str, alice: &Alice) -> Option<Attempt> {
    let device = alice.device.tokens.device_id.to_string();
    let account = alice.device.account();
    Some(match name {
        "sessions_end" => path(template, &alice.session, NOBODYS),
        "devices_rename" => with_body(template, &device, NOBODYS, &json!({"name": "bob was here"})),
        "devices_revoke" => path(template, &device, NOBODYS),
        "conversations_delete" => path(template, &alice.conversation, &"0".repeat(32)),
        "conversations_delete_messages" => {
            let named = |id: &str| json!({"messages": [{"from": account, "id": id}]});
            body(template, named(&alice.received), named(NOBODYS))
        }
        "messages_acknowledge" => {
            let read = |id: &str| json!({"message_id": id, "from": account, "status": "read"});
            body(template, read(&alice.message), read(NOBODYS))
        }
        "messages_submit" => {
            // As if Bob's device had sent Alice's message.
            let after = |prev: &str| {
                json!({"id": NOBODYS, "to": "dave", "prev": prev,
                    "content": {"type": "text", "body": "x"}})
            };
            body(template, after(&alice.message), after("01890a5d-eeee-774b-bcce-b302099a8057"))
        }
        // Carol and Eve are on lists of Alice, Dave is on nobody's.
        "people_remove_contact" | "people_unblock" => path(template, "carol", "dave"),
        "people_accept" | "people_decline" => {
            body(template, json!({"user": "eve"}), json!({"user": "dave"}))
        }
        "presence_query" => Names {
            hers: (format!("{template}?users=alice"), Value::Null),
            nobodys: (format!("{template}?users=dave"), Value::Null),
        },
        _ => return None,
    })
}

/// The group of which Alice is the owner and Bob is nothing.
fn of_her_group(name: &str, template: &str, alice: &Alice) -> Option<Attempt> {
    let (unborn, its_first) = &alice.unborn;
    let on_both = |body: Value| with_body(template, &alice.group, unborn, &body);
    Some(match name {
        // Acts that Alice has signed, submitted by Bob.
        "groups_create" => body(template, alice.epochs[0].clone(), its_first.clone()),
        "groups_submit" => Names {
            hers: (template.replace("{id}", &alice.group), alice.epochs[1].clone()),
            nobodys: (template.replace("{id}", unborn), its_first.clone()),
        },
        "groups_show" | "groups_epochs" | "groups_links" | "groups_join_requests" => {
            on_both(Value::Null)
        }
        "groups_create_link" => on_both(json!({})),
        "groups_revoke_link" => on_both(json!({"link_id": alice.invite["link_id"]})),
        "groups_join" => on_both(json!({"code": "guessed"})),
        "groups_decline_join" => on_both(json!({"user": alice.device.account()})),
        _ => return None,
    })
}

/// What is meant for everybody, Alice's name included.
fn for_everybody(name: &str, template: &str, alice: &Alice) -> Option<Attempt> {
    let of_alice = || template.replace("{user}", "alice");
    Some(match name {
        "users_find" | "profiles_show" | "keys_user_devices" | "keys_key_changes" => {
            Public(of_alice(), Value::Null)
        }
        "keys_claim" => Public(of_alice(), json!({"request_id": NOBODYS, "devices": [127]})),
        "people_put_contact" | "people_block" => Public(template.into(), json!({"user": "alice"})),
        "people_report" => Public(template.into(), json!({"user": "alice", "reason": "spam"})),
        // Bob has seen Alice's link, and not the code with its registration id.
        "links_approve" => Public(
            template.replace("{id}", &alice.link),
            json!({"registration_id": 1, "message": "c2VhbGVk"}),
        ),
        "service_capabilities"
        | "service_alive"
        | "service_ready"
        | "documents_openapi"
        | "documents_asyncapi"
        | "documents_page" => Public(template.into(), Value::Null),
        _ => return None,
    })
}

/// Alice with something of everything.
async fn alice(home: &Home) -> Alice {
    let mut alice = Signer::new(home, "alice").await;
    let group = created(home, &mut alice).await;
    let chain = format!("/v1/groups/{}/epochs", group.group());
    let chain = alice.get(home, &chain).await.body;
    let renamed = Change::Rename(b"bob was here".to_vec());
    let epochs = [json!({"epoch": chain["epochs"][0]}), body_of(&alice.next(&group, renamed))];
    let unborn = first(&mut alice);
    let unborn = (unborn.unverified().unwrap().group, body_of(&unborn));
    let links = format!("/v1/groups/{}/links", group.group());
    let invite = alice.post(home, &links, json!({})).await.body;
    let Signer { mut device, keys: mut keyring } = alice;
    let (mut carol, mut eve) =
        (Device::register(home, "carol").await, Device::register(home, "eve").await);
    Device::register(home, "dave").await;
    for one in [&mut device, &mut carol, &mut eve] {
        one.catch_up(home).await;
    }
    let listed = devices(home, &device).await;
    let list = keyring.list(device.account(), 1, &listed);
    for (method, path, body) in [
        ("PUT", "/v1/keys/device-list", list),
        ("POST", "/v1/keys/prekeys", json!(keyring.upload(2))),
        ("PUT", "/v1/users/me/profile", json!({"replaces": 0, "name": "YWxpY2U="})),
        ("POST", "/v1/contacts", json!({"user": "carol", "label": "alices-own-label"})),
        ("POST", "/v1/account/pin", json!({"current_password": PASSWORD, "pin": "314159"})),
    ] {
        let answer = call(home, method, path, Some(device.token()), Some(body)).await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
    }
    let sent = device.write(carol.account(), "from alice").await;
    let received = carol.write(device.account(), "to alice, from carol").await.message_id;
    eve.write(device.account(), "to alice, from eve").await;
    device.message().await;
    device.message().await;
    // After writing, or what carol wrote would have been discarded.
    let block = json!({"user": "carol"});
    let answer = call(home, "POST", "/v1/blocks", Some(device.token()), Some(block)).await;
    assert_eq!(answer.status, 204);
    device.settle().await;
    device.vanish();
    let link = json!({"registration_id": 77});
    let link = call(home, "POST", "/v1/links", None, Some(link)).await.body;
    Alice {
        session: device.tokens.session_id.to_string(),
        conversation: sent.conversation_id.unwrap().to_string(),
        message: sent.message_id.to_string(),
        received: received.to_string(),
        link: link["link_id"].as_str().unwrap().to_owned(),
        link_secret: link["secret"].clone(),
        refresh_token: device.tokens.refresh_token.clone(),
        next_list: keyring.list(device.account(), 2, &listed),
        group: group.group().to_owned(),
        epochs,
        unborn,
        invite,
        device,
    }
}

/// All that Alice can read of what is hers: every `GET` of a session that names nothing.
async fn everything(home: &Home, alice: &Alice) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for route in ROUTES.iter().filter(|route| route.access == Access::Session) {
        if route.method != "GET" || route.path.contains('{') || route.path == "/v1/presence" {
            continue;
        }
        let query = if route.path == "/v1/messages/sync" { "?since=c0&limit=1000" } else { "" };
        let path = format!("{}{query}", route.path);
        let answer = call(home, "GET", &path, Some(alice.device.token()), None).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let mut body = answer.body;
        // When she was last seen may change by her own asking.
        for device in body["devices"].as_array_mut().into_iter().flatten() {
            device["active_at"] = Value::Null;
        }
        all.push((path, body));
    }
    for what in ["", "/epochs", "/links", "/requests"] {
        let path = format!("/v1/groups/{}{what}", alice.group);
        let answer = call(home, "GET", &path, Some(alice.device.token()), None).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        all.push((path, answer.body));
    }
    let of_herself = format!("/v1/users/{}/devices", alice.device.account());
    let answer = call(home, "GET", &of_herself, Some(alice.device.token()), None).await;
    all.push((of_herself, answer.body));
    all
}

async fn send(home: &Home, method: &str, by: Option<&Device>, call_: &(String, Value)) -> Answer {
    let (path, body) = call_;
    let body = (!body.is_null()).then(|| body.clone());
    call(home, method, path, by.map(Device::token), body).await
}

/// What Bob may not see anywhere.
fn secrets(alice: &Alice) -> Vec<String> {
    vec![
        alice.device.tokens.device_id.to_string(),
        alice.session.clone(),
        alice.device.tokens.access_token.0.clone(),
        alice.refresh_token.0.clone(),
        alice.link_secret.as_str().unwrap().to_owned(),
        alice.invite["code"].as_str().unwrap().to_owned(),
        alice.invite["link_id"].as_str().unwrap().to_owned(),
        "alices-own-label".into(),
        "to alice, from".into(),
        "from alice".into(),
        alice.received.clone(),
    ]
}

#[tokio::test]
async fn nobody_reads_or_changes_what_is_anothers() {
    let home = Home::start().await;
    let alice = alice(&home).await;
    let before = everything(&home, &alice).await;
    assert!(before.len() >= 12, "{before:?}");
    let whole = serde_json::to_string(&before).unwrap();
    for mark in ["alices-own-label", "to alice, from carol", "to alice, from eve"] {
        assert!(whole.contains(mark), "{mark} is there to be found");
    }
    let secrets = secrets(&alice);
    for (number, route) in ROUTES.iter().enumerate() {
        let (call_name, method) = (route.name, route.method.as_str());
        // Some calls end Bob's account or session: each has a Bob of its own.
        let bob = Device::register(&home, &format!("bob{number}")).await;
        let by = (route.access != Access::Anyone).then_some(&bob);
        let answers = match attempt(call_name, route.path, &alice) {
            Names { hers, nobodys } => {
                let mut hers = send(&home, method, by, &hers).await;
                let mut nobodys = send(&home, method, by, &nobodys).await;
                // Waits differ by a second at most.
                for answer in [&mut hers, &mut nobodys] {
                    answer.retry_after = None;
                }
                assert_eq!(
                    (hers.status, &hers.body),
                    (nobodys.status, &nobodys.body),
                    "{call_name}: what is Alice's is told from what is nobody's"
                );
                vec![hers, nobodys]
            }
            Own(body) => {
                assert!(!route.path.contains('{'), "{call_name} names something");
                vec![send(&home, method, by, &(route.path.into(), body)).await]
            }
            Public(path, body) => vec![send(&home, method, by, &(path, body)).await],
        };
        for answer in answers {
            assert!(answer.status < 500, "{call_name}: {answer:?}");
            let text = answer.body.to_string();
            if let Some(secret) = secrets.iter().find(|secret| text.contains(*secret)) {
                panic!("{call_name} tells Bob {secret}: {text}");
            }
        }
        let after = everything(&home, &alice).await;
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before, after, "{call_name} of Bob has changed what is Alice's");
        }
    }
    // The link that Bob tried is still there for Alice.
    let approval = json!({"registration_id": 77, "message": "c2VhbGVk", "pin": "314159"});
    let path = format!("/v1/links/{}", alice.link);
    let answer = call(&home, "POST", &path, Some(alice.device.token()), Some(approval)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    // And her password is what it was.
    Device::log_in(&home, "alice").await;
}
