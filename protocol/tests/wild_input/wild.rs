//! The entry points for wild input: everything of this crate that reads bytes of strangers or of
//! storage, with what must hold for whatever is accepted. Shared with `protocol/fuzz`.

use std::{cell::Cell, fmt::Display, str::FromStr};

use posthouse_protocol::{
    content::{Content, Payload},
    cursor::{Cursor, Since},
    federation::{
        document::SignedDocument,
        envelope::Envelope,
        event::Event,
        header::Header,
        key_log::{self, TrustedHead},
        message, payload,
        query::{
            EchoAnswer, EchoQuery, Query, ResolveAnswer, SignedQuery,
            keys::{BundlesAnswer, BundlesOf, DevicesAnswer, DevicesOf},
        },
        receipt::SignedReceipt,
        record::{self, Record},
        refusal::Refusal,
        signed::Signed,
        well_known::WellKnown,
    },
    frame::{
        Ack, ClientFrame, MessageFrame, PresenceFrame, StatusFrame, Submission, WatermarkFrame,
    },
    id::{
        AccountId, Address, ConversationId, DeviceId, DeviceNumber, GroupId, Handle, HandleName,
        MessageId, ServerName, SessionId,
    },
    problem::Problem,
    rest,
    time::Stamp,
};
use serde::{Serialize, de::DeserializeOwned};

/// A target's name, which is also that of its seeds and of its fuzzer, and its entry point.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const TARGETS: [Target; 9] = [
    ("envelope", envelope),
    ("frames", frames),
    ("ids", ids),
    ("keys", keys),
    ("receipt", receipt),
    ("records", records),
    ("rest", rest),
    ("small", small),
    ("stored", stored),
];

const ACCOUNT: &str = "01890a5d-ac96-774b-bcce-b302099a8057@south.test";

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

/// How many times a decoder of this thread has accepted what it was given.
pub(crate) fn taken_so_far() -> usize {
    TAKEN.get()
}

fn taken<T, E>(decoded: Result<T, E>) -> Option<T> {
    TAKEN.set(TAKEN.get() + usize::from(decoded.is_ok()));
    decoded.ok()
}

fn own() -> ServerName {
    ServerName::parse("south.test").unwrap()
}

/// Envelopes and headers between servers: what is accepted has one encoding.
pub(crate) fn envelope(bytes: &[u8]) {
    if let Some(envelope) = taken(Envelope::decode(bytes)) {
        assert_eq!(envelope.encode(), bytes);
        let _ = envelope.digest();
    }
    let _ = taken(Header::decode(bytes));
}

/// Receipts between servers.
pub(crate) fn receipt(bytes: &[u8]) {
    if let Some(receipt) = taken(SignedReceipt::decode(bytes)) {
        assert_eq!(receipt.encode(), bytes);
    }
}

/// Key logs and server documents.
pub(crate) fn keys(bytes: &[u8]) {
    if let Some(log) = taken(key_log::decode_log(bytes)) {
        assert_eq!(key_log::encode_log(&log), bytes);
        if let Some(first) = log.first() {
            let _ = taken(key_log::follow(&first.entry().server, None, &log));
        }
    }
    if let Some(document) = taken(SignedDocument::decode(bytes)) {
        assert_eq!(document.encode(), bytes);
        let server = document.entry().entry().server.clone();
        let _ = taken(document.verify(&server, None));
    }
    if let Some(head) = taken(TrustedHead::from_storage(bytes)) {
        assert_eq!(head.encode(), bytes);
    }
}

