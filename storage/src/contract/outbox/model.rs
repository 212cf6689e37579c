//! Random sequences of operations, compared with a small model after each.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, Hasher, RandomState},
};

use posthouse_protocol::{
    federation::stream::Lane,
    id::{AccountId, ConversationId, MessageId},
    limits::RETENTION_MS,
    status::FailReason,
    time::Timestamp,
};
use uuid::Uuid;

use super::lane::{ALL, Abroad, mark};
use crate::{
    bodies::BodyId,
    contract::{
        Store, Subject,
        world::{Person, START, World},
    },
    ledger::{Accept, Destination},
    outbox::{LoadRange, OutboxItem, OutboxLane, Settled, Settlement},
    receipts::MAX_EXCEPT,
    retention::Cutoffs,
};

const LANE: Lane = Lane::Messages;
/// Operations of one sequence.
const STEPS: usize = 80;

/// Sequences of seeds that are the same in every run, and of some that are new in each.
pub async fn random_operations_follow_the_model<S: Subject>(subject: &S) {
    let new = RandomState::new().build_hasher().finish();
    // One database, one destination, one sequence after the other in it: each begins where the
    // last one stopped.
    let abroad = Abroad::new(World::new(subject).await).await;
    let senders = [abroad.world.person("alice").await, abroad.world.person("bob").await];
    let mut model = Model::default();
    for seed in [1, 2, 3, new, new.wrapping_add(1), new.wrapping_add(2)] {
        let mut rng = Rng(seed);
        for step in 0..STEPS {
            let operation = Operation::draw(&mut rng, &model);
            let place = format!("seed {seed}, step {step}: {operation:?}");
            run(&abroad, &senders, &mut model, &mut rng, &operation, &place).await;
            assert_eq!(abroad.lane(LANE).await, model.lane(), "{place}");
        }
        compare_inboxes(&abroad, &senders, &model, seed).await;
    }
    compare_bodies(&abroad, &mut model).await;
    subject.close(abroad.world.store).await;
}

/// `SplitMix64`.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of the range, its ends included.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high.saturating_sub(low) + 1)
    }
}

#[derive(Debug)]
enum Operation {
    Commit { count: u64 },
    Load { after: u64, limit: u64, max_bytes: u64 },
    Settle { to: u64, rejected: Vec<(u64, FailReason)> },
    Rewind { to: u64 },
    Refuse { index: u64 },
    Expire { before: u64, limit: u64 },
    FailAll { limit: u64 },
    Forget { before: u64, limit: u64 },
    Open { receipted: u64, offered: u64 },
}

