//! Padding to buckets, so that a length says little about what was written.
//!
//! Messages: the content, a byte 0x80, then zeros up to a bucket. Buckets are one byte less than
//! a multiple of the cipher's block, whose own padding fills it.
//!
//! Media: zeros up to the next length of the Padmé scheme, at most 12 % more; the true length
//! travels inside the message that points to it.

use zeroize::Zeroizing;

/// The lengths of padded messages, in bytes.
pub const MESSAGE_BUCKETS: [usize; 9] =
    [159, 319, 639, 1_279, 2_559, 5_119, 10_239, 20_479, 40_959];
/// What longer messages are padded to a multiple of, less one byte.
const LARGE_STEP: usize = 16 * 1024;
/// The byte that ends the content.
const END: u8 = 0x80;
/// The shortest padded attachment, in bytes.
const MIN_MEDIA: u64 = 1024;

/// Pads a message's content.
pub fn pad_message(content: &[u8]) -> Zeroizing<Vec<u8>> {
    let least = content.len() + 1;
    let bucket = MESSAGE_BUCKETS.into_iter().find(|bucket| *bucket >= least);
    let bucket = bucket.unwrap_or_else(|| (least + 1).next_multiple_of(LARGE_STEP) - 1);
    let mut padded = Zeroizing::new(Vec::with_capacity(bucket));
    padded.extend_from_slice(content);
    padded.push(END);
    padded.resize(bucket, 0);
    padded
}

/// The content of a padded message, or `None` if there is no end mark.
pub fn unpad_message(padded: &[u8]) -> Option<&[u8]> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    let (content, rest) = padded.split_at_checked(end)?;
    (rest.first() == Some(&END)).then_some(content)
}

/// The length to which media of `len` bytes are padded (Padmé): all but the leading bits of a
/// length are rounded up, more of them for longer media.
pub fn padded_media_len(len: u64) -> u64 {
    let len = len.max(MIN_MEDIA);
    let exponent = len.ilog2();
    let kept = exponent.ilog2() + 1;
    let step = 1_u64 << exponent.saturating_sub(kept);
    len.checked_next_multiple_of(step).unwrap_or(len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_texts_have_one_length() {
        assert_eq!(pad_message(b"").len(), 159);
        assert_eq!(pad_message(&[7; 158]).len(), 159);
        assert_eq!(pad_message(&[7; 159]).len(), 319);
        assert_eq!(pad_message(&vec![7; 65_535]).len(), 81_919);
        assert_eq!(unpad_message(&[1, 0, 0]), None);
        assert_eq!(unpad_message(&[0; 9]), None);
        assert_eq!(padded_media_len(1), 1_024);
        assert_eq!(padded_media_len(1_000_001), 1_015_808);
        assert_eq!(padded_media_len(1_020_000), 1_032_192);
        assert_eq!(padded_media_len(u64::MAX), u64::MAX);
    }

    proptest! {
        #[test]
        fn padding_goes_away(content in proptest::collection::vec(any::<u8>(), 0..4_000)) {
            let padded = pad_message(&content);
            prop_assert_eq!(unpad_message(&padded), Some(content.as_slice()));
        }

        #[test]
        fn media_grow_by_an_eighth_at_most(len in MIN_MEDIA..1 << 40) {
            let padded = padded_media_len(len);
            prop_assert!(padded >= len);
            prop_assert!(padded - len <= len / 8);
            prop_assert_eq!(padded_media_len(padded), padded);
        }
    }
}
