//! Every item is read as it was written; anything else is refused or passed over.

use proptest::prelude::*;

use super::*;
use crate::e2ee::{
    cbor::Writer,
    content::{Body, Content, KeyBytes, MAX_MENTIONS, MAX_TEXT_LEN, Mention},
    primitives::curve::PrivateKey,
    time::UnixMillis,
};

fn said() -> impl Strategy<Value = PastSaid> {
    prop_oneof![
        any::<String>().prop_map(PastSaid::Text),
        (any::<String>(), any::<[u8; 16]>())
            .prop_map(|(text, target)| PastSaid::Reply { text, target }),
        Just(PastSaid::Gone),
        (7_u64..).prop_map(PastSaid::Unknown),
    ]
}

/// The first character means somebody, where there is one.
fn mention(text: &str) -> Vec<Mention> {
    let len = text.chars().next().map(|first| u32::try_from(first.len_utf8()).unwrap());
    let mention = |len| Mention { start: 0, len, account: "somebody".to_owned() };
    len.map(mention).into_iter().collect()
}

fn mark() -> impl Strategy<Value = PastMark> {
    prop_oneof![
        (any::<String>(), any::<u64>()).prop_map(|(text, stamp)| {
            let mentions = mention(&text);
            PastMark::Edit { text, stamp, mentions }
        }),
        Just(PastMark::Delete),
        ("[a-z]{0,64}", any::<u64>())
            .prop_map(|(emoji, stamp)| PastMark::Reaction { emoji, stamp }),
    ]
}

fn message() -> impl Strategy<Value = HistoryItem> {
    let names = ("[a-z]{1,99}", "[a-z]{1,99}", any::<[u8; 16]>());
    let facts = (any::<Option<u32>>(), any::<bool>(), any::<bool>(), any::<Option<u64>>());
    let fate = (proptest::option::of("[a-z]{1,32}"), any::<u64>(), any::<u64>());
    (names, any::<(u64, u64)>(), said(), facts, fate).prop_map(
        |((with, from, id), (stamp, sent_at), said, facts, (status, delivered, audience))| {
            let (expires_after, read, edited, origin_number) = facts;
            let sent_at = UnixMillis(sent_at);
            let mentions = said.text().map(mention).unwrap_or_default();
            HistoryItem::Message(Box::new(PastMessage {
                with,
                from,
                id,
                stamp,
                sent_at,
                said,
                expires_after,
                read,
                edited,
                origin_number,
                status,
                delivered,
                audience,
                mentions,
            }))
        },
    )
}

fn item() -> impl Strategy<Value = HistoryItem> {
    let key = any::<[u8; 32]>().prop_map(|bytes| PrivateKey::from_bytes(&bytes).public_key());
    let titles = proptest::collection::vec(any::<[u8; 32]>().prop_map(KeyBytes::from), 0..4);
    let keys = proptest::collection::vec(any::<[u8; 32]>().prop_map(KeyBytes::from), 0..4);
    prop_oneof![
        ("[a-z]{1,99}", key, any::<bool>()).prop_map(|(account, identity, verified)| {
            HistoryItem::Person { account, identity, verified }
        }),
        ("[a-z]{1,99}", titles, any::<Option<(u64, [u8; 32])>>())
            .prop_map(|(group, titles, head)| HistoryItem::Group { group, titles, head }),
        ("[a-z]{1,99}", any::<u64>(), any::<Option<u64>>()).prop_map(|(with, active, highest)| {
            HistoryItem::Conversation { with, active: UnixMillis(active), highest }
        }),
        message(),
        ("[a-z]{1,99}", any::<[u8; 16]>(), "[a-z]{1,99}", mark())
            .prop_map(|(with, target, by, mark)| HistoryItem::Mark { with, target, by, mark }),
        ("[a-z]{1,99}", any::<[u8; 16]>(), any::<u64>())
            .prop_map(|(from, id, at)| { HistoryItem::Expiry { from, id, at: UnixMillis(at) } }),
        ("[a-z]{1,99}", keys, any::<Option<[u8; 32]>>()).prop_map(|(account, keys, given)| {
            HistoryItem::Profile { account, keys, given: given.map(KeyBytes::from) }
        }),
        ("[a-z]{1,99}", "[a-z]{1,99}")
            .prop_map(|(account, handle)| HistoryItem::Handle { account, handle }),
    ]
}

fn step() -> impl Strategy<Value = HistoryStep> {
    let position = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..512));
    let items = proptest::collection::vec(item(), 0..8);
    let chunk = (position(), position(), any::<bool>(), any::<(u64, u64)>(), items).prop_map(
        |(after, next, ends, (messages, of), items)| {
            HistoryStep::Chunk(HistoryChunk { after, next, ends, messages, of, items })
        },
    );
    prop_oneof![
        Just(HistoryStep::Nothing),
        position().prop_map(|after| HistoryStep::Request { after }),
        chunk,
    ]
}

