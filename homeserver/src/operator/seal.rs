//! Shows a running server that an order comes from the operator: whoever can read the region's
//! signing key. So neither other users of the machine nor pages in a browser on it can give orders.
//!
//! `Authorization: Posthouse-Operator <time> <signature>`: milliseconds, and the Ed25519 signature in
//! base 64 over a label, the region, the time and the order's bytes.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use posthouse_crypto::sign::{SigningKey, VerifyingKey};
use posthouse_protocol::{id::ServerName, time::Timestamp};

/// The scheme of the header field.
const SCHEME: &str = "Posthouse-Operator";

/// How old an order may be, or how far ahead its clock, in milliseconds.
pub const MAX_AGE_MS: u64 = 60_000;

/// The header field's value for an order.
pub fn seal(key: &SigningKey, server: &ServerName, now: Timestamp, order: &[u8]) -> String {
    let signature = key.sign(&signed(server, now, order));
    format!("{SCHEME} {} {}", now.0, BASE64.encode(signature))
}

/// Whether an order is the operator's, and of now.
pub fn is_operators(
    key: &VerifyingKey,
    server: &ServerName,
    now: Timestamp,
    header: &str,
    order: &[u8],
) -> bool {
    let mut parts = header.split(' ');
    let (Some(SCHEME), Some(time), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let Ok(time) = time.parse().map(Timestamp) else { return false };
    let Some(signature) = BASE64.decode(signature).ok().and_then(|bytes| bytes.try_into().ok())
    else {
        return false;
    };
    let is_fresh = time.0.abs_diff(now.0) <= MAX_AGE_MS;
    is_fresh && key.verify(&signed(server, time, order), &signature).is_ok()
}

fn signed(server: &ServerName, now: Timestamp, order: &[u8]) -> Vec<u8> {
    [
        b"posthouse operator order v1\0",
        server.as_str().as_bytes(),
        b"\0",
        &now.0.to_be_bytes(),
        order,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_the_operators_for_a_minute() {
        let key = SigningKey::from_seed(&[1; 32]);
        let public = key.verifying_key();
        let server = ServerName::parse("eu.example").unwrap();
        let (now, order) = (Timestamp(1_800_000_000_000), b"order".as_slice());
        let header = seal(&key, &server, now, order);
        let accepts =
            |header: &str, order: &[u8], now| is_operators(&public, &server, now, header, order);
        assert!(accepts(&header, order, now));
        assert!(accepts(&header, order, now.plus_millis(MAX_AGE_MS)));
        assert!(!accepts(&header, order, now.plus_millis(MAX_AGE_MS + 1)));
        assert!(!accepts(&header, b"another", now));
        let other = SigningKey::from_seed(&[2; 32]);
        assert!(!accepts(&seal(&other, &server, now, order), order, now));
        let abroad = ServerName::parse("us.example").unwrap();
        assert!(!accepts(&seal(&key, &abroad, now, order), order, now));
        for bad in
            ["", "Bearer x", "Posthouse-Operator", "Posthouse-Operator 1 x", &format!("{header} x")]
        {
            assert!(!accepts(bad, order, now), "{bad}");
        }
    }
}
