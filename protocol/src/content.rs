//! The content of a message: opaque to the server, bounded.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{
    id::{AccountId, DeviceNumber, RegistrationId},
    limits,
    problem::{Code, Rejection},
};

/// What a message carries. The server checks form and size and reads nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The outer type: `encrypted` from an SDK client; text, image, video, document where the
    /// region allows unencrypted contents. At most [`limits::MAX_LABEL`] bytes.
    pub kind: String,
    /// Whether the client says that the body is ciphertext.
    pub encrypted: bool,
    /// The bytes themselves.
    pub payload: Payload,
}

/// One blob for all devices, or a ciphertext for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// One opaque text for all devices, at most [`limits::MAX_BODY`] bytes; no device check.
    Body(String),
    /// One ciphertext per device; checked against the device list.
    Ciphertexts(Vec<Ciphertext>),
}

/// A ciphertext for one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ciphertext {
    /// Whose device: the recipient's if absent, else usually the sender's own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<AccountId>,
    /// The device's number.
    pub device: DeviceNumber,
    /// The installation that the ciphertext was made for.
    pub registration_id: RegistrationId,
    /// The ciphertext's type, as the end-to-end protocol numbers it.
    #[serde(rename = "type")]
    pub kind: u8,
    /// The ciphertext in base64 (RFC 4648 §4); opaque to the server.
    #[cfg_attr(feature = "schema", schemars(length(max = limits::MAX_BODY)))]
    pub data: String,
}

/// As it stands in a frame, before it is checked.
#[derive(Deserialize)]
pub(crate) struct RawContent<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    encrypted: Option<bool>,
    #[serde(borrow, default)]
    body: Option<Cow<'a, str>>,
    #[serde(default)]
    ciphertexts: Option<Vec<Ciphertext>>,
}

impl RawContent<'_> {
    /// Checks the form; at most `most` ciphertexts.
    pub(crate) fn check(self, most: usize) -> Result<Content, Rejection> {
        let kind = self.kind.ok_or_else(|| missing("content.type"))?;
        if kind.is_empty() || kind.len() > limits::MAX_LABEL {
            return Err(Rejection::new(Code::BadRequest, "`content.type` has 1 to 64 bytes"));
        }
        let payload = match (self.body, self.ciphertexts) {
            (Some(body), None) if body.len() > limits::MAX_BODY => {
                let detail = format!(
                    "`content.body` has {} bytes, at most {} are taken; larger contents go through media",
                    body.len(),
                    limits::MAX_BODY
                );
                return Err(Rejection::new(Code::TooLarge, detail));
            }
            (Some(body), None) => Payload::Body(body.into_owned()),
            (None, Some(ciphertexts)) => Payload::Ciphertexts(bounded(ciphertexts, most)?),
            (None, None) => return Err(missing("content.body or content.ciphertexts")),
            (Some(_), Some(_)) => {
                let detail = "`content` has either `body` or `ciphertexts`, not both";
                return Err(Rejection::new(Code::BadRequest, detail));
            }
        };
        let encrypted = self.encrypted.unwrap_or(matches!(payload, Payload::Ciphertexts(_)));
        Ok(Content { kind: kind.into_owned(), encrypted, payload })
    }
}

fn bounded(ciphertexts: Vec<Ciphertext>, most: usize) -> Result<Vec<Ciphertext>, Rejection> {
    if ciphertexts.is_empty() || ciphertexts.len() > most {
        let detail = format!("`ciphertexts` has 1 to {most} entries");
        return Err(Rejection::new(Code::BadRequest, detail));
    }
    if ciphertexts.iter().any(|one| one.data.len() > limits::MAX_BODY) {
        let detail = format!("a ciphertext has at most {} bytes of text", limits::MAX_BODY);
        return Err(Rejection::new(Code::TooLarge, detail));
    }
    if ciphertexts.iter().map(|one| one.data.len()).sum::<usize>() > limits::MAX_CIPHERTEXTS_TOTAL {
        let detail = format!(
            "all ciphertexts together have at most {} bytes",
            limits::MAX_CIPHERTEXTS_TOTAL
        );
        return Err(Rejection::new(Code::TooLarge, detail));
    }
    Ok(ciphertexts)
}

fn missing(field: &str) -> Rejection {
    Rejection::new(Code::BadRequest, format!("`{field}` is missing"))
}

/// The stored form of a content: JSON with the fields in the order `type`, `encrypted`,
/// `body` or `ciphertexts`. A body goes out to devices in exactly these bytes.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    encrypted: bool,
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    body: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    ciphertexts: Option<Cow<'a, [Ciphertext]>>,
}

impl Content {
    /// Whether the content is of the outer type `encrypted` and says that it is ciphertext.
    pub fn is_encrypted(&self) -> bool {
        self.kind == "encrypted" && self.encrypted
    }

