//! In which order SRV targets are tried (RFC 2782): by priority, and within one at random, in
//! proportion to the weights.

use rand_core::Rng;

/// A target of an SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Lower ones are tried first.
    pub priority: u16,
    /// The share within the priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host, lowercase, without the final dot.
    pub host: String,
}

/// Puts services in the order in which they are to be tried.
pub fn order(mut services: Vec<Service>, rng: &mut impl Rng) -> Vec<Service> {
    // RFC 2782: those with weight 0 come first in the list that is drawn from, which leaves them a
    // small chance.
    services.sort_by_key(|service| (service.priority, service.weight > 0));
    let mut ordered = Vec::with_capacity(services.len());
    while let Some(priority) = services.first().map(|first| first.priority) {
        let end = services.partition_point(|service| service.priority == priority);
        let total: u64 = services.iter().take(end).map(|service| u64::from(service.weight)).sum();
        let drawn = rng.next_u64() % (total + 1);
        let mut sum = 0;
        let at = services.iter().take(end).position(|service| {
            sum += u64::from(service.weight);
            sum >= drawn
        });
        ordered.push(services.remove(at.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn service(priority: u16, weight: u16, port: u16) -> Service {
        Service { priority, weight, port, host: "h.test".to_owned() }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_priorities_rise(
            list in prop::collection::vec((0_u16..4, 0_u16..5), 0..16),
            seed: u64,
        ) {
            let services: Vec<Service> =
                (0_u16..).zip(list).map(|(port, (p, w))| service(p, w, port)).collect();
            let ordered = order(services.clone(), &mut StdRng::seed_from_u64(seed));
            prop_assert!(ordered.windows(2).all(|pair| pair[0].priority <= pair[1].priority));
            let mut sorted = ordered;
            sorted.sort_by_key(|service| service.port);
            prop_assert_eq!(sorted, services);
        }
    }

    #[test]
    fn weights_are_shares() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut first = BTreeMap::new();
        for _ in 0..10_000 {
            let list = vec![service(1, 75, 1), service(1, 25, 2), service(1, 0, 3)];
            *first.entry(order(list, &mut rng)[0].port).or_insert(0) += 1;
        }
        assert!((7_200..7_700).contains(&first[&1]), "{first:?}");
        assert!((2_200..2_700).contains(&first[&2]), "{first:?}");
        assert!((20..300).contains(&first[&3]), "a small chance: {first:?}");
    }
}
