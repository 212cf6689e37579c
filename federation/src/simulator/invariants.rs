//! The invariants by name (docs/spec/federation-invariants.md), checked when the healed world is
//! quiet.

use std::collections::{HashMap, HashSet};

use posthouse_protocol::federation::{record::VoidReason, stream::Lane};
use uuid::Uuid;

use super::{
    node::{Node, is_poison, is_unwelcome},
    world::{Message, World},
};
use crate::{
    engine::outbound::MAX_PAST,
    ports::memory::{Fate, MemoryInbound, MemoryOutbound},
};

/// Every breach, each with the name of the invariant.
pub(super) fn check(world: &World) -> Vec<String> {
    let mut broken = world.breaches.clone();
    for origin in world.nodes.iter().filter(|node| node.up) {
        for (to, outbound) in &origin.db.outbound {
            let Some(destination) = world.nodes.iter().find(|node| node.up && node.region == *to)
            else {
                broken.push(format!("QUEUES-DRAIN: region {to} did not come back"));
                continue;
            };
            let empty = MemoryInbound::default();
            let inbound = destination.db.inbound.get(&origin.region).unwrap_or(&empty);
            let pair = Pair { world, origin, to: *to, outbound, inbound };
            pair.nothing_lost(&mut broken);
            pair.nothing_twice(&mut broken);
            pair.sender_order(&mut broken);
            pair.queues_drain(&mut broken);
            pair.failed_is_final(&mut broken);
            pair.bounded(&mut broken);
        }
    }
    same_conversation(world, &mut broken);
    acknowledged_is_durable(world, &mut broken);
    broken
}

struct Pair<'a> {
    world: &'a World,
    origin: &'a Node,
    to: usize,
    outbound: &'a MemoryOutbound,
    inbound: &'a MemoryInbound,
}

impl Pair<'_> {
    fn breach(&self, broken: &mut Vec<String>, name: &str, fact: &str) {
        broken.push(format!("{name}: {} → {}: {fact}", self.origin.region, self.to));
    }

    /// Everything that the origin holds as accepted was applied, has failed, or is named by a void.
    ///
    /// A receipt that one of two processes with one identity gave or got says nothing about the
    /// other. If the other end was doubled or went back at the same time, nobody can tell any more
    /// what is held where, so that pair is left out; either fault alone is not.
    fn nothing_lost(&self, broken: &mut Vec<String>) {
        let (cloned, restored) = (&self.world.cloned, &self.world.restored);
        let ends = [self.origin.region, self.to];
        let doubled = ends.iter().any(|end| cloned.contains(end));
        if doubled && ends.iter().all(|end| cloned.contains(end) || restored.contains(end)) {
            return;
        }
        let applied: HashSet<Uuid> = self.inbound.effects.iter().map(|event| event.id).collect();
        for message in self.origin.db.accepted.iter().filter_map(|n| self.world.messages.get(*n)) {
            let fate = self.outbound.fates.get(&message.id);
            let fine = applied.contains(&message.id)
                || fate == Some(&Fate::Failed)
                || self.is_void(message);
            if !fine {
                let place = self.outbound.places.get(&message.id);
                self.breach(
                    broken,
                    "NOTHING-LOST",
                    &format!("{} ({fate:?}, {place:?})", message.id),
                );
            }
        }
    }

    fn is_void(&self, message: &Message) -> bool {
        let Some((lane, index)) = self.outbound.places.get(&message.id) else { return false };
        self.inbound.voids.iter().any(|(incarnation, of, void)| {
            let bases = self.world.bases.get(&(self.to, *incarnation));
            of == lane
                && void.reason == VoidReason::NotKept
                && bases.is_some_and(|bases| {
                    let base = bases.of(*lane);
                    (base + void.from..=base + void.to).contains(index)
                })
        })
    }

    /// No event took effect twice in one life of the database.
    fn nothing_twice(&self, broken: &mut Vec<String>) {
        let mut seen = HashSet::new();
        for event in &self.inbound.effects {
            if !seen.insert((event.sender, event.id)) {
                self.breach(broken, "NOTHING-TWICE", &event.id.to_string());
            }
        }
    }

    /// What one sender wrote into one lane took effect in the order in which it was accepted. Two
    /// processes with one identity have no common order.
    fn sender_order(&self, broken: &mut Vec<String>) {
        if self.world.cloned.contains(&self.origin.region) {
            return;
        }
        let known: HashMap<Uuid, &Message> =
            self.world.messages.iter().map(|message| (message.id, message)).collect();
        let mut last: HashMap<(Uuid, Lane), u64> = HashMap::new();
        for message in self.inbound.effects.iter().filter_map(|event| known.get(&event.id)) {
            let before = last.insert((message.sender, message.lane), message.order);
            if before > Some(message.order) {
                self.breach(broken, "SENDER-ORDER", &message.id.to_string());
            }
        }
    }

    /// Nothing waits, and both ends have the same hash everywhere.
    fn queues_drain(&self, broken: &mut Vec<String>) {
        let stream = &self.outbound.stream;
        for (lane, state) in stream.lanes.iter() {
            if state.receipted.index != state.end {
                let fact = format!("{lane:?}: {} of {}", state.receipted.index, state.end);
                self.breach(broken, "QUEUES-DRAIN", &fact);
            }
        }
        let carried = stream.receipted_standing();
        let any = carried.lanes.iter().any(|(_, position)| position.through > 0);
        if any && self.inbound.stream.standing != Some(carried) {
            let fact = format!("{carried:?} and {:?}", self.inbound.stream.standing);
            self.breach(broken, "EQUAL-HASHES", &fact);
        }
        if self.outbound.fates.values().any(|fate| *fate == Fate::Waiting) {
            self.breach(broken, "QUEUES-DRAIN", "an event still waits");
        }
    }

    /// What the origin calls failed was not applied, and only what must fail has failed.
    fn failed_is_final(&self, broken: &mut Vec<String>) {
        let applied: HashSet<Uuid> = self.inbound.effects.iter().map(|event| event.id).collect();
        for (id, fate) in &self.outbound.fates {
            let must_fail = is_poison(*id) || is_unwelcome(*id);
            if *fate == Fate::Failed && (applied.contains(id) || !must_fail) {
                self.breach(broken, "FAILED-IS-FINAL", &id.to_string());
            }
            if *fate == Fate::Accepted && must_fail && !self.world.restored.contains(&self.to) {
                self.breach(broken, "FAILED-IS-FINAL", &format!("{id} must fail"));
            }
        }
    }

    fn bounded(&self, broken: &mut Vec<String>) {
        if self.outbound.stream.past.len() > MAX_PAST {
            self.breach(broken, "BOUNDED", "too many earlier incarnations");
        }
    }
}

