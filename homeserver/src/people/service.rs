//! The people port of the client API.

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_client_api::ports::{Caller, ListRange, People as PeoplePort};
use posthouse_protocol::{
    frame::Changed,
    id::{AccountId, Address, ConversationId},
    limits,
    problem::{Code, Rejection},
    rest::{
        BlockInfo, Blocks, ContactInfo, Contacts, FileReport, Label, Opaque, Privacy, Profile,
        PutProfile, ReportFiled, RequestInfo, Requests,
    },
    time::Clock,
};
use posthouse_storage::{
    error::StoreError,
    people::{Added, Contact, People, Range},
    profiles::{Profile as Stored, Profiles},
    reports::Reports,
};

use super::{Relations, profiles::shown, reports::report};
use crate::{
    accounts::{Directory, store_failed},
    devices::ForeignKeys,
    presence::PresenceService,
    random::Random,
};

/// What is kept of people.
#[derive(Clone)]
pub struct PeopleStores {
    /// Contacts, blocks, requests, settings.
    pub people: Arc<dyn People>,
    /// Profiles.
    pub profiles: Arc<dyn Profiles>,
    /// Reports.
    pub reports: Arc<dyn Reports>,
}

/// Contacts, blocks, requests, settings, profiles and reports of one region.
pub struct PeopleService {
    /// What is kept.
    pub stores: PeopleStores,
    /// What is remembered of it, and who is told of changes.
    pub relations: Arc<Relations>,
    /// Handles, and other regions.
    pub directory: Arc<Directory>,
    /// Who of other regions is gone.
    pub abroad: Arc<ForeignKeys>,
    /// Who watches whom.
    pub presence: Arc<PresenceService>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub random: Arc<Random>,
}

#[async_trait]
impl PeoplePort for PeopleService {
    async fn contacts(&self, caller: &Caller, range: ListRange) -> Result<Contacts, Rejection> {
        let found = self.stores.people.contacts(caller.account.uuid, one_more(&range)).await;
        let (found, next) = page(found, &range, |contact| &contact.who)?;
        let contact = |contact: Contact| ContactInfo {
            account_id: contact.who,
            label: contact.label.and_then(Opaque::new),
            added_at: contact.at,
        };
        Ok(Contacts { contacts: found.into_iter().map(contact).collect(), next })
    }

    async fn put_contact(
        &self,
        caller: &Caller,
        user: Address,
        label: Option<Label>,
    ) -> Result<(), Rejection> {
        let who = self.directory.resolve(&user).await?;
        self.abroad.check_there(&who)?;
        let label = label.map(|label| label.as_str().to_owned());
        let contact = Contact { who, label, at: self.clock.now() };
        let account = caller.account.uuid;
        let put = self.stores.people.put_contact(account, &contact, limits::MAX_CONTACTS).await;
        added(put, "contacts", limits::MAX_CONTACTS)?;
        self.tell(caller, Changed::Contacts, Some(&contact.who)).await;
        Ok(())
    }

    async fn remove_contact(&self, caller: &Caller, user: Address) -> Result<(), Rejection> {
        let who = self.named(user).await?;
        let removed = self.stores.people.remove_contact(caller.account.uuid, &who).await;
        found(removed, "this is no contact")?;
        self.tell(caller, Changed::Contacts, Some(&who)).await;
        self.presence.look_again(caller.account.uuid).await;
        Ok(())
    }

    async fn blocks(&self, caller: &Caller, range: ListRange) -> Result<Blocks, Rejection> {
        let found = self.stores.people.blocks(caller.account.uuid, one_more(&range)).await;
        let (found, next) = page(found, &range, |(who, _)| who)?;
        let block = |(account_id, blocked_at)| BlockInfo { account_id, blocked_at };
        Ok(Blocks { blocks: found.into_iter().map(block).collect(), next })
    }

    async fn block(&self, caller: &Caller, user: Address) -> Result<(), Rejection> {
        let who = self.named(user).await?;
        if who == caller.account {
            return Err(Rejection::new(Code::BadRequest, "nobody blocks themselves"));
        }
        let (account, now) = (caller.account.uuid, self.clock.now());
        let block = self.stores.people.block(account, &who, now, limits::MAX_BLOCKS).await;
        added(block, "blocked users", limits::MAX_BLOCKS)?;
        self.tell(caller, Changed::Blocks, Some(&who)).await;
        self.presence.look_again(account).await;
        Ok(())
    }

    async fn unblock(&self, caller: &Caller, user: Address) -> Result<(), Rejection> {
        let who = self.named(user).await?;
        let unblocked = self.stores.people.unblock(caller.account.uuid, &who).await;
        found(unblocked, "this user is not blocked")?;
        self.tell(caller, Changed::Blocks, Some(&who)).await;
        Ok(())
    }

    async fn requests(&self, caller: &Caller, range: ListRange) -> Result<Requests, Rejection> {
        let found = self.stores.people.requests(caller.account.uuid, one_more(&range)).await;
        let (found, next) = page(found, &range, |(who, _)| who)?;
        let request = |(account_id, requested_at)| RequestInfo {
            conversation_id: ConversationId::direct(&caller.account, &account_id),
            account_id,
            requested_at,
        };
        Ok(Requests { requests: found.into_iter().map(request).collect(), next })
    }

