//! What the two ends of a message derive on the way: of it, nothing outlives the message.

use aes::Aes256;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use posthouse_crypto::e2ee::{
    prekey::bundle::PreKeyBundle,
    primitives::curve::KeyPair,
    session::{Ciphertext, Session},
    wire::message::SignalMessage,
};
use rand_core::TryRng;
use zeroize::Zeroizing;

use crate::{
    derive::{NO_SALT, hkdf, hmac},
    party::{Pair, Party},
    search::{Marks, Recorder, check},
    stored::{Item, states},
};

const TEXT_LEN: usize = 240;

/// The keys of the next message that is sent: seed, post-quantum key, and what both give.
fn next_keys(marks: &mut Marks, session: &Session) -> [u8; 80] {
    let stored = session.to_bytes();
    let item = Item::read(&stored);
    let ratchet = states(&item).next().unwrap().at(0);
    let seed = hmac(ratchet.at(5).at(0).bytes(), 1);
    let sending = ratchet.at(8).at(1).at(2).at(0).at(1);
    let index = u32::try_from(sending.at(1).number() + 1).unwrap().to_be_bytes();
    let label = b"Signal PQ Ratchet V1 Chain Next";
    let step: [u8; 64] = hkdf(&NO_SALT, sending.at(0).bytes(), &[&index, label]);
    let keys: [u8; 80] = hkdf(step.last_chunk().unwrap(), &seed, &[b"WhisperMessageKeys"]);
    // The first half of the step is the chain's next key, which stays.
    for secret in [&seed[..], &step[32..], &keys] {
        marks.remember(secret);
    }
    keys
}

#[test]
fn keys_and_words_of_a_message() {
    check(31, |rng| {
        let mut pair = Pair::new(rng);
        rng.marks = Marks::default();
        let mut text = Zeroizing::new(vec![0; TEXT_LEN]);
        rng.try_fill_bytes(&mut text).unwrap();
        let keys = next_keys(&mut rng.marks, &pair.a.session);
        let sent = pair.a.encrypt(&pair.b.local.address, &text, rng);
        assert_eq!(opened(&keys, &sent)[..TEXT_LEN], text[..], "other keys than the message's");
        // Refused at the end of it, when all of its keys were derived.
        let mut changed = sent.as_bytes().to_vec();
        *changed.last_mut().unwrap() ^= 1;
        let changed = Ciphertext::Message(changed);
        pair.b.decrypt(&pair.a.local.address, &changed, rng).unwrap_err();
        let read = pair.b.decrypt(&pair.a.local.address, &sent, rng).unwrap();
        assert!(read == text);
        (pair, text, read)
    });
}

/// The text of a message, on the stack.
fn opened(keys: &[u8; 80], sent: &Ciphertext) -> [u8; TEXT_LEN + 16] {
    let message = SignalMessage::from_bytes(sent.as_bytes()).unwrap();
    let mut text: [u8; TEXT_LEN + 16] = message.ciphertext().try_into().unwrap();
    let (key, iv) = (keys.first_chunk::<32>().unwrap(), keys.last_chunk::<16>().unwrap());
    let cipher = cbc::Decryptor::<Aes256>::new(key.into(), iv.into());
    let len = cipher.decrypt_padded::<Pkcs7>(&mut text).unwrap().len();
    assert_eq!(len, TEXT_LEN);
    text
}

/// Draws what [`Session::initiate`] will draw, and derives what it and its peer derive.
fn beginning(marks: &mut Marks, mut rng: Recorder, a: &Party, bundle: &PreKeyBundle) -> [u8; 96] {
    let base = KeyPair::generate(&mut rng);
    KeyPair::generate(&mut rng);
    let (_, kem) = bundle.kem.as_ref().unwrap().key.encapsulate(&mut rng);
    let signed = &bundle.signed.key;
    let one_time = &bundle.one_time.as_ref().unwrap().key;
    let agreed = [
        a.local.identity.private.agree(signed),
        base.private.agree(&bundle.identity),
        base.private.agree(signed),
        base.private.agree(one_time),
        Ok(kem),
    ];
    let mut input = [0xff; 6 * 32];
    for (place, agreed) in input.as_chunks_mut::<32>().0[1..].iter_mut().zip(agreed) {
        *place = *agreed.unwrap().expose();
        marks.remember(place);
    }
    let label = b"WhisperText_X25519_SHA-256_CRYSTALS-KYBER-1024";
    let keys: [u8; 96] = hkdf(&NO_SALT, &input, &[label]);
    keys.as_chunks::<32>().0.iter().for_each(|key| marks.remember(key));
    keys
}

#[test]
fn secrets_that_a_session_begins_with() {
    check(32, |rng| {
        let (mut a, mut b) = (Party::new("a@north.test", rng), Party::new("b@south.test", rng));
        let bundle = b.bundle(rng);
        let fork = Recorder { state: rng.state, marks: Marks::default() };
        let keys = beginning(&mut rng.marks, fork, &a, bundle.as_bundle());
        a.initiate(&b.local.address, &bundle, rng);
        let stored = a.session.to_bytes();
        let item = Item::read(&stored);
        let chain = states(&item).next().unwrap().at(0).at(7).at(0).at(1).at(0).bytes();
        assert_eq!(chain, &keys[32..64], "other secrets than the session's");
        let first = a.encrypt(&b.local.address, b"x", rng);
        b.decrypt(&a.local.address, &first, rng).unwrap();
        (a, b)
    });
}
