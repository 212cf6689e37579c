//! `links`: linking a new device by a code.

use posthouse_protocol::{
    problem::Code,
    rest::keys::{ApproveLink, FetchLink, Link, LinkResult, LinkedDevice, StartLink},
};
use uuid::Uuid;

use crate::documents::{Limit, Operation, operation};

/// `links::start`
pub(in crate::rest) fn start() -> Operation {
    operation(
        "Open a link",
        "A new device wants to join an account. It shows a code with the link id, \
         its one-time public key and its registration id.",
    )
    .takes::<StartLink>(r#"{"registration_id":77,"name":"Alice's laptop"}"#)
    .fails(&[Code::Overloaded])
    .limited(Limit::Link)
    .gives::<Link>(
        201,
        r#"{"link_id":"01890a5d-ac96-774b-bcce-b302099a8057",
                "secret":"k3lq0dQ3bq0xVf3Yw9Jm1g","expires_in":300}"#,
    )
}

/// `links::approve`
pub(in crate::rest) fn approve() -> Operation {
    operation(
        "Let a new device in",
        "A device of the account has scanned the code, and its person has agreed. \
         `message` is encrypted for the key of the code.",
    )
    .path::<Uuid>("id", "The link id of the code.", "01890a5d-ac96-774b-bcce-b302099a8057")
    .takes::<ApproveLink>(r#"{"registration_id":77,"message":"c2VhbGVk"}"#)
    .fails(&[
        Code::NotFound,
        Code::Conflict,
        Code::TooMany,
        Code::PinRequired,
        Code::WrongCode,
        Code::Forbidden,
    ])
    .gives::<LinkedDevice>(
        201,
        r#"{"device_id":"f7a3c1de-6e7c-4a8b-9b41-0d1c2f3a4b5c","device":2}"#,
    )
}

/// `links::result`
pub(in crate::rest) fn result() -> Operation {
    operation(
        "Fetch the outcome of a link",
        "Answered once the link is approved, or after 30 seconds. `waiting` means \
         to ask again; `linked` comes with `message` and `session`, and uses the \
         link up.",
    )
    .path::<Uuid>("id", "The link id.", "01890a5d-ac96-774b-bcce-b302099a8057")
    .takes::<FetchLink>(r#"{"secret":"k3lq0dQ3bq0xVf3Yw9Jm1g"}"#)
    .fails(&[Code::NotFound, Code::Forbidden])
    .limited(Limit::LinkResult)
    .gives::<LinkResult>(200, r#"{"status":"waiting"}"#)
}
