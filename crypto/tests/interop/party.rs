//! The two parties: ours, and the library's.

use posthouse_crypto::e2ee::{
    address::{Address, DeviceId},
    device::LocalDevice,
    prekey::{
        bundle::{KemPreKeyPublic, OneTimePreKeyPublic, PreKeyBundle, SignedPreKeyPublic},
        store::PreKeys,
    },
    primitives::{
        curve::{KeyPair, PublicKey},
        kem::KemPublicKey,
    },
    profile::{AcceptedProfiles, Profile},
    session::{Ciphertext, DecryptError, Peer, Session},
    time::UnixMillis,
    wire::{message::SignalMessage, prekey_message::PreKeySignalMessage},
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::oracle::{Oracle, decode, encode};

pub(crate) const OUR_NAME: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const THEIR_NAME: &str = "22222222-2222-4222-8222-222222222222";
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// A conversation of our party with one of the library.
pub(crate) struct Talk {
    pub(crate) ours: LocalDevice,
    pub(crate) session: Session,
    pub(crate) theirs: Address,
    pub(crate) oracle: Oracle,
    pub(crate) rng: StdRng,
}

impl Talk {
    /// Both parties, before either has written.
    pub(crate) fn new(version: &str, names: [&str; 2], accepts: AcceptedProfiles) -> Self {
        let mut rng = StdRng::seed_from_u64(42);
        let identity = KeyPair::generate(&mut rng);
        let device = DeviceId::new(1).unwrap();
        let ours = LocalDevice {
            address: Address::new(names[0], device).unwrap(),
            prekeys: PreKeys::new(&identity, NOW, &mut rng),
            identity,
            registration_id: 1001,
            accepts,
        };
        let theirs = Address::new(names[1], device).unwrap();
        let mut oracle = Oracle::start(version);
        oracle.call("newIdentity", json!({ "address": json_address(&theirs) }));
        Self { ours, session: Session::new(), theirs, oracle, rng }
    }

    /// A conversation in which `we_begin` or they do; three messages in a burst arrive as third,
    /// first, second, and then there is an answer.
    pub(crate) fn begin(version: &str, profile: Profile, we_begin: bool) -> Self {
        let accepts = AcceptedProfiles::default();
        let accepts = match profile {
            Profile::X3dh => accepts.with_x3dh(),
            Profile::Pqxdh => accepts.with_pqxdh_without_spqr(),
            _ => accepts,
        };
        let mut talk = Self::new(version, [OUR_NAME, THEIR_NAME], accepts);
        if we_begin {
            talk.we_begin(profile);
        } else {
            let bundle = talk.our_bundle(profile != Profile::X3dh);
            talk.they_process(&bundle).unwrap();
        }
        let texts = ["first", "second", "third"];
        let burst: Vec<_> = texts.iter().map(|text| talk.send(we_begin, text)).collect();
        for at in [2, 0, 1] {
            assert_eq!(burst[at].kind(), 3);
            assert_eq!(talk.deliver(we_begin, &burst[at]).unwrap(), texts[at]);
        }
        let answer = talk.send(!we_begin, "answer");
        assert_eq!(answer.kind(), 2);
        assert_eq!(talk.deliver(!we_begin, &answer).unwrap(), "answer");
        talk
    }

    pub(crate) fn we_begin(&mut self, profile: Profile) {
        let answer = self.oracle.call("newBundle", json!({ "kyber": profile != Profile::X3dh }));
        let bundle = parse_bundle(&answer["bundle"]).verify().unwrap().with_profile(profile);
        let peer = Peer { address: &self.theirs, known: None };
        self.session.initiate(&self.ours, peer, &bundle, NOW, &mut self.rng).unwrap();
    }

    /// A fresh bundle of ours, as the oracle takes it.
    pub(crate) fn our_bundle(&mut self, kem: bool) -> Value {
        let ours = &mut self.ours;
        let (left, _) = ours.prekeys.one_time_left();
        let (mut curve, mut one_time_kem) =
            ours.prekeys.replenish(&ours.identity, left + 1, &mut self.rng);
        let bundle = ours.bundle(curve.pop(), one_time_kem.pop()).unwrap();
        let one_time = bundle.one_time.unwrap();
        let mut value = json!({
            "registrationId": bundle.registration_id,
            "deviceId": 1,
            "identityKey": encode(bundle.identity.to_bytes()),
            "signedPreKeyId": bundle.signed.id,
            "signedPreKey": encode(bundle.signed.key.to_bytes()),
            "signedPreKeySignature": encode(bundle.signed.signature),
            "preKeyId": one_time.id,
            "preKey": encode(one_time.key.to_bytes()),
        });
        if let Some(key) = bundle.kem.filter(|_| kem) {
            value["kyberPreKeyId"] = json!(key.id);
            value["kyberPreKey"] = encode(key.key.to_bytes());
            value["kyberPreKeySignature"] = encode(key.signature);
        }
        value
    }

    pub(crate) fn they_process(&mut self, bundle: &Value) -> Result<(), String> {
        let request = json!({ "address": json_address(&self.ours.address), "bundle": bundle });
        self.oracle.try_call("processBundle", request).map(drop)
    }

    /// Encrypts, by us or by them.
    pub(crate) fn send(&mut self, by_us: bool, text: &str) -> Ciphertext {
        if by_us {
            let peer = Peer { address: &self.theirs, known: None };
            let text = text.as_bytes();
            return self.session.encrypt(&self.ours, peer, text, NOW, &mut self.rng).unwrap();
        }
        let request = json!({
            "address": json_address(&self.ours.address),
            "plaintext": encode(text),
        });
        let answer = self.oracle.call("encrypt", request);
        let bytes = decode(&answer["message"]);
        match answer["type"].as_u64() {
            Some(3) => Ciphertext::PreKey(bytes),
            _ => Ciphertext::Message(bytes),
        }
    }

    /// Decrypts what we or they sent, on the other side.
    pub(crate) fn deliver(&mut self, by_us: bool, sent: &Ciphertext) -> Result<String, String> {
        let plaintext = if by_us {
            let request = json!({
                "address": json_address(&self.ours.address),
                "type": sent.kind(),
                "message": encode(sent.as_bytes()),
            });
            decode(&self.oracle.try_call("decrypt", request)?["plaintext"])
        } else {
            self.decrypt(sent).map_err(|error| format!("{error:?}"))?
        };
        Ok(String::from_utf8(plaintext).unwrap())
    }

    /// Decrypts here.
    pub(crate) fn decrypt(&mut self, sent: &Ciphertext) -> Result<Vec<u8>, DecryptError> {
        let peer = Peer { address: &self.theirs, known: None };
        let plaintext = match sent {
            Ciphertext::Message(bytes) => {
                let message = SignalMessage::from_bytes(bytes)?;
                self.session.decrypt(&self.ours, peer, &message, &mut self.rng)
            }
            Ciphertext::PreKey(bytes) => {
                let message = PreKeySignalMessage::from_bytes(bytes)?;
                self.session.decrypt_prekey(&mut self.ours, peer, &message, &mut self.rng)
            }
        };
        plaintext.map(|plaintext| plaintext.to_vec())
    }

    pub(crate) fn pass(&mut self, by_us: bool, text: &str) {
        let sent = self.send(by_us, text);
        assert_eq!(self.deliver(by_us, &sent).as_deref(), Ok(text), "sent by us: {by_us}");
    }
}

pub(crate) fn json_address(address: &Address) -> Value {
    json!({ "name": address.name(), "device": address.device().get() })
}

pub(crate) fn parse_bundle(value: &Value) -> PreKeyBundle {
    let number = |name: &str| u32::try_from(value[name].as_u64().unwrap()).unwrap();
    let bytes = |name: &str| decode(&value[name]);
    let key = |name: &str| PublicKey::from_bytes(&bytes(name)).unwrap();
    PreKeyBundle {
        registration_id: number("registrationId"),
        device: DeviceId::new(value["deviceId"].as_u64().unwrap()).unwrap(),
        identity: key("identityKey"),
        signed: SignedPreKeyPublic {
            id: number("signedPreKeyId"),
            key: key("signedPreKey"),
            signature: bytes("signedPreKeySignature").try_into().unwrap(),
        },
        one_time: value["preKey"]
            .as_str()
            .map(|_| OneTimePreKeyPublic { id: number("preKeyId"), key: key("preKey") }),
        kem: value["kyberPreKey"].as_str().map(|_| KemPreKeyPublic {
            id: number("kyberPreKeyId"),
            key: KemPublicKey::from_bytes(&bytes("kyberPreKey")).unwrap(),
            signature: bytes("kyberPreKeySignature").try_into().unwrap(),
        }),
    }
}