/// Without restores and clones, all regions hold the same conversation in the same order.
fn same_conversation(world: &World, broken: &mut Vec<String>) {
    if !world.restored.is_empty() || !world.cloned.is_empty() {
        return;
    }
    let known: HashMap<Uuid, &Message> =
        world.messages.iter().map(|message| (message.id, message)).collect();
    let mut conversations = world.nodes.iter().filter(|node| node.up).map(|node| {
        let own = node
            .db
            .accepted
            .iter()
            .filter_map(|n| world.messages.get(*n))
            .map(|message| (message.stamp, message.region, message.sender, message.id));
        let theirs = node.db.inbound.iter().flat_map(|(region, inbound)| {
            inbound.effects.iter().map(|event| {
                let stamp = event.event.as_ref().ok().and_then(|event| event.stamp);
                (stamp, *region, event.sender.unwrap_or_default(), event.id)
            })
        });
        let mut all: Vec<_> = own
            .chain(theirs)
            .filter(|(.., id)| known.contains_key(id) && !is_poison(*id) && !is_unwelcome(*id))
            .collect();
        all.sort();
        all
    });
    let first = conversations.next();
    if conversations.any(|other| Some(&other) != first.as_ref()) {
        broken.push("SAME-CONVERSATION: two regions differ".to_owned());
    }
}

/// What a user was told is sent is in the region's database, unless that went back or was doubled.
fn acknowledged_is_durable(world: &World, broken: &mut Vec<String>) {
    for (n, message) in world.messages.iter().enumerate().filter(|(_, one)| one.acknowledged) {
        let lost =
            world.restored.contains(&message.region) || world.cloned.contains(&message.region);
        let held = world
            .nodes
            .iter()
            .any(|node| node.up && node.region == message.region && node.db.accepted.contains(&n));
        if !lost && !held {
            broken.push(format!("ACKNOWLEDGED-IS-DURABLE: {}", message.id));
        }
    }
}
