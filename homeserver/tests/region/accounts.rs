//! Accounts, sessions and their tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use posthouse_client::{Closed, Connection, Error};
use posthouse_homeserver::accounts::Registration;
use posthouse_protocol::{
    id::{Address, DeviceNumber, HandleName, SessionId},
    limits,
    rest::{NewDevice, Refresh, Register, Secret},
};

use super::{
    device::{Device, PASSWORD, log_in, submission},
    home::{Home, Settings, server},
};

fn code<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(err) => err.code().unwrap_or("no code").to_owned(),
    }
}

fn refresh(token: &Secret) -> Refresh {
    Refresh { refresh_token: token.clone(), next_refresh_token: None }
}

#[tokio::test]
async fn registering_names_an_account_for_ever() {
    let home = Home::start().await;
    let ada = Device::register(&home, "ada").await;
    let me = ada.api.me(ada.token()).await.unwrap();
    assert_eq!((&me.account_id, me.handle.as_str()), (ada.account(), "ada"));
    assert_eq!(ada.tokens.device, DeviceNumber::FIRST);
    let again = Register {
        handle: HandleName::parse("ada").unwrap(),
        password: Secret(PASSWORD.into()),
        invite: None,
        device: NewDevice::default(),
    };
    assert_eq!(code(home.api().register(&again).await), "handle_taken");
    let short = Register {
        handle: HandleName::parse("ben").unwrap(),
        password: Secret("short".into()),
        invite: None,
        device: NewDevice::default(),
    };
    assert_eq!(code(home.api().register(&short).await), "bad_request");
    let by_handle = Address::parse("ada", &server()).unwrap();
    let found = ada.api.user(ada.token(), &by_handle).await.unwrap();
    assert_eq!(&found.account_id, ada.account());
    let nobody = Address::parse("nobody", &server()).unwrap();
    assert_eq!(code(ada.api.user(ada.token(), &nobody).await), "unknown_user");
}

#[tokio::test]
async fn a_closed_region_takes_nobody() {
    let mut home = Home::start().await;
    let settings = Settings { registration: Registration::Closed, ..home.settings };
    home.stop().await;
    home.settings = settings;
    home.run().await;
    let request = Register {
        handle: HandleName::parse("ada").unwrap(),
        password: Secret(PASSWORD.into()),
        invite: None,
        device: NewDevice::default(),
    };
    assert_eq!(code(home.api().register(&request).await), "forbidden");
}

