//! Sending to groups: one ciphertext for all, under a key that is handed to each device before.
//!
//! A message leaves only under a key that exactly the devices of the group's members hold, by the
//! newest verified chain and device lists. Who lacks the key is handed it in pieces, which stand
//! in the lane before the message; key, pieces and message are durable together.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use posthouse_crypto::e2ee::{
    address::Address,
    content::{Body, Content},
    group::sending::{NotReady, SendingGroup, Undistributed},
    time::UnixMillis,
};
use posthouse_protocol::{
    content::{Ciphertext, Payload},
    frame::{Class, TallyFrame},
    id::{AccountId, ConversationId, MessageId},
    rest::{
        groups::{GroupHead, Standing},
        keys::EcKey,
    },
    status::Status,
};

use super::{Call, Step, address, lanes::Hold, sealing::Lack};
use crate::{
    message_id::message_id,
    records::{Group, Person, Queued, SentContent, key_number, number_key},
    store::{Scan, StoreError, Table, decode},
    update::{ChainFault, Update},
};

/// Devices of one piece, and bytes of its ciphertexts as text: below what the server takes, since
/// the devices of one person stay together.
const MAX_PIECE_DEVICES: usize = 90;
const MAX_PIECE_TEXT: usize = 200 * 1024;
/// Questions about members that are on their way for one message.
const MAX_QUESTIONS: usize = 32;
/// For how long a member without usable keys is passed over, in milliseconds.
const PASS_OVER: u64 = 60_000;
/// Members that are passed over, at most.
const MAX_PASSED_OVER: usize = 4_096;
/// Seconds until a group is tried again whose server behaves oddly.
const ODD_PAUSE: u64 = 60;
/// Refusals in a row after which a lane pauses.
const PATIENCE: u32 = 4;

/// A message as it can leave.
pub(super) struct Sealed {
    pub(super) payload: Payload,
    pub(super) epoch: u64,
}

/// What is missing before a group can be written to.
enum Missing {
    /// The account is no member.
    Membership,
    /// Answers about these members.
    Answers(BTreeSet<AccountId>),
}

