//! The double ratchet of one session.
//!
//! A message that starts a new ratchet key of the peer moves the root key twice: once for the
//! chain that it belongs to, once for a new chain of our own. The chains before stay open for
//! messages that come late.

mod chain;
mod stored;

use std::collections::VecDeque;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use self::chain::{ChainKey, MessageKeys, ReceivingChain};
use super::{DecryptError, agreement::SharedSecrets};
use crate::e2ee::{
    primitives::{
        cbc,
        curve::{KeyError, KeyPair, PublicKey},
        kdf::hkdf,
    },
    profile::Profile,
    secret::Secret,
    spqr::{Spqr, SpqrError, announces_no_key},
    wire::message::{ADDRESSES_LEN, MacIdentities, MessageFields, SignalMessage},
};

const ROOT: &[u8] = b"WhisperRatchet";
/// How many of the peer's chains stay open; the oldest go first.
pub(crate) const MAX_RECEIVING_CHAINS: usize = 5;

/// All that changes with the messages of a session.
#[derive(Clone, Debug)]
pub(crate) struct Ratchet {
    profile: Profile,
    ours: PublicKey,
    theirs: PublicKey,
    root: Secret<32>,
    sending_key: KeyPair,
    sending: ChainKey,
    previous_counter: u32,
    receiving: VecDeque<ReceivingChain>,
    spqr: Option<Spqr>,
}

impl Ratchet {
    /// The ratchet of whoever writes first, whose first ratchet key is `ratchet_key`.
    pub(crate) fn initiator(
        profile: Profile,
        (ours, theirs): (PublicKey, PublicKey),
        secrets: &SharedSecrets,
        ratchet_key: KeyPair,
        their_signed: &PublicKey,
    ) -> Result<Self, KeyError> {
        let first = ReceivingChain::new(*their_signed, ChainKey::new(secrets.chain.clone()));
        let (root, sending) = root_step(&secrets.root, &ratchet_key, their_signed)?;
        Ok(Self {
            profile,
            ours,
            theirs,
            root,
            sending_key: ratchet_key,
            sending,
            previous_counter: 0,
            receiving: VecDeque::from([first]),
            spqr: (profile == Profile::PqxdhSpqr).then(|| Spqr::initiator(&secrets.pq)),
        })
    }

    /// The ratchet of whoever was written to at the signed prekey `signed`.
    pub(crate) fn responder(
        profile: Profile,
        (ours, theirs): (PublicKey, PublicKey),
        secrets: &SharedSecrets,
        signed: KeyPair,
    ) -> Self {
        Self {
            profile,
            ours,
            theirs,
            root: secrets.root.clone(),
            sending_key: signed,
            sending: ChainKey::new(secrets.chain.clone()),
            previous_counter: 0,
            receiving: VecDeque::new(),
            spqr: (profile == Profile::PqxdhSpqr).then(|| Spqr::responder(&secrets.pq)),
        }
    }

