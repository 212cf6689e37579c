//! What an answer means: settle, rewind, verify, open another incarnation, try again later.

use posthouse_protocol::{
    federation::{
        receipt::{Outcome, Rejection},
        stream::{Lane, Standing},
    },
    time::Timestamp,
};
use rand_core::Rng;

use super::{
    Action, Alarm, Answer, Signed, StreamSender, TOO_SOON_MS,
    lane::{Flight, Phase, Storing, Verification},
};
use crate::engine::outbound::{LogEntry, Mark, TakeUp};

/// Whether a receipt led any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It answered what was asked, or something is under way because of it.
    Made,
    /// The destination stands where it stood, and what was sent is not there.
    None,
}

/// What a position told about one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// Nothing new.
    Same,
    /// Something is under way because of it.
    Acted,
}

impl StreamSender {
    pub(super) fn answered(
        &mut self,
        lane: Lane,
        attempt: u64,
        answer: Answer,
        now: Timestamp,
        rng: &mut impl Rng,
    ) {
        let own = self.lanes.of_mut(lane);
        let flight = match core::mem::replace(&mut own.phase, Phase::Idle) {
            Phase::Flying(flight) if flight.attempt == attempt => flight,
            // A late answer to a sending that was given up.
            other => {
                own.phase = other;
                return;
            }
        };
        own.waiting = true;
        match answer {
            Answer::Receipt(signed) if signed.outcome == Outcome::TooSoon => {
                self.succeed(now);
                self.backoff.hold(now, TOO_SOON_MS);
            }
            // A receipt that moves nothing is no success, whatever it says: the same would be sent
            // and answered without end.
            Answer::Receipt(signed) => match self.receipt(lane, &flight, *signed) {
                Progress::Made => self.succeed(now),
                Progress::None => self.fail(None, now, rng),
            },
            Answer::Refused => self.refused(lane, &flight, now, rng),
            Answer::Failed { retry_after_ms } => self.fail(retry_after_ms, now, rng),
        }
    }

    /// Halves the envelope until the one event is found that the destination does not take.
    fn refused(&mut self, lane: Lane, flight: &Flight, now: Timestamp, rng: &mut impl Rng) {
        let own = self.lanes.of_mut(lane);
        match flight.single {
            Some(index) => {
                own.phase = Phase::Storing(Storing::Refusal);
                self.actions.push(Action::Refuse { lane, index });
            }
            None if flight.marks.len() > 1 => own.limit = (flight.marks.len() / 2).max(1),
            // Neither a void nor a question can be made any smaller: the lane stands still until the
            // destination takes it.
            None => {
                let tell =
                    !flight.marks.is_empty() && !core::mem::replace(&mut own.void_refused, true);
                self.fail(None, now, rng);
                if tell {
                    self.actions.push(Action::Alarm(Alarm::VoidRefused));
                }
            }
        }
    }

    fn receipt(&mut self, lane: Lane, flight: &Flight, signed: Signed) -> Progress {
        let own = self.stream.incarnation;
        let standing = match (signed.outcome, signed.standing) {
            (_, Some(standing)) => standing,
            (_, None) if self.stream.starts_at_the_beginning() => {
                Standing::start(&self.origin, &self.destination, own)
            }
            (_, None) => {
                return self.renew(Alarm::TheyWereRestored, TakeUp::Beginning, 0);
            }
        };
        if standing.incarnation.number > own.number {
            return self.renew(Alarm::WeWereRestored, TakeUp::Kept, standing.incarnation.number);
        }
        if standing.incarnation.number < own.number {
            return match signed.outcome {
                // A question for the position, before this incarnation has carried anything.
                Outcome::Gap if flight.marks.is_empty() && self.awaits_first(&standing) => {
                    Progress::Made
                }
                Outcome::Gap | Outcome::Behind => {
                    self.renew(Alarm::TheyWereRestored, TakeUp::Standing(standing), 0)
                }
                _ => Progress::None,
            };
        }
        if standing.incarnation != own {
            return self.renew(Alarm::TwoServers, TakeUp::Kept, 0);
        }
        let finding = self.consider(lane, Some(flight), &standing, signed.rejections);
        for other in Lane::ALL.into_iter().filter(|other| *other != lane) {
            let state = self.lanes.of(other);
            if state.is_busy() || state.touched != *flight.touched.of(other) {
                continue;
            }
            let durable = self.stream.lanes.of(other);
            let index = durable.base.saturating_add(standing.lanes.of(other).through);
            if index > durable.receipted.index && index <= durable.end {
                // Rejections come with the lane's own receipts only, so it has to ask itself.
                self.lanes.of_mut(other).waiting = true;
            } else {
                self.consider(other, None, &standing, Vec::new());
            }
        }
        if finding == Finding::Acted || flight.marks.is_empty() {
            return Progress::Made;
        }
        if signed.outcome == Outcome::Diverged {
            return self.renew(Alarm::Diverged, TakeUp::Receipts, 0);
        }
        Progress::None
    }

    /// Wants another incarnation, and the operator to know why.
    fn renew(&mut self, alarm: Alarm, take_up: TakeUp, above: u64) -> Progress {
        self.actions.push(Action::Alarm(alarm));
        self.want(take_up, above);
        Progress::Made
    }

