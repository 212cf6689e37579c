//! Sessions: what they hold, and what they have left behind.

use libcrux_ml_kem::mlkem768::incremental::{
    KeyPairCompressedBytes, encaps_state_len, encapsulate1,
};
use posthouse_crypto::e2ee::session::{MAX_ARCHIVED, Session};
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    derive::{NO_SALT, hkdf},
    party::Pair,
    search::{Marks, Recorder, check, counts},
    stored::{Item, exchange, secrets, states},
};

/// What an exchange adds to the chain is derived under this label.
const SECRET: &[u8] = b"Signal_PQCKA_V1_MLKEM768:SCKA Key";
/// A decapsulation key (FIPS 203 §7.1, k = 3) begins with the secret vector; the public key and
/// its hash follow, and the value for ciphertexts that are refused ends it.
const SECRET_HALF: usize = 1152;
const HIDDEN: usize = SECRET_HALF + 1184 + 32;
/// The state of an encapsulation begins with its random vector: 3 polynomials of 256 numbers.
const VECTOR: usize = 3 * 256 * 2;
/// Words of the two seeds that are looked for.
const SEEDS: usize = 6 + 2;

/// Remembers every secret of a session.
fn remember(marks: &mut Marks, session: &Session) {
    let stored = session.to_bytes();
    for state in states(&Item::read(&stored)) {
        secrets(state, |secret| marks.remember(secret));
    }
}

/// What the pair holds now is there, and gone after `end`, which goes on with it.
fn gone_after(
    seed: u64,
    make: impl FnOnce(&mut StdRng) -> Pair + Send,
    end: impl FnOnce(&mut Pair, &mut StdRng) + Send,
) {
    let mut count = 0;
    let known = &mut count;
    let make = move |rng: &mut Recorder| {
        let pair = make(&mut StdRng::seed_from_u64(seed));
        remember(&mut rng.marks, &pair.a.session);
        remember(&mut rng.marks, &pair.b.session);
        *known = rng.marks.len();
        pair
    };
    let (before, after) = counts(seed, make, |mut pair| {
        end(&mut pair, &mut StdRng::seed_from_u64(!seed));
        pair
    });
    assert!(
        before >= count && count > 0,
        "of {count} words {before} are found: the search is blind"
    );
    assert_eq!(after, 0, "words of secrets are left on the heap");
}

#[test]
fn sessions_and_their_stored_form() {
    check(21, |rng| {
        let mut pair = Pair::new(rng);
        pair.there(5, rng);
        pair.back(5, rng);
        pair.begin(rng);
        pair.there_and_back(20, rng);
        pair.there(5, rng);
        remember(&mut rng.marks, &pair.a.session);
        remember(&mut rng.marks, &pair.b.session);
        let stored = [&pair.a.session, &pair.b.session].map(Session::to_bytes);
        let read = stored.each_ref().map(|bytes| Session::from_bytes(bytes).unwrap());
        (pair, stored, read)
    });
}

/// Roots, ratchet keys and chain keys, the seeds of lost messages, both halves of the exchange.
#[test]
fn nothing_is_left_of_where_a_conversation_was() {
    let make = |rng: &mut StdRng| {
        let mut pair = Pair::new(rng);
        pair.there_and_back(4, rng);
        pair.there(5, rng);
        pair.back(5, rng);
        pair
    };
    gone_after(22, make, |pair, rng| {
        let until = pair.pq_epoch() + 3;
        while pair.pq_epoch() < until {
            pair.there_and_back(1, rng);
        }
    });
}

#[test]
fn nothing_is_left_of_a_session_that_the_archive_has_no_room_for() {
    gone_after(23, Pair::new, |pair, rng| {
        (0..=MAX_ARCHIVED).for_each(|_| pair.begin(rng));
    });
}

/// The seeds of the running exchange, and what the library makes of them: the decapsulation key,
/// the state of the encapsulation, the secret that it comes to, and what the epoch takes of it.
fn remember_exchange(marks: &mut Marks, session: &Session) {
    let stored = session.to_bytes();
    let item = Item::read(&stored);
    let (exchange, epoch, number) = exchange(states(&item).next().unwrap());
    match number {
        1..=4 => {
            let seed = exchange.at(1).bytes();
            let pair = KeyPairCompressedBytes::from_seed(seed.try_into().unwrap());
            let (secret_half, hidden) = (&pair.sk()[..SECRET_HALF], &pair.sk()[HIDDEN..]);
            for secret in [seed, secret_half, hidden] {
                marks.remember(secret);
            }
        }
        7..=9 => {
            let (header, seed) = (exchange.at(1).at(0).bytes(), exchange.at(1).at(1).bytes());
            let (mut state, mut secret) = ([0; encaps_state_len()], [0; 32]);
            let fixed = seed.try_into().unwrap();
            encapsulate1(header, fixed, &mut state, &mut secret).unwrap();
            let of_epoch: [u8; 32] = hkdf(&NO_SALT, &secret, &[SECRET, &epoch.to_be_bytes()]);
            // Between the two parts that are looked for are small numbers, as stand anywhere.
            let (vector, randomness) = (&state[..VECTOR], &state[state.len() - 32..]);
            for secret in [seed, vector, randomness, &secret, &of_epoch] {
                marks.remember(secret);
            }
        }
        _ => panic!("the exchange is in no state with a seed"),
    }
}

#[test]
fn nothing_is_left_of_the_keys_of_a_post_quantum_exchange() {
    let mut marked = [0; 2];
    let known = &mut marked;
    let make = |rng: &mut Recorder| {
        let mut pair = Pair::new(rng);
        rng.marks = Marks::default();
        // Until the first ciphertext is on its way.
        pair.there_and_back(6, rng);
        remember_exchange(&mut rng.marks, &pair.a.session);
        known[0] = rng.marks.len();
        remember_exchange(&mut rng.marks, &pair.b.session);
        known[1] = rng.marks.len();
        pair
    };
    let (before, after) = counts(24, make, |mut pair| {
        let rng = &mut StdRng::seed_from_u64(24);
        let until = pair.pq_epoch() + 2;
        while pair.pq_epoch() < until {
            pair.there_and_back(1, rng);
        }
        pair
    });
    assert!(before >= SEEDS, "the seeds are not found: the search is blind");
    assert!(marked[0] > 140 && marked[1] > marked[0] + 140, "{marked:?} words are looked for");
    assert_eq!(after, 0, "words of secrets are left on the heap");
}
