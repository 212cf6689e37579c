//! Our own sender key in one group, and when it must be replaced.
//!
//! A key is replaced, lazily, with the next message after
//! * a device that holds it is no longer among the recipients (removed, left, or unlinked),
//! * 1,000 messages, or
//! * 7 days.

use std::collections::BTreeSet;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::chain::{GroupMessageKeys, SenderChain};
use crate::e2ee::{
    address::{Address, DeviceId},
    cbor::{CborError, Reader, Writer},
    identity::StateError,
    primitives::{
        cbc,
        curve::{KeyPair, PrivateKey},
        xeddsa,
    },
    secret::Secret,
    signed::{device_list::MAX_DEVICES, group_epoch::MAX_MEMBERS},
    time::{DAY, UnixMillis},
    wire::sender_key_message::{DistributionId, SenderKeyDistribution, SenderKeyMessage},
};

/// How many messages one key encrypts.
pub const MAX_MESSAGES: u32 = 1_000;
/// How old a key gets, in milliseconds.
pub const MAX_AGE: u64 = 7 * DAY;
/// How many devices a key is handed to: those of all members of the largest group.
pub const MAX_RECIPIENTS: usize = MAX_MEMBERS * MAX_DEVICES;
/// The version of the stored form.
const VERSION: u64 = 1;

/// What we send with in one group.
#[derive(Clone, Debug)]
pub struct SendingGroup {
    distribution_id: DistributionId,
    key: Option<OwnSenderKey>,
}

#[derive(Clone, Debug)]
struct OwnSenderKey {
    chain_id: u32,
    chain: SenderChain,
    signing_key: KeyPair,
    made: UnixMillis,
    /// How many messages it has encrypted.
    used: u32,
    /// Whose devices hold it.
    holders: BTreeSet<Address>,
}

/// Recipients that must get the key before anything can be sent.
#[derive(Clone, Debug)]
pub struct Undistributed {
    /// To be sent to each of them through its session.
    pub distribution: SenderKeyDistribution,
    /// Never empty.
    pub missing: Vec<Address>,
}

/// Why a group cannot be sent to yet.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// More than [`MAX_RECIPIENTS`], which no verified membership and device lists give.
    #[error("a group has at most {MAX_RECIPIENTS} devices")]
    TooManyRecipients,
    /// Some must be sent the key first.
    #[error("{} devices do not hold the sender key yet", .0.missing.len())]
    Undistributed(Undistributed),
}

/// A sender key that exactly the recipients hold.
#[derive(Debug)]
pub struct ReadySender<'a> {
    distribution_id: DistributionId,
    key: &'a mut OwnSenderKey,
}

impl SendingGroup {
    /// Without a key yet. The distribution id may be derived from the group or drawn at random;
    /// it is visible to the server.
    pub fn new(distribution_id: DistributionId) -> Self {
        Self { distribution_id, key: None }
    }

    /// A sender whose key exactly `recipients` hold: all devices that may read what we send, by
    /// the newest membership and device lists that we know, without this device itself.
    ///
    /// # Errors
    /// [`NotReady::Undistributed`] if some do not hold it yet, perhaps because it was replaced
    /// just now. Send it to them, call [`SendingGroup::mark_distributed`], and ask again.
    pub fn ready(
        &mut self,
        recipients: &BTreeSet<Address>,
        now: UnixMillis,
        rng: &mut impl CryptoRng,
    ) -> Result<ReadySender<'_>, NotReady> {
        if recipients.len() > MAX_RECIPIENTS {
            return Err(NotReady::TooManyRecipients);
        }
        let usable = self.key.take().filter(|key| key.serves(recipients, now));
        let key = self.key.insert(match usable {
            Some(key) => key,
            None => OwnSenderKey::generate(now, rng),
        });
        let missing: Vec<Address> = recipients.difference(&key.holders).cloned().collect();
        if !missing.is_empty() {
            let distribution = key.publish(self.distribution_id);
            return Err(NotReady::Undistributed(Undistributed { distribution, missing }));
        }
        Ok(ReadySender { distribution_id: self.distribution_id, key })
    }

    /// Notes that a device was sent the key of this chain. Once noted, it counts as able to
    /// read, so note it before the message leaves, not after.
    ///
    /// Devices that [`SendingGroup::ready`] names always find room. With more than
    /// [`MAX_RECIPIENTS`] the key is given up: one that is not noted could read on after leaving.
    pub fn mark_distributed(&mut self, chain_id: u32, device: Address) {
        if let Some(key) = self.key.as_mut().filter(|key| key.chain_id == chain_id) {
            key.holders.insert(device);
            if key.holders.len() > MAX_RECIPIENTS {
                self.rotate();
            }
        }
    }

    /// The key for a device that was given it and has lost it (it asks for a resend). The device
    /// counts as able to read all along, so its leaving replaces the key. `None` without a key.
    pub fn distribution_for(&self) -> Option<SenderKeyDistribution> {
        self.key.as_ref().map(|key| key.publish(self.distribution_id))
    }

    /// Replaces the key with the next message, whatever its age.
    pub fn rotate(&mut self) {
        self.key = None;
    }

    /// The stored form, as secret as the key: version 1, deterministic CBOR.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer::new();
        writer.array(3);
        writer.uint(VERSION);
        writer.bytes(&self.distribution_id);
        writer.optional(self.key.as_ref(), |w, key| key.write(w));
        writer.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new(bytes);
        reader.fixed_array(3)?;
        StateError::check_version(reader.uint()?, VERSION)?;
        let distribution_id = reader.exact()?;
        let key = reader.optional(OwnSenderKey::read)?;
        reader.end()?;
        Ok(Self { distribution_id, key })
    }
}

