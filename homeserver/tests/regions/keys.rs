//! Devices and bundles of people of the other region.

use std::collections::HashSet;

use posthouse_crypto::e2ee::prekey::bundle::{
    KemPreKeyPublic, OneTimePreKeyPublic, PreKeyBundle, SignedPreKeyPublic,
};
use posthouse_protocol::rest::keys::{Bundle, Bundles, UserDevices};
use serde_json::json;
use uuid::Uuid;

use crate::person::{Pair, Person, until};

/// The one bundle, after what a client does with an answer: list and keys must verify.
fn verified(bundles: &Bundles) -> &Bundle {
    let identity = bundles.identity_key.0;
    let list = &bundles.device_list.as_ref().unwrap().0;
    let list = list.verify(&bundles.account_id.to_string(), &identity, None).unwrap();
    let [bundle] = bundles.bundles.as_slice() else { panic!("{bundles:?}") };
    let number = u64::from(bundle.device.get());
    let device = posthouse_crypto::e2ee::address::DeviceId::new(number).unwrap();
    let listed = list.as_list().devices[&device];
    assert_eq!(listed.registration_id, bundle.registration_id.get());
    let one_time = bundle.one_time.as_ref();
    let made = PreKeyBundle {
        registration_id: bundle.registration_id.get(),
        device,
        identity,
        signed: SignedPreKeyPublic {
            id: bundle.signed.id.into(),
            key: bundle.signed.key.0,
            signature: bundle.signed.signature.0,
        },
        one_time: one_time.map(|key| OneTimePreKeyPublic { id: key.id.into(), key: key.key.0 }),
        kem: Some(KemPreKeyPublic {
            id: bundle.kem.id.into(),
            key: bundle.kem.key.0.clone(),
            signature: bundle.kem.signature.0,
        }),
    };
    made.verify().unwrap();
    bundle
}

