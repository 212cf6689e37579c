//! How long somebody who guessed wrong waits before the next try.

/// Some tries are free; after that each costs a wait that doubles, up to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Failures in a row that cost nothing.
    pub free: u32,
    /// The wait after the first one that does, in milliseconds.
    pub first_ms: u64,
    /// The longest wait, in milliseconds.
    pub most_ms: u64,
}

impl Backoff {
    /// The wait after so many failures in a row, in milliseconds.
    pub fn delay_ms(&self, failures: u32) -> u64 {
        let Some(doublings) = failures.checked_sub(self.free.saturating_add(1)) else { return 0 };
        let factor = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
        self.first_ms.saturating_mul(factor).min(self.most_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound() {
        let backoff = Backoff { free: 3, first_ms: 1_000, most_ms: 60_000 };
        let delays: Vec<u64> = (0..12).map(|failures| backoff.delay_ms(failures)).collect();
        let want = [0, 0, 0, 0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000];
        assert_eq!(delays, want);
        for failures in [67, 68, 69, 1_000, u32::MAX] {
            assert_eq!(backoff.delay_ms(failures), 60_000);
        }
    }
}
