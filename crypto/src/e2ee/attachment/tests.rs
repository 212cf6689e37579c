//! Streams of all lengths, ranges, and what is refused.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

fn seal(plaintext: &[u8], step: usize) -> (SealedAttachment, Vec<u8>) {
    let mut out = Vec::new();
    let mut encryptor = Encryptor::new(&mut StdRng::seed_from_u64(1), &mut out);
    for part in plaintext.chunks(step) {
        encryptor.push(part, &mut out).unwrap();
    }
    (encryptor.finish(&mut out).unwrap(), out)
}

fn open(sealed: &SealedAttachment, bytes: &[u8], step: usize) -> Result<Vec<u8>, AttachmentError> {
    let mut out = Vec::new();
    let mut decryptor = Decryptor::new(&sealed.key, sealed.digest, sealed.size)?;
    for part in bytes.chunks(step) {
        decryptor.push(part, &mut out)?;
    }
    decryptor.finish().map(|()| out)
}

fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    StdRng::seed_from_u64(len as u64).fill(bytes.as_mut_slice());
    bytes
}

#[test]
fn lengths_around_the_chunks_come_back() {
    for len in [0, 1, 1023, 1024, 65_535, 65_536, 65_537, 131_072, 200_000] {
        let plaintext = random(len);
        let (sealed, bytes) = seal(&plaintext, 7_001);
        assert_eq!(bytes.len() as u64, ciphertext_len(len as u64));
        assert_eq!(open(&sealed, &bytes, 9_999).unwrap(), plaintext, "{len}");
    }
}

#[test]
fn a_range_is_decrypted_alone() {
    let plaintext = random(200_000);
    let (sealed, bytes) = seal(&plaintext, 50_000);
    let chunks = ChunkDecryptor::new(&sealed.key, sealed.size).unwrap();
    for offset in [0, 65_535, 65_536, 150_000, 199_999_u64] {
        let (number, start, len) = chunks.locate(offset).unwrap();
        let start = usize::try_from(start).unwrap();
        let plain = chunks.open(number, &bytes[start..start + len]).unwrap();
        let at = usize::try_from(offset).unwrap();
        assert_eq!(plain[at % CHUNK_LEN], plaintext[at]);
        let chunk = at - at % CHUNK_LEN;
        assert_eq!(plain, plaintext[chunk..plaintext.len().min(chunk + CHUNK_LEN)]);
    }
    assert_eq!(chunks.locate(200_000), None);
}

#[test]
fn sixteen_gibibytes_are_the_most_that_is_opened() {
    let key = Secret::new([1; 32]);
    assert_eq!(MAX_LEN, 17_179_869_184);
    for (size, expected) in [(MAX_LEN, None), (MAX_LEN + 1, Some(AttachmentError::TooLong))] {
        assert_eq!(Decryptor::new(&key, [0; 32], size).err(), expected);
        assert_eq!(ChunkDecryptor::new(&key, size).err(), expected);
    }
    let chunks = ChunkDecryptor::new(&key, MAX_LEN).unwrap();
    let (number, start, len) = chunks.locate(MAX_LEN - 1).unwrap();
    assert_eq!((number, len), (262_143, CHUNK_LEN + TAG_LEN));
    assert_eq!(start + len as u64, ciphertext_len(MAX_LEN));
    let shown = format!("{chunks:?}");
    assert_eq!(shown, "ChunkDecryptor { size: 17179869184, .. }");
}

#[test]
fn refuses_what_was_changed_moved_or_cut_off() {
    let plaintext = random(200_000);
    let (sealed, bytes) = seal(&plaintext, 50_000);
    // The first byte of the second chunk, and of the third.
    let (second, third) = (1 + CHUNK_LEN + TAG_LEN, 1 + 2 * (CHUNK_LEN + TAG_LEN));
    let refused = |bytes: &[u8]| open(&sealed, bytes, 10_000).unwrap_err();
    for at in [1, 70_000, bytes.len() - 1] {
        let mut copy = bytes.clone();
        copy[at] ^= 1;
        assert_eq!(refused(&copy), AttachmentError::NotAuthentic);
    }
    let mut copy = bytes.clone();
    copy[0] = 2;
    assert_eq!(refused(&copy), AttachmentError::Version(2));
    assert_eq!(refused(&bytes[..bytes.len() - 1]), AttachmentError::Size);
    assert_eq!(refused(&bytes[..second]), AttachmentError::Size);
    assert_eq!(refused(&[bytes.as_slice(), &[0]].concat()), AttachmentError::Size);
    let swapped = [&bytes[..1], &bytes[second..third], &bytes[1..second], &bytes[third..]];
    assert_eq!(refused(&swapped.concat()), AttachmentError::NotAuthentic);
    let other = SealedAttachment { digest: [0; 32], ..sealed.clone() };
    assert_eq!(open(&other, &bytes, 10_000), Err(AttachmentError::Digest));
    // A shorter length than the true one makes a middle chunk the last: its nonce differs.
    let shorter = SealedAttachment { size: 65_536, ..sealed };
    assert_eq!(open(&shorter, &bytes[..second], 10_000), Err(AttachmentError::NotAuthentic));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_steps_give_the_same(len in 0_usize..140_000, steps in (1_usize..90_000, 1_usize..90_000)) {
        let plaintext = random(len);
        let (sealed, bytes) = seal(&plaintext, steps.0);
        prop_assert_eq!(open(&sealed, &bytes, steps.1), Ok(plaintext));
    }
}