impl Step<'_> {
    /// Encrypts a message to a group. `None` if that must wait: then pieces with the key stand
    /// before it in the lane, or what is missing was asked for.
    pub(super) async fn seal_to_group(
        &mut self,
        conversation: ConversationId,
        at: usize,
        queued: &mut Queued,
    ) -> Result<Option<Sealed>, StoreError> {
        let Some(group) = self.group(conversation).await? else {
            self.fail(queued.id, "not_found").await?;
            return Ok(None);
        };
        let epoch = group.epoch();
        if queued.class == Class::Key {
            let all = queued.sealed.clone().unwrap_or_default();
            return Ok(Some(Sealed { payload: Payload::Ciphertexts(all), epoch }));
        }
        if let (Some(body), Some(sealed_at)) = (&queued.body, queued.epoch)
            && sealed_at == epoch
        {
            return Ok(Some(Sealed { payload: Payload::Body(body.clone()), epoch }));
        }
        let readers = match self.readers(&group).await? {
            Ok(readers) => readers,
            Err(Missing::Membership) => {
                self.fail(queued.id, "not_found").await?;
                return Ok(None);
            }
            Err(Missing::Answers(of)) => {
                if let Some(lane) = self.machine.lanes.get(conversation) {
                    lane.hold = Some(Hold::Answer);
                    lane.needs = of;
                }
                return Ok(None);
            }
        };
        let key = queued.id.0.as_bytes().to_vec();
        let content = self.tx.read::<SentContent>(Table::Sent, &key).await?;
        let content = content.ok_or(StoreError::Corrupt(Table::Sent))?;
        let mut sending = self.sending(conversation).await?;
        let now = UnixMillis(self.now.0);
        let encrypted = match sending.ready(&readers, now, self.rng) {
            Ok(ready) => ready.encrypt(&content.padded.0, self.rng),
            Err(NotReady::Undistributed(lacking)) => {
                self.hand_out(conversation, at, &group, &readers, (sending, lacking)).await?;
                return Ok(None);
            }
            Err(_) => {
                self.fail(queued.id, "too_many").await?;
                return Ok(None);
            }
        };
        let Ok(encrypted) = encrypted else {
            // It has come to its end: the next attempt has a new key.
            sending.rotate();
            self.put_sending(conversation, &sending);
            self.pause(conversation, 1);
            return Ok(None);
        };
        self.put_sending(conversation, &sending);
        self.tx.write(Table::Sent, key, &SentContent { epoch, ..content });
        let own = self.own();
        if let Some((key, mut entry)) = self.entry(&own, queued.id).await? {
            entry.audience = (group.members().count() as u64).saturating_sub(1);
            self.tx.write(Table::Timeline, key, &entry);
        }
        let body = STANDARD.encode(encrypted);
        (queued.body, queued.epoch) = (Some(body.clone()), Some(epoch));
        Ok(Some(Sealed { payload: Payload::Body(body), epoch }))
    }

    /// Encrypts what holds for the moment; `None` if somebody lacks the key.
    pub(super) async fn seal_passing(
        &mut self,
        group: &Group,
        padded: &[u8],
    ) -> Result<Option<String>, StoreError> {
        let Ok(readers) = self.readers(group).await? else { return Ok(None) };
        let mut sending = self.sending(group.conversation()).await?;
        let now = UnixMillis(self.now.0);
        let Ok(ready) = sending.ready(&readers, now, self.rng) else { return Ok(None) };
        let Ok(encrypted) = ready.encrypt(padded, self.rng) else { return Ok(None) };
        self.put_sending(group.conversation(), &sending);
        Ok(Some(STANDARD.encode(encrypted)))
    }

    /// All devices that may read what is sent now, without this one.
    async fn readers(
        &mut self,
        group: &Group,
    ) -> Result<Result<BTreeSet<Address>, Missing>, StoreError> {
        let own = self.own();
        if group.standing(&own).is_none_or(|standing| standing < Standing::Member) {
            return Ok(Err(Missing::Membership));
        }
        let (mut readers, mut missing) = (BTreeSet::new(), BTreeSet::new());
        for (member, key) in group.members() {
            if missing.len() >= MAX_QUESTIONS {
                break;
            }
            let is_passed = self.machine.passed_over.get(&member).is_some_and(|t| *t > self.now);
            if is_passed {
                continue;
            }
            match self.devices_of(&member, key).await? {
                Some(Ok(devices)) => readers.extend(devices),
                Some(Err(())) => {
                    self.call(Call::Devices(member.clone()));
                    missing.insert(member);
                }
                // Not by the key that the group knows: nothing is encrypted for them.
                None => {}
            }
        }
        Ok(if missing.is_empty() { Ok(readers) } else { Err(Missing::Answers(missing)) })
    }

    /// The devices of a member; `None` if the member's key is not the one that the group knows.
    async fn devices_of(
        &mut self,
        member: &AccountId,
        key: EcKey,
    ) -> Result<Option<Result<Vec<Address>, ()>>, StoreError> {
        self.pin(member, key).await?;
        let person = self.person(member).await?;
        if person.announced.is_some() || person.identity != Some(key) {
            return Ok(None);
        }
        let Some(list) = person.verified_list(member).filter(|_| person.fresh) else {
            return Ok(Some(Err(())));
        };
        let own = &self.machine.account;
        let mine = (*member == own.id).then_some(own.device);
        let listed = |device: u8| list.as_list().devices.keys().any(|n| n.get() == device);
        let devices = person.present.iter().filter(|device| listed(device.get()));
        let devices = devices.filter(|device| Some(**device) != mine);
        Ok(Some(Ok(devices.map(|device| address(member, *device)).collect())))
    }

    /// Somebody whose key is not known yet is known by the key that the group knows.
    pub(super) async fn pin(&mut self, member: &AccountId, key: EcKey) -> Result<(), StoreError> {
        let person = self.person(member).await?;
        if person.identity.is_none() {
            self.put_person(member, &Person { identity: Some(key), ..person });
        }
        Ok(())
    }

    /// Puts pieces with the sender key into the lane, before the message at `at`.
    async fn hand_out(
        &mut self,
        conversation: ConversationId,
        at: usize,
        group: &Group,
        readers: &BTreeSet<Address>,
        (mut sending, lacking): (SendingGroup, Undistributed),
    ) -> Result<(), StoreError> {
        // A piece that names somebody names all their devices.
        let names: BTreeSet<&str> = lacking.missing.iter().map(Address::name).collect();
        let chain = lacking.distribution.chain_id();
        let body = Body::KeyDistribution(lacking.distribution);
        let content = Content::new(UnixMillis(self.now.0), Some(group.id.to_string()), body);
        let padded = content.to_padded_bytes().map_err(|_| StoreError::Corrupt(Table::Keys))?;
        let (mut pieces, mut missing): (Vec<Vec<Ciphertext>>, _) = (Vec::new(), BTreeSet::new());
        for name in names {
            let Ok(of) = AccountId::parse(name) else { continue };
            let mut sealed = Vec::new();
            let lack = match self.targets(&of).await? {
                Ok(targets) => self.encrypt(&of, Some(&of), targets, &padded, &mut sealed),
                Err(lack) => Some(lack),
            };
            if let Some(lack) = lack {
                missing.insert(of);
                match lack {
                    Lack::Devices(of) => self.call(Call::Devices(of)),
                    Lack::Sessions(of, devices) => {
                        let request = uuid::Uuid::from_u128(rand::RngExt::random(self.rng));
                        self.call(Call::Bundles { of, devices, request });
                    }
                    Lack::Consent => {}
                }
                if missing.len() >= MAX_QUESTIONS {
                    break;
                }
                continue;
            }
            for device in readers.iter().filter(|reader| reader.name() == name) {
                sending.mark_distributed(chain, device.clone());
            }
            add(&mut pieces, sealed);
        }
        self.put_sending(conversation, &sending);
        if !missing.is_empty()
            && let Some(lane) = self.machine.lanes.get(conversation)
        {
            lane.hold = Some(Hold::Answer);
            lane.needs = missing;
        }
        let pieces = pieces.into_iter().map(|sealed| {
            let id = message_id(self.now, self.rng);
            let queued = Queued::new(id, group.id.clone().into(), Class::Key, self.now);
            Queued { sealed: Some(sealed), ..queued }
        });
        let pieces: Vec<Queued> = pieces.collect();
        self.insert_before(conversation, at, &pieces).await
    }

    /// Queues pieces before what waits from `at` on, also in the order of the store.
    async fn insert_before(
        &mut self,
        conversation: ConversationId,
        at: usize,
        pieces: &[Queued],
    ) -> Result<(), StoreError> {
        let ids: Vec<MessageId> = pieces.iter().map(|piece| piece.id).collect();
        let (inserted, moved) = self.machine.lanes.insert(conversation, at, &ids);
        for (number, piece) in inserted.iter().zip(pieces) {
            self.tx.write(Table::Queue, number_key(*number), piece);
        }
        for (before, after) in moved {
            if let Some(record) = self.tx.get(Table::Queue, &number_key(before)).await? {
                self.tx.delete(Table::Queue, number_key(before));
                self.tx.put(Table::Queue, number_key(after), record);
            }
        }
        Ok(())
    }

    pub(super) async fn sending(
        &self,
        conversation: ConversationId,
    ) -> Result<SendingGroup, StoreError> {
        match self.tx.get(Table::Keys, &conversation.0).await? {
            Some(stored) => {
                SendingGroup::from_bytes(&stored).map_err(|_| StoreError::Corrupt(Table::Keys))
            }
            None => Ok(SendingGroup::new(conversation.0)),
        }
    }

    pub(super) fn put_sending(&mut self, conversation: ConversationId, sending: &SendingGroup) {
        self.tx.put(Table::Keys, conversation.0.to_vec(), sending.to_bytes());
    }

    /// What waits in a group's lane is encrypted anew. Pieces that were not taken may not have
    /// reached anybody, though their key counts as handed out: so the key is replaced.
    pub(super) async fn reseal(&mut self, conversation: ConversationId) -> Result<(), StoreError> {
        let Some(lane) = self.machine.lanes.get(conversation) else { return Ok(()) };
        let items: Vec<_> = lane.items.iter().map(|item| (item.id, item.number)).collect();
        let mut rotate = false;
        for (id, number) in items {
            let key = number_key(number);
            let Some(queued) = self.tx.read::<Queued>(Table::Queue, &key).await? else { continue };
            if queued.class == Class::Key {
                self.machine.lanes.remove(id);
                self.tx.delete(Table::Queue, key);
                rotate = true;
            } else if queued.body.is_some() {
                self.tx.write(Table::Queue, key, &Queued { body: None, epoch: None, ..queued });
            }
        }
        if rotate {
            let mut sending = self.sending(conversation).await?;
            sending.rotate();
            self.put_sending(conversation, &sending);
        }
        Ok(())
    }

    /// The group's chain is longer than before.
    pub(super) async fn chain_grew(
        &mut self,
        group: &Group,
        before: u64,
    ) -> Result<(), StoreError> {
        let conversation = group.conversation();
        let grew = group.epoch() > before;
        if let Some(lane) = self.machine.lanes.get(conversation)
            && lane.hold == Some(Hold::Answer)
            && lane.needs.is_empty()
        {
            lane.hold = (!grew).then(|| Hold::Until(self.now.plus_millis(ODD_PAUSE * 1000)));
        }
        if grew {
            self.reseal(conversation).await?;
            self.retry_waiting(&conversation.0).await?;
        }
        Ok(())
    }

    /// The server says that the group has another newest epoch than the one that was sent to.
    pub(super) async fn on_stale_epoch(
        &mut self,
        conversation: ConversationId,
        head: Option<&GroupHead>,
    ) -> Result<(), StoreError> {
        let Some(group) = self.group(conversation).await? else { return Ok(()) };
        let (known, id) = (group.epoch(), group.id);
        let Some(lane) = self.machine.lanes.get(conversation) else { return Ok(()) };
        lane.refused = lane.refused.saturating_add(1);
        let patient = lane.refused <= PATIENCE;
        match head {
            Some(head) if head.epoch > known && patient => {
                lane.hold = Some(Hold::Answer);
                lane.needs.clear();
                self.heard_of(&id, Some(head)).await
            }
            Some(head) if head.epoch == known && patient => self.heard_of(&id, Some(head)).await,
            Some(head) => {
                if head.epoch < known {
                    self.accuse(&id, ChainFault::Rollback { known, told: head.epoch });
                }
                self.pause(conversation, ODD_PAUSE);
                Ok(())
            }
            None => {
                self.pause(conversation, ODD_PAUSE);
                Ok(())
            }
        }
    }

    /// For a while a member without usable keys keeps nobody else from hearing.
    pub(super) fn pass_over(&mut self, user: &AccountId) {
        let now = self.now;
        let passed_over = &mut self.machine.passed_over;
        passed_over.retain(|_, until| *until > now);
        if passed_over.len() < MAX_PASSED_OVER {
            passed_over.insert(user.clone(), now.plus_millis(PASS_OVER));
        }
    }

    /// How many members have got what this account sent to a group.
    pub(super) async fn on_tally(&mut self, tally: &TallyFrame) -> Result<(), StoreError> {
        self.seen(tally.cursor);
        let conversation = tally.conversation_id;
        if tally.origin != self.own().server
            || ConversationId::group(&tally.group) != conversation
            || tally.status != Status::Delivered
        {
            return Ok(());
        }
        let mut record = self.conversation(&tally.group.clone().into()).await?;
        record.tally = Some(tally.to_json());
        self.tx.write(Table::Conversations, conversation.0.to_vec(), &record);
        self.count(tally).await
    }

    /// Holds a count against the messages whose numbers are known.
    pub(super) async fn count(&mut self, tally: &TallyFrame) -> Result<(), StoreError> {
        let (own, conversation) = (self.own(), tally.conversation_id);
        let scan = Scan::prefix(Table::Open, &conversation.0, usize::MAX);
        for (key, id) in self.tx.scan(&scan).await? {
            let id: MessageId = decode(Table::Open, &id)?;
            let count = tally.count(key_number(&key));
            let Some((at, mut entry)) = self.entry(&own, id).await? else {
                self.tx.delete(Table::Open, key);
                continue;
            };
            let Some(count) = count else {
                // It cannot be counted any more.
                self.tx.delete(Table::Open, key);
                continue;
            };
            let delivered = count.min(entry.audience);
            if delivered > entry.delivered {
                entry.delivered = delivered;
                let (group, audience) = (tally.group.clone(), entry.audience);
                self.tell(&Update::Delivered { id, group, delivered, audience });
                self.tx.write(Table::Timeline, at.clone(), &entry);
            }
            if delivered > 0 && delivered >= entry.audience {
                self.tx.delete(Table::Open, key);
                self.advance(at, entry, Status::Delivered, None);
            }
        }
        Ok(())
    }
}

