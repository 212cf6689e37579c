//! Groups across regions: what other regions are told and tell of chains, and catching up.
//!
//! The owning region pushes each epoch to every region with somebody in the group until that region
//! says that it has it. A region that hears of an epoch that it does not have, by a message, pulls.
//! What comes is verified like everything else: a region can hold epochs back, and make none.

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_crypto::e2ee::signed::group_epoch::{Change, GroupState, SignedGroupEpoch};
use posthouse_federation::ports::{PeerGroups, Unanswered};
use posthouse_protocol::{
    federation::query::groups::{
        GroupAct, GroupAnswer, GroupOutcome, GroupQuestion, MAX_DOCUMENTS, MAX_DOCUMENTS_BYTES,
    },
    frame::GroupEvent,
    id::{AccountId, GroupId, ServerName},
    limits,
    problem::{Code, Rejection},
    rest::groups::EpochTaken,
};
use posthouse_storage::groups::{Grown, Head};

use super::{
    GroupsService,
    book::{Known, no_such_group},
    change::{self, Read, Verified, stale_epoch},
    service::{queued, taken},
};
use crate::accounts::store_failed;

/// Most questions of one attempt to catch up.
const MAX_PULLS: usize = 2_000;

/// Most epochs of one account that wait for other regions.
const MAX_PENDING: usize = 16;

/// Answers other regions.
pub struct LocalGroups(pub Arc<GroupsService>);

#[async_trait]
impl PeerGroups for LocalGroups {
    async fn group(
        &self,
        origin: &ServerName,
        question: GroupQuestion,
    ) -> Result<GroupAnswer, Unanswered> {
        let GroupQuestion { group, act } = question;
        let answer = match act {
            GroupAct::Pull(from) => self.0.pulled(origin, &group, from).await,
            GroupAct::Push(documents) => self.0.pushed(origin, &group, documents).await,
            GroupAct::Submit(document) => self.0.submitted(origin, &group, &document).await,
            GroupAct::Join { account, code } => {
                let account = AccountId { uuid: account, server: origin.clone() };
                self.0.asked(origin, &group, (&account, &code)).await
            }
        };
        answer.or_else(|rejection| refusal(&rejection))
    }
}

/// The regions with a member of, or somebody invited to, a group.
pub(super) fn regions(state: &GroupState) -> Vec<ServerName> {
    let names = state.members().keys().map(String::as_str);
    distinct(names.chain(state.invitations().map(|(name, _)| name)))
}

