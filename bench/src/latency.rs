//! Distributions of times.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Times from a microsecond to a minute, with three digits.
#[derive(Debug)]
pub(crate) struct Latency(Option<Histogram<u64>>);

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latency {
    /// No times yet.
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 60_000_000, 3).ok())
    }

    /// Notes a time; those outside of the bounds count as the nearest bound.
    pub(crate) fn note(&mut self, nanos: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record((nanos / 1_000).max(1));
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        if let Some(histogram) = &mut self.0 {
            histogram.reset();
        }
    }

    /// Adds what another one noted.
    pub(crate) fn add(&mut self, other: &Self) {
        if let (Some(own), Some(other)) = (&mut self.0, &other.0) {
            // Both have the same bounds, so there is nothing that does not fit.
            let _ = own.add(other);
        }
    }

    /// The percentiles; `None` if nothing was noted.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        #[expect(clippy::cast_precision_loss, reason = "a minute of microseconds fits")]
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Some(Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_times() {
        let (mut one, mut other) = (Latency::new(), Latency::new());
        assert!(one.percentiles().is_none());
        (1..=50).for_each(|ms| one.note(ms * 1_000_000));
        (51..=100).for_each(|ms| other.note(ms * 1_000_000));
        one.add(&other);
        let got = one.percentiles().unwrap();
        assert!((got.p50 - 50.0).abs() < 0.1 && (got.p99 - 99.0).abs() < 0.1, "{got:?}");
    }
}