/// More people than keys, half of them in the other region, all at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn a_one_time_key_is_handed_out_once_across_regions_and_at_the_same_time() {
    const KEYS: usize = 9;
    const PEOPLE: usize = 12;
    let pair = Pair::start();
    let ada = Person::with_keys(&pair.north, "ada", KEYS).await;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        let home = if number % 2 == 0 { &pair.north } else { &pair.south };
        people.push(Person::register(home, &format!("p{number}"), 2).await);
    }
    let account = ada.account().clone();
    let mut claims = tokio::task::JoinSet::new();
    for (number, person) in people.into_iter().enumerate() {
        let account = account.clone();
        claims.spawn(async move {
            let first = person.claim(&account, number as u128).await;
            assert_eq!(first.status, 200, "{first:?}");
            let again = person.claim(&account, number as u128).await;
            assert_eq!(again.body, first.body, "the same request is given the same answer");
            first.body
        });
    }
    let (mut curve, mut kem, mut last_resort) = (HashSet::new(), HashSet::new(), 0);
    for body in claims.join_all().await {
        let bundles: Bundles = serde_json::from_value(body).unwrap();
        let bundle = verified(&bundles);
        if let Some(key) = &bundle.one_time {
            assert!(curve.insert(u32::from(key.id)), "handed out twice");
        }
        if bundle.last_resort {
            last_resort += 1;
        } else {
            assert!(kem.insert(u32::from(bundle.kem.id)), "handed out twice");
        }
    }
    assert_eq!((curve.len(), kem.len(), last_resort), (KEYS, KEYS, PEOPLE - KEYS));
    let left = ada.call("GET", "/v1/keys/prekeys", None).await.body;
    assert_eq!((&left["one_time"], &left["one_time_kem"]), (&json!(0), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_the_other_region_is_answered_as_at_home() {
    let mut pair = Pair::start();
    let ada = Person::with_keys(&pair.north, "ada", 1).await;
    let bare = Person::register(&pair.north, "bare", 2).await;
    let ben = Person::register(&pair.south, "ben", 3).await;
    let at_home = ada.call("GET", "/v1/users/ada/devices", None).await;
    for name in [ada.account().to_string(), "ada@north.test".to_owned()] {
        let abroad = ben.call("GET", &format!("/v1/users/{name}/devices"), None).await;
        assert_eq!((abroad.status, &abroad.body), (200, &at_home.body), "{name}");
    }
    let devices: UserDevices = serde_json::from_value(at_home.body.clone()).unwrap();
    let (list, key) = (devices.device_list.unwrap().0, devices.identity_key.unwrap().0);
    list.verify(&ada.account().to_string(), &key, None).unwrap();
    assert_eq!(ben.claim(bare.account(), 1).await.code(), "no_identity");
    assert_eq!(ben.claim(ada.account(), 2).await.status, 200);
    let other = ben.claim(bare.account(), 2).await;
    assert_eq!(other.code(), "no_identity", "a request of nobody's keys is not remembered");
    let nobody = format!("{}@north.test", Uuid::from_u128(0xdead));
    let path = format!("/v1/users/{nobody}/devices");
    assert_eq!(ben.call("GET", &path, None).await.code(), "unknown_user");
    let path = format!("/v1/users/{}/key-changes", ada.account());
    assert_eq!(ben.call("GET", &path, None).await.code(), "region_unreachable");
    // While north is away, what is known goes on; keys cannot be had.
    pair.north.kill();
    let path = format!("/v1/users/{}/devices", ada.account());
    assert_eq!(ben.call("GET", &path, None).await.body, at_home.body);
    let claimed = ben.claim(ada.account(), 3).await;
    assert_eq!((claimed.status, claimed.code()), (503, "region_unreachable"));
    assert!(claimed.retry_after.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_device_abroad_is_noticed_before_anything_is_sent() {
    let pair = Pair::start();
    let mut ada = Person::with_keys(&pair.north, "ada", 1).await;
    let ben = Person::register(&pair.south, "ben", 3).await;
    let text = json!({ "type": "encrypted", "encrypted": true, "body": "x" });
    // They know each other once each has written.
    assert_eq!(ada.send(ben.account(), 1, text).await.status, 200);
    until("ada's message comes", async || {
        ben.inbox().await["messages"].as_array().is_some_and(|all| !all.is_empty())
    })
    .await;
    let one = ada.devices().await;
    let path = format!("/v1/users/{}/devices", ada.account());
    assert_eq!(ben.call("GET", &path, None).await.status, 200);
    let wrong = [(one[0].0, one[0].1 ^ 1)];
    let refused = ben.seal(ada.account(), &wrong, 2).await;
    assert_eq!((refused.status, refused.code()), (409, "stale_devices"));
    assert_eq!(refused.body["stale_devices"]["stale"], json!([one[0].0]));
    assert_eq!(ben.seal(ada.account(), &one, 2).await.status, 200);
    until("ben's message comes", async || {
        ada.inbox().await["messages"].as_array().is_some_and(|all| !all.is_empty())
    })
    .await;
    ada.log_in_again("ada").await;
    ada.sign_list(2).await;
    let both = ada.devices().await;
    // North hints, and south asks: ben is told although he asked for nothing.
    until("the notice comes", async || {
        let inbox = ben.inbox().await;
        let mut events = inbox["events"].as_array().unwrap().iter();
        events.any(|event| {
            event["type"] == "keys"
                && event["user"] == json!(ada.account())
                && event["version"] == 2
        })
    })
    .await;
    let refused = ben.seal(ada.account(), &one, 3).await;
    assert_eq!(refused.body["stale_devices"]["missing"], json!([both[1].0]));
    assert_eq!(ben.seal(ada.account(), &both, 3).await.status, 200);
}

/// Nobody hints at what people do who have not written to each other.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_knows_better_than_their_region_is_believed() {
    let pair = Pair::start();
    let mut ada = Person::with_keys(&pair.north, "ada", 1).await;
    let ben = Person::register(&pair.south, "ben", 3).await;
    let path = format!("/v1/users/{}/devices", ada.account());
    assert_eq!(ben.call("GET", &path, None).await.status, 200);
    ada.log_in_again("ada").await;
    ada.sign_list(2).await;
    let both = ada.devices().await;
    // What ben's region remembers is some seconds old then, and it asks once more.
    until("the second device is known", async || {
        let sent = ben.seal(ada.account(), &both, 3).await;
        assert!(sent.status == 200 || sent.code() == "stale_devices", "{sent:?}");
        sent.status == 200
    })
    .await;
    let refused = ben.seal(ada.account(), &both[..1], 4).await;
    assert_eq!(refused.body["stale_devices"]["missing"], json!([both[1].0]));
}

/// Ben's region has an old list, and Ada's notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_a_message_abroad_did_not_serve_is_supplemented() {
    let pair = Pair::start();
    let mut phone = Person::with_keys(&pair.north, "ada", 1).await;
    let ben = Person::register(&pair.south, "ben", 3).await;
    // Somebody else has written, so that north has spoken with south before it whispers.
    let cem = Person::register(&pair.north, "cem", 5).await;
    let text = json!({ "type": "encrypted", "encrypted": true, "body": "x" });
    assert_eq!(cem.send(ben.account(), 1, text).await.status, 200);
    until("cem's message comes", async || {
        ben.inbox().await["messages"].as_array().is_some_and(|all| !all.is_empty())
    })
    .await;
    let ada = phone.account().clone();
    let path = format!("/v1/users/{ada}/devices");
    assert_eq!(ben.call("GET", &path, None).await.status, 200);
    let one = phone.devices().await;
    let laptop = phone.log_in_again("ada").await;
    phone.sign_list(2).await;
    let both = phone.devices().await;
    let sent = ben.seal(&ada, &one, 7).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    let advice = async || {
        let inbox = ben.inbox().await;
        let all = inbox["events"].as_array().unwrap();
        all.iter().find(|event| event["type"] == "devices_changed").cloned()
    };
    until("the advice comes", async || advice().await.is_some()).await;
    let advice = advice().await.unwrap();
    assert_eq!(advice["message_id"], json!(Uuid::from_u128(7)));
    assert_eq!((&advice["user"], &advice["version"]), (&json!(ada), &json!(2)));
    assert_eq!(advice["missing"], json!([both[1].0]));
    // South hears of the newer list, then takes a ciphertext for the second device.
    until("the supplement is taken", async || {
        let answer = ben.supplement(&ada, &both, 7).await;
        assert!(answer.status == 200 || answer.code() == "stale_devices", "{answer:?}");
        answer.status == 200
    })
    .await;
    let messages =
        async |device: &Person| device.inbox().await["messages"].as_array().unwrap().clone();
    until("the laptop has it", async || !messages(&laptop).await.is_empty()).await;
    let (theirs, first) = (messages(&laptop).await, messages(&phone).await);
    assert_eq!((theirs.len(), first.len()), (1, 1), "each device has it once");
    for field in ["id", "stamp", "origin_number", "server_timestamp"] {
        assert_eq!(theirs[0][field], first[0][field], "{field}");
    }
    assert_eq!(theirs[0]["content"]["ciphertexts"][0]["device"], json!(both[1].0));
    let again = ben.supplement(&ada, &both, 7).await;
    assert_eq!(again.body["stamp"], sent.body["stamp"], "{again:?}");
    let next = ben.seal(&ada, &both, 8).await;
    assert_eq!(next.status, 200, "{next:?}");
    until("the next one comes", async || messages(&laptop).await.len() == 2).await;
    assert_eq!(messages(&laptop).await[1]["origin_number"], json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_of_the_other_region_are_found_and_log_in_at_home() {
    let pair = Pair::start();
    let ada = Person::register(&pair.north, "ada", 1).await;
    let ben = Person::register(&pair.south, "ben", 2).await;
    let found = ben.call("GET", "/v1/users/ada@north.test", None).await;
    assert_eq!(found.status, 200, "{found:?}");
    assert_eq!(found.body, json!({ "account_id": ada.account(), "handle": "ada" }));
    let nobody = ben.call("GET", "/v1/users/nobody@north.test", None).await;
    assert_eq!((nobody.status, nobody.code()), (404, "unknown_user"));
    for user in ["ada@north.test".to_owned(), ada.account().to_string()] {
        let refused = ben.log_in_as(&user).await;
        assert_eq!((refused.status, refused.code()), (400, "bad_request"), "{refused:?}");
        assert!(refused.body["detail"].as_str().unwrap().contains("north.test"), "{refused:?}");
    }
}
