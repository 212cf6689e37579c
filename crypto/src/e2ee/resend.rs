//! What we sent lately, to answer those who could not decrypt it, within bounds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use zeroize::Zeroizing;

use super::{
    address::Address,
    content::MessageId,
    time::{DAY, UnixMillis},
};

/// How many messages are remembered.
pub const MAX_REMEMBERED: usize = 1_000;
/// How many bytes of content are remembered.
pub const MAX_REMEMBERED_BYTES: usize = 4 * 1024 * 1024;
/// How long a message is remembered, in milliseconds.
pub const MAX_AGE: u64 = DAY;
/// How often a message is sent again to one device.
pub const MAX_ANSWERS: u8 = 3;

/// Contents sent lately, oldest first.
#[derive(Clone, Debug, Default)]
pub struct RecentlySent {
    sent: VecDeque<Sent>,
    bytes: usize,
}

#[derive(Clone)]
struct Sent {
    id: MessageId,
    at: UnixMillis,
    /// The accounts it was meant for.
    accounts: BTreeSet<String>,
    content: Zeroizing<Vec<u8>>,
    answers: BTreeMap<Address, u8>,
}

impl core::fmt::Debug for Sent {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sent").field("id", &self.id).field("at", &self.at).finish_non_exhaustive()
    }
}

impl RecentlySent {
    /// Nothing was sent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers the padded content of a message and for which accounts it was.
    pub fn remember(
        &mut self,
        id: MessageId,
        at: UnixMillis,
        accounts: BTreeSet<String>,
        content: Zeroizing<Vec<u8>>,
    ) {
        self.bytes += content.len();
        self.sent.push_back(Sent { id, at, accounts, content, answers: BTreeMap::new() });
        self.forget(|sent, bytes, count| {
            count > MAX_REMEMBERED || bytes > MAX_REMEMBERED_BYTES || at.since(sent.at) > MAX_AGE
        });
    }

    /// The content to send again to `device`, which asked for it in a message of its own. It is
    /// given to recipients of the first time only, and three times at most.
    ///
    /// # Errors
    /// [`ResendRefused`]; the answer to all of them is silence.
    pub fn answer(
        &mut self,
        id: &MessageId,
        device: &Address,
        now: UnixMillis,
    ) -> Result<&[u8], ResendRefused> {
        self.forget(|sent, _, _| now.since(sent.at) > MAX_AGE);
        let sent = self.sent.iter_mut().find(|sent| sent.id == *id);
        let sent = sent.ok_or(ResendRefused::Unknown)?;
        if !sent.accounts.contains(device.name()) {
            return Err(ResendRefused::NotARecipient);
        }
        let answers = sent.answers.entry(device.clone()).or_insert(0);
        if *answers >= MAX_ANSWERS {
            return Err(ResendRefused::TooOften);
        }
        *answers += 1;
        Ok(&sent.content)
    }

    fn forget(&mut self, due: impl Fn(&Sent, usize, usize) -> bool) {
        while self.sent.front().is_some_and(|oldest| due(oldest, self.bytes, self.sent.len())) {
            let gone = self.sent.pop_front();
            self.bytes -= gone.map_or(0, |gone| gone.content.len());
        }
    }
}

/// Why a message is not sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResendRefused {
    /// The message was never meant for who asks.
    #[error("the message was not meant for this account")]
    NotARecipient,
    /// It was sent again three times already.
    #[error("the message was sent again too often")]
    TooOften,
    /// Not remembered, or no longer.
    #[error("the message is not remembered")]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::address::DeviceId;

    fn device(name: &str, number: u64) -> Address {
        Address::new(name, DeviceId::new(number).unwrap()).unwrap()
    }

    fn remember(recent: &mut RecentlySent, id: u8, at: u64, len: usize) {
        let accounts = BTreeSet::from(["b".to_owned()]);
        recent.remember([id; 16], UnixMillis(at), accounts, Zeroizing::new(vec![id; len]));
    }

    #[test]
    fn answers_recipients_three_times_a_device() {
        let mut recent = RecentlySent::new();
        remember(&mut recent, 1, 0, 8);
        for number in [1, 2] {
            for _ in 0..MAX_ANSWERS {
                let answer = recent.answer(&[1; 16], &device("b", number), UnixMillis(1));
                assert_eq!(answer, Ok([1; 8].as_slice()));
            }
            let answer = recent.answer(&[1; 16], &device("b", number), UnixMillis(1));
            assert_eq!(answer, Err(ResendRefused::TooOften));
        }
        let other = recent.answer(&[1; 16], &device("c", 1), UnixMillis(1));
        assert_eq!(other, Err(ResendRefused::NotARecipient));
        let last = recent.answer(&[1; 16], &device("b", 3), UnixMillis(MAX_AGE));
        assert_eq!(last, Ok([1; 8].as_slice()), "a day old");
        let late = recent.answer(&[1; 16], &device("b", 3), UnixMillis(MAX_AGE + 1));
        assert_eq!(late, Err(ResendRefused::Unknown));
    }

    #[test]
    fn is_bounded_in_number_and_bytes() {
        let mut recent = RecentlySent::new();
        for _ in 0..MAX_REMEMBERED + 5 {
            remember(&mut recent, 1, 0, 1);
        }
        assert_eq!((recent.sent.len(), recent.bytes), (MAX_REMEMBERED, MAX_REMEMBERED));
        remember(&mut recent, 2, 0, MAX_REMEMBERED_BYTES);
        assert_eq!(recent.sent.len(), 1);
        assert_eq!(MAX_REMEMBERED_BYTES, 4_194_304);
        let shown = format!("{recent:?}");
        assert!(shown.contains("Sent { id: [2, 2,") && !shown.contains("content"), "{shown}");
    }

    #[test]
    fn is_bounded_in_time() {
        let mut recent = RecentlySent::new();
        remember(&mut recent, 1, 0, 1);
        remember(&mut recent, 2, MAX_AGE, 1);
        assert_eq!(recent.sent.len(), 2, "a day old is not too old");
        remember(&mut recent, 3, MAX_AGE + 1, 1);
        assert_eq!(recent.sent.len(), 2);
    }
}
