//! Inbox entries as the frames that tell them.

use std::borrow::Cow;

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
    let content: &RawValue = serde_json::from_str(&content).ok()?;
    let frame = MessageFrame {
        id: message.id,
        from: Cow::Borrowed(&message.sender),
        from_device: message.device_number,
        to: own.then(|| message.to.clone()),
        conversation_id: message.conversation,
        content,
        timestamp: message.client_timestamp,
        server_timestamp: message.accepted_at,
        stamp: cursor.map(|_| message.stamp),
        cursor,
        origin_number: cursor.map(|_| message.origin_number),
        class: message.class,
        collapse: message.collapse.clone(),
        expires: message.expires,
        epoch: message.epoch,
    };
    Some(frame.to_json())
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
