//! Devices with a session, over the crate's own interface.

use posthouse_crypto::e2ee::{
    address::{Address, DeviceId},
    device::LocalDevice,
    prekey::{bundle::VerifiedBundle, store::PreKeys},
    primitives::curve::KeyPair,
    profile::AcceptedProfiles,
    session::{Ciphertext, DecryptError, Peer, Session},
    time::UnixMillis,
    wire::{message::SignalMessage, prekey_message::PreKeySignalMessage},
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

const NOW: UnixMillis = UnixMillis(1_000_000);

pub(crate) struct Party {
    pub(crate) local: LocalDevice,
    pub(crate) session: Session,
}

pub(crate) fn address(name: &str) -> Address {
    Address::new(name, DeviceId::new(1).unwrap()).unwrap()
}

impl Party {
    pub(crate) fn new(name: &str, rng: &mut impl CryptoRng) -> Self {
        let identity = KeyPair::generate(rng);
        let local = LocalDevice {
            address: address(name),
            prekeys: PreKeys::new(&identity, NOW, rng),
            identity,
            registration_id: 7,
            accepts: AcceptedProfiles::default(),
        };
        Self { local, session: Session::new() }
    }

    /// What its server would hand out, with a one-time key of each kind.
    pub(crate) fn bundle(&mut self, rng: &mut impl CryptoRng) -> VerifiedBundle {
        let (mut curve, mut kem) = self.local.prekeys.replenish(&self.local.identity, 1, rng);
        self.local.bundle(curve.pop(), kem.pop()).unwrap().verify().unwrap()
    }

    pub(crate) fn initiate(
        &mut self,
        to: &Address,
        bundle: &VerifiedBundle,
        rng: &mut impl CryptoRng,
    ) {
        let peer = Peer { address: to, known: None };
        self.session.initiate(&self.local, peer, bundle, NOW, rng).unwrap();
    }

    pub(crate) fn encrypt(
        &mut self,
        to: &Address,
        text: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Ciphertext {
        let peer = Peer { address: to, known: None };
        self.session.encrypt(&self.local, peer, text, NOW, rng).unwrap()
    }

    pub(crate) fn decrypt(
        &mut self,
        from: &Address,
        sent: &Ciphertext,
        rng: &mut impl CryptoRng,
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let peer = Peer { address: from, known: None };
        match sent {
            Ciphertext::Message(bytes) => {
                let message = SignalMessage::from_bytes(bytes).unwrap();
                self.session.decrypt(&self.local, peer, &message, rng)
            }
            Ciphertext::PreKey(bytes) => {
                let message = PreKeySignalMessage::from_bytes(bytes).unwrap();
                self.session.decrypt_prekey(&mut self.local, peer, &message, rng)
            }
        }
    }
}

/// Two parties with a session that the first began.
pub(crate) struct Pair {
    pub(crate) a: Party,
    pub(crate) b: Party,
}

impl Pair {
    pub(crate) fn new(rng: &mut impl CryptoRng) -> Self {
        let (a, b) = (Party::new("a@north.test", rng), Party::new("b@south.test", rng));
        let mut pair = Self { a, b };
        pair.begin(rng);
        pair.there_and_back(1, rng);
        pair
    }

    /// The first begins a session, in the place of one that may be there.
    pub(crate) fn begin(&mut self, rng: &mut impl CryptoRng) {
        let bundle = self.b.bundle(rng);
        self.a.initiate(&self.b.local.address, &bundle, rng);
        self.there(1, rng);
    }

    /// Messages in a row, of which all but the last are lost.
    pub(crate) fn there(&mut self, count: usize, rng: &mut impl CryptoRng) {
        let sent = (0..count).map(|_| self.a.encrypt(&self.b.local.address, b"x", rng)).last();
        self.b.decrypt(&self.a.local.address, &sent.unwrap(), rng).unwrap();
    }

    pub(crate) fn back(&mut self, count: usize, rng: &mut impl CryptoRng) {
        let sent = (0..count).map(|_| self.b.encrypt(&self.a.local.address, b"x", rng)).last();
        self.a.decrypt(&self.b.local.address, &sent.unwrap(), rng).unwrap();
    }

    pub(crate) fn there_and_back(&mut self, count: usize, rng: &mut impl CryptoRng) {
        for _ in 0..count {
            self.there(1, rng);
            self.back(1, rng);
        }
    }

    pub(crate) fn pq_epoch(&self) -> u64 {
        self.a.session.info().unwrap().pq_epoch.unwrap()
    }
}
