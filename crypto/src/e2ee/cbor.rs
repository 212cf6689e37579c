//! Deterministic CBOR (RFC 8949 §4.2.1), the little of it that this crate writes: integers, byte
//! and text strings, arrays, maps, booleans and null. Stored state, signed documents and message
//! content all use it.
//!
//! The reader takes nothing else: no indefinite lengths, no longer forms than needed, no tags,
//! no floats. So every value has exactly one encoding.

mod fields;
mod reader;
mod writer;

pub(crate) use fields::Fields;
pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

/// Major types (RFC 8949 §3.1).
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;
/// The simple values in use, as whole bytes.
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
/// How deep containers may nest inside a skipped value.
const MAX_DEPTH: u8 = 8;

/// The bytes are not the deterministic CBOR that was expected here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the expected deterministic CBOR")]
pub(crate) struct CborError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn writes_the_vectors_of_rfc_8949_appendix_a() {
        let cases: [(u64, &[u8]); 7] = [
            (0, &[0x00]),
            (23, &[0x17]),
            (24, &[0x18, 0x18]),
            (255, &[0x18, 0xff]),
            (1000, &[0x19, 0x03, 0xe8]),
            (1_000_000, &[0x1a, 0x00, 0x0f, 0x42, 0x40]),
            (u64::MAX, &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ];
        for (value, bytes) in cases {
            let mut writer = Writer::new();
            writer.uint(value);
            assert_eq!(writer.finish().as_slice(), bytes);
            assert_eq!(Reader::new(bytes).uint(), Ok(value));
        }
        assert_eq!(Reader::new(&[0x18, 0x17]).uint(), Err(CborError), "a longer form than needed");
    }

    #[test]
    fn skips_whole_values_and_refuses_what_is_not_deterministic() {
        let nested = [0x82, 0x01, 0xa1, 0x01, 0x42, 0xaa, 0xbb, 0xf6];
        let mut reader = Reader::new(&nested);
        assert_eq!(reader.skip(), Ok(&nested[..7]));
        assert_eq!(reader.skip(), Ok(&nested[7..]));
        let refused: [&[u8]; 7] = [
            &[0x5f, 0xff],                   // indefinite length
            &[0xa2, 0x02, 0x00, 0x01, 0x00], // map keys out of order
            &[0xa2, 0x01, 0x00, 0x01, 0x00], // a key twice
            &[0x61, 0xff],                   // text that is no UTF-8
            &[0xc0, 0x00],                   // a tag
            &[0xfa, 0, 0, 0, 0],             // a float
            &[0x81; 64],                     // too deep
        ];
        for bytes in refused {
            assert_eq!(Reader::new(bytes).skip(), Err(CborError), "{bytes:02x?}");
        }
    }

    #[test]
    fn values_nest_eight_deep_at_most() {
        let deep = |open: &[u8], depth: usize, close: &[u8]| {
            let bytes = [open.repeat(depth), vec![0], close.repeat(depth)].concat();
            Reader::new(&bytes).skip().map(<[u8]>::len)
        };
        // Arrays of one, maps nested in their value, and maps nested in their key.
        let shapes: [(&[u8], &[u8]); 3] = [(&[0x81], &[]), (&[0xa1, 0], &[]), (&[0xa1], &[0])];
        for (open, close) in shapes {
            let len = 8 * (open.len() + close.len()) + 1;
            assert_eq!(deep(open, 8, close), Ok(len), "{open:02x?}");
            assert_eq!(deep(open, 9, close), Err(CborError), "{open:02x?}");
        }
    }

    #[test]
    fn a_map_has_sixty_four_entries_at_most() {
        for (len, fits) in [(64, true), (65, false)] {
            let mut fields = Fields::default();
            (0..len).for_each(|key| fields.put(key, |w| w.uint(0)));
            let mut writer = Writer::new();
            fields.write(&mut writer);
            let bytes = writer.finish();
            assert_eq!(Fields::read(&mut Reader::new(&bytes)).is_ok(), fits, "{len}");
        }
    }

    #[test]
    fn what_is_left_over_is_no_end() {
        let mut reader = Reader::new(&[5, 6]);
        assert_eq!((reader.uint(), reader.end()), (Ok(5), Err(CborError)));
        assert_eq!((reader.uint(), reader.end()), (Ok(6), Ok(())));
    }

    proptest! {
        #[test]
        fn reads_what_it_wrote(n: u64, b: Vec<u8>, t: String, flag: bool, o: Option<u32>) {
            let mut writer = Writer::new();
            writer.array(5);
            writer.uint(n);
            writer.bytes(&b);
            writer.text(&t);
            writer.bool(flag);
            writer.optional(o.as_ref(), |w, v| w.uint(u64::from(*v)));
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.array(), Ok(5));
            prop_assert_eq!(reader.uint(), Ok(n));
            prop_assert_eq!(reader.bytes(), Ok(b.as_slice()));
            prop_assert_eq!(reader.text(), Ok(t.as_str()));
            prop_assert_eq!(reader.bool(), Ok(flag));
            prop_assert_eq!(reader.optional(Reader::u32), Ok(o));
            prop_assert_eq!(reader.end(), Ok(()));
            prop_assert_eq!(Reader::new(&bytes).skip().map(<[u8]>::len), Ok(bytes.len()));
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = Reader::new(&bytes).skip();
        }
    }
}
