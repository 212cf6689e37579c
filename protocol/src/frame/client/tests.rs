//! Frames from clients, good and bad, and the literal frames of the first design.

use proptest::prelude::*;

use super::*;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const USER: &str = "01890a5d-0000-774b-bcce-b302099a8057";

fn own() -> ServerName {
    ServerName::parse("eu.example").unwrap()
}

fn parse(text: &str) -> Result<ClientFrame, Malformed> {
    ClientFrame::parse(text, &own())
}

fn code(text: &str) -> Code {
    parse(text).unwrap_err().rejection.code
}

/// The literal frames of the seed design, §5.1, with real ids in the place of its placeholders.
#[test]
fn the_seeds_frames_are_understood() {
    let message = format!(
        r#"{{
          "type": "message",
          "id": "{ID}",
          "to": "{USER}",
          "content": {{ "type": "text", "body": "Hello!", "encrypted": true }},
          "timestamp": 1705234567890
        }}"#
    );
    let ClientFrame::Message(message) = parse(&message).unwrap() else { panic!() };
    assert_eq!(message.id.to_string(), ID);
    assert_eq!(message.class, Class::Message);
    assert_eq!(message.timestamp, Some(Timestamp(1_705_234_567_890)));
    let ack = parse(&format!(r#"{{"type":"ack","message_id":"{ID}","status":"delivered"}}"#));
    assert!(matches!(ack, Ok(ClientFrame::Ack(Ack { seen: Seen::Delivered, .. }))));
    let typing = parse(&format!(r#"{{"type":"presence","status":"typing","to":"{USER}"}}"#));
    let Ok(ClientFrame::Presence(PresenceUpdate::Typing { started: true, .. })) = typing else {
        panic!("{typing:?}")
    };
}

#[test]
fn bad_frames_are_named_with_their_reference() {
    let err = parse(&format!(r#"{{"type":"message","id":"{ID}","to":"alice"}}"#)).unwrap_err();
    assert_eq!(err.reference.as_deref(), Some(ID));
    assert_eq!(err.rejection.detail, "`content` is missing");
    assert_eq!(code(r#"{"type":"dance"}"#), Code::UnknownType);
    assert_eq!(code("{}"), Code::BadRequest);
    assert_eq!(code("[]"), Code::BadJson);
    assert_eq!(code("{"), Code::BadJson);
    assert_eq!(code(r#"{"type":"ping","type":"ping"}"#), Code::BadJson);
    assert_eq!(code(r#"{"type":"message","timestamp":-1}"#), Code::BadJson);
    assert_eq!(code(r#"{"type":"message","timestamp":1e400}"#), Code::BadJson);
    assert_eq!(code(r#"{"type":"ack","status":"delivered"}"#), Code::BadRequest);
    assert_eq!(code(r#"{"type":"presence","status":"dancing"}"#), Code::BadRequest);
    assert_eq!(code(&" ".repeat(limits::MAX_FRAME + 1)), Code::TooLarge);
}

/// A frame that breaks off a rule of JSON's types is refused under its name all the same.
#[test]
fn frames_with_wrong_members_are_named_if_they_can_be() {
    let named = |text: &str| {
        let err = parse(text).unwrap_err();
        assert_eq!(err.rejection.code, Code::BadJson, "{text}");
        err.reference
    };
    for wrong in [
        r#""timestamp":-1"#,
        r#""timestamp":"soon""#,
        r#""to":7"#,
        r#""content":[]"#,
        r#""content":{"type":7}"#,
        r#""users":{}"#,
        r#""supplement":"yes""#,
        r#""type":"ping""#,
    ] {
        let text = format!(r#"{{"type":"message",{wrong},"id":"{ID}"}}"#);
        assert_eq!(named(&text).as_deref(), Some(ID), "{text}");
        let text = format!(r#"{{"ref":"7","id":null,"type":"message",{wrong}}}"#);
        assert_eq!(named(&text).as_deref(), Some("7"), "{text}");
    }
    assert_eq!(named(r#"{"type":"ping","id":7,"ref":"7"}"#).as_deref(), Some("7"));
    let long = format!(r#"{{"to":7,"id":"{}"}}"#, "ä".repeat(200));
    assert_eq!(named(&long), Some("ä".repeat(128)));
    for unnamed in [
        r#"{"to":7}"#,
        r#"{"to":7,"id":7,"ref":{"id":"x"}}"#,
        r#"{"to":7,"id":"one","id":"other"}"#,
        r#"{"id":"x","to":"#,
        r#"{"id":"x"} {"#,
        r#"["message","x"]"#,
    ] {
        assert_eq!(named(unnamed), None, "{unnamed}");
    }
}

#[test]
fn deep_nesting_costs_an_answer_and_no_stack() {
    let deep = format!(r#"{{"type":"ping","x":{}"#, "[".repeat(limits::MAX_FRAME / 2));
    assert_eq!(code(&deep), Code::BadJson);
    let deep = format!("{}{}", "{\"content\":".repeat(20_000), "}".repeat(20_000));
    assert_eq!(code(&deep), Code::BadJson);
}

#[test]
fn unknown_fields_are_ignored() {
    assert_eq!(
        parse(r#"{"type":"ping","ref":"7","new":{"a":[1]}}"#),
        Ok(ClientFrame::Ping(Some("7".into())))
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn a_submission_keeps_its_fields(
        stamp: u64, time in 0..1_u64 << 53, body in ".{0,50}", epoch: Option<u32>, supplement: bool,
    ) {
        let json = serde_json::json!({
            "type": "message", "id": ID, "to": format!("g.{USER}"), "after": stamp.to_string(),
            "prev": ID, "class": "receipt", "collapse": "k", "expires": time, "epoch": epoch,
            "supplement": supplement, "content": {"type": "encrypted", "body": body},
        });
        let ClientFrame::Message(got) = parse(&json.to_string()).unwrap() else { panic!() };
        prop_assert_eq!(got.after, Some(Stamp(stamp)));
        prop_assert_eq!(got.expires, Some(Timestamp(time)));
        prop_assert_eq!(got.epoch, epoch.map(u64::from));
        prop_assert_eq!(got.supplement, supplement);
        prop_assert_eq!(got.content.payload, crate::content::Payload::Body(body));
    }
}
