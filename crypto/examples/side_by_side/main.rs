//! Measures session set-up, encryption and decryption of ours and of the official library, in one
//! run on one machine: `crypto/interop/run --bench`. Processor time of each process, so that the
//! machine may be busy; the two take turns, so that it is as busy for both.
//!
//! Each operation of ours is measured twice: with the session in memory, and with its state read
//! and written around every message, which is what the library's interface always does.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a program for developers")]

#[path = "../../tests/interop/oracle.rs"]
#[expect(dead_code, clippy::indexing_slicing, clippy::panic, reason = "shared with the tests")]
mod oracle;
mod ours;

use serde_json::{Value, json};

/// Session set-ups and exchanges in a run; five times as many of the rest.
const ROUNDS: usize = 200;
/// Best of so many runs: a busy machine only ever adds time.
const RUNS: usize = 7;

fn main() {
    let mut oracle = oracle::Oracle::start("0.103.0");
    let mut best: Vec<Row> = Vec::new();
    for _ in 0..RUNS {
        let theirs = oracle.call("benchmark", json!({ "rounds": ROUNDS }));
        for (at, row) in rows(&theirs).into_iter().enumerate() {
            match best.get_mut(at) {
                Some(had) => had.improve(&row),
                None => best.push(row),
            }
        }
    }
    println!("microseconds of processor time, 120 bytes of text, best of {RUNS} runs\n");
    println!("{:<34} {:>10} {:>12} {:>16}", "", "ours", "ours, stored", "libsignal 0.103.0");
    for row in best {
        let [memory, stored, theirs] = row.micros;
        println!("{:<34} {memory:>10.1} {stored:>12.1} {theirs:>16.1}", row.name);
    }
}

struct Row {
    name: &'static str,
    micros: [f64; 3],
}

impl Row {
    fn improve(&mut self, other: &Self) {
        for (had, new) in self.micros.iter_mut().zip(other.micros) {
            *had = had.min(new);
        }
    }
}

fn rows(theirs: &Value) -> Vec<Row> {
    let (memory, stored) = (ours::measure(ROUNDS, false), ours::measure(ROUNDS, true));
    let names = [
        ("session set-up, both sides", "setUp"),
        ("message there and back, each", "alternating"),
        ("encrypt", "encrypt"),
        ("decrypt", "decrypt"),
        ("group encrypt", "groupEncrypt"),
        ("group decrypt", "groupDecrypt"),
        ("X25519 agreement", "agree"),
        ("XEdDSA signature", "sign"),
        ("XEdDSA verification", "verify"),
    ];
    let figures = memory.into_iter().zip(stored);
    names
        .into_iter()
        .zip(figures)
        .map(|((name, field), (memory, stored))| {
            let theirs = theirs[field].as_f64().unwrap_or(f64::NAN);
            Row { name, micros: [memory, stored, theirs] }
        })
        .collect()
}
