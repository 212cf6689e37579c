//! The core against servers that lie. Devices with real keys; what a server would say is made up
//! here.

mod groups;
mod invitations;
mod profiles;
mod typing;
mod words;
mod world;

use posthouse_crypto::e2ee::{
    address::DeviceId,
    primitives::curve::KeyPair,
    signed::device_list::{DeviceList, ListedDevice},
    time::UnixMillis,
};
use posthouse_protocol::{
    id::DeviceNumber,
    rest::keys::{EcKey, ListDocument, PreKeyStatus, UserDevice},
    status::Status,
};
use rand::{SeedableRng, rngs::StdRng};

use self::{
    words::ciphertexts_for,
    world::{Device, number, registration},
};
use super::{Answer, Call, ListChange};
use crate::{Misbehaviour, Update};

fn refused(updates: &[Update]) -> Vec<&Misbehaviour> {
    let mut reasons = Vec::new();
    for update in updates {
        if let Update::Refused { reason, .. } = update {
            reasons.push(reason);
        }
    }
    reasons
}

fn texts(updates: &[Update]) -> Vec<&str> {
    let mut texts = Vec::new();
    for update in updates {
        if let Update::Message(entry) = update {
            texts.extend(entry.said.text());
        }
    }
    texts
}

/// Ada has written to Ben, who has answered.
async fn acquainted() -> (Device, Device) {
    let (mut ada, mut ben) = (Device::new("ada", 1), Device::new("ben", 2));
    ada.connect(&mut ben).await;
    ben.connect(&mut ada).await;
    let frames = ada.say(&mut ben, "hello").await;
    let got = ben.deliver(&ada, &frames).await;
    assert_eq!(texts(&got), ["hello"]);
    ada.taken(&frames).await;
    let frames = ben.say(&mut ada, "hello to you").await;
    let got = ada.deliver(&ben, &frames).await;
    assert_eq!(texts(&got), ["hello to you"]);
    ben.taken(&frames).await;
    (ada, ben)
}

#[tokio::test]
async fn a_ghost_among_the_devices_gets_nothing_and_is_named() {
    let (mut ada, mut ben) = acquainted().await;
    let mut answer = ben.published();
    answer.devices.push(UserDevice {
        device: number(9),
        registration_id: registration(666),
        listed: true,
    });
    let call = Call::Devices(ben.account().clone());
    let effects = ada.answer(&call, Answer::Devices(Box::new(answer))).await;
    assert_eq!(refused(&effects.updates), [&Misbehaviour::Ghost { device: 9 }]);
    let frames = ada.say(&mut ben, "for ben alone").await;
    assert_eq!(ciphertexts_for(&frames[0]), [1]);
}

#[tokio::test]
async fn a_ghost_that_the_server_misses_is_named_and_the_message_stays() {
    let (mut ada, mut ben) = acquainted().await;
    let frames = ada.say(&mut ben, "secret").await;
    let id = words::id_of(&frames[0]);
    let mut complaints = Vec::new();
    // The server insists; time passes between the attempts.
    for _ in 0..4 {
        let mut all = ada.frame(&words::stale(id, ben.account(), &[9])).await;
        while let Some(call) = all.calls.pop() {
            let answer = ada.ask(&call, &ben);
            let effects = ada.answer(&call, answer).await;
            complaints.extend(refused(&effects.updates).into_iter().cloned());
            all.frames.extend(effects.frames);
        }
        ada.wait(100_000);
        all.frames.extend(ada.idle(&mut ben).await);
        for frame in all.frames.iter().filter(|frame| frame.contains("ciphertexts")) {
            assert_eq!(ciphertexts_for(frame), [1], "nothing for the ghost");
        }
    }
    assert_eq!(complaints, [Misbehaviour::Ghost { device: 9 }]);
    assert_eq!(ada.waiting().await, 1, "it is neither lost nor sent to a ghost");
}

