//! New message ids.

use posthouse_protocol::{id::MessageId, time::Timestamp};

/// A new message id: a UUID of version 7 (RFC 9562 §5.7), the time in front and 74 random bits
/// behind. Ids made later sort later, which keeps a device's own store in order.
pub fn message_id(now: Timestamp, rng: &mut impl rand::Rng) -> MessageId {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    MessageId(uuid::Builder::from_unix_timestamp_millis(now.0, &random).into_uuid())
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn ids_carry_their_time_and_differ() {
        let mut rng = StdRng::seed_from_u64(7);
        let now = Timestamp(1_705_234_567_890);
        let (one, other) = (message_id(now, &mut rng), message_id(now, &mut rng));
        assert_ne!(one, other);
        assert_eq!(one.0.get_version_num(), 7);
        assert!(message_id(now.plus_millis(1), &mut rng) > one.max(other));
    }
}
