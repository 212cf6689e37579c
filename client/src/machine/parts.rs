//! Long messages to many devices. The homeserver takes so many bytes of ciphertexts in one message, and
//! asks for one for each device: so a part of the devices gets the content, and the others *nothing*.
//! Once that is taken they get the content in a further message, which names the first one.

use posthouse_crypto::e2ee::{
    content::{Body, Content, history::HistoryStep},
    time::UnixMillis,
};
use posthouse_protocol::limits::MAX_CIPHERTEXTS_TOTAL;
use zeroize::Zeroizing;

use super::{Step, resend::said_again};
use crate::{
    Message,
    message_id::message_id,
    records::{Queued, SentContent, message_key},
    store::{StoreError, Table},
};

/// What a ciphertext has more than its content, in bytes, at most: the first messages of a session
/// carry what the other side needs to begin it.
const OVERHEAD: usize = 4 * 1024;
/// The padded length of nothing, in bytes.
const NOTHING: usize = 159;

/// How many devices may get a content in one message.
pub(super) struct Room(usize);

impl Room {
    /// For a content of this padded length, in a message to so many devices.
    pub(super) fn new(padded: usize, devices: usize) -> Self {
        let (whole, nothing) = (taken(padded), taken(NOTHING));
        let left = MAX_CIPHERTEXTS_TOTAL.saturating_sub(nothing * devices);
        // Each part serves somebody.
        Self((left / whole.saturating_sub(nothing).max(1)).max(1))
    }

    /// Whether one more may.
    pub(super) fn take(&mut self) -> bool {
        let fits = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        fits
    }
}

/// The base64 of a ciphertext, in bytes.
fn taken(padded: usize) -> usize {
    (padded + OVERHEAD).div_ceil(3) * 4
}

impl Step<'_> {
    /// What a device gets that a message is not for, or not yet.
    pub(super) fn nothing(&self) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let body = Body::History(HistoryStep::Nothing);
        let content = Content::new(UnixMillis(self.now.0), None, body);
        content.to_padded_bytes().map_err(|_| StoreError::Corrupt(Table::Sent))
    }

    /// A message was taken that some devices lack: they get it next.
    pub(super) async fn send_rest(&mut self, taken: Queued) -> Result<(), StoreError> {
        let key = taken.id.0.as_bytes();
        let Some(sent) = self.tx.read::<SentContent>(Table::Sent, key).await? else {
            return Ok(());
        };
        let Some(padded) = said_again(&sent, *key) else { return Ok(()) };
        let id = message_id(self.now, self.rng);
        let rest = Queued { had: taken.has, ..Queued::new(id, taken.to, taken.class, self.now) };
        self.enqueue_content(&rest, padded);
        Ok(())
    }

    /// A message has nothing for this device: if the content follows, its place is this one's.
    pub(super) fn expect_rest(&mut self, message: &Message) {
        if let Some(place) = &message.place {
            let key = message_key(&message.from, message.id);
            self.tx.put(Table::Index, key, place.stamp.0.to_be_bytes().to_vec().into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_message_fits() {
        for devices in 1..=16 {
            for padded in [159, 5_119, 20_479, 40_959] {
                let mut room = Room::new(padded, devices);
                let served = (0..devices).filter(|_| room.take()).count();
                let all = served * taken(padded) + (devices - served) * taken(NOTHING);
                assert!(served > 0 && all <= MAX_CIPHERTEXTS_TOTAL, "{devices} {padded}: {all}");
            }
        }
        let mut room = Room::new(40_959, 16);
        assert_eq!((0..16).filter(|_| room.take()).count(), 3);
        let mut room = Room::new(10_239, 13);
        assert!((0..13).all(|_| room.take()), "what fits goes at once");
    }
}
