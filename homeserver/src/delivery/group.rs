//! Steps 3 and 4 of a message to a group: the sender must be a member and know its newest epoch,
//! then every member of this region gets one pointer to one body.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use posthouse_client_api::{
    ports::{Answer, Caller},
    rate::{Limiter, Rate},
};
use posthouse_federation::engine::ephemeral::{Ephemeral, EphemeralKey};
use posthouse_protocol::{
    content::{Ciphertext, Payload},
    federation::{
        event::{Event, EventClass, EventKind},
        message,
    },
    frame::{Class, Submission},
    id::{AccountId, ConversationId, GroupId, ServerName},
    problem::{Code, Rejection},
    rest::groups::Standing,
    time::{Stamp, Timestamp},
};
use posthouse_storage::{
    accounts::{Device, addressable},
    bodies::BodyId,
    inbox::StoredMessage,
    ledger::Destination,
    message_store::MessageStore,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    MessagingService,
    accept::{check_abroad, compare, named, too_often},
    commit::refuse,
    route::route_to_group,
};
use crate::{
    accounts::{Directory, store_failed},
    devices::ForeignKeys,
    groups::{GroupBook, Known, no_such_group, stale_epoch},
};

/// Members here from which on a message is one of a large group.
const LARGE: usize = 100;

/// Messages of one account to large groups: each is written a thousand times.
const TO_LARGE: Rate = Rate { burst: 300, interval: Duration::from_millis(50) };

/// Applies the policy of groups.
pub struct GroupGate {
    book: Arc<GroupBook>,
    directory: Arc<Directory>,
    abroad: Arc<ForeignKeys>,
    store: MessageStore,
    to_large: Limiter<Uuid>,
    start: Instant,
}

/// A submission to a group that the policy lets pass. Only [`GroupGate`] makes one.
#[derive(Debug)]
pub struct AdmittedToGroup {
    submission: Submission,
    sender: Caller,
    group: GroupId,
    audience: Audience,
    at: Timestamp,
}

/// Who gets a message to a group.
#[derive(Debug, Default)]
struct Audience {
    /// Accounts of this region.
    local: Vec<Uuid>,
    /// Other regions; without recipients, since each knows its own members, but for pieces of keys.
    abroad: Vec<Destination>,
}

impl AdmittedToGroup {
    /// What the client submitted.
    pub fn submission(&self) -> &Submission {
        &self.submission
    }

    /// Who sends.
    pub fn sender(&self) -> &Caller {
        &self.sender
    }

    /// The group.
    pub fn group(&self) -> &GroupId {
        &self.group
    }

    /// Accounts of this region that get it, the sender's own among them if other devices of it do.
    pub fn recipients(&self) -> &[Uuid] {
        &self.audience.local
    }

    /// Other regions that get it.
    pub fn destinations(&self) -> &[Destination] {
        &self.audience.abroad
    }

    /// When it was let pass.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

impl Audience {
    fn add(&mut self, user: &AccountId) {
        if let Some(to) = self.abroad.iter_mut().find(|to| to.server == user.server) {
            to.recipients.push(user.uuid);
        } else {
            let (server, recipients) = (user.server.clone(), vec![user.uuid]);
            self.abroad.push(Destination { server, recipients });
        }
    }
}

impl GroupGate {
    /// A gate to the groups of `book`.
    pub fn new(
        book: Arc<GroupBook>,
        (directory, abroad): (Arc<Directory>, Arc<ForeignKeys>),
        store: MessageStore,
    ) -> Self {
        let to_large = Limiter::new(TO_LARGE);
        Self { book, directory, abroad, store, to_large, start: Instant::now() }
    }

    /// Groups as they are.
    pub(super) fn book(&self) -> Arc<GroupBook> {
        Arc::clone(&self.book)
    }

