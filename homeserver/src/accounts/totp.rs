//! One-time passwords by time (RFC 6238 over RFC 4226): SHA-1, 30 seconds, 6 digits, as all
//! authenticators know them.

use hmac::{Hmac, KeyInit, Mac};
use posthouse_protocol::{
    id::{HandleName, ServerName},
    rest::Secret,
    time::Timestamp,
};
use posthouse_storage::factors::TOTP_SECRET;
use sha1::Sha1;
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use super::codes;

/// Length of a step, in milliseconds.
const STEP_MS: u64 = 30_000;

/// Digits of a code.
const DIGITS: usize = 6;

/// The step of `code` within one of now, if that is later than `last`. Takes as long for every code.
pub(super) fn matching_step(
    secret: &[u8; TOTP_SECRET],
    code: &Secret,
    last: u64,
    now: Timestamp,
) -> Option<u64> {
    let current = now.0 / STEP_MS;
    let mut found = 0_u64;
    for step in current.saturating_sub(1)..=current + 1 {
        let expected = code_of(secret, step);
        let same = expected.as_bytes().ct_eq(code.0.as_bytes());
        found.conditional_assign(&step, same);
    }
    (found > last).then_some(found)
}

/// The code of a step (RFC 4226 §5.3).
fn code_of(secret: &[u8; TOTP_SECRET], step: u64) -> Zeroizing<String> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret) else { return Zeroizing::default() };
    mac.update(&step.to_be_bytes());
    let digest: [u8; 20] = mac.finalize().into_bytes().into();
    let [.., last] = digest;
    let offset = usize::from(last & 0xf);
    let word = digest.iter().skip(offset).take(4);
    let number = word.fold(0_u32, |number, byte| (number << 8) | u32::from(*byte)) & 0x7fff_ffff;
    Zeroizing::new(format!("{:0DIGITS$}", number % 1_000_000))
}

/// What an authenticator reads: the Key URI Format of Google Authenticator.
pub(super) fn uri(secret: &[u8; TOTP_SECRET], handle: &HandleName, server: &ServerName) -> Secret {
    let secret = codes::rfc_4648(secret);
    // The characters of handles and server names need no escape (RFC 3986 §2.3).
    Secret(format!(
        "otpauth://totp/{server}:{handle}?secret={}&issuer={server}&algorithm=SHA1&digits={DIGITS}\
         &period={}",
        secret.as_str(),
        STEP_MS / 1000
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The secret of the RFC's vectors.
    const SECRET: [u8; TOTP_SECRET] = *b"12345678901234567890";

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    /// RFC 6238, appendix B: eight digits there, of which ours are the last six.
    #[test]
    fn the_vectors_of_the_rfc() {
        for (seconds, eight) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            let code = Secret(eight.chars().skip(2).collect());
            let step = seconds / 30;
            assert_eq!(*code_of(&SECRET, step), code.0, "{seconds}");
            assert_eq!(matching_step(&SECRET, &code, 0, at(seconds)), Some(step));
        }
    }

    #[test]
    fn a_code_is_good_for_one_step_around_it_and_not_again() {
        let code = Secret(code_of(&SECRET, 1_000).to_string());
        let matching = |seconds, last| matching_step(&SECRET, &code, last, at(seconds));
        assert_eq!(matching(29_969, 0), None);
        assert_eq!(matching(29_970, 0), Some(1_000));
        assert_eq!(matching(30_059, 0), Some(1_000));
        assert_eq!(matching(30_060, 0), None);
        assert_eq!(matching(30_000, 999), Some(1_000));
        assert_eq!(matching(30_000, 1_000), None, "it was used");
        for bad in ["", "1", "12345a", "0000000", "１２３４５６"] {
            assert_eq!(matching_step(&SECRET, &Secret(bad.into()), 0, at(30_000)), None, "{bad}");
        }
    }

    #[test]
    fn the_uri_is_what_authenticators_read() {
        let server = ServerName::parse("eu.example").unwrap();
        let uri = uri(&SECRET, &HandleName::parse("alice").unwrap(), &server);
        let want = "otpauth://totp/eu.example:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
                    &issuer=eu.example&algorithm=SHA1&digits=6&period=30";
        assert_eq!(uri.0, want);
    }
}