    async fn answer_request(
        &self,
        caller: &Caller,
        user: Address,
        accept: bool,
    ) -> Result<(), Rejection> {
        let who = self.named(user).await?;
        let (account, now) = (caller.account.uuid, self.clock.now());
        let answered = self.stores.people.answer_request(account, &who, accept, now).await;
        found(answered, "no request of this user waits")?;
        self.tell(caller, Changed::Requests, Some(&who)).await;
        Ok(())
    }

    async fn privacy(&self, caller: &Caller) -> Result<Privacy, Rejection> {
        self.relations.privacy(caller.account.uuid).await
    }

    async fn set_privacy(&self, caller: &Caller, privacy: Privacy) -> Result<(), Rejection> {
        let set = self.stores.people.set_privacy(caller.account.uuid, &privacy).await;
        found(set, "the account is gone")?;
        self.tell(caller, Changed::Privacy, None).await;
        self.presence.look_again(caller.account.uuid).await;
        Ok(())
    }

    async fn profile(&self, _caller: &Caller, user: Address) -> Result<Profile, Rejection> {
        let account = self.directory.resolve(&user).await?;
        if account.server != *self.directory.server() {
            return self.directory.regions().profile(&account).await;
        }
        let found = self.stores.profiles.profile(account.uuid).await;
        Ok(shown(account, found.map_err(|err| store_failed(&err))?))
    }

    async fn put_profile(
        &self,
        caller: &Caller,
        profile: PutProfile,
    ) -> Result<Profile, Rejection> {
        let PutProfile { replaces, name, about, avatar } = profile;
        // Versions are stored as signed numbers; none comes near that.
        let version = replaces.checked_add(1).filter(|version| i64::try_from(*version).is_ok());
        let version =
            version.ok_or_else(|| Rejection::new(Code::BadRequest, "`replaces` is no version"))?;
        let stored = Stored {
            version,
            name: name.as_ref().map(|text| text.as_str().to_owned()),
            about: about.as_ref().map(|text| text.as_str().to_owned()),
            avatar: avatar.as_ref().map(|text| text.as_str().to_owned()),
            updated_at: self.clock.now(),
        };
        let put = self.stores.profiles.put_profile(caller.account.uuid, &stored).await;
        if !put.map_err(|err| store_failed(&err))? {
            let detail = "the profile has another version than `replaces` says; read it again";
            return Err(Rejection::new(Code::Conflict, detail));
        }
        self.tell(caller, Changed::Profile, None).await;
        Ok(shown(caller.account.clone(), Some(stored)))
    }

    async fn report(
        &self,
        caller: &Caller,
        user: Address,
        request: FileReport,
    ) -> Result<ReportFiled, Rejection> {
        let reported = self.directory.resolve(&user).await?;
        let now = self.clock.now();
        let id = self.random.uuid_at(now);
        let report = report(id, (&caller.account, reported), request, now)?;
        let filed = self.stores.reports.file_report(&report, limits::MAX_REPORTS).await;
        added(filed, "reports that wait", limits::MAX_REPORTS)?;
        tracing::info!(report = %id, "a user was reported");
        Ok(ReportFiled { report_id: id.to_string() })
    }
}

impl PeopleService {
    /// The account that a call names which takes something off a list. An id is taken as it is: the
    /// account, or its region, may be gone.
    async fn named(&self, user: Address) -> Result<AccountId, Rejection> {
        match user {
            Address::Account(account) => Ok(account),
            other => self.directory.resolve(&other).await,
        }
    }

    async fn tell(&self, caller: &Caller, what: Changed, user: Option<&AccountId>) {
        self.relations.changed(caller.account.uuid, what, user, Some(caller.device)).await;
    }
}

/// The range with one more, which tells whether there is a next page.
fn one_more(range: &ListRange) -> Range<'_> {
    Range { after: range.after.as_ref(), limit: range.limit.saturating_add(1) }
}

/// A page, and where the next one starts.
fn page<T>(
    found: Result<Vec<T>, StoreError>,
    range: &ListRange,
    who: impl Fn(&T) -> &AccountId,
) -> Result<(Vec<T>, Option<AccountId>), Rejection> {
    let mut found = found.map_err(|err| store_failed(&err))?;
    let more = found.len() > range.limit;
    found.truncate(range.limit);
    let next = found.last().filter(|_| more).map(|last| who(last).clone());
    Ok((found, next))
}

fn added(added: Result<Added, StoreError>, what: &str, most: usize) -> Result<(), Rejection> {
    match added.map_err(|err| store_failed(&err))? {
        Added::Done => Ok(()),
        Added::TooMany => {
            Err(Rejection::new(Code::TooMany, format!("an account has at most {most} {what}")))
        }
        Added::NoAccount => Err(Rejection::new(Code::Unauthorized, "the account is gone")),
    }
}

fn found(found: Result<bool, StoreError>, otherwise: &'static str) -> Result<(), Rejection> {
    if found.map_err(|err| store_failed(&err))? {
        Ok(())
    } else {
        Err(Rejection::new(Code::NotFound, otherwise))
    }
}
