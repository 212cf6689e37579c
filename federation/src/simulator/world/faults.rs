//! What goes wrong, and how it ends.

use posthouse_protocol::federation::stream::Lane;
use rand::RngExt;

use super::{Fault, Schedule, What, Work, World};

impl World {
    /// The process dies. Of the work that was not finished, the first may have become durable.
    pub(super) fn down(&mut self, node: usize) {
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

    pub(super) fn fault(&mut self, schedule: &Schedule, fault: Fault) {
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
    pub(super) fn heal(&mut self, schedule: &Schedule) {
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
}
