//! The engine under a virtual clock and network, with everything that can go wrong
//! (docs/spec/federation-invariants.md).
//!
//! A *schedule* is made from one seed: regions, users, messages and faults. The same seed gives the
//! same schedule and the same run. After the faults everything is healed, the world runs on until
//! the queues must be empty, and the invariants are checked by name. The process under test is the
//! engine itself and the reference of the ports; only the network, the clock, the crash and the
//! operator are simulated.

mod invariants;
mod network;
mod node;
mod schedule;
mod tally;
mod world;

use self::{schedule::Schedule, tally::Tally, world::World};

/// Runs one seed; gives the name of the broken invariant and what broke it.
fn run(seed: u64) -> Result<Tally, String> {
    let schedule = Schedule::new(seed);
    let mut world = World::new(&schedule);
    world.run(&schedule);
    let broken = invariants::check(&world);
    if broken.is_empty() { Ok(world.tally) } else { Err(broken.join("\n")) }
}

/// Runs many seeds from `first`, prints the totals, and panics with the first failing seed.
fn run_many(first: u64, count: u64) {
    let mut total = Tally::default();
    for seed in first..first + count {
        match run(seed) {
            Ok(tally) => total.add(&tally),
            Err(broken) => panic!(
                "seed {seed} breaks:\n{broken}\nreplay it with\n  \
                 POSTHOUSE_SEED={seed} cargo test -p posthouse-federation one_schedule"
            ),
        }
    }
    println!("{count} schedules from seed {first}: {total:?}");
    total.assert_every_fault_occurred(count);
}

#[test]
fn schedules_keep_the_invariants() {
    run_many(0, 2_000);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "which seed to replay is the tester's choice")]
fn one_schedule() {
    let seed = std::env::var("POSTHOUSE_SEED").map_or(0, |text| text.parse().expect("a number"));
    let schedule = Schedule::new(seed);
    println!("{schedule:#?}");
    let mut world = World::new(&schedule);
    world.trace = true;
    world.run(&schedule);
    let broken = invariants::check(&world);
    assert!(broken.is_empty(), "seed {seed} breaks:\n{}", broken.join("\n"));
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 77, 1_234] {
        let trace = |seed| {
            let schedule = Schedule::new(seed);
            let mut world = World::new(&schedule);
            world.run(&schedule);
            (world.steps, format!("{:?}", world.tally), world.fingerprint())
        };
        assert_eq!(trace(seed), trace(seed));
    }
}

#[cfg(feature = "long-tests")]
mod long {
    //! The long run, on all cores: `cargo test --release -p posthouse-federation --features
    //! long-tests hundred_thousand`.

    #[test]
    fn hundred_thousand_schedules_keep_the_invariants() {
        let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let each = 100_000_u64.div_ceil(threads);
        std::thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || super::run_many(1_000_000 + thread * each, each));
            }
        });
    }
}
