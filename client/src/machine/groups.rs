//! Groups: what is believed of them is what their verified chains say.

use posthouse_crypto::e2ee::{
    content::{Body, Content, KeyBytes},
    secret::Secret,
    signed::group_epoch::{Change, EpochError, GroupState, SignedGroupEpoch},
    time::UnixMillis,
};
use posthouse_protocol::{
    frame::{Class, GroupFrame},
    id::{AccountId, ConversationId, GroupId},
    rest::{
        groups::{EpochDocument, Epochs, GroupHead, Groups},
        keys::EcKey,
    },
};

use super::{Answer, Call, Leaving, Step};
use crate::{
    message_id::message_id,
    records::{Chain, Group, Queued, number_key, own},
    store::{Scan, StoreError, Table, decode},
    update::{ChainFault, Update},
};

/// Groups that are known by name only, at most: their chains are still to be read.
const MAX_UNREAD_GROUPS: usize = 256;
/// Faults that are remembered, so that each is told once.
const MAX_FAULTS: usize = 1_000;

impl Step<'_> {
    pub(super) async fn group(
        &self,
        conversation: ConversationId,
    ) -> Result<Option<Group>, StoreError> {
        self.tx.read(Table::Groups, &conversation.0).await
    }

    pub(super) fn put_group(&mut self, group: &Group) {
        self.tx.write(Table::Groups, group.conversation().0.to_vec(), group);
    }

    /// The record of a group, or a new one; `None` if too many are known by name only. Those that
    /// the homeserver does not show give way.
    pub(super) async fn group_or_new(&mut self, id: &GroupId) -> Result<Option<Group>, StoreError> {
        if let Some(group) = self.group(ConversationId::group(id)).await? {
            return Ok(Some(group));
        }
        let (mut unread, mut not_shown) = (0, None);
        for (key, value) in self.tx.scan(&Scan::prefix(Table::Groups, &[], usize::MAX)).await? {
            let group: Group = decode(Table::Groups, &value)?;
            unread += usize::from(group.chain.is_none());
            if group.chain.is_none() && group.wanted == 0 {
                not_shown = Some(key);
            }
        }
        if unread >= MAX_UNREAD_GROUPS {
            let Some(key) = not_shown else { return Ok(None) };
            self.tx.delete(Table::Groups, key);
        }
        Ok(Some(Group::new(id.clone())))
    }

    /// A group has changed: an entry of the inbox. The chain says what is so, not the frame.
    pub(super) async fn on_group(&mut self, frame: &GroupFrame) -> Result<(), StoreError> {
        self.seen(frame.cursor);
        self.heard_of(&frame.group, Some(&frame.head)).await
    }

    /// A group is spoken of, perhaps with an epoch: what is missing of its chain is asked for.
    pub(super) async fn heard_of(
        &mut self,
        id: &GroupId,
        head: Option<&GroupHead>,
    ) -> Result<(), StoreError> {
        let Some(mut group) = self.group_or_new(id).await? else { return Ok(()) };
        let known = group.epoch();
        let told = head.map_or(known + 1, |head| head.epoch);
        if let Some(head) = head.filter(|head| head.epoch <= known) {
            let kept = self.tx.get(Table::Epochs, &epoch_key(&group, head.epoch)).await?;
            if kept.is_some_and(|kept| kept.as_slice() != head.hash.0) {
                self.accuse(id, ChainFault::Fork { epoch: head.epoch });
            }
            return Ok(());
        }
        group.wanted = group.wanted.max(told);
        self.put_group(&group);
        let call = Call::Epochs { group: id.clone(), from: known + 1 };
        if self.machine.asked.contains(&call) {
            self.machine.again.insert(id.clone());
        }
        self.call(call);
        Ok(())
    }

    /// A page of the account's groups, as the server lists them: their chains are read.
    pub(super) async fn on_groups(&mut self, page: &Groups) -> Result<(), StoreError> {
        for listed in &page.groups {
            self.heard_of(&listed.group_id, Some(&listed.head)).await?;
        }
        match page.next {
            Some(next) => self.call(Call::Groups(Some(next))),
            None => self.tx.write(Table::Own, own::LISTED_GROUPS.to_vec(), &true),
        }
        Ok(())
    }

    /// Asks for what is still missing of chains. A device that is new asks which groups there are:
    /// it was not told of those from before.
    pub(super) async fn ask_for_chains(&mut self) -> Result<(), StoreError> {
        if self.tx.get(Table::Own, own::LISTED_GROUPS).await?.is_none() {
            self.call(Call::Groups(None));
        }
        for (_, value) in self.tx.scan(&Scan::prefix(Table::Groups, &[], usize::MAX)).await? {
            let group: Group = decode(Table::Groups, &value)?;
            let from = group.epoch() + 1;
            if group.leaving {
                self.call(Call::Leave(group.id.clone()));
            }
            if group.wanted >= from {
                self.call(Call::Epochs { group: group.id, from });
            }
        }
        Ok(())
    }

    /// The account leaves a group, or declines. What it signed is worth nothing once the group has
    /// moved on, so that it is noted that it wants to, until the chain says that it is out.
    pub(super) async fn leave(&mut self, id: &GroupId, leaving: Leaving) -> Result<(), StoreError> {
        let Some(mut group) = self.group(ConversationId::group(id)).await? else { return Ok(()) };
        let is_in = group.standing(&self.own()).is_some();
        group.leaving = is_in && leaving != Leaving::Impossible;
        if group.leaving && leaving == Leaving::Later {
            self.call(Call::Leave(id.clone()));
        }
        self.put_group(&group);
        Ok(())
    }

    /// What was signed to leave a group follows its newest epoch no more: it is signed anew.
    fn leave_anew(&mut self, id: &GroupId) {
        let call = Call::Leave(id.clone());
        if self.machine.asked.contains(&call) {
            self.machine.outrun.insert(id.clone());
        }
        self.call(call);
    }

    /// The homeserver was asked to let the account leave. If the group has moved on, its chain is read,
    /// and it is signed anew; if there is nothing to leave, that is it; else it is tried again on the
    /// next connection.
    pub(super) async fn on_leave(
        &mut self,
        id: &GroupId,
        answer: Answer,
    ) -> Result<(), StoreError> {
        let is_outrun = self.machine.outrun.remove(id);
        match answer {
            Answer::Epochs(page) => self.on_epochs(id, &page, false).await?,
            Answer::Refused(code) if code == "not_found" => {
                self.leave(id, Leaving::Impossible).await?;
            }
            Answer::Refused(code) if code == "stale_epoch" && !is_outrun => {
                self.heard_of(id, None).await?;
            }
            _ => {}
        }
        let group = self.group(ConversationId::group(id)).await?;
        if is_outrun && group.is_some_and(|group| group.leaving) {
            self.leave_anew(id);
        }
        Ok(())
    }

    /// A piece of a chain: each epoch is verified against the one before. If the group was spoken of
    /// `again` since it was asked for, there may be more.
    pub(super) async fn on_epochs(
        &mut self,
        id: &GroupId,
        page: &Epochs,
        again: bool,
    ) -> Result<(), StoreError> {
        let Some(mut group) = self.group_or_new(id).await? else { return Ok(()) };
        let before = group.epoch();
        let mut state = group.state();
        let mut fault = None;
        for EpochDocument(signed) in &page.epochs {
            match self.next_state(id, state.as_ref(), signed).await? {
                Ok(Some(next)) => {
                    self.note_change(&mut group, (state.as_ref(), &next), signed).await?;
                    state = Some(next);
                }
                Ok(None) => {}
                Err(found) => {
                    fault = Some(found);
                    break;
                }
            }
        }
        if let Some(state) = &state
            && state.epoch() > before
        {
            group.chain = Some(Chain::of(state));
            if group.leaving {
                self.leave_anew(id);
            }
            let (standing, epoch) = (group.standing(&self.own()), state.epoch());
            self.tell(&Update::Group { group: id.clone(), standing, epoch });
        }
        let more = again || page.next.is_some_and(|next| next == group.epoch() + 1);
        if fault.is_some() || !more {
            group.wanted = group.epoch();
        }
        self.put_group(&group);
        if let Some(fault) = fault {
            self.accuse(id, fault);
        } else if more {
            self.call(Call::Epochs { group: id.clone(), from: group.epoch() + 1 });
        }
        self.chain_grew(&group, before).await
    }

    /// The state after an epoch; `None` if the epoch is known.
    async fn next_state(
        &mut self,
        id: &GroupId,
        state: Option<&GroupState>,
        signed: &SignedGroupEpoch,
    ) -> Result<Result<Option<GroupState>, ChainFault>, StoreError> {
        let next = match state {
            Some(state) => state.apply(signed),
            None => GroupState::create(&id.to_string(), signed),
        };
        Ok(match next {
            // Another own device was shown another one.
            Ok(next) if self.is_forked(id, next.epoch(), next.hash()).await? => {
                Err(ChainFault::Fork { epoch: next.epoch() })
            }
            Ok(next) if state.is_none() => self.check_owner(&next).await?.map(|()| Some(next)),
            Ok(next) => Ok(Some(next)),
            Err(EpochError::AlreadyKnown) => Ok(None),
            Err(EpochError::Rollback { known }) => {
                // An older epoch again: the one that is kept, or another.
                let told = signed.unverified().map_or(0, |epoch| epoch.epoch);
                let key = epoch_key(&Group::new(id.clone()), told);
                match self.tx.get(Table::Epochs, &key).await? {
                    Some(kept) if kept.as_slice() == signed.hash() => Ok(None),
                    Some(_) => Err(ChainFault::Fork { epoch: told }),
                    None => Err(ChainFault::Rollback { known, told }),
                }
            }
            Err(err) => Err(fault(err, signed)),
        })
    }

    /// Whether the first owner has the key that is known of that account.
    async fn check_owner(&self, first: &GroupState) -> Result<Result<(), ChainFault>, StoreError> {
        for (name, member) in first.members() {
            let Ok(account) = AccountId::parse(name) else {
                return Ok(Err(ChainFault::Malformed { epoch: 1 }));
            };
            let known = self.known_key(&account).await?;
            if known.is_some_and(|known| known.0 != member.identity) {
                return Ok(Err(ChainFault::OtherKey { account, epoch: 1 }));
            }
        }
        Ok(Ok(()))
    }

    async fn known_key(&self, account: &AccountId) -> Result<Option<EcKey>, StoreError> {
        if *account == self.machine.account.id {
            return Ok(Some(EcKey(self.machine.identity())));
        }
        Ok(self.person(account).await?.identity)
    }

    /// What a verified epoch leaves behind beside the state.
    async fn note_change(
        &mut self,
        group: &mut Group,
        (before, next): (Option<&GroupState>, &GroupState),
        signed: &SignedGroupEpoch,
    ) -> Result<(), StoreError> {
        // Whose invitation ends never was a member.
        let was_member = |name: &str| before.is_some_and(|it| it.members().contains_key(name));
        let epoch = next.epoch();
        let own = self.own().to_string();
        if !next.members().contains_key(&own) && next.invitations().all(|(name, _)| name != own) {
            // Who is invited again later has not left that.
            group.leaving = false;
        }
        let hash = zeroize::Zeroizing::new(next.hash().to_vec());
        self.tx.put(Table::Epochs, epoch_key(group, epoch), hash);
        let Ok(said) = signed.unverified() else { return Ok(()) };
        if matches!(&said.change, Change::Invite(person) if person.account == own) {
            group.inviter.clone_from(&said.actor);
        }
        match said.change {
            // Nothing is encrypted for a member whose key is not the one that is known.
            Change::Invite(person) | Change::Add(person) => {
                if let Ok(account) = AccountId::parse(&person.account) {
                    let known = self.known_key(&account).await?;
                    if known.is_some_and(|known| known.0 != person.identity) {
                        self.accuse(&group.id.clone(), ChainFault::OtherKey { account, epoch });
                    }
                }
            }
            Change::Remove(account) if was_member(&account) => group.ended(account, epoch),
            Change::Leave => {
                let actor = said.actor.filter(|actor| was_member(actor));
                if let Some(actor) = actor {
                    group.ended(actor, epoch);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A chain could not be read: whoever does not belong to the group any more is told no more. The
    /// key of a title may come before the homeserver hears of the invitation, and comes only once.
    pub(super) async fn on_epochs_refused(&mut self, id: &GroupId) -> Result<(), StoreError> {
        if let Some(mut group) = self.group(ConversationId::group(id)).await? {
            group.wanted = group.epoch();
            if group.chain.is_some() {
                self.put_group(&group);
                let known = group.epoch();
                self.chain_grew(&group, known).await?;
            } else if group.title_keys().next().is_some() {
                self.put_group(&group);
            } else {
                self.tx.delete(Table::Groups, group.conversation().0.to_vec());
            }
        }
        Ok(())
    }

    /// Tells the application what is wrong with a chain, once until it is opened again.
    pub(super) fn accuse(&mut self, group: &GroupId, fault: ChainFault) {
        let faults = &mut self.machine.faults;
        if faults.len() < MAX_FAULTS && faults.insert((group.clone(), fault.clone())) {
            self.tell(&Update::GroupRefused { group: group.clone(), fault });
        }
    }

    /// The key of a group's title, from somebody who has it.
    pub(super) async fn on_title_key(
        &mut self,
        id: &GroupId,
        from: &AccountId,
        key: &Secret<32>,
    ) -> Result<(), StoreError> {
        let Some(mut group) = self.group_or_new(id).await? else { return Ok(()) };
        let may_know = group.chain.is_none() || group.wrote_as_member(from, group.epoch());
        if !may_know || !group.add_title_key(key.expose()) {
            return Ok(());
        }
        self.put_group(&group);
        if group.chain.is_none() {
            return self.heard_of(id, None).await;
        }
        if group.title_key().is_some_and(|opened| opened.ct_eq(key)) {
            let (standing, epoch) = (group.standing(&self.own()), group.epoch());
            self.tell(&Update::Group { group: id.clone(), standing, epoch });
        }
        Ok(())
    }

    /// Keeps the key of a title that this device made, and hands it to people.
    pub(super) async fn hand_title(
        &mut self,
        id: &GroupId,
        key: &Secret<32>,
        to: &[AccountId],
    ) -> Result<(), StoreError> {
        if let Some(mut group) = self.group_or_new(id).await? {
            group.add_title_key(key.expose());
            self.put_group(&group);
        }
        let own = self.own();
        for to in to.iter().filter(|to| **to != own) {
            let body = Body::ProfileKey(KeyBytes(key.clone()));
            let content = Content::new(UnixMillis(self.now.0), Some(id.to_string()), body);
            let Ok(padded) = content.to_padded_bytes() else { continue };
            let message = message_id(self.now, self.rng);
            let queued = Queued::new(message, to.clone().into(), Class::Control, self.now);
            self.enqueue_content(&queued, padded);
        }
        Ok(())
    }
}

/// What is wrong with an epoch that does not follow. Who would have come in by it is named.
fn fault(err: EpochError, signed: &SignedGroupEpoch) -> ChainFault {
    let Ok(said) = signed.unverified() else { return ChainFault::Malformed { epoch: 0 } };
    let epoch = said.epoch;
    let joins = match said.change {
        Change::Invite(person) | Change::Add(person) => Some(person.account),
        Change::Accept => said.actor,
        _ => None,
    };
    let joins = joins.and_then(|name| AccountId::parse(&name).ok());
    match (err, joins) {
        (EpochError::Fork, _) => ChainFault::Fork { epoch },
        (EpochError::Signature | EpochError::NotAllowed(_), Some(account)) => {
            ChainFault::Ghost { account, epoch }
        }
        (EpochError::Signature, None) => ChainFault::Signature { epoch },
        (EpochError::NotAllowed(_) | EpochError::Full, _) => ChainFault::NotAllowed { epoch },
        _ => ChainFault::Malformed { epoch },
    }
}

/// `conversation ‖ epoch`.
pub(super) fn epoch_key(group: &Group, epoch: u64) -> Vec<u8> {
    let mut key = group.conversation().0.to_vec();
    key.extend_from_slice(&number_key(epoch));
    key
}