#[tokio::test]
async fn an_older_own_list_is_no_lie_while_the_newer_one_is_on_its_way() {
    let (mut ada, _) = acquainted().await;
    let own = Call::Devices(ada.account().clone());
    let older = || ada_says(&ada);
    let [before, after, later] = [older(), older(), older()];
    let add = ListChange::Add { device: number(2), registration_id: registration(7) };
    let calls = ada.change_list(add).await;
    assert!(calls.contains(&Call::List(2)), "{calls:?}");
    let effects = ada.answer(&own, before).await;
    assert!(refused(&effects.updates).is_empty(), "it is not published: {:?}", effects.updates);
    ada.answer(&Call::List(2), Answer::Done).await;
    let effects = ada.answer(&own, after).await;
    assert!(refused(&effects.updates).is_empty(), "the answer was on its way");
    let effects = ada.answer(&own, later).await;
    assert_eq!(refused(&effects.updates), [&Misbehaviour::Rollback { known: 2 }]);
}

/// What the homeserver of a device says of its account's devices.
fn ada_says(device: &Device) -> Answer {
    Answer::Devices(Box::new(device.published()))
}

#[tokio::test]
async fn a_device_that_is_gone_stands_in_the_way_of_no_other() {
    let (mut ada, _) = acquainted().await;
    let own = Call::Devices(ada.account().clone());
    let add = |device| ListChange::Add { device: number(device), registration_id: registration(7) };
    ada.change_list(add(2)).await;
    ada.answer(&Call::List(2), Answer::Done).await;
    assert_eq!(ada.listed().await, [1, 2]);
    // It logs out: the homeserver tells devices 1 and 3, and takes no list that names device 2.
    ada.change_list(add(3)).await;
    assert_eq!(ada.listed().await, [1, 2, 3]);
    let effects = ada.answer(&Call::List(3), Answer::Refused("device_list_refused".into())).await;
    assert!(effects.calls.contains(&own), "{:?}", effects.calls);
    let mut told = ada.published();
    told.device_list = Some(ada.own_list().await);
    let effects = ada.answer(&own, Answer::Devices(Box::new(told))).await;
    assert!(effects.calls.contains(&Call::List(3)), "{:?}", effects.calls);
    assert_eq!(ada.listed().await, [1, 3]);
}

