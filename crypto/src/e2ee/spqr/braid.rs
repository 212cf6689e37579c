//! The key exchange that runs inside the messages, as states of two roles that swap with every
//! epoch.
//!
//! ```text
//!  key sender                                ciphertext sender
//!  Idle ----------- header ----------------> AwaitHeader
//!  SendHeader <---- ciphertext 1 ----------- HeaderComplete (first send: the secret is known)
//!  SendKey -------- key -------------------> SendCiphertext1
//!  SendKeyAndAck -- key + ack -------------> KeyComplete | Acknowledged
//!  AwaitCiphertext2 <- ciphertext 2 -------- SendCiphertext2
//!  (secret known; becomes AwaitHeader of the next epoch, and its peer Idle)
//! ```

mod receive;
mod stored;

use rand_core::CryptoRng;

use super::{
    authenticator::{Authenticator, MAC_LEN},
    erasure::{Decoder, Encoder},
    kem::{CT1_LEN, CT2_LEN, DecapsulationSeed, Encapsulation, HEADER_LEN, KEY_LEN},
    message::Part,
};
use crate::e2ee::{
    primitives::kdf::{NO_SALT, hkdf},
    secret::Secret,
};

const SECRET: &[u8] = b"Signal_PQCKA_V1_MLKEM768:SCKA Key";
/// A header and its MAC.
const HEADER_AND_MAC: usize = HEADER_LEN + MAC_LEN;
/// The second part of a ciphertext and the MAC over both.
const CT2_AND_MAC: usize = CT2_LEN + MAC_LEN;

/// Why the exchange refuses a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BraidError {
    EpochAhead,
    Misbehaved,
}

/// The exchange of one epoch.
#[derive(Clone, Debug)]
pub(super) struct Braid {
    epoch: u64,
    authenticator: Authenticator,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Key sender, nothing sent yet.
    Idle,
    /// Sends the header until ciphertext 1 begins to come.
    SendHeader { seed: DecapsulationSeed, header: Encoder },
    /// Sends the rest of the key until ciphertext 1 is complete.
    SendKey { seed: DecapsulationSeed, key: Encoder, ct1: Decoder<CT1_LEN> },
    /// Goes on sending the key, and says that ciphertext 1 is complete.
    SendKeyAndAck { seed: DecapsulationSeed, key: Encoder, ct1: Box<[u8; CT1_LEN]> },
    /// The peer has the key; waits for ciphertext 2.
    AwaitCiphertext2 { seed: DecapsulationSeed, ct1: Box<[u8; CT1_LEN]>, ct2: Decoder<CT2_AND_MAC> },
    /// Ciphertext sender, collects the header.
    AwaitHeader { header: Decoder<HEADER_AND_MAC> },
    /// Has the header; makes ciphertext 1 with the next message.
    HeaderComplete { header: [u8; HEADER_LEN] },
    /// Sends ciphertext 1 and collects the key.
    SendCiphertext1 { encapsulation: Encapsulation, ct1: Encoder, key: Decoder<KEY_LEN> },
    /// Has the key, but ciphertext 1 is not acknowledged.
    KeyComplete { encapsulation: Encapsulation, ct1: Encoder, key: Box<[u8; KEY_LEN]> },
    /// Ciphertext 1 is acknowledged, but the key not complete.
    Acknowledged { encapsulation: Encapsulation, key: Decoder<KEY_LEN> },
    /// Sends ciphertext 2 until the peer is in the next epoch.
    SendCiphertext2 { ct2: Encoder },
}

/// What goes into the next message.
pub(super) struct Sent {
    pub(super) epoch: u64,
    pub(super) part: Part,
    /// The secret of an epoch, if this message made it.
    pub(super) secret: Option<(u64, Secret<32>)>,
}

impl Braid {
    pub(super) fn key_sender(auth_key: &Secret<32>) -> Self {
        Self { epoch: 1, authenticator: Authenticator::new(auth_key), state: State::Idle }
    }

    pub(super) fn ciphertext_sender(auth_key: &Secret<32>) -> Self {
        let state = State::AwaitHeader { header: Decoder::new() };
        Self { epoch: 1, authenticator: Authenticator::new(auth_key), state }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn send(&mut self, rng: &mut impl CryptoRng) -> Result<Sent, BraidError> {
        let mut secret = None;
        match &self.state {
            State::Idle => self.begin(rng),
            State::HeaderComplete { header } => {
                let header = *header;
                secret = Some((self.epoch, self.encapsulate(header, rng)?));
            }
            _ => {}
        }
        Ok(Sent { epoch: self.epoch, part: self.state.next_part(), secret })
    }

    /// Makes the key of this epoch.
    fn begin(&mut self, rng: &mut impl CryptoRng) {
        let seed = DecapsulationSeed::generate(rng);
        let (header, _) = seed.public_key();
        let mac = self.authenticator.header_mac(self.epoch, &header);
        let header = Encoder::new(&[&header[..], &mac].concat());
        self.state = State::SendHeader { seed, header };
    }

    /// Makes ciphertext 1; its secret is known from here on.
    fn encapsulate(
        &mut self,
        header: [u8; HEADER_LEN],
        rng: &mut impl CryptoRng,
    ) -> Result<Secret<32>, BraidError> {
        let encapsulation = Encapsulation::generate(header, rng);
        let (ct1, shared) = encapsulation.first().ok_or(BraidError::Misbehaved)?;
        let secret = epoch_secret(self.epoch, &shared);
        self.authenticator.update(self.epoch, &secret);
        let ct1 = Encoder::new(&ct1);
        self.state = State::SendCiphertext1 { encapsulation, ct1, key: Decoder::new() };
        Ok(secret)
    }
}

impl State {
    fn next_part(&mut self) -> Part {
        match self {
            Self::SendHeader { header, .. } => Part::Header(header.next_chunk()),
            Self::SendKey { key, .. } => Part::Key(key.next_chunk()),
            Self::SendKeyAndAck { key, .. } => Part::KeyAndAck(key.next_chunk()),
            Self::AwaitCiphertext2 { .. } => Part::Ack,
            Self::SendCiphertext1 { ct1, .. } | Self::KeyComplete { ct1, .. } => {
                Part::Ciphertext1(ct1.next_chunk())
            }
            Self::SendCiphertext2 { ct2 } => Part::Ciphertext2(ct2.next_chunk()),
            Self::Idle
            | Self::AwaitHeader { .. }
            | Self::HeaderComplete { .. }
            | Self::Acknowledged { .. } => Part::None,
        }
    }
}

/// What an exchange adds to the chain.
fn epoch_secret(epoch: u64, shared: &Secret<32>) -> Secret<32> {
    hkdf(&NO_SALT, shared.expose(), &[SECRET, &epoch.to_be_bytes()])
}