impl Operation {
    fn draw(rng: &mut Rng, model: &Model) -> Self {
        let (floor, receipted, offered) = (model.floor, model.receipted, model.head);
        match rng.between(0, 20) {
            0..=4 => Self::Commit { count: rng.between(1, 6) },
            5..=8 => Self::Load {
                after: rng.between(floor, offered),
                limit: rng.between(1, 12),
                max_bytes: rng.between(0, 400),
            },
            9..=13 => {
                let to = rng.between(receipted, offered.max(receipted));
                let some = (receipted + 1..=to + 2).filter(|_| rng.between(0, 4) == 0);
                let rejected = some
                    .collect::<Vec<_>>()
                    .into_iter()
                    .map(|index| (index, FailReason::ALL[usize::try_from(index % 8).unwrap()]));
                Self::Settle { to, rejected: rejected.collect() }
            }
            14 => Self::Rewind { to: rng.between(floor, receipted) },
            15 => Self::Refuse { index: rng.between(floor, offered + 1) },
            16 => Self::Expire {
                before: rng.between(model.clock.saturating_sub(500), model.clock + 500),
                limit: rng.between(1, 5),
            },
            17 if rng.between(0, 3) == 0 => Self::FailAll { limit: rng.between(1, 6) },
            17..=19 => Self::Forget {
                before: rng.between(model.clock.saturating_sub(300), model.clock + 10),
                limit: rng.between(1, 9),
            },
            _ => Self::Open {
                receipted: rng.between(floor, receipted),
                offered: rng.between(0, offered),
            },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Queued,
    Failed,
    Refused,
}

#[derive(Debug, Clone)]
struct Item {
    index: u64,
    id: MessageId,
    sender: Uuid,
    conversation: ConversationId,
    recipient: Uuid,
    number: u64,
    expires: u64,
    size: u64,
    body: BodyId,
    state: State,
}

type Coverage = (u64, BTreeSet<u64>);

/// What the store should hold.
#[derive(Default)]
struct Model {
    clock: u64,
    floor: u64,
    receipted: u64,
    /// All of it may have been sent.
    head: u64,
    log: Vec<Item>,
    receipts: BTreeMap<u64, u64>,
    accepted: BTreeMap<(ConversationId, Uuid), Coverage>,
    /// Conversations of which a sender was told.
    told: BTreeMap<(ConversationId, Uuid), Uuid>,
    failed: Vec<(Uuid, MessageId, FailReason)>,
    released: BTreeSet<BodyId>,
}

impl Model {
    fn lane(&self) -> OutboxLane {
        OutboxLane { floor: mark(self.floor), receipted: mark(self.receipted), offered: self.head }
    }

    /// An entry fails, if it had not; whether it had not.
    fn fail(&mut self, index: u64, state: State, reason: FailReason) -> bool {
        let Some(item) = self.log.iter_mut().find(|item| item.index == index) else { return false };
        let fresh = item.state == State::Queued;
        if fresh || state == State::Refused {
            item.state = state;
        }
        if fresh {
            self.failed.push((item.sender, item.id, reason));
            self.released.insert(item.body);
        }
        fresh
    }

    /// The watermarks that are told.
    fn settle(
        &mut self,
        to: u64,
        rejected: &[(u64, FailReason)],
    ) -> Vec<(ConversationId, Coverage)> {
        for (index, reason) in rejected {
            if *index > self.receipted && *index <= to {
                self.fail(*index, State::Failed, *reason);
            }
        }
        let mut news: BTreeMap<(ConversationId, Uuid), (Coverage, bool)> = BTreeMap::new();
        for item in self.log.iter().filter(|i| i.index > self.receipted && i.index <= to) {
            let key = (item.conversation, item.recipient);
            let ((through, except), any) = news.entry(key).or_default();
            *through = item.number.max(*through);
            if item.state == State::Queued {
                *any = true;
                self.told.insert(key, item.sender);
            } else {
                except.insert(item.number);
            }
        }
        let mut told = Vec::new();
        for (key, ((through, except), any)) in news {
            let known = self.accepted.entry(key).or_default();
            let mut merged = known.clone();
            merged.0 = merged.0.max(through);
            merged.1.extend(except);
            while merged.1.len() > MAX_EXCEPT {
                merged.1.pop_first();
            }
            if merged != *known {
                *known = merged.clone();
                if any {
                    told.push((key.0, merged));
                }
            }
        }
        if to > self.receipted {
            self.receipts.insert(to, self.clock);
        }
        self.receipted = to;
        told
    }

    fn overdue(&self, before: u64, limit: u64) -> Vec<u64> {
        let old = self.receipts.iter().take_while(|(_, at)| **at < before);
        let through = old.map(|(through, _)| *through).last().unwrap_or_default();
        let old = self.log.iter().map(|item| item.index).take_while(|index| *index <= through);
        old.take(usize::try_from(limit).unwrap()).collect()
    }

    fn unreceipted(&self) -> impl Iterator<Item = &Item> {
        self.log.iter().filter(|i| i.index > self.receipted && i.state == State::Queued)
    }
}

async fn run<S: Store>(
    abroad: &Abroad<S>,
    senders: &[Person],
    model: &mut Model,
    rng: &mut Rng,
    operation: &Operation,
    place: &str,
) {
    model.clock += 10;
    let now = START.plus_millis(model.clock);
    let (store, fence, region) = (&abroad.world.store, &abroad.fence, &abroad.region);
    match operation {
        Operation::Commit { count } => commit(abroad, senders, model, rng, *count).await,
        Operation::Load { after, limit, max_bytes } => {
            let range = LoadRange {
                after: *after,
                limit: usize::try_from(*limit).unwrap(),
                max_bytes: usize::try_from(*max_bytes).unwrap(),
            };
            load(abroad, model, range, place).await;
        }
        Operation::Settle { to, rejected } => {
            settle(abroad, model, Settlement { to: mark(*to), rejected, now }, place).await;
        }
        Operation::Rewind { to } => {
            abroad.rewind(*to).await;
            model.receipted = *to;
            model.receipts.retain(|through, _| through <= to);
        }
        Operation::Refuse { index } => {
            let before = model.failed.len();
            model.fail(*index, State::Refused, FailReason::Refused);
            let settled = abroad.refuse(*index).await;
            compare_failed(&settled, &model.failed[before..], place);
        }
        Operation::Expire { before, limit } => {
            let times = (START.plus_millis(*before), now);
            let limit = usize::try_from(*limit).unwrap();
            let settled = store.expire(fence, region, times, limit).await.unwrap();
            let waiting = |item: &&Item| item.expires < *before;
            let some: Vec<u64> =
                model.unreceipted().filter(waiting).map(|i| i.index).take(limit).collect();
            compare_given_up(model, &some, FailReason::Expired, &settled, place);
        }
        Operation::FailAll { limit } => {
            let limit = usize::try_from(*limit).unwrap();
            let settled = abroad.fail_all(limit).await;
            let some: Vec<u64> = model.unreceipted().map(|i| i.index).take(limit).collect();
            compare_given_up(model, &some, FailReason::NoSuchRegion, &settled, place);
        }
        Operation::Forget { before, limit } => {
            let at = START.plus_millis(*before);
            let entries =
                store.overdue(region, LANE, at, usize::try_from(*limit).unwrap()).await.unwrap();
            let got: Vec<u64> = entries.iter().map(|entry| entry.index).collect();
            assert_eq!(got, model.overdue(*before, *limit), "{place}");
            if let Some(floor) = got.last().copied() {
                abroad.forget(floor).await;
                let gone = model.log.iter().filter(|item| item.index <= floor);
                model.released.extend(gone.map(|item| item.body));
                model.log.retain(|item| item.index > floor);
                model.receipts.retain(|through, _| *through > floor);
                model.floor = floor;
            }
        }
        Operation::Open { receipted, offered } => {
            let mut next = abroad.stream().await;
            let lane = next.lanes.of_mut(LANE);
            *lane = OutboxLane { receipted: mark(*receipted), offered: *offered, ..*lane };
            abroad.open(&next).await;
            model.receipted = *receipted;
            model.receipts.retain(|through, _| through <= receipted);
        }
    }
}

async fn load<S: Store>(abroad: &Abroad<S>, model: &mut Model, range: LoadRange, place: &str) {
    let loaded = abroad.world.store.load(&abroad.fence, &abroad.region, LANE, range).await.unwrap();
    let mut bytes = 0;
    let mut want = Vec::new();
    for item in model.log.iter().filter(|item| item.index > range.after).take(range.limit) {
        // The body and one recipient.
        bytes += if item.state == State::Queued { item.size + 16 } else { 16 };
        if bytes > range.max_bytes as u64 && !want.is_empty() {
            break;
        }
        want.push((item.index, item.id.0, item.state));
    }
    let state = |item: &OutboxItem| match item {
        OutboxItem::Message { .. } => State::Queued,
        OutboxItem::Failed => State::Failed,
        OutboxItem::Refused => State::Refused,
        OutboxItem::Watermark { .. } => panic!("{place}: a watermark"),
        OutboxItem::Gone { .. } => panic!("{place}: a notice"),
    };
    let got = loaded.entries.iter().map(|entry| (entry.index, entry.id, state(&entry.item)));
    assert_eq!(got.collect::<Vec<_>>(), want, "{place}");
    assert_eq!(loaded.offered, model.head, "{place}");
}

async fn settle<S: Store>(
    abroad: &Abroad<S>,
    model: &mut Model,
    settlement: Settlement<'_>,
    place: &str,
) {
    let before = model.failed.len();
    let want = model.settle(settlement.to.index, settlement.rejected);
    let settled =
        abroad.world.store.settle(&abroad.fence, &abroad.region, LANE, settlement).await.unwrap();
    let mut got: Vec<(ConversationId, Coverage)> = settled
        .risen
        .iter()
        .map(|risen| &risen.watermark)
        .map(|w| (w.conversation, (w.through, w.except.iter().copied().collect())))
        .collect();
    got.sort_unstable();
    assert_eq!(got, want, "{place}");
    compare_failed(&settled, &model.failed[before..], place);
}

async fn commit<S: Store>(
    abroad: &Abroad<S>,
    senders: &[Person],
    model: &mut Model,
    rng: &mut Rng,
    count: u64,
) {
    for _ in 0..count {
        let from = &senders[usize::try_from(rng.between(0, 1)).unwrap()];
        let recipient = Uuid::from_u128(u128::from(rng.between(7, 8)));
        let to = AccountId { uuid: recipient, server: abroad.region.clone() };
        let now = START.plus_millis(model.clock);
        let expires = (rng.between(0, 2) > 0).then(|| now.plus_millis(rng.between(1, 600)));
        let accept = Accept {
            conversation: ConversationId::direct(&from.account, &to),
            destinations: vec![Destination {
                server: abroad.region.clone(),
                recipients: vec![recipient],
            }],
            expires,
            ..abroad.world.message_abroad(from, &abroad.region, now)
        };
        let accepted = abroad.world.accept(&accept).await;
        model.head += 1;
        model.log.push(Item {
            index: model.head,
            id: accept.id,
            sender: from.uuid(),
            conversation: accept.conversation,
            recipient,
            number: accepted.origin_number,
            expires: expires.unwrap_or_else(|| now.plus_millis(RETENTION_MS)).0 - START.0,
            size: 16,
            body: accept.body,
            state: State::Queued,
        });
    }
}

fn compare_given_up(
    model: &mut Model,
    indices: &[u64],
    reason: FailReason,
    settled: &Settled,
    place: &str,
) {
    let before = model.failed.len();
    for index in indices {
        assert!(model.fail(*index, State::Failed, reason), "{place}");
    }
    compare_failed(settled, &model.failed[before..], place);
}

fn compare_failed(settled: &Settled, want: &[(Uuid, MessageId, FailReason)], place: &str) {
    let got =
        settled.failed.iter().map(|(arrival, failed)| (arrival.account, failed.id, failed.reason));
    assert_eq!(got.collect::<Vec<_>>(), want, "{place}");
}

async fn compare_inboxes<S: Store>(
    abroad: &Abroad<S>,
    senders: &[Person],
    model: &Model,
    seed: u64,
) {
    for person in senders {
        let failures = abroad.failures(person).await;
        let got: Vec<_> = failures.iter().map(|failed| (failed.id, failed.reason)).collect();
        let own = model.failed.iter().filter(|(sender, ..)| *sender == person.uuid());
        let want: Vec<_> = own.map(|(_, id, reason)| (*id, *reason)).collect();
        assert_eq!(got, want, "seed {seed}");
        let mut statuses = abroad.statuses(person).await;
        statuses.sort_unstable();
        let mut want: Vec<(u64, Vec<u64>)> = model
            .told
            .iter()
            .filter(|(_, sender)| **sender == person.uuid())
            .filter_map(|(key, _)| model.accepted.get(key))
            .map(|(through, except)| (*through, except.iter().copied().collect()))
            .collect();
        want.sort_unstable();
        assert_eq!(statuses, want, "seed {seed}");
    }
}

/// In the end everything goes, and every body was released once.
async fn compare_bodies<S: Store>(abroad: &Abroad<S>, model: &mut Model) {
    let trim = async || {
        let mut bodies = BTreeSet::new();
        loop {
            let trimmed = abroad.world.store.trim(&Cutoffs::at(START), 100).await.unwrap();
            let before = bodies.len();
            bodies.extend(trimmed.unreferenced.iter().copied());
            assert_eq!(bodies.len(), before + trimmed.unreferenced.len(), "released twice");
            if trimmed.unreferenced.is_empty() {
                return bodies;
            }
        }
    };
    assert_eq!(trim().await, model.released);
    let range = LoadRange { after: model.floor, limit: 100_000, max_bytes: ALL };
    abroad.world.store.load(&abroad.fence, &abroad.region, LANE, range).await.unwrap();
    abroad.settle(model.head, &[]).await;
    abroad.forget(model.head).await;
    let left: BTreeSet<BodyId> = model.log.iter().map(|item| item.body).collect();
    let left: BTreeSet<BodyId> = left.difference(&model.released).copied().collect();
    assert_eq!(trim().await, left);
    let nothing = abroad.overdue(Timestamp(u64::MAX >> 2).0).await;
    assert_eq!(nothing, Vec::<u64>::new());
}
