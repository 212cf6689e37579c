//! The private prekeys of this device and their life.
//!
//! * Signed and last-resort prekeys are replaced after 7 days. The old ones are kept for another
//!   44 days: a message may wait 30 days in a queue, and a bundle may have been leased for 14
//!   days before it was used.
//! * One-time prekeys are deleted with the first message that decrypts with them.
//! * A session that came without a one-time prekey could be replayed for as long as its
//!   last-resort key lives. So its base key is remembered, within bounds.

mod stored;

use std::collections::{BTreeMap, VecDeque};

use rand_core::CryptoRng;

use super::bundle::{KemPreKeyPublic, OneTimePreKeyPublic, SignedPreKeyPublic};
use crate::e2ee::{
    primitives::{
        curve::{KeyPair, PublicKey},
        kem::KemKeyPair,
        xeddsa::{self, SIGNATURE_LEN},
    },
    time::{DAY, UnixMillis},
    wire::prekey_message::PreKeyUse,
};

/// The age at which signed and last-resort prekeys are replaced, in milliseconds.
pub const ROTATE_AFTER: u64 = 7 * DAY;
/// How long a replaced key is kept for messages on their way, in milliseconds.
pub const KEEP_REPLACED: u64 = 44 * DAY;
/// How many one-time prekeys of each kind are kept at most.
pub const MAX_ONE_TIME: usize = 1_000;
/// How many base keys are remembered; the oldest are forgotten first.
pub const MAX_REMEMBERED: usize = 4_096;
/// Signed or last-resort keys that can be alive at once, with room for a hasty owner.
const MAX_SIGNED: usize = 64;

/// The prekeys of a device.
#[derive(Clone, Debug)]
pub struct PreKeys {
    next_id: u32,
    signed: Vec<Lasting<KeyPair>>,
    last_resort: Vec<Lasting<KemKeyPair>>,
    one_time: BTreeMap<u32, KeyPair>,
    one_time_kem: BTreeMap<u32, Signed<KemKeyPair>>,
    remembered: VecDeque<RememberedSession>,
}

#[derive(Clone, Debug)]
struct Signed<K> {
    key: K,
    signature: [u8; SIGNATURE_LEN],
}

/// A key that serves many sessions.
#[derive(Clone, Debug)]
struct Lasting<K> {
    id: u32,
    signed: Signed<K>,
    made: UnixMillis,
}

/// A session that used no one-time key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RememberedSession {
    signed_id: u32,
    base_key: PublicKey,
}

/// The private keys that a prekey message names.
pub(crate) struct NamedPreKeys<'a> {
    pub(crate) signed: &'a KeyPair,
    pub(crate) one_time: Option<&'a KeyPair>,
    pub(crate) kem: Option<&'a KemKeyPair>,
}

/// Why a prekey message cannot be opened with these prekeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PreKeyError {
    /// The session that this message starts was started before.
    #[error("the session of this message was already started")]
    Replayed,
    /// The message names a Kyber prekey that is used up or was never there.
    #[error("unknown Kyber prekey {0}")]
    UnknownKem(u32),
    /// The message names a one-time prekey that is used up or was never there.
    #[error("unknown one-time prekey {0}")]
    UnknownOneTime(u32),
    /// The message names a signed prekey that is gone or was never there.
    #[error("unknown signed prekey {0}")]
    UnknownSigned(u32),
}

impl PreKeys {
    /// The first signed and last-resort prekeys of a new device.
    pub fn new(identity: &KeyPair, now: UnixMillis, rng: &mut impl CryptoRng) -> Self {
        let mut keys = Self {
            next_id: 1,
            signed: Vec::new(),
            last_resort: Vec::new(),
            one_time: BTreeMap::new(),
            one_time_kem: BTreeMap::new(),
            remembered: VecDeque::new(),
        };
        keys.renew(identity, now, rng);
        keys
    }

    /// Replaces keys that are 7 days old and drops those that were replaced 44 days ago.
    /// Returns whether there is something new to publish.
    pub fn rotate(
        &mut self,
        identity: &KeyPair,
        now: UnixMillis,
        rng: &mut impl CryptoRng,
    ) -> bool {
        let due = self.signed.last().is_none_or(|newest| now.since(newest.made) >= ROTATE_AFTER);
        if due {
            self.renew(identity, now, rng);
        }
        drop_replaced(&mut self.signed, now);
        drop_replaced(&mut self.last_resort, now);
        let signed = &self.signed;
        self.remembered.retain(|session| signed.iter().any(|key| key.id == session.signed_id));
        due
    }

