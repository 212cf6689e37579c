//! What happens in a run, drawn from its seed.

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// A thing that the world does at a time of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The process of a region dies and comes back after a while.
    Crash { region: usize, down_ms: u64 },
    /// A copy of the region's database is put aside.
    Backup { region: usize },
    /// The process dies and comes back with the copy.
    Restore { region: usize, down_ms: u64 },
    /// A second process with the region's name, and with a copy of its database, starts.
    Clone { region: usize },
    /// The region's clock jumps to this offset, in milliseconds.
    Clock { region: usize, offset_ms: i64 },
    /// Two regions cannot reach each other for a while.
    Partition { one: usize, other: usize, for_ms: u64 },
    /// Old receipted entries are forgotten.
    Forget { region: usize },
}

/// A run.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    pub(super) regions: usize,
    /// Chances in a thousand that a transmission is lost, or doubled.
    pub(super) loss: u32,
    pub(super) doubled: u32,
    /// Longest delay of a transmission.
    pub(super) max_delay_ms: u64,
    /// Longest time that the store takes.
    pub(super) max_store_ms: u64,
    /// How long receipted entries are kept at least.
    pub(super) grace_ms: u64,
    /// When which user writes: time and region.
    pub(super) messages: Vec<(u64, usize)>,
    pub(super) faults: Vec<(u64, Fault)>,
    /// When faults end and healing starts.
    pub(super) heal_at: u64,
    /// Whether some envelopes are refused for an event in them, and some events rejected.
    pub(super) poison: bool,
}

impl Schedule {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let regions = if rng.random_ratio(1, 4) { 3 } else { 2 };
        let heal_at = rng.random_range(60_000..3_600_000);
        let calm = rng.random_ratio(1, 10);
        let pick = |rng: &mut Xoshiro256PlusPlus, values: &[u32]| {
            values[rng.random_range(0..values.len())]
        };
        let loss = if calm { 0 } else { pick(&mut rng, &[0, 10, 100, 300]) };
        let doubled = if calm { 0 } else { pick(&mut rng, &[0, 10, 100, 300]) };
        let max_delay_ms = pick(&mut rng, &[5, 100, 3_000, 12_000]).into();
        let max_store_ms = pick(&mut rng, &[1, 20, 500]).into();
        let grace_ms = if rng.random_ratio(1, 2) { 7 * 24 * 3_600_000 } else { 300_000 };
        let count = rng.random_range(4..60);
        let mut messages: Vec<(u64, usize)> = (0..count)
            .map(|_| (rng.random_range(0..heal_at), rng.random_range(0..regions)))
            .collect();
        messages.sort_unstable();
        let mut faults = Vec::new();
        if !calm {
            for _ in 0..rng.random_range(0..8) {
                let at = rng.random_range(0..heal_at);
                faults.push((at, Self::fault(&mut rng, regions)));
            }
        }
        faults.sort_by_key(|(at, _)| *at);
        let poison = rng.random_ratio(1, 3);
        Self {
            seed,
            regions,
            loss,
            doubled,
            max_delay_ms,
            max_store_ms,
            grace_ms,
            messages,
            faults,
            heal_at,
            poison,
        }
    }

    fn fault(rng: &mut Xoshiro256PlusPlus, regions: usize) -> Fault {
        let region = rng.random_range(0..regions);
        let down_ms = rng.random_range(10..120_000);
        match rng.random_range(0..18) {
            0..=3 => Fault::Crash { region, down_ms },
            4..=6 => Fault::Backup { region },
            7..=8 => Fault::Restore { region, down_ms },
            9 => Fault::Clone { region },
            10..=11 => Fault::Clock { region, offset_ms: rng.random_range(-3_600_000..=3_600_000) },
            12..=14 => {
                let other = (region + rng.random_range(1..regions)) % regions;
                Fault::Partition { one: region, other, for_ms: rng.random_range(1_000..1_200_000) }
            }
            _ => Fault::Forget { region },
        }
    }
}
