//! What the parsers of messages bound, pass over and refuse.

use super::{MAX_MESSAGE_LEN, MessageError};
use super::{
    message::{self, SignalMessage},
    prekey_message::PreKeySignalMessage,
    protobuf::{Fields, put_bytes, put_uint, take_varint},
    sender_key_message::{SenderKeyDistribution, SenderKeyMessage},
};
use crate::e2ee::primitives::curve::PrivateKey;

/// A Signal message with these fields behind the usual ones.
fn signal_message(more: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x44];
    put_bytes(&mut bytes, 1, &PrivateKey::from_bytes(&[1; 32]).public_key().to_bytes());
    put_uint(&mut bytes, 2, 7);
    put_uint(&mut bytes, 3, 300);
    put_bytes(&mut bytes, 4, &[9; 16]);
    bytes.extend_from_slice(more);
    bytes.extend_from_slice(&[0; 8]);
    bytes
}

#[test]
fn a_message_of_the_longest_length_is_looked_at_and_a_longer_one_is_not() {
    assert_eq!(MAX_MESSAGE_LEN, 262_144);
    assert!(message::versioned(&vec![0x44; MAX_MESSAGE_LEN]).is_ok());
    let longer = vec![0x44; MAX_MESSAGE_LEN + 1];
    assert_eq!(message::versioned(&longer), Err(MessageError::TooLong));
    assert_eq!(SignalMessage::from_bytes(&longer), Err(MessageError::TooLong));
    // 0x33 is a tag of protobuf as well: it ends the reading, but only behind the length check.
    let longest = SenderKeyMessage::from_bytes(&vec![0x33; MAX_MESSAGE_LEN]);
    assert_eq!(longest, Err(MessageError::Malformed));
    let longer = vec![0x33; MAX_MESSAGE_LEN + 1];
    assert_eq!(SenderKeyMessage::from_bytes(&longer), Err(MessageError::TooLong));
    let longer = SenderKeyDistribution::from_bytes(&longer).map(drop);
    assert_eq!(longer, Err(MessageError::TooLong));
}

#[test]
fn fields_of_later_versions_are_passed_over() {
    // Field 9 as a number, 64 bits, bytes, and 32 bits.
    let later: [&[u8]; 4] = [
        &[9 << 3, 0x80, 0x01],
        &[9 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8],
        &[9 << 3 | 2, 2, 1, 2],
        &[9 << 3 | 5, 1, 2, 3, 4],
    ];
    for field in later {
        let bytes = signal_message(field);
        let message = SignalMessage::from_bytes(&bytes).unwrap();
        assert_eq!(message.as_bytes(), bytes, "the MAC is over them as well");
        assert_eq!((message.counter(), message.previous_counter()), (7, 300), "{field:?}");
        let cut = &field[..field.len() - 1];
        let cut = Fields::new(cut).next().map(|field| field.map(drop));
        assert_eq!(cut, Some(Err(MessageError::Malformed)), "{field:?}");
    }
    for refused in [[9 << 3 | 3, 0], [9 << 3 | 4, 0], [0, 0]] {
        let read = SignalMessage::from_bytes(&signal_message(&refused));
        assert_eq!(read, Err(MessageError::Malformed), "groups, and field 0");
    }
}

#[test]
fn a_number_has_64_bits_at_most() {
    let most = [&[0xff; 9][..], &[0x01]].concat();
    assert_eq!(take_varint(&mut most.as_slice()), Some(u64::MAX));
    let more = [&[0xff; 9][..], &[0x02]].concat();
    assert_eq!(take_varint(&mut more.as_slice()), None);
    assert_eq!(take_varint(&mut [0x80; 11].as_slice()), None);
    assert_eq!(take_varint(&mut [0x80].as_slice()), None, "cut off");
}

#[test]
fn a_first_message_names_the_registration_that_its_sender_claims() {
    let key = PrivateKey::from_bytes(&[2; 32]).public_key();
    let mut inner = signal_message(&[]);
    inner[0] = 0x33;
    let mut bytes = vec![0x33];
    put_bytes(&mut bytes, 2, &key.to_bytes());
    put_bytes(&mut bytes, 3, &key.to_bytes());
    put_bytes(&mut bytes, 4, &inner);
    put_uint(&mut bytes, 5, 16_380);
    put_uint(&mut bytes, 6, 3);
    let read = PreKeySignalMessage::from_bytes(&bytes).unwrap();
    assert_eq!((read.registration_id(), read.base_key()), (16_380, &key));
    assert_eq!(read.message().counter(), 7);
}

/// The high half of the first byte says it; an older reader must be able to say what came.
#[test]
fn another_version_is_named() {
    for first in [0x20, 0x5f] {
        let refused = Some(MessageError::Version(first >> 4));
        assert_eq!(SignalMessage::from_bytes(&[first; 200]).err(), refused);
        assert_eq!(PreKeySignalMessage::from_bytes(&[first; 200]).err(), refused);
        assert_eq!(SenderKeyMessage::from_bytes(&[first; 200]).err(), refused);
        assert_eq!(SenderKeyDistribution::from_bytes(&[first; 200]).err(), refused);
    }
}
