//! What a received part does to the exchange. Parts that came late or twice do nothing.

use super::{
    Braid, BraidError, CT2_AND_MAC, Decoder, Encoder, HEADER_AND_MAC, Part, State, epoch_secret,
};
use crate::e2ee::{
    secret::Secret,
    spqr::{
        authenticator::same,
        kem::{CT1_LEN, CT2_LEN, DecapsulationSeed, Encapsulation, HEADER_LEN, KEY_LEN},
    },
};

impl Braid {
    /// Takes in a part; gives the secret of an epoch if that completed it.
    pub(in super::super) fn receive(
        &mut self,
        epoch: u64,
        part: &Part,
    ) -> Result<Option<(u64, Secret<32>)>, BraidError> {
        if epoch < self.epoch {
            return Ok(None);
        }
        if epoch > self.epoch {
            self.follow(epoch)?;
        }
        let state = core::mem::replace(&mut self.state, State::Idle);
        let before = self.epoch;
        let (state, secret) = self.step(state, part)?;
        self.state = state;
        Ok(secret.map(|secret| (before, secret)))
    }

    /// The peer is in the next epoch: it has ciphertext 2, and the roles swap.
    fn follow(&mut self, epoch: u64) -> Result<(), BraidError> {
        let expected = matches!(self.state, State::SendCiphertext2 { .. });
        if !expected || epoch - 1 != self.epoch {
            return Err(BraidError::EpochAhead);
        }
        self.epoch = epoch;
        self.state = State::Idle;
        Ok(())
    }

    fn step(
        &mut self,
        state: State,
        part: &Part,
    ) -> Result<(State, Option<Secret<32>>), BraidError> {
        let state = match (state, part) {
            (State::SendHeader { seed, .. }, Part::Ciphertext1(chunk)) => {
                let key = Encoder::new(&seed.public_key().1);
                let mut ct1 = Decoder::new();
                ct1.add(chunk);
                State::SendKey { seed, key, ct1 }
            }
            (State::SendKey { seed, key, mut ct1 }, Part::Ciphertext1(chunk)) => {
                match ct1.add(chunk) {
                    Some(ct1) => State::SendKeyAndAck { seed, key, ct1: Box::new(ct1) },
                    None => State::SendKey { seed, key, ct1 },
                }
            }
            (State::SendKeyAndAck { seed, ct1, .. }, Part::Ciphertext2(chunk)) => {
                let mut ct2 = Decoder::new();
                ct2.add(chunk);
                State::AwaitCiphertext2 { seed, ct1, ct2 }
            }
            (State::AwaitCiphertext2 { seed, ct1, mut ct2 }, Part::Ciphertext2(chunk)) => {
                match ct2.add(chunk) {
                    Some(ct2) => {
                        let secret = self.finish(&seed, &ct1, &ct2)?;
                        return Ok((State::AwaitHeader { header: Decoder::new() }, Some(secret)));
                    }
                    None => State::AwaitCiphertext2 { seed, ct1, ct2 },
                }
            }
            (State::AwaitHeader { mut header }, Part::Header(chunk)) => match header.add(chunk) {
                Some(block) => State::HeaderComplete { header: self.check_header(&block)? },
                None => State::AwaitHeader { header },
            },
            (state, part) => self.collect_key(state, part)?,
        };
        Ok((state, None))
    }

    /// The middle of the ciphertext sender's part: key and acknowledgement come in any order.
    fn collect_key(&self, state: State, part: &Part) -> Result<State, BraidError> {
        let (chunk, acknowledged) = match part {
            Part::Key(chunk) => (Some(chunk), false),
            Part::KeyAndAck(chunk) => (Some(chunk), true),
            Part::Ack => (None, true),
            _ => return Ok(state),
        };
        Ok(match state {
            State::SendCiphertext1 { encapsulation, ct1, mut key } => {
                match (chunk.and_then(|chunk| key.add(chunk)), acknowledged) {
                    (Some(key), true) => self.second(&encapsulation, &key)?,
                    (Some(key), false) => {
                        State::KeyComplete { encapsulation, ct1, key: Box::new(key) }
                    }
                    (None, true) => State::Acknowledged { encapsulation, key },
                    (None, false) => State::SendCiphertext1 { encapsulation, ct1, key },
                }
            }
            State::KeyComplete { encapsulation, key, .. } if acknowledged => {
                self.second(&encapsulation, &key)?
            }
            State::Acknowledged { encapsulation, mut key } => {
                match chunk.and_then(|chunk| key.add(chunk)) {
                    Some(key) => self.second(&encapsulation, &key)?,
                    None => State::Acknowledged { encapsulation, key },
                }
            }
            other => other,
        })
    }

    /// Makes ciphertext 2 and its MAC.
    fn second(
        &self,
        encapsulation: &Encapsulation,
        key: &[u8; KEY_LEN],
    ) -> Result<State, BraidError> {
        let (ct1, _) = encapsulation.first().ok_or(BraidError::Misbehaved)?;
        let ct2 = encapsulation.second(key).ok_or(BraidError::Misbehaved)?;
        let mac = self.authenticator.ciphertext_mac(self.epoch, &ct1, &ct2);
        Ok(State::SendCiphertext2 { ct2: Encoder::new(&[&ct2[..], &mac].concat()) })
    }

    fn check_header(&self, block: &[u8; HEADER_AND_MAC]) -> Result<[u8; HEADER_LEN], BraidError> {
        let (header, mac) = block.split_first_chunk().ok_or(BraidError::Misbehaved)?;
        let ours = self.authenticator.header_mac(self.epoch, header);
        if same(&ours, mac) { Ok(*header) } else { Err(BraidError::Misbehaved) }
    }

    /// Opens the ciphertext and goes over to the next epoch.
    fn finish(
        &mut self,
        seed: &DecapsulationSeed,
        ct1: &[u8; CT1_LEN],
        block: &[u8; CT2_AND_MAC],
    ) -> Result<Secret<32>, BraidError> {
        let (ct2, mac): (&[u8; CT2_LEN], _) =
            block.split_first_chunk().ok_or(BraidError::Misbehaved)?;
        let secret = epoch_secret(self.epoch, &seed.decapsulate(ct1, ct2));
        self.authenticator.update(self.epoch, &secret);
        if !same(&self.authenticator.ciphertext_mac(self.epoch, ct1, ct2), mac) {
            return Err(BraidError::Misbehaved);
        }
        self.epoch += 1;
        Ok(secret)
    }
}
