//! Messages that are sent once more, for devices that they did not serve.

use posthouse_client::{Event, Message};
use posthouse_protocol::{
    content::{Ciphertext, Payload},
    frame::{Class, Submission},
    id::{AccountId, MessageId},
    status::Seen,
};
use serde_json::json;

use super::{
    calls::{call, devices},
    device::{Device, submission},
    home::Home,
};

/// A ciphertext for each of these devices, which says what it is.
fn sealed(id: MessageId, to: &AccountId, devices: &[(u64, u32)], data: &str) -> Submission {
    let one = |(number, registration): &(u64, u32)| Ciphertext {
        user: None,
        device: u8::try_from(*number).unwrap().try_into().unwrap(),
        registration_id: (*registration).try_into().unwrap(),
        kind: 1,
        data: data.into(),
    };
    let payload = Payload::Ciphertexts(devices.iter().map(one).collect());
    let mut submission = submission(to, "");
    submission.id = id;
    submission.content.payload = payload;
    submission
}

fn supplement(id: MessageId, to: &AccountId, devices: &[(u64, u32)], data: &str) -> Submission {
    Submission { supplement: true, ..sealed(id, to, devices, data) }
}

fn data(message: &Message) -> &str {
    match &message.content.payload {
        Payload::Ciphertexts(all) => &all[0].data,
        Payload::Body(_) => panic!("ciphertexts are expected"),
    }
}

#[tokio::test]
async fn a_supplement_serves_only_devices_that_were_not_served() {
    let home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let mut phone = Device::register(&home, "ben").await;
    ada.catch_up(&home).await;
    phone.catch_up(&home).await;
    let ben = phone.account().clone();
    let one = devices(&home, &phone).await;
    let first = sealed(super::device::new_id(), &ben, &one, "AAAA");
    let id = first.id;
    let sent = ada.submit(first).await.unwrap();
    assert_eq!(phone.message().await.id, id);
    phone.ack(vec![id], Seen::Delivered).await;

    let mut laptop = Device::log_in(&home, "ben").await;
    laptop.catch_up(&home).await;
    let both = devices(&home, &phone).await;
    let again = ada.submit(supplement(id, &ben, &both, "BBBB")).await.unwrap();
    assert_eq!((again.stamp, again.origin_number), (sent.stamp, sent.origin_number));
    let came = laptop.message().await;
    assert_eq!((came.id, data(&came)), (id, "BBBB"));
    let place = came.place.unwrap();
    assert_eq!((Some(place.stamp), Some(place.origin_number)), (sent.stamp, sent.origin_number));
    laptop.ack(vec![id], Seen::Delivered).await;
    // A repetition serves nobody, with whatever it says.
    let repeated = ada.submit(supplement(id, &ben, &both, "CCCC")).await.unwrap();
    assert_eq!(repeated.stamp, sent.stamp);
    // The conversation goes on after it as if it had not been.
    let next = ada.submit(sealed(super::device::new_id(), &ben, &both, "DDDD")).await.unwrap();
    assert_eq!(next.origin_number, sent.origin_number.map(|number| number + 1));
    for device in [&mut phone, &mut laptop] {
        assert_eq!(data(&device.message().await), "DDDD", "nothing came twice");
    }
    // What a device acknowledged stays so, and the sender is told of no gap.
    phone.ack(vec![next.message_id], Seen::Delivered).await;
    let mark = ada.watermark(posthouse_protocol::status::Status::Delivered).await;
    assert!(mark.except.is_empty(), "{mark:?}");
}

#[tokio::test]
async fn own_devices_are_supplemented_and_others_are_refused() {
    let home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let ben = Device::register(&home, "ben").await;
    let mut cem = Device::register(&home, "cem").await;
    ada.catch_up(&home).await;
    cem.catch_up(&home).await;
    let to = ben.account().clone();
    let one = devices(&home, &ben).await;
    let id = super::device::new_id();
    ada.submit(sealed(id, &to, &one, "AAAA")).await.unwrap();
    let mut tablet = Device::log_in(&home, "ada").await;
    tablet.catch_up(&home).await;
    let own = devices(&home, &ada).await;
    let mut copy = supplement(id, &to, &own[1..], "BBBB");
    let Payload::Ciphertexts(all) = &mut copy.content.payload else { unreachable!() };
    all[0].user = Some(ada.account().clone());
    ada.submit(copy).await.unwrap();
    let came = tablet.message().await;
    assert_eq!((came.id, came.to.as_deref()), (id, Some(to.to_string().as_str())));

    let refused = async |ada: &mut Device, submission: Submission| {
        ada.submit(submission).await.unwrap_err().code
    };
    let unknown = super::device::new_id();
    assert_eq!(refused(&mut ada, supplement(unknown, &to, &one, "AAAA")).await, "not_found");
    let elsewhere = devices(&home, &cem).await;
    let other = supplement(id, cem.account(), &elsewhere, "AAAA");
    assert_eq!(refused(&mut ada, other).await, "not_found", "it was not for her");
    assert_eq!(refused(&mut cem, supplement(id, &to, &one, "AAAA")).await, "not_found", "not hers");
    let ghost = [(9, one[0].1)];
    assert_eq!(refused(&mut ada, supplement(id, &to, &ghost, "AAAA")).await, "stale_devices");
    let mut body = submission(&to, "x");
    (body.id, body.supplement) = (id, true);
    assert_eq!(refused(&mut ada, body).await, "bad_request");
    let mut ephemeral = supplement(id, &to, &one, "AAAA");
    ephemeral.class = Class::Ephemeral;
    assert_eq!(refused(&mut ada, ephemeral).await, "bad_request");
    // A message with one body for all has served them all.
    let whole = ada.write(&to, "hello").await;
    let more = supplement(whole.message_id, &to, &one, "AAAA");
    assert_eq!(refused(&mut ada, more).await, "bad_request");
}

/// Who is blocked is answered as everybody else.
#[tokio::test]
async fn a_blocked_sender_cannot_tell_by_a_supplement() {
    let home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let phone = Device::register(&home, "ben").await;
    ada.catch_up(&home).await;
    let ben = phone.account().clone();
    let one = devices(&home, &phone).await;
    let id = super::device::new_id();
    ada.submit(sealed(id, &ben, &one, "AAAA")).await.unwrap();
    let block = json!({ "user": ada.account() });
    let blocked = call(&home, "POST", "/v1/blocks", Some(phone.token()), Some(block)).await;
    assert_eq!(blocked.status, 204, "{blocked:?}");
    let mut laptop = Device::log_in(&home, "ben").await;
    laptop.catch_up(&home).await;
    let both = devices(&home, &phone).await;
    ada.submit(supplement(id, &ben, &both, "BBBB")).await.unwrap();
    let came = laptop.settle().await;
    assert!(!came.iter().any(|event| matches!(event, Event::Message(_))), "{came:?}");
}
