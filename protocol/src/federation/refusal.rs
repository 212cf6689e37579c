//! Why a request got no receipt: the body of a 4xx or 5xx answer (docs/spec/federation.md,
//! "Refusals"). Unsigned; it stands under the TLS session alone, so it moves no position.

use super::{
    cbor::{CborError, Fields, Reader},
    limits,
};

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal;)*) => {
        /// A stable code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum RefusalCode { $($(#[$doc])* $name,)* }

        impl RefusalCode {
            /// Every code, in alphabetical order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status that goes with it (RFC 9110 §15).
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

refusals! {
    /// The signature is not the origin's.
    BadSignature = "bad_signature", 403;
    /// The operator does not federate with the origin.
    Denied = "denied", 403;
    /// The bytes are not what is expected here.
    Malformed = "malformed", 400;
    /// There is nothing at this address.
    NotFound = "not_found", 404;
    /// An ephemeral or query is too old, or from the future.
    NotFresh = "not_fresh", 409;
    /// The server has too much to do, or its store is away.
    Overloaded = "overloaded", 503;
    /// The caller sends too much.
    RateLimited = "rate_limited", 429;
    /// An ephemeral came twice.
    Replayed = "replayed", 409;
    /// Larger than the limit.
    TooLarge = "too_large", 413;
    /// The signing key is not in the origin's document, even after a fresh look.
    UnknownKey = "unknown_key", 403;
    /// The body does not open: sealed to a key that is not held here, or changed on the way.
    Unopenable = "unopenable", 422;
    /// The envelope's version is not spoken here.
    UnsupportedVersion = "unsupported_version", 400;
    /// The envelope is for another server.
    WrongDestination = "wrong_destination", 421;
    /// The certificate is not the origin's.
    WrongOrigin = "wrong_origin", 403;
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Refusal {
    /// The code.
    pub code: RefusalCode,
    /// What is wrong in this case, at most [`limits::MAX_DETAIL`] bytes.
    pub detail: String,
    /// After how many seconds to try again.
    pub retry_after: Option<u32>,
}

impl Refusal {
    /// A refusal; a detail beyond the limit is cut.
    pub fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        let end = (0..=limits::MAX_DETAIL).rev().find(|at| detail.is_char_boundary(*at));
        detail.truncate(end.unwrap_or(0));
        Self { code, detail, retry_after: None }
    }

    /// The bytes of the body.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).text(self.code.as_str());
        fields.key(2).text(&self.detail);
        if let Some(seconds) = self.retry_after {
            fields.key(3).uint(seconds.into());
        }
        fields.finish()
    }

    /// Parses the bytes of a body; an unknown code is an error, and the HTTP status then decides.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let (mut code, mut detail, mut retry_after) = (None, None, None);
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| {
            match key {
                1 => {
                    let text = reader.text(64)?;
                    let known = RefusalCode::ALL.iter().find(|code| code.as_str() == text);
                    code = Some(*known.ok_or_else(|| reader.invalid("an unknown code"))?);
                }
                2 => detail = Some(reader.text(limits::MAX_DETAIL)?.to_owned()),
                3 => retry_after = u32::try_from(reader.uint_up_to(u32::MAX.into())?).ok(),
                other => reader.unknown(other)?,
            }
            Ok(())
        })?;
        let code = reader.require(code, "code")?;
        let refusal = Self { code, detail: reader.require(detail, "detail")?, retry_after };
        reader.finish()?;
        Ok(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_cuts_long_details() {
        for code in RefusalCode::ALL {
            let mut refusal = Refusal::new(*code, "ä".repeat(200));
            refusal.retry_after = Some(3);
            assert!(refusal.detail.len() <= limits::MAX_DETAIL);
            assert_eq!(Refusal::decode(&refusal.encode()), Ok(refusal));
        }
    }
}
