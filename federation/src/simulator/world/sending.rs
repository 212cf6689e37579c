//! The engines, and the network between them.

use posthouse_protocol::federation::record::Record;
use rand::RngExt;

use super::{Parcel, Schedule, Sending, TIMEOUT_MS, Transit, What, Work, World, is_poison};
use crate::{
    engine::sender::{Action, Answer, Input},
    ports::LoadRange,
};

impl World {
    pub(super) fn feed(&mut self, schedule: &Schedule, node: usize, to: usize, input: Input) {
        let clock = self.clock(self.nodes[node].region);
        let own = &mut self.nodes[node];
        let life = own.life;
        let Some(engine) = own.engines.get_mut(&to) else { return };
        let shown = self.trace.then(|| format!("{input:?}"));
        let actions = engine.handle(input, clock, &mut self.rng);
        if let Some(input) = shown {
            println!("{:>9} {node}.{life} → {to}: {input}", self.now);
            for action in &actions {
                println!("            {action:?}");
            }
        }
        let tick = engine.next_tick(clock);
        for action in actions {
            self.act(schedule, node, to, action);
        }
        // The clock may be off, but it runs at the right speed.
        let at = self.now + tick.0.saturating_sub(clock.0).max(1);
        if self.ticks.insert((node, to), at) != Some(at) {
            self.at(at, What::Tick { node, life, to });
        }
    }

    pub(super) fn act(&mut self, schedule: &Schedule, node: usize, to: usize, action: Action) {
        let work = match action {
            Action::Load { lane, after, limit, max_bytes } => {
                // A small limit, so that a few dozen messages make several envelopes.
                let range = LoadRange { after, limit: limit.min(5), max_bytes };
                Work::Load { to, lane, range }
            }
            Action::Send(outgoing) => {
                let own = &self.nodes[node];
                let from = Sending {
                    node,
                    life: own.life,
                    region: own.region,
                    attempt: outgoing.attempt,
                    lane: outgoing.place.lane,
                };
                self.steps += 1;
                let n = self.steps;
                self.timeouts.insert(n, (from, to));
                self.at(self.now + TIMEOUT_MS, What::Timeout(n));
                self.tally.voids += u64::from(outgoing.void.is_some());
                let parcel = Box::new(Parcel::of(&outgoing));
                return self.post(schedule, &Transit::Envelope { from, to, parcel });
            }
            Action::Settle { lane, to: mark, rejected } => {
                self.tally.rejections += rejected.len() as u64;
                Work::Settle { to, lane, mark, rejected }
            }
            Action::Rewind { lane, to: mark } => {
                self.tally.rewinds += 1;
                Work::Rewind { to, lane, mark }
            }
            Action::Refuse { lane, index } => Work::Refuse { to, lane, index },
            Action::Forget { lane, floor } => {
                self.tally.forgotten += 1;
                Work::Forget { to, lane, floor }
            }
            Action::Open(next) => {
                self.tally.incarnations += 1;
                Work::Open { to, next }
            }
            Action::Alarm(_) => {
                self.tally.alarms += 1;
                return;
            }
            Action::Unreachable { .. } | Action::Reachable => return,
        };
        self.work(schedule, node, work);
    }

    pub(super) fn post(&mut self, schedule: &Schedule, transit: &Transit) {
        self.tally.envelopes += 1;
        let mut copies = 1;
        if !self.healed {
            if self.rng.random_ratio(schedule.loss, 1_000) {
                self.tally.lost += 1;
                copies -= 1;
            }
            if self.rng.random_ratio(schedule.doubled, 1_000) {
                self.tally.doubled += 1;
                copies += 1;
            }
        }
        for _ in 0..copies {
            let longest = if self.healed { 50 } else { schedule.max_delay_ms };
            let delay = self.rng.random_range(1..=longest);
            self.steps += 1;
            self.transits.insert(self.steps, transit.clone());
            self.at(self.now + delay, What::Arrive(self.steps));
        }
    }

    pub(super) fn arrive(&mut self, schedule: &Schedule, n: u64) {
        let Some(transit) = self.transits.remove(&n) else { return };
        let (one, other) = match &transit {
            Transit::Envelope { from, to, .. } => (from.region, *to),
            Transit::Answer { to, from, .. } => (to.region, *from),
        };
        let cut = |(a, b, until): &(usize, usize, u64)| {
            *until > self.now && [(one, other), (other, one)].contains(&(*a, *b))
        };
        if self.cuts.iter().any(cut) {
            return;
        }
        match transit {
            Transit::Answer { to, from, answer } => self.answered(schedule, to, from, answer),
            Transit::Envelope { from, to, parcel } => {
                let up = self.nodes_of(to);
                if up.is_empty() {
                    let answer = Answer::Failed { retry_after_ms: None };
                    return self.post(schedule, &Transit::Answer { to: from, from: to, answer });
                }
                let node = up[self.rng.random_range(0..up.len())];
                self.feed(schedule, node, from.region, Input::SignOfLife);
                let poison =
                    |record: &Record| matches!(record, Record::Event(event) if is_poison(event.id));
                if parcel.records.iter().any(poison) {
                    self.tally.refusals += 1;
                    let answer = Answer::Refused;
                    return self.post(schedule, &Transit::Answer { to: from, from: to, answer });
                }
                self.work(schedule, node, Work::Take { sending: from, parcel });
            }
        }
    }

    pub(super) fn answered(
        &mut self,
        schedule: &Schedule,
        sending: Sending,
        from: usize,
        answer: Answer,
    ) {
        if self.is_alive(sending.node, sending.life) {
            let Sending { lane, attempt, .. } = sending;
            let input = Input::Answered { lane, attempt, answer };
            self.feed(schedule, sending.node, from, input);
        }
    }
}