/// Records and events: the first 16 bytes are the place that the header claims. What is read is
/// the same after it was written again.
pub(crate) fn records(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first_chunk::<8>() else { return };
    let Some((count, rest)) = rest.split_first_chunk::<8>() else { return };
    let (first, count) = (u64::from_be_bytes(*first).max(1), u64::from_be_bytes(*count));
    if let Some(records) = taken(record::decode(rest, first, count)) {
        let covered: u64 = records.iter().map(Record::covers).sum();
        assert_eq!(covered, count, "no more and no less than the header claims");
        if let Some(again) = taken(record::encode(&records)) {
            assert_eq!(record::decode(&again, first, count).as_ref(), Ok(&records));
        }
    }
    let _ = taken(record::decode_ephemeral(rest));
    if let Some(event) = taken(Event::decode(rest)) {
        assert_eq!(Event::decode(&event.encode()).as_ref(), Ok(&event));
        let _ = taken(message::content(&event, &AccountId::parse(ACCOUNT).unwrap()));
        if let Some(uuid) = event.recipients.first() {
            let recipient = AccountId { uuid: *uuid, server: own() };
            if let Some(content) = taken(message::content(&event, &recipient)) {
                assert_eq!(Content::from_stored(&content.to_stored()), Some(content));
            }
        }
    }
    if let Some(watermark) = taken(payload::Watermark::decode(rest)) {
        assert_eq!(payload::Watermark::decode(&watermark.encode()), Ok(watermark));
    }
    if let Some(acknowledged) = taken(payload::Acknowledged::decode(rest)) {
        assert_eq!(payload::Acknowledged::decode(&acknowledged.encode()), Ok(acknowledged));
    }
    if let Some(presence) = taken(payload::Presence::decode(rest)) {
        assert_eq!(payload::Presence::decode(&presence.encode()), Ok(presence));
    }
    if let Some(typing) = taken(payload::Typing::decode(rest)) {
        assert_eq!(payload::Typing::decode(&typing.encode()), Ok(typing));
    }
}

/// Queries, answers, refusals and well-known documents.
pub(crate) fn small(bytes: &[u8]) {
    if let Some(query) = taken(SignedQuery::decode(bytes)) {
        assert_eq!(query.encode(), bytes);
    }
    if let Some(echo) = taken(Signed::<EchoQuery>::decode(bytes)) {
        assert_eq!(echo.encode(), bytes);
    }
    if let Some(answer) = taken(Signed::<EchoAnswer>::decode(bytes)) {
        assert_eq!(answer.encode(), bytes);
    }
    if let Some(answer) = taken(ResolveAnswer::decode(bytes)) {
        assert_eq!(ResolveAnswer::decode(&answer.encode()), Ok(answer));
    }
    if let Some(query) = taken(Signed::<Query<DevicesOf>>::decode(bytes)) {
        assert_eq!(query.encode(), bytes);
    }
    if let Some(query) = taken(Signed::<Query<BundlesOf>>::decode(bytes)) {
        assert_eq!(query.encode(), bytes);
    }
    let account = AccountId::parse(ACCOUNT).unwrap();
    if let Some(answer) = taken(DevicesAnswer::decode(bytes, &account)) {
        assert_eq!(DevicesAnswer::decode(&answer.encode(), &account), Ok(answer));
    }
    if let Some(answer) = taken(BundlesAnswer::decode(bytes, &account)) {
        assert_eq!(BundlesAnswer::decode(&answer.encode(), &account), Ok(answer));
    }
    if let Some(refusal) = taken(Refusal::decode(bytes)) {
        assert_eq!(Refusal::decode(&refusal.encode()), Ok(refusal));
    }
    if let Some(document) = taken(WellKnown::parse(bytes)) {
        let _ = document.federation();
    }
}

