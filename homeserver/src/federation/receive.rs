//! Steps 9 and 10: an envelope's events take effect in one transaction; then connected devices are
//! handed what is new.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_federation::{
    engine::receiver::InboundStream,
    ports::{InboundStore, TakeError, Taking},
};
use posthouse_protocol::{
    federation::{
        event::{Event, EventKind},
        receipt::{Rejection, RejectionReason},
        record::{EventRecord, Record},
    },
    id::{AccountId, ConversationId, GroupId, ServerName},
    time::Timestamp,
};
use posthouse_storage::{
    bodies::BodyId,
    error::StoreError,
    inbox::{Entry, EntryKind},
    message_store::MessageStore,
    people::Stance,
    reception::{self, ReceivedWatermark, Receptions, Rejected, Taken},
};
use uuid::Uuid;

use super::{
    advice::{Advice, Served},
    judge::{Judge, Recipients, Verdict},
};
use crate::{
    accounts::Directory,
    delivery::{Connections, announce},
    devices::ForeignKeys,
    groups::{GroupsService, Known},
    people::Relations,
    random::Random,
};

/// Most groups whose chains are caught up with for one envelope.
const MAX_CAUGHT_UP: usize = 32;

/// What receiving needs.
pub struct ReceptionParts {
    /// Streams and effects.
    pub receptions: Arc<dyn Receptions>,
    /// Where contents are kept.
    pub messages: MessageStore,
    /// Accounts.
    pub directory: Arc<Directory>,
    /// Who hears whom.
    pub relations: Arc<Relations>,
    /// Connected devices.
    pub connections: Arc<Connections>,
    /// Random numbers.
    pub random: Arc<Random>,
    /// Groups.
    pub groups: Arc<GroupsService>,
    /// What senders are told of devices here.
    pub advice: Arc<Advice>,
    /// Who of other regions is gone.
    pub keys: Arc<ForeignKeys>,
    /// Whether contents are taken that are not end-to-end encrypted.
    pub allow_unencrypted: bool,
}

/// Takes the events of other regions.
pub struct Reception(ReceptionParts);

/// What an envelope brings, sorted.
#[derive(Default)]
struct Sorted {
    messages: Vec<reception::Received>,
    bodies: Vec<(BodyId, Bytes)>,
    /// Whom messages serve, by their places.
    served: Vec<(usize, Served)>,
    /// Strangers who have written: account here, sender.
    asking: Vec<(Uuid, AccountId)>,
    watermarks: Vec<ReceivedWatermark>,
    /// Accounts that their region has deleted.
    gone: Vec<AccountId>,
    rejected: Vec<Rejected>,
    voids: Vec<posthouse_protocol::federation::record::Void>,
}

impl Reception {
    /// Takes events with `parts`.
    pub fn new(parts: ReceptionParts) -> Self {
        Self(parts)
    }

    async fn sort(
        &self,
        origin: &ServerName,
        taking: Taking<'_>,
        now: Timestamp,
    ) -> Result<Sorted, StoreError> {
        let parts = &self.0;
        let known = self.recipients(origin, taking.records, now).await?;
        let own = parts.directory.server();
        let judge = Judge { origin, own, allow_unencrypted: parts.allow_unencrypted, now };
        let mut sorted = Sorted::default();
        for record in taking.records {
            match record {
                Record::Void(void) => sorted.voids.push(*void),
                Record::Event(event) => {
                    let body = BodyId::new(now, parts.random.bytes());
                    match judge.judge(event, &known, body) {
                        Verdict::Message(received, content) => {
                            sorted.note_served(event, &received);
                            sorted.messages.push(*received);
                            sorted.bodies.push((body, content));
                        }
                        Verdict::Request(received, content) => {
                            sorted.ask(&received, &known);
                            sorted.note_served(event, &received);
                            sorted.messages.push(*received);
                            sorted.bodies.push((body, content));
                        }
                        Verdict::Watermark(rise) => {
                            sorted.watermarks.push(ReceivedWatermark { id: event.id, rise: *rise });
                        }
                        Verdict::Gone(account) => sorted.gone.push(account),
                        Verdict::Rejected(reason) => {
                            let EventRecord { sender, id, .. } = *event;
                            let malformed = event.event.as_ref().err();
                            tracing::debug!(
                                peer = %origin, event = %id, ?reason, ?malformed,
                                "an event is rejected"
                            );
                            sorted.rejected.push(Rejected { sender, id, reason });
                        }
                    }
                }
            }
        }
        Ok(sorted)
    }

