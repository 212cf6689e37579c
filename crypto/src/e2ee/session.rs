//! Sessions with one device of a peer: the running one, and older ones for messages that come
//! late.
//!
//! All state is changed on a copy and put in place only once a message has proved authentic.

pub(crate) mod agreement;
pub(crate) mod ratchet;
pub(crate) mod skipped;

mod incoming;
mod state;

use std::collections::VecDeque;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use self::state::{SessionState, Unacknowledged};
use super::{
    address::Address,
    cbor::{Reader, Writer},
    device::LocalDevice,
    identity::StateError,
    prekey::{bundle::VerifiedBundle, store::PreKeyError},
    primitives::curve::{KeyError, KeyPair, PublicKey},
    profile::Profile,
    spqr::SpqrError,
    time::{DAY, UnixMillis},
    wire::{
        MessageError,
        message::SignalMessage,
        prekey_message::{PreKeySignalMessage, PreKeyUse},
    },
};

/// How many older sessions are kept; the oldest go first.
pub const MAX_ARCHIVED: usize = 40;
/// How long a session may send without an answer, in milliseconds: its prekeys may be gone.
pub const MAX_UNACKNOWLEDGED: u64 = 30 * DAY;
/// The version of the stored form.
const VERSION: u64 = 1;

/// A peer's device, and the identity key that its account is known to have.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Its name.
    pub address: &'a Address,
    /// What [`KnownIdentities`](super::identity::KnownIdentities) holds; `None` for a stranger.
    pub known: Option<&'a PublicKey>,
}

impl Peer<'_> {
    fn check(&self, identity: &PublicKey) -> bool {
        self.known.is_none_or(|known| known == identity)
    }
}

/// An encrypted message, with the type that goes beside it on the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ciphertext {
    /// Type 2: a message of a session that both sides have.
    Message(Vec<u8>),
    /// Type 3: a message that starts a session.
    PreKey(Vec<u8>),
}

impl Ciphertext {
    /// 2 or 3.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Message(_) => 2,
            Self::PreKey(_) => 3,
        }
    }

    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Message(bytes) | Self::PreKey(bytes) => bytes,
        }
    }
}

/// What is shared with one device of a peer.
#[derive(Clone, Debug, Default)]
pub struct Session {
    current: Option<SessionState>,
    archived: VecDeque<SessionState>,
}

impl Session {
    /// No session yet: decrypts prekey messages, encrypts nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a session as the one who writes first; one that is there is archived.
    ///
    /// # Errors
    /// [`InitiateError`]; then nothing has changed.
    pub fn initiate(
        &mut self,
        local: &LocalDevice,
        peer: Peer<'_>,
        bundle: &VerifiedBundle,
        now: UnixMillis,
        rng: &mut impl CryptoRng,
    ) -> Result<(), InitiateError> {
        let (bundle, profile) = (bundle.as_bundle(), bundle.profile());
        if bundle.device != peer.address.device() {
            return Err(InitiateError::OtherDevice);
        }
        if !peer.check(&bundle.identity) {
            return Err(InitiateError::IdentityChanged);
        }
        let (base, ratchet_key) = (KeyPair::generate(rng), KeyPair::generate(rng));
        let (kem, kem_secret) = match (profile, &bundle.kem) {
            (Profile::X3dh, _) => (None, None),
            (_, Some(kem)) => {
                let (ciphertext, secret) = kem.key.encapsulate(rng);
                (Some((kem.id, ciphertext)), Some(secret))
            }
            (_, None) => return Err(InitiateError::NoKemPreKey),
        };
        let identity = &local.identity;
        let secrets = agreement::initiate(profile, identity, &base, bundle, kem_secret.as_ref())?;
        let identities = (identity.public, bundle.identity);
        let ratchet = ratchet::Ratchet::initiator(
            profile,
            identities,
            &secrets,
            ratchet_key,
            &bundle.signed.key,
        )?;
        let one_time = bundle.one_time.as_ref().map(|key| key.id);
        let prekeys = PreKeyUse { one_time, signed: bundle.signed.id, kem };
        self.install(SessionState {
            ratchet,
            base_key: base.public,
            unacknowledged: Some(Unacknowledged { prekeys, since: now }),
            registration_id: bundle.registration_id,
        });
        Ok(())
    }

    /// Encrypts for the peer's device.
    ///
    /// # Errors
    /// [`EncryptError`]; then nothing has changed.
    pub fn encrypt(
        &mut self,
        local: &LocalDevice,
        peer: Peer<'_>,
        plaintext: &[u8],
        now: UnixMillis,
        rng: &mut impl CryptoRng,
    ) -> Result<Ciphertext, EncryptError> {
        let state = self.current.as_mut().ok_or(EncryptError::NoSession)?;
        if !peer.check(state.ratchet.their_identity()) {
            return Err(EncryptError::IdentityChanged);
        }
        let Some(pending) = &state.unacknowledged else {
            let message = state.ratchet.seal(plaintext, None, rng)?;
            return Ok(Ciphertext::Message(message));
        };
        if now.since(pending.since) > MAX_UNACKNOWLEDGED {
            return Err(EncryptError::Unacknowledged);
        }
        let addresses = Address::bind(&local.address, peer.address);
        let message = state.ratchet.seal(plaintext, addresses, rng)?;
        Ok(Ciphertext::PreKey(PreKeySignalMessage::wrap(
            state.ratchet.profile().version(),
            &pending.prekeys,
            &state.base_key,
            &local.identity.public,
            local.registration_id,
            &message,
        )))
    }

