//! The groups port of the client API.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use posthouse_client_api::ports::{Caller, Groups as GroupsPort};
use posthouse_crypto::e2ee::signed::group_epoch::{Change, GroupState, SignedGroupEpoch};
use posthouse_protocol::{
    frame::GroupEvent,
    id::{AccountId, ConversationId, GroupId, ServerName},
    limits,
    problem::{Code, Rejection},
    rest::{
        Secret,
        groups::{
            CreateGroupLink, EpochDocument, EpochStatus, EpochTaken, Epochs, GroupInfo,
            GroupLinkCreated, GroupLinks, GroupPerson, GroupSummary, Groups as GroupList,
            JoinRequests, Standing, SubmitEpoch, Title, Unacknowledged,
        },
        keys::EcKey,
    },
    time::{Clock, Timestamp},
};
use posthouse_storage::{
    groups::{Appended, GroupNotice, Head, Membership, Reader, Step},
    inbox::{Entry, EntryKind},
    ledger::Arrival,
};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    GroupBook, GroupLimits,
    abroad::regions,
    book::{Known, no_such_group},
    change::{self, Read, Verified, shown},
    consent::Consent,
};
use crate::{accounts::store_failed, delivery::Connections, random::Random, regions::Regions};

/// Groups of one region.
pub struct GroupsService {
    /// This region.
    pub own: ServerName,
    /// Groups as they are.
    pub book: Arc<GroupBook>,
    /// What people agree to.
    pub consent: Consent,
    /// How often groups are changed.
    pub limits: GroupLimits,
    /// Connected devices.
    pub connections: Arc<Connections>,
    /// Other regions.
    pub regions: Arc<dyn Regions>,
    /// Other regions are to be told of something.
    pub untold: Notify,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub random: Arc<Random>,
}

#[async_trait]
impl GroupsPort for GroupsService {
    async fn create(&self, caller: &Caller, epoch: SubmitEpoch) -> Result<EpochTaken, Rejection> {
        let signed = epoch.epoch.0;
        let named = signed.unverified().map_err(|err| change::not_an_epoch(&err))?;
        let group = GroupId::parse(&named.group)?;
        let read = change::read(signed, &group)?;
        self.check_actor(caller, &read)?;
        let Change::Create { region, .. } = &read.epoch.change else {
            let detail = "a group begins with an epoch that creates it";
            return Err(Rejection::new(Code::BadRequest, detail));
        };
        if group.server != self.own || *region != self.own.as_str() {
            let detail = format!("a group of this region is named g.<uuid>@{}", self.own);
            return Err(Rejection::new(Code::BadRequest, detail));
        }
        let hash = read.signed.hash();
        if let Some(taken) = self.repeated(&group, &read, hash).await? {
            return Ok(taken);
        }
        let start = Head { epoch: 0, hash: [0; 32] };
        let state = GroupState::create(&group.to_string(), &read.signed);
        let after = state.map_err(|err| change::refused(err, start))?;
        self.consent.check(&read, &group, self.clock.now()).await?;
        self.limits.create(caller.account.uuid)?;
        self.append(&group, None, (after, &read, false)).await
    }

    async fn submit(
        &self,
        caller: &Caller,
        group: &GroupId,
        epoch: SubmitEpoch,
    ) -> Result<EpochTaken, Rejection> {
        let read = change::read(epoch.epoch.0, group)?;
        self.check_actor(caller, &read)?;
        self.sequence(&caller.account, group, &read).await
    }

