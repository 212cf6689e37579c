//! Two ratchets of our own, with loss, reordering and stored state.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

fn pair() -> (Spqr, Spqr) {
    let auth_key = Secret::new([9; 32]);
    (Spqr::initiator(&auth_key), Spqr::responder(&auth_key))
}

fn stored(spqr: &Spqr) -> Spqr {
    let mut writer = Writer::new();
    spqr.write(&mut writer);
    let bytes = writer.finish();
    let mut reader = Reader::new(&bytes);
    let read = Spqr::read(&mut reader).unwrap();
    reader.end().unwrap();
    read
}

#[test]
fn heals_over_many_epochs_and_survives_being_stored() {
    let (mut a, mut b) = pair();
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..300 {
        let (bytes, key) = a.send(&mut rng).unwrap();
        assert!(b.receive(&bytes).unwrap().ct_eq(&key));
        let (bytes, key) = b.send(&mut rng).unwrap();
        assert!(a.receive(&bytes).unwrap().ct_eq(&key));
        (a, b) = (stored(&a), stored(&b));
    }
    assert!(a.epoch() > 4, "{}", a.epoch());
}

#[test]
fn refuses_other_versions_no_key_and_keys_twice() {
    let (mut a, mut b) = pair();
    let mut rng = StdRng::seed_from_u64(2);
    let (bytes, _) = a.send(&mut rng).unwrap();
    b.receive(&bytes).unwrap();
    assert_eq!(b.receive(&bytes).unwrap_err(), SpqrError::KeyGone);
    assert_eq!(b.receive(&[]).unwrap_err(), SpqrError::Malformed);
    assert_eq!(b.receive(&[2, 1, 2, 0]).unwrap_err(), SpqrError::Malformed);
    assert_eq!(b.receive(&[1, 1, 0, 0]).unwrap_err(), SpqrError::Malformed);
    assert_eq!(b.receive(&[1, 0, 2, 0]).unwrap_err(), SpqrError::Malformed);
    assert_eq!(b.receive(&[1, 2, 2, 0]).unwrap_err(), SpqrError::UnknownEpoch);
    let mut far = vec![1, 1];
    crate::e2ee::wire::protobuf::put_varint(&mut far, 25_002);
    far.push(0);
    assert_eq!(b.receive(&far).unwrap_err(), SpqrError::TooFarAhead);
    let last_allowed = Message { epoch: 1, index: 25_001, part: message::Part::None };
    assert!(b.receive(&last_allowed.to_bytes()).is_ok());
}

#[test]
fn a_peer_that_only_takes_part_passively_keeps_epoch_1() {
    let (mut a, b) = pair();
    let mut chain = b.chain.clone();
    let mut rng = StdRng::seed_from_u64(3);
    for index in 1..50 {
        let (bytes, key) = a.send(&mut rng).unwrap();
        let message = Message::from_bytes(&bytes).unwrap();
        assert!(chain.receive_key(message.epoch - 1, message.index).unwrap().ct_eq(&key));
        let (sent, key) = chain.send_key(0).unwrap();
        assert_eq!(sent, index);
        let passive = Message { epoch: 1, index, part: message::Part::None };
        assert!(a.receive(&passive.to_bytes()).unwrap().ct_eq(&key));
    }
    assert_eq!(a.epoch(), 1);
}

#[test]
fn a_header_that_somebody_else_made_is_refused() {
    let (mut a, mut b) = pair();
    let mut rng = StdRng::seed_from_u64(4);
    for n in 0..3 {
        let (mut bytes, _) = a.send(&mut rng).unwrap();
        if n == 1 {
            *bytes.last_mut().unwrap() ^= 1;
        }
        let outcome = b.receive(&bytes);
        assert_eq!(outcome.is_err(), n == 2, "found out with the last chunk");
    }
}

/// Lets the first exchange run and gives the key of the next message; `change` may change what
/// the second ciphertext brings.
fn first_exchange(
    seed: u64,
    mut change: impl FnMut(&mut erasure::Chunk),
) -> Result<Secret<32>, SpqrError> {
    let (mut a, mut b) = pair();
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..200 {
        let (bytes, _) = a.send(&mut rng).unwrap();
        b.receive(&bytes).unwrap();
        let (bytes, _) = b.send(&mut rng).unwrap();
        let mut message = Message::from_bytes(&bytes).unwrap();
        if let message::Part::Ciphertext2(chunk) = &mut message.part {
            change(chunk);
        }
        a.receive(&message.to_bytes())?;
        if a.epoch() == 2 {
            let (bytes, key) = a.send(&mut rng)?;
            assert!(b.receive(&bytes)?.ct_eq(&key));
            return Ok(key);
        }
    }
    panic!("no second ciphertext came");
}

