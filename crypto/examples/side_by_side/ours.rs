//! Our side of the comparison.

use std::{collections::BTreeSet, hint::black_box};

use posthouse_crypto::e2ee::{
    address::{Address, DeviceId},
    device::LocalDevice,
    group::{
        receiving::ReceivedSenderKeys,
        sending::{NotReady, SendingGroup},
    },
    prekey::{bundle::PreKeyBundle, store::PreKeys},
    primitives::{curve::KeyPair, xeddsa},
    profile::AcceptedProfiles,
    session::{Ciphertext, Peer, Session},
    time::UnixMillis,
    wire::{
        message::SignalMessage, prekey_message::PreKeySignalMessage,
        sender_key_message::SenderKeyMessage,
    },
};
use rand::{SeedableRng, rngs::StdRng};
use rustix::time::{ClockId, clock_gettime};

const NOW: UnixMillis = UnixMillis(1_000);
const TEXT: [u8; 120] = [7; 120];

struct Side {
    local: LocalDevice,
    session: Session,
    rng: StdRng,
    /// Reads and writes the state around every message.
    stored: bool,
}

impl Side {
    fn new(name: &str, seed: u64, stored: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let identity = KeyPair::generate(&mut rng);
        let address = DeviceId::new(1).and_then(|device| Address::new(name, device));
        let local = LocalDevice {
            address: address.expect("a valid name"),
            prekeys: PreKeys::new(&identity, NOW, &mut rng),
            identity,
            registration_id: 1,
            accepts: AcceptedProfiles::default(),
        };
        Self { local, session: Session::new(), rng, stored }
    }

    fn restore(&mut self) {
        if self.stored {
            let bytes = self.session.to_bytes();
            self.session = Session::from_bytes(&bytes).expect("our own state");
        }
    }

    fn send(&mut self, to: &Address) -> Ciphertext {
        self.restore();
        let peer = Peer { address: to, known: None };
        self.session.encrypt(&self.local, peer, &TEXT, NOW, &mut self.rng).expect("encrypts")
    }

    fn receive(&mut self, from: &Address, sent: &Ciphertext) {
        self.restore();
        let peer = Peer { address: from, known: None };
        let plaintext = match sent {
            Ciphertext::Message(bytes) => {
                let message = SignalMessage::from_bytes(bytes).expect("a message");
                self.session.decrypt(&self.local, peer, &message, &mut self.rng)
            }
            Ciphertext::PreKey(bytes) => {
                let message = PreKeySignalMessage::from_bytes(bytes).expect("a message");
                self.session.decrypt_prekey(&mut self.local, peer, &message, &mut self.rng)
            }
        };
        assert_eq!(plaintext.expect("decrypts").as_slice(), TEXT);
    }
}

/// Microseconds of: set-up, there and back, encrypt, decrypt, group encrypt, group decrypt,
/// agreement, signature, verification.
pub(crate) fn measure(rounds: usize, stored: bool) -> [f64; 9] {
    let (mut a, mut b) = (Side::new("a", 1, stored), Side::new("b", 2, stored));
    let (a_name, b_name) = (a.local.address.clone(), b.local.address.clone());
    let bundles = bundles(&mut b, rounds);
    let set_up = time(rounds, || {
        for bundle in &bundles {
            (a.session, b.session) = (Session::new(), Session::new());
            let verified = bundle.clone().verify().expect("our own signature");
            let peer = Peer { address: &b_name, known: None };
            a.session.initiate(&a.local, peer, &verified, NOW, &mut a.rng).expect("initiates");
            let first = a.send(&b_name);
            b.receive(&a_name, &first);
        }
    });
    let answer = b.send(&a_name);
    a.receive(&b_name, &answer);
    let alternating = time(2 * rounds, || {
        for _ in 0..rounds {
            let there = a.send(&b_name);
            b.receive(&a_name, &there);
            let back = b.send(&a_name);
            a.receive(&b_name, &back);
        }
    });
    let (mut burst, many) = (Vec::new(), 5 * rounds);
    let encrypt = time(many, || burst.extend((0..many).map(|_| a.send(&b_name))));
    let decrypt = time(many, || burst.iter().for_each(|sent| b.receive(&a_name, sent)));
    let [group_encrypt, group_decrypt] = measure_group(many, stored, &b_name);
    let [agree, sign, verify] = measure_primitives(many);
    [set_up, alternating, encrypt, decrypt, group_encrypt, group_decrypt, agree, sign, verify]
}

fn bundles(of: &mut Side, rounds: usize) -> Vec<PreKeyBundle> {
    let (curve, kem) = of.local.prekeys.replenish(&of.local.identity, rounds, &mut of.rng);
    let pairs = curve.into_iter().zip(kem);
    pairs.filter_map(|(curve, kem)| of.local.bundle(Some(curve), Some(kem))).collect()
}

fn measure_group(rounds: usize, stored: bool, reader: &Address) -> [f64; 2] {
    let mut rng = StdRng::seed_from_u64(3);
    let (mut group, to) = (SendingGroup::new([1; 16]), BTreeSet::from([reader.clone()]));
    let mut keys = ReceivedSenderKeys::new([1; 16]);
    if let Err(NotReady::Undistributed(handed)) = group.ready(&to, NOW, &mut rng) {
        group.mark_distributed(handed.distribution.chain_id(), reader.clone());
        keys.process(&handed.distribution).expect("our own key");
    }
    let mut burst = Vec::new();
    let encrypt = time(rounds, || {
        for _ in 0..rounds {
            if stored {
                group = SendingGroup::from_bytes(&group.to_bytes()).expect("our own state");
            }
            let ready = group.ready(&to, NOW, &mut rng).expect("distributed");
            burst.push(ready.encrypt(&TEXT, &mut rng).expect("encrypts"));
        }
    });
    let decrypt = time(rounds, || {
        for sent in &burst {
            if stored {
                keys = ReceivedSenderKeys::from_bytes(&keys.to_bytes()).expect("our own state");
            }
            let message = SenderKeyMessage::from_bytes(sent).expect("a message");
            assert_eq!(keys.decrypt(&message).expect("decrypts").as_slice(), TEXT);
        }
    });
    [encrypt, decrypt]
}

fn measure_primitives(rounds: usize) -> [f64; 3] {
    let mut rng = StdRng::seed_from_u64(4);
    let (key, other) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
    let agree = time(rounds, || {
        for _ in 0..rounds {
            black_box(key.private.agree(&other.public)).expect("a sound key");
        }
    });
    let mut signature = [0; xeddsa::SIGNATURE_LEN];
    let sign = time(rounds, || {
        (0..rounds).for_each(|_| signature = xeddsa::sign(&key.private, &[&TEXT], &mut rng));
    });
    let verify = time(rounds, || {
        (0..rounds)
            .for_each(|_| xeddsa::verify(&key.public, &[&TEXT], &signature).expect("our own"));
    });
    [agree, sign, verify]
}

/// Processor time of this process, divided by `count`.
fn time(count: usize, work: impl FnOnce()) -> f64 {
    let start = processor_micros();
    work();
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    (processor_micros() - start) / f64::from(count)
}

#[expect(clippy::cast_precision_loss, reason = "seconds of one run")]
fn processor_micros() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
