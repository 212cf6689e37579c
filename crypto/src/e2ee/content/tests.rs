//! Round trips, unknown entries, and golden bytes.

use proptest::prelude::*;

use super::*;
use crate::e2ee::{primitives::curve::PrivateKey, secret::Secret};

fn pointer() -> AttachmentPointer {
    AttachmentPointer {
        place: "https://media.south.test/1".to_owned(),
        key: KeyBytes(Secret::new([5; 32])),
        digest: [6; 32],
        size: 1_234_567,
        media_type: "image/jpeg".to_owned(),
    }
}

fn bodies() -> Vec<Body> {
    let (text, target) = ("hello".to_owned(), [9; 16]);
    let request = ResendRequest {
        message_id: target,
        ratchet_key: Some(PrivateKey::from_bytes(&[1; 32]).public_key()),
        sender_key: Some(([2; 16], 3)),
    };
    let distribution = super::super::wire::sender_key_message::SenderKeyDistribution {
        distribution_id: [1; 16],
        chain_id: 2,
        iteration: 3,
        chain_key: Secret::new([4; 32]),
        signing_key: PrivateKey::from_bytes(&[5; 32]).public_key(),
    };
    vec![
        Body::Text { text: text.clone() },
        Body::Media { caption: String::new(), attachment: pointer() },
        Body::Reaction { emoji: "👍".to_owned(), target },
        Body::Reply { text: text.clone(), target },
        Body::Edit { text, target },
        Body::Delete { target },
        Body::Receipt { status: ReceiptStatus::Read, targets: vec![target, [8; 16]] },
        Body::Typing { started: true },
        Body::View { target },
        Body::Resend(request),
        Body::KeyDistribution(distribution),
        Body::History(HistoryStep::Nothing),
        Body::ProfileKey(KeyBytes(Secret::new([7; 32]))),
    ]
}

#[test]
fn every_kind_is_read_as_it_was_written() {
    for (number, body) in (1..).zip(bodies()) {
        assert_eq!(body.kind(), number);
        let mut content = Content::new(UnixMillis(5), Some("g.1@south.test".to_owned()), body);
        content.expires_after = Some(3_600);
        content.profile_key = Some(KeyBytes(Secret::new([3; 32])));
        let bytes = content.to_padded_bytes().unwrap();
        assert!(crate::e2ee::padding::MESSAGE_BUCKETS.contains(&bytes.len()));
        assert_eq!(Content::from_padded_bytes(&bytes), Ok(content));
    }
}

#[test]
fn the_bytes_of_a_text_are_these() {
    let body = Body::Text { text: "hello".to_owned() };
    let content = Content::new(UnixMillis(1_700_000_000_000), None, body);
    let bytes = content.to_padded_bytes().unwrap();
    let map = [
        0xa4, 0x00, 0x01, 0x01, 0x01, 0x02, 0x1b, 0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, 0x10,
        0x65, b'h', b'e', b'l', b'l', b'o', 0x80, 0,
    ];
    assert_eq!(bytes[..map.len()], map);
    assert_eq!(bytes.len(), 159);
}

#[test]
fn different_contents_are_different() {
    let mut all = bodies();
    all.push(Body::ProfileKey(KeyBytes(Secret::new([8; 32]))));
    all.push(Body::Receipt { status: ReceiptStatus::Delivered, targets: vec![[9; 16], [8; 16]] });
    all.push(Body::Text { text: "other".to_owned() });
    all.push(Body::Unknown { kind: 77 });
    all.push(Body::Unknown { kind: 78 });
    for (at, one) in all.iter().enumerate() {
        for (other_at, other) in all.iter().enumerate() {
            assert_eq!(one == other, at == other_at, "{at} {other_at}");
        }
    }
    let [first, second] = [1, 2].map(|n| KeyBytes(Secret::new([n; 32])));
    assert!(first == first.clone() && first != second);
}

#[test]
fn receipts_have_these_numbers() {
    for (status, number) in [(ReceiptStatus::Delivered, 0), (ReceiptStatus::Read, 1)] {
        assert_eq!(status.number(), number);
        let mut fields = Fields::default();
        fields.put(16, |w| w.uint(number));
        assert_eq!(fields.take(16, ReceiptStatus::read_from), Ok(status));
    }
}

#[test]
fn unknown_entries_and_kinds_are_kept() {
    let mut writer = Writer::new();
    writer.map(5);
    for (key, value) in [(0, 1), (1, 77), (2, 5), (16, 1)] {
        writer.uint(key);
        writer.uint(value);
    }
    writer.uint(99);
    writer.text("from the future");
    let bytes = pad_message(&writer.finish());
    let content = Content::from_padded_bytes(&bytes).unwrap();
    assert_eq!(content.body, Body::Unknown { kind: 77 });
    assert_eq!(content.to_padded_bytes().unwrap(), bytes);
}

