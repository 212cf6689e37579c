//! Items of the past that this device takes over: from another own device, or from a backup.
//! Taking an item over again changes nothing, and what is known here already holds.

use posthouse_crypto::e2ee::content::{
    KeyBytes,
    history::{HistoryItem, PastMark, PastMessage, PastSaid},
};
use posthouse_protocol::{
    id::{AccountId, GroupId, HandleName, MessageId},
    rest::{
        groups::{EpochHash, GroupHead},
        keys::EcKey,
    },
    status::Status,
    time::{Stamp, Timestamp},
};
use uuid::Uuid;

use super::{Step, groups::epoch_key};
use crate::{
    Mention,
    records::{
        Group, KnownProfile, Mark, Person, With, message_key, open_key, profile, timeline_key,
    },
    store::{StoreError, Table},
    update::{ChainFault, Entry, Said, Update},
};

impl Step<'_> {
    /// Takes a part of a backup over.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) async fn restore(&mut self, items: &[HistoryItem]) -> Result<(), StoreError> {
        for item in items {
            self.take_over(item).await?;
        }
        Ok(())
    }

    /// Takes an item over. What is not well-formed is passed over.
    pub(super) async fn take_over(&mut self, item: &HistoryItem) -> Result<(), StoreError> {
        match item {
            HistoryItem::Person { account, identity, verified } => {
                let Ok(account) = AccountId::parse(account) else { return Ok(()) };
                self.take_person(&account, EcKey(*identity), *verified).await
            }
            HistoryItem::Group { group, titles, head } => {
                let Ok(group) = GroupId::parse(group) else { return Ok(()) };
                self.take_group(&group, titles, *head).await
            }
            HistoryItem::Conversation { with, active, highest } => {
                let Some(with) = With::parse(with) else { return Ok(()) };
                let mut record = self.conversation(&with).await?;
                record.active = record.active.max(Timestamp(active.0));
                record.highest = record.highest.max(highest.map(Stamp));
                let key = self.place_of(&with).0.to_vec();
                self.tx.write(Table::Conversations, key, &record);
                Ok(())
            }
            HistoryItem::Message(message) => self.take_message(message).await,
            HistoryItem::Mark { with, target, by, mark } => {
                let (Some(with), Ok(by)) = (With::parse(with), AccountId::parse(by)) else {
                    return Ok(());
                };
                let mark = match mark {
                    PastMark::Edit { text, stamp, mentions } => Mark::Edit {
                        text: text.clone(),
                        stamp: Stamp(*stamp),
                        mentions: Mention::of(mentions),
                    },
                    PastMark::Delete => Mark::Delete,
                    PastMark::Reaction { emoji, stamp } => {
                        Mark::Reaction { emoji: emoji.clone(), stamp: Stamp(*stamp) }
                    }
                };
                self.note_mark(&with, &by, message_id(target), &mark).await.map(drop)
            }
            HistoryItem::Expiry { from, id, at } => {
                let Ok(from) = AccountId::parse(from) else { return Ok(()) };
                if let Some((_, entry)) = self.entry(&from, message_id(id)).await?
                    && entry.said != Said::Gone
                {
                    self.expire_at(&entry, Timestamp(at.0));
                }
                Ok(())
            }
            HistoryItem::Profile { account, keys, given } => {
                let Ok(account) = AccountId::parse(account) else { return Ok(()) };
                self.take_profile(&account, keys, given.as_ref()).await
            }
            HistoryItem::Handle { account, handle } => {
                let (Ok(account), Ok(handle)) =
                    (AccountId::parse(account), HandleName::parse(handle))
                else {
                    return Ok(());
                };
                self.take_handle(&account, &handle).await
            }
            HistoryItem::Unknown => Ok(()),
        }
    }

    /// The own other device knew somebody before this one did: if this one was shown another key
    /// meanwhile, that is a change.
    async fn take_person(
        &mut self,
        account: &AccountId,
        key: EcKey,
        verified: bool,
    ) -> Result<(), StoreError> {
        let known = self.person(account).await?;
        match known.identity {
            _ if *account == self.own() => {}
            None => {
                let person = Person { identity: Some(key), verified, ..known };
                self.put_person(account, &person);
            }
            Some(same) if same == key => {
                let verified = known.verified || (verified && known.announced.is_none());
                self.put_person(account, &Person { verified, ..known });
            }
            // What this device's person has compared or accepted holds.
            Some(_) if known.verified => {}
            Some(other) => {
                let person = Person { identity: Some(key), verified, ..Person::default() };
                self.announce(account, person, other);
            }
        }
        Ok(())
    }

    async fn take_handle(
        &mut self,
        account: &AccountId,
        handle: &HandleName,
    ) -> Result<(), StoreError> {
        let key = account.to_string().into_bytes();
        if self.tx.get(Table::Handles, &key).await?.is_none() {
            self.tx.write(Table::Handles, key, handle);
        }
        Ok(())
    }

    /// What is known of a profile here is newer.
    async fn take_profile(
        &mut self,
        account: &AccountId,
        keys: &[KeyBytes],
        given: Option<&KeyBytes>,
    ) -> Result<(), StoreError> {
        if *account == self.own() {
            for key in keys.iter().rev() {
                self.on_own_key(&key.0).await?;
            }
            return Ok(());
        }
        let mut known = self.known_profile(account).await?.unwrap_or_default();
        for key in keys {
            known.keys.add_older(&key.0);
        }
        let given = given.map(|key| profile::bytes(&key.0));
        let known = KnownProfile { given: known.given.clone().or(given), ..known };
        self.put_known_profile(account, &known);
        self.look_at(account).await
    }

    async fn take_group(
        &mut self,
        id: &GroupId,
        titles: &[KeyBytes],
        head: Option<(u64, [u8; 32])>,
    ) -> Result<(), StoreError> {
        let Some(mut group) = self.group_or_new(id).await? else { return Ok(()) };
        let had_title = group.title().is_some();
        for key in titles {
            group.add_older_title_key(key.0.expose());
        }
        self.put_group(&group);
        if let Some(chain) = group.chain.as_ref().filter(|_| !had_title)
            && group.title().is_some()
        {
            let (standing, epoch) = (group.standing(&self.own()), chain.epoch);
            self.tell(&Update::Group { group: id.clone(), standing, epoch });
        }
        let Some((epoch, hash)) = head else { return Ok(()) };
        // The chain that this device is shown must be the one that the other one was shown.
        let key = epoch_key(&group, epoch);
        match self.tx.get(Table::Epochs, &key).await? {
            Some(kept) if kept.as_slice() != hash => self.accuse(id, ChainFault::Fork { epoch }),
            Some(_) => {}
            None => self.tx.put(Table::Epochs, key, hash.to_vec().into()),
        }
        if epoch > group.epoch() {
            let head = GroupHead { epoch, hash: EpochHash(hash) };
            self.heard_of(id, Some(&head)).await?;
        }
        Ok(())
    }

    async fn take_message(&mut self, past: &PastMessage) -> Result<(), StoreError> {
        let (Some(with), Ok(from)) = (With::parse(&past.with), AccountId::parse(&past.from)) else {
            return Ok(());
        };
        let id = message_id(&past.id);
        let index = message_key(&from, id);
        // Shorter ones are of messages that could not be read here.
        let known = self.tx.get(Table::Index, &index).await?;
        if known.is_some_and(|place| place.len() > 8) {
            return Ok(());
        }
        let entry = self.past_entry(past, &with, from, id);
        self.note_author(&entry).await?;
        let entry = self.with_marks(entry).await?;
        let key = timeline_key(&entry);
        self.tx.put(Table::Index, index, key.clone().into());
        let is_on_its_way = entry.status.is_some_and(|status| status < Status::Delivered);
        if let Some(number) = entry.origin_number.filter(|_| is_on_its_way) {
            self.tx.write(Table::Open, open_key(entry.conversation, number), &id);
        }
        let mut record = self.conversation(&with).await?;
        record.unread += u64::from(!entry.read);
        record.mentioned += u64::from(entry.calls(&self.own()));
        record.highest = record.highest.max(entry.stamp);
        self.tx.write(Table::Conversations, entry.conversation.0.to_vec(), &record);
        self.tx.write(Table::Timeline, key, &entry);
        // Its time runs from now, at the latest: an item of its own says when it really began.
        if entry.read && entry.said != Said::Gone {
            self.start_expiry(&entry);
        }
        Ok(())
    }

    fn past_entry(&self, past: &PastMessage, with: &With, from: AccountId, id: MessageId) -> Entry {
        let said = match &past.said {
            PastSaid::Text(text) => Said::Text(text.clone()),
            PastSaid::Reply { text, target } => {
                Said::Reply { text: text.clone(), to: message_id(target) }
            }
            PastSaid::Gone => Said::Gone,
            PastSaid::Unknown(kind) => Said::Unknown(*kind),
        };
        let mine = from == self.machine.account.id;
        let status = past.status.as_ref().filter(|_| mine);
        let status = status.and_then(|name| serde_json::from_value(name.as_str().into()).ok());
        Entry {
            id,
            with: with.person().unwrap_or(&from).clone(),
            group: with.group().cloned(),
            conversation: self.place_of(with),
            stamp: Some(Stamp(past.stamp)),
            sent_at: Timestamp(past.sent_at.0),
            status,
            said,
            mentions: Mention::of(&past.mentions),
            expires_after: past.expires_after,
            origin_number: past.origin_number.filter(|_| mine),
            queued: 0,
            read: past.read || mine,
            edited: past.edited,
            reactions: Vec::new(),
            delivered: past.delivered,
            audience: past.audience,
            from,
        }
    }

    /// A verified epoch that the other own device knows by another hash is a fork.
    pub(super) async fn is_forked(
        &self,
        group: &GroupId,
        epoch: u64,
        hash: &[u8],
    ) -> Result<bool, StoreError> {
        let key = epoch_key(&Group::new(group.clone()), epoch);
        let kept = self.tx.get(Table::Epochs, &key).await?;
        Ok(kept.is_some_and(|kept| kept.as_slice() != hash))
    }
}

fn message_id(id: &[u8; 16]) -> MessageId {
    MessageId(Uuid::from_bytes(*id))
}
