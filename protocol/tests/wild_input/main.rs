//! No input makes a decoder of this crate panic, and what is accepted is written again as it was:
//! random bytes, seeds, and seeds with bytes changed, cut out and doubled.
//!
//! The same entry points are fuzzed with coverage in `protocol/fuzz`.
#![cfg(test)]

mod wild;

use std::{
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;

/// Bytes for a target with their names: sound ones, `invalid-*`, and what its fuzzer has found since: `protocol/fuzz/seeds`.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target}");
    let named = |path: &PathBuf| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())
    };
    paths.iter().map(named).collect()
}

/// A change to bytes: at, how many to cut out, what to put there.
type Edit = (prop::sample::Index, usize, Vec<u8>);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let bytes = prop_oneof![
        4 => any::<u8>().prop_map(|byte| vec![byte]),
        1 => proptest::collection::vec(any::<u8>(), 0..9),
    ];
    let cut = prop_oneof![4 => Just(1_usize), 1 => 0..32_usize];
    proptest::collection::vec((any::<prop::sample::Index>(), cut, bytes), 1..4)
}

fn edited(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, cut, new) in edits {
        let at = at.index(bytes.len() + 1);
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, new.iter().copied());
    }
    bytes
}

#[test]
fn seeds_are_bearable_and_sound_ones_are_taken() {
    for (target, run) in wild::TARGETS {
        for (name, seed) in seeds(target) {
            let before = wild::taken_so_far();
            run(&seed);
            let found = name.starts_with("invalid-") || name.starts_with("found-");
            assert!(found || wild::taken_so_far() > before, "{target}/{name} is taken by nothing");
        }
    }
}

/// Each seed as it is, and with changes, to every target: what one reads may hurt another.
#[test]
fn changed_seeds_are_bearable() {
    let all = wild::TARGETS.iter().flat_map(|(target, _)| seeds(target));
    let all: Vec<_> = all.map(|(_, bytes)| bytes).collect();
    let config = ProptestConfig::with_cases(10_000);
    proptest!(config, |(which: prop::sample::Index, edits in edits())| {
        let bytes = edited(which.get::<Vec<u8>>(&all), &edits);
        for (_, target) in wild::TARGETS {
            target(&bytes);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_bytes_are_bearable(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        for (_, target) in wild::TARGETS {
            target(&bytes);
        }
    }
}
