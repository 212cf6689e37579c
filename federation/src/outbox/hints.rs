//! What a worker is told from outside: something may wait, the peer is alive, an ephemeral. Telling
//! costs little and never waits, and however much is told takes no more room.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use posthouse_protocol::{federation::stream::Lane, time::Timestamp};
use tokio::sync::Notify;

use crate::engine::{
    ephemeral::{Ephemeral, EphemeralOutbox, Room},
    sender::Input,
};

/// The bit of a sign of life, above those of the lanes' numbers.
const SIGN_OF_LIFE: u8 = 1;
/// The bit of an ephemeral.
const EPHEMERAL: u8 = 1 << 7;

/// Hints for one worker.
#[derive(Debug, Default)]
pub struct Hints {
    bits: AtomicU8,
    told: Notify,
    /// The worker has nothing to do, or waits for a peer that does not answer.
    resting: AtomicBool,
    ephemerals: Mutex<EphemeralOutbox>,
}

/// What was told since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told(u8);

impl Hints {
    /// Something may wait in a lane.
    pub fn wake(&self, lane: Lane) {
        self.tell(1 << lane.number());
    }

    /// Something may wait in any lane.
    pub fn wake_all(&self) {
        self.tell(Lane::ALL.iter().fold(0, |bits, lane| bits | 1 << lane.number()));
    }

    /// The peer made authenticated contact, has a new address, or the operator says so.
    pub fn sign_of_life(&self) {
        self.tell(SIGN_OF_LIFE);
    }

    /// Something to be sent at once or never; `false` if it was dropped because too many wait.
    pub fn push(&self, ephemeral: Ephemeral, now: Timestamp) -> bool {
        let pushed = self.outbox().push(ephemeral, now);
        self.tell(EPHEMERAL);
        pushed
    }

    /// Waits until something was told, and takes it. Safe to cancel.
    pub async fn next(&self) -> Told {
        loop {
            let told = self.told.notified();
            let bits = self.bits.swap(0, Ordering::AcqRel);
            if bits != 0 {
                return Told(bits);
            }
            told.await;
        }
    }

    /// Whether something may wait of which nobody has taken note.
    pub fn is_pending(&self) -> bool {
        self.bits.load(Ordering::Acquire) & !(SIGN_OF_LIFE | EPHEMERAL) != 0
    }

    pub(super) fn set_resting(&self, resting: bool) {
        self.resting.store(resting, Ordering::Relaxed);
    }

    pub(super) fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Relaxed)
    }

    pub(super) fn take_ephemerals(
        &self,
        reachable: bool,
        room: Room,
        now: Timestamp,
    ) -> Vec<Ephemeral> {
        self.outbox().take(reachable, room, now)
    }

    pub(super) fn ephemerals_done(&self) {
        self.outbox().done();
    }

    fn outbox(&self) -> std::sync::MutexGuard<'_, EphemeralOutbox> {
        // Each change is whole or has not begun.
        self.ephemerals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, bits: u8) {
        self.bits.fetch_or(bits, Ordering::AcqRel);
        self.told.notify_one();
    }
}

impl Told {
    /// The machine's inputs; signs of life first, since they end a wait.
    pub fn inputs(self) -> Vec<Input> {
        let life = (self.0 & SIGN_OF_LIFE != 0).then_some(Input::SignOfLife);
        let lanes = Lane::ALL.into_iter().filter(|lane| self.0 & (1 << lane.number()) != 0);
        life.into_iter().chain(lanes.map(Input::Wake)).collect()
    }

    /// Whether an ephemeral came.
    pub fn has_ephemeral(self) -> bool {
        self.0 & EPHEMERAL != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hints_are_kept_once_until_they_are_taken() {
        let hints = Hints::default();
        for _ in 0..100 {
            hints.wake(Lane::Messages);
        }
        hints.sign_of_life();
        assert!(hints.is_pending());
        let told = hints.next().await;
        assert!(!told.has_ephemeral() && !hints.is_pending());
        let inputs = told.inputs();
        assert!(matches!(inputs.as_slice(), [Input::SignOfLife, Input::Wake(Lane::Messages)]));
        hints.wake_all();
        assert_eq!(hints.next().await.inputs().len(), Lane::ALL.len());
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let hints = std::sync::Arc::new(Hints::default());
        let waiting = std::sync::Arc::clone(&hints);
        let waiting = tokio::spawn(async move { waiting.next().await });
        tokio::task::yield_now().await;
        hints.wake(Lane::Control);
        assert_eq!(waiting.await.unwrap().inputs().len(), 1);
    }
}