#[tokio::test]
async fn a_message_of_a_ghost_is_asked_about_once() {
    let (mut ada, mut ben) = acquainted().await;
    let said = ben.say(&mut ada, "from nowhere").await;
    let frame =
        ada.as_delivered(&ben, &said[0]).replace(r#""from_device":1"#, r#""from_device":9"#);
    let call = Call::Devices(ben.account().clone());
    let held = ada.frame(&frame).await;
    assert_eq!(held.calls, std::slice::from_ref(&call));
    let answer = ada.ask(&call, &ben);
    let effects = ada.answer(&call, answer).await;
    assert!(effects.calls.is_empty(), "it is not asked again: {:?}", effects.calls);
    assert_eq!(refused(&effects.updates), [&Misbehaviour::Ghost { device: 9 }]);
}

#[tokio::test]
async fn a_list_that_was_rolled_back_or_forged_is_refused() {
    let (mut ada, ben) = acquainted().await;
    let call = Call::Devices(ben.account().clone());
    let mut rng = StdRng::seed_from_u64(99);
    let with_ghost = |version, by: &KeyPair, rng: &mut StdRng| {
        let now = UnixMillis(world::START + 1_000);
        let one = |number, registration_id| {
            (DeviceId::new(number).unwrap(), ListedDevice { registration_id, added: now })
        };
        let list = DeviceList {
            account: ben.account().to_string(),
            version,
            issued: now,
            devices: [one(1, ben.registration_id()), one(9, 666)].into_iter().collect(),
            removed: std::collections::BTreeMap::new(),
        };
        ListDocument(list.sign(&by.private, rng))
    };
    let stranger = KeyPair::generate(&mut rng);
    let mut forged = ben.published();
    forged.device_list = Some(with_ghost(2, &stranger, &mut rng));
    let effects = ada.answer(&call, Answer::Devices(Box::new(forged))).await;
    assert_eq!(refused(&effects.updates), [&Misbehaviour::Signature]);
    // Ben signs a second version, and the server shows the first one again.
    let first = ben.published();
    let mut second = ben.published();
    second.device_list = Some(with_ghost(2, ben.identity(), &mut rng));
    let effects = ada.answer(&call, Answer::Devices(Box::new(second))).await;
    let told = |update: &Update| matches!(update, Update::DevicesChanged { devices, .. } if *devices == [1, 9]);
    assert!(effects.updates.iter().any(told), "what ben signs is believed");
    let effects = ada.answer(&call, Answer::Devices(Box::new(first))).await;
    assert_eq!(refused(&effects.updates), [&Misbehaviour::Rollback { known: 2 }]);
    let mut fork = ben.published();
    fork.device_list = Some(with_ghost(2, ben.identity(), &mut rng));
    let mut none = fork.clone();
    let effects = ada.answer(&call, Answer::Devices(Box::new(fork))).await;
    assert!(refused(&effects.updates).is_empty(), "the same list signed again is the same list");
    none.device_list = None;
    let effects = ada.answer(&call, Answer::Devices(Box::new(none))).await;
    assert!(refused(&effects.updates).is_empty(), "told once: {:?}", effects.updates);
}

#[tokio::test]
async fn a_changed_key_stops_everything_until_it_is_accepted() {
    let (mut ada, ben) = acquainted().await;
    // Ben sets his account up anew, with other keys.
    let mut anew = Device::with("ben", ben.account().clone(), 77);
    anew.connect(&mut ada).await;
    let frames = anew.say(&mut ada, "it is me").await;
    let got = ada.deliver(&anew, &frames).await;
    assert!(texts(&got).is_empty(), "it is not believed");
    let changed = |update: &Update| matches!(update, Update::KeyChanged { user, .. } if user == ben.account());
    assert!(got.iter().any(changed), "{got:?}");
    let frames = ada.say(&mut anew, "who are you").await;
    assert!(frames.is_empty(), "nothing is sent to an unknown key");
    let (frames, told) = ada.accept_key(&mut anew).await;
    assert_eq!(texts(&told), ["it is me"], "what was put aside is read now");
    let got = anew.deliver(&ada, &frames).await;
    assert_eq!(texts(&got), ["who are you"]);
}

#[tokio::test]
async fn a_frame_that_comes_again_is_shown_once_and_acknowledged_again() {
    let (mut ada, mut ben) = acquainted().await;
    let frames = ada.say(&mut ben, "once").await;
    let frame = ben.as_delivered(&ada, &frames[0]);
    let first = ben.frame(&frame).await;
    assert_eq!(texts(&first.updates), ["once"]);
    let again = ben.frame(&frame).await;
    assert!(again.updates.is_empty(), "{:?}", again.updates);
    assert_eq!(first.frames, again.frames, "the acknowledgement");
    assert!(first.frames[0].contains(r#""type":"ack""#), "{:?}", first.frames);
    // The acknowledgement may have been lost with the connection.
    ben.queue(&ada, "an answer").await;
    let reconnected = ben.reconnect().await;
    assert_eq!(reconnected.frames[0], first.frames[0], "before anything else");
    assert!(reconnected.frames.len() > 1, "{:?}", reconnected.frames);
}

/// The connection was cut before `sent` came; the status of many comes first on the next one.
#[tokio::test]
async fn a_watermark_that_overtakes_sent_counts_for_the_message() {
    let (mut ada, mut ben) = acquainted().await;
    let frames = ada.say(&mut ben, "how far?").await;
    let number = ada.next_number();
    ada.frame(&ada.watermark(ben.account(), "delivered", number, &[])).await;
    assert_eq!(ada.taken(&frames).await, [Status::Sent, Status::Delivered]);
    // One that it excepts stays where it is.
    let frames = ada.say(&mut ben, "and this one?").await;
    let number = ada.next_number();
    ada.frame(&ada.watermark(ben.account(), "delivered", number + 1, &[number])).await;
    assert_eq!(ada.taken(&frames).await, [Status::Sent]);
}

/// So does the receipt: what was read does not become delivered again.
#[tokio::test]
async fn a_receipt_that_overtakes_sent_stays() {
    let (mut ada, mut ben) = acquainted().await;
    let frames = ada.say(&mut ben, "how far?").await;
    ben.deliver(&ada, &frames).await;
    let receipt = ben.read(&mut ada).await;
    // The first one of all, and this one.
    assert_eq!(ada.deliver_all(&ben, &receipt).await.statuses, [Status::Read; 2]);
    let number = ada.next_number();
    ada.frame(&ada.watermark(ben.account(), "delivered", number, &[])).await;
    assert_eq!(ada.taken(&frames).await, [], "it was read");
}

/// A region says that a message did not reach a device there.
#[tokio::test]
async fn what_did_not_reach_a_device_is_sent_again_in_its_own_name() {
    let (mut ada, mut ben) = acquainted().await;
    let first = ada.say(&mut ben, "where are you?").await;
    ada.taken(&first).await;
    let id = words::id_of(&first[0]);
    let unserved = words::unserved(id, ben.account(), &[1]);
    let outcome = ada.frame(&unserved).await;
    let sealed = outcome.frames.iter().any(|frame| frame.contains("ciphertexts"));
    assert!(!sealed, "the devices are asked for first");
    let again = ada.serve(outcome.calls, &mut ben).await;
    assert_eq!(again.len(), 1);
    assert_ne!(words::id_of(&again[0]), id);
    let got = ben.deliver(&ada, &again).await;
    assert_eq!(texts(&got), ["where are you?"]);
    assert_eq!(texts(&ben.deliver(&ada, &first).await), [""; 0], "it is shown once");
    ada.taken(&again).await;
    // The copy is not sent again, and the message not for ever.
    for _ in 0..9 {
        let copy = words::unserved(words::id_of(&again[0]), ben.account(), &[1]);
        assert!(ada.frame(&copy).await.calls.is_empty());
        let outcome = ada.frame(&unserved).await;
        let more = ada.serve(outcome.calls, &mut ben).await;
        ada.taken(&more).await;
    }
    assert!(ada.frame(&unserved).await.calls.is_empty());
    let others = words::unserved(id, ada.account(), &[1]);
    assert!(ada.frame(&others).await.calls.is_empty(), "it was not to them");
}

#[tokio::test]
async fn what_cannot_be_read_is_asked_for_and_shown_at_its_place() {
    let (mut ada, mut ben) = acquainted().await;
    ben.forget_sessions().await;
    let frames = ada.say(&mut ben, "lost").await;
    let lost = ben.as_delivered(&ada, &frames[0]);
    let effects = ben.frame(&lost).await;
    assert!(matches!(effects.updates[..], [Update::Undecryptable { .. }]), "{:?}", effects.updates);
    let mut asked = effects.frames;
    asked.extend(ben.serve(effects.calls, &mut ada).await);
    let requests: Vec<_> =
        asked.into_iter().filter(|frame| frame.contains("ciphertexts")).collect();
    let effects = ada.deliver_all(&ben, &requests).await;
    let mut resent: Vec<_> =
        effects.frames.into_iter().filter(|frame| frame.contains("ciphertexts")).collect();
    resent.extend(ada.serve(effects.calls, &mut ben).await);
    let got = ben.deliver(&ada, &resent).await;
    assert_eq!(texts(&got), ["lost"]);
    let Update::Message(entry) = &got[0] else { panic!("{got:?}") };
    assert_eq!(entry.id, words::id_of(&frames[0]), "under its first name");
    assert!(ben.deliver(&ada, &resent).await.is_empty(), "and once");
}

#[tokio::test]
async fn waits_for_keys_and_says_so() {
    let (mut ada, mut ben) = (Device::new("ada", 1), Device::new("ben", 2));
    ada.connect(&mut ben).await;
    let mut bare = ben.published();
    (bare.identity_key, bare.device_list, bare.version) = (None::<EcKey>, None, 0);
    let effects = ada.queue(&ben, "early").await;
    let [call] = effects.calls.as_slice() else { panic!("{:?}", effects.calls) };
    let effects = ada.answer(call, Answer::Devices(Box::new(bare))).await;
    assert!(
        matches!(effects.updates[..], [Update::WaitingForKeys { .. }]),
        "{:?}",
        effects.updates
    );
    assert!(effects.frames.is_empty());
    ada.wait(60_000);
    ben.connect(&mut ada).await;
    let frames = ada.idle(&mut ben).await;
    assert_eq!(texts(&ben.deliver(&ada, &frames).await), ["early"]);
}

/// Two own devices let another one in at the same time.
#[tokio::test]
async fn a_list_that_came_second_is_signed_again() {
    let (mut ada, _) = acquainted().await;
    let second = ListChange::Add { device: number(2), registration_id: registration(22) };
    let [call] = ada.change_list(second).await.try_into().unwrap();
    let third = ListChange::Add { device: number(3), registration_id: registration(33) };
    assert!(ada.change_list(third).await.is_empty(), "one after the other");
    // Another device has signed a second version with device 4.
    let mut quicker = ada.published();
    let mut rng = StdRng::seed_from_u64(1);
    let now = UnixMillis(world::START + 1_000);
    let one = |number, registration_id| {
        (DeviceId::new(number).unwrap(), ListedDevice { registration_id, added: now })
    };
    let list = DeviceList {
        account: ada.account().to_string(),
        version: 2,
        issued: now,
        devices: [one(1, ada.registration_id()), one(4, 44)].into_iter().collect(),
        removed: std::collections::BTreeMap::new(),
    };
    quicker.device_list = Some(ListDocument(list.sign(&ada.identity().private, &mut rng)));
    let (device, registration_id) = (number(4), registration(44));
    quicker.devices.push(UserDevice { device, registration_id, listed: true });
    let asks = ada.answer(&call, Answer::Refused("conflict".to_owned())).await.calls;
    let [asks] = asks.try_into().unwrap();
    let effects = ada.answer(&asks, Answer::Devices(Box::new(quicker))).await;
    assert_eq!(effects.calls, [Call::List(3)]);
    assert_eq!(ada.listed().await, [1, 2, 4]);
    let effects = ada.answer(&Call::List(3), Answer::Done).await;
    assert_eq!(effects.calls, [Call::List(4)]);
    let effects = ada.answer(&Call::List(4), Answer::Done).await;
    assert!(effects.calls.is_empty());
    assert_eq!(ada.listed().await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn prekeys_that_run_low_or_grow_old_are_made_anew() {
    let (mut ada, _) = acquainted().await;
    let status = |one_time, signed, last_resort| {
        Answer::PreKeys(PreKeyStatus {
            one_time,
            one_time_kem: one_time,
            signed: Some(signed),
            last_resort: Some(last_resort),
        })
    };
    let upload = ada.upkeep(status(19, 1, 2)).await.unwrap();
    assert_eq!((upload.one_time.len(), upload.one_time_kem.len()), (81, 81));
    assert!(upload.signed.is_none(), "the signed one is young");
    assert!(ada.upkeep(status(100, 1, 2)).await.is_none());
    ada.wait(7 * 24 * 60 * 60 * 1000);
    let upload = ada.upkeep(status(100, 1, 2)).await.unwrap();
    let signed = u32::from(upload.signed.unwrap().id);
    assert!(signed > 1 && upload.one_time.is_empty() && upload.last_resort.is_some());
    assert!(ada.upkeep(status(100, signed, signed + 1)).await.is_none());
}

/// The own device list names what its person let in: a device that the server adds is not signed.
#[tokio::test]
async fn no_server_adds_an_own_device() {
    let (mut ada, mut ben) = acquainted().await;
    let mut answer = ada.published();
    answer.devices.push(UserDevice {
        device: DeviceNumber::try_from(2).unwrap(),
        registration_id: registration(5),
        listed: false,
    });
    let call = Call::Devices(ada.account().clone());
    let effects = ada.answer(&call, Answer::Devices(Box::new(answer))).await;
    assert!(effects.calls.is_empty(), "nothing is signed: {:?}", effects.calls);
    let frames = ada.say(&mut ben, "for ben").await;
    assert_eq!(ciphertexts_for(&frames[0]), [1]);
}
