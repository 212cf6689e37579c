//! Step 3: policy. What may be sent, by whom, to whom.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use posthouse_client_api::{
    ports::Caller,
    rate::{Limiter, Rate, TooOften},
};
use posthouse_protocol::{
    content::{Ciphertext, Payload},
    frame::{Class, Submission},
    id::{AccountId, Address, DeviceNumber, RegistrationId, ServerName},
    limits,
    problem::{Code, Rejection, StaleDevices},
    time::Timestamp,
};
use posthouse_storage::{
    accounts::{Device, addressable},
    people::Stance,
};
use tokio::time::Instant;

use crate::{
    accounts::{Directory, store_failed},
    devices::ForeignKeys,
    people::{Judgement, Relations},
    regions::FirstContacts,
};

/// What a region takes.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Whether contents that are not encrypted are taken.
    pub allow_unencrypted: bool,
    /// Messages that one account may send per second, in the long run.
    pub messages_per_second: u32,
    /// Messages that one account may send at once, if it sent nothing for long.
    pub message_burst: u32,
    /// People whom one account may write to first, a day.
    pub new_people_per_day: u32,
}

/// Applies the policy.
pub struct Gate {
    policy: Policy,
    directory: Arc<Directory>,
    relations: Arc<Relations>,
    abroad: Arc<ForeignKeys>,
    sending: Limiter<uuid::Uuid>,
    /// To one other region each.
    to_region: Limiter<(uuid::Uuid, ServerName)>,
    new_people: Limiter<uuid::Uuid>,
    unknown: Limiter<uuid::Uuid>,
    first_contacts: Arc<FirstContacts>,
    /// Whom tokens of new people were taken for: the next message to the same one takes none.
    met: Mutex<HashSet<(uuid::Uuid, AccountId)>>,
    /// What the limiters count from. Not the time of day: were that put back, everyone who had sent
    /// shortly before would be refused until it had caught up.
    start: Instant,
}

/// Unknown users that one account may write to at once, and per second in the long run: enough for
/// typing errors, not for trying all names.
const UNKNOWN: Rate = Rate { burst: 60, interval: Duration::from_secs(1) };

/// Most first contacts that are remembered; a full memory is emptied, and the next message of each
/// takes a token again.
const MAX_BEGUN: usize = 100_000;

/// A submission that the policy lets pass. Only [`Gate::admit`] makes one.
#[derive(Debug)]
pub struct Admitted {
    submission: Submission,
    sender: Caller,
    recipient: AccountId,
    own_copy: bool,
    reception: Reception,
    at: Timestamp,
}

/// What becomes of a message at its recipient's, and what it does for its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reception {
    /// Whether the recipient, of this region, does not hear the sender.
    pub discard: bool,
    /// Whether the recipient, of this region, is asked whether to hear the sender.
    pub asks: bool,
    /// Whether the sender has been asked by the recipient, and answers by this.
    pub replies: bool,
}

impl Admitted {
    /// What [`Gate::admit`] would make, for tests of the steps behind it.
    #[cfg(test)]
    pub(super) fn for_test(
        submission: Submission,
        sender: Caller,
        recipient: AccountId,
        (own_copy, at): (bool, Timestamp),
    ) -> Self {
        let reception = Reception::default();
        Self { submission, sender, recipient, own_copy, reception, at }
    }

    /// What the client submitted.
    pub fn submission(&self) -> &Submission {
        &self.submission
    }

    /// Who sends.
    pub fn sender(&self) -> &Caller {
        &self.sender
    }

    /// Who gets it.
    pub fn recipient(&self) -> &AccountId {
        &self.recipient
    }

    /// Whether the sender has other devices, which get a copy.
    pub fn own_copy(&self) -> bool {
        self.own_copy
    }

    /// What becomes of it at its recipient's.
    pub fn reception(&self) -> Reception {
        self.reception
    }

    /// When it was let pass: the time of its acceptance.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

impl Gate {
    /// A gate with this policy.
    pub fn new(
        policy: Policy,
        directory: Arc<Directory>,
        relations: Arc<Relations>,
        abroad: Arc<ForeignKeys>,
    ) -> Self {
        let interval = Duration::from_secs(1) / policy.messages_per_second.max(1);
        let sending = Rate { burst: policy.message_burst, interval };
        // Half of what an account may send: it cannot fill the queue to one region by itself and go
        // on with others unharmed.
        let to_region = Rate { burst: (sending.burst / 2).max(1), interval: interval * 2 };
        let a_day = policy.new_people_per_day.max(1);
        let regions = Arc::clone(directory.regions());
        let new_people = Rate { burst: a_day, interval: Duration::from_hours(24) / a_day };
        Self {
            policy,
            directory,
            relations,
            abroad,
            sending: Limiter::new(sending),
            to_region: Limiter::new(to_region),
            new_people: Limiter::new(new_people),
            unknown: Limiter::new(UNKNOWN),
            first_contacts: Arc::new(FirstContacts::new(regions)),
            met: Mutex::default(),
            start: Instant::now(),
        }
    }