    /// Whether the destination stands where this incarnation takes up, so that its first records
    /// will be welcome.
    fn awaits_first(&self, standing: &Standing) -> bool {
        self.stream.resumes.is_none_or(|resumes| standing.reaches(&resumes))
            && self.stream.lanes.iter().all(|(_, lane)| lane.receipted.index == lane.base)
    }

    /// Holds the destination's position in a lane against the lane.
    fn consider(
        &mut self,
        lane: Lane,
        flight: Option<&Flight>,
        standing: &Standing,
        rejections: Vec<Rejection>,
    ) -> Finding {
        let position = standing.lanes.of(lane);
        let durable = *self.stream.lanes.of(lane);
        let start = self.start_hash(lane);
        let index = durable.base.saturating_add(position.through);
        let target = Mark { index, hash: position.hash };
        if target == durable.receipted {
            return Finding::Same;
        }
        if index > durable.end {
            self.actions.push(Action::Alarm(Alarm::WeWereRestored));
            self.want(TakeUp::Receipts, 0);
            return Finding::Acted;
        }
        let chain = durable.chain_start(start);
        let flown = flight.map_or(&[][..], |flight| &flight.marks);
        let at_base = Mark { index: durable.base, hash: start };
        if let Some(mark) = flown.iter().find(|mark| mark.index == index) {
            self.conclude(lane, (*mark, target), target, rejections);
        } else if index == durable.receipted.index {
            self.conclude(lane, (durable.receipted, target), target, rejections);
        } else if target == at_base || index == chain.index {
            let ours = if target == at_base { target } else { chain };
            self.conclude(lane, (ours, target), target, rejections);
        } else if index < chain.index {
            // The hash at that place went with the entries. The destination's word is taken, and
            // what is gone is named.
            self.actions.push(Action::Alarm(Alarm::TheyWereRestored));
            self.want(TakeUp::Standing(*standing), 0);
        } else {
            let forward = index > durable.receipted.index;
            let settle = match flown.last() {
                Some(last) if forward => *last,
                // Nothing was sent that could be settled: what follows will be sent.
                None if forward => {
                    self.lanes.of_mut(lane).waiting = true;
                    return Finding::Acted;
                }
                _ => target,
            };
            let at = if forward { durable.receipted } else { chain };
            let after = at.index.max(durable.floor.index);
            let verification = Verification { at, target, settle, after, rejections };
            self.lanes.of_mut(lane).phase = Phase::Verifying(verification);
            self.load_to_verify(lane, after);
        }
        Finding::Acted
    }

    /// Goes on computing hashes towards the target.
    pub(super) fn verify(
        &mut self,
        lane: Lane,
        mut verification: Verification,
        entries: &[LogEntry],
    ) {
        let durable = *self.stream.lanes.of(lane);
        let (mut at, target) = (verification.at, verification.target);
        if at.index < durable.floor.index {
            let (from, to) =
                (durable.sequence(at.index) + 1, durable.sequence(durable.floor.index));
            at = Mark { index: durable.floor.index, hash: at.hash.void(from, to) };
        }
        for entry in entries {
            if at.index >= target.index || entry.index != at.index + 1 {
                break;
            }
            let hash = entry.follow(at.hash, durable.sequence(entry.index));
            at = Mark { index: entry.index, hash };
        }
        if at.index < target.index && at.index > verification.at.index {
            verification.at = at;
            verification.after = at.index;
            self.lanes.of_mut(lane).phase = Phase::Verifying(verification);
            self.load_to_verify(lane, at.index);
        } else {
            self.conclude(lane, (at, target), verification.settle, verification.rejections);
        }
    }

    /// Both marks, ours and theirs, are known: one history, or two? If it is one, the receipted
    /// mark moves to `to`.
    fn conclude(
        &mut self,
        lane: Lane,
        (ours, theirs): (Mark, Mark),
        to: Mark,
        rejections: Vec<Rejection>,
    ) {
        let durable = *self.stream.lanes.of(lane);
        let forward = theirs.index >= durable.receipted.index;
        if ours != theirs {
            self.actions.push(Action::Alarm(Alarm::Diverged));
            // Behind its own receipts and with another history, the destination is a twin of the one
            // that gave them, or an old copy: what it holds cannot be told, so what is gone is named.
            self.want(if forward { TakeUp::Receipts } else { TakeUp::Beginning }, 0);
            return;
        }
        let own = self.lanes.of_mut(lane);
        own.phase = Phase::Storing(Storing::Mark(to));
        own.void_refused = false;
        if forward {
            own.limit = own.limit.saturating_mul(2).min(self.max_records);
            let rejected = rejections.into_iter().filter_map(|one| {
                let index = durable.base.checked_add(one.sequence)?;
                let fresh = index > durable.receipted.index && index <= to.index;
                fresh.then_some((index, one))
            });
            let rejected = rejected.collect();
            self.actions.push(Action::Settle { lane, to, rejected });
        } else {
            self.actions.push(Action::Alarm(Alarm::TheyWereRestored));
            self.actions.push(Action::Rewind { lane, to });
        }
    }
}
