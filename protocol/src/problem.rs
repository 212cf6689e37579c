//! Errors as clients see them (docs/spec/errors.md): one code everywhere, as `error` frame on the
//! socket and as problem document (RFC 9457) over REST.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::rest::groups::GroupHead;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// A stable error code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code, in alphabetical order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status that goes with the code (RFC 9110 §15).
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// A short summary, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// `after` names a stamp that this region does not know in the conversation.
    AfterUnknown = "after_unknown", 409, "The stamp in `after` is not known here";
    /// Another region answered something that nobody should believe.
    AnswerRefused = "answer_refused", 502, "The answer of the other region is refused";
    /// The bytes are not JSON, or not the JSON that is expected here.
    BadJson = "bad_json", 400, "The text is not the JSON that is expected here";
    /// A field is missing, or its value is not allowed.
    BadRequest = "bad_request", 400, "A field is missing or its value is not allowed";
    /// A signature is not the identity key's.
    BadSignature = "bad_signature", 400, "A signature is not the identity key's";
    /// The account asks for a code besides the password.
    CodeRequired = "code_required", 401, "A code is needed besides the password";
    /// What the request was made against has changed meanwhile.
    Conflict = "conflict", 409, "What the request was made against has changed";
    /// Somebody cannot be added to a group without asking.
    ConsentNeeded = "consent_needed", 403, "This person has to be invited";
    /// The cursor lies beyond the end of the inbox: synchronise again from the start.
    CursorReset = "cursor_reset", 409, "The cursor lies beyond the end of the inbox";
    /// The signed device list is not one that other people's clients would believe.
    DeviceListRefused = "device_list_refused", 409, "The device list is refused";
    /// The caller may not do this.
    Forbidden = "forbidden", 403, "This is not allowed";
    /// The handle is taken, or was taken once.
    HandleTaken = "handle_taken", 409, "The handle is taken";
    /// A defect of the server; its log has more.
    Internal = "internal", 500, "The server failed";
    /// The invitation is missing, unknown, used up, withdrawn or expired.
    InviteInvalid = "invite_invalid", 403, "A valid invitation is needed";
    /// The HTTP method is not one of this address's.
    MethodNotAllowed = "method_not_allowed", 405, "This address does not know that method";
    /// The account has no identity key yet.
    NoIdentity = "no_identity", 409, "There is no identity key";
    /// There is no such thing, or it is not the caller's.
    NotFound = "not_found", 404, "There is no such thing";
    /// `prev` names a message that was not accepted, or is not the last one.
    OutOfOrder = "out_of_order", 409, "The message that should come before was not accepted";
    /// The server has more work than it can take now; nothing was reserved.
    Overloaded = "overloaded", 503, "The server has too much to do";
    /// The account asks for its PIN here.
    PinRequired = "pin_required", 403, "The account's PIN is needed";
    /// A recipient's queue is full.
    QueueFull = "queue_full", 507, "The recipient's queue is full";
    /// The caller asks too often.
    RateLimited = "rate_limited", 429, "Too many requests";
    /// The recipient's region cannot be reached to resolve the name; nothing was reserved.
    RegionUnreachable = "region_unreachable", 503, "The region cannot be reached";
    /// The ciphertexts do not match the devices of a recipient; nothing was delivered.
    StaleDevices = "stale_devices", 409, "The ciphertexts do not match the recipient's devices";
    /// The group has moved on from the epoch that was named.
    StaleEpoch = "stale_epoch", 409, "The group has another epoch";
    /// The request's body did not arrive in time.
    Timeout = "timeout", 408, "The request took too long to arrive";
    /// The body, frame or field is larger than the limit.
    TooLarge = "too_large", 413, "Too large";
    /// More of something than the limit allows.
    TooMany = "too_many", 409, "The limit is reached";
    /// The access token is missing, malformed, expired or revoked.
    Unauthorized = "unauthorized", 401, "A valid access token is needed";
    /// The store or another part is not available; nothing was reserved.
    Unavailable = "unavailable", 503, "The service is not available now";
    /// This region takes encrypted contents only.
    UnencryptedRefused = "unencrypted_refused", 403, "This region takes encrypted contents only";
    /// The frame's type is unknown.
    UnknownType = "unknown_type", 400, "The frame's type is unknown";
    /// There is no such user.
    UnknownUser = "unknown_user", 404, "There is no such user";
    /// The request body's media type is not the expected one.
    UnsupportedMediaType = "unsupported_media_type", 415, "The media type is not supported";
    /// The password is one that everybody tries first.
    WeakPassword = "weak_password", 400, "The password is too easy to guess";
    /// The code, recovery code or PIN is wrong, or was used before.
    WrongCode = "wrong_code", 401, "The code is wrong";
    /// The handle or password is wrong.
    WrongCredentials = "wrong_credentials", 401, "The handle or the password is wrong";
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// A refusal, before it is dressed for a transport.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Rejection {
    /// The stable code.
    pub code: Code,
    /// What is wrong in this case, in a sentence for the developer of a client.
    pub detail: Cow<'static, str>,
    /// After how many seconds to try again, where that helps.
    pub retry_after: Option<u32>,
    /// What a client needs to mend a stale device list.
    pub stale_devices: Option<Box<StaleDevices>>,
    /// The head of a group's chain, for who was behind it.
    pub head: Option<Box<GroupHead>>,
}

impl Rejection {
    /// A refusal without further facts.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), retry_after: None, stale_devices: None, head: None }
    }

    /// The refusal of what was made against another epoch than a group's newest.
    pub fn stale_epoch(head: GroupHead) -> Self {
        let detail = format!("the group's newest epoch is {}; read the chain", head.epoch);
        Self { head: Some(Box::new(head)), ..Self::new(Code::StaleEpoch, detail) }
    }

    /// The same refusal, with the time after which to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl From<crate::id::IdError> for Rejection {
    fn from(err: crate::id::IdError) -> Self {
        Self::new(Code::BadRequest, err.to_string())
    }
}

/// How ciphertexts differ from a recipient's devices.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StaleDevices {
    /// Whose devices.
    pub user: String,
    /// Devices without a ciphertext.
    pub missing: Vec<u8>,
    /// Ciphertexts for devices that do not exist.
    pub extra: Vec<u8>,
    /// Devices that were installed anew: their `registration_id` differs.
    pub stale: Vec<u8>,
}

/// A problem document (RFC 9457), sent as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// `urn:posthouse:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's summary.
    pub title: String,
    /// The HTTP status again.
    pub status: u16,
    /// The code by itself.
    #[cfg_attr(feature = "schema", schemars(with = "Code"))]
    pub code: String,
    /// What is wrong in this case.
    pub detail: String,
    /// After how many seconds to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// For `stale_devices`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_devices: Option<StaleDevices>,
    /// For `stale_epoch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<GroupHead>,
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let code = rejection.code;
        Self {
            kind: format!("urn:posthouse:problem:{}", code.as_str()),
            title: code.title().into(),
            status: code.status(),
            code: code.as_str().into(),
            detail: rejection.detail.into_owned(),
            retry_after: rejection.retry_after,
            stale_devices: rejection.stale_devices.map(|boxed| *boxed),
            head: rejection.head.map(|boxed| *boxed),
        }
    }
}