    /// Checks a submission. Nothing is reserved by a refusal.
    ///
    /// # Errors
    /// [`Rejection`] for the client.
    pub async fn admit(
        &self,
        sender: &Caller,
        submission: Submission,
        now: Timestamp,
    ) -> Result<Admitted, Rejection> {
        self.check(sender, &submission, now)?;
        let recipient = self.addressee(sender, &submission.to).await?;
        let own_copy = match &submission.content.payload {
            Payload::Body(_) => {
                let own = self.directory.devices(sender.account.uuid, now).await?;
                own.iter().any(|device| device.id != sender.device)
            }
            Payload::Ciphertexts(all) => self.check_devices(sender, &recipient, all, now).await?,
        };
        let reception = self.receive(sender, &recipient, submission.class, now).await?;
        Ok(Admitted { submission, sender: sender.clone(), recipient, own_copy, reception, at: now })
    }

    /// Whom `to` means, and whether the sender may write to that region now.
    ///
    /// # Errors
    /// [`Rejection`] for the client.
    pub(super) async fn addressee(
        &self,
        sender: &Caller,
        to: &Address,
    ) -> Result<AccountId, Rejection> {
        let recipient = match self.directory.resolve(to).await {
            Ok(recipient) => recipient,
            Err(rejection) => {
                if rejection.code == Code::UnknownUser {
                    self.take(&self.unknown, sender)?;
                }
                return Err(rejection);
            }
        };
        if recipient.server != sender.account.server {
            self.abroad.check_there(&recipient)?;
            let key = (sender.account.uuid, recipient.server.clone());
            self.to_region.take(key, self.start.elapsed()).map_err(too_often)?;
            self.first_contacts.begin(sender.account.uuid, &recipient.server).await?;
        }
        Ok(recipient)
    }

    /// What limits first contacts with other regions, whatever they are for.
    pub fn first_contacts(&self) -> &Arc<FirstContacts> {
        &self.first_contacts
    }

    /// Devices of this region or another one, as far as they are known.
    pub(super) fn sources(&self) -> (&Directory, &Arc<ForeignKeys>) {
        (&self.directory, &self.abroad)
    }

    /// Counts a submission, and checks its form: what it has to pass wherever it goes.
    ///
    /// # Errors
    /// [`Rejection`] for the client.
    pub(super) fn check(
        &self,
        sender: &Caller,
        submission: &Submission,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        self.take(&self.sending, sender)?;
        self.check_form(submission, now)
    }

    /// Whether the two want to have to do with each other. A recipient of another region is asked
    /// there.
    pub(super) async fn receive(
        &self,
        sender: &Caller,
        recipient: &AccountId,
        class: Class,
        now: Timestamp,
    ) -> Result<Reception, Rejection> {
        if *recipient == sender.account {
            return Ok(Reception::default());
        }
        let mine = (sender.account.clone(), recipient.clone());
        let theirs = (recipient.clone(), sender.account.clone());
        let is_local = recipient.server == sender.account.server;
        let pairs = if is_local { vec![mine, theirs] } else { vec![mine] };
        let relations = self.relations.of(&pairs, now).await.map_err(|err| store_failed(&err))?;
        let mut relations = relations.into_iter();
        let Some(mine) = relations.next() else { return Ok(Reception::default()) };
        if mine.blocked {
            let detail = "you have blocked this user; unblock them first";
            return Err(Rejection::new(Code::Forbidden, detail));
        }
        let theirs = relations.next();
        let judgement = theirs.map_or(Judgement::Deliver, Judgement::of);
        let is_new = theirs.is_some_and(|theirs| theirs.stance == Stance::Stranger);
        if judgement == Judgement::Refuse {
            let detail = "this user takes messages from people whom they know";
            return Err(Rejection::new(Code::Forbidden, detail));
        }
        // Ephemerals reach nobody who has not written back.
        let is_kept = class != Class::Ephemeral;
        if is_kept && !mine.has_spoken {
            self.meet(sender, recipient)?;
        }
        Ok(Reception {
            discard: judgement == Judgement::Discard,
            asks: is_kept && is_new && judgement == Judgement::Ask,
            replies: is_kept && mine.stance == Stance::Requested,
        })
    }

    /// Limits how many people who were never written to an account may write to.
    fn meet(&self, sender: &Caller, recipient: &AccountId) -> Result<(), Rejection> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (sender.account.uuid, recipient.clone());
        if met.contains(&key) {
            return Ok(());
        }
        self.take(&self.new_people, sender)?;
        if met.len() >= MAX_BEGUN {
            met.clear();
        }
        met.insert(key);
        Ok(())
    }

    /// Takes one of the sender's tokens.
    fn take(&self, limiter: &Limiter<uuid::Uuid>, sender: &Caller) -> Result<(), Rejection> {
        limiter.take(sender.account.uuid, self.start.elapsed()).map_err(too_often)
    }