    /// Encrypts. Nothing changes if it fails.
    pub(crate) fn seal(
        &mut self,
        plaintext: &[u8],
        addresses: Option<[u8; ADDRESSES_LEN]>,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, SpqrError> {
        let mut sending = self.sending.clone();
        let (counter, seed) = sending.step().ok_or(SpqrError::TooFarAhead)?;
        let mut spqr = self.spqr.clone();
        let (pq_ratchet, pq_key) = match &mut spqr {
            Some(spqr) => spqr.send(rng).map(|(bytes, key)| (bytes, Some(key)))?,
            None => (Vec::new(), None),
        };
        let keys = MessageKeys::derive(&seed, pq_key.as_ref());
        let ciphertext = cbc::encrypt(&keys.cipher, &keys.iv, plaintext);
        let fields = MessageFields {
            version: self.profile.version(),
            ratchet_key: &self.sending_key.public,
            counter,
            previous_counter: self.previous_counter,
            ciphertext: &ciphertext,
            pq_ratchet: &pq_ratchet,
            addresses,
        };
        let identities = MacIdentities { sender: &self.ours, receiver: &self.theirs };
        let message = SignalMessage::seal(&fields, &keys.mac, identities);
        (self.sending, self.spqr) = (sending, spqr);
        Ok(message)
    }

    /// Decrypts. On an error the ratchet is in no defined state: work on a copy.
    pub(crate) fn open(
        &mut self,
        message: &SignalMessage,
        rng: &mut impl CryptoRng,
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        if message.version() != self.profile.version() {
            return Err(DecryptError::NotAuthentic);
        }
        let seed = self.seed_of(message, rng)?;
        let pq_key = self.pq_key_of(message)?;
        let keys = MessageKeys::derive(&seed, pq_key.as_ref());
        let identities = MacIdentities { sender: &self.theirs, receiver: &self.ours };
        if !message.authentic(&keys.mac, identities) {
            return Err(DecryptError::NotAuthentic);
        }
        let plaintext = cbc::decrypt(&keys.cipher, &keys.iv, message.ciphertext());
        plaintext.ok_or(DecryptError::NotAuthentic)
    }

    pub(crate) fn profile(&self) -> Profile {
        self.profile
    }

    pub(crate) fn their_identity(&self) -> &PublicKey {
        &self.theirs
    }

    /// Our newest ratchet key, by which a peer names the session in a resend request.
    pub(crate) fn sending_key(&self) -> &PublicKey {
        &self.sending_key.public
    }

    /// Whether a chain of this ratchet key is open.
    pub(crate) fn has_chain(&self, ratchet_key: &PublicKey) -> bool {
        self.receiving.iter().any(|chain| chain.is_of(ratchet_key))
    }

    /// The running epoch of the post-quantum ratchet.
    pub(crate) fn pq_epoch(&self) -> Option<u64> {
        self.spqr.as_ref().map(Spqr::epoch)
    }

    fn seed_of(
        &mut self,
        message: &SignalMessage,
        rng: &mut impl CryptoRng,
    ) -> Result<Secret<32>, DecryptError> {
        if !self.has_chain(message.ratchet_key()) {
            self.turn(message.ratchet_key(), rng)?;
        }
        let chain = self.receiving.iter_mut().find(|chain| chain.is_of(message.ratchet_key()));
        chain.ok_or(DecryptError::NotAuthentic)?.seed(message.counter())
    }

    /// Answers a new ratchet key of the peer with one of ours.
    fn turn(&mut self, theirs: &PublicKey, rng: &mut impl CryptoRng) -> Result<(), KeyError> {
        let (root, receiving) = root_step(&self.root, &self.sending_key, theirs)?;
        let sending_key = KeyPair::generate(rng);
        let (root, sending) = root_step(&root, &sending_key, theirs)?;
        if self.receiving.len() >= MAX_RECEIVING_CHAINS {
            self.receiving.pop_front();
        }
        self.receiving.push_back(ReceivingChain::new(*theirs, receiving));
        // Not the count that the published specification has, but what is on the wire today.
        self.previous_counter = self.sending.counter().saturating_sub(1);
        (self.root, self.sending_key, self.sending) = (root, sending_key, sending);
        Ok(())
    }

    fn pq_key_of(&mut self, message: &SignalMessage) -> Result<Option<Secret<32>>, DecryptError> {
        let bytes = message.pq_ratchet();
        match &mut self.spqr {
            Some(spqr) => Ok(Some(spqr.receive(bytes)?)),
            None if bytes.is_empty() || announces_no_key(bytes) => Ok(None),
            None => Err(DecryptError::NotAuthentic),
        }
    }
}

/// HKDF(root, DH, "WhisperRatchet") -> root | chain.
fn root_step(
    root: &Secret<32>,
    ours: &KeyPair,
    theirs: &PublicKey,
) -> Result<(Secret<32>, ChainKey), KeyError> {
    let shared = ours.private.agree(theirs)?;
    let keys: Secret<64> = hkdf(root.expose(), shared.expose(), &[ROOT]);
    Ok((keys.part::<0, 32>(), ChainKey::new(keys.part::<32, 32>())))
}

#[cfg(test)]
mod tests;
