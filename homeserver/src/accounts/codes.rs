//! Codes that people read and type: invitations and recovery codes. 80 random bits in 16 characters
//! of Crockford's base 32, which leaves out letters that look like digits.

use posthouse_protocol::rest::Secret;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Random bytes of a code.
pub(crate) const RANDOM: usize = 10;

/// Characters of a code, without hyphens.
const LENGTH: usize = 16;

/// Longest text that is looked at, in bytes.
const MAX_TEXT: usize = 64;

/// Characters of a group, and of the part by which an invitation is named.
pub(crate) const GROUP: usize = 4;

const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const RFC_4648: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What a code is for: one for one purpose is worth nothing for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Registering.
    Invite,
    /// Logging in without an authenticator.
    Recovery,
}

/// A new code of four groups, and its hash for the store.
pub(crate) fn new(purpose: Purpose, random: [u8; RANDOM]) -> (Secret, [u8; 32]) {
    let random = Zeroizing::new(random);
    let plain = base32(CROCKFORD, random.as_slice());
    let hash = digest(purpose, &plain);
    let mut text = String::with_capacity(LENGTH + LENGTH / GROUP);
    for (at, character) in plain.char_indices() {
        if at > 0 && at % GROUP == 0 {
            text.push('-');
        }
        text.push(character);
    }
    (Secret(text), hash)
}

/// The hash of a code as somebody typed it; `None` if it is no code.
pub(crate) fn hash(purpose: Purpose, typed: &Secret) -> Option<[u8; 32]> {
    if typed.0.len() > MAX_TEXT {
        return None;
    }
    let mut plain = Zeroizing::new(String::with_capacity(MAX_TEXT));
    for character in typed.0.chars() {
        match character.to_ascii_lowercase() {
            '-' | ' ' => {}
            'o' => plain.push('0'),
            'i' | 'l' => plain.push('1'),
            other if CROCKFORD.iter().any(|known| char::from(*known) == other) => plain.push(other),
            _ => return None,
        }
    }
    (plain.len() == LENGTH).then(|| digest(purpose, &plain))
}

/// Bytes in base 32 (RFC 4648 §6), without padding.
pub(crate) fn rfc_4648(bytes: &[u8]) -> Zeroizing<String> {
    base32(RFC_4648, bytes)
}

fn digest(purpose: Purpose, plain: &str) -> [u8; 32] {
    let label: &[u8] = match purpose {
        Purpose::Invite => b"posthouse invite v1\0",
        Purpose::Recovery => b"posthouse recovery code v1\0",
    };
    Sha256::new().chain_update(label).chain_update(plain).finalize().into()
}

fn base32(alphabet: &[u8; 32], bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 8 / 5 + 1));
    let mut push = |five: u16| {
        let letter = alphabet.get(usize::from(five & 31)).copied().unwrap_or_default();
        text.push(char::from(letter));
    };
    let (mut waiting, mut bits) = (0_u16, 0_u32);
    for byte in bytes {
        waiting = (waiting << 8) | u16::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push(waiting >> bits);
        }
        // At most four bits wait.
        waiting &= 0b1111;
    }
    if bits > 0 {
        push(waiting << (5 - bits));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 4648 §10, without its padding.
    #[test]
    fn the_vectors_of_the_rfc() {
        for (plain, coded) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(*rfc_4648(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn typing_is_forgiven_and_purposes_are_apart() {
        let (code, stored) = new(Purpose::Invite, [0; RANDOM]);
        assert_eq!(code.0, "0000-0000-0000-0000");
        for typed in ["0000-0000-0000-0000", "0000000000000000", "OOOO oooo 0000 0000"] {
            assert_eq!(hash(Purpose::Invite, &Secret(typed.into())), Some(stored), "{typed}");
        }
        assert_ne!(hash(Purpose::Recovery, &code), Some(stored));
        for bad in ["", "0000", "0000-0000-0000-000u", "0000-0000-0000-00000", &"0".repeat(65)] {
            assert_eq!(hash(Purpose::Invite, &Secret(bad.into())), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_given_out_is_known_again(random: [u8; RANDOM]) {
            let (code, stored) = new(Purpose::Recovery, random);
            prop_assert_eq!(hash(Purpose::Recovery, &code), Some(stored));
            let loud = Secret(code.0.to_uppercase().replace('-', " "));
            prop_assert_eq!(hash(Purpose::Recovery, &loud), Some(stored));
        }

        #[test]
        fn nothing_that_is_typed_panics(typed: String) {
            hash(Purpose::Invite, &Secret(typed));
        }
    }
}
