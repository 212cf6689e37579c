//! Events are parsed from what the server's own types write.

use std::borrow::Cow;

use posthouse_protocol::{
    frame::{Presence, ServerFrame},
    id::ServerName,
    problem::{Code, Rejection},
    status::Status,
};
use serde_json::value::RawValue;

use super::*;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn account() -> AccountId {
    AccountId::parse(&format!("{ID}@eu.example")).unwrap()
}

#[test]
fn a_message_is_read_with_its_content() {
    let from = account();
    let content: &RawValue =
        serde_json::from_str(r#"{"type":"text","encrypted":true,"body":"Hello \"you\""}"#).unwrap();
    let text = MessageFrame {
        id: MessageId::parse(ID).unwrap(),
        from: Cow::Borrowed(&from),
        from_device: None,
        to: None,
        conversation_id: ConversationId([0xab; 16]),
        content,
        timestamp: Timestamp(1),
        server_timestamp: Timestamp(2),
        stamp: Some(Stamp(3 << 16)),
        cursor: Some(Cursor(7)),
        origin_number: Some(3),
        class: Class::Message,
        collapse: None,
        expires: None,
        epoch: None,
    }
    .to_json();
    let Event::Message(message) = Event::parse(&text).unwrap() else { panic!("{text}") };
    assert_eq!(message.from, from);
    assert_eq!(message.content.payload, Payload::Body("Hello \"you\"".into()));
    let place = Place { stamp: Stamp(3 << 16), cursor: Cursor(7), origin_number: 3 };
    assert_eq!(message.place, Some(place));
}

#[test]
fn statuses_and_watermarks_are_told_apart() {
    let status = StatusFrame {
        message_id: MessageId::parse(ID).unwrap(),
        status: Status::Sent,
        at: Timestamp(1),
        user: None,
        conversation_id: Some(ConversationId([1; 16])),
        stamp: Some(Stamp(9)),
        origin_number: Some(4),
        reason: None,
        cursor: None,
    };
    assert_eq!(Event::parse(&status.to_json()).unwrap(), Event::Status(Box::new(status)));
    let watermark = WatermarkFrame {
        conversation_id: ConversationId([1; 16]),
        origin: ServerName::parse("eu.example").unwrap(),
        through: 4,
        except: vec![2],
        status: Status::Delivered,
        user: account(),
        at: Timestamp(1),
        cursor: Cursor(8),
    };
    let event = Event::parse(&watermark.to_json()).unwrap();
    assert_eq!(event, Event::Watermark(Box::new(watermark)));
}

#[test]
fn refusals_keep_their_facts() {
    let mut rejection = Rejection::new(Code::StaleDevices, "other devices").retry_after(3);
    let stale = StaleDevices { user: account().to_string(), missing: vec![2], ..<_>::default() };
    rejection.stale_devices = Some(Box::new(stale.clone()));
    let text = ServerFrame::error(&rejection, Some(ID)).to_json();
    let Event::Refused(refusal) = Event::parse(&text).unwrap() else { panic!("{text}") };
    assert_eq!(refusal.code, "stale_devices");
    assert_eq!(refusal.reference.as_deref(), Some(ID));
    assert_eq!(refusal.retry_after, Some(3));
    assert_eq!(refusal.stale_devices, Some(stale));
    let plain = Rejection::new(Code::BadJson, "no JSON");
    let text = ServerFrame::error(&plain, None).to_json();
    let Event::Refused(refusal) = Event::parse(&text).unwrap() else { panic!("{text}") };
    assert_eq!(refusal.stale_devices, None);
}

#[test]
fn the_small_frames_are_read() {
    let caught_up = ServerFrame::CaughtUp { cursor: Cursor(5) }.to_json();
    assert_eq!(Event::parse(&caught_up).unwrap(), Event::CaughtUp { cursor: Cursor(5) });
    let pong = ServerFrame::Pong { reference: Some("p1") }.to_json();
    assert_eq!(Event::parse(&pong).unwrap(), Event::Pong(Some("p1".into())));
    let presence = PresenceFrame {
        user_id: account(),
        status: Presence::Typing,
        last_seen: None,
        expires_in: Some(10),
    };
    let event = Event::parse(&presence.to_json()).unwrap();
    assert_eq!(event, Event::Presence(Box::new(presence)));
}

#[test]
fn what_later_versions_send_is_ignorable() {
    for (text, kind) in [
        (r#"{"type":"poll","x":1}"#.to_owned(), "poll"),
        (format!(r#"{{"type":"status","message_id":"{ID}","status":"pinned","at":1}}"#), "status"),
        (r#"{"type":"presence","user_id":"x","status":"asleep"}"#.to_owned(), "presence"),
    ] {
        assert_eq!(Event::parse(&text).unwrap(), Event::Unknown { kind: kind.into() });
    }
    for bad in ["", "[]", "{}", r#"{"type":"message"}"#, r#"{"type":"caught_up","cursor":"7"}"#] {
        assert!(matches!(Event::parse(bad), Err(Error::Unexpected(_))), "{bad}");
    }
}