/// The regions with a member of a group.
pub(crate) fn member_regions(state: &GroupState) -> Vec<ServerName> {
    distinct(state.members().keys().map(String::as_str))
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<ServerName> {
    let mut servers: Vec<&str> =
        names.filter_map(|name| name.split_once('@').map(|(_, server)| server)).collect();
    servers.sort_unstable();
    servers.dedup();
    servers.into_iter().filter_map(|server| ServerName::parse(server).ok()).collect()
}

impl GroupsService {
    /// Only regions with somebody in the group are told what its chain says.
    async fn pulled(
        &self,
        origin: &ServerName,
        group: &GroupId,
        from: u64,
    ) -> Result<GroupAnswer, Rejection> {
        let known = self.book.current(group).await?.ok_or_else(no_such_group)?;
        if !regions(&known.state).contains(origin) {
            return Err(no_such_group());
        }
        let documents = self.piece(group, from).await?;
        let head = known.head();
        let done = GroupAnswer::of(GroupOutcome::Done, Some((head.epoch, head.hash)));
        Ok(GroupAnswer { documents, ..done })
    }

    /// Epochs from a number on, as many as one message carries.
    async fn piece(&self, group: &GroupId, from: u64) -> Result<Vec<Vec<u8>>, Rejection> {
        let range = (from.max(1), limits::MAX_GROUP_EPOCHS);
        let documents = self.book.store().epochs(group, range, MAX_DOCUMENTS).await;
        let mut bytes = 0;
        let fits = |document: &bytes::Bytes| {
            bytes += document.len();
            bytes <= MAX_DOCUMENTS_BYTES
        };
        let documents = documents.map_err(|err| store_failed(&err))?.into_iter().take_while(fits);
        Ok(documents.map(|document| document.to_vec()).collect())
    }

    /// The region that sequences a group tells of new epochs.
    async fn pushed(
        &self,
        origin: &ServerName,
        group: &GroupId,
        documents: Vec<Vec<u8>>,
    ) -> Result<GroupAnswer, Rejection> {
        self.limits.pushed(origin, documents.len())?;
        let mut known = self.book.current(group).await?;
        for document in documents {
            let signed = parsed(&document)?;
            if !may_push(known.as_deref(), &signed, origin, group) {
                // A deputy begins with its newest epoch: it is told from where on to push.
                if known.as_deref().is_some_and(|known| is_deputy_ahead(known, &signed, origin)) {
                    break;
                }
                return Err(Rejection::new(Code::Forbidden, "another region sequences the group"));
            }
            match self.take(group, known.as_deref(), signed).await {
                Ok(Some(next)) => known = Some(next),
                Ok(None) => {}
                // A gap: the head tells from where on to push.
                Err(rejection) if rejection.code == Code::StaleEpoch => {
                    known = self.book.current(group).await?;
                    break;
                }
                Err(rejection) => return Err(rejection),
            }
        }
        let head = known.map(|known| known.head()).map(|head| (head.epoch, head.hash));
        Ok(GroupAnswer::of(GroupOutcome::Done, head))
    }

    /// An account of another region makes a change of a group that this one sequences.
    async fn submitted(
        &self,
        origin: &ServerName,
        group: &GroupId,
        document: &[u8],
    ) -> Result<GroupAnswer, Rejection> {
        let read = change::read(parsed(document)?, group)?;
        let actor = read.actor.clone().filter(|actor| actor.server == *origin);
        let detail = "the epoch is no act of an account of yours";
        let actor = actor.ok_or_else(|| Rejection::new(Code::Forbidden, detail))?;
        change::check_bounds(&read, self.clock.now())?;
        let taken = self.sequence(&actor, group, &read).await?;
        let head = (taken.head.epoch, taken.head.hash.0);
        Ok(GroupAnswer::of(GroupOutcome::Done, Some(head)))
    }

    /// Takes an epoch that another region put in its place, if it follows what is known. `None` if it
    /// is known already.
    async fn take(
        &self,
        group: &GroupId,
        before: Option<&Known>,
        signed: SignedGroupEpoch,
    ) -> Result<Option<Arc<Known>>, Rejection> {
        let read = change::read(signed, group)?;
        let reached = |before: &&Known| read.epoch.epoch <= before.state.epoch();
        if let Some(before) = before.filter(reached) {
            let head = before.head();
            if read.epoch.epoch == head.epoch && read.signed.hash() != head.hash {
                tracing::warn!(
                    %group, epoch = head.epoch,
                    "another region has another epoch of this number: the group's chain is forked"
                );
            }
            return Ok(None);
        }
        let head = before.map_or(Head { epoch: 0, hash: [0; 32] }, Known::head);
        let after = match before {
            Some(before) => before.state.apply(&read.signed),
            None if read.epoch.epoch > 1 => return Err(stale_epoch(head)),
            None => GroupState::create(&group.to_string(), &read.signed),
        };
        let after = after.map_err(|err| change::refused(err, head))?;
        if before.is_none() && after.region() != group.server.as_str() {
            let detail = "a group begins in the region that its name tells";
            return Err(Rejection::new(Code::BadRequest, detail));
        }
        let now = self.clock.now();
        let state = before.map(|before| &before.state);
        self.consent.check_foreign(&read, state, group, now).await?;
        let is_hidden = self.consent.keeps_from(&read, now).await?;
        let verified = Verified { before, after, read: &read, own: &self.own, is_hidden, now };
        let (mut step, next) = change::step(verified, group)?;
        // It has its place: no bound of this region takes that away.
        step.joins = None;
        self.write(&step, next).await.map(Some)
    }

    /// Reads from other regions what is missing of a chain up to `wanted`: from the region that
    /// sequences it, and, if that does not help and it is known to have members, from the one that
    /// told of it. Whether this region
    /// has `wanted` then.
    ///
    /// # Errors
    /// [`Code::RegionUnreachable`] if none of them answers, or as the store.
    pub async fn catch_up(
        &self,
        group: &GroupId,
        wanted: u64,
        told_by: &ServerName,
    ) -> Result<bool, Rejection> {
        let known = self.book.current(group).await?;
        if known.as_ref().is_some_and(|known| known.state.epoch() >= wanted) {
            return Ok(true);
        }
        // Of a group that is not known here only the region that began it is believed: any other
        // could make up a chain with that name. Later it is asked first, and then who speaks of the
        // group, if it has members: what follows a known chain is signed by people whom that knows.
        let (owner, members) = match &known {
            None => (Some(group.server.clone()), Vec::new()),
            Some(known) => {
                (ServerName::parse(known.state.region()).ok(), member_regions(&known.state))
            }
        };
        let teller = Some(told_by).filter(|teller| members.contains(teller));
        let mut sources: Vec<&ServerName> = owner.iter().chain(teller).collect();
        sources.dedup();
        let mut unreachable = None;
        for source in sources.into_iter().filter(|source| **source != self.own) {
            match self.pull(group, wanted, source).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(rejection) => unreachable = Some(rejection),
            }
        }
        unreachable.map_or(Ok(false), Err)
    }

    async fn pull(
        &self,
        group: &GroupId,
        wanted: u64,
        source: &ServerName,
    ) -> Result<bool, Rejection> {
        for _ in 0..MAX_PULLS {
            let mut known = self.book.current(group).await?;
            let head = known.as_ref().map_or(0, |known| known.state.epoch());
            if head >= wanted {
                return Ok(true);
            }
            let question = GroupQuestion { group: group.clone(), act: GroupAct::Pull(head + 1) };
            let answer = self.regions.group(source, question).await?;
            if answer.documents.is_empty() {
                return Ok(false);
            }
            for document in &answer.documents {
                match self.take(group, known.as_deref(), parsed(document)?).await {
                    Ok(Some(next)) => known = Some(next),
                    Ok(None) => {}
                    // Somebody else was faster.
                    Err(rejection) if rejection.code == Code::StaleEpoch => break,
                    Err(rejection) => return Err(rejection),
                }
            }
            let reached = self.book.current(group).await?.map_or(0, |known| known.state.epoch());
            if reached <= head {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// A change of a group that another region sequences: asked for there, or kept until it answers.
    pub(super) async fn forward(
        &self,
        actor: &AccountId,
        before: &Known,
        read: &Read,
    ) -> Result<EpochTaken, Rejection> {
        let group = &before.id;
        let owner = ServerName::parse(before.state.region())?;
        let document = read.signed.to_bytes();
        let leaves = matches!(read.epoch.change, Change::Leave);
        let act = GroupAct::Submit(document.clone());
        let question = GroupQuestion { group: group.clone(), act };
        let answer = match self.regions.group(&owner, question).await {
            Ok(answer) => answer,
            // Nothing keeps somebody in a group, whatever the reason that nobody can be asked.
            Err(rejection) if leaves || rejection.code == Code::RegionUnreachable => {
                // What does not follow what is known here, would never be taken.
                let head = before.head();
                before.state.apply(&read.signed).map_err(|err| change::refused(err, head))?;
                if leaves {
                    self.depart(actor, before, read, &document).await?;
                } else {
                    self.keep_pending(actor, group, read, &document).await?;
                }
                return Ok(queued(group, before.head()));
            }
            Err(rejection) => return Err(rejection),
        };
        if answer.outcome == GroupOutcome::Done {
            // It need not be pushed first, and could not be read by a region whose last member left.
            self.place(before, read).await;
        }
        self.follow(group, &owner, &answer).await;
        match answer.outcome {
            GroupOutcome::Done => {
                let head = self.book.current(group).await?.map(|known| known.head());
                Ok(taken(group, head.unwrap_or_else(|| before.head())))
            }
            GroupOutcome::Stale => {
                let known = self.book.current(group).await?.ok_or_else(no_such_group)?;
                Err(stale_epoch(known.head()))
            }
            GroupOutcome::Nothing => Err(no_such_group()),
            GroupOutcome::Refused => Err(reason(answer.reason.as_deref())),
        }
    }

    /// An epoch that the owning region has put into its place has it here, too.
    async fn place(&self, before: &Known, read: &Read) {
        if let Err(rejection) = self.take(&before.id, Some(before), read.signed.clone()).await {
            tracing::debug!(group = %before.id, %rejection, "an own change will be pushed");
        }
    }

    /// What the owning region has by now is read at once, so that who asked sees it.
    async fn follow(&self, group: &GroupId, owner: &ServerName, answer: &GroupAnswer) {
        let Some((epoch, _)) = answer.head else { return };
        if let Err(rejection) = self.catch_up(group, epoch, owner).await {
            tracing::debug!(%group, %rejection, "the chain could not be followed; it will be pushed");
        }
    }

    async fn keep_pending(
        &self,
        actor: &AccountId,
        group: &GroupId,
        read: &Read,
        document: &[u8],
    ) -> Result<(), Rejection> {
        let (hash, now) = (read.signed.hash(), self.clock.now());
        let put = self.book.store().put_pending_epoch(
            group,
            actor.uuid,
            (&hash, document),
            (MAX_PENDING, now),
        );
        match put.await.map_err(|err| store_failed(&err))? {
            Grown::Full => {
                let detail = "too many of your changes wait for other regions";
                Err(Rejection::new(Code::TooMany, detail))
            }
            _ => Ok(()),
        }
    }

    /// The member is out of the group here at once; the chain says so once its region is back.
    async fn depart(
        &self,
        actor: &AccountId,
        before: &Known,
        read: &Read,
        document: &[u8],
    ) -> Result<(), Rejection> {
        let (hash, head, now) = (read.signed.hash(), before.head(), self.clock.now());
        let left = self.book.store().depart(&before.id, actor.uuid, (&hash, document), (head, now));
        if let Some(arrival) = left.await.map_err(|err| store_failed(&err))? {
            self.hand_over_notice(&[arrival], GroupEvent::Gone, (&before.id, head), now);
        }
        Ok(())
    }

    /// Asks once more for what waits. Whether it need not wait any more.
    pub(super) async fn retry(&self, group: &GroupId, document: &[u8]) -> Result<bool, Rejection> {
        let Some(known) = self.book.current(group).await? else { return Ok(true) };
        let owner = ServerName::parse(known.state.region())?;
        let read = change::read(parsed(document)?, group)?;
        if owner == self.own {
            let Some(actor) = read.actor.clone() else { return Ok(true) };
            return Ok(self.sequence(&actor, group, &read).await.is_ok());
        }
        let act = GroupAct::Submit(document.to_vec());
        let question = GroupQuestion { group: group.clone(), act };
        let answer = self.regions.group(&owner, question).await?;
        if answer.outcome == GroupOutcome::Done {
            self.place(&known, &read).await;
        }
        self.follow(group, &owner, &answer).await;
        Ok(true)
    }

    /// Pushes a group's epochs to `region` until it has `epoch`.
    pub(super) async fn push(
        &self,
        region: &ServerName,
        group: &GroupId,
        epoch: u64,
    ) -> Result<(), Rejection> {
        let mut from = epoch;
        for _ in 0..MAX_PULLS {
            let documents = self.piece(group, from).await?;
            let question = GroupQuestion { group: group.clone(), act: GroupAct::Push(documents) };
            let answer = self.regions.group(region, question).await?;
            let head = answer.head.map_or(0, |(head, _)| head);
            if answer.outcome == GroupOutcome::Done && head < epoch {
                if head + 1 == from {
                    break;
                }
                from = head + 1;
                continue;
            }
            if answer.outcome != GroupOutcome::Done {
                tracing::warn!(
                    %region, %group, epoch, outcome = ?answer.outcome,
                    reason = answer.reason.as_deref().unwrap_or("it gives none"),
                    "a region takes no epoch"
                );
                let known = self.book.current(group).await?;
                if known.is_some_and(|known| regions(&known.state).contains(region)) {
                    let refused = self.book.store().refused_group(region, group, epoch).await;
                    return refused.map_err(|err| store_failed(&err));
                }
            }
            let told = self.book.store().told_group(region, group, epoch).await;
            return told.map_err(|err| store_failed(&err));
        }
        Err(Rejection::new(Code::RegionUnreachable, "the region does not catch up"))
    }
}

/// A refusal as another region is told it.
fn refusal(rejection: &Rejection) -> Result<GroupAnswer, Unanswered> {
    let outcome = match rejection.code {
        Code::RateLimited => {
            return Err(Unanswered::TooOften(rejection.retry_after.unwrap_or(1)));
        }
        Code::Internal | Code::Unavailable | Code::Overloaded => {
            return Err(Unanswered::Failed(rejection.to_string()));
        }
        Code::StaleEpoch => GroupOutcome::Stale,
        Code::NotFound => GroupOutcome::Nothing,
        _ => GroupOutcome::Refused,
    };
    let head = rejection.head.as_deref().map(|head| (head.epoch, head.hash.0));
    let reason = Some(rejection.code.as_str().to_owned());
    Ok(GroupAnswer { reason, ..GroupAnswer::of(outcome, head) })
}

/// Whether the region may tell of an epoch: it sequences the group, or takes it over by this one.
fn may_push(
    known: Option<&Known>,
    signed: &SignedGroupEpoch,
    origin: &ServerName,
    group: &GroupId,
) -> bool {
    let Some(known) = known else { return group.server == *origin };
    if known.state.region() == origin.as_str() {
        return true;
    }
    let takes_over = |epoch: posthouse_crypto::e2ee::signed::group_epoch::GroupEpoch| matches!(epoch.change, Change::TakeOver(region) if region == origin.as_str());
    signed.unverified().is_ok_and(takes_over)
}

/// Whether an epoch of a region that may take over lies beyond the next one.
fn is_deputy_ahead(known: &Known, signed: &SignedGroupEpoch, origin: &ServerName) -> bool {
    known.state.deputies().iter().any(|deputy| deputy == origin.as_str())
        && signed.unverified().is_ok_and(|epoch| epoch.epoch > known.state.epoch() + 1)
}

fn parsed(document: &[u8]) -> Result<SignedGroupEpoch, Rejection> {
    SignedGroupEpoch::from_bytes(document).map_err(|err| change::not_an_epoch(&err))
}

/// The refusal of another region, as its own would be.
pub(super) fn reason(code: Option<&str>) -> Rejection {
    let known = Code::ALL.iter().find(|one| Some(one.as_str()) == code);
    let code = known.copied().filter(|code| code.status() < 500).unwrap_or(Code::Forbidden);
    Rejection::new(code, "the region that sequences the group refuses the change")
}
