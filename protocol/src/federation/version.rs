//! Which version two servers speak (docs/spec/federation.md, "Versions").

/// The envelope version that this code writes; it reads the same.
pub const ENVELOPE: u8 = 1;
/// Envelope versions that this code speaks, rising.
pub const ENVELOPES: &[u8] = &[1];
/// The payload version of the events that this code writes. It is stored with a queued event, so
/// that a newer program still knows what an older one queued.
pub const PAYLOAD: u8 = 1;

/// The highest version that both sides speak; `None` if there is none, in which case nothing is
/// sent, nothing is lost, and the operator is told.
pub fn negotiate(ours: &[u8], theirs: &[u8]) -> Option<u8> {
    ours.iter().copied().filter(|version| theirs.contains(version)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_wins() {
        assert_eq!(negotiate(&[1, 2, 3], &[2, 3, 4]), Some(3));
        assert_eq!(negotiate(&[3, 1], &[1]), Some(1));
        assert_eq!(negotiate(&[2], &[1]), None);
        assert_eq!(negotiate(ENVELOPES, ENVELOPES), Some(ENVELOPE));
    }
}
