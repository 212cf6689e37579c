//! Tests of the strict reader.

use proptest::prelude::*;

use super::*;

fn fault<T: std::fmt::Debug>(outcome: Result<T, CborError>) -> Fault {
    outcome.unwrap_err().fault
}

#[test]
fn heads_are_the_shortest_ones() {
    for (bytes, value) in [
        (&[0x17][..], 23),
        (&[0x18, 24], 24),
        (&[0x19, 1, 0], 256),
        (&[0x1a, 0, 1, 0, 0], 65_536),
        (&[0x1b, 0, 0, 0, 1, 0, 0, 0, 0], 1 << 32),
    ] {
        assert_eq!(Reader::new(bytes).uint(), Ok(value));
        let mut writer = Writer::default();
        writer.uint(value);
        assert_eq!(writer.finish(), bytes);
    }
    for long in [&[0x18, 23][..], &[0x19, 0, 255], &[0x1a, 0, 0, 255, 255]] {
        assert_eq!(fault(Reader::new(long).uint()), Fault::NotCanonical);
    }
    assert_eq!(fault(Reader::new(&[0x58, 1, 0]).bytes(9)), Fault::NotCanonical);
    assert_eq!(fault(Reader::new(&[0x78, 1, b'a']).text(9)), Fault::NotCanonical);
    assert_eq!(fault(Reader::new(&[0x98, 0]).array(9)), Fault::NotCanonical);
    assert_eq!(fault(Reader::new(&[0xb8, 0]).map(|_, _| Ok(()))), Fault::NotCanonical);
}

#[test]
fn indefinite_lengths_tags_floats_and_negatives_are_refused() {
    for bytes in [&[0x9f, 0xff][..], &[0xbf, 0xff], &[0x5f, 0xff], &[0x7f, 0xff]] {
        assert!(Reader::new(bytes).array(9).is_err(), "{bytes:x?}");
        assert!(Reader::new(bytes).map(|_, _| Ok(())).is_err(), "{bytes:x?}");
        assert!(Reader::new(bytes).bytes(9).is_err(), "{bytes:x?}");
        assert!(Reader::new(bytes).text(9).is_err(), "{bytes:x?}");
        assert!(Reader::new(bytes).skip(9).is_err(), "{bytes:x?}");
    }
    for bytes in [&[0x20][..], &[0xc0, 0], &[0xf9, 0, 0], &[0xf7], &[0xf8, 0x20]] {
        assert!(Reader::new(bytes).skip(9).is_err(), "{bytes:x?}");
    }
}

#[test]
fn keys_rise_and_unknown_ones_matter_below_128() {
    let read = |bytes: &[u8]| {
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| match key {
            1 | 2 => reader.uint().map(drop),
            other => reader.unknown(other),
        })?;
        reader.finish()
    };
    assert_eq!(read(&[0xa2, 1, 0, 2, 0]), Ok(()));
    assert_eq!(fault(read(&[0xa2, 2, 0, 1, 0])), Fault::KeyOrder);
    assert_eq!(fault(read(&[0xa2, 1, 0, 1, 0])), Fault::KeyOrder);
    assert_eq!(fault(read(&[0xa1, 3, 0])), Fault::UnknownField(3));
    assert_eq!(read(&[0xa2, 1, 0, 0x18, 128, 0x82, 0xf6, 0xa1, 0, 0x41, 0]), Ok(()));
    assert_eq!(fault(read(&[0xa1, 0x18, 128, 0x18, 1])), Fault::NotCanonical);
    assert_eq!(fault(read(&[0xa1, 1, 0, 0])), Fault::Trailing);
    assert_eq!(fault(read(&[0xa2, 1, 0])), Fault::Truncated);
    let mut deep = vec![0xa1, 0x18, 128];
    deep.extend([0x81; 40]);
    assert_eq!(fault(read(&deep)), Fault::TooLong);
}

#[test]
fn a_claimed_count_costs_nothing() {
    let bytes = [0x9b, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(fault(Reader::new(&bytes).list(1_000, Reader::uint)), Fault::TooLong);
    let bytes = [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    // Where `usize` has 32 bits, such a length is no length at all.
    let expected =
        if cfg!(target_pointer_width = "64") { Fault::Truncated } else { Fault::WrongType };
    assert_eq!(fault(Reader::new(&bytes).bytes(1_000)), expected);
}

proptest! {
    #[test]
    fn skipping_never_panics_and_ends(bytes: Vec<u8>) {
        let mut reader = Reader::new(&bytes);
        let _ = reader.skip(limits::MAX_SKIP_DEPTH);
    }
}