    /// Puts the running session aside: it still decrypts what comes late, but the next message
    /// needs a new one. For a device that was set up anew, or on the person's wish.
    pub fn archive(&mut self) {
        if let Some(state) = self.current.take() {
            self.shelve(state);
        }
    }

    /// Archives the running session if a peer that could not decrypt names it by the ratchet key
    /// that we sent with. A request about an older session changes nothing, so requests cannot
    /// tear down session after session. Returns whether it did.
    pub fn archive_if_sending_with(&mut self, ratchet_key: &PublicKey) -> bool {
        let named = self.current.as_ref().is_some_and(|s| s.ratchet.sending_key() == ratchet_key);
        if named {
            self.archive();
        }
        named
    }

    /// Whether there is a session to encrypt with.
    pub fn is_established(&self) -> bool {
        self.current.is_some()
    }

    /// What is known of the running session.
    pub fn info(&self) -> Option<SessionInfo> {
        self.current.as_ref().map(|state| SessionInfo {
            profile: state.ratchet.profile(),
            identity: *state.ratchet.their_identity(),
            registration_id: state.registration_id,
            acknowledged: state.unacknowledged.is_none(),
            pq_epoch: state.ratchet.pq_epoch(),
            archived: self.archived.len(),
        })
    }

    /// The stored form, as secret as the session: version 1, deterministic CBOR.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer::new();
        writer.array(3);
        writer.uint(VERSION);
        writer.optional(self.current.as_ref(), |w, state| state.write(w));
        writer.array(self.archived.len());
        self.archived.iter().for_each(|state| state.write(&mut writer));
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
        let session = Self {
            current: reader.optional(SessionState::read)?,
            archived: reader.sequence(MAX_ARCHIVED, SessionState::read)?.into(),
        };
        reader.end()?;
        Ok(session)
    }

    fn install(&mut self, state: SessionState) {
        if let Some(old) = self.current.replace(state) {
            self.shelve(old);
        }
    }

    fn shelve(&mut self, state: SessionState) {
        self.archived.push_front(state);
        self.archived.truncate(MAX_ARCHIVED);
    }
}

/// Facts about a running session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionInfo {
    /// The variant of the protocol.
    pub profile: Profile,
    /// The peer's identity key.
    pub identity: PublicKey,
    /// The registration id that the peer had when the session began.
    pub registration_id: u32,
    /// Whether the peer has answered.
    pub acknowledged: bool,
    /// The running post-quantum exchange, from 1; `None` without SPQR.
    pub pq_epoch: Option<u64>,
    /// How many older sessions are kept.
    pub archived: usize,
}

/// Why a session cannot be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InitiateError {
    /// The account's identity key is not the known one.
    #[error("the identity key has changed")]
    IdentityChanged,
    /// A key of the bundle has low order.
    #[error("a key of the bundle cannot be used")]
    Key(#[from] KeyError),
    /// The bundle has no Kyber prekey, and the profile needs one. There is no way down.
    #[error("the bundle has no Kyber prekey")]
    NoKemPreKey,
    /// The bundle is of another device than the peer's address.
    #[error("the bundle belongs to another device")]
    OtherDevice,
}

/// Why a message cannot be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// The account's identity key is not the known one.
    #[error("the identity key has changed")]
    IdentityChanged,
    /// There is no session: fetch a bundle first.
    #[error("there is no session with this device")]
    NoSession,
    /// The ratchet has come to its end.
    #[error("the session cannot go on")]
    Ratchet(#[from] SpqrError),
    /// The peer has not answered for 30 days: start anew with a fresh bundle.
    #[error("the session has been unanswered for too long")]
    Unacknowledged,
}

/// Why a message cannot be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// The message is bound to other addresses than its sender's and ours.
    #[error("the message is bound to other addresses")]
    AddressMismatch,
    /// The message was decrypted before, or its key was dropped long ago.
    #[error("the message was decrypted before or is too old")]
    Duplicate,
    /// The sender's identity key is not the known one.
    #[error("the identity key has changed")]
    IdentityChanged,
    /// A key of the message cannot be used.
    #[error("a key of the message cannot be used")]
    Key(#[from] KeyError),
    /// The bytes are no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// There is no session with this device.
    #[error("there is no session with this device")]
    NoSession,
    /// No session fits, or the message was changed.
    #[error("the message is not authentic in any session")]
    NotAuthentic,
    /// The message needs prekeys that are gone, or was replayed.
    #[error(transparent)]
    PreKey(#[from] PreKeyError),
    /// The sender starts a session with a profile that is not accepted here.
    #[error("the profile is not accepted")]
    Profile(Profile),
    /// The post-quantum ratchet refused the message.
    #[error(transparent)]
    Spqr(#[from] SpqrError),
    /// The message is more than 25,000 ahead of the last one.
    #[error("the message is too far ahead")]
    TooFarAhead,
}

#[cfg(test)]
mod tests;
