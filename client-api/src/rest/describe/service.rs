//! `service`: the server itself.

use posthouse_protocol::{problem::Code, rest::Capabilities};

use crate::documents::{Operation, operation};
use crate::rest::service::Well;

/// `service::capabilities`
pub(in crate::rest) fn capabilities() -> Operation {
    operation(
        "What the server can do",
        "The region, versions, and the numbers a client can run into. Members may \
         be added.",
    )
    .gives::<Capabilities>(
        200,
        r#"{"server_name":"eu.example","software":"Posthouse 0.1.0",
                "versions":["v1"],"subprotocols":["posthouse.v1"],"registration":"open",
                "allow_unencrypted":false,"limits":{"max_body":65536,"max_frame":327680,
                "max_ciphertexts":16,"window":256,"max_submissions_in_flight":256,
                "max_ack_ids":1000,"max_subscriptions":1024,"max_sync_page":1000,
                "max_devices":8,"retention_seconds":2592000,"access_token_seconds":900}}"#,
    )
}

/// `service::alive`
pub(in crate::rest) fn alive() -> Operation {
    operation("Whether the process runs", "Answered as long as it does.")
        .gives::<Well>(200, r#"{"status":"ok"}"#)
}

/// `service::ready`
pub(in crate::rest) fn ready() -> Operation {
    operation(
        "Whether the server can serve",
        "`unavailable` if the store cannot be reached or the server stops.",
    )
    .fails(&[Code::Unavailable])
    .gives::<Well>(200, r#"{"status":"ready"}"#)
}
