//! Access tokens (JWT, RFC 7519, signed with EdDSA, RFC 8037) and refresh tokens (random, stored as
//! their hash).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use posthouse_client_api::ports::Caller;
use posthouse_crypto::sign::{KeyError, SigningKey};
use posthouse_protocol::{
    id::{AccountId, DeviceId, DeviceNumber, ServerName, SessionId},
    limits,
    problem::{Code, Rejection},
    rest::Secret,
    time::Timestamp,
};
use posthouse_storage::sessions::TokenHash;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::random::Random;

/// Longest access token that is looked at, in bytes.
const MAX_TOKEN: usize = 2_048;

/// Makes and checks tokens. The audience is the server's name, so that a token of another region
/// is worth nothing here.
pub struct Tokens {
    server: ServerName,
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

/// The claims of an access token.
#[derive(Serialize, Deserialize)]
struct Claims {
    /// The account.
    sub: Uuid,
    /// The server's name.
    aud: String,
    /// The server's name again: it issues for itself only.
    iss: String,
    /// Issued at, in seconds.
    iat: u64,
    /// Expires at, in seconds.
    exp: u64,
    /// The session.
    sid: Uuid,
    /// The device.
    dev: Uuid,
    /// The device's number.
    num: DeviceNumber,
}

impl Tokens {
    /// Tokens of `server`, signed with `key`.
    ///
    /// # Errors
    /// [`KeyError`] if the key cannot be encoded for the signer.
    pub fn new(server: ServerName, key: &SigningKey) -> Result<Self, KeyError> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[server.as_str()]);
        validation.set_issuer(&[server.as_str()]);
        // The library reads the system's clock; expiry is checked below, against the given time.
        validation.validate_exp = false;
        Ok(Self {
            server,
            signing: EncodingKey::from_ed_der(&key.to_pkcs8_der()?),
            verifying: DecodingKey::from_ed_der(&key.verifying_key().to_bytes()),
            validation,
        })
    }

    /// An access token for `caller`, valid for [`limits::ACCESS_TOKEN_SECONDS`].
    ///
    /// # Errors
    /// [`Code::Internal`] if signing fails.
    pub fn issue(&self, caller: &Caller, now: Timestamp) -> Result<Secret, Rejection> {
        let issued = now.0 / 1000;
        let claims = Claims {
            sub: caller.account.uuid,
            aud: self.server.as_str().into(),
            iss: self.server.as_str().into(),
            iat: issued,
            exp: issued + limits::ACCESS_TOKEN_SECONDS,
            sid: caller.session.0,
            dev: caller.device.0,
            num: caller.number,
        };
        encode(&Header::new(Algorithm::EdDSA), &claims, &self.signing).map(Secret).map_err(|err| {
            tracing::error!(error = %err, "an access token cannot be signed");
            Rejection::new(Code::Internal, "the server failed; its log has more")
        })
    }

    /// Checks signature, audience, issuer and expiry. Whether the session has ended is for the
    /// store to say.
    ///
    /// # Errors
    /// [`Code::Unauthorized`], without telling a forger what was wrong, except for expiry.
    pub fn check(&self, token: &str, now: Timestamp) -> Result<Caller, Rejection> {
        let refused = |why: &'static str| Rejection::new(Code::Unauthorized, why);
        if token.len() > MAX_TOKEN {
            return Err(refused("the access token is not valid"));
        }
        let claims = decode::<Claims>(token, &self.verifying, &self.validation)
            .map_err(|_| refused("the access token is not valid"))?
            .claims;
        if claims.exp <= now.0 / 1000 {
            return Err(refused("the access token has expired; refresh it"));
        }
        Ok(Caller {
            account: AccountId { uuid: claims.sub, server: self.server.clone() },
            device: DeviceId(claims.dev),
            number: claims.num,
            session: SessionId(claims.sid),
        })
    }
}

/// A new refresh token, and its hash for the store.
pub(crate) fn new_refresh(random: &Random) -> (Secret, TokenHash) {
    let token = Secret(URL_SAFE_NO_PAD.encode(random.bytes::<32>()));
    let hash = refresh_hash(&token);
    (token, hash)
}

/// A refresh token that the client drew, and its hash for the store.
///
/// # Errors
/// [`Code::BadRequest`] for one that is not 32 bytes in base64url, or the one that it follows.
pub(crate) fn drawn_refresh(
    drawn: Secret,
    before: &Secret,
) -> Result<(Secret, TokenHash), Rejection> {
    let is_token = URL_SAFE_NO_PAD.decode(&drawn.0).is_ok_and(|bytes| bytes.len() == 32);
    if !is_token || drawn == *before {
        let detail = "`next_refresh_token` is not 32 new random bytes in base64url";
        return Err(Rejection::new(Code::BadRequest, detail));
    }
    let hash = refresh_hash(&drawn);
    Ok((drawn, hash))
}

/// The hash under which a refresh token is stored. The token has 256 random bits: a plain hash is
/// enough.
pub(crate) fn refresh_hash(token: &Secret) -> TokenHash {
    Sha256::digest(token.0.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn tokens(server: &str, seed: u8) -> Tokens {
        let server = ServerName::parse(server).unwrap();
        Tokens::new(server, &SigningKey::from_seed(&[seed; 32])).unwrap()
    }

    fn caller() -> Caller {
        Caller {
            account: AccountId {
                uuid: Uuid::from_u128(1),
                server: ServerName::parse("eu.example").unwrap(),
            },
            device: DeviceId(Uuid::from_u128(2)),
            number: DeviceNumber::FIRST,
            session: SessionId(Uuid::from_u128(3)),
        }
    }

    #[test]
    fn a_token_names_its_caller_until_it_expires() {
        let tokens = tokens("eu.example", 1);
        let token = tokens.issue(&caller(), NOW).unwrap();
        assert_eq!(tokens.check(&token.0, NOW), Ok(caller()));
        let late = NOW.plus_millis(limits::ACCESS_TOKEN_SECONDS * 1000);
        assert_eq!(tokens.check(&token.0, late).unwrap_err().code, Code::Unauthorized);
    }

    #[test]
    fn tokens_of_others_and_changed_tokens_are_refused() {
        let token = tokens("eu.example", 1).issue(&caller(), NOW).unwrap();
        let token = token.0.as_str();
        assert!(tokens("us.example", 1).check(token, NOW).is_err(), "another audience");
        assert!(tokens("eu.example", 2).check(token, NOW).is_err(), "another key");
        let mut parts: Vec<&str> = token.split('.').collect();
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        parts[0] = &none;
        assert!(tokens("eu.example", 1).check(&parts.join("."), NOW).is_err(), "no algorithm");
        let hmac = Header::new(Algorithm::HS256);
        let key = SigningKey::from_seed(&[1; 32]).verifying_key().to_bytes();
        let claims =
            serde_json::json!({"sub": Uuid::nil(), "aud": "eu.example", "iss": "eu.example"});
        let forged = encode(&hmac, &claims, &EncodingKey::from_secret(&key)).unwrap();
        assert!(tokens("eu.example", 1).check(&forged, NOW).is_err(), "the public key as secret");
    }
}