proptest! {
    #[test]
    fn a_step_is_read_as_it_was_written(step in step()) {
        let content = Content::new(UnixMillis(1), None, Body::History(step));
        let bytes = content.to_padded_bytes().unwrap();
        prop_assert_eq!(Content::from_padded_bytes(&bytes), Ok(content));
    }

    #[test]
    fn what_is_no_item_is_refused_or_passed_over(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut reader = Reader::new(&bytes);
        if let Ok(item) = HistoryItem::read(&mut reader) && item != HistoryItem::Unknown {
            let written = item.to_bytes();
            prop_assert_eq!(&bytes[..written.len()], written.as_slice());
        }
    }
}

#[test]
fn an_item_of_a_later_version_is_passed_over_whole() {
    let mut writer = Writer::new();
    writer.array(3);
    writer.uint(77);
    writer.text("from the future");
    writer.array(1);
    writer.uint(5);
    writer.uint(9);
    let bytes = writer.finish();
    let mut reader = Reader::new(&bytes);
    assert_eq!(HistoryItem::read(&mut reader), Ok(HistoryItem::Unknown));
    assert_eq!(reader.uint(), Ok(9), "it ends where it ends");
}

fn past(said: PastSaid) -> HistoryItem {
    HistoryItem::Message(Box::new(PastMessage {
        with: "a".to_owned(),
        from: "b".to_owned(),
        id: [1; 16],
        stamp: 2,
        sent_at: UnixMillis(3),
        said,
        expires_after: None,
        read: true,
        edited: false,
        origin_number: None,
        status: None,
        delivered: 0,
        audience: 0,
        mentions: Vec::new(),
    }))
}

#[test]
fn what_was_taken_back_is_gone_and_not_unknown() {
    let gone = past(PastSaid::Gone);
    assert_eq!(HistoryItem::read(&mut Reader::new(&gone.to_bytes())), Ok(gone));
}

#[test]
fn bounds_hold() {
    let too_far = HistoryStep::Request { after: Some(vec![0; MAX_POSITION_LEN + 1]) };
    let content = Content::new(UnixMillis(1), None, Body::History(too_far));
    let bytes = content.to_padded_bytes().unwrap();
    assert!(Content::from_padded_bytes(&bytes).is_err());
    let mut writer = Writer::new();
    writer.array(2);
    writer.uint(0);
    writer.uint(1);
    let bytes = writer.finish();
    assert_eq!(HistoryItem::read(&mut Reader::new(&bytes)), Err(CborError), "too few parts");
    // A text and an answer are more than the number of their kind; what is gone is not.
    for (kind, fits) in [(1, false), (4, false), (6, true), (7, true)] {
        let bytes = past(PastSaid::Unknown(kind)).to_bytes();
        assert_eq!(HistoryItem::read(&mut Reader::new(&bytes)).is_ok(), fits, "{kind}");
    }
}

#[test]
fn a_full_chunk_fits_into_an_inline_body() {
    let text = "x".repeat(MAX_HISTORY_BYTES - 100);
    let text = text.chars().take(30_000).collect();
    let mark = PastMark::Edit { text, stamp: 1, mentions: Vec::new() };
    let (with, by) = ("a".to_owned(), "b".to_owned());
    let one = HistoryItem::Mark { with, target: [0; 16], by, mark };
    let rest = MAX_HISTORY_BYTES - one.to_bytes().len() - 60;
    let other = PastMark::Edit { text: "y".repeat(rest), stamp: 1, mentions: Vec::new() };
    let other =
        HistoryItem::Mark { with: "a".into(), target: [0; 16], by: "b".into(), mark: other };
    let position = Some(vec![1; MAX_POSITION_LEN]);
    let chunk = HistoryChunk {
        after: position.clone(),
        next: position,
        ends: true,
        messages: u64::MAX,
        of: u64::MAX,
        items: vec![one, other],
    };
    let content = Content::new(UnixMillis(1), None, Body::History(HistoryStep::Chunk(chunk)));
    assert_eq!(content.to_padded_bytes().unwrap().len(), 40_959);
}

#[test]
fn the_longest_item_fits_into_a_chunk() {
    let name = "n".repeat(320);
    let mention = |start| Mention { start, len: 1, account: name.clone() };
    let first = u32::try_from(MAX_TEXT_LEN - MAX_MENTIONS).unwrap();
    let mentions = (first..).take(MAX_MENTIONS).map(mention).collect();
    let item = HistoryItem::Message(Box::new(PastMessage {
        with: name.clone(),
        from: name.clone(),
        id: [1; 16],
        stamp: u64::MAX,
        sent_at: UnixMillis(u64::MAX),
        said: PastSaid::Reply { text: "x".repeat(MAX_TEXT_LEN), target: [2; 16] },
        expires_after: Some(u32::MAX),
        read: true,
        edited: true,
        origin_number: Some(u64::MAX),
        status: Some("s".repeat(32)),
        delivered: u64::MAX,
        audience: u64::MAX,
        mentions,
    }));
    let bytes = item.to_bytes();
    assert!(bytes.len() <= MAX_HISTORY_BYTES, "{}", bytes.len());
    assert_eq!(HistoryItem::read(&mut Reader::new(&bytes)), Ok(item));
}
