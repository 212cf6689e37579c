//! Frames, written and read with as little work as possible: the load generator shares the
//! machine with the server that it measures.

use std::{borrow::Cow, fmt::Write as _};

use posthouse_protocol::cursor::Cursor;
use serde::Deserialize;
use uuid::Uuid;

use crate::clock;

/// Hex digits of the sending time at the start of a body.
const TIME_DIGITS: usize = 16;

/// What is looked at of a frame from the server.
#[derive(Debug, Deserialize)]
pub(crate) struct Incoming<'a> {
    #[serde(rename = "type", borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) message_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) code: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) message: Option<Cow<'a, str>>,
    #[serde(rename = "ref", borrow, default)]
    pub(crate) reference: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) cursor: Option<Cursor>,
    /// On watermarks.
    #[serde(default)]
    pub(crate) through: Option<u64>,
    #[serde(borrow, default)]
    pub(crate) content: Option<Body<'a>>,
}

/// What is looked at of a content.
#[derive(Debug, Deserialize)]
pub(crate) struct Body<'a> {
    #[serde(borrow, default)]
    body: Option<Cow<'a, str>>,
}

impl<'a> Incoming<'a> {
    /// Reads a frame; `None` if it is not JSON.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The number of the message that the frame carries or is about.
    pub(crate) fn number(&self) -> Option<u64> {
        let text = self.id.as_ref().or(self.message_id.as_ref()).or(self.reference.as_ref())?;
        let low = Uuid::try_parse(text).ok()?.as_u128() & u128::from(u64::MAX >> 16);
        u64::try_from(low).ok()
    }

    /// How long ago the message was sent, in nanoseconds.
    pub(crate) fn age(&self) -> Option<u64> {
        let digits = self.content.as_ref()?.body.as_ref()?.get(..TIME_DIGITS)?;
        clock::nanos().checked_sub(u64::from_str_radix(digits, 16).ok()?)
    }
}

/// Writes the messages of one sender.
#[derive(Debug)]
pub(crate) struct Messages {
    /// The upper half of all ids.
    run: u64,
    pair: u16,
    to: String,
    filler: String,
}

impl Messages {
    /// Messages of a pair to `to`, with bodies of `body` bytes. `run` tells this run from others.
    pub(crate) fn new(run: u64, pair: u16, to: String, body: usize) -> Self {
        Self { run, pair, to, filler: "x".repeat(body.saturating_sub(TIME_DIGITS)) }
    }

    /// The id of a message.
    pub(crate) fn id(&self, number: u64) -> Uuid {
        let low = u64::from(self.pair) << 48 | number;
        Uuid::from_u128(u128::from(self.run) << 64 | u128::from(low))
    }

    /// The frame of a message to a group that is sent now.
    pub(crate) fn frame_of(&self, number: u64, epoch: u64) -> String {
        let frame = self.frame(number);
        frame.replacen('{', &format!("{{\"epoch\":{epoch},"), 1)
    }

    /// The frame of a message that is sent now.
    pub(crate) fn frame(&self, number: u64) -> String {
        let mut text = String::with_capacity(256 + self.filler.len());
        // Writing into memory does not fail.
        let _ = write!(
            text,
            concat!(
                r#"{{"type":"message","id":"{}","to":"{}","#,
                r#""content":{{"type":"encrypted","encrypted":true,"body":"{:016x}{}"}}}}"#
            ),
            self.id(number).as_hyphenated(),
            self.to,
            clock::nanos(),
            self.filler,
        );
        text
    }
}

/// Acknowledges everything up to `cursor`.
pub(crate) fn ack_through(cursor: Cursor) -> String {
    format!(r#"{{"type":"ack","through":"{cursor}","status":"delivered"}}"#)
}

/// Acknowledges one message.
pub(crate) fn ack_one(id: &str) -> String {
    format!(r#"{{"type":"ack","message_id":"{id}","status":"delivered"}}"#)
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::{
        frame::{ClientFrame, StatusFrame},
        id::{MessageId, ServerName},
        status::Status,
        time::Timestamp,
    };

    use super::*;

    #[test]
    fn the_servers_parser_takes_the_frames() {
        let own = ServerName::parse("eu.example").unwrap();
        let messages = Messages::new(7, 3, "bench-1".into(), 120);
        let text = messages.frame(9);
        let parsed = ClientFrame::parse(&text, &own).unwrap();
        assert!(matches!(parsed, ClientFrame::Message(_)));
        let read = Incoming::read(&text).unwrap();
        assert_eq!(read.number(), Some(9));
        assert!(read.age().is_some_and(|age| age < 60_000_000_000));
        assert_eq!(read.content.unwrap().body.unwrap().len(), 120);
        let acks = [ack_through(Cursor(7)), ack_one(&messages.id(9).to_string())];
        assert!(acks.iter().all(|ack| ClientFrame::parse(ack, &own).is_ok()));
    }

    #[test]
    fn statuses_are_matched_to_messages() {
        let messages = Messages::new(u64::MAX, u16::MAX, "bench-1".into(), 16);
        let status = StatusFrame {
            message_id: MessageId(messages.id(1 << 40)),
            status: Status::Delivered,
            at: Timestamp(0),
            user: None,
            conversation_id: None,
            stamp: None,
            origin_number: None,
            reason: None,
            cursor: None,
        };
        let text = status.to_json();
        let read = Incoming::read(&text).unwrap();
        assert_eq!(read.number(), Some(1 << 40));
        assert_eq!(read.status.as_deref(), Some("delivered"));
    }
}
