//! The world: time, network, processes, users.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashSet, VecDeque},
};

use posthouse_protocol::{
    federation::{
        record::Record,
        stream::{Incarnation, Lane, PerLane},
    },
    id::ServerName,
    time::{Stamp, Timestamp},
};
use rand::{Rng, RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    network::{Parcel, Sending, Transit},
    node::{Database, Done, Draft, Node, Work, is_poison},
    schedule::{Fault, Schedule},
};
use crate::{
    engine::{
        outbound::OutboundStream,
        sender::{Action, Answer, Input, StreamSender},
    },
    ports::{LoadRange, memory::MemoryOutbound},
};

/// The true time at the start of a run, in milliseconds since 1970.
const EPOCH: u64 = 1_700_000_000_000;
/// How long a sender waits for an answer.
const TIMEOUT_MS: u64 = 10_000;
/// How often every lane is looked at without a hint.
const POLL_MS: u64 = 5 * 60_000;
/// How long the healed world runs until everything must be quiet.
const HEALING_MS: u64 = 90 * 60_000;

/// A message that some user wrote.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) id: Uuid,
    pub(super) sender: Uuid,
    pub(super) lane: Lane,
    pub(super) region: usize,
    /// Set when the region accepted it.
    pub(super) stamp: Option<Stamp>,
    /// The user was told that it is sent.
    pub(super) acknowledged: bool,
    /// The order of acceptance in the world.
    pub(super) order: u64,
}

/// What happened in a run, or in many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) messages: u64,
    pub(super) envelopes: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) crashes: u64,
    pub(super) half_written: u64,
    pub(super) restores: u64,
    pub(super) clones: u64,
    pub(super) partitions: u64,
    pub(super) incarnations: u64,
    pub(super) rewinds: u64,
    pub(super) refusals: u64,
    pub(super) rejections: u64,
    pub(super) voids: u64,
    pub(super) alarms: u64,
    pub(super) forgotten: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    User(usize),
    Fault(usize),
    Heal,
    Up { node: usize, restored: bool },
    Stored { node: usize, life: u64 },
    Arrive(u64),
    Timeout(u64),
    Tick { node: usize, life: u64, to: usize },
    Poll { node: usize, life: u64 },
}

pub(super) struct World {
    rng: Xoshiro256PlusPlus,
    now: u64,
    pub(super) steps: u64,
    agenda: BinaryHeap<Reverse<(u64, u64, What)>>,
    transits: BTreeMap<u64, Transit>,
    timeouts: BTreeMap<u64, (Sending, usize)>,
    /// The one tick of each engine that counts.
    ticks: BTreeMap<(usize, usize), u64>,
    pub(super) names: Vec<ServerName>,
    pub(super) nodes: Vec<Node>,
    offsets: Vec<i64>,
    cuts: Vec<(usize, usize, u64)>,
    healed: bool,
    pub(super) messages: Vec<Message>,
    /// Bases of every incarnation that was ever opened, by destination.
    pub(super) bases: BTreeMap<(usize, Incarnation), PerLane<u64>>,
    /// Regions whose database went back, or was doubled.
    pub(super) restored: HashSet<usize>,
    pub(super) cloned: HashSet<usize>,
    /// Breaches that are seen as they happen.
    pub(super) breaches: Vec<String>,
    pub(super) tally: Tally,
    /// Prints what happens, for the replay of one seed.
    pub(super) trace: bool,
}

