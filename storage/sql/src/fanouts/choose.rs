//! Which entries of a batch wait.

use std::sync::Arc;

use foldhash::HashSet;
use posthouse_protocol::{cursor::Cursor, time::Timestamp};
use uuid::Uuid;

use super::{Fanouts, Index, MOST_IN_AN_INBOX, MOST_KNOWN, MOST_WAITING, NewFanout, Tail};
use crate::commit::{
    load::Load,
    plan::{Head, Known, NewEntry, Plan},
};

/// Whose entries of a batch wait, and how the inboxes are read for it.
#[derive(Default)]
pub(crate) struct Deferral {
    /// Inboxes whose entries of this batch wait, all of them.
    deferred: HashSet<Uuid>,
    /// Of those, the ones that the index knows.
    known: Vec<(Uuid, Head, Load)>,
    /// Of those, the ones that it does not know yet.
    pub(crate) fresh: Vec<Uuid>,
    /// Inboxes that get rows: what waits there is written before.
    pub(crate) written: Vec<Uuid>,
}

/// Decides for `messages`: the recipients of each, and whether it is one that may wait. `others` are
/// inboxes that the batch writes for another reason.
pub(crate) fn choose<'a>(
    fanouts: Option<&Arc<Fanouts>>,
    messages: impl Iterator<Item = (&'a [Uuid], bool)>,
    others: impl Iterator<Item = Uuid>,
) -> Deferral {
    let (mut many, mut written): (Vec<&[Uuid]>, Vec<Uuid>) = (Vec::new(), others.collect());
    let fewest = fanouts.map_or(usize::MAX, |fanouts| fanouts.fewest);
    for (recipients, may_wait) in messages {
        if may_wait && recipients.len() >= fewest {
            many.push(recipients);
        } else {
            written.extend_from_slice(recipients);
        }
    }
    let all = || many.iter().flat_map(|recipients| recipients.iter().copied());
    let mut deferral = Deferral::default();
    if let Some(fanouts) = fanouts.filter(|_| !many.is_empty()) {
        let mut index = fanouts.index();
        index.forget_idle();
        if index.waiting + all().count() > MOST_WAITING {
            written.extend(all());
        } else {
            let taken: HashSet<Uuid> = written.iter().copied().collect();
            deferral.reserve(all().count());
            for account in all().filter(|one| !taken.contains(one)) {
                if deferral.deferred.insert(account) && !deferral.consider(&index, account) {
                    written.push(account);
                }
            }
            for account in &written {
                deferral.deferred.remove(account);
            }
        }
    }
    written.sort_unstable();
    written.dedup();
    Deferral { written, ..deferral }
}

impl Deferral {
    fn reserve(&mut self, accounts: usize) {
        self.deferred.reserve(accounts);
        self.known.reserve(accounts);
    }

    /// Whether something more may wait in an inbox.
    fn consider(&mut self, index: &Index, account: Uuid) -> bool {
        match index.tails.get(&account) {
            Some(tail) if tail.load.is_high() || tail.waiting.len() >= MOST_IN_AN_INBOX => {
                return false;
            }
            Some(tail) => {
                let head = Head { last: tail.end(), stored: true };
                self.known.push((account, head, tail.load));
            }
            None => self.fresh.push(account),
        }
        true
    }

    #[cfg(test)]
    pub(super) fn is_deferred(&self, account: &Uuid) -> bool {
        self.deferred.contains(account)
    }

    /// Inboxes that have to be read.
    pub(crate) fn unknown(&self) -> Vec<Uuid> {
        self.written.iter().chain(&self.fresh).copied().collect()
    }

    /// Completes what was read by what the index knows, and the index by what was read.
    pub(crate) fn complete(&mut self, fanouts: Option<&Arc<Fanouts>>, known: &mut Known) {
        let Some(fanouts) = fanouts else { return };
        let mut index = fanouts.index();
        for account in core::mem::take(&mut self.fresh) {
            let head = known.inboxes.get(&account).filter(|head| head.stored);
            let load = known.loads.get(&account).copied().unwrap_or_default();
            match head {
                Some(head) if !load.is_high() && known.accounts.contains(&account) => {
                    let tail = Tail { head: head.last, load, waiting: Vec::new() };
                    index.tails.insert(account, tail);
                }
                // There is no such inbox or nobody whose it is, or its load is counted anew.
                _ => {
                    self.deferred.remove(&account);
                }
            }
        }
        known.inboxes.reserve(self.known.len());
        known.loads.reserve(self.known.len());
        for (account, head, load) in core::mem::take(&mut self.known) {
            known.inboxes.insert(account, head);
            known.loads.insert(account, load);
        }
    }

    /// Takes the entries that wait out of a plan. `row` gives the number and the time of an entry's
    /// message.
    pub(crate) fn take(
        &self,
        plan: &mut Plan,
        row: impl Fn(&Plan, &NewEntry) -> Option<(i64, Timestamp)>,
    ) -> Vec<NewFanout> {
        let mut new: Vec<NewFanout> = Vec::new();
        if self.deferred.is_empty() {
            return new;
        }
        let (waiting, entries): (Vec<_>, Vec<_>) = core::mem::take(&mut plan.entries)
            .into_iter()
            .partition(|entry| self.deferred.contains(&entry.account));
        plan.entries = entries;
        plan.inboxes.retain(|(account, _)| !self.deferred.contains(account));
        for entry in &waiting {
            let Some((message, arrived_at)) = row(plan, entry) else { continue };
            let one: (Uuid, Cursor) = (entry.account, entry.cursor);
            match new.last_mut() {
                Some(last) if last.message == message => last.entries.push(one),
                _ => {
                    let (size, entries) = (entry.size, vec![one]);
                    new.push(NewFanout { message, arrived_at, size, entries });
                }
            }
        }
        new
    }
}

impl Index {
    /// Keeps the number of inboxes within bounds in which nothing waits. Nothing is forgotten between
    /// the choice for a batch and its commit: this is done before.
    fn forget_idle(&mut self) {
        // If as many wait as there are inboxes, hardly any of them is idle.
        if self.tails.len() > MOST_KNOWN && self.waiting < self.tails.len() {
            self.tails.retain(|_, tail| !tail.waiting.is_empty());
        }
    }
}