impl ReadySender<'_> {
    /// Encrypts one message for all recipients. The result is signed, not yet sent.
    ///
    /// # Errors
    /// [`ChainEnded`], which the rotation makes impossible in practice.
    pub fn encrypt(
        self,
        plaintext: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, ChainEnded> {
        let OwnSenderKey { chain, chain_id, signing_key, used, .. } = self.key;
        let (iteration, seed) = chain.step().ok_or(ChainEnded)?;
        *used += 1;
        let keys = GroupMessageKeys::derive(&seed);
        let ciphertext = cbc::encrypt(&keys.cipher, &keys.iv, plaintext);
        let mut message =
            SenderKeyMessage::unsigned(&self.distribution_id, *chain_id, iteration, &ciphertext);
        let signature = xeddsa::sign(&signing_key.private, &[&message], rng);
        message.extend_from_slice(&signature);
        Ok(message)
    }
}

impl OwnSenderKey {
    fn generate(now: UnixMillis, rng: &mut impl CryptoRng) -> Self {
        Self {
            // 31 bits: other implementations keep it in a signed number.
            chain_id: rng.next_u32() >> 1,
            chain: SenderChain { key: Secret::random(rng), iteration: 0 },
            signing_key: KeyPair::generate(rng),
            made: now,
            used: 0,
            holders: BTreeSet::new(),
        }
    }

    fn serves(&self, recipients: &BTreeSet<Address>, now: UnixMillis) -> bool {
        self.used < MAX_MESSAGES
            && now.since(self.made) < MAX_AGE
            && self.holders.is_subset(recipients)
    }

    /// The key from here on: who gets it now cannot read what was sent before.
    fn publish(&self, distribution_id: DistributionId) -> SenderKeyDistribution {
        SenderKeyDistribution {
            distribution_id,
            chain_id: self.chain_id,
            iteration: self.chain.iteration,
            chain_key: self.chain.key.clone(),
            signing_key: self.signing_key.public,
        }
    }

    fn write(&self, w: &mut Writer) {
        w.array(7);
        w.uint(u64::from(self.chain_id));
        w.bytes(self.chain.key.expose());
        w.uint(u64::from(self.chain.iteration));
        w.bytes(self.signing_key.private.expose());
        w.uint(self.made.0);
        w.uint(u64::from(self.used));
        w.array(self.holders.len());
        for holder in &self.holders {
            w.array(2);
            w.text(holder.name());
            w.uint(u64::from(holder.device().get()));
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CborError> {
        r.fixed_array(7)?;
        let chain_id = r.u32()?;
        let chain = SenderChain { key: Secret::new(r.exact()?), iteration: r.u32()? };
        let private = Zeroizing::new(r.exact()?);
        let signing_key = KeyPair::from_private(PrivateKey::from_bytes(&private));
        let (made, used) = (UnixMillis(r.uint()?), r.u32()?.min(MAX_MESSAGES));
        let holders = r.sequence(MAX_RECIPIENTS, |r| {
            r.fixed_array(2)?;
            let name = r.text()?;
            let device = DeviceId::new(r.uint()?).map_err(|_| CborError)?;
            Address::new(name, device).map_err(|_| CborError)
        })?;
        let holders = holders.into_iter().collect();
        Ok(Self { chain_id, chain, signing_key, made, used, holders })
    }
}

/// The sender key has given all its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sender key has come to its end")]
pub struct ChainEnded;

#[cfg(test)]
mod tests;