#[tokio::test]
async fn wrong_passwords_and_unknown_users_look_alike() {
    let home = Home::start().await;
    Device::register(&home, "ada").await;
    assert_eq!(
        code(home.api().log_in(&log_in("ada", "wrong password")).await),
        "wrong_credentials"
    );
    assert_eq!(
        code(home.api().log_in(&log_in("eve", "wrong password")).await),
        "wrong_credentials"
    );
    assert_eq!(code(home.api().log_in(&log_in("Not A Name", "x")).await), "wrong_credentials");
    let long = "x".repeat(limits::MAX_PASSWORD + 1);
    assert_eq!(code(home.api().log_in(&log_in("ada", &long)).await), "wrong_credentials");
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_reuse_ends_the_session() {
    let home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let first = ada.tokens.refresh_token.clone();
    let renewed = ada.api.refresh(&refresh(&first)).await.unwrap();
    assert_eq!(renewed.session_id, ada.tokens.session_id);
    ada.tokens = renewed;
    ada.connect(&home).await;
    assert_eq!(code(ada.api.refresh(&refresh(&first)).await), "unauthorized");
    assert_eq!(ada.closed().await.code, Closed::REVOKED);
    let newest = refresh(&ada.tokens.refresh_token);
    assert_eq!(code(ada.api.refresh(&newest).await), "unauthorized");
    assert_eq!(code(ada.api.me(ada.token()).await), "unauthorized");
    // The device survives its session: it logs in again, and keeps its place.
    let mut request = log_in("ada", PASSWORD);
    request.device_id = Some(ada.tokens.device_id);
    let back = home.api().log_in(&request).await.unwrap();
    assert_eq!(back.device, ada.tokens.device);
}

#[tokio::test]
async fn a_refresh_whose_answer_was_lost_is_repeated_with_the_token_that_the_client_drew() {
    let home = Home::start().await;
    let ada = Device::register(&home, "ada").await;
    let drawn = |byte: u8| {
        let refresh_token = ada.tokens.refresh_token.clone();
        let next = Secret(URL_SAFE_NO_PAD.encode([byte; 32]));
        Refresh { refresh_token, next_refresh_token: Some(next) }
    };
    for _ in 0..2 {
        let renewed = ada.api.refresh(&drawn(1)).await.unwrap();
        assert_eq!(Some(renewed.refresh_token), drawn(1).next_refresh_token);
        ada.api.me(&renewed.access_token).await.unwrap();
    }
    for wrong in ["", "short", "=", &"x".repeat(44)] {
        let next_refresh_token = Some(Secret(wrong.to_owned()));
        let vain = Refresh { next_refresh_token, ..drawn(1) };
        assert_eq!(code(ada.api.refresh(&vain).await), "bad_request");
    }
    // Whoever has a copy of the old token does not know the new one.
    assert_eq!(code(ada.api.refresh(&drawn(2)).await), "unauthorized");
    assert_eq!(code(ada.api.refresh(&drawn(1)).await), "unauthorized");
}

#[tokio::test]
async fn access_tokens_expire_and_their_sessions_do_not() {
    let home = Home::start().await;
    let ada = Device::register(&home, "ada").await;
    home.clock.pass(limits::ACCESS_TOKEN_SECONDS * 1000);
    assert_eq!(code(ada.api.me(ada.token()).await), "unauthorized");
    let renewed = ada.api.refresh(&refresh(&ada.tokens.refresh_token)).await.unwrap();
    ada.api.me(&renewed.access_token).await.unwrap();
    home.clock.pass(limits::REFRESH_TOKEN_SECONDS * 1000);
    assert_eq!(code(ada.api.refresh(&refresh(&renewed.refresh_token)).await), "unauthorized");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_own_account_only() {
    let home = Home::start().await;
    let ada = Device::register(&home, "ada").await;
    let mut phone = Device::log_in(&home, "ada").await;
    let ben = Device::register(&home, "ben").await;
    phone.connect(&home).await;
    let sessions = ada.api.sessions(ada.token()).await.unwrap().sessions;
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions.iter().filter(|one| one.current).count(), 1);
    let of_phone = phone.tokens.session_id;
    assert_eq!(code(ben.api.end_session(ben.token(), of_phone).await), "not_found");
    let unknown = SessionId(uuid::Uuid::from_u128(1));
    assert_eq!(code(ada.api.end_session(ada.token(), unknown).await), "not_found");
    ada.api.end_session(ada.token(), of_phone).await.unwrap();
    assert_eq!(phone.closed().await.code, Closed::REVOKED);
    assert_eq!(code(phone.api.me(phone.token()).await), "unauthorized");
    let refused = Connection::open(&home.connector(), phone.token()).await;
    assert_eq!(code(refused), "unauthorized");
    assert_eq!(ada.api.sessions(ada.token()).await.unwrap().sessions.len(), 1);
}

#[tokio::test]
async fn logging_out_cuts_the_socket_and_removes_the_device() {
    let home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let ben = Device::register(&home, "ben").await;
    ada.connect(&home).await;
    ada.api.log_out(ada.token()).await.unwrap();
    assert_eq!(ada.closed().await.code, Closed::REVOKED);
    let to_ben = submission(ben.account(), "x");
    assert_eq!(code(ada.api.send(ada.token(), &to_ben).await), "unauthorized");
    let mut request = log_in("ada", PASSWORD);
    request.device_id = Some(ada.tokens.device_id);
    assert_eq!(code(home.api().log_in(&request).await), "not_found");
    // Its number rests, so that old ciphertexts never reach a new device.
    let next = Device::log_in(&home, "ada").await;
    assert_eq!(next.tokens.device.get(), 2);
}

#[tokio::test]
async fn an_account_has_a_bounded_number_of_devices() {
    let home = Home::start().await;
    Device::register(&home, "ada").await;
    for _ in 1..limits::MAX_DEVICES {
        Device::log_in(&home, "ada").await;
    }
    assert_eq!(code(home.api().log_in(&log_in("ada", PASSWORD)).await), "too_many");
}
