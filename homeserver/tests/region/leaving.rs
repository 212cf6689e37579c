//! Deleting an account, and being kept out by the operator.

use std::time::Duration;

use posthouse_client::{Closed, Error};
use posthouse_protocol::{
    id::{Address, HandleName},
    rest::{Confirmation, NewDevice, Register, Secret},
};
use posthouse_storage::erasure::{Erasure, SETTLE_MS};

use super::{
    device::{Device, PASSWORD, log_in, submission, text},
    home::{Home, server},
};

fn code<T>(answer: Result<T, Error>) -> String {
    match answer {
        Ok(_) => "ok".into(),
        Err(err) => err.code().unwrap_or("no code").to_owned(),
    }
}

fn confirm(password: &str) -> Confirmation {
    Confirmation { current_password: Secret(password.into()), code: None, recovery_code: None }
}

async fn erased(home: &Home) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !home.store().unfinished_erasures(10).await.unwrap().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "the erasure does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_deleted_account_is_gone_and_what_others_hold_stays() {
    let mut home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let mut tablet = Device::log_in(&home, "ada").await;
    let mut ben = Device::register(&home, "ben").await;
    ada.connect(&home).await;
    tablet.connect(&home).await;
    ada.write(ben.account(), "from ada, who leaves").await;
    ben.connect(&home).await;
    assert_eq!(text(&ben.message().await), "from ada, who leaves");
    ben.write(ada.account(), "to ada").await;
    let account = ada.account().clone();
    let by_handle = Address::parse("ada", &server()).unwrap();

    assert!(home.knows(account.uuid).await);
    let refused = ada.api.delete_account(ada.token(), &confirm("not the password")).await;
    assert_eq!(code(refused), "wrong_credentials");
    ada.api.delete_account(ada.token(), &confirm(PASSWORD)).await.unwrap();
    assert_eq!(ada.closed().await.code, Closed::REVOKED);
    assert_eq!(tablet.closed().await.code, Closed::REVOKED);
    assert_eq!(code(ada.api.me(ada.token()).await), "unauthorized");
    assert_eq!(code(home.api().log_in(&log_in("ada", PASSWORD)).await), "wrong_credentials");
    // What comes from other regions is rejected, and Ben's server has forgotten that it knew her.
    assert!(!home.knows(account.uuid).await);
    assert_eq!(code(ben.api.user(ben.token(), &by_handle).await), "unknown_user");
    let late = ben.submit(submission(&account, "too late")).await.unwrap_err();
    assert_eq!(late.code, "unknown_user");
    let again = Register {
        handle: HandleName::parse("ada").unwrap(),
        password: Secret(PASSWORD.into()),
        invite: None,
        device: NewDevice::default(),
    };
    assert_eq!(code(home.api().register(&again).await), "handle_taken");
    ben.leave().await;

    home.clock.pass(SETTLE_MS);
    // The next start finds what is not finished.
    home.stop().await;
    home.run().await;
    erased(&home).await;
    assert_eq!(code(home.api().register(&again).await), "handle_taken");
    assert!(home.store().gone_since(account.uuid).await.unwrap().is_some());
    let mut ben = ben.again(&home);
    let backlog = ben.catch_up(&home).await;
    assert_eq!(backlog.iter().map(text).collect::<Vec<_>>(), ["from ada, who leaves"]);
    assert_eq!(backlog[0].from, account);
    let late = ben.submit(submission(&account, "too late")).await.unwrap_err();
    assert_eq!(late.code, "unknown_user");
}

