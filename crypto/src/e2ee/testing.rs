//! What the tests of this module share: two parties, and recorded conversations.

use std::collections::VecDeque;

use base64::{Engine, engine::general_purpose::STANDARD};
use rand::{SeedableRng, rngs::StdRng};
use rand_core::{Infallible, TryCryptoRng, TryRng};
use zeroize::Zeroizing;

use super::{
    address::{Address, DeviceId},
    device::LocalDevice,
    prekey::{bundle::VerifiedBundle, store::PreKeys},
    primitives::curve::{KeyPair, PublicKey},
    profile::{AcceptedProfiles, Profile},
    session::{Ciphertext, DecryptError, EncryptError, Peer, Session},
    time::UnixMillis,
    wire::{message::SignalMessage, prekey_message::PreKeySignalMessage},
};

pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The bytes of a base64 field of a recorded conversation.
pub(crate) fn field(value: &serde_json::Value, name: &str) -> Vec<u8> {
    unbase64(value[name].as_str().unwrap_or_else(|| panic!("no field {name}")))
}

/// A random number generator that first gives out prepared private keys.
pub(crate) struct Scripted {
    pub(crate) keys: VecDeque<[u8; 32]>,
    pub(crate) rest: StdRng,
}

impl TryRng for Scripted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.rest.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.rest.try_next_u64()
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        match self.keys.pop_front() {
            Some(key) if out.len() == key.len() => {
                out.copy_from_slice(&key);
                Ok(())
            }
            _ => self.rest.try_fill_bytes(out),
        }
    }
}

impl TryCryptoRng for Scripted {}

/// A device with one session.
pub(crate) struct Party {
    pub(crate) local: LocalDevice,
    pub(crate) session: Session,
    pub(crate) rng: StdRng,
    pub(crate) known: Option<PublicKey>,
    pub(crate) now: UnixMillis,
}

impl Party {
    pub(crate) fn new(name: &str, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let identity = KeyPair::generate(&mut rng);
        let now = UnixMillis(1_000_000);
        let local = LocalDevice {
            address: Address::new(name, DeviceId::new(1).unwrap()).unwrap(),
            prekeys: PreKeys::new(&identity, now, &mut rng),
            identity,
            registration_id: 7,
            accepts: AcceptedProfiles::default(),
        };
        Self { local, session: Session::new(), rng, known: None, now }
    }

    /// A fresh bundle, with one-time keys or without.
    pub(crate) fn bundle(&mut self, one_time: bool) -> VerifiedBundle {
        let target = usize::from(one_time);
        let (left, _) = self.local.prekeys.one_time_left();
        let (mut curve, mut kem) =
            self.local.prekeys.replenish(&self.local.identity, left + target, &mut self.rng);
        self.local.bundle(curve.pop(), kem.pop()).unwrap().verify().unwrap()
    }

    pub(crate) fn initiate(&mut self, other: &Self, bundle: &VerifiedBundle, profile: Profile) {
        let peer = Peer { address: &other.local.address, known: self.known.as_ref() };
        let bundle = bundle.clone().with_profile(profile);
        self.session.initiate(&self.local, peer, &bundle, self.now, &mut self.rng).unwrap();
    }

    pub(crate) fn encrypt(
        &mut self,
        to: &Address,
        text: &[u8],
    ) -> Result<Ciphertext, EncryptError> {
        let peer = Peer { address: to, known: self.known.as_ref() };
        self.session.encrypt(&self.local, peer, text, self.now, &mut self.rng)
    }

    pub(crate) fn decrypt(
        &mut self,
        from: &Address,
        ciphertext: &Ciphertext,
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let known = self.known;
        let peer = Peer { address: from, known: known.as_ref() };
        match ciphertext {
            Ciphertext::Message(bytes) => {
                let message = SignalMessage::from_bytes(bytes)?;
                self.session.decrypt(&self.local, peer, &message, &mut self.rng)
            }
            Ciphertext::PreKey(bytes) => {
                let message = PreKeySignalMessage::from_bytes(bytes)?;
                self.session.decrypt_prekey(&mut self.local, peer, &message, &mut self.rng)
            }
        }
    }
}

pub(crate) fn send(from: &mut Party, to: &Party, text: &str) -> Ciphertext {
    from.encrypt(&to.local.address, text.as_bytes()).unwrap()
}

pub(crate) fn receive(to: &mut Party, from: &Party, ciphertext: &Ciphertext) -> String {
    let plaintext = to.decrypt(&from.local.address, ciphertext).unwrap();
    String::from_utf8(plaintext.to_vec()).unwrap()
}

/// Two parties with an acknowledged session that the first began.
pub(crate) fn conversation(profile: Profile) -> (Party, Party) {
    let mut a = Party::new("a@north.test", 1);
    let mut b = Party::new("b@south.test", 2);
    b.local.accepts = AcceptedProfiles::default().with_pqxdh_without_spqr().with_x3dh();
    let bundle = b.bundle(true);
    a.initiate(&b, &bundle, profile);
    let first = send(&mut a, &b, "first");
    assert_eq!(receive(&mut b, &a, &first), "first");
    let answer = send(&mut b, &a, "answer");
    assert_eq!(receive(&mut a, &b, &answer), "answer");
    (a, b)
}
