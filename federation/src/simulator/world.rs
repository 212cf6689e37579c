//! The world: time, network, processes, users.

mod faults;
mod sending;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashSet, VecDeque},
};

use posthouse_protocol::{
    federation::stream::{Incarnation, Lane, PerLane},
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
    tally::Tally,
};
use crate::{
    engine::{
        outbound::OutboundStream,
        sender::{Answer, Input, StreamSender},
    },
    ports::memory::MemoryOutbound,
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
