//! The groups port of the client API.

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_client_api::ports::{Caller, Groups as GroupsPort};
use posthouse_crypto::e2ee::signed::group_epoch::{Change, GroupState, SignedGroupEpoch};
use posthouse_protocol::{
    id::{AccountId, ConversationId, GroupId, ServerName},
    limits,
    problem::{Code, Rejection},
    rest::{
        Secret,
        groups::{
            CreateGroupLink, EpochDocument, EpochStatus, EpochTaken, Epochs, GroupInfo,
            GroupLinkCreated, GroupLinks, GroupPerson, GroupSummary, Groups as GroupList,
            JoinRequests, Standing, SubmitEpoch, Title,
        },
        keys::EcKey,
    },
    time::Clock,
};
use posthouse_storage::{
    groups::{Appended, GroupNotice, Head, Membership, Reader},
    inbox::{Entry, EntryKind},
};
use uuid::Uuid;

use super::{
    GroupBook, GroupLimits,
    book::{Known, no_such_group},
    change::{self, Read, Verified, shown},
    consent::Consent,
};
use crate::{accounts::store_failed, delivery::Connections, random::Random};

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
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub random: Arc<Random>,
}

#[async_trait]
impl GroupsPort for GroupsService {
    async fn create(&self, caller: &Caller, epoch: SubmitEpoch) -> Result<EpochTaken, Rejection> {
        let signed = epoch.epoch.0;
        let named = signed.unverified().map_err(|_| not_an_epoch())?;
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
        let reader = self.reader(caller, group).await?;
        let hash = read.signed.hash();
        if let Some(taken) = self.repeated(group, &read, hash).await? {
            return Ok(taken);
        }
        if matches!(reader, Reader::Former(_)) {
            let detail = "you do not belong to the group any more";
            return Err(Rejection::new(Code::Forbidden, detail));
        }
        self.limits.epoch(caller.account.uuid, group)?;
        let before = self.book.current(group).await?.ok_or_else(no_such_group)?;
        let head = before.head();
        // An epoch that does not follow the newest is not looked at: of two admins who race, the
        // later one is told what to follow.
        if read.epoch.epoch != head.epoch + 1 || read.epoch.previous != Some(head.hash) {
            return Err(Rejection::stale_epoch(shown(head)));
        }
        let after = before.state.apply(&read.signed);
        let after = after.map_err(|err| change::refused(err, head))?;
        let is_hidden = self.check_people(&before, &read, group).await?;
        self.append(group, Some(&before), (after, &read, is_hidden)).await
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
        };
        let groups: Vec<GroupSummary> = found.into_iter().map(summary).collect();
        let next = groups.last().filter(|_| more).map(|last| last.conversation_id);
        Ok(GroupList { groups, next })
    }

    async fn group(&self, caller: &Caller, group: &GroupId) -> Result<GroupInfo, Rejection> {
        let Reader::Current(_) = self.reader(caller, group).await? else {
            return Err(no_such_group());
        };
        let known = self.book.current(group).await?.ok_or_else(no_such_group)?;
        info(&known)
    }

    async fn epochs(
        &self,
        caller: &Caller,
        group: &GroupId,
        from: u64,
        limit: usize,
    ) -> Result<Epochs, Rejection> {
        let through = match self.reader(caller, group).await? {
            Reader::Current(_) => limits::MAX_GROUP_EPOCHS,
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
    /// Whether and how far the caller may read the chain.
    async fn reader(&self, caller: &Caller, group: &GroupId) -> Result<Reader, Rejection> {
        let reader = self.book.store().group_reader(group, &caller.account).await;
        reader.map_err(|err| store_failed(&err))?.ok_or_else(no_such_group)
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
        let head = self.book.store().group_head(group).await.map_err(|err| store_failed(&err))?;
        Ok(head.map(|head| taken(group, head)))
    }

    /// What clients cannot check. Whether the invitation is kept from its subject.
    async fn check_people(
        &self,
        before: &Known,
        read: &Read,
        group: &GroupId,
    ) -> Result<bool, Rejection> {
        if let (Change::Accept, Some(actor)) = (&read.epoch.change, &read.actor) {
            // The group would know somebody by a key that they do not have any more.
            let name = actor.to_string();
            let invited = before.state.invitations().find(|(account, _)| *account == name);
            if let Some((_, identity)) = invited {
                self.consent.check_identity(actor, identity).await?;
            }
        }
        self.consent.check(read, group, self.clock.now()).await
    }

    /// Appends a verified epoch, and tells everyone here whom it concerns.
    async fn append(
        &self,
        group: &GroupId,
        before: Option<&Known>,
        (after, read, is_hidden): (GroupState, &Read, bool),
    ) -> Result<EpochTaken, Rejection> {
        let now = self.clock.now();
        let verified = Verified { before, after, read, own: &self.own, is_hidden, now };
        let (step, next) = change::step(verified, group)?;
        match self.book.store().append_epoch(&step).await.map_err(|err| store_failed(&err))? {
            Appended::Done(arrivals) => {
                self.book.keep(Arc::new(next));
                for (account, event) in &step.tell {
                    let arrivals = arrivals.iter().filter(|one| one.account == *account);
                    let arrivals: Vec<_> = arrivals.copied().collect();
                    let kind =
                        || GroupNotice { event: *event, group: group.clone(), head: step.head };
                    let entry = |cursor| {
                        let kind = EntryKind::Group(Box::new(kind()));
                        Entry { cursor, arrived_at: now, kind }
                    };
                    self.connections.hand_over(&arrivals, entry, None);
                }
                Ok(taken(group, step.head))
            }
            // The same epoch, submitted twice at once, is taken once.
            Appended::Moved(Some(head)) if head == step.head => Ok(taken(group, head)),
            Appended::Moved(Some(head)) => Err(Rejection::stale_epoch(shown(head))),
            Appended::Moved(None) => Err(no_such_group()),
            Appended::TooMany => {
                let detail = format!("an account is in at most {} groups", limits::MAX_GROUPS);
                Err(Rejection::new(Code::TooMany, detail))
            }
        }
    }
}

fn taken(group: &GroupId, head: Head) -> EpochTaken {
    EpochTaken { group_id: group.clone(), status: EpochStatus::Taken, head: shown(head) }
}

fn not_an_epoch() -> Rejection {
    Rejection::new(Code::BadRequest, "this is no epoch of a group")
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
    })
}