    /// Those of the accounts that the records are for which exist here, and what they think of the
    /// messages' senders.
    async fn recipients(
        &self,
        origin: &ServerName,
        records: &[Record],
        now: Timestamp,
    ) -> Result<Recipients, StoreError> {
        let events = || {
            records.iter().filter_map(|record| match record {
                Record::Event(one) => one.event.as_ref().ok().map(|event| (one.sender, event)),
                Record::Void(_) => None,
            })
        };
        let named: HashSet<Uuid> =
            events().flat_map(|(_, event)| event.recipients.iter().copied()).collect();
        let named: Vec<Uuid> = named.into_iter().collect();
        let exist = self.0.directory.existing(&named).await?;
        let existing: HashSet<Uuid> =
            named.into_iter().zip(exist).filter(|(_, yes)| *yes).map(|(id, _)| id).collect();
        let mut pairs = HashSet::new();
        for (sender, event) in events().filter(|(_, event)| event.kind == EventKind::Message) {
            let (Some(uuid), [recipient]) = (sender, event.recipients.as_slice()) else { continue };
            if existing.contains(recipient) {
                let account =
                    AccountId { uuid: *recipient, server: self.0.directory.server().clone() };
                pairs.insert((account, AccountId { uuid, server: origin.clone() }));
            }
        }
        let pairs: Vec<_> = pairs.into_iter().collect();
        let relations = self.0.relations.of(&pairs, now).await?;
        let named = |((account, sender), relation): ((AccountId, AccountId), _)| {
            ((account.uuid, sender), relation)
        };
        let relations = pairs.into_iter().zip(relations).map(named).collect();
        let groups = self.groups(origin, records).await?;
        Ok(Recipients { existing, relations, groups })
    }

    /// The groups that the records are about, caught up with the epochs that messages name.
    async fn groups(
        &self,
        origin: &ServerName,
        records: &[Record],
    ) -> Result<HashMap<ConversationId, Arc<Known>>, StoreError> {
        let mut wanted: HashMap<GroupId, u64> = HashMap::new();
        for record in records {
            let Record::Event(EventRecord { sender, event: Ok(event), .. }) = record else {
                continue;
            };
            match (event.kind, &event.group) {
                (EventKind::Message, Some(group)) => {
                    let epoch = wanted.entry(group.clone()).or_default();
                    *epoch = event.epoch.unwrap_or_default().max(*epoch);
                }
                (EventKind::Watermark, _) => {
                    let group = self.group_of(origin, *sender, event).await?;
                    wanted.extend(group.map(|group| (group, 0)));
                }
                _ => {}
            }
        }
        let mut groups = HashMap::new();
        for (at, (group, epoch)) in wanted.into_iter().enumerate() {
            if epoch > 0 && at < MAX_CAUGHT_UP {
                // The events wait at their origin until the chain can be read.
                let caught_up = self.0.groups.catch_up(&group, epoch, origin).await;
                caught_up.map_err(|rejection| StoreError::Unavailable(Box::new(rejection)))?;
            }
            let known = self.0.groups.book.current(&group).await;
            let known = known.map_err(|rejection| StoreError::Unavailable(Box::new(rejection)))?;
            groups.extend(known.map(|known| (ConversationId::group(&group), known)));
        }
        Ok(groups)
    }