/// Adds the ciphertexts of one person to the last piece, or to a new one.
fn add(pieces: &mut Vec<Vec<Ciphertext>>, sealed: Vec<Ciphertext>) {
    let text = |all: &[Ciphertext]| all.iter().map(|one| one.data.len()).sum::<usize>();
    match pieces.last_mut() {
        Some(last)
            if last.len() + sealed.len() <= MAX_PIECE_DEVICES
                && text(last) + text(&sealed) <= MAX_PIECE_TEXT =>
        {
            last.extend(sealed);
        }
        _ => pieces.push(sealed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_to_their_bounds_and_a_person_together() {
        let of_person = |devices: u8, len: usize| {
            let one = |device| Ciphertext {
                user: None,
                device: posthouse_protocol::id::DeviceNumber::try_from(device).unwrap(),
                registration_id: posthouse_protocol::id::RegistrationId::try_from(1).unwrap(),
                kind: 3,
                data: "x".repeat(len),
            };
            (1..=devices).map(one).collect::<Vec<_>>()
        };
        let lens = |persons: usize, devices: u8, len: usize| {
            let mut pieces = Vec::new();
            for _ in 0..persons {
                add(&mut pieces, of_person(devices, len));
            }
            pieces.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(lens(100, 1, 10), [90, 10], "the number of devices ends a piece");
        assert_eq!(lens(12, 8, 2_600), [72, 24], "a person's devices stay together");
        assert_eq!(lens(3, 8, 12_800), [16, 8], "the text ends a piece");
    }
}