/// Frames of clients, and those of servers as a client reads them.
pub(crate) fn frames(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let own = own();
    let frame = ClientFrame::parse(text, &own);
    if let Err(malformed) = &frame {
        // It is sent back, so it must not grow with what came in.
        assert!(malformed.reference.as_ref().is_none_or(|reference| reference.len() <= 1_024));
        assert!(malformed.rejection.detail.len() <= 1_024, "{}", malformed.rejection.detail);
    }
    let _ = taken(frame);
    if let Some(submission) = taken(Submission::parse(text, &own)) {
        kept_content(&submission.content);
    }
    let _ = taken(Ack::parse(text, &own));
    let _ = taken(serde_json::from_str::<MessageFrame<'_>>(text).map(|frame| frame.to_json()));
    same_again::<StatusFrame>(text, StatusFrame::to_json);
    same_again::<WatermarkFrame>(text, WatermarkFrame::to_json);
    same_again::<PresenceFrame>(text, PresenceFrame::to_json);
}

/// A content that was accepted is stored, read back, and given to devices as it was.
fn kept_content(content: &Content) {
    let stored = content.to_stored();
    assert_eq!(Content::from_stored(&stored).as_ref(), Some(content));
    let user = AccountId::parse(ACCOUNT).unwrap();
    let device = DeviceNumber::try_from(1).unwrap();
    let given = Content::for_device(&stored, &user, true, device);
    match &content.payload {
        Payload::Body(_) => assert_eq!(given.unwrap().as_bytes(), stored),
        Payload::Ciphertexts(all) => {
            let own = given.map(|text| Content::from_stored(text.as_bytes()).unwrap().payload);
            match own {
                Some(Payload::Ciphertexts(one)) => assert!(one.len() == 1 && !all.is_empty()),
                Some(Payload::Body(_)) => panic!("ciphertexts became a body"),
                None => {}
            }
        }
    }
}

fn same_again<T: DeserializeOwned + PartialEq + core::fmt::Debug>(
    text: &str,
    write: impl Fn(&T) -> String,
) {
    if let Some(read) = taken(serde_json::from_str::<T>(text)) {
        let written = write(&read);
        assert_eq!(serde_json::from_str::<T>(&written).ok().as_ref(), Some(&read), "{written}");
    }
}

fn json_again<T: DeserializeOwned + Serialize + PartialEq + core::fmt::Debug>(text: &str) {
    same_again::<T>(text, |read| serde_json::to_string(read).unwrap());
}

/// Bodies of requests, and of answers as a client reads them.
pub(crate) fn rest(bytes: &[u8]) {
    let _ = taken(serde_json::from_slice::<rest::Register>(bytes));
    let _ = taken(serde_json::from_slice::<rest::NewDevice>(bytes));
    let _ = taken(serde_json::from_slice::<rest::LogIn>(bytes));
    let _ = taken(serde_json::from_slice::<rest::Refresh>(bytes));
    let _ = taken(serde_json::from_slice::<rest::SessionTokens>(bytes));
    let _ = taken(serde_json::from_slice::<rest::Confirmation>(bytes));
    let _ = taken(serde_json::from_slice::<rest::ChangePassword>(bytes));
    let _ = taken(serde_json::from_slice::<rest::ConfirmTotp>(bytes));
    let _ = taken(serde_json::from_slice::<rest::SetPin>(bytes));
    let _ = taken(serde_json::from_slice::<rest::Ticket>(bytes));
    let _ = taken(serde_json::from_slice::<rest::SyncPage>(bytes));
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    json_again::<rest::AccountSecurity>(text);
    json_again::<rest::TotpSecret>(text);
    json_again::<rest::RecoveryCodes>(text);
    json_again::<rest::SessionInfo>(text);
    json_again::<rest::Sessions>(text);
    json_again::<rest::Me>(text);
    json_again::<rest::User>(text);
    json_again::<rest::Sent>(text);
    json_again::<rest::Capabilities>(text);
    json_again::<Problem>(text);
}

/// Identifiers, each of which has one text, cursors and stamps.
pub(crate) fn ids(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    one_text::<AccountId>(text);
    one_text::<ConversationId>(text);
    one_text::<DeviceId>(text);
    one_text::<GroupId>(text);
    one_text::<HandleName>(text);
    one_text::<MessageId>(text);
    one_text::<ServerName>(text);
    one_text::<SessionId>(text);
    if let Some(Since::Cursor(cursor)) = taken(Since::parse(text)) {
        assert_eq!(Cursor::parse(&cursor.to_string()), Ok(cursor));
    }
    if let Some(stamp) = taken(Stamp::parse(text)) {
        assert_eq!(Stamp::parse(&stamp.to_string()), Ok(stamp));
    }
    if let Some(Address::Handle(Handle { name, server })) = taken(Address::parse(text, &own())) {
        let full = format!("{name}@{server}");
        assert!(matches!(Address::parse(&full, &own()), Ok(Address::Handle(_))), "{full}");
    }
}

fn one_text<T: FromStr + Display>(text: &str) {
    if let Some(id) = taken(text.parse::<T>()) {
        assert_eq!(id.to_string(), text);
    }
}

/// Contents as they are stored.
pub(crate) fn stored(bytes: &[u8]) {
    if let Some(content) = taken(Content::from_stored(bytes).ok_or(())) {
        assert_eq!(Content::from_stored(&content.to_stored()), Some(content));
    }
    let user = AccountId::parse(ACCOUNT).unwrap();
    for recipient in [true, false] {
        let device = DeviceNumber::try_from(2).unwrap();
        let _ = Content::for_device(bytes, &user, recipient, device);
    }
}
