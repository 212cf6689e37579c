//! `sessions`: logging in and out, tokens.

use posthouse_protocol::{
    id::SessionId,
    problem::Code,
    rest::{LogIn, Refresh, SessionTokens, Sessions},
};

use crate::documents::{Limit, Operation, operation};

/// `sessions::log_in`
pub(in crate::rest) fn log_in() -> Operation {
    operation(
        "Log in",
        "On a new device, or with `device_id` on one that the account has, which \
         keeps its number and its place in the inbox. An account with one-time \
         passwords asks for `code` or `recovery_code`. After ten wrong log-ins \
         each costs the account a growing wait.",
    )
    .takes::<LogIn>(
        r#"{"user":"alice","password":"correct horse battery staple",
                "device":{"name":"Alice's laptop"}}"#,
    )
    .fails(&[
        Code::WrongCredentials,
        Code::CodeRequired,
        Code::WrongCode,
        Code::NotFound,
        Code::TooMany,
        Code::Forbidden,
        Code::Overloaded,
    ])
    .limited(Limit::LogIn)
    .gives::<SessionTokens>(
        201,
        r#"{"account_id":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "handle":"alice","device_id":"f7a3c1de-6e7c-4a8b-9b41-0d1c2f3a4b5c",
                "device":1,"session_id":"0b54d0a2-55a4-4a3e-8f8e-1f0c9d8e7f6a",
                "access_token":"eyJhbGciOiJFZERTQSJ9.e30.c2ln","expires_in":900,
                "refresh_token":"k3lq0dQ3bq0xVf3Yw9Jm1g"}"#,
    )
}

/// `sessions::list`
pub(in crate::rest) fn list() -> Operation {
    operation("List the sessions", "Those of the account, the oldest first.").gives::<Sessions>(
        200,
        r#"{"sessions":[{"session_id":"0b54d0a2-55a4-4a3e-8f8e-1f0c9d8e7f6a",
                "device_id":"f7a3c1de-6e7c-4a8b-9b41-0d1c2f3a4b5c","device":1,
                "device_name":"Alice's phone","created_at":1705234567890,
                "refreshed_at":1705235467890,"current":true}]}"#,
    )
}

/// `sessions::refresh`
pub(in crate::rest) fn refresh() -> Operation {
    operation(
        "Refresh the tokens",
        "The refresh token is used up. If it comes a second time within 30 days \
         its session ends: somebody has a copy. Store the new one before anything \
         else.",
    )
    .takes::<Refresh>(r#"{"refresh_token":"k3lq0dQ3bq0xVf3Yw9Jm1g"}"#)
    .fails(&[Code::Unauthorized])
    .limited(Limit::Refresh)
    .gives::<SessionTokens>(
        200,
        r#"{"account_id":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "handle":"alice","device_id":"f7a3c1de-6e7c-4a8b-9b41-0d1c2f3a4b5c",
                "device":1,"session_id":"0b54d0a2-55a4-4a3e-8f8e-1f0c9d8e7f6a",
                "access_token":"eyJhbGciOiJFZERTQSJ9.e30.c2ln","expires_in":900,
                "refresh_token":"k3lq0dQ3bq0xVf3Yw9Jm1g"}"#,
    )
}

/// `sessions::log_out`
pub(in crate::rest) fn log_out() -> Operation {
    operation("Log out", "Ends the own session, removes its device and cuts its socket.").done()
}

/// `sessions::end`
pub(in crate::rest) fn end() -> Operation {
    operation(
        "End a session",
        "Ends another session of the account, removes its device and cuts its \
         socket.",
    )
    .path::<SessionId>("id", "A session of the account.", "0b54d0a2-55a4-4a3e-8f8e-1f0c9d8e7f6a")
    .fails(&[Code::NotFound])
    .done()
}
