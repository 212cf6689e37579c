//! Bodies of the calls that protect an account (docs/spec/rest.md §2): passwords, one-time passwords,
//! recovery codes, the PIN for linking devices, deletion.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::Secret;
use crate::limits;

/// The caller shows that it is the account's person, not only somebody with an unlocked device.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Confirmation {
    /// The account's password.
    pub current_password: Secret,
    /// A code of the authenticator, where the account has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<Secret>,
    /// A recovery code in place of `code`; it is used up.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recovery_code: Option<Secret>,
}

/// `POST /v1/account/password`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChangePassword {
    /// The password until now.
    pub current_password: Secret,
    /// The password from now on.
    #[cfg_attr(feature = "schema", schemars(length(min = limits::MIN_PASSWORD, max = limits::MAX_PASSWORD)))]
    pub new_password: Secret,
}

/// `GET /v1/account/security`: what protects the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccountSecurity {
    /// Whether log-in asks for a code of an authenticator.
    pub totp: bool,
    /// Recovery codes that were not used.
    pub recovery_codes: u32,
    /// Whether linking a device asks for a PIN.
    pub pin: bool,
}

/// The answer to `POST /v1/account/totp`: what an authenticator needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TotpSecret {
    /// The secret in base 32 (RFC 4648 §6), without padding.
    pub secret: Secret,
    /// The same as `otpauth` URI, to be shown as QR code.
    pub uri: Secret,
}

/// `POST /v1/account/totp/confirm`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfirmTotp {
    /// A code of the authenticator.
    pub code: Secret,
}

/// Recovery codes, shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoveryCodes {
    /// Each is good for one log-in.
    pub recovery_codes: Vec<Secret>,
}

/// `POST /v1/account/pin`: sets or changes the PIN.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetPin {
    /// The account's password.
    pub current_password: Secret,
    /// The PIN.
    pub pin: Pin,
}

/// A PIN: 6 to 12 ASCII digits.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Pin(Secret);

impl Pin {
    /// Parses a PIN; `None` if it is none.
    pub fn parse(text: Secret) -> Option<Self> {
        let digits = text.0.len();
        let fits = (limits::MIN_PIN..=limits::MAX_PIN).contains(&digits)
            && text.0.bytes().all(|byte| byte.is_ascii_digit());
        fits.then_some(Self(text))
    }

    /// Its digits.
    pub fn digits(&self) -> &Secret {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(PIN)")
    }
}

impl<'de> Deserialize<'de> for Pin {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // The text itself is not repeated in the error.
        Self::parse(Secret::deserialize(from)?)
            .ok_or_else(|| de::Error::custom("a PIN has 6 to 12 digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_digits() {
        for good in ["123456", "000000000000"] {
            assert!(Pin::parse(Secret(good.into())).is_some(), "{good}");
        }
        for bad in ["", "12345", "1234567890123", "12345a", "12345６", " 123456", "-123456"] {
            assert!(Pin::parse(Secret(bad.into())).is_none(), "{bad}");
            let json = serde_json::json!({"current_password": "x", "pin": bad}).to_string();
            let error = serde_json::from_str::<SetPin>(&json).unwrap_err().to_string();
            assert!(error.starts_with("a PIN has"), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let json = r#"{"current_password":"hush","code":"123456","recovery_code":"abcd"}"#;
        let confirmation: Confirmation = serde_json::from_str(json).unwrap();
        let shown = format!("{confirmation:?}");
        for secret in ["hush", "123456", "abcd"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        let pin = Pin::parse(Secret("123456".into()));
        assert_eq!(format!("{pin:?}"), "Some((PIN))");
    }
}
