//! The key chain: one root over all exchanges, and for each exchange a chain of message keys in
//! either direction. Counters run on over the whole exchange, whatever the double ratchet does.

use std::collections::VecDeque;

use crate::e2ee::{
    cbor::{CborError, Reader, Writer},
    primitives::kdf::{NO_SALT, hkdf},
    secret::Secret,
    session::skipped::{MAX_JUMP, SkippedKeys},
};

/// The two spaces belong there.
const START: &[u8] = b"Signal PQ Ratchet V1 Chain  Start";
const NEXT: &[u8] = b"Signal PQ Ratchet V1 Chain Next";
const ADD_EPOCH: &[u8] = b"Signal PQ Ratchet V1 Chain Add Epoch";
/// How many epochs before the one that we send in are kept for messages that come late.
const KEPT_EPOCHS: u64 = 1;
/// The most epochs that can be alive: kept, sending, and one that the peer has not heard of.
const MAX_EPOCHS: usize = 4;

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChainError {
    KeyGone,
    TooFarAhead,
    UnknownEpoch,
}

/// One direction within an epoch.
#[derive(Clone, Debug)]
struct Direction {
    key: Secret<32>,
    /// The index of the last key taken; the first is 1.
    index: u32,
}

impl Direction {
    fn new(key: Secret<32>) -> Self {
        Self { key, index: 0 }
    }

    fn step(&mut self) -> Result<Secret<32>, ChainError> {
        self.index = self.index.checked_add(1).ok_or(ChainError::TooFarAhead)?;
        let keys: Secret<64> =
            hkdf(&NO_SALT, self.key.expose(), &[&self.index.to_be_bytes(), NEXT]);
        self.key = keys.part::<0, 32>();
        Ok(keys.part::<32, 32>())
    }

    fn write(&self, writer: &mut Writer) {
        writer.array(2);
        writer.bytes(self.key.expose());
        writer.uint(u64::from(self.index));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed_array(2)?;
        Ok(Self { key: Secret::new(reader.exact()?), index: reader.u32()? })
    }
}

#[derive(Clone, Debug)]
struct Epoch {
    number: u64,
    /// Gone once a later epoch sends.
    sending: Option<Direction>,
    receiving: Direction,
    skipped: SkippedKeys,
}

/// All chains that are alive.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    initiator: bool,
    root: Secret<32>,
    epochs: VecDeque<Epoch>,
}

impl Chain {
    pub(super) fn initiator(auth_key: &Secret<32>) -> Self {
        Self::start(true, auth_key)
    }

    pub(super) fn responder(auth_key: &Secret<32>) -> Self {
        Self::start(false, auth_key)
    }

    fn start(initiator: bool, auth_key: &Secret<32>) -> Self {
        let keys = hkdf(&NO_SALT, auth_key.expose(), &[START]);
        let mut chain = Self { initiator, root: keys.part::<0, 32>(), epochs: VecDeque::new() };
        chain.push(0, &keys);
        chain
    }

    /// Mixes in the secret of an exchange and opens its epoch.
    pub(super) fn add_epoch(&mut self, epoch: u64, secret: &Secret<32>) -> Result<(), ChainError> {
        let newest = self.epochs.back().ok_or(ChainError::UnknownEpoch)?.number;
        if epoch != newest + 1 || self.epochs.len() >= MAX_EPOCHS {
            return Err(ChainError::UnknownEpoch);
        }
        let keys = hkdf(self.root.expose(), secret.expose(), &[ADD_EPOCH]);
        self.root = keys.part::<0, 32>();
        self.push(epoch, &keys);
        Ok(())
    }

    /// The next key to send with in `epoch`, and its index. Epochs that are long past end here.
    pub(super) fn send_key(&mut self, epoch: u64) -> Result<(u32, Secret<32>), ChainError> {
        self.epochs.retain(|kept| kept.number + KEPT_EPOCHS >= epoch);
        for past in self.epochs.iter_mut().filter(|past| past.number < epoch) {
            past.sending = None;
        }
        let sending = self.epoch(epoch)?.sending.as_mut().ok_or(ChainError::UnknownEpoch)?;
        let key = sending.step()?;
        Ok((sending.index, key))
    }

    /// The key of `index` in `epoch`; each is given out once.
    pub(super) fn receive_key(&mut self, epoch: u64, index: u32) -> Result<Secret<32>, ChainError> {
        let Epoch { receiving, skipped, .. } = self.epoch(epoch)?;
        if index <= receiving.index {
            return skipped.take(index).ok_or(ChainError::KeyGone);
        }
        if index - receiving.index > MAX_JUMP {
            return Err(ChainError::TooFarAhead);
        }
        while receiving.index + 1 < index {
            let key = receiving.step()?;
            skipped.push(receiving.index, key);
        }
        receiving.step()
    }

    fn epoch(&mut self, number: u64) -> Result<&mut Epoch, ChainError> {
        let found = self.epochs.iter_mut().find(|epoch| epoch.number == number);
        found.ok_or(ChainError::UnknownEpoch)
    }

    fn push(&mut self, number: u64, keys: &Secret<96>) {
        let (a_to_b, b_to_a) = (keys.part::<32, 32>(), keys.part::<64, 32>());
        let (sending, receiving) = if self.initiator { (a_to_b, b_to_a) } else { (b_to_a, a_to_b) };
        self.epochs.push_back(Epoch {
            number,
            sending: Some(Direction::new(sending)),
            receiving: Direction::new(receiving),
            skipped: SkippedKeys::new(),
        });
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.array(3);
        writer.bool(self.initiator);
        writer.bytes(self.root.expose());
        writer.array(self.epochs.len());
        for epoch in &self.epochs {
            writer.array(4);
            writer.uint(epoch.number);
            writer.optional(epoch.sending.as_ref(), |w, sending| sending.write(w));
            epoch.receiving.write(writer);
            epoch.skipped.write(writer);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed_array(3)?;
        let initiator = reader.bool()?;
        let root = Secret::new(reader.exact()?);
        let epochs = reader.sequence(MAX_EPOCHS, |r| {
            r.fixed_array(4)?;
            Ok::<_, CborError>(Epoch {
                number: r.uint()?,
                sending: r.optional(Direction::read)?,
                receiving: Direction::read(r)?,
                skipped: SkippedKeys::read(r)?,
            })
        })?;
        // Numbers near the end of their range cannot come about and would overflow.
        if epochs.iter().any(|epoch| epoch.number > u64::MAX / 2) {
            return Err(CborError);
        }
        Ok(Self { initiator, root, epochs: epochs.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_numbers_leave_room_to_go_on() {
        let stored = |number| {
            let mut chain = Chain::initiator(&Secret::new([1; 32]));
            chain.epochs[0].number = number;
            let mut writer = Writer::new();
            chain.write(&mut writer);
            Chain::read(&mut Reader::new(&writer.finish()))
        };
        assert!(stored(u64::MAX / 2).is_ok());
        assert!(stored(u64::MAX / 2 + 1).is_err());
        assert!(stored(u64::MAX).is_err());
    }
}
