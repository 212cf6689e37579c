//! Secrets are compared in constant time, or not at all.
//!
//! What this shows: the types that hold secrets have no `==`, so none can be derived or written
//! unnoticed around them; the places that compare tags, MACs and keys as bytes do so with
//! `subtle`, and are listed here; and no line outside the tests compares exposed bytes otherwise.
//!
//! It does not show what the compiler makes of it. For that there is a measurement, which a busy
//! machine could disturb and which is therefore made by hand:
//!
//! ```text
//! cargo test --release -p posthouse-crypto --test constant_time -- --ignored --nocapture
//! ```
//! Measured on 2 cores (AMD EPYC, Linux 6.18, x86-64, Rust 1.95), load average 7, three runs, 1,024
//! bytes that differ in the first or in the last one, 200,000 samples of 16 comparisons: t of
//! `Secret::ct_eq` 0.9, -0.1 and 1.7; of `==` on the same bytes -3,858, -4,068 and -1,745. So the
//! measurement tells where bytes differ if a comparison stops there, and told nothing of `ct_eq`.
//! It says nothing of other processors and compilers, of smaller differences than these samples
//! resolve, or of anything but comparing: that key agreement, signatures and ciphers take the same
//! time for all secrets is left to the libraries that they come from.
#![cfg(test)]

use std::{collections::BTreeMap, fs, hint::black_box, path::Path, time::Instant};

use posthouse_crypto::{
    e2ee::{
        attachment::SealedAttachment,
        backup::BackupHead,
        device::LocalDevice,
        group::{receiving::ReceivedSenderKeys, sending::SendingGroup},
        prekey::store::PreKeys,
        primitives::{
            curve::{KeyPair, PrivateKey},
            kem::KemKeyPair,
        },
        secret::Secret,
        session::Session,
        wire::sender_key_message::SenderKeyDistribution,
    },
    seal::SealingKey,
    sign::SigningKey,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Compiles only for types without `PartialEq`: with it, two implementations fit.
macro_rules! not_comparable {
    ($($type:ty),* $(,)?) => {$(
        const _: fn() = || {
            trait Fits<Which> {
                fn fits() {}
            }
            impl<T: ?Sized> Fits<()> for T {}
            impl<T: ?Sized + PartialEq> Fits<u8> for T {}
            let _ = <$type as Fits<_>>::fits;
        };
    )*};
}

not_comparable!(
    Secret<32>,
    PrivateKey,
    KeyPair,
    KemKeyPair,
    SigningKey,
    SealingKey,
    Session,
    PreKeys,
    LocalDevice,
    SendingGroup,
    ReceivedSenderKeys,
    SenderKeyDistribution,
    SealedAttachment,
    BackupHead,
);

/// The lines of the sources that are no comments and no tests, with their files.
fn lines() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut lines) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !is_test(&path) {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                let text = fs::read_to_string(&path).unwrap();
                // Tests stand at the end of a file.
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
                lines.extend(code.map(|line| (name.clone(), line.to_owned())));
            }
        }
    }
    lines
}

fn is_test(path: &Path) -> bool {
    let tests = ["tests.rs", "testing.rs"];
    tests.iter().any(|name| path.ends_with(name))
        || path.components().any(|part| part.as_os_str() == "tests")
}

#[test]
fn tags_and_keys_are_compared_here() {
    let mut places = BTreeMap::<String, usize>::new();
    for (file, line) in lines() {
        let compares = line.matches(".ct_eq(").count();
        if compares > 0 {
            *places.entry(file).or_default() += compares;
        }
    }
    insta::assert_debug_snapshot!(places, @r#"
    {
        "e2ee/attachment/open.rs": 1,
        "e2ee/backup.rs": 1,
        "e2ee/content/parts.rs": 1,
        "e2ee/primitives/curve.rs": 1,
        "e2ee/primitives/xeddsa.rs": 1,
        "e2ee/safety_number.rs": 2,
        "e2ee/secret.rs": 1,
        "e2ee/spqr/authenticator.rs": 1,
        "e2ee/wire/message.rs": 1,
    }
    "#);
}

#[test]
fn exposed_bytes_and_macs_meet_no_operator() {
    let operators = [" == ", " != ", " < ", " > ", ".eq(", ".ne(", ".cmp("];
    let secrets = ["expose()", "mac", "seed", "private", "derived", "chain_key"];
    let all = lines();
    assert!(all.len() > 5_000, "{} lines: the search is blind", all.len());
    let found: Vec<_> = all
        .iter()
        .filter(|(_, line)| operators.iter().any(|operator| line.contains(operator)))
        .filter(|(_, line)| secrets.iter().any(|secret| line.contains(secret)))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// Welch's t of the times that comparing takes when the first byte differs and when the last
/// does, in the manner of dudect (Reparaz, Balasch, Verbauwhede 2017), without the slowest tenth:
/// there the machine did something else. What is compared is made beforehand.
fn welch<T>(make: impl Fn([u8; LEN]) -> T, compare: impl Fn(&T, &T) -> bool) -> f64 {
    let mut rng = StdRng::seed_from_u64(1);
    let mut others = [[7; LEN]; 2];
    others[0][0] ^= 1;
    others[1][LEN - 1] ^= 1;
    let (ours, others) = (make([7; LEN]), others.map(make));
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..SAMPLES {
        let class = usize::from(rng.random::<bool>());
        let start = Instant::now();
        for _ in 0..REPEATS {
            black_box(compare(black_box(&ours), black_box(&others[class])));
        }
        times[class].push(start.elapsed().as_secs_f64());
    }
    let moments = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times.truncate(times.len() * 9 / 10);
        let count = f64::from(u32::try_from(times.len()).unwrap());
        let mean = times.iter().sum::<f64>() / count;
        let square = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, square / count)
    });
    (moments[0].0 - moments[1].0) / (moments[0].1 + moments[1].1).sqrt()
}

const LEN: usize = 1024;
const SAMPLES: usize = 200_000;
/// Comparisons in one sample: one alone is shorter than the clock can tell.
const REPEATS: usize = 16;

/// |t| above 4.5 speaks for a difference that depends on the bytes.
#[test]
#[ignore = "a measurement: needs a quiet machine and an optimised build"]
fn the_time_of_comparing_secrets() {
    let constant = welch(Secret::<LEN>::new, Secret::ct_eq);
    let plain = welch(|bytes| bytes, |ours, theirs| ours[..] == theirs[..]);
    println!("t of ct_eq: {constant:.1}; of ==: {plain:.1}");
    assert!(plain.abs() > 4.5, "the measurement is blind");
    assert!(constant.abs() < 4.5, "the time depends on the bytes");
}
