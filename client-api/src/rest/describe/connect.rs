//! `connect`: opening the socket.

use posthouse_protocol::{
    problem::Code,
    rest::{Secret, Ticket},
};

use crate::documents::{Answer, Operation, operation};

/// `connect::ticket`
pub(in crate::rest) fn ticket() -> Operation {
    operation(
        "A ticket for a socket",
        "For browsers, which cannot set header fields there. Valid for 30 seconds \
         and one socket. The request has no body.",
    )
    .gives::<Ticket>(
        200,
        r#"{"ticket":"mB9v1qTq6o2c7Qh0l3k5s8w2e4r6t8y0u1i3o5p7a9s","expires_in":30}"#,
    )
}

/// `connect::connect`
pub(in crate::rest) fn connect() -> Operation {
    operation(
        "Open the socket",
        "The handshake of RFC 6455 over HTTP/1.1, with an access token or \
         `?ticket=`. The subprotocol `posthouse.v1` may be offered. What goes \
         over the socket is described by `/v1/asyncapi.json`.",
    )
    .query::<Option<Secret>>(
        "ticket",
        "A ticket, in place of an access token.",
        "mB9v1qTq6o2c7Qh0l3k5s8w2e4r6t8y0u1i3o5p7a9s",
    )
    .fails(&[Code::BadRequest])
    .answers(Answer::Socket)
}
