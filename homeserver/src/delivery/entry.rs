//! Inbox entries as the frames that tell them.

use std::{borrow::Cow, fmt::Write as _};

use posthouse_client_api::ports::Caller;
use posthouse_protocol::{
    content::Content,
    cursor::Cursor,
    frame::{
        DevicesChangedFrame, GroupFrame, KeysEvent, KeysFrame, MessageFrame, StatusFrame,
        TallyFrame, WatermarkFrame,
    },
    rest::groups::{EpochHash, GroupHead},
    status::Status,
};
use posthouse_storage::{
    groups::GroupNotice,
    inbox::{Failed, StoredMessage},
    keys::KeyNotice,
    receipts::{Tally, Watermark},
};
use serde_json::value::RawValue;

/// The `message` frame for one device. `None` if the message holds nothing for this device, or if
/// the device sent it itself.
pub(super) fn message(
    message: &StoredMessage,
    body: &[u8],
    cursor: Option<Cursor>,
    viewer: &Caller,
) -> Option<String> {
    if message.device == Some(viewer.device) {
        return None;
    }
    let own = message.sender == viewer.account;
    // A note to oneself is for the sending device's siblings as for any recipient.
    let content = Content::for_device(body, &viewer.account, !own, viewer.number)?;
    let frame = message_frame(message, &content, cursor.is_some())?;
    let to = own.then(|| message.to.clone());
    Some(MessageFrame { to, cursor, ..frame }.to_json())
}

/// The frame without what depends on the device; with its place, unless it is ephemeral.
fn message_frame<'a>(
    message: &'a StoredMessage,
    content: &'a str,
    is_kept: bool,
) -> Option<MessageFrame<'a>> {
    let content: &RawValue = serde_json::from_str(content).ok()?;
    Some(MessageFrame {
        id: message.id,
        from: Cow::Borrowed(&message.sender),
        from_device: message.device_number,
        to: None,
        conversation_id: message.conversation,
        content,
        timestamp: message.client_timestamp,
        server_timestamp: message.accepted_at,
        stamp: is_kept.then_some(message.stamp),
        cursor: None,
        origin_number: is_kept.then_some(message.origin_number),
        class: message.class,
        collapse: message.collapse.clone(),
        expires: message.expires,
        epoch: message.epoch,
    })
}

/// The `message` frame that all recipients of a `body` get, but for the cursor, which is its last
/// field.
#[derive(Debug)]
pub(super) struct SharedFrame(String);

impl SharedFrame {
    /// `None` if each device gets something else.
    pub(super) fn new(message: &StoredMessage, body: &[u8]) -> Option<Self> {
        let content = Content::for_everybody(body)?;
        let mut text = message_frame(message, content, true)?.to_json();
        text.truncate(text.strip_suffix('}')?.len());
        Some(Self(text))
    }

