//! The receiving end of a stream: what is taken, what is answered.

use posthouse_protocol::{
    federation::{
        header::Place,
        receipt::Outcome,
        record::Record,
        stream::{Position, Standing},
    },
    id::ServerName,
    time::Timestamp,
};

use super::outbound::INCARNATION_EVERY_MS;

/// What a destination keeps of the stream from one origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InboundStream {
    /// How far everything was taken; `None` before the first.
    pub standing: Option<Standing>,
    /// When the present incarnation was first taken.
    pub since: Option<Timestamp>,
}

/// What to do with an envelope whose origin, signature and seal have been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "lives for one call, and the large variant is the usual one"
)]
pub enum Decision {
    /// Take the records from `skip` on, and the new state, in one transaction; then answer
    /// [`Outcome::Accepted`].
    Take {
        /// How many records at the front have been taken before.
        skip: usize,
        /// The state to be stored with the effects.
        stream: InboundStream,
    },
    /// Change nothing and answer this.
    Answer(Outcome),
}

impl InboundStream {
    /// Decides about `records` at `place` of the stream from `origin` to `own`.
    pub fn decide(
        &self,
        ends: (&ServerName, &ServerName),
        place: &Place,
        records: &[Record],
        now: Timestamp,
    ) -> Decision {
        let Some(standing) = &self.standing else {
            // Whoever resumes something expects it to be held here.
            let outcome = if place.resumes.is_some() { Outcome::Behind } else { Outcome::Gap };
            return if place.first == 1 && records.is_empty() && place.resumes.is_none() {
                Decision::Answer(Outcome::Accepted)
            } else if place.first == 1 && place.resumes.is_none() {
                Self::start(ends, place, records, now)
            } else {
                Decision::Answer(outcome)
            };
        };
        let known = standing.incarnation;
        if place.incarnation.number < known.number {
            return Decision::Answer(Outcome::Stale);
        }
        if place.incarnation == known {
            return self.proceed(standing, place, records);
        }
        if place.incarnation.number == known.number {
            return Decision::Answer(Outcome::Conflict);
        }
        self.switch(ends, standing, place, records, now)
    }

    /// A higher incarnation than the known one.
    fn switch(
        &self,
        ends: (&ServerName, &ServerName),
        standing: &Standing,
        place: &Place,
        records: &[Record],
        now: Timestamp,
    ) -> Decision {
        if place.resumes.is_some_and(|expected| !standing.reaches(&expected)) {
            return Decision::Answer(Outcome::Behind);
        }
        if place.first != 1 || records.is_empty() {
            return Decision::Answer(Outcome::Gap);
        }
        let passed = self.since.and_then(|since| now.0.checked_sub(since.0));
        if passed.is_some_and(|passed| passed < INCARNATION_EVERY_MS) {
            return Decision::Answer(Outcome::TooSoon);
        }
        Self::start(ends, place, records, now)
    }

    /// The first records of an incarnation.
    fn start(
        ends: (&ServerName, &ServerName),
        place: &Place,
        records: &[Record],
        now: Timestamp,
    ) -> Decision {
        let standing = Standing::start(ends.0, ends.1, place.incarnation);
        Self { standing: Some(standing), since: Some(now) }.proceed(&standing, place, records)
    }

    /// The known incarnation.
    fn proceed(&self, standing: &Standing, place: &Place, records: &[Record]) -> Decision {
        let held = standing.lanes.of(place.lane);
        let Some(before) = place.first.checked_sub(1) else {
            return Decision::Answer(Outcome::Diverged);
        };
        if before > held.through {
            return Decision::Answer(Outcome::Gap);
        }
        if before + place.count < held.through {
            // All of it lies behind; the hash there is no longer known. The origin finds in the
            // receipt that this end is ahead, and compares the hash there.
            return Decision::Answer(Outcome::Accepted);
        }
        let mut at = Position { through: before, hash: place.before };
        let mut skip = 0;
        for record in records {
            if at.through == held.through {
                break;
            }
            at = follow(at, record);
            skip += 1;
        }
        if at != *held {
            return Decision::Answer(Outcome::Diverged);
        }
        let Some(fresh) = records.get(skip..).filter(|fresh| !fresh.is_empty()) else {
            return Decision::Answer(Outcome::Accepted);
        };
        let mut standing = *standing;
        *standing.lanes.of_mut(place.lane) = fresh.iter().fold(at, follow);
        Decision::Take { skip, stream: Self { standing: Some(standing), ..*self } }
    }
}

fn follow(at: Position, record: &Record) -> Position {
    let hash = record.follow(at.hash, at.through + 1);
    Position { through: at.through + record.covers(), hash }
}

#[cfg(test)]
mod tests;
