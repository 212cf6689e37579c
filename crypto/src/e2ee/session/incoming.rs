//! Decryption: which session a message belongs to, and new sessions from prekey messages.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    Address, DecryptError, LocalDevice, Peer, PreKeySignalMessage, Profile, PublicKey, Session,
    SessionState, SignalMessage, agreement, ratchet::Ratchet,
};
use crate::e2ee::{primitives::curve::KeyError, spqr::announces_no_key};

impl Session {
    /// Decrypts a message of type 2.
    ///
    /// The running session is tried first, then the archived ones; the one that fits becomes the
    /// running one, so that two who began at the same time settle on one session.
    ///
    /// # Errors
    /// [`DecryptError`]; then nothing has changed.
    pub fn decrypt(
        &mut self,
        local: &LocalDevice,
        peer: Peer<'_>,
        message: &SignalMessage,
        rng: &mut impl CryptoRng,
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        check_addresses(local, peer.address, message)?;
        let mut refusal = None;
        for at in self.likely_order(message.ratchet_key()) {
            let Some(state) = self.state(at) else { continue };
            if !peer.check(state.ratchet.their_identity()) {
                refusal = worse(refusal, DecryptError::IdentityChanged);
                continue;
            }
            let mut ratchet = state.ratchet.clone();
            match ratchet.open(message, rng) {
                Ok(plaintext) => {
                    self.commit(at, ratchet);
                    return Ok(plaintext);
                }
                Err(error) => refusal = worse(refusal, error),
            }
        }
        Err(refusal.unwrap_or(DecryptError::NoSession))
    }

    /// Decrypts a message of type 3, with the session it belongs to or a new one. A new session
    /// uses up the prekeys that the message names.
    ///
    /// # Errors
    /// [`DecryptError`]; then nothing has changed, here or in `local`.
    pub fn decrypt_prekey(
        &mut self,
        local: &mut LocalDevice,
        peer: Peer<'_>,
        message: &PreKeySignalMessage,
        rng: &mut impl CryptoRng,
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        if !peer.check(&message.identity_key) {
            return Err(DecryptError::IdentityChanged);
        }
        if let Some(at) = self.position_of(&message.base_key, &message.identity_key) {
            check_addresses(local, peer.address, &message.message)?;
            let state = self.state(at).ok_or(DecryptError::NoSession)?;
            let mut ratchet = state.ratchet.clone();
            let plaintext = ratchet.open(&message.message, rng)?;
            self.commit(at, ratchet);
            return Ok(plaintext);
        }
        check_addresses(local, peer.address, &message.message)?;
        let mut ratchet = respond(local, message)?;
        let plaintext = ratchet.open(&message.message, rng)?;
        local.prekeys.consume(&message.prekeys, &message.base_key);
        self.install(SessionState {
            ratchet,
            base_key: message.base_key,
            unacknowledged: None,
            registration_id: message.registration_id,
        });
        Ok(plaintext)
    }

    /// The state at a place: 0 is the running one, the archived ones follow.
    fn state(&self, at: usize) -> Option<&SessionState> {
        match at.checked_sub(1) {
            None => self.current.as_ref(),
            Some(at) => self.archived.get(at),
        }
    }

    /// All places; those that have a chain of this ratchet key first.
    fn likely_order(&self, ratchet_key: &PublicKey) -> Vec<usize> {
        let mut places: Vec<usize> = (0..=self.archived.len()).collect();
        let knows = |at: &usize| self.state(*at).is_some_and(|s| s.ratchet.has_chain(ratchet_key));
        places.sort_by_key(|at| !knows(at));
        places
    }

    fn position_of(&self, base_key: &PublicKey, identity: &PublicKey) -> Option<usize> {
        (0..=self.archived.len()).find(|at| {
            self.state(*at).is_some_and(|state| {
                state.base_key == *base_key && state.ratchet.their_identity() == identity
            })
        })
    }

    /// Puts the ratchet of an authentic message in place and makes its session the running one.
    fn commit(&mut self, at: usize, ratchet: Ratchet) {
        let promoted = match at.checked_sub(1) {
            None => self.current.take(),
            Some(at) => self.archived.remove(at),
        };
        if let Some(state) = promoted {
            self.install(SessionState { ratchet, unacknowledged: None, ..state });
        }
    }
}

/// The responder's ratchet for a session that is new here.
fn respond(local: &LocalDevice, message: &PreKeySignalMessage) -> Result<Ratchet, DecryptError> {
    let profile = profile_of(message);
    if !local.accepts.contains(profile) {
        return Err(DecryptError::Profile(profile));
    }
    // A base key outside the prime-order group would let a sender write several names of one
    // session.
    if !message.base_key.is_prime_order() {
        return Err(KeyError::LowOrder.into());
    }
    let keys = local.prekeys.find(&message.prekeys, &message.base_key)?;
    let kem = match (&message.prekeys.kem, keys.kem) {
        (Some((_, ciphertext)), Some(pair)) => Some(pair.decapsulate(ciphertext)),
        _ => None,
    };
    let (identity, theirs) = (&local.identity, &message.identity_key);
    let secrets =
        agreement::respond(profile, identity, &keys, theirs, &message.base_key, kem.as_ref())?;
    let identities = (identity.public, *theirs);
    Ok(Ratchet::responder(profile, identities, &secrets, keys.signed.clone()))
}

/// What the sender speaks, by the version and by whether it ratchets with SPQR.
fn profile_of(message: &PreKeySignalMessage) -> Profile {
    let pq = message.message.pq_ratchet();
    match message.version() {
        3 => Profile::X3dh,
        _ if pq.is_empty() || announces_no_key(pq) => Profile::Pqxdh,
        _ => Profile::PqxdhSpqr,
    }
}

/// Checks the addresses that a message is bound to, if it is.
fn check_addresses(
    local: &LocalDevice,
    sender: &Address,
    message: &SignalMessage,
) -> Result<(), DecryptError> {
    let bound = message.addresses();
    if bound.is_some() && bound != Address::bind(sender, &local.address).as_ref() {
        return Err(DecryptError::AddressMismatch);
    }
    Ok(())
}

/// The refusal that says more: 'not authentic' is what every wrong session says.
fn worse(before: Option<DecryptError>, error: DecryptError) -> Option<DecryptError> {
    match before {
        None | Some(DecryptError::NotAuthentic) => Some(error),
        known => known,
    }
}
