//! The start of an envelope's flight, and why one does not start.

use posthouse_protocol::federation::version;
use rand_core::CryptoRng;

use super::{Worker, flight::Sealed};
use crate::{
    engine::sender::{Alarm, Answer, Input, Outgoing},
    ports::{KeysError, Setback},
};

impl<R: CryptoRng + Send + Sync> Worker<R> {
    /// Why nothing is delivered.
    pub(super) fn setback(&self) -> Setback {
        // Without an attempt it is the store that has nothing whole to send.
        let damaged = || Setback::Unreachable("the log here is damaged".to_owned());
        self.setback.clone().unwrap_or_else(damaged)
    }

    /// Seals, signs and posts in the background; gives the answer at once if that cannot be.
    pub(super) async fn launch(&mut self, outgoing: Outgoing) -> Option<Input> {
        if self.stopping {
            return None;
        }
        let (lane, attempt) = (outgoing.place.lane, outgoing.attempt);
        let answer = Answer::Failed { retry_after_ms: None };
        let failed = Some(Input::Answered { lane, attempt, answer });
        let head = self.parts.keys.keys(&self.destination, false).await;
        self.note_name(head.as_ref().err());
        let head = match head {
            Ok(head) => head,
            Err(err) => {
                self.setback = Some(Setback::Keys(err.to_string()));
                return failed;
            }
        };
        if !self.can_speak() {
            self.setback = Some(Setback::NoCommonVersion);
            return failed;
        }
        let records = outgoing.encode();
        let content = (Some(outgoing.place), records.as_slice());
        let sealed = Sealed::new(&self.parts, &mut self.sealing, &head, content, &mut self.rng);
        let Some(sealed) = sealed else {
            self.setback = Some(Setback::NoSealingKey);
            return failed;
        };
        let (parts, destination) = (self.parts.clone(), self.destination.clone());
        self.flights.spawn(async move { sealed.post(&parts, &destination, (lane, attempt)).await });
        None
    }

    /// Whether the peer speaks a version that is spoken here, as far as is known. The alarm is given
    /// once, until it does.
    pub(super) fn can_speak(&mut self) -> bool {
        let common = self.parts.keys.facts(&self.destination).is_none_or(|facts| {
            version::negotiate(version::ENVELOPES, &facts.envelope_versions).is_some()
                && version::negotiate(&[version::PAYLOAD], &facts.payload_versions).is_some()
        });
        if !common && !self.speechless {
            self.parts.observer.alarm(&self.destination, Alarm::NoCommonVersion);
        }
        self.speechless = !common;
        common
    }

    /// Only of a peer that was never reached it is told that its name does not exist.
    fn note_name(&mut self, err: Option<&KeysError>) {
        self.nameless_since = match err {
            Some(KeysError::NoSuchName) => {
                self.nameless_since.or_else(|| Some(self.parts.clock.now()))
            }
            _ => None,
        };
    }
}