    /// Checks a submission whose form was checked. Nothing is reserved by a refusal.
    async fn admit(
        &self,
        sender: &Caller,
        submission: Submission,
        group: GroupId,
        at: Timestamp,
    ) -> Result<AdmittedToGroup, Rejection> {
        let known = self.book.current(&group).await?.ok_or_else(no_such_group)?;
        let name = sender.account.to_string();
        if known.standing(&name) <= Some(Standing::Invited) || known.has_left(&name) {
            return Err(no_such_group());
        }
        if known.local.len() > LARGE {
            let taken = self.to_large.take(sender.account.uuid, self.start.elapsed());
            taken.map_err(too_often)?;
        }
        if submission.class != Class::Ephemeral {
            self.check_epoch(sender, &submission, &known).await?;
        }
        let audience = match &submission.content.payload {
            Payload::Body(_) => self.everyone(sender, &known, at).await?,
            Payload::Ciphertexts(_) if submission.class != Class::Key => {
                let detail =
                    "a message to a group has one `body`; `ciphertexts` are for class `key`";
                return Err(Rejection::new(Code::BadRequest, detail));
            }
            Payload::Ciphertexts(all) => self.check_chunk(sender, &known, all, at).await?,
        };
        Ok(AdmittedToGroup { submission, sender: sender.clone(), group, audience, at })
    }

    /// Who is behind encrypts for people who have left, or not for those who came. What was accepted
    /// before is answered as it was, also when the group has moved on since.
    async fn check_epoch(
        &self,
        sender: &Caller,
        submission: &Submission,
        known: &Known,
    ) -> Result<(), Rejection> {
        let detail = "`epoch` is needed in a group: the newest one that the client knows";
        let epoch = submission.epoch.ok_or_else(|| Rejection::new(Code::BadRequest, detail))?;
        if epoch == known.head().epoch {
            return Ok(());
        }
        let earlier = self.store.ledger().messages(&[submission.id]).await;
        let earlier = earlier.map_err(|err| store_failed(&err))?;
        if earlier.iter().any(|message| message.sender == sender.account) {
            return Ok(());
        }
        Err(stale_epoch(known.head()))
    }

    /// All members here; the sender's own account if it has other devices.
    async fn everyone(
        &self,
        sender: &Caller,
        known: &Known,
        at: Timestamp,
    ) -> Result<Audience, Rejection> {
        let own = self.directory.devices(sender.account.uuid, at).await?;
        let has_others = own.iter().any(|device| device.id != sender.device);
        let all = known.audience();
        let hears = |account: &Uuid| has_others || *account != sender.account.uuid;
        let local = all.local.iter().copied().filter(hears).collect();
        let abroad = all.regions.iter().filter(|server| **server != sender.account.server);
        let to = |server: &ServerName| Destination { server: server.clone(), recipients: vec![] };
        Ok(Audience { local, abroad: abroad.map(to).collect() })
    }

