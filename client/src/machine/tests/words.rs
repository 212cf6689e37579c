//! What goes over the socket of a device under test.

use posthouse_protocol::{
    content::Payload,
    frame::{ClientFrame, Submission},
    id::{AccountId, MessageId},
};
use serde_json::json;

use super::world::server;

/// A submission that a device made.
pub(super) fn submission(frame: &str) -> Submission {
    match ClientFrame::parse(frame, &server()).unwrap() {
        ClientFrame::Message(submission) => *submission,
        other => panic!("{other:?}"),
    }
}

pub(super) fn id_of(frame: &str) -> MessageId {
    submission(frame).id
}

/// The numbers of the devices that a frame has ciphertexts for.
pub(super) fn ciphertexts_for(frame: &str) -> Vec<u8> {
    match submission(frame).content.payload {
        Payload::Ciphertexts(all) => all.iter().map(|one| one.device.get()).collect(),
        Payload::Body(_) => panic!("not encrypted"),
    }
}

/// The refusal of a message for lack of ciphertexts.
pub(super) fn stale(id: MessageId, user: &AccountId, missing: &[u8]) -> String {
    json!({"type": "error", "code": "stale_devices", "message": "", "ref": id, "user": user,
        "missing": missing, "extra": [], "stale": []})
    .to_string()
}

/// The notice that a message did not reach devices of another region.
pub(super) fn unserved(id: MessageId, user: &AccountId, missing: &[u8]) -> String {
    json!({"type": "devices_changed", "message_id": id, "user": user, "missing": missing,
        "version": 1, "cursor": "c1"})
    .to_string()
}

/// Whom pieces name.
pub(super) fn piece_users(frames: &[String]) -> Vec<String> {
    let mut users = Vec::new();
    for frame in frames {
        let sent: serde_json::Value = serde_json::from_str(frame).unwrap();
        for one in sent["content"]["ciphertexts"].as_array().unwrap_or(&Vec::new()) {
            users.push(one["user"].as_str().unwrap().to_owned());
        }
    }
    users
}