#[test]
fn refuses_later_versions_missing_fields_and_too_much() {
    let entry = |pairs: &[(u64, u64)]| {
        let mut writer = Writer::new();
        writer.map(pairs.len());
        for (key, value) in pairs {
            writer.uint(*key);
            writer.uint(*value);
        }
        Content::from_padded_bytes(&pad_message(&writer.finish()))
    };
    assert_eq!(entry(&[(0, 2), (1, 1), (2, 5)]), Err(ContentError::Version(2)));
    assert_eq!(entry(&[(0, 1), (1, 1), (2, 5)]), Err(ContentError::Malformed));
    assert_eq!(Content::from_padded_bytes(&[0; 159]), Err(ContentError::Malformed));
    let text = "x".repeat(MAX_CONTENT_LEN);
    let content = Content::new(UnixMillis(0), None, Body::Text { text });
    assert_eq!(content.to_padded_bytes(), Err(ContentError::TooLong));
}

#[test]
fn the_longest_content_is_written_and_read() {
    let of_len = |len: usize| {
        let mut fields = Fields::default();
        fields.put(0, |w| w.uint(VERSION));
        fields.put(1, |w| w.uint(77));
        fields.put(2, |w| w.uint(0));
        // 8 bytes stand before this entry, and its key and head take 5.
        fields.put(99, |w| w.bytes(&vec![7; len - 13]));
        let mut writer = Writer::new();
        fields.write(&mut writer);
        let bytes = writer.finish();
        assert_eq!(bytes.len(), len);
        Content::from_padded_bytes(&pad_message(&bytes))
    };
    let longest = of_len(MAX_CONTENT_LEN).unwrap();
    assert!(longest.to_padded_bytes().is_ok());
    assert_eq!(of_len(MAX_CONTENT_LEN + 1), Err(ContentError::TooLong));
    let text = "x".repeat(MAX_TEXT_LEN);
    let fits = Content::new(UnixMillis(0), None, Body::Text { text: text.clone() + "x" });
    let read = Content::from_padded_bytes(&fits.to_padded_bytes().unwrap());
    assert_eq!(read, Err(ContentError::Malformed), "a text is shorter than a content");
    let fits = Content::new(UnixMillis(0), None, Body::Text { text });
    assert!(Content::from_padded_bytes(&fits.to_padded_bytes().unwrap()).is_ok());
    assert_eq!((MAX_CONTENT_LEN, MAX_TEXT_LEN), (61_440, 32_768));
}

#[test]
fn debug_shows_no_key() {
    let shown = format!("{:?} {:?}", pointer(), Body::ProfileKey(KeyBytes(Secret::new([7; 32]))));
    insta::assert_snapshot!(shown, @"AttachmentPointer { size: 1234567, .. } Body { kind: 13, .. }");
}

fn mention(start: u32, len: u32) -> Mention {
    Mention { start, len, account: "01890a5d-ac96-774b-bcce-b302099a8057@eu.example".to_owned() }
}

#[test]
fn who_is_mentioned_is_written_with_the_text() {
    let mut texts = Vec::new();
    for body in bodies() {
        texts.extend(body.text().map(str::to_owned));
        let has_text = body.text().is_some_and(|text| text.len() == 5);
        let mut content = Content::new(UnixMillis(5), None, body);
        content.mentions = vec![mention(0, 2), mention(2, 3)];
        let bytes = content.to_padded_bytes();
        assert_eq!(bytes.is_ok(), has_text);
        if let Ok(bytes) = bytes {
            assert_eq!(Content::from_padded_bytes(&bytes), Ok(content));
        }
    }
    assert_eq!(texts, ["hello", "", "hello", "hello"], "text, caption, reply, edit");
}

#[test]
fn mentions_that_are_not_in_the_text_are_refused() {
    let text = "hällo";
    assert!(mentions_fit(&[mention(0, 1), mention(1, 2), mention(3, 3)], text));
    let wrong = [
        vec![mention(0, 0)],
        vec![mention(6, 1)],
        vec![mention(1, 1)],
        vec![mention(0, 3), mention(1, 2)],
        vec![mention(3, 1), mention(0, 1)],
        vec![mention(u32::MAX, u32::MAX)],
    ];
    for mentions in wrong {
        assert!(!mentions_fit(&mentions, text), "{:?}", (mentions[0].start, mentions[0].len));
        let mut writer = Writer::new();
        write_mentions(&mentions, &mut writer);
        let bytes = writer.finish();
        assert_eq!(read_mentions(&mut Reader::new(&bytes), text), Err(CborError));
    }
    let many: Vec<_> = (0..17).map(|at| mention(at, 1)).collect();
    assert!(mentions_fit(&many[..MAX_MENTIONS], &"x".repeat(17)));
    assert!(!mentions_fit(&many, &"x".repeat(17)));
    let none = [0x80];
    assert_eq!(read_mentions(&mut Reader::new(&none), text), Err(CborError), "absent, not empty");
}

proptest! {
    #[test]
    fn what_is_read_is_written_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(content) = Content::from_padded_bytes(&bytes) {
            let again = content.to_padded_bytes().unwrap();
            prop_assert_eq!(Content::from_padded_bytes(&again), Ok(content));
        }
    }
}