impl World {
    pub(super) fn new(schedule: &Schedule) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(schedule.seed ^ 0x5eed);
        let names: Vec<ServerName> = (0..schedule.regions)
            .map(|n| ServerName::parse(&format!("r{n}.test")).unwrap())
            .collect();
        let mut world = Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(schedule.seed),
            now: 0,
            steps: 0,
            agenda: BinaryHeap::new(),
            transits: BTreeMap::new(),
            timeouts: BTreeMap::new(),
            ticks: BTreeMap::new(),
            nodes: Vec::new(),
            offsets: vec![0; schedule.regions],
            cuts: Vec::new(),
            healed: false,
            messages: Vec::new(),
            bases: BTreeMap::new(),
            restored: HashSet::new(),
            cloned: HashSet::new(),
            breaches: Vec::new(),
            tally: Tally::default(),
            trace: false,
            names,
        };
        for region in 0..schedule.regions {
            let mut outbound = BTreeMap::new();
            for to in (0..schedule.regions).filter(|to| *to != region) {
                let mut random = [0; 16];
                rng.fill_bytes(&mut random);
                let (own, other) = (&world.names[region], &world.names[to]);
                let stream = OutboundStream::new(own, other, random, Timestamp(EPOCH));
                world.bases.insert((to, stream.incarnation), PerLane::default());
                outbound.insert(to, MemoryOutbound::new(stream));
            }
            let db = Database {
                outbound,
                inbound: BTreeMap::new(),
                accepted: Vec::new(),
                highest: Stamp(0),
            };
            world.add_node(region, db);
        }
        for (n, (at, _)) in schedule.messages.iter().enumerate() {
            world.at(*at, What::User(n));
        }
        for (n, (at, _)) in schedule.faults.iter().enumerate() {
            world.at(*at, What::Fault(n));
        }
        world.at(schedule.heal_at, What::Heal);
        world
    }

    pub(super) fn run(&mut self, schedule: &Schedule) {
        while let Some(Reverse((at, _, what))) = self.agenda.pop() {
            if at > schedule.heal_at + HEALING_MS {
                break;
            }
            self.now = at;
            self.steps += 1;
            if self.trace && matches!(what, What::Fault(_) | What::Heal | What::Up { .. }) {
                println!("{at:>9} {what:?}");
            }
            match what {
                What::User(n) => self.write(schedule, n),
                What::Fault(n) => {
                    if let Some((_, fault)) = schedule.faults.get(n).filter(|_| !self.healed) {
                        self.fault(schedule, *fault);
                    }
                }
                What::Heal => self.heal(schedule),
                What::Up { node, restored } => self.up(schedule, node, restored),
                What::Stored { node, life } => self.stored(schedule, node, life),
                What::Arrive(n) => self.arrive(schedule, n),
                What::Timeout(n) => {
                    if let Some((sending, to)) = self.timeouts.remove(&n) {
                        self.answered(
                            schedule,
                            sending,
                            to,
                            Answer::Failed { retry_after_ms: None },
                        );
                    }
                }
                What::Tick { node, life, to } => {
                    let due = self.ticks.get(&(node, to)) == Some(&at);
                    if due && self.is_alive(node, life) {
                        self.ticks.remove(&(node, to));
                        self.feed(schedule, node, to, Input::Tick);
                    }
                }
                What::Poll { node, life } => self.poll(schedule, node, life),
            }
        }
    }

    /// A digest of everything that is durable in the end.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for node in &self.nodes {
            for inbound in node.db.inbound.values() {
                hash.update(format!("{:?}{:?}", inbound.stream, inbound.effects));
            }
        }
        hash.finalize().into()
    }

    // === users and processes ===

    fn write(&mut self, schedule: &Schedule, n: usize) {
        let Some((_, region)) = schedule.messages.get(n) else { return };
        let up: Vec<usize> = self.nodes_of(*region);
        // A user whose region is down writes nothing.
        if up.is_empty() {
            return;
        }
        let node = up[self.rng.random_range(0..up.len())];
        let mut id = [0; 16];
        self.rng.fill_bytes(&mut id);
        id[15] = match self.rng.random_range(0..24) {
            0 | 1 if schedule.poison => 1,
            2 if schedule.poison => 2,
            _ => 0,
        };
        let lane = if self.rng.random_ratio(1, 5) { Lane::Control } else { Lane::Messages };
        let sender = Uuid::from_u128(((node as u128) << 8) | self.rng.random_range(0..2_u128));
        self.messages.push(Message {
            id: Uuid::from_bytes(id),
            sender,
            lane,
            region: *region,
            stamp: None,
            acknowledged: false,
            order: 0,
        });
        self.tally.messages += 1;
        let message = self.messages.len() - 1;
        self.work(schedule, node, Work::Accept { message });
    }

    fn add_node(&mut self, region: usize, db: Database) {
        let node = self.nodes.len();
        self.nodes.push(Node {
            region,
            life: 0,
            up: false,
            gone: false,
            db,
            backup: None,
            engines: BTreeMap::new(),
            pending: VecDeque::new(),
            store_free_at: 0,
        });
        self.at(self.now, What::Up { node, restored: false });
    }

    fn up(&mut self, schedule: &Schedule, node: usize, restored: bool) {
        let clock = self.clock(self.nodes[node].region);
        let names = self.names.clone();
        let own = &mut self.nodes[node];
        if own.up || own.gone {
            return;
        }
        if restored && let Some(backup) = own.backup.clone() {
            own.db = backup;
        }
        own.up = true;
        own.life += 1;
        own.pending.clear();
        own.store_free_at = self.now;
        let (life, region) = (own.life, own.region);
        let engine = |(to, stream): (&usize, &MemoryOutbound)| {
            let ends = (names[region].clone(), names[*to].clone());
            (*to, StreamSender::new(ends.0, ends.1, stream.stream.clone(), clock))
        };
        own.engines = own.db.outbound.iter().map(engine).collect();
        let others: Vec<usize> = own.engines.keys().copied().collect();
        for to in others {
            self.feed(schedule, node, to, Input::Tick);
        }
        self.at(self.now + POLL_MS, What::Poll { node, life });
    }

    fn poll(&mut self, schedule: &Schedule, node: usize, life: u64) {
        if !self.is_alive(node, life) {
            return;
        }
        let others: Vec<usize> = self.nodes[node].engines.keys().copied().collect();
        for to in others {
            for lane in [Lane::Control, Lane::Messages] {
                self.feed(schedule, node, to, Input::Wake(lane));
            }
        }
        self.at(self.now + POLL_MS, What::Poll { node, life });
    }

    /// The process dies. Of the work that was not finished, the first may have become durable.
    fn down(&mut self, node: usize) {
        let clock = self.clock(self.nodes[node].region);
        let own = &mut self.nodes[node];
        own.up = false;
        own.engines.clear();
        let first = own.pending.pop_front();
        own.pending.clear();
        if let Some(work) = first.filter(|_| self.rng.random_ratio(1, 2)) {
            self.tally.half_written += 1;
            self.apply(node, work, clock);
        }
    }

    fn fault(&mut self, schedule: &Schedule, fault: Fault) {
        let alive = |world: &Self, region| world.nodes_of(region).into_iter().next();
        match fault {
            Fault::Crash { region, down_ms } => {
                let Some(node) = alive(self, region) else { return };
                self.tally.crashes += 1;
                self.down(node);
                self.at(self.now + down_ms, What::Up { node, restored: false });
            }
            Fault::Backup { region } => {
                let Some(node) = alive(self, region) else { return };
                let own = &mut self.nodes[node];
                own.backup = Some(own.db.clone());
            }
            Fault::Restore { region, down_ms } => {
                let Some(node) = alive(self, region) else { return };
                if self.nodes[node].backup.is_none() {
                    return;
                }
                self.tally.restores += 1;
                self.restored.insert(region);
                self.down(node);
                self.at(self.now + down_ms, What::Up { node, restored: true });
            }
            Fault::Clone { region } => {
                let Some(node) = alive(self, region) else { return };
                self.tally.clones += 1;
                self.cloned.insert(region);
                let db = self.nodes[node].db.clone();
                self.add_node(region, db);
            }
            Fault::Clock { region, offset_ms } => self.offsets[region] = offset_ms,
            Fault::Partition { one, other, for_ms } => {
                self.tally.partitions += 1;
                self.cuts.push((one, other, self.now + for_ms));
            }
            Fault::Forget { region } => {
                let Some(node) = alive(self, region) else { return };
                let before = self.clock(region).minus_millis(schedule.grace_ms);
                let others: Vec<usize> = self.nodes[node].engines.keys().copied().collect();
                for to in others {
                    for lane in [Lane::Control, Lane::Messages] {
                        self.work(schedule, node, Work::Overdue { to, lane, before });
                    }
                }
            }
        }
    }

    /// All faults end: one process a region, a whole network.
    fn heal(&mut self, schedule: &Schedule) {
        self.healed = true;
        self.cuts.clear();
        for region in 0..self.names.len() {
            let all: Vec<usize> =
                (0..self.nodes.len()).filter(|n| self.nodes[*n].region == region).collect();
            let stays = all[self.rng.random_range(0..all.len())];
            for node in all {
                if node != stays {
                    self.down(node);
                    self.nodes[node].gone = true;
                } else if !self.nodes[node].up {
                    self.up(schedule, node, false);
                }
            }
        }
    }

    // === the store ===

    fn work(&mut self, schedule: &Schedule, node: usize, work: Work) {
        let takes = self.rng.random_range(0..=schedule.max_store_ms);
        let own = &mut self.nodes[node];
        own.store_free_at = own.store_free_at.max(self.now) + takes;
        own.pending.push_back(work);
        let (at, life) = (own.store_free_at, own.life);
        self.at(at, What::Stored { node, life });
    }

    fn stored(&mut self, schedule: &Schedule, node: usize, life: u64) {
        if !self.is_alive(node, life) {
            return;
        }
        let clock = self.clock(self.nodes[node].region);
        let Some(work) = self.nodes[node].pending.pop_front() else { return };
        match self.apply(node, work, clock) {
            Done::Engine(to, input) => self.feed(schedule, node, to, input),
            Done::Accepted(message) => {
                self.messages[message].acknowledged = true;
                let lane = self.messages[message].lane;
                let others: Vec<usize> = self.nodes[node].engines.keys().copied().collect();
                for to in others {
                    // Hints may be lost.
                    if self.rng.random_ratio(9, 10) {
                        self.feed(schedule, node, to, Input::Wake(lane));
                    }
                }
            }
            Done::Taken(sending, signed) => {
                let region = self.nodes[node].region;
                let answer = Answer::Receipt(signed);
                self.post(schedule, &Transit::Answer { to: sending, from: region, answer });
            }
            Done::Nothing => {}
        }
    }

    fn apply(&mut self, node: usize, work: Work, clock: Timestamp) -> Done {
        if let Work::Open { to, next } = &work {
            let bases = PerLane::from_fn(|lane| next.lanes.of(lane).base);
            self.bases.insert((*to, next.incarnation), bases);
        }
        let draft = match &work {
            Work::Accept { message } => self.messages.get(*message).map(|message| Draft {
                id: message.id,
                sender: message.sender,
                lane: message.lane,
                now: clock,
            }),
            _ => None,
        };
        let accepted = if let Work::Accept { message } = &work { Some(*message) } else { None };
        let own = &mut self.nodes[node];
        let (done, stamp) = own.db.apply(&self.names, own.region, work, clock, draft.as_ref());
        if let Some(message) = accepted {
            self.messages[message].stamp = stamp;
            self.messages[message].order = self.steps;
        }
        done
    }

    // === engines ===

    fn feed(&mut self, schedule: &Schedule, node: usize, to: usize, input: Input) {
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

    fn act(&mut self, schedule: &Schedule, node: usize, to: usize, action: Action) {
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

    // === the network ===

    fn post(&mut self, schedule: &Schedule, transit: &Transit) {
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

    fn arrive(&mut self, schedule: &Schedule, n: u64) {
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

    fn answered(&mut self, schedule: &Schedule, sending: Sending, from: usize, answer: Answer) {
        if self.is_alive(sending.node, sending.life) {
            let Sending { lane, attempt, .. } = sending;
            let input = Input::Answered { lane, attempt, answer };
            self.feed(schedule, sending.node, from, input);
        }
    }

    // === small things ===

    fn at(&mut self, at: u64, what: What) {
        self.steps += 1;
        self.agenda.push(Reverse((at, self.steps, what)));
    }

    fn clock(&self, region: usize) -> Timestamp {
        let offset = self.offsets.get(region).copied().unwrap_or(0);
        Timestamp((EPOCH + self.now).saturating_add_signed(offset))
    }

    fn is_alive(&self, node: usize, life: u64) -> bool {
        self.nodes.get(node).is_some_and(|own| own.up && own.life == life)
    }

    fn nodes_of(&self, region: usize) -> Vec<usize> {
        let is_up = |n: &usize| self.nodes[*n].region == region && self.nodes[*n].up;
        (0..self.nodes.len()).filter(is_up).collect()
    }
}

impl Tally {
    fn fields(&mut self) -> [(&'static str, &mut u64); 16] {
        [
            ("messages", &mut self.messages),
            ("envelopes", &mut self.envelopes),
            ("lost", &mut self.lost),
            ("doubled", &mut self.doubled),
            ("crashes", &mut self.crashes),
            ("half written", &mut self.half_written),
            ("restores", &mut self.restores),
            ("clones", &mut self.clones),
            ("partitions", &mut self.partitions),
            ("incarnations", &mut self.incarnations),
            ("rewinds", &mut self.rewinds),
            ("refusals", &mut self.refusals),
            ("rejections", &mut self.rejections),
            ("voids", &mut self.voids),
            ("alarms", &mut self.alarms),
            ("forgotten", &mut self.forgotten),
        ]
    }

    pub(super) fn add(&mut self, other: &Self) {
        let mut other = *other;
        for ((_, sum), (_, more)) in self.fields().into_iter().zip(other.fields()) {
            *sum += *more;
        }
    }

    /// A simulator that never does the harm it promises proves nothing.
    pub(super) fn assert_every_fault_occurred(&self, schedules: u64) {
        for (name, count) in self.clone().fields() {
            assert!(*count > 0, "no {name} in {schedules} schedules");
        }
    }
}