    /// Makes one-time prekeys of both kinds until there are `target` of each (at most
    /// [`MAX_ONE_TIME`]), and gives the new ones, to be published.
    pub fn replenish(
        &mut self,
        identity: &KeyPair,
        target: usize,
        rng: &mut impl CryptoRng,
    ) -> (Vec<OneTimePreKeyPublic>, Vec<KemPreKeyPublic>) {
        let target = target.min(MAX_ONE_TIME);
        let (mut curve, mut kem) = (Vec::new(), Vec::new());
        while self.one_time.len() < target {
            let (id, pair) = (self.take_id(), KeyPair::generate(rng));
            curve.push(OneTimePreKeyPublic { id, key: pair.public });
            self.one_time.insert(id, pair);
        }
        while self.one_time_kem.len() < target {
            let (id, signed) = (self.take_id(), sign_kem(identity, rng));
            kem.push(publish_kem(id, &signed));
            self.one_time_kem.insert(id, signed);
        }
        (curve, kem)
    }

    /// How many one-time prekeys are left: curve and Kyber.
    pub fn one_time_left(&self) -> (usize, usize) {
        (self.one_time.len(), self.one_time_kem.len())
    }

    /// The newest signed prekey, to be published.
    pub fn signed_public(&self) -> Option<SignedPreKeyPublic> {
        self.signed.last().map(|newest| SignedPreKeyPublic {
            id: newest.id,
            key: newest.signed.key.public,
            signature: newest.signed.signature,
        })
    }

    /// The newest last-resort Kyber prekey, to be published.
    pub fn last_resort_public(&self) -> Option<KemPreKeyPublic> {
        self.last_resort.last().map(|newest| publish_kem(newest.id, &newest.signed))
    }

    /// The keys that a message names.
    pub(crate) fn find(
        &self,
        used: &PreKeyUse,
        base_key: &PublicKey,
    ) -> Result<NamedPreKeys<'_>, PreKeyError> {
        let session = RememberedSession { signed_id: used.signed, base_key: *base_key };
        if self.remembered.contains(&session) {
            return Err(PreKeyError::Replayed);
        }
        let signed = self.signed.iter().find(|key| key.id == used.signed);
        let signed = signed.ok_or(PreKeyError::UnknownSigned(used.signed))?;
        let one_time = match used.one_time {
            Some(id) => Some(self.one_time.get(&id).ok_or(PreKeyError::UnknownOneTime(id))?),
            None => None,
        };
        let kem = match &used.kem {
            Some((id, _)) => Some(self.find_kem(*id).ok_or(PreKeyError::UnknownKem(*id))?),
            None => None,
        };
        Ok(NamedPreKeys { signed: &signed.signed.key, one_time, kem })
    }

    /// Uses the keys up, now that a message decrypted with them.
    pub(crate) fn consume(&mut self, used: &PreKeyUse, base_key: &PublicKey) {
        let curve = used.one_time.and_then(|id| self.one_time.remove(&id)).is_some();
        let kem = used.kem.as_ref().and_then(|(id, _)| self.one_time_kem.remove(id)).is_some();
        if !curve && !kem {
            if self.remembered.len() >= MAX_REMEMBERED {
                self.remembered.pop_front();
            }
            let session = RememberedSession { signed_id: used.signed, base_key: *base_key };
            self.remembered.push_back(session);
        }
    }

    fn find_kem(&self, id: u32) -> Option<&KemKeyPair> {
        let lasting = self.last_resort.iter().find(|key| key.id == id).map(|key| &key.signed);
        lasting.or_else(|| self.one_time_kem.get(&id)).map(|signed| &signed.key)
    }

    fn renew(&mut self, identity: &KeyPair, now: UnixMillis, rng: &mut impl CryptoRng) {
        let (id, key) = (self.take_id(), KeyPair::generate(rng));
        let signature = xeddsa::sign(&identity.private, &[&key.public.to_bytes()], rng);
        self.signed.push(Lasting { id, signed: Signed { key, signature }, made: now });
        let (id, signed) = (self.take_id(), sign_kem(identity, rng));
        self.last_resort.push(Lasting { id, signed, made: now });
        if self.signed.len() > MAX_SIGNED {
            self.signed.remove(0);
            self.last_resort.remove(0);
        }
    }

    /// Numbers are never given twice; they fit in 24 bits, as other implementations expect.
    fn take_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = if id >= 0x00ff_fffe { 1 } else { id + 1 };
        id
    }
}

/// Drops keys whose successor has been there for longer than [`KEEP_REPLACED`].
fn drop_replaced<K>(keys: &mut Vec<Lasting<K>>, now: UnixMillis) {
    while keys.get(1).is_some_and(|successor| now.since(successor.made) > KEEP_REPLACED) {
        keys.remove(0);
    }
}

fn sign_kem(identity: &KeyPair, rng: &mut impl CryptoRng) -> Signed<KemKeyPair> {
    let key = KemKeyPair::generate(rng);
    let signature = xeddsa::sign(&identity.private, &[&key.public_key().to_bytes()], rng);
    Signed { key, signature }
}

fn publish_kem(id: u32, signed: &Signed<KemKeyPair>) -> KemPreKeyPublic {
    KemPreKeyPublic { id, key: signed.key.public_key().clone(), signature: signed.signature }
}

#[cfg(test)]
mod tests;
