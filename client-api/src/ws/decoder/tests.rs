//! Tests of the decoder, with tungstenite as the judge.

use proptest::prelude::*;
use tokio_tungstenite::tungstenite::{
    Error, Message,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

use super::*;

const MAX: usize = 1_000;
const CASES: u32 = 2_000;

/// What came of some bytes, in a form that both decoders can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
    TooLarge,
    Refused,
}

/// A frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x5a, 0x01, 0xff, 0x3c];
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..=0xffff => {
            out.push(0xfe);
            out.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            out.push(0xff);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// What our decoder sees if the bytes arrive in pieces of `step`.
fn ours(bytes: &[u8], step: usize) -> Vec<Seen> {
    let mut decoder = Decoder::new(MAX, Vec::new());
    let mut seen = Vec::new();
    for piece in bytes.chunks(step) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(None) => break,
                Ok(Some(Event::Fragment)) => {}
                Ok(Some(Event::Text(text))) => seen.push(Seen::Text(text.into())),
                Ok(Some(Event::Binary)) => seen.push(Seen::Binary),
                Ok(Some(Event::Oversize)) => seen.push(Seen::TooLarge),
                Ok(Some(Event::Ping(payload))) => seen.push(Seen::Ping(payload.into())),
                Ok(Some(Event::Pong)) => seen.push(Seen::Pong),
                Ok(Some(Event::Close(code))) => {
                    seen.push(Seen::Close(code));
                    return seen;
                }
                Err(_) => {
                    seen.push(Seen::Refused);
                    return seen;
                }
            }
        }
    }
    seen
}

/// A stream that gives some bytes and takes any.
struct Given<'a>(&'a [u8]);

impl std::io::Read for Given<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match std::io::Read::read(&mut self.0, buf) {
            Ok(0) => Err(std::io::ErrorKind::WouldBlock.into()),
            other => other,
        }
    }
}

impl std::io::Write for Given<'_> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        Ok(buf.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What tungstenite sees, up to the first thing that ends its connection.
fn theirs(bytes: &[u8]) -> Vec<Seen> {
    let config = WebSocketConfig::default().max_frame_size(Some(MAX)).max_message_size(Some(MAX));
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let mut stream = Given(bytes);
    let mut seen = Vec::new();
    loop {
        let one = match context.read(&mut stream) {
            Ok(Message::Text(text)) => Seen::Text(text.to_string()),
            Ok(Message::Binary(_)) => Seen::Binary,
            Ok(Message::Ping(payload)) => Seen::Ping(payload.into()),
            Ok(Message::Pong(_)) => Seen::Pong,
            Ok(Message::Close(frame)) => Seen::Close(frame.map(|frame| frame.code.into())),
            Ok(Message::Frame(_)) => continue,
            Err(Error::Io(_)) => return seen,
            Err(Error::Capacity(_)) => Seen::TooLarge,
            Err(_) => Seen::Refused,
        };
        let is_end = matches!(one, Seen::Close(_) | Seen::TooLarge | Seen::Refused);
        seen.push(one);
        if is_end {
            return seen;
        }
    }
}

/// Both see the same up to where tungstenite gives up; beyond an oversize message only ours goes
/// on.
fn agree(bytes: &[u8], step: usize) -> Result<(), TestCaseError> {
    let (ours, mut theirs) = (ours(bytes, step), theirs(bytes));
    // It tells a close code that may not be sent as the answer that it gives.
    if let (Some(Seen::Refused), Some(last @ Seen::Close(Some(1002)))) =
        (ours.last(), theirs.last_mut())
    {
        *last = Seen::Refused;
    }
    let upto = &ours[..theirs.len().min(ours.len())];
    prop_assert_eq!(upto, &theirs[..]);
    let goes_on = theirs.last() == Some(&Seen::TooLarge);
    prop_assert!(goes_on || ours.len() == theirs.len(), "{:?} {:?}", ours, theirs);
    Ok(())
}