    /// A piece of a key distribution: of everybody whom it names, it serves all devices and no
    /// other.
    async fn check_chunk(
        &self,
        sender: &Caller,
        known: &Known,
        ciphertexts: &[Ciphertext],
        at: Timestamp,
    ) -> Result<Audience, Rejection> {
        let mut served: BTreeMap<&AccountId, Vec<&Ciphertext>> = BTreeMap::new();
        for one in ciphertexts {
            let detail = "each of `ciphertexts` to a group names its `user`";
            let user = one.user.as_ref().ok_or_else(|| Rejection::new(Code::BadRequest, detail))?;
            served.entry(user).or_default().push(one);
        }
        let mut audience = Audience::default();
        for (user, ciphertexts) in served {
            if !known.state.members().contains_key(&user.to_string()) {
                let detail = "a ciphertext is for somebody who is not a member";
                return Err(Rejection::new(Code::BadRequest, detail));
            }
            if user.server != sender.account.server {
                check_abroad(&self.abroad, user, &ciphertexts).await?;
                audience.add(user);
                continue;
            }
            // The chain, by which the sender goes, does not say so yet.
            if known.has_left(&user.to_string()) {
                continue;
            }
            let devices = self.directory.current_devices(user.uuid, at).await?;
            let others: Vec<&Device> =
                addressable(&devices).filter(|device| device.id != sender.device).collect();
            compare(user, &named(others.into_iter()), &ciphertexts)?;
            audience.local.push(user.uuid);
        }
        Ok(audience)
    }
}

impl MessagingService {
    /// A submission to a group.
    pub(super) async fn submit_to_group(
        &self,
        caller: &Caller,
        submission: Submission,
        group: GroupId,
        answer: Answer,
    ) {
        let (id, now) = (submission.id, self.clock.now());
        let admitted = match self.gate.check(caller, &submission, now) {
            Ok(()) => self.groups.admit(caller, submission, group, now).await,
            Err(rejection) => Err(rejection),
        };
        match admitted {
            Err(rejection) => refuse(answer, id, rejection),
            Ok(admitted) if admitted.submission.class == Class::Ephemeral => {
                self.pass_on_to_group(&admitted);
                if let Answer::Socket(mailbox) = answer {
                    mailbox.release();
                }
            }
            Ok(admitted) => {
                let body = BodyId::new(now, self.random.bytes());
                self.committer.commit(route_to_group(&admitted, body), answer).await;
            }
        }
    }

    /// An ephemeral message: to devices of members that are connected now.
    fn pass_on_to_group(&self, admitted: &AdmittedToGroup) {
        let (submission, at) = (&admitted.submission, admitted.at);
        let message = StoredMessage {
            part: 0,
            sender: admitted.sender.account.clone(),
            device: Some(admitted.sender.device),
            device_number: Some(admitted.sender.number),
            device_list_version: None,
            id: submission.id,
            to: admitted.group.to_string(),
            conversation: ConversationId::group(&admitted.group),
            stamp: Stamp::default(),
            origin_number: 0,
            class: Class::Ephemeral,
            collapse: submission.collapse.clone(),
            expires: submission.expires,
            epoch: submission.epoch,
            client_timestamp: submission.timestamp.unwrap_or(at),
            accepted_at: at,
            body: BodyId::floor(at),
        };
        let body = submission.content.to_stored();
        let others =
            admitted.audience.local.iter().filter(|to| **to != admitted.sender.account.uuid);
        for account in others {
            self.connections.pass_on(*account, &message, &body);
        }
        for to in &admitted.audience.abroad {
            self.whisper_to_group(admitted, &to.server);
        }
    }

    /// The same to a region with members: one event for all of them there.
    fn whisper_to_group(&self, admitted: &AdmittedToGroup, server: &ServerName) {
        let (submission, at) = (&admitted.submission, admitted.at);
        let conversation = ConversationId::group(&admitted.group);
        let mut event = Event {
            conversation: Some(conversation),
            sender_device: Some(admitted.sender.number),
            stamp: Some(Stamp::default()),
            origin_number: Some(0),
            client_timestamp: Some(submission.timestamp.unwrap_or(at)),
            accepted_at: Some(at),
            epoch: submission.epoch,
            group: Some(admitted.group.clone()),
            collapse: submission.collapse.clone(),
            expires: submission.expires,
            ..Event::new(EventKind::Message, EventClass::Ephemeral)
        };
        // Only a `body` is for everybody.
        if !matches!(submission.content.payload, Payload::Body(_))
            || message::put(&mut event, &submission.content, server).is_err()
        {
            return;
        }
        let (sender, id) = (admitted.sender.account.uuid, submission.id.0);
        // None replaces another, unless the client says so by a collapse key.
        let key = EphemeralKey {
            kind: EventKind::Message.number(),
            sender: if submission.collapse.is_some() { sender } else { id },
            conversation: Some(conversation),
        };
        let ephemeral = Ephemeral { key, sender, id, event: event.encode().into() };
        self.directory.regions().whisper(server, ephemeral);
    }
}