    async fn list(
        &self,
        caller: &Caller,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<GroupList, Rejection> {
        let account = caller.account.uuid;
        let bounds = (limit.saturating_add(1), limits::MAX_GROUP_INVITATIONS);
        let found = self.book.store().memberships(account, after, bounds).await;
        let mut found = found.map_err(|err| store_failed(&err))?;
        let more = found.len() > limit;
        found.truncate(limit);
        let summary = |one: Membership| GroupSummary {
            conversation_id: ConversationId::group(&one.group),
            group_id: one.group,
            role: one.standing,
            head: shown(one.head),
            leaving: one.is_leaving,
        };
        let groups: Vec<GroupSummary> = found.into_iter().map(summary).collect();
        let next = groups.last().filter(|_| more).map(|last| last.conversation_id);
        Ok(GroupList { groups, next })
    }

    async fn group(&self, caller: &Caller, group: &GroupId) -> Result<GroupInfo, Rejection> {
        if let Reader::Former(_) = self.reader(caller, group).await? {
            return Err(no_such_group());
        }
        let known = self.book.current(group).await?.ok_or_else(no_such_group)?;
        let mut shown = info(&known)?;
        if known.state.region() == self.own.as_str() {
            shown.unacknowledged = Some(self.unacknowledged(group).await?);
        }
        Ok(shown)
    }

    async fn epochs(
        &self,
        caller: &Caller,
        group: &GroupId,
        from: u64,
        limit: usize,
    ) -> Result<Epochs, Rejection> {
        let through = match self.reader(caller, group).await? {
            Reader::Current(_) | Reader::Leaving(_) => limits::MAX_GROUP_EPOCHS,
            Reader::Former(epoch) => epoch,
        };
        let documents = self.book.store().epochs(group, (from, through), limit + 1).await;
        let mut documents = documents.map_err(|err| store_failed(&err))?;
        let more = documents.len() > limit;
        documents.truncate(limit);
        let next = more.then(|| from + documents.len() as u64);
        let document = |bytes: &bytes::Bytes| {
            SignedGroupEpoch::from_bytes(bytes).map(EpochDocument).map_err(|_| {
                tracing::error!(%group, "a stored epoch is damaged");
                Rejection::new(Code::Internal, "the server failed; its log has more")
            })
        };
        let epochs = documents.iter().map(document).collect::<Result<_, _>>()?;
        Ok(Epochs { epochs, next })
    }

    async fn create_link(
        &self,
        caller: &Caller,
        group: &GroupId,
        link: CreateGroupLink,
    ) -> Result<GroupLinkCreated, Rejection> {
        self.make_link(caller, group, link).await
    }

    async fn links(&self, caller: &Caller, group: &GroupId) -> Result<GroupLinks, Rejection> {
        self.holding_links(caller, group).await
    }

    async fn revoke_link(
        &self,
        caller: &Caller,
        group: &GroupId,
        link: Uuid,
    ) -> Result<(), Rejection> {
        self.end_link(caller, group, link).await
    }

    async fn join(&self, caller: &Caller, group: &GroupId, code: Secret) -> Result<(), Rejection> {
        self.ask(caller, group, &code).await
    }

    async fn join_requests(
        &self,
        caller: &Caller,
        group: &GroupId,
    ) -> Result<JoinRequests, Rejection> {
        self.waiting(caller, group).await
    }

    async fn decline_join(
        &self,
        caller: &Caller,
        group: &GroupId,
        user: &AccountId,
    ) -> Result<(), Rejection> {
        self.decline(caller, group, user).await
    }
}

impl GroupsService {
    /// Which regions may not know yet what has changed in a group that this one sequences.
    async fn unacknowledged(&self, group: &GroupId) -> Result<Vec<Unacknowledged>, Rejection> {
        let behind = self.book.store().regions_behind(group).await;
        let behind = behind.map_err(|err| store_failed(&err))?.into_iter();
        Ok(behind.map(|(region, from)| Unacknowledged { region, from }).collect())
    }

    /// Whether and how far the caller may read the chain.
    async fn reader(&self, caller: &Caller, group: &GroupId) -> Result<Reader, Rejection> {
        let reader = self.book.store().group_reader(group, &caller.account).await;
        reader.map_err(|err| store_failed(&err))?.ok_or_else(no_such_group)
    }

