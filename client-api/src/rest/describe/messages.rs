//! `messages`: messages without a socket, and catching up.

use posthouse_protocol::{
    problem::Code,
    rest::{Sent, SyncPage},
    schema::{
        Since,
        frames::{Acknowledgement, Submission},
    },
};

use super::{SyncLimit, parse_ack, parse_submission};
use crate::documents::{Limit, Operation, operation};

/// `messages::submit`
pub(in crate::rest) fn submit() -> Operation {
    operation(
        "Send a message",
        "For clients without a socket: answered once the message is durable. \
         Ephemeral messages are for the socket.",
    )
    .takes_parsed::<Submission>(
        r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","to":"bob",
                "content":{"type":"encrypted","encrypted":true,"ciphertexts":[
                {"device":1,"registration_id":4711,"type":3,"data":"MwohBWFsaWNl"}]}}"#,
        parse_submission,
    )
    .fails(&[
        Code::UnknownType,
        Code::AfterUnknown,
        Code::OutOfOrder,
        Code::StaleDevices,
        Code::StaleEpoch,
        Code::QueueFull,
        Code::UnencryptedRefused,
        Code::Forbidden,
        Code::UnknownUser,
        Code::RegionUnreachable,
        Code::AnswerRefused,
        Code::NotFound,
        Code::Overloaded,
    ])
    .limited(Limit::Message)
    .gives::<Sent>(
        200,
        r#"{"message_id":"01890a5d-ac96-774b-bcce-b302099a8057","status":"sent",
                "conversation_id":"abababababababababababababababab",
                "stamp":"111754252641894400","origin_number":3,"at":1705234567900}"#,
    )
}

/// `messages::acknowledge`
pub(in crate::rest) fn acknowledge() -> Operation {
    operation("Acknowledge messages", "Moves the device's position over what it holds.")
        .takes_parsed::<Acknowledgement>(r#"{"through":"c17","status":"delivered"}"#, parse_ack)
        .fails(&[Code::UnknownType, Code::CursorReset, Code::NotFound])
        .done()
}

/// `messages::sync`
pub(in crate::rest) fn sync() -> Operation {
    operation(
        "A page of the inbox",
        "Acknowledges nothing and moves no position. While `has_more` is true the \
         next page is `since=` the `next_cursor`.",
    )
    .query::<Since>(
        "since",
        "A cursor, or a time in milliseconds. If absent, the device's position.",
        "c0",
    )
    .query::<SyncLimit>("limit", "Entries of the page: 1 to 1,000; 100 if absent.", "100")
    .fails(&[Code::CursorReset])
    .gives::<SyncPage>(
        200,
        r#"{"messages":[{"type":"message",
                "id":"01890a5d-ac96-774b-bcce-b302099a8057",
                "from":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "conversation_id":"abababababababababababababababab",
                "content":{"type":"encrypted","encrypted":true,"ciphertexts":[
                {"device":1,"registration_id":4711,"type":2,"data":"MwohBQ=="}]},
                "timestamp":1705234567890,"server_timestamp":1705234567900,
                "stamp":"111754252641894400","cursor":"c17","origin_number":3}],
                "events":[{"type":"status",
                "conversation_id":"abababababababababababababababab",
                "origin":"eu.example","through":17,"except":[],"status":"delivered",
                "user":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "at":1705234569000,"cursor":"c18"}],"has_more":true,"next_cursor":"c18"}"#,
    )
}
