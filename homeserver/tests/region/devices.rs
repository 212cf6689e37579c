//! Several devices of an account.

use posthouse_client::{Closed, Event};
use posthouse_protocol::{
    content::{Ciphertext, Payload},
    frame::Submission,
    id::{AccountId, DeviceNumber, RegistrationId},
    rest::NewDevice,
    status::{Seen, Status},
};

use super::{
    device::{Device, PASSWORD, log_in, submission, text},
    home::Home,
};

#[tokio::test]
async fn each_device_has_its_own_position() {
    let home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let mut phone = Device::register(&home, "ben").await;
    let mut laptop = Device::log_in(&home, "ben").await;
    ada.catch_up(&home).await;
    phone.catch_up(&home).await;
    let sent = ada.write(phone.account(), "to both").await;
    let on_phone = phone.message().await;
    phone.ack(vec![on_phone.id], Seen::Delivered).await;
    ada.status(sent.message_id, Status::Delivered).await;
    let on_laptop = laptop.catch_up(&home).await;
    assert_eq!(on_laptop, vec![on_phone], "the same entry, the same cursor");
    phone.vanish();
    assert!(phone.catch_up(&home).await.is_empty());
    laptop.vanish();
    assert_eq!(laptop.catch_up(&home).await.len(), 1, "not acknowledged there");
}

#[tokio::test]
async fn the_senders_other_devices_get_a_copy_and_the_sending_one_does_not() {
    let home = Home::start().await;
    let mut phone = Device::register(&home, "ada").await;
    let mut laptop = Device::log_in(&home, "ada").await;
    let mut ben = Device::register(&home, "ben").await;
    for device in [&mut phone, &mut laptop, &mut ben] {
        device.catch_up(&home).await;
    }
    phone.write(ben.account(), "hello").await;
    let copy = laptop.message().await;
    assert_eq!((text(&copy), &copy.from), ("hello", phone.account()));
    assert_eq!(copy.to.as_deref(), Some(ben.account().to_string().as_str()));
    assert_eq!(ben.message().await.to, None);
    assert!(!phone.settle().await.iter().any(|event| matches!(event, Event::Message(_))));
    // A note to oneself.
    laptop.write(&phone.account().clone(), "milk").await;
    assert_eq!(text(&phone.message().await), "milk");
}

#[tokio::test]
async fn a_second_connection_replaces_the_first() {
    let home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let mut ben = Device::register(&home, "ben").await;
    ada.catch_up(&home).await;
    ben.catch_up(&home).await;
    let mut same = ben.again(&home);
    same.catch_up(&home).await;
    let closed = ben.closed().await;
    assert_eq!(closed.code, Closed::REPLACED);
    assert!(!closed.may_reconnect());
    ada.write(ben.account(), "to the newer one").await;
    assert_eq!(text(&same.message().await), "to the newer one");
}

#[tokio::test]
async fn a_stopping_server_tells_its_clients_to_come_back() {
    let mut home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    ada.catch_up(&home).await;
    let ((), closed) = tokio::join!(home.stop(), ada.closed());
    assert_eq!(closed.code, 1012);
    assert!(closed.may_reconnect());
}

fn ciphertext(user: Option<&AccountId>, device: u8, registration: u32, data: &str) -> Ciphertext {
    Ciphertext {
        user: user.cloned(),
        device: DeviceNumber::try_from(device).unwrap(),
        registration_id: RegistrationId::try_from(registration).unwrap(),
        kind: 2,
        data: data.into(),
    }
}

fn sealed(to: &AccountId, ciphertexts: Vec<Ciphertext>) -> Submission {
    let mut submission = submission(to, "");
    submission.content.kind = "encrypted".into();
    submission.content.encrypted = true;
    submission.content.payload = Payload::Ciphertexts(ciphertexts);
    submission
}

async fn device_with(home: &Home, handle: &str, registration: u32) -> Device {
    let mut request = log_in(handle, PASSWORD);
    let registration_id = Some(RegistrationId::try_from(registration).unwrap());
    request.device = NewDevice { name: None, registration_id };
    Device::log_in_with(home, &request).await
}

#[tokio::test]
async fn ciphertexts_must_match_the_devices_and_each_gets_its_own() {
    let home = Home::start().await;
    let first = Device::register(&home, "ada").await;
    first.api.log_out(first.token()).await.unwrap();
    let mut phone = device_with(&home, "ada", 21).await;
    let mut laptop = device_with(&home, "ada", 22).await;
    let bens_first = Device::register(&home, "ben").await;
    bens_first.api.log_out(bens_first.token()).await.unwrap();
    let mut ben = device_with(&home, "ben", 31).await;
    for device in [&mut phone, &mut laptop, &mut ben] {
        device.catch_up(&home).await;
    }
    let (me, to) = (phone.account().clone(), ben.account().clone());
    let for_laptop = ciphertext(Some(&me), 3, 22, "own");
    let cases = [
        (vec![for_laptop.clone()], "missing"),
        (vec![ciphertext(None, 2, 99, "x"), for_laptop.clone()], "stale"),
        (
            vec![ciphertext(None, 2, 31, "x"), ciphertext(None, 7, 1, "x"), for_laptop.clone()],
            "extra",
        ),
        (vec![ciphertext(None, 2, 31, "x")], "missing"),
    ];
    for (ciphertexts, kind) in cases {
        let refusal = phone.submit(sealed(&to, ciphertexts)).await.unwrap_err();
        assert_eq!(refusal.code, "stale_devices");
        let stale = refusal.stale_devices.unwrap();
        let lists = [("missing", &stale.missing), ("stale", &stale.stale), ("extra", &stale.extra)];
        let named: Vec<_> = lists.iter().filter(|(_, list)| !list.is_empty()).collect();
        assert_eq!((named.len(), named[0].0), (1, kind));
    }
    let good = sealed(&to, vec![ciphertext(None, 2, 31, "for ben"), for_laptop]);
    phone.submit(good).await.unwrap();
    let data = |content: &posthouse_protocol::content::Content| match &content.payload {
        Payload::Ciphertexts(all) => all.iter().map(|one| one.data.clone()).collect::<Vec<_>>(),
        Payload::Body(_) => panic!("ciphertexts are expected"),
    };
    assert_eq!(data(&ben.message().await.content), ["for ben"]);
    assert_eq!(data(&laptop.message().await.content), ["own"]);
}
