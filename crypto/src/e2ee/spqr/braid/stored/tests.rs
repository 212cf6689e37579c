//! Storing an exchange in any of its states changes nothing about it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;
use crate::e2ee::spqr::Spqr;

/// How many epochs the exchange goes on under each kind of loss: both roles take their turn.
const EPOCHS: u64 = 2;
/// Losses in percent, `[from a, from b]`. When little of one direction arrives, its peer's half
/// of the exchange is complete long before its own: only so does a key wait for its
/// acknowledgement.
const LOSSES: [[u32; 2]; 3] = [[0, 0], [70, 5], [5, 70]];
/// More messages than any of these takes.
const ENOUGH: u32 = 20_000;

#[test]
fn an_epoch_leaves_room_to_count_on() {
    let mut braid = Braid::key_sender(&Secret::new([9; 32]));
    let most = u64::MAX / 2;
    for (epoch, fits) in [(0, false), (1, true), (most, true), (most + 1, false)] {
        braid.epoch = epoch;
        let mut writer = Writer::new();
        braid.write(&mut writer);
        let bytes = writer.finish();
        let read = Braid::read(&mut Reader::new(&bytes)).map(|read| read.epoch);
        assert_eq!(read, if fits { Ok(epoch) } else { Err(CborError) });
    }
}

/// A state's name. A new state does not compile before it has one, and [`ALL`] must have it then.
fn name(state: &State) -> &'static str {
    match state {
        State::Idle => "Idle",
        State::SendHeader { .. } => "SendHeader",
        State::SendKey { .. } => "SendKey",
        State::SendKeyAndAck { .. } => "SendKeyAndAck",
        State::AwaitCiphertext2 { .. } => "AwaitCiphertext2",
        State::AwaitHeader { .. } => "AwaitHeader",
        State::HeaderComplete { .. } => "HeaderComplete",
        State::SendCiphertext1 { .. } => "SendCiphertext1",
        State::KeyComplete { .. } => "KeyComplete",
        State::Acknowledged { .. } => "Acknowledged",
        State::SendCiphertext2 { .. } => "SendCiphertext2",
    }
}

const ALL: [&str; 11] = [
    "Acknowledged",
    "AwaitCiphertext2",
    "AwaitHeader",
    "HeaderComplete",
    "Idle",
    "KeyComplete",
    "SendCiphertext1",
    "SendCiphertext2",
    "SendHeader",
    "SendKey",
    "SendKeyAndAck",
];

fn bytes_of(spqr: &Spqr) -> zeroize::Zeroizing<Vec<u8>> {
    let mut writer = Writer::new();
    spqr.write(&mut writer);
    writer.finish()
}

/// One side twice: `kept` was never stored, `stored` is stored and read again after each step.
struct Side {
    kept: Spqr,
    stored: Spqr,
    /// The same numbers for both.
    rngs: [StdRng; 2],
}

impl Side {
    fn new(spqr: Spqr, seed: u64) -> Self {
        Self {
            stored: spqr.clone(),
            kept: spqr,
            rngs: [(); 2].map(|()| StdRng::seed_from_u64(seed)),
        }
    }

    fn send(&mut self) -> (Vec<u8>, Secret<32>) {
        let [rng, other] = &mut self.rngs;
        let (bytes, key) = self.kept.send(rng).unwrap();
        let (again, same) = self.stored.send(other).unwrap();
        assert_eq!(bytes, again);
        assert!(key.ct_eq(&same));
        (bytes, key)
    }

    fn receive(&mut self, (bytes, sent): &(Vec<u8>, Secret<32>)) {
        for spqr in [&mut self.kept, &mut self.stored] {
            assert!(spqr.receive(bytes).unwrap().ct_eq(sent));
        }
    }

    /// Stores and reads again; both forms of this side must still be one.
    fn store(&mut self, states: &mut BTreeSet<&'static str>) {
        states.insert(name(&self.stored.braid.state));
        let bytes = bytes_of(&self.stored);
        let mut reader = Reader::new(&bytes);
        self.stored = Spqr::read(&mut reader).unwrap();
        reader.end().unwrap();
        assert!(bytes == bytes_of(&self.stored), "another state was read than was written");
        assert!(bytes == bytes_of(&self.kept), "the stored side has gone another way");
    }
}

/// Two sides talk under all kinds of loss, the next message being anybody's; gives the states
/// that were stored.
fn converse(seed: u64) -> BTreeSet<&'static str> {
    let auth_key = Secret::new([9; 32]);
    let mut sides =
        [Side::new(Spqr::initiator(&auth_key), seed), Side::new(Spqr::responder(&auth_key), !seed)];
    let mut rng = StdRng::seed_from_u64(seed);
    let mut states = BTreeSet::new();
    for side in &mut sides {
        side.store(&mut states);
    }
    for loss in LOSSES {
        let until = sides[0].kept.epoch() + EPOCHS;
        let mut sent = 0;
        while sides.iter().any(|side| side.kept.epoch() < until) {
            let from = rng.random_range(0..2_usize);
            let message = sides[from].send();
            sides[from].store(&mut states);
            if rng.random_range(0..100) >= loss[from] {
                sides[1 - from].receive(&message);
                sides[1 - from].store(&mut states);
            }
            sent += 1;
            assert!(sent < ENOUGH, "the exchange does not end under a loss of {loss:?} %");
        }
    }
    states
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]
    #[test]
    fn a_side_that_is_stored_in_every_state_goes_on_as_if_it_never_was(seed: u64) {
        let states = converse(seed);
        prop_assert_eq!(states.into_iter().collect::<Vec<_>>(), ALL);
    }
}