    /// The group of a watermark that is not between two people.
    async fn group_of(
        &self,
        origin: &ServerName,
        sender: Option<Uuid>,
        event: &Event,
    ) -> Result<Option<GroupId>, StoreError> {
        let Some(conversation) = event.conversation else { return Ok(None) };
        if let (Some(uuid), [recipient]) = (sender, event.recipients.as_slice()) {
            let reader = AccountId { uuid, server: origin.clone() };
            let own = self.0.directory.server().clone();
            let told = AccountId { uuid: *recipient, server: own };
            if conversation == ConversationId::direct(&reader, &told) {
                return Ok(None);
            }
        }
        self.0.groups.book.store().group_of(conversation).await
    }

    /// People here keep nothing of accounts that are gone.
    async fn forget(&self, gone: &[AccountId]) -> Result<(), StoreError> {
        for account in gone {
            self.0.keys.gone(account).await?;
        }
        Ok(())
    }

    fn tell(
        &self,
        sorted: Sorted,
        arrivals: Vec<Vec<posthouse_storage::ledger::Arrival>>,
        now: Timestamp,
    ) {
        let contents = sorted.bodies.into_iter().map(|(_, content)| content);
        for ((received, content), arrivals) in
            sorted.messages.into_iter().zip(contents).zip(arrivals)
        {
            let (discard, message) = (received.discard, Arc::new(received.message));
            let kind = || {
                let kind = if discard { EntryKind::Discarded } else { EntryKind::Message };
                kind(Arc::clone(&message))
            };
            let entry = |cursor| Entry { cursor, arrived_at: now, kind: kind() };
            let content = (!discard).then_some(&content);
            self.0.connections.hand_over(&arrivals, entry, content);
        }
    }
}

impl Sorted {
    /// A message is about to be noted.
    fn note_served(&mut self, record: &EventRecord, received: &reception::Received) {
        let Ok(event) = &record.event else { return };
        let served = Served::of(event, record.id, &received.message.sender);
        self.served.extend(served.map(|served| (self.messages.len(), served)));
    }

    /// Those who are gone and sent something before, in the same envelope.
    fn gone_again(&self) -> Vec<AccountId> {
        let sent = |account: &&AccountId| {
            self.messages.iter().any(|received| received.message.sender == **account)
        };
        self.gone.iter().filter(sent).cloned().collect()
    }

    /// The recipient is asked whether to hear the sender, unless it has been.
    fn ask(&mut self, received: &reception::Received, known: &Recipients) {
        let sender = &received.message.sender;
        for account in &received.recipients {
            let key = (*account, sender.clone());
            let relation = known.relations.get(&key);
            if relation.is_some_and(|relation| relation.stance == Stance::Stranger) {
                self.asking.push(key);
            }
        }
    }
}

/// The rejections among the records, with their sequences. `verdicts` are by sender and id.
fn placed(
    taking: Taking<'_>,
    verdicts: &HashMap<(Option<Uuid>, Uuid), RejectionReason>,
) -> Vec<Rejection> {
    let mut sequence = taking.first;
    let mut named = Vec::new();
    for record in taking.records {
        if let Record::Event(event) = record
            && let Some(&reason) = verdicts.get(&name_of(event.sender, event.id))
        {
            named.push(Rejection { sequence, id: event.id, reason });
        }
        sequence = sequence.saturating_add(record.covers());
    }
    named
}

/// What events are known by: the nil UUID as sender says as much as none.
fn name_of(sender: Option<Uuid>, id: Uuid) -> (Option<Uuid>, Uuid) {
    (sender.filter(|sender| !sender.is_nil()), id)
}

#[async_trait]
impl InboundStore for Reception {
    async fn stream(&self, origin: &ServerName) -> Result<InboundStream, StoreError> {
        let known = self.0.receptions.inbound(origin).await?;
        Ok(InboundStream { standing: known.standing, since: known.since })
    }

