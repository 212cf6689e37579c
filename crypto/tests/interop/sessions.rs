//! Sessions of every profile with the version that speaks it, in both roles.

use posthouse_crypto::e2ee::{profile::Profile, session::Session};
use rand::{RngExt, seq::SliceRandom};

use crate::party::Talk;

/// Which version speaks which profile, and with whom beginning.
const SPOKEN: [(&str, Profile, bool); 9] = [
    ("0.72.1", Profile::X3dh, true),
    ("0.72.1", Profile::X3dh, false),
    ("0.72.1", Profile::Pqxdh, true),
    ("0.72.1", Profile::Pqxdh, false),
    ("0.90.0", Profile::Pqxdh, true),
    ("0.90.0", Profile::Pqxdh, false),
    ("0.90.0", Profile::PqxdhSpqr, true),
    ("0.103.0", Profile::PqxdhSpqr, true),
    ("0.103.0", Profile::PqxdhSpqr, false),
];

#[test]
fn a_hundred_alternating_and_a_hundred_shuffled_each_way() {
    for (version, profile, we_begin) in SPOKEN {
        let mut talk = Talk::begin(version, profile, we_begin);
        for n in 0..100 {
            talk.pass(true, &format!("ours {n}"));
            talk.pass(false, &format!("theirs {n}"));
        }
        let mut crossing = Vec::new();
        for n in 0..100 {
            for by_us in [true, false] {
                let text = format!("crossing {n}");
                crossing.push((by_us, talk.send(by_us, &text), text));
            }
        }
        crossing.shuffle(&mut talk.rng);
        for (by_us, sent, text) in &crossing {
            assert_eq!(talk.deliver(*by_us, sent).as_ref(), Ok(text), "{version} {profile:?}");
        }
        let info = talk.session.info().unwrap();
        assert_eq!(info.profile, profile);
        let (by_us, again, _) = &crossing[0];
        talk.deliver(*by_us, again).expect_err("a message twice");
    }
}

#[test]
fn the_active_post_quantum_ratchet_goes_through_many_epochs_with_loss() {
    for we_begin in [true, false] {
        let mut talk = Talk::begin("0.103.0", Profile::PqxdhSpqr, we_begin);
        let (mut delivered, mut epochs) = (0, vec![1]);
        let mut on_the_way: [Vec<_>; 2] = [Vec::new(), Vec::new()];
        for n in 0..4_000 {
            let by_us = talk.rng.random_bool(0.5);
            let text = n.to_string();
            let sent = talk.send(by_us, &text);
            if talk.rng.random_bool(0.9) {
                on_the_way[usize::from(by_us)].push((sent, text));
            }
            // Late by up to three messages.
            let by_us = talk.rng.random_bool(0.5);
            let queue = &mut on_the_way[usize::from(by_us)];
            while queue.len() > 3 {
                let at = talk.rng.random_range(0..3);
                let (sent, text) = queue.remove(at);
                assert_eq!(talk.deliver(by_us, &sent), Ok(text));
                delivered += 1;
            }
            if n % 50 == 0 {
                talk.session = Session::from_bytes(&talk.session.to_bytes()).unwrap();
            }
            let epoch = talk.session.info().unwrap().pq_epoch.unwrap();
            if epochs.last() != Some(&epoch) {
                epochs.push(epoch);
            }
        }
        let last = epochs.last().copied().unwrap();
        assert!(delivered > 3_500, "{delivered}");
        assert!(last > 20, "{last} epochs");
        assert_eq!(epochs, (1..=last).collect::<Vec<_>>(), "one after the other");
        println!("we begin: {we_begin}; {delivered} delivered of 4000, {last} epochs");
    }
}

#[test]
fn two_who_begin_at_the_same_time_settle_on_one_session() {
    let mut talk = Talk::new(
        "0.103.0",
        [crate::party::OUR_NAME, crate::party::THEIR_NAME],
        posthouse_crypto::e2ee::profile::AcceptedProfiles::default(),
    );
    talk.we_begin(Profile::default());
    let bundle = talk.our_bundle(true);
    talk.they_process(&bundle).unwrap();
    let ours = talk.send(true, "ours");
    let theirs = talk.send(false, "theirs");
    assert_eq!((ours.kind(), theirs.kind()), (3, 3));
    assert_eq!(talk.deliver(true, &ours).as_deref(), Ok("ours"));
    assert_eq!(talk.deliver(false, &theirs).as_deref(), Ok("theirs"));
    for n in 0..20 {
        talk.pass(n % 2 == 0, &format!("ours {n}"));
        talk.pass(n % 3 == 0, &format!("theirs {n}"));
    }
}
