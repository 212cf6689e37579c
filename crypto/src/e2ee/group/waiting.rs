//! Group messages that came before the key of their sender, within bounds.

use std::collections::VecDeque;

use crate::e2ee::{
    address::Address,
    time::{DAY, UnixMillis},
    wire::sender_key_message::{DistributionId, SenderKeyMessage},
};

/// How many messages wait at most, of all senders.
pub const MAX_WAITING: usize = 1_000;
/// How many messages of one device wait at most: nobody can push out what others sent.
pub const MAX_PER_SENDER: usize = 100;
/// How many bytes wait at most.
pub const MAX_WAITING_BYTES: usize = 8 * 1024 * 1024;
/// How long a message waits, in milliseconds.
pub const MAX_WAIT: u64 = 7 * DAY;

/// Messages that wait for their key, oldest first.
#[derive(Clone, Debug, Default)]
pub struct WaitingMessages {
    messages: VecDeque<Waiting>,
    bytes: usize,
}

/// A message that waits or has waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Whose it is.
    pub sender: Address,
    /// When it came.
    pub arrived: UnixMillis,
    /// The message.
    pub message: SenderKeyMessage,
}

impl WaitingMessages {
    /// Nothing waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps a message.
    ///
    /// # Errors
    /// [`WaitingFull`] if its sender's messages or all of them are at their bound; the caller
    /// then asks for a resend once the key is there.
    pub fn keep(&mut self, waiting: Waiting) -> Result<(), WaitingFull> {
        let size = waiting.message.ciphertext().len();
        let of_sender = self.messages.iter().filter(|had| had.sender == waiting.sender).count();
        if of_sender >= MAX_PER_SENDER
            || self.messages.len() >= MAX_WAITING
            || self.bytes + size > MAX_WAITING_BYTES
        {
            return Err(WaitingFull);
        }
        self.bytes += size;
        self.messages.push_back(waiting);
        Ok(())
    }

    /// Takes out, in the order they came, what waited for this key of this sender.
    pub fn release(
        &mut self,
        sender: &Address,
        distribution_id: &DistributionId,
        chain_id: u32,
    ) -> Vec<Waiting> {
        self.take_if(|waiting| {
            waiting.sender == *sender
                && waiting.message.distribution_id() == distribution_id
                && waiting.message.chain_id() == chain_id
        })
    }

    /// Takes out what has waited for 7 days, so that its senders can be asked.
    pub fn expire(&mut self, now: UnixMillis) -> Vec<Waiting> {
        self.take_if(|waiting| now.since(waiting.arrived) >= MAX_WAIT)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn take_if(&mut self, taken: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let (out, kept): (VecDeque<_>, VecDeque<_>) =
            core::mem::take(&mut self.messages).into_iter().partition(taken);
        self.messages = kept;
        let out = Vec::from(out);
        self.bytes -= out.iter().map(|waiting| waiting.message.ciphertext().len()).sum::<usize>();
        out
    }
}

/// No room to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many messages wait for keys")]
pub struct WaitingFull;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::address::DeviceId;

    fn waiting(name: &str, chain_id: u32, arrived: u64) -> Waiting {
        let mut bytes = SenderKeyMessage::unsigned(&[1; 16], chain_id, 0, &[0; 16]);
        bytes.extend_from_slice(&[0; 64]);
        Waiting {
            sender: Address::new(name, DeviceId::new(1).unwrap()).unwrap(),
            arrived: UnixMillis(arrived),
            message: SenderKeyMessage::from_bytes(&bytes).unwrap(),
        }
    }

    #[test]
    fn releases_what_waited_for_a_key_in_order() {
        let mut all = WaitingMessages::new();
        for (name, chain, at) in [("a", 1, 1), ("b", 1, 2), ("a", 2, 3), ("a", 1, 4)] {
            all.keep(waiting(name, chain, at)).unwrap();
        }
        let sender = waiting("a", 1, 0).sender;
        let released = all.release(&sender, &[1; 16], 1);
        assert_eq!(released.iter().map(|one| one.arrived.0).collect::<Vec<_>>(), [1, 4]);
        assert_eq!((all.len(), all.bytes), (2, 32));
        assert!(all.expire(UnixMillis(MAX_WAIT + 1)).is_empty());
        assert_eq!(all.expire(UnixMillis(MAX_WAIT + 2))[0].arrived, UnixMillis(2));
        assert!(!all.is_empty());
        assert_eq!(all.expire(UnixMillis(MAX_WAIT + 3)).len(), 1);
        assert!(all.is_empty());
    }

    #[test]
    fn bytes_are_bounded_exactly() {
        let sized = |name: &str, len: usize| {
            let mut bytes = SenderKeyMessage::unsigned(&[1; 16], 1, 0, &vec![0; len]);
            bytes.extend_from_slice(&[0; 64]);
            let message = SenderKeyMessage::from_bytes(&bytes).unwrap();
            Waiting { message, ..waiting(name, 1, 0) }
        };
        let mut all = WaitingMessages::new();
        for n in 0..64 {
            all.keep(sized(&n.to_string(), 128 * 1024)).unwrap();
        }
        assert_eq!(all.bytes, MAX_WAITING_BYTES);
        assert!(!all.is_empty());
        assert_eq!(all.keep(sized("x", 1)), Err(WaitingFull));
    }

    #[test]
    fn one_sender_cannot_fill_it() {
        let mut all = WaitingMessages::new();
        for _ in 0..MAX_PER_SENDER {
            all.keep(waiting("a", 1, 0)).unwrap();
        }
        assert_eq!(all.keep(waiting("a", 1, 0)), Err(WaitingFull));
        all.keep(waiting("b", 1, 0)).unwrap();
        for n in 0..2 * MAX_WAITING {
            let _ = all.keep(waiting(&n.to_string(), 1, 0));
        }
        assert_eq!(all.len(), MAX_WAITING);
        assert_eq!((MAX_WAITING_BYTES, MAX_WAIT), (8_388_608, 604_800_000));
    }
}
