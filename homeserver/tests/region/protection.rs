//! Passwords, one-time passwords, recovery codes, PINs, wrong guesses.

use hmac::{Hmac, KeyInit, Mac};
use posthouse_client::{Closed, Error};
use posthouse_client_api::ports::{Caller, Security};
use posthouse_homeserver::clock::SystemClock;
use posthouse_protocol::{
    limits,
    rest::{ChangePassword, ConfirmTotp, Confirmation, LogIn, Pin, Refresh, Secret, SetPin},
    time::Clock,
};
use sha1::Sha1;

use super::{
    device::{Device, PASSWORD, log_in},
    home::Home,
};

const NEW_PASSWORD: &str = "battery staple horse";

fn code<T>(answer: Result<T, Error>) -> String {
    match answer {
        Ok(_) => "ok".into(),
        Err(err) => err.code().unwrap_or("no code").to_owned(),
    }
}

fn secret(text: &str) -> Secret {
    Secret(text.into())
}

fn confirm(code: Option<&str>, recovery_code: Option<&Secret>) -> Confirmation {
    Confirmation {
        current_password: secret(PASSWORD),
        code: code.map(secret),
        recovery_code: recovery_code.cloned(),
    }
}

fn log_in_with(code: Option<&str>, recovery_code: Option<&Secret>) -> LogIn {
    LogIn {
        code: code.map(secret),
        recovery_code: recovery_code.cloned(),
        ..log_in("ada", PASSWORD)
    }
}

