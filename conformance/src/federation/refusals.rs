//! The codes of refusals (federation.md §Refusals).

/// A code and its HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The code.
    pub code: &'static str,
    /// The status.
    pub status: u16,
}

macro_rules! codes {
    ($($name:ident $code:literal $status:literal $text:literal;)*) => {
        $(#[doc = $text] pub const $name: Code = Code { code: $code, status: $status };)*
        /// All of them.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    MALFORMED "malformed" 400 "The bytes are not what is expected.";
    UNSUPPORTED_VERSION "unsupported_version" 400 "The version is not spoken here.";
    BAD_SIGNATURE "bad_signature" 403 "The signature is not the origin's.";
    DENIED "denied" 403 "The operator does not federate with the origin.";
    UNKNOWN_KEY "unknown_key" 403 "The signing key is not in the origin's document.";
    WRONG_ORIGIN "wrong_origin" 403 "The certificate is not the origin's.";
    NOT_FOUND "not_found" 404 "Nothing at this address.";
    NOT_FRESH "not_fresh" 409 "Too old, or from the future.";
    REPLAYED "replayed" 409 "An ephemeral came twice.";
    TOO_LARGE "too_large" 413 "Larger than the limit.";
    WRONG_DESTINATION "wrong_destination" 421 "For another server.";
    UNOPENABLE "unopenable" 422 "Sealed to a key that is not held here, or changed.";
    RATE_LIMITED "rate_limited" 429 "Too much.";
    OVERLOADED "overloaded" 503 "Later.";
}