    async fn take(
        &self,
        origin: &ServerName,
        expected: &InboundStream,
        next: &InboundStream,
        taking: Taking<'_>,
        now: Timestamp,
    ) -> Result<Vec<Rejection>, TakeError> {
        let mut sorted = self.sort(origin, taking, now).await?;
        // Before the position moves, since the notice does not come again after that.
        self.forget(&sorted.gone).await?;
        // Before the messages: a request without one does no harm.
        self.0.relations.ask(&sorted.asking, now).await?;
        let kept = |stream: &InboundStream| reception::InboundStream {
            standing: stream.standing,
            since: stream.since,
        };
        let reception = reception::Reception {
            origin,
            expected: &kept(expected),
            next: &kept(next),
            lane: taking.lane,
            messages: &sorted.messages,
            bodies: &sorted.bodies,
            watermarks: &sorted.watermarks,
            rejected: &sorted.rejected,
            voids: &sorted.voids,
            now,
        };
        match self.0.messages.receive(self.0.receptions.as_ref(), reception).await? {
            Taken::Moved => Err(TakeError::Moved),
            Taken::Done { arrivals, risen, rejected } => {
                // A message in the same envelope may have made its sender known again.
                self.forget(&sorted.gone_again()).await?;
                let mut served = std::mem::take(&mut sorted.served);
                // What was known before was advised about then.
                served.retain(|(at, _)| arrivals.get(*at).is_some_and(|new| !new.is_empty()));
                let served: Vec<Served> = served.into_iter().map(|(_, one)| one).collect();
                self.tell(sorted, arrivals, now);
                self.0.advice.give(&served, now).await;
                announce(risen, &self.0.connections);
                if rejected.is_empty() {
                    return Ok(Vec::new());
                }
                let verdicts = rejected.iter();
                let verdicts = verdicts.map(|one| (name_of(one.sender, one.id), one.reason));
                Ok(placed(taking, &verdicts.collect()))
            }
        }
    }

    async fn rejections(
        &self,
        origin: &ServerName,
        taking: Taking<'_>,
    ) -> Result<Vec<Rejection>, StoreError> {
        let events = taking.records.iter().filter_map(|record| match record {
            Record::Event(event) => Some(name_of(event.sender, event.id)),
            Record::Void(_) => None,
        });
        let events: Vec<(Option<Uuid>, Uuid)> = events.collect();
        let found = self.0.receptions.rejections(origin, &events).await?;
        let verdicts =
            found.into_iter().filter_map(|(at, reason)| Some((*events.get(at)?, reason)));
        Ok(placed(taking, &verdicts.collect()))
    }
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::federation::{
        record::{Void, VoidReason},
        stream::Lane,
    };

    use super::*;

    #[test]
    fn rejections_are_told_at_their_sequences() {
        let event = |id, sender| {
            let event =
                Err(posthouse_protocol::federation::record::decode_ephemeral(&[]).unwrap_err());
            Record::Event(EventRecord { id: Uuid::from_u128(id), sender, event })
        };
        let void = Record::Void(Void { from: 8, to: 10, reason: VoidReason::NotKept });
        let alice = Some(Uuid::from_u128(77));
        let records = [
            event(1, alice),
            void,
            event(1, None),
            event(2, Some(Uuid::nil())),
            event(2, alice),
            event(1, alice),
        ];
        let taking = Taking { lane: Lane::Messages, first: 7, records: &records };
        let (expired, refused) = (RejectionReason::Expired, RejectionReason::Refused);
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let verdicts = HashMap::from([((alice, one), expired), ((None, two), refused)]);
        let at = |sequence, id, reason| Rejection { sequence, id, reason };
        assert_eq!(
            placed(taking, &verdicts),
            [at(7, one, expired), at(12, two, refused), at(14, one, expired)]
        );
    }
}
