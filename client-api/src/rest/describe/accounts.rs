//! `accounts`: registering, and who one is.

use posthouse_protocol::{
    problem::Code,
    rest::{Me, Register, SessionTokens},
};

use crate::documents::{Limit, Operation, operation};

/// `accounts::register`
pub(in crate::rest) fn register() -> Operation {
    operation(
        "Register an account",
        "Registers an account and logs its first device in. `invite` is asked for \
         where `registration` in the capabilities is `invite`; a registration \
         that is refused uses nothing up.",
    )
    .takes::<Register>(
        r#"{"handle":"alice","password":"correct horse battery staple",
                "device":{"name":"Alice's phone","registration_id":4711}}"#,
    )
    .fails(&[
        Code::WeakPassword,
        Code::Forbidden,
        Code::InviteInvalid,
        Code::HandleTaken,
        Code::Overloaded,
    ])
    .limited(Limit::Register)
    .gives::<SessionTokens>(
        201,
        r#"{"account_id":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "handle":"alice","device_id":"f7a3c1de-6e7c-4a8b-9b41-0d1c2f3a4b5c",
                "device":1,"session_id":"0b54d0a2-55a4-4a3e-8f8e-1f0c9d8e7f6a",
                "access_token":"eyJhbGciOiJFZERTQSJ9.e30.c2ln","expires_in":900,
                "refresh_token":"k3lq0dQ3bq0xVf3Yw9Jm1g"}"#,
    )
}

/// `accounts::me`
pub(in crate::rest) fn me() -> Operation {
    operation("Who the caller is", "The account and the device of the access token.")
        .fails(&[Code::Forbidden])
        .gives::<Me>(
            200,
            r#"{"account_id":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "handle":"alice","device_id":"f7a3c1de-6e7c-4a8b-9b41-0d1c2f3a4b5c",
                "device":1}"#,
        )
}