/// The operator's word reaches open connections; resuming gives nothing back but the log-in.
#[tokio::test]
async fn a_suspended_account_is_out_at_once() {
    use posthouse_homeserver::operator::order::{Answer, Order};
    let home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let mut ben = Device::register(&home, "ben").await;
    ada.connect(&home).await;
    let operator = home.operator();
    let user = || "ada".to_owned();
    let answer = operator.carry_out(Order::AccountSuspend { user: user() }).await.unwrap();
    let Answer::Account { account, devices } = answer else { panic!("{answer:?}") };
    assert!(account.suspended && devices.len() == 1);
    assert_eq!(ada.closed().await.code, Closed::REVOKED);
    assert_eq!(code(ada.api.me(ada.token()).await), "unauthorized");
    assert_eq!(code(home.api().log_in(&log_in("ada", PASSWORD)).await), "forbidden");
    assert_eq!(
        code(home.api().log_in(&log_in("ada", "not the password")).await),
        "wrong_credentials"
    );
    // Messages wait for her.
    ben.connect(&home).await;
    ben.write(ada.account(), "are you there?").await;
    operator.carry_out(Order::AccountResume { user: user() }).await.unwrap();
    assert_eq!(code(ada.api.me(ada.token()).await), "unauthorized");
    let mut back = log_in("ada", PASSWORD);
    back.device_id = Some(ada.tokens.device_id);
    let mut back = Device::log_in_with(&home, &back).await;
    assert_eq!(back.catch_up(&home).await.len(), 1);
    let unknown = Order::AccountSuspend { user: "nobody".into() };
    assert_eq!(operator.carry_out(unknown).await.unwrap_err().code.as_str(), "unknown_user");
}

#[tokio::test]
async fn an_invitation_lets_so_many_in() {
    use posthouse_homeserver::{
        accounts::Registration,
        operator::order::{Answer, Order},
    };
    let mut home = Home::start().await;
    home.stop().await;
    home.settings.registration = Registration::Invite;
    home.run().await;
    let register = async |handle: &str, invite: Option<&str>| {
        let request = Register {
            handle: HandleName::parse(handle).unwrap(),
            password: Secret(PASSWORD.into()),
            invite: invite.map(|code| Secret(code.into())),
            device: NewDevice::default(),
        };
        code(home.api().register(&request).await)
    };
    let operator = home.operator();
    let create = Order::InviteCreate { uses: 2, expires_in_ms: 86_400_000 };
    let Answer::Code { code: invite, .. } = operator.carry_out(create.clone()).await.unwrap()
    else {
        panic!("no code")
    };
    for bad in [None, Some(""), Some("0000-0000-0000-0000"), Some("not a code at all")] {
        assert_eq!(register("ada", bad).await, "invite_invalid", "{bad:?}");
    }
    assert_eq!(register("admin", Some(&invite.0)).await, "handle_taken");
    assert_eq!(register("ada", Some(&invite.0)).await, "ok");
    assert_eq!(register("ada", Some(&invite.0)).await, "handle_taken", "that used nothing");
    assert_eq!(register("ben", Some(&invite.0.to_uppercase().replace('-', " "))).await, "ok");
    assert_eq!(register("cem", Some(&invite.0)).await, "invite_invalid", "used up");
    let Answer::Code { code: second, .. } = operator.carry_out(create).await.unwrap() else {
        panic!("no code")
    };
    let withdraw = Order::InviteWithdraw { id: second.0.clone() };
    operator.carry_out(withdraw.clone()).await.unwrap();
    assert_eq!(operator.carry_out(withdraw).await.unwrap_err().code.as_str(), "not_found");
    assert_eq!(register("cem", Some(&second.0)).await, "invite_invalid", "withdrawn");
    let create = Order::InviteCreate { uses: 1, expires_in_ms: 1_000 };
    let Answer::Code { code: third, .. } = operator.carry_out(create).await.unwrap() else {
        panic!("no code")
    };
    home.clock.pass(1_000);
    assert_eq!(register("cem", Some(&third.0)).await, "invite_invalid", "expired");
    let Answer::Invites { invites } = operator.carry_out(Order::InviteList).await.unwrap() else {
        panic!("no list")
    };
    assert_eq!(invites.len(), 2);
    assert!(invites.iter().all(|invite| !invite.usable));
}