    /// The frame for one device; `None` for those of the sender's account, which get another.
    pub(super) fn of(
        &self,
        message: &StoredMessage,
        cursor: Cursor,
        viewer: &Caller,
    ) -> Option<String> {
        if message.sender == viewer.account {
            return None;
        }
        let mut text = String::with_capacity(self.0.len() + 36);
        text.push_str(&self.0);
        // A cursor has no character that JSON escapes.
        write!(text, r#","cursor":"{cursor}"}}"#).ok()?;
        Some(text)
    }
}

/// The `status` frame of a message that will not arrive.
pub(super) fn failed(failed: &Failed, cursor: Option<Cursor>) -> String {
    let frame = StatusFrame {
        message_id: failed.id,
        status: Status::Failed,
        at: failed.at,
        user: failed.user.clone(),
        conversation_id: None,
        stamp: None,
        origin_number: None,
        reason: Some(failed.reason.as_str().to_owned()),
        cursor,
    };
    frame.to_json()
}

/// The `keys` frame of a notice. `None` if it is for another device of the account.
pub(super) fn keys(notice: &KeyNotice, cursor: Cursor, viewer: &Caller) -> Option<String> {
    let frame = |event| KeysFrame {
        event,
        user: None,
        version: None,
        one_time: None,
        one_time_kem: None,
        cursor,
    };
    let frame = match notice {
        KeyNotice::DeviceList { user, version } => KeysFrame {
            user: Some(user.clone()),
            version: Some(*version),
            ..frame(KeysEvent::DeviceList)
        },
        KeyNotice::Identity { user } => {
            KeysFrame { user: Some(user.clone()), ..frame(KeysEvent::Identity) }
        }
        KeyNotice::PreKeysLow { device, .. } if *device != viewer.device => return None,
        KeyNotice::PreKeysLow { one_time, one_time_kem, .. } => KeysFrame {
            one_time: Some(*one_time),
            one_time_kem: Some(*one_time_kem),
            ..frame(KeysEvent::PrekeysLow)
        },
        KeyNotice::Unserved { message, user, missing, version } => {
            let frame = DevicesChangedFrame {
                message_id: *message,
                user: user.clone(),
                missing: missing.clone(),
                version: *version,
                cursor,
            };
            return Some(frame.to_json());
        }
    };
    Some(frame.to_json())
}

/// The `group` frame of a notice.
pub(super) fn group(notice: &GroupNotice, cursor: Cursor) -> String {
    let head = GroupHead { epoch: notice.head.epoch, hash: EpochHash(notice.head.hash) };
    GroupFrame { event: notice.event, group: notice.group.clone(), head, cursor }.to_json()
}

/// The `group_status` frame of a tally.
pub(super) fn tally(tally: &Tally, cursor: Cursor) -> String {
    let frame = TallyFrame {
        group: tally.group.clone(),
        conversation_id: tally.conversation,
        origin: tally.origin.clone(),
        status: tally.reached.into(),
        steps: tally.steps.clone(),
        joined: tally.joined.clone(),
        except: tally.except.clone(),
        from: tally.from,
        at: tally.at,
        cursor,
    };
    frame.to_json()
}

/// The `status` frame of a watermark.
pub(super) fn watermark(watermark: &Watermark, cursor: Cursor) -> String {
    let (through, except) = watermark.told();
    let frame = WatermarkFrame {
        conversation_id: watermark.conversation,
        origin: watermark.origin.clone(),
        through,
        except: except.to_vec(),
        status: watermark.reached.into(),
        user: watermark.reader.clone(),
        at: watermark.at,
        cursor,
    };
    frame.to_json()
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::{
        frame::Class,
        id::{AccountId, ConversationId, DeviceId, DeviceNumber, MessageId, ServerName, SessionId},
        time::{Stamp, Timestamp},
    };
    use posthouse_storage::bodies::BodyId;
    use uuid::Uuid;

    use super::*;

    const BODY: &[u8] = br#"{"type":"text","encrypted":false,"body":"a \"quoted\" word"}"#;

    fn account(n: u128) -> AccountId {
        let server = ServerName::parse("eu.example").unwrap();
        AccountId { uuid: Uuid::from_u128(n), server }
    }

    fn viewer(n: u128) -> Caller {
        Caller {
            account: account(n),
            device: DeviceId(Uuid::from_u128(n + 100)),
            number: DeviceNumber::FIRST,
            session: SessionId(Uuid::nil()),
        }
    }

    fn stored() -> StoredMessage {
        StoredMessage {
            part: 0,
            sender: account(1),
            device: Some(viewer(1).device),
            device_number: Some(DeviceNumber::FIRST),
            device_list_version: None,
            id: MessageId(Uuid::from_u128(7)),
            to: "g.x@eu.example".to_owned(),
            conversation: ConversationId([5; 16]),
            stamp: Stamp(6),
            origin_number: 8,
            class: Class::Message,
            collapse: Some("a \" key".to_owned()),
            expires: Some(Timestamp(9)),
            epoch: Some(3),
            client_timestamp: Timestamp(1),
            accepted_at: Timestamp(2),
            body: BodyId::floor(Timestamp(2)),
        }
    }

    #[test]
    fn the_shared_frame_says_what_a_frame_of_its_own_does() {
        let stored = stored();
        let shared = SharedFrame::new(&stored, BODY).unwrap();
        for cursor in [Cursor(1), Cursor(u64::MAX)] {
            let alone = message(&stored, BODY, Some(cursor), &viewer(2)).unwrap();
            let shared = shared.of(&stored, cursor, &viewer(2)).unwrap();
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(parse(&shared), parse(&alone));
        }
        let sibling = Caller { device: DeviceId(Uuid::nil()), ..viewer(1) };
        assert_eq!(shared.of(&stored, Cursor(1), &sibling), None, "it is told the recipient");
    }

    #[test]
    fn ciphertexts_are_not_shared() {
        let body = br#"{"type":"encrypted","encrypted":true,"ciphertexts":[]}"#;
        assert!(SharedFrame::new(&stored(), body).is_none());
    }
}