    /// The bytes to be stored.
    pub fn to_stored(&self) -> Vec<u8> {
        let (body, ciphertexts) = match &self.payload {
            Payload::Body(body) => (Some(Cow::Borrowed(body.as_str())), None),
            Payload::Ciphertexts(all) => (None, Some(Cow::Borrowed(all.as_slice()))),
        };
        let kind = Cow::Borrowed(self.kind.as_str());
        let stored = Stored { kind, encrypted: self.encrypted, body, ciphertexts };
        // Plain data with text keys: serialising to memory has no way to fail.
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Reads back what [`Content::to_stored`] gave; `None` if the bytes are something else.
    pub fn from_stored(stored: &[u8]) -> Option<Self> {
        let stored: Stored<'_> = serde_json::from_slice(stored).ok()?;
        let payload = match (stored.body, stored.ciphertexts) {
            (Some(body), None) => Payload::Body(body.into_owned()),
            (None, Some(all)) => Payload::Ciphertexts(all.into_owned()),
            _ => return None,
        };
        Some(Self { kind: stored.kind.into_owned(), encrypted: stored.encrypted, payload })
    }

    /// What of a stored content goes to all devices alike, as JSON text; `None` if each has a
    /// ciphertext of its own, or if the bytes are no text.
    pub fn for_everybody(stored: &[u8]) -> Option<&str> {
        core::str::from_utf8(stored).ok().filter(|text| !has_ciphertexts(text))
    }

    /// What of a stored content goes to one device, as JSON text: a body as it is, or the
    /// device's own ciphertext alone. `None` if the message holds nothing for the device, or if
    /// the bytes are no stored content. `is_recipient` tells a recipient's device from a device of
    /// the sender's own account.
    pub fn for_device<'a>(
        stored: &'a [u8],
        user: &AccountId,
        is_recipient: bool,
        device: DeviceNumber,
    ) -> Option<Cow<'a, str>> {
        // The ciphertexts are the rare shape; a body is passed on without being parsed.
        if let Some(text) = Self::for_everybody(stored) {
            return Some(Cow::Borrowed(text));
        }
        let text = core::str::from_utf8(stored).ok()?;
        let mut content: Stored<'_> = serde_json::from_str(text).ok()?;
        let all = content.ciphertexts.take()?;
        let own = all.iter().find(|one| {
            let mine = one.user.as_ref().map_or(is_recipient, |addressee| addressee == user);
            mine && one.device == device
        })?;
        content.ciphertexts = Some(Cow::Owned(vec![own.clone()]));
        serde_json::to_string(&content).ok().map(Cow::Owned)
    }
}

/// A stored content with ciphertexts has no `body`, and its fields have a fixed order, so the first
/// field after `encrypted` tells the shape. Type names cannot confuse this: quotes in them are
/// escaped.
fn has_ciphertexts(stored: &str) -> bool {
    let Some((_, rest)) = stored.split_once("\",\"encrypted\":") else { return false };
    let rest = rest.strip_prefix("true,").or_else(|| rest.strip_prefix("false,"));
    rest.is_some_and(|rest| rest.starts_with("\"ciphertexts\":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Content, Rejection> {
        serde_json::from_str::<RawContent<'_>>(json).unwrap().check(limits::MAX_CIPHERTEXTS)
    }

    #[test]
    fn a_body_is_stored_as_it_goes_out() {
        let content =
            parse(r#"{"body":"Hello \"you\"","type":"text","encrypted":true,"more":[1]}"#).unwrap();
        let stored = content.to_stored();
        let expected = r#"{"type":"text","encrypted":true,"body":"Hello \"you\""}"#;
        assert_eq!(core::str::from_utf8(&stored).unwrap(), expected);
        let user = AccountId::parse("01890a5d-ac96-774b-bcce-b302099a8057@eu.example").unwrap();
        let out = Content::for_device(&stored, &user, true, DeviceNumber::FIRST);
        assert_eq!(out.unwrap(), expected);
    }

    #[test]
    fn each_device_gets_its_own_ciphertext_only() {
        let me = AccountId::parse("01890a5d-ac96-774b-bcce-b302099a8057@eu.example").unwrap();
        let json = format!(
            r#"{{"type":"encrypted","ciphertexts":[
                {{"device":1,"registration_id":7,"type":3,"data":"AAAA"}},
                {{"device":2,"registration_id":8,"type":2,"data":"BBBB"}},
                {{"user":"{me}","device":2,"registration_id":9,"type":2,"data":"CCCC"}}]}}"#
        );
        let stored = parse(&json).unwrap().to_stored();
        let number = |n: u8| DeviceNumber::try_from(n).unwrap();
        let theirs = Content::for_device(&stored, &me, true, number(1)).unwrap();
        assert!(theirs.contains("AAAA") && !theirs.contains("BBBB") && !theirs.contains("CCCC"));
        let own = Content::for_device(&stored, &me, false, number(2)).unwrap();
        assert!(own.contains("CCCC") && !own.contains("BBBB"));
        assert_eq!(Content::for_device(&stored, &me, false, number(1)), None);
    }

    #[test]
    fn a_type_that_imitates_the_stored_form_is_still_a_body() {
        let kind = r#"x\",\"encrypted\":true,\"ciphertexts\":"#;
        let content = parse(&format!(r#"{{"type":"{kind}","body":"b"}}"#)).unwrap();
        assert!(!has_ciphertexts(core::str::from_utf8(&content.to_stored()).unwrap()));
    }

    #[test]
    fn refuses_what_is_too_large_or_ambiguous() {
        let large = "x".repeat(limits::MAX_BODY + 1);
        let code = |json: &str| parse(json).unwrap_err().code;
        assert_eq!(code(&format!(r#"{{"type":"text","body":"{large}"}}"#)), Code::TooLarge);
        assert_eq!(code(r#"{"type":"text"}"#), Code::BadRequest);
        assert_eq!(code(r#"{"body":"x"}"#), Code::BadRequest);
        assert_eq!(code(r#"{"type":"t","body":"x","ciphertexts":[]}"#), Code::BadRequest);
    }
}
