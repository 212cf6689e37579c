//! A small world for the cases: people with devices, and messages between them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use posthouse_protocol::{
    cursor::Cursor,
    frame::Class,
    id::{
        AccountId, ConversationId, DeviceId, HandleName, MessageId, RegistrationId, ServerName,
        SessionId,
    },
    time::Timestamp,
};
use uuid::Uuid;

use super::{Store, Subject};
use crate::{
    accounts::{CreateAccount, Device, NewAccount, NewDevice, PasswordHash},
    bodies::BodyId,
    inbox::{Entry, EntryKind, StoredMessage},
    ledger::{Accept, Accepted, Destination, Outcome},
    sessions::NewSession,
};

/// When the cases take place.
pub const START: Timestamp = Timestamp(1_800_000_000_000);

/// A fresh store with its subject's clock and ids.
pub struct World<S> {
    /// The store.
    pub store: S,
    next: AtomicU64,
}

/// Somebody with one device.
#[derive(Debug, Clone)]
pub struct Person {
    /// The account.
    pub account: AccountId,
    /// The first device.
    pub device: Device,
}

impl Person {
    /// The account's local part.
    pub fn uuid(&self) -> Uuid {
        self.account.uuid
    }
}

/// This region.
pub fn server() -> ServerName {
    name("eu.example")
}

/// A region.
pub fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

impl<S: Store> World<S> {
    /// Opens the subject.
    pub async fn new(subject: &impl Subject<Store = S>) -> Self {
        Self { store: subject.open().await, next: AtomicU64::new(1) }
    }

    /// The same people in another process; ids go on from `first`.
    pub async fn beside(subject: &impl Subject<Store = S>, first: u64) -> Self {
        Self { store: subject.open().await, next: AtomicU64::new(first) }
    }

    /// The same store; ids go on from `first`.
    pub fn same(world: &Self, first: u64) -> Self {
        Self { store: world.store.clone(), next: AtomicU64::new(first) }
    }

    /// An id that was not used before.
    pub fn id(&self) -> Uuid {
        let n = self.next.fetch_add(1, Relaxed);
        // Spread like random ids, and the same in every run.
        Uuid::from_u64_pair(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n)
    }

    /// A body id of a time.
    pub fn body(&self, at: Timestamp) -> BodyId {
        let mut random = [0; 10];
        random.copy_from_slice(self.id().as_bytes().split_at(6).1);
        BodyId::new(at, random)
    }

    /// An account with a device, named `handle`.
    pub async fn person(&self, handle: &str) -> Person {
        let account = self.id();
        let device = self.new_device(account, START);
        let session = self.new_session(&device, START);
        let new = NewAccount {
            id: account,
            handle: HandleName::parse(handle).unwrap(),
            password_hash: PasswordHash("$argon2id$v=19$".to_owned()),
            invite: None,
            created_at: START,
        };
        match self.store.create_account(&new, &device, &session).await.unwrap() {
            CreateAccount::Created(device) => {
                Person { account: AccountId { uuid: account, server: server() }, device }
            }
            other => panic!("{handle}: {other:?}"),
        }
    }

    /// A device to be added.
    pub fn new_device(&self, account: Uuid, at: Timestamp) -> NewDevice {
        NewDevice {
            id: DeviceId(self.id()),
            account,
            registration_id: RegistrationId::try_from(1234).unwrap(),
            name: "phone".to_owned(),
            created_at: at,
        }
    }

    /// A session to be opened, valid for a day.
    pub fn new_session(&self, device: &NewDevice, at: Timestamp) -> NewSession {
        NewSession {
            id: SessionId(self.id()),
            account: device.account,
            device: device.id,
            refresh: self.token(),
            created_at: at,
            expires_at: at.plus_millis(86_400_000),
        }
    }

    /// The hash of a token that was not used before.
    pub fn token(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.split_at_mut(16).0.copy_from_slice(self.id().as_bytes());
        hash
    }

    /// A message from one to the other, accepted at `at`.
    pub fn message(&self, from: &Person, to: &Person, at: Timestamp) -> Accept {
        let low = from.account.to_string() < to.account.to_string();
        Accept {
            part: 0,
            sender: from.account.clone(),
            device: from.device.id,
            device_number: from.device.number,
            id: MessageId(self.id()),
            conversation: ConversationId::direct(&from.account, &to.account),
            side: if low { 1 } else { 2 },
            prev: None,
            after: None,
            recipients: vec![to.uuid()],
            discard: false,
            destinations: Vec::new(),
            to: to.account.to_string(),
            class: Class::Message,
            collapse: None,
            expires: None,
            epoch: None,
            device_list_version: None,
            client_timestamp: at,
            now: at,
            body: self.body(at),
            size: 16,
        }
    }

    /// A message to another region only.
    pub fn message_abroad(&self, from: &Person, region: &ServerName, at: Timestamp) -> Accept {
        let to = AccountId { uuid: Uuid::from_u128(7), server: region.clone() };
        Accept {
            conversation: ConversationId::direct(&from.account, &to),
            recipients: Vec::new(),
            destinations: vec![Destination { server: region.clone(), recipients: vec![to.uuid] }],
            to: to.to_string(),
            ..self.message(from, from, at)
        }
    }

    /// Commits one submission with a body that names its id.
    pub async fn commit(&self, accept: &Accept) -> Outcome {
        let body = (accept.body, Bytes::copy_from_slice(accept.id.0.as_bytes()));
        let outcomes = self.store.commit(core::slice::from_ref(accept), &[body]).await.unwrap();
        assert_eq!(outcomes.len(), 1);
        outcomes.into_iter().next().unwrap()
    }

    /// Commits one submission that must be accepted.
    pub async fn accept(&self, accept: &Accept) -> Accepted {
        match self.commit(accept).await {
            Outcome::Accepted(accepted) => accepted,
            other => panic!("not accepted: {other:?}"),
        }
    }

    /// Everything that an inbox holds.
    pub async fn inbox(&self, person: &Person) -> Vec<Entry> {
        self.store.page(person.uuid(), Cursor::START, 10_000).await.unwrap().entries
    }

    /// The ids of the messages that an inbox holds, in order.
    pub async fn inbox_ids(&self, person: &Person) -> Vec<MessageId> {
        self.inbox(person).await.iter().filter_map(|entry| Some(message(entry)?.id)).collect()
    }
}

/// The message of an entry; `None` for other kinds.
pub fn message(entry: &Entry) -> Option<&StoredMessage> {
    match &entry.kind {
        EntryKind::Message(message) => Some(message),
        EntryKind::Status(_)
        | EntryKind::Failed(_)
        | EntryKind::Discarded(_)
        | EntryKind::Keys(_)
        | EntryKind::Group(_)
        | EntryKind::Tally(_) => None,
    }
}