    /// Puts an act of `actor` into its place, here or in the region that sequences the group.
    pub(super) async fn sequence(
        &self,
        actor: &AccountId,
        group: &GroupId,
        read: &Read,
    ) -> Result<EpochTaken, Rejection> {
        let reader = self.book.store().group_reader(group, actor).await;
        let reader = reader.map_err(|err| store_failed(&err))?.ok_or_else(no_such_group)?;
        let hash = read.signed.hash();
        if let Some(taken) = self.repeated(group, read, hash).await? {
            return Ok(taken);
        }
        let only_leaves = matches!(reader, Reader::Leaving(_));
        let may_act = !only_leaves || matches!(read.epoch.change, Change::Leave);
        if matches!(reader, Reader::Former(_)) || !may_act {
            let detail = "you do not belong to the group any more";
            return Err(Rejection::new(Code::Forbidden, detail));
        }
        self.limits.epoch(actor.uuid, group)?;
        let before = self.book.current(group).await?.ok_or_else(no_such_group)?;
        if before.state.region() != self.own.as_str() {
            if actor.server != self.own {
                let detail = "another region sequences the group";
                return Err(Rejection::new(Code::Forbidden, detail));
            }
            self.check_own_key(&before, read).await?;
            return self.forward(actor, &before, read).await;
        }
        let head = before.head();
        // An epoch that does not follow the newest is not looked at: of two admins who race, the
        // later one is told what to follow.
        if read.epoch.epoch != head.epoch + 1 || read.epoch.previous != Some(head.hash) {
            return Err(Rejection::stale_epoch(shown(head)));
        }
        let after = before.state.apply(&read.signed);
        let after = after.map_err(|err| change::refused(err, head))?;
        self.check_own_key(&before, read).await?;
        let is_hidden = self.consent.check(read, group, self.clock.now()).await?;
        self.append(group, Some(&before), (after, read, is_hidden)).await
    }

    /// The group, if the caller is an admin or owner of it.
    pub(super) async fn admin_of(
        &self,
        caller: &Caller,
        group: &GroupId,
    ) -> Result<Arc<Known>, Rejection> {
        let Reader::Current(standing) = self.reader(caller, group).await? else {
            return Err(no_such_group());
        };
        if standing < Standing::Admin {
            return Err(Rejection::new(Code::Forbidden, "this is for the group's admins"));
        }
        self.book.current(group).await?.ok_or_else(no_such_group)
    }

    /// An account submits what it signed itself.
    fn check_actor(&self, caller: &Caller, read: &Read) -> Result<(), Rejection> {
        if read.actor.as_ref() != Some(&caller.account) {
            let detail = "the epoch is another account's act";
            return Err(Rejection::new(Code::Forbidden, detail));
        }
        change::check_bounds(read, self.clock.now())
    }

    /// The answer to an epoch that is in the chain already.
    async fn repeated(
        &self,
        group: &GroupId,
        read: &Read,
        hash: [u8; 32],
    ) -> Result<Option<EpochTaken>, Rejection> {
        let stored = self.book.store().epoch_hash(group, read.epoch.epoch).await;
        if stored.map_err(|err| store_failed(&err))? != Some(hash) {
            return Ok(None);
        }
        let version = self.book.store().group_version(group).await;
        let version = version.map_err(|err| store_failed(&err))?;
        Ok(version.map(|version| taken(group, version.head)))
    }

    /// The group would know somebody by a key that they do not have any more.
    async fn check_own_key(&self, before: &Known, read: &Read) -> Result<(), Rejection> {
        let (Change::Accept, Some(actor)) = (&read.epoch.change, &read.actor) else {
            return Ok(());
        };
        if actor.server != self.own {
            return Ok(());
        }
        let name = actor.to_string();
        let invited = before.state.invitations().find(|(account, _)| *account == name);
        match invited {
            Some((_, identity)) => self.consent.check_identity(actor, identity).await,
            None => Ok(()),
        }
    }

