//! The upload of prekeys.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{KemPreKey, OneTimeKey, PreKeyId, SignedKey};
use crate::{
    limits,
    problem::{Code, Rejection},
};

/// `POST /v1/keys/prekeys`: what is there replaces or adds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UploadPreKeys {
    /// Replaces the signed prekey.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signed: Option<SignedKey>,
    /// Replaces the last-resort KEM prekey.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_resort: Option<KemPreKey>,
    /// More one-time keys, at most [`limits::MAX_PREKEY_BATCH`].
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::MAX_PREKEY_BATCH)))]
    pub one_time: Vec<OneTimeKey>,
    /// More one-time KEM keys, at most [`limits::MAX_PREKEY_BATCH`].
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::MAX_PREKEY_BATCH)))]
    pub one_time_kem: Vec<KemPreKey>,
}

impl UploadPreKeys {
    /// Whether there is something in it, and not too much.
    ///
    /// # Errors
    /// [`Code::BadRequest`], [`Code::TooLarge`].
    pub fn check(&self) -> Result<(), Rejection> {
        let batches = [self.one_time.len(), self.one_time_kem.len()];
        if self.signed.is_none() && self.last_resort.is_none() && batches == [0, 0] {
            let detail = "one of `signed`, `last_resort`, `one_time`, `one_time_kem` is expected";
            return Err(Rejection::new(Code::BadRequest, detail));
        }
        if batches.iter().any(|&many| many > limits::MAX_PREKEY_BATCH) {
            let detail = format!("at most {} keys of a kind at once", limits::MAX_PREKEY_BATCH);
            return Err(Rejection::new(Code::TooLarge, detail));
        }
        self.check_ids()
    }

    /// A message names a KEM key by its number alone, so that one number is one key; and of two
    /// one-time keys of one number the server would have to choose.
    fn check_ids(&self) -> Result<(), Rejection> {
        let kem = self.last_resort.iter().chain(&self.one_time_kem).map(|key| key.id);
        no_two(kem, "KEM")?;
        no_two(self.one_time.iter().map(|key| key.id), "one-time")
    }
}

fn no_two(ids: impl Iterator<Item = PreKeyId>, kind: &str) -> Result<(), Rejection> {
    let mut seen = HashSet::new();
    match ids.map(u32::from).find(|id| !seen.insert(*id)) {
        None => Ok(()),
        Some(id) => {
            let detail = format!("two {kind} keys have the id {id}");
            Err(Rejection::new(Code::BadRequest, detail))
        }
    }
}
