//! Identity keys, device lists, prekeys, bundles, and what devices are told of them.

use posthouse_client::Event;
use posthouse_crypto::e2ee::{
    prekey::bundle::{KemPreKeyPublic, OneTimePreKeyPublic, PreKeyBundle, SignedPreKeyPublic},
    signed::device_list::{DeviceList, SignedDeviceList},
    time::UnixMillis,
};
use posthouse_protocol::{
    content::{Ciphertext, Payload},
    frame::KeysEvent,
    rest::keys::{Bundles, ListDocument, UserDevices},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    calls::{call, devices, notices},
    device::{Device, PASSWORD, submission},
    home::Home,
    http::Answer,
    keyring::Keyring,
};

const IDENTITY: &str = "/v1/keys/identity";
const LIST: &str = "/v1/keys/device-list";
const PREKEYS: &str = "/v1/keys/prekeys";

async fn put(home: &Home, device: &Device, path: &str, body: Value) -> (u16, String) {
    let answer = call(home, "PUT", path, Some(device.token()), Some(body)).await;
    (answer.status, answer.code().to_owned())
}

/// An account with an identity key, a list of its devices and some prekeys.
async fn prepared(home: &Home, handle: &str, seed: u64, keys: usize) -> (Device, Keyring) {
    let device = Device::register(home, handle).await;
    let mut keyring = Keyring::new(seed);
    let identity = json!({ "identity_key": keyring.identity_key() });
    assert_eq!(put(home, &device, IDENTITY, identity).await.0, 204);
    let list = keyring.list(device.account(), 1, &devices(home, &device).await);
    assert_eq!(put(home, &device, LIST, list).await, (204, String::new()));
    let upload = json!(keyring.upload(keys));
    let answer = call(home, "POST", PREKEYS, Some(device.token()), Some(upload)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    (device, keyring)
}

async fn claim(home: &Home, by: &Device, of: &Device, request: u128) -> Answer {
    let path = format!("/v1/users/{}/bundles", of.account());
    let body = json!({ "request_id": Uuid::from_u128(request) });
    call(home, "POST", &path, Some(by.token()), Some(body)).await
}

/// What a client does with an answer: the list and every bundle must verify.
fn verify(bundles: Bundles) -> Vec<PreKeyBundle> {
    let identity = bundles.identity_key.0;
    let list: &SignedDeviceList = &bundles.device_list.unwrap().0;
    let list = list.verify(&bundles.account_id.to_string(), &identity, None).unwrap();
    bundles
        .bundles
        .into_iter()
        .map(|bundle| {
            let device =
                posthouse_crypto::e2ee::address::DeviceId::new(bundle.device.get().into()).unwrap();
            let listed = list.as_list().devices[&device];
            assert_eq!(listed.registration_id, bundle.registration_id.get());
            let made = PreKeyBundle {
                registration_id: bundle.registration_id.get(),
                device,
                identity,
                signed: SignedPreKeyPublic {
                    id: bundle.signed.id.into(),
                    key: bundle.signed.key.0,
                    signature: bundle.signed.signature.0,
                },
                one_time: bundle
                    .one_time
                    .map(|key| OneTimePreKeyPublic { id: key.id.into(), key: key.key.0 }),
                kem: Some(KemPreKeyPublic {
                    id: bundle.kem.id.into(),
                    key: bundle.kem.key.0,
                    signature: bundle.kem.signature.0,
                }),
            };
            made.verify().unwrap().as_bundle().clone()
        })
        .collect()
}

#[tokio::test]
async fn bundles_verify_and_a_lost_answer_burns_no_key() {
    let home = Home::start().await;
    let ben = Device::register(&home, "ben").await;
    let (ada, _) = prepared(&home, "ada", 1, 2).await;
    let answer = claim(&home, &ben, &ada, 1).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let first = answer.body.clone();
    let again = claim(&home, &ben, &ada, 1).await;
    assert_eq!(again.body, first, "the same request is given the same answer");
    let one = verify(serde_json::from_value(first).unwrap());
    let two = verify(serde_json::from_value(claim(&home, &ben, &ada, 2).await.body).unwrap());
    assert_ne!(one[0].one_time, two[0].one_time);
    assert_ne!(one[0].kem, two[0].kem);
    let third: Bundles = serde_json::from_value(claim(&home, &ben, &ada, 3).await.body).unwrap();
    assert!(third.bundles[0].last_resort && third.bundles[0].one_time.is_none());
    verify(third);
    let status = call(&home, "GET", PREKEYS, Some(ada.token()), None).await;
    assert_eq!((&status.body["one_time"], &status.body["one_time_kem"]), (&json!(0), &json!(0)));
    assert_eq!(claim(&home, &ada, &ben, 1).await.code(), "no_identity");
}

#[tokio::test]
async fn claims_are_limited_with_a_time_to_wait() {
    let home = Home::start().await;
    let ben = Device::register(&home, "ben").await;
    let (ada, _) = prepared(&home, "ada", 1, 1).await;
    let mut refused = None;
    for request in 0..12 {
        let answer = claim(&home, &ben, &ada, request).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a limit for this pair of people");
    assert_eq!(refused.code(), "rate_limited");
    assert!(refused.retry_after.is_some_and(|seconds| (1..=300).contains(&seconds)));
    let cem = Device::register(&home, "cem").await;
    assert_eq!(claim(&home, &cem, &ada, 1).await.status, 200, "others are not held back");
}

#[tokio::test]
async fn prekeys_that_a_client_would_refuse_are_refused() {
    let home = Home::start().await;
    let device = Device::register(&home, "ada").await;
    let mut keyring = Keyring::new(1);
    let post =
        async |body: Value| call(&home, "POST", PREKEYS, Some(device.token()), Some(body)).await;
    let good = json!(keyring.upload(3));
    assert_eq!(post(good.clone()).await.code(), "no_identity");
    let identity = json!({ "identity_key": keyring.identity_key() });
    assert_eq!(put(&home, &device, IDENTITY, identity).await.0, 204);
    let other = json!(Keyring::new(2).upload(3));
    for field in ["signed", "last_resort"] {
        let answer = post(json!({ field: other[field] })).await;
        assert_eq!((answer.status, answer.code()), (400, "bad_signature"), "{field}");
    }
    let mut mixed = good.clone();
    mixed["one_time_kem"][2] = other["one_time_kem"][2].clone();
    assert_eq!(post(mixed).await.code(), "bad_signature");
    // Neutral element, not canonical, of the wrong type, too short; a KEM key with one byte less.
    let mut bad = vec![[vec![5], vec![0; 32]].concat(), vec![5; 32], vec![8; 33]];
    bad.push([vec![5], vec![0xff; 32]].concat());
    for key in bad {
        use base64::Engine as _;
        let key = base64::engine::general_purpose::STANDARD.encode(key);
        let answer = post(json!({ "one_time": [{ "id": 9, "key": key }] })).await;
        assert_eq!((answer.status, answer.code()), (400, "bad_json"), "{key}");
        let answer = post(json!({ "one_time_kem": [{ "id": 9, "key": key, "signature": "" }] }));
        assert_eq!(answer.await.code(), "bad_json");
    }
    for id in [json!(0), json!(1 << 24), json!(-1), json!("1")] {
        let mut wrong = good.clone();
        wrong["signed"]["id"] = id;
        assert_eq!(post(wrong).await.code(), "bad_json");
    }
    assert_eq!(post(json!({})).await.code(), "bad_request");
    let many: Vec<Value> = vec![good["one_time"][0].clone(); 101];
    assert_eq!(post(json!({ "one_time": many })).await.code(), "too_large");
    let status = call(&home, "GET", PREKEYS, Some(device.token()), None).await;
    let nothing = json!({"one_time": 0, "one_time_kem": 0, "signed": null, "last_resort": null});
    assert_eq!(status.body, nothing, "a refused upload stores nothing");
    assert_eq!(post(good.clone()).await.body["one_time"], 3);
    assert_eq!(post(good).await.body["one_time"], 3, "sent again");
    keyring.prekeys.replenish(&keyring.identity, 203, &mut keyring.rng);
    let mut next = |target| {
        let mut upload = keyring.upload(target);
        upload.one_time_kem.clear();
        json!(upload)
    };
    assert_eq!(post(next(303)).await.body["one_time"], 103);
    let answer = post(next(401)).await;
    assert_eq!((answer.status, answer.code()), (409, "too_many"));
}

#[tokio::test]
async fn a_list_that_a_client_would_refuse_is_refused() {
    let home = Home::start().await;
    let (ada, mut keyring) = prepared(&home, "ada", 1, 0).await;
    let own = devices(&home, &ada).await;
    let ben = Device::register(&home, "ben").await;
    let account = ada.account().clone();
    let refused = (409, "device_list_refused".to_owned());
    let cases = [
        ("the same version", keyring.list(&account, 1, &own)),
        ("a version too many", keyring.list(&account, 3, &own)),
        ("no device", keyring.list(&account, 2, &[])),
        ("a ghost", keyring.list(&account, 2, &[own[0], (2, 7)])),
        ("another registration id", keyring.list(&account, 2, &[(1, own[0].1 ^ 1)])),
        ("another account", keyring.list(ben.account(), 2, &own)),
    ];
    for (case, list) in cases {
        assert_eq!(put(&home, &ada, LIST, list).await, refused, "{case}");
    }
    let forged = Keyring::new(9).list(&account, 2, &own);
    assert_eq!(put(&home, &ada, LIST, forged).await, (400, "bad_signature".into()));
    assert_eq!(put(&home, &ada, LIST, json!({"list": "AAAA"})).await, (400, "bad_json".into()));
    let list = keyring.list(&account, 2, &own);
    for _ in 0..2 {
        assert_eq!(put(&home, &ada, LIST, list.clone()).await.0, 204, "also sent again");
    }
    let path = format!("/v1/users/{account}/devices");
    let served = call(&home, "GET", &path, Some(ben.token()), None).await;
    assert_eq!(served.body["device_list"], list["list"]);
    let served: UserDevices = serde_json::from_value(served.body).unwrap();
    let (identity, document) = (served.identity_key.unwrap().0, served.device_list.unwrap().0);
    assert_eq!(served.version, 2);
    document.verify(&account.to_string(), &identity, None).unwrap();
    assert!(served.devices.iter().all(|device| device.listed));
    assert_eq!(put(&home, &ben, LIST, list).await.1, "no_identity");
}

/// A number is not used again for 60 days, which everybody reads in `removed`: so it stays there.
#[tokio::test]
async fn a_list_that_forgets_who_is_gone_is_refused() {
    let home = Home::start().await;
    let (ada, mut keyring) = prepared(&home, "ada", 1, 0).await;
    let account = ada.account().clone();
    let laptop = Device::log_in(&home, "ada").await;
    let both = devices(&home, &ada).await;
    assert_eq!(put(&home, &ada, LIST, keyring.list(&account, 2, &both)).await.0, 204);
    let path = format!("/v1/devices/{}", laptop.tokens.device_id);
    assert_eq!(call(&home, "DELETE", &path, Some(ada.token()), None).await.status, 204);
    let own = devices(&home, &ada).await;
    let refused = async |list: Value, why: &str| {
        let answer = call(&home, "PUT", LIST, Some(ada.token()), Some(list)).await;
        assert_eq!((answer.status, answer.code()), (409, "device_list_refused"), "{answer:?}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(why), "\"{why}\" is not in {detail}");
    };
    let gone = "device 2 of the list before is neither in field 4 (devices) nor in field 5";
    refused(keyring.list(&account, 3, &own), gone).await;
    let list = keyring.list_after(&account, 3, &own, &[(2, 3)]);
    assert_eq!(put(&home, &ada, LIST, list).await.0, 204);
    let early = "device 2 was removed less than 60 days before";
    refused(keyring.list(&account, 4, &own), early).await;
    refused(keyring.list_after(&account, 4, &own, &[(2, 2)]), early).await;
    let list = keyring.list_after(&account, 4, &own, &[(2, 3)]);
    assert_eq!(put(&home, &ada, LIST, list).await.0, 204);
    let wrong = DeviceList {
        account: account.to_string(),
        version: 5,
        issued: UnixMillis(0),
        devices: [].into(),
        removed: [].into(),
    };
    let wrong = wrong.sign(&keyring.identity.private, &mut keyring.rng);
    refused(json!({ "list": ListDocument(wrong) }), "field 3 (issued at) lies before").await;
}

#[tokio::test]
async fn two_prekeys_of_one_number_are_refused() {
    let home = Home::start().await;
    let (ada, mut keyring) = prepared(&home, "ada", 1, 0).await;
    let post =
        async |body: Value| call(&home, "POST", PREKEYS, Some(ada.token()), Some(body)).await;
    let good = json!(keyring.upload(2));
    let last = good["last_resort"].clone();
    let twice = |list: &str| json!({ list: [good[list][0], good[list][1], good[list][0]] });
    // One of the one-time keys has the number of the last-resort one, here and in what is stored.
    let mut same = good["one_time_kem"][0].clone();
    same["id"] = last["id"].clone();
    let both = json!({ "one_time_kem": [same], "last_resort": last });
    let stored = json!({ "one_time_kem": [same] });
    for (upload, why) in [
        (twice("one_time_kem"), "two KEM keys have the id"),
        (twice("one_time"), "two one-time keys have the id"),
        (both, "two KEM keys have the id"),
        (stored, "a one-time KEM key and the last-resort one have the id"),
    ] {
        let answer = post(upload).await;
        assert_eq!((answer.status, answer.code()), (400, "bad_request"), "{answer:?}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(why), "\"{why}\" is not in {detail}");
    }
    let status = call(&home, "GET", PREKEYS, Some(ada.token()), None).await;
    assert_eq!((&status.body["one_time"], &status.body["one_time_kem"]), (&json!(0), &json!(0)));
    assert_eq!(post(good).await.body["one_time_kem"], 2);
}

#[tokio::test]
async fn an_identity_is_changed_with_the_password_only_and_logged() {
    let home = Home::start().await;
    let (mut ada, first) = prepared(&home, "ada", 1, 3).await;
    let mut ben = Device::register(&home, "ben").await;
    let stranger = Device::register(&home, "cem").await;
    ada.catch_up(&home).await;
    ben.catch_up(&home).await;
    ada.write(ben.account(), "hi").await;
    ben.write(ada.account(), "hello").await;
    let second = Keyring::new(2);
    let key = second.identity_key();
    let change = |password: Option<&str>| json!({"identity_key": key, "password": password});
    let wrong = (401, "wrong_credentials".to_owned());
    assert_eq!(put(&home, &ada, IDENTITY, change(None)).await, wrong);
    assert_eq!(put(&home, &ada, IDENTITY, change(Some("wrong password"))).await, wrong);
    let same = json!({ "identity_key": first.identity_key() });
    assert_eq!(put(&home, &ada, IDENTITY, same).await.0, 204, "nothing changes");
    assert_eq!(put(&home, &ada, IDENTITY, change(Some(PASSWORD))).await.0, 204);
    let path = format!("/v1/users/{}/key-changes", ada.account());
    let log = call(&home, "GET", &path, Some(stranger.token()), None).await.body;
    let keys: Vec<&Value> =
        log["changes"].as_array().unwrap().iter().map(|one| &one["identity_key"]).collect();
    assert_eq!(keys, [&first.identity_key(), &key]);
    let status = call(&home, "GET", PREKEYS, Some(ada.token()), None).await;
    assert_eq!(status.body["signed"], Value::Null, "what the old key signed is gone");
    // Those who know her are told at once, a stranger is not.
    let told = ben.wait(|event| match event {
        Event::Keys(frame) if frame.event == KeysEvent::Identity => frame.user,
        _ => None,
    });
    assert_eq!(&told.await, ada.account());
    let about = |notices: Vec<Value>| {
        let identity = notices.into_iter().filter(|one| one["event"] == "identity");
        identity.map(|one| one["user"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(about(notices(&home, &ben).await), [json!(ada.account())]);
    assert!(about(notices(&home, &stranger).await).is_empty());
}

#[tokio::test]
async fn devices_that_are_not_listed_yet_get_no_ciphertexts() {
    let home = Home::start().await;
    let (phone, mut keyring) = prepared(&home, "ada", 1, 1).await;
    let mut ben = Device::register(&home, "ben").await;
    ben.catch_up(&home).await;
    let account = phone.account().clone();
    let laptop = Device::log_in(&home, "ada").await;
    let both = devices(&home, &phone).await;
    let sealed = |to: &[(u64, u32)]| {
        let mut submission = submission(&account, "");
        let one = |(number, registration): &(u64, u32)| Ciphertext {
            user: None,
            device: u8::try_from(*number).unwrap().try_into().unwrap(),
            registration_id: (*registration).try_into().unwrap(),
            kind: 2,
            data: "AAAA".into(),
        };
        submission.content.payload = Payload::Ciphertexts(to.iter().map(one).collect());
        submission
    };
    let refusal = ben.submit(sealed(&both)).await.unwrap_err();
    assert_eq!(refusal.stale_devices.unwrap().extra, [2], "nobody vouches for it yet");
    ben.submit(sealed(&both[..1])).await.unwrap();
    // The phone was told, and signs.
    let told = notices(&home, &phone).await;
    let newest = told.iter().rfind(|one| one["event"] == "device_list").unwrap();
    assert_eq!((&newest["user"], &newest["version"]), (&json!(account), &json!(1)));
    let list = keyring.list(&account, 2, &both);
    assert_eq!(put(&home, &phone, LIST, list).await.0, 204);
    assert_eq!(ben.submit(sealed(&both[..1])).await.unwrap_err().code, "stale_devices");
    ben.submit(sealed(&both)).await.unwrap();
    let only = json!({"request_id": Uuid::from_u128(1), "devices": [2]});
    let path = format!("/v1/users/{account}/bundles");
    let answer = call(&home, "POST", &path, Some(ben.token()), Some(only)).await;
    assert_eq!(answer.body["without_keys"], json!([2]));
    drop(laptop);
}

#[tokio::test]
async fn devices_are_listed_renamed_and_revoked_by_their_account_only() {
    let home = Home::start().await;
    let phone = Device::register(&home, "ada").await;
    let mut laptop = Device::log_in(&home, "ada").await;
    let ben = Device::register(&home, "ben").await;
    laptop.connect(&home).await;
    let path = format!("/v1/devices/{}", laptop.tokens.device_id);
    let name = json!({ "name": " Ada's laptop " });
    let refused = put(&home, &ben, &path, name.clone()).await;
    assert_eq!(refused, (404, "not_found".into()));
    assert_eq!(put(&home, &phone, &path, json!({"name": "a\nb"})).await.1, "bad_request");
    assert_eq!(put(&home, &phone, &path, name).await.0, 204);
    let list = call(&home, "GET", "/v1/devices", Some(phone.token()), None).await.body;
    let names: Vec<_> =
        list["devices"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, [json!("unnamed device"), json!("Ada's laptop")]);
    assert_eq!(list["devices"][0]["current"], true);
    assert_eq!(call(&home, "DELETE", &path, Some(ben.token()), None).await.status, 404);
    assert_eq!(call(&home, "DELETE", &path, Some(phone.token()), None).await.status, 204);
    assert_eq!(laptop.closed().await.code, 4003);
    assert_eq!(call(&home, "GET", "/v1/devices", Some(laptop.token()), None).await.status, 401);
    assert_eq!(call(&home, "DELETE", &path, Some(phone.token()), None).await.status, 404);
    assert_eq!(devices(&home, &phone).await.len(), 1);
}

#[tokio::test]
async fn a_device_is_told_that_its_keys_run_low_and_its_siblings_are_not() {
    let home = Home::start().await;
    let (ada, mut keyring) = prepared(&home, "ada", 1, 21).await;
    let sibling = Device::log_in(&home, "ada").await;
    let list = keyring.list(ada.account(), 2, &devices(&home, &ada).await);
    assert_eq!(put(&home, &ada, LIST, list).await.0, 204);
    let low = async |device: &Device| {
        let low = notices(&home, device).await;
        low.into_iter().filter(|one| one["event"] == "prekeys_low").collect::<Vec<_>>()
    };
    let ben = Device::register(&home, "ben").await;
    claim(&home, &ben, &ada, 1).await;
    assert!(low(&ada).await.is_empty(), "20 are left");
    claim(&home, &ben, &ada, 2).await;
    let told = low(&ada).await;
    assert_eq!((&told[0]["one_time"], &told[0]["one_time_kem"]), (&json!(19), &json!(19)));
    assert!(low(&sibling).await.is_empty());
}

#[tokio::test]
async fn a_silent_device_is_unlinked_with_notice_and_the_last_one_stays() {
    const DAY: u64 = 24 * 3_600_000;
    let home = Home::start().await;
    let phone = Device::register(&home, "ada").await;
    let laptop = Device::log_in(&home, "ada").await;
    let alone = Device::register(&home, "ben").await;
    home.clock.pass(44 * DAY);
    let refresh = json!({ "refresh_token": phone.tokens.refresh_token });
    let answer = call(&home, "POST", "/v1/sessions/refresh", None, Some(refresh)).await;
    let again = Device { tokens: serde_json::from_value(answer.body).unwrap(), ..phone };
    assert_eq!(home.region().silent_devices().round().await.unwrap(), 0);
    let told = notices(&home, &again).await.len();
    let before = notices(&home, &again).await;
    home.clock.pass(2 * DAY);
    assert_eq!(home.region().silent_devices().round().await.unwrap(), 1);
    let refresh = json!({ "refresh_token": again.tokens.refresh_token });
    let answer = call(&home, "POST", "/v1/sessions/refresh", None, Some(refresh)).await;
    let again = Device { tokens: serde_json::from_value(answer.body).unwrap(), ..again };
    assert_eq!(devices(&home, &again).await.len(), 1, "the laptop is gone");
    let after = notices(&home, &again).await;
    assert_eq!(after.len(), told, "a newer notice replaces the older one");
    assert_ne!(after, before, "the phone is told");
    for (device, status) in [(&laptop, 401), (&alone, 200)] {
        let refresh = json!({ "refresh_token": device.tokens.refresh_token });
        let answer = call(&home, "POST", "/v1/sessions/refresh", None, Some(refresh)).await;
        assert_eq!(answer.status, status);
    }
}