    /// Appends a verified epoch of a group that this region sequences, and tells everyone whom it
    /// concerns.
    async fn append(
        &self,
        group: &GroupId,
        before: Option<&Known>,
        (after, read, is_hidden): (GroupState, &Read, bool),
    ) -> Result<EpochTaken, Rejection> {
        let now = self.clock.now();
        let mut announce = regions(&after);
        announce.extend(before.map(|before| regions(&before.state)).unwrap_or_default());
        announce.sort_unstable();
        announce.dedup();
        announce.retain(|region| *region != self.own);
        let verified = Verified { before, after, read, own: &self.own, is_hidden, now };
        let (mut step, next) = change::step(verified, group)?;
        step.announce = announce;
        let written = self.write(&step, next).await?;
        if !step.announce.is_empty() {
            self.untold.notify_one();
        }
        Ok(taken(group, written.head()))
    }

    /// Writes a step, and hands its entries to connected devices.
    pub(super) async fn write(&self, step: &Step, next: Known) -> Result<Arc<Known>, Rejection> {
        let next = Arc::new(next);
        match self.book.store().append_epoch(step).await.map_err(|err| store_failed(&err))? {
            Appended::Done(arrivals) => {
                self.book.keep(Arc::clone(&next));
                self.hand_over(step, &arrivals);
                Ok(next)
            }
            // The same epoch, submitted twice at once, is taken once.
            Appended::Moved(Some(head)) if head == step.head => Ok(next),
            Appended::Moved(Some(head)) => Err(Rejection::stale_epoch(shown(head))),
            Appended::Moved(None) => Err(no_such_group()),
            Appended::TooMany => {
                let detail = format!("an account is in at most {} groups", limits::MAX_GROUPS);
                Err(Rejection::new(Code::TooMany, detail))
            }
        }
    }

    fn hand_over(&self, step: &Step, arrivals: &[Arrival]) {
        let arrivals: HashMap<Uuid, Arrival> =
            arrivals.iter().map(|arrival| (arrival.account, *arrival)).collect();
        for (account, event) in &step.tell {
            let Some(arrival) = arrivals.get(account) else { continue };
            self.hand_over_notice(&[*arrival], *event, (&step.group, step.head), step.now);
        }
    }

    /// Hands a new entry about a group to connected devices.
    pub(super) fn hand_over_notice(
        &self,
        arrivals: &[Arrival],
        event: GroupEvent,
        (group, head): (&GroupId, Head),
        arrived_at: Timestamp,
    ) {
        let entry = |cursor| {
            let notice = GroupNotice { event, group: group.clone(), head };
            Entry { cursor, arrived_at, kind: EntryKind::Group(Box::new(notice)) }
        };
        self.connections.hand_over(arrivals, entry, None);
    }
}

/// A change waits for the region that sequences the group.
pub(super) fn queued(group: &GroupId, head: Head) -> EpochTaken {
    EpochTaken { group_id: group.clone(), status: EpochStatus::Queued, head: shown(head) }
}

pub(super) fn taken(group: &GroupId, head: Head) -> EpochTaken {
    EpochTaken { group_id: group.clone(), status: EpochStatus::Taken, head: shown(head) }
}

/// A group as it is shown.
fn info(known: &Known) -> Result<GroupInfo, Rejection> {
    let state = &known.state;
    let mut members = Vec::with_capacity(state.members().len());
    for (name, member) in state.members() {
        members.push(GroupPerson {
            account_id: AccountId::parse(name)?,
            role: known.standing(name).unwrap_or(Standing::Member),
            identity_key: EcKey(member.identity),
            since: Some(member.joined),
        });
    }
    for (name, identity) in state.invitations() {
        members.push(GroupPerson {
            account_id: AccountId::parse(name)?,
            role: Standing::Invited,
            identity_key: EcKey(*identity),
            since: None,
        });
    }
    members.sort_by(|one, other| one.account_id.cmp(&other.account_id));
    let deputies = state.deputies().iter().map(|name| ServerName::parse(name));
    Ok(GroupInfo {
        conversation_id: ConversationId::group(&known.id),
        group_id: known.id.clone(),
        region: ServerName::parse(state.region())?,
        head: shown(known.head()),
        title: Title(state.title().to_vec()),
        members,
        deputies: deputies.collect::<Result<_, _>>()?,
        unacknowledged: None,
    })
}