    fn check_form(&self, submission: &Submission, now: Timestamp) -> Result<(), Rejection> {
        if !submission.content.is_encrypted() && !self.policy.allow_unencrypted {
            let detail = "this region takes contents of the type `encrypted` only";
            return Err(Rejection::new(Code::UnencryptedRefused, detail));
        }
        let Some(expires) = submission.expires else { return Ok(()) };
        if submission.class == Class::Ephemeral {
            return Ok(());
        }
        if expires <= now {
            return Err(Rejection::new(Code::BadRequest, "`expires` lies in the past"));
        }
        if expires > now.plus_millis(limits::MAX_EXPIRES_MS) {
            return Err(Rejection::new(Code::BadRequest, "`expires` lies more than 30 days ahead"));
        }
        Ok(())
    }

    /// Whether every device has a ciphertext, and no other. The lists are read afresh: for local
    /// recipients nothing is ever half delivered.
    async fn check_devices(
        &self,
        sender: &Caller,
        recipient: &AccountId,
        ciphertexts: &[Ciphertext],
        now: Timestamp,
    ) -> Result<bool, Rejection> {
        let own = self.directory.current_devices(sender.account.uuid, now).await?;
        let others: Vec<&Device> =
            addressable(&own).filter(|one| one.id != sender.device).collect();
        let to_self = *recipient == sender.account;
        if !to_self && recipient.server == sender.account.server {
            let theirs = self.directory.current_devices(recipient.uuid, now).await?;
            let theirs = named(addressable(&theirs));
            compare(recipient, &theirs, &addressed_to(ciphertexts, recipient, true))?;
        }
        if recipient.server != sender.account.server {
            let theirs = addressed_to(ciphertexts, recipient, true);
            check_abroad(&self.abroad, recipient, &theirs).await?;
        }
        let to_own = addressed_to(ciphertexts, &sender.account, to_self);
        compare(&sender.account, &named(others.iter().copied()), &to_own)?;
        let strangers = ciphertexts.iter().filter_map(|one| one.user.as_ref());
        if strangers.into_iter().any(|user| user != recipient && *user != sender.account) {
            let detail = "a ciphertext is for neither the recipient nor the sender";
            return Err(Rejection::new(Code::BadRequest, detail));
        }
        Ok(!others.is_empty())
    }
}

/// Compares with what is known of another region's user, without waiting for that region as long as it
/// fits. What is not known passes: the other region knows its devices.
pub(super) async fn check_abroad(
    abroad: &Arc<ForeignKeys>,
    user: &AccountId,
    ciphertexts: &[&Ciphertext],
) -> Result<(), Rejection> {
    let Some(known) = abroad.addressable(user) else { return Ok(()) };
    let Err(stale) = compare(user, &known, ciphertexts) else { return Ok(()) };
    // The client may know better.
    match abroad.renewed(user).await {
        Some(newer) => compare(user, &newer, ciphertexts),
        None => Err(stale),
    }
}

/// Devices as a ciphertext names them.
pub(super) fn named<'a>(
    devices: impl Iterator<Item = &'a Device>,
) -> Vec<(DeviceNumber, RegistrationId)> {
    devices.map(|device| (device.number, device.registration_id)).collect()
}

pub(super) fn too_often(wait: TooOften) -> Rejection {
    Rejection::new(Code::RateLimited, "too often; wait").retry_after(wait.seconds())
}

/// The ciphertexts for one account; those without a `user` are for the recipient.
fn addressed_to<'a>(
    ciphertexts: &'a [Ciphertext],
    user: &AccountId,
    is_recipient: bool,
) -> Vec<&'a Ciphertext> {
    let mine = |one: &&Ciphertext| one.user.as_ref().map_or(is_recipient, |named| named == user);
    ciphertexts.iter().filter(mine).collect()
}

/// Compares ciphertexts with devices.
pub(super) fn compare(
    user: &AccountId,
    devices: &[(DeviceNumber, RegistrationId)],
    ciphertexts: &[&Ciphertext],
) -> Result<(), Rejection> {
    let mut stale = StaleDevices { user: user.to_string(), ..StaleDevices::default() };
    for (number, registration) in devices {
        match ciphertexts.iter().find(|one| one.device == *number) {
            None => stale.missing.push(number.get()),
            Some(one) if one.registration_id != *registration => stale.stale.push(number.get()),
            Some(_) => {}
        }
    }
    for (at, one) in ciphertexts.iter().enumerate() {
        let known = devices.iter().any(|(number, _)| *number == one.device);
        let doubled = ciphertexts.iter().take(at).any(|before| before.device == one.device);
        if !known || doubled {
            stale.extra.push(one.device.get());
        }
    }
    if stale.missing.is_empty() && stale.extra.is_empty() && stale.stale.is_empty() {
        return Ok(());
    }
    let mut rejection =
        Rejection::new(Code::StaleDevices, "the ciphertexts do not match the user's devices");
    rejection.stale_devices = Some(Box::new(stale));
    Err(rejection)
}

#[cfg(test)]
mod tests;