/// Frames that are mostly well-formed: messages whole and in parts, control frames between.
fn traffic() -> impl Strategy<Value = Vec<u8>> {
    let text = "[a-zä€😀]{0,200}".prop_map(String::into_bytes);
    let payload = prop_oneof![4 => text, 1 => prop::collection::vec(any::<u8>(), 0..300)];
    let first = prop_oneof![
        5 => Just(0x81_u8), 2 => Just(0x01), 2 => Just(0x00), 2 => Just(0x80), 1 => Just(0x82),
        1 => Just(0x02), 1 => Just(0x89), 1 => Just(0x8a), 1 => any::<u8>(),
    ];
    prop::collection::vec((first, payload), 1..12).prop_map(|frames| {
        frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn tungstenite_sees_the_same_traffic(bytes in traffic(), step in 1usize..2_000) {
        agree(&bytes, step)?;
    }

    #[test]
    fn any_bytes_are_bearable(bytes in prop::collection::vec(any::<u8>(), 0..600), step in 1usize..99) {
        ours(&bytes, step);
    }

    /// However the bytes are cut, the same is seen.
    #[test]
    fn the_cut_does_not_matter(bytes in traffic(), step in 1usize..50) {
        prop_assert_eq!(ours(&bytes, step), ours(&bytes, bytes.len().max(1)));
    }
}

#[test]
fn an_oversize_message_is_told_once_and_skipped() {
    let big = vec![b'x'; MAX + 1];
    let mut bytes = frame(0x81, &big);
    bytes.extend(frame(0x81, b"next"));
    // In parts: 600 + 600 is too much, and what follows belongs to the same message.
    for (first, len) in [(0x01, 600), (0x00, 600), (0x89, 3), (0x00, 1_001), (0x80, 5)] {
        bytes.extend(frame(first, &vec![b'y'; len]));
    }
    bytes.extend(frame(0x81, b"last"));
    let text = |text: &str| Seen::Text(text.into());
    let expected =
        [Seen::TooLarge, text("next"), Seen::TooLarge, Seen::Ping(b"yyy".to_vec()), text("last")];
    for step in [1, 7, 100, 10_000] {
        assert_eq!(ours(&bytes, step), expected, "{step}");
    }
}

#[test]
fn a_frame_beyond_skipping_ends_the_connection() {
    let mut head = vec![0x81, 0xff];
    head.extend_from_slice(&(MAX_SKIPPED + 1).to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    let mut decoder = Decoder::new(MAX, head);
    assert_eq!(decoder.next(), Err(End::TooBig));
}

#[test]
fn memory_is_given_back() {
    let mut decoder = Decoder::new(MAX, frame(0x81, &[b'x'; 900]));
    assert!(matches!(decoder.next(), Ok(Some(Event::Text(_)))));
    assert!(matches!(decoder.next(), Ok(None)));
    assert_eq!(decoder.received.capacity(), 0);
    assert!(!decoder.is_amid());
    // What is skipped is never held.
    let big = frame(0x82, &vec![0; 1_000_000]);
    for piece in big.chunks(16_384) {
        decoder.push(piece);
        while let Ok(Some(event)) = decoder.next() {
            assert_eq!(event, Event::Oversize);
        }
        assert!(decoder.received.capacity() <= 16_384);
    }
    assert!(!decoder.is_amid());
}

#[test]
fn what_the_rfc_forbids_is_refused() {
    let refused = |bytes: &[u8]| ours(bytes, 100).last() == Some(&Seen::Refused);
    assert!(refused(&[0x81, 0x01, b'x']), "unmasked");
    assert!(refused(&frame(0xc1, b"x")), "a reserved bit");
    assert!(refused(&frame(0x83, b"x")), "an unknown opcode");
    assert!(refused(&frame(0x80, b"x")), "a continuation of nothing");
    assert!(refused(&frame(0x89, &[0; 126])), "a long ping");
    assert!(refused(&frame(0x09, b"")), "a ping in parts");
    assert!(refused(&frame(0x88, &[3])), "half a close code");
    assert!(refused(&frame(0x88, &1005_u16.to_be_bytes())), "a code that is never sent");
    assert!(refused(&frame(0x81, &[0xff])), "no UTF-8");
    assert!(refused(&[frame(0x01, b"a"), frame(0x81, b"b")].concat()), "a message in a message");
    assert_eq!(ours(&frame(0x88, b""), 1), [Seen::Close(None)]);
    assert_eq!(ours(&frame(0x88, &4999_u16.to_be_bytes()), 1), [Seen::Close(Some(4999))]);
}