/// An authenticator of its own: it decodes base 32 and computes codes as RFC 6238 says.
fn authenticator(coded: &Secret, home: &Home, ahead: i64) -> String {
    let mut bits = 0_u32;
    let mut waiting = 0_u32;
    let mut key = Vec::new();
    for letter in coded.0.bytes() {
        let value = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".bytes().position(|one| one == letter);
        waiting = (waiting << 5) | u32::try_from(value.unwrap()).unwrap();
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            key.push(u8::try_from((waiting >> bits) & 0xff).unwrap());
        }
    }
    let step = (home.clock.now().0 / 30_000).checked_add_signed(ahead).unwrap();
    let mut mac = Hmac::<Sha1>::new_from_slice(&key).unwrap();
    mac.update(&step.to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let at = usize::from(digest[19] & 15);
    let word = u32::from_be_bytes(digest[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", word % 1_000_000)
}

/// Puts the clock at the beginning of a step, so that a test does not run into the next one.
fn next_step(home: &Home) {
    home.clock.pass(30_000 - home.clock.now().0 % 30_000);
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let home = Home::start().await;
    let ada = Device::register(&home, "ada").await;
    let mut phone = Device::log_in(&home, "ada").await;
    phone.connect(&home).await;
    let change = |current: &str, new: &str| ChangePassword {
        current_password: secret(current),
        new_password: secret(new),
    };
    let refused = |request| {
        let (api, token) = (ada.api.clone(), ada.token().clone());
        async move { code(api.change_password(&token, &request).await) }
    };
    assert_eq!(refused(change("not the password", NEW_PASSWORD)).await, "wrong_credentials");
    assert_eq!(refused(change(PASSWORD, "short")).await, "bad_request");
    assert_eq!(refused(change(PASSWORD, &"x".repeat(129))).await, "bad_request");
    assert_eq!(refused(change(PASSWORD, "password123")).await, "weak_password");
    ada.api.me(phone.token()).await.unwrap();
    assert_eq!(refused(change(PASSWORD, NEW_PASSWORD)).await, "ok");
    assert_eq!(phone.closed().await.code, Closed::REVOKED);
    assert_eq!(code(phone.api.me(phone.token()).await), "unauthorized");
    ada.api.me(ada.token()).await.unwrap();
    let refresh =
        Refresh { refresh_token: ada.tokens.refresh_token.clone(), next_refresh_token: None };
    ada.api.refresh(&refresh).await.unwrap();
    assert_eq!(code(home.api().log_in(&log_in("ada", PASSWORD)).await), "wrong_credentials");
    // The device stays, and logs in again at its place.
    let mut again = log_in("ada", NEW_PASSWORD);
    again.device_id = Some(phone.tokens.device_id);
    let back = home.api().log_in(&again).await.unwrap();
    assert_eq!(back.device, phone.tokens.device);
}

#[tokio::test]
async fn one_time_passwords_are_asked_for_once_they_are_confirmed() {
    let home = Home::start().await;
    let ada = Device::register(&home, "ada").await;
    let (api, token) = (&ada.api, ada.token());
    assert_eq!(code(api.remove_totp(token, &confirm(None, None)).await), "bad_request");
    let stranger = Confirmation { current_password: secret("not this one"), ..confirm(None, None) };
    assert_eq!(code(api.enrol_totp(token, &stranger).await), "wrong_credentials");
    assert_eq!(
        code(api.confirm_totp(token, &ConfirmTotp { code: secret("0") }).await),
        "bad_request"
    );
    let abandoned = api.enrol_totp(token, &confirm(None, None)).await.unwrap();
    let enrolled = api.enrol_totp(token, &confirm(None, None)).await.unwrap();
    assert_ne!(abandoned.secret, enrolled.secret);
    assert!(
        enrolled.uri.0.starts_with("otpauth://totp/eu.example:ada?secret="),
        "{}",
        enrolled.uri.0
    );
    assert!(enrolled.uri.0.contains(&enrolled.secret.0));
    // Until a code has shown that the authenticator has it, a password is enough.
    Device::log_in(&home, "ada").await;
    next_step(&home);
    let wrong = ConfirmTotp { code: secret(&authenticator(&abandoned.secret, &home, 0)) };
    assert_eq!(code(api.confirm_totp(token, &wrong).await), "wrong_code");
    let first = authenticator(&enrolled.secret, &home, 0);
    let codes = api.confirm_totp(token, &ConfirmTotp { code: secret(&first) }).await.unwrap();
    assert_eq!(codes.recovery_codes.len(), limits::RECOVERY_CODES);
    let security = api.security(token).await.unwrap();
    assert!((security.totp, security.recovery_codes, security.pin) == (true, 10, false));

    let attempt =
        async |code: Option<&str>| self::code(home.api().log_in(&log_in_with(code, None)).await);
    assert_eq!(attempt(None).await, "code_required");
    assert_eq!(attempt(Some(&first)).await, "wrong_code", "it was used to confirm");
    let wrong_password = LogIn { code: Some(secret(&first)), ..log_in("ada", "not the password") };
    assert_eq!(code(home.api().log_in(&wrong_password).await), "wrong_credentials");
    let early = authenticator(&enrolled.secret, &home, 1);
    assert_eq!(attempt(Some(&early)).await, "ok", "a clock may be a step ahead");
    assert_eq!(attempt(Some(&early)).await, "wrong_code", "each code once");
    next_step(&home);
    next_step(&home);
    let late = authenticator(&enrolled.secret, &home, -2);
    assert_eq!(attempt(Some(&late)).await, "wrong_code");
    let now = authenticator(&enrolled.secret, &home, 0);
    assert_eq!(attempt(Some(&now)).await, "ok");
    assert_eq!(code(api.enrol_totp(token, &confirm(None, None)).await), "bad_request");
    assert_eq!(code(api.remove_totp(token, &confirm(None, None)).await), "code_required");
    next_step(&home);
    let now = authenticator(&enrolled.secret, &home, 0);
    api.remove_totp(token, &confirm(Some(&now), None)).await.unwrap();
    let security = api.security(token).await.unwrap();
    assert!((security.totp, security.recovery_codes) == (false, 0));
    Device::log_in(&home, "ada").await;
}

#[tokio::test]
async fn a_recovery_code_stands_in_for_an_authenticator_once() {
    let home = Home::start().await;
    let ada = Device::register(&home, "ada").await;
    let (api, token) = (&ada.api, ada.token());
    let enrolled = api.enrol_totp(token, &confirm(None, None)).await.unwrap();
    let first = ConfirmTotp { code: secret(&authenticator(&enrolled.secret, &home, 0)) };
    let codes = api.confirm_totp(token, &first).await.unwrap().recovery_codes;
    let attempt =
        async |code: &Secret| self::code(home.api().log_in(&log_in_with(None, Some(code))).await);
    assert_eq!(attempt(&secret("not a code")).await, "wrong_code");
    assert_eq!(attempt(&secret(&codes[0].0.to_uppercase().replace('-', ""))).await, "ok");
    assert_eq!(attempt(&codes[0]).await, "wrong_code", "it is used up");
    assert_eq!(api.security(token).await.unwrap().recovery_codes, 9);
    let renewed = api.renew_recovery_codes(token, &confirm(None, Some(&codes[1]))).await.unwrap();
    assert_eq!(attempt(&codes[2]).await, "wrong_code", "they were replaced");
    assert_eq!(attempt(&renewed.recovery_codes[9]).await, "ok");
    // They are stored as hashes only.
    let store = home.store();
    let found = posthouse_storage::factors::Factors::protection(store, ada.account().uuid).await;
    assert_eq!(found.unwrap().recovery_codes, 9);
    api.remove_totp(token, &confirm(None, Some(&renewed.recovery_codes[0]))).await.unwrap();
}

fn caller(device: &Device) -> Caller {
    Caller {
        account: device.account().clone(),
        device: device.tokens.device_id,
        number: device.tokens.device,
        session: device.tokens.session_id,
    }
}

/// Device linking calls the port; the waits survive a restart.
#[tokio::test]
async fn a_pin_is_guessed_with_growing_waits() {
    let mut home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let who = caller(&ada);
    let check = async |port: &dyn Security, pin: Option<&str>| {
        port.check_pin(&who, pin.map(secret))
            .await
            .err()
            .map(|err| (err.code.as_str(), err.retry_after))
    };
    assert_eq!(check(&*home.security(), None).await, None, "there is no PIN");
    let set = |password: &str, pin: &str| SetPin {
        current_password: secret(password),
        pin: Pin::parse(secret(pin)).unwrap(),
    };
    let refused = ada.api.set_pin(ada.token(), &set("not the password", "271828")).await;
    assert_eq!(code(refused), "wrong_credentials");
    ada.api.set_pin(ada.token(), &set(PASSWORD, "314159")).await.unwrap();
    ada.api.set_pin(ada.token(), &set(PASSWORD, "271828")).await.unwrap();
    assert!(ada.api.security(ada.token()).await.unwrap().pin);
    let port = home.security();
    assert_eq!(check(&*port, None).await, Some(("pin_required", None)));
    assert_eq!(check(&*port, Some("271828")).await, None);
    for wrong in ["314159", "000000", "no digits", "1", "999999", "999999", "999999"] {
        assert_eq!(check(&*port, Some(wrong)).await, Some(("wrong_code", None)), "{wrong}");
    }
    let Some(("rate_limited", Some(59..=60))) = check(&*port, Some("271828")).await else {
        panic!("the right one has to wait too");
    };
    drop(port);
    home.stop().await;
    home.run().await;
    ada.api = home.api();
    assert!(matches!(check(&*home.security(), Some("271828")).await, Some(("rate_limited", _))));
    home.clock.pass(60_000);
    assert_eq!(check(&*home.security(), Some("271828")).await, None);
    assert_eq!(check(&*home.security(), Some("314159")).await, Some(("wrong_code", None)));
    let refreshed =
        Refresh { refresh_token: ada.tokens.refresh_token.clone(), next_refresh_token: None };
    ada.tokens = ada.api.refresh(&refreshed).await.unwrap();
    ada.api.remove_pin(ada.token(), &confirm(None, None)).await.unwrap();
    assert_eq!(check(&*home.security(), None).await, None);
}

/// A stranger keeps new devices waiting, and nobody else; names that nobody has look alike.
#[tokio::test]
async fn guessing_costs_the_account_a_wait_and_locks_nobody_out() {
    let home = Home::start().await;
    let ada = Device::register(&home, "ada").await;
    for name in ["ada", "nobody-at-all"] {
        for _ in 0..10 {
            let answer = home.api().log_in(&log_in(name, "not the password")).await;
            assert_eq!(code(answer), "wrong_credentials");
        }
        let answer = home.api().log_in(&log_in(name, PASSWORD)).await;
        let Err(Error::Refused(problem)) = answer else { panic!("{name} has to wait") };
        assert_eq!((problem.code.as_str(), problem.retry_after), ("rate_limited", Some(1)));
    }
    // Ada's own device logs in, refreshes and confirms as if nothing were.
    let mut own = log_in("ada", PASSWORD);
    own.device_id = Some(ada.tokens.device_id);
    let back = home.api().log_in(&own).await.unwrap();
    let refresh = Refresh { refresh_token: back.refresh_token, next_refresh_token: None };
    let back = home.api().refresh(&refresh).await.unwrap();
    let pin = Pin::parse(secret("271828")).unwrap();
    let set = SetPin { current_password: secret(PASSWORD), pin };
    ada.api.set_pin(&back.access_token, &set).await.unwrap();
    let wrong = confirm(None, None);
    let wrong = Confirmation { current_password: secret("not the password"), ..wrong };
    for _ in 0..10 {
        assert_eq!(code(ada.api.remove_pin(&back.access_token, &wrong).await), "wrong_credentials");
    }
    assert_eq!(code(ada.api.remove_pin(&back.access_token, &wrong).await), "rate_limited");
    // After the wait the right password is taken.
    let deadline = SystemClock.now().plus_millis(10_000);
    while code(home.api().log_in(&log_in("ada", PASSWORD)).await) != "ok" {
        assert!(SystemClock.now() < deadline, "the wait does not end");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