/// Both pairs begin with the same secret: who has stolen it does not know what comes after.
#[test]
fn an_exchange_heals() {
    let [one, other] = [5, 6].map(|seed| first_exchange(seed, |_| {}).unwrap());
    assert!(!one.ct_eq(&other));
}

/// Its first four chunks are the ciphertext, the fifth is the MAC over both.
#[test]
fn a_second_ciphertext_that_was_changed_is_refused() {
    for changed in 0..5 {
        let outcome = first_exchange(5, |chunk| {
            if chunk.x == changed {
                chunk.data[0] ^= 1;
            }
        });
        assert_eq!(outcome.unwrap_err(), SpqrError::Misbehaved, "chunk {changed}");
    }
}

#[test]
fn only_epoch_1_and_index_0_announce_that_there_is_no_key() {
    assert!(announces_no_key(&[1, 1, 0, 0]));
    for other in [&[1, 1, 1, 0][..], &[1, 2, 0, 0], &[2, 1, 0, 0], &[1, 0, 0, 0], &[]] {
        assert!(!announces_no_key(other), "{other:?}");
    }
}

#[test]
fn an_exchange_follows_by_one_epoch_and_only_when_it_can_have_ended() {
    let nothing = message::Part::None;
    let (mut a, mut b) = pair();
    let mut rng = StdRng::seed_from_u64(6);
    let early = b.braid.clone().receive(2, &nothing).map(drop);
    assert_eq!(early, Err(BraidError::EpochAhead), "the header has not even come");
    // Until the second ciphertext is on its way: from here on, a may be in epoch 2.
    let on_its_way = (0..200).any(|_| {
        let (bytes, _) = a.send(&mut rng).unwrap();
        b.receive(&bytes).unwrap();
        let (bytes, _) = b.send(&mut rng).unwrap();
        let sent = Message::from_bytes(&bytes).unwrap();
        let second = matches!(sent.part, message::Part::Ciphertext2(_));
        if !second {
            a.receive(&bytes).unwrap();
        }
        second
    });
    assert!(on_its_way, "the exchange does not go on");
    let far = b.braid.clone().receive(3, &nothing).map(drop);
    assert_eq!(far, Err(BraidError::EpochAhead));
    b.braid.receive(2, &nothing).unwrap();
    assert_eq!(b.epoch(), 2);
}

#[test]
fn a_key_that_is_complete_first_waits_for_the_acknowledgement() {
    let (mut a, mut b) = pair();
    let mut rng = StdRng::seed_from_u64(7);
    // The header, one chunk of the first ciphertext, and then the whole key.
    for n in 0..45 {
        let (bytes, _) = a.send(&mut rng).unwrap();
        b.receive(&bytes).unwrap();
        if n == 3 {
            let (bytes, _) = b.send(&mut rng).unwrap();
            a.receive(&bytes).unwrap();
        }
    }
    let sent = b.braid.send(&mut rng).unwrap().part;
    assert!(matches!(sent, message::Part::Ciphertext1(_)), "{sent:?}");
    b.braid.receive(1, &message::Part::Ack).unwrap();
    let sent = b.braid.send(&mut rng).unwrap().part;
    assert!(matches!(sent, message::Part::Ciphertext2(_)), "{sent:?}");
}

#[test]
fn epochs_follow_one_another_and_only_four_are_alive() {
    let (mut a, _) = pair();
    let secret = Secret::new([1; 32]);
    for wrong in [0, 2] {
        assert_eq!(a.chain.add_epoch(wrong, &secret), Err(ChainError::UnknownEpoch));
    }
    for epoch in 1..=3 {
        a.chain.add_epoch(epoch, &secret).unwrap();
    }
    assert_eq!(a.chain.add_epoch(4, &secret), Err(ChainError::UnknownEpoch), "a fifth");
    a.chain.send_key(3).unwrap();
    a.chain.add_epoch(4, &secret).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_message_that_arrives_soon_gives_the_senders_key(seed: u64, loss in 0_u32..60) {
        let (a, b) = pair();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut sides = [a, b];
        let mut in_flight: [Vec<(Vec<u8>, Secret<32>)>; 2] = [Vec::new(), Vec::new()];
        for _ in 0..400 {
            let side = rng.random_range(0..2_usize);
            if rng.random_bool(0.5) {
                let sent = sides[side].send(&mut rng).unwrap();
                if rng.random_range(0..100) >= loss {
                    in_flight[1 - side].push(sent);
                }
            } else if !in_flight[side].is_empty() {
                // Late by up to four messages.
                let at = rng.random_range(0..in_flight[side].len().min(4));
                let (bytes, key) = in_flight[side].remove(at);
                prop_assert!(sides[side].receive(&bytes).unwrap().ct_eq(&key));
            }
        }
        prop_assert!(sides[0].epoch().abs_diff(sides[1].epoch()) <= 1);
    }
}
