//! Devices of the core's tests, and the words of a server.

mod groups;

use posthouse_crypto::e2ee::{
    address::DeviceId,
    prekey::store::PreKeys,
    primitives::curve::KeyPair,
    signed::device_list::{DeviceList, ListedDevice},
    time::UnixMillis,
};
use posthouse_protocol::{
    frame::Class,
    id::{
        AccountId, ConversationId, DeviceId as DeviceUuid, DeviceNumber, HandleName,
        RegistrationId, ServerName,
    },
    rest::keys::{
        Bundle, Bundles, EcKey, ListDocument, PreKeyStatus, UploadPreKeys, UserDevice, UserDevices,
    },
    status::Status,
    time::Timestamp,
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::json;
use uuid::Uuid;

use crate::{
    MemoryStore, Update,
    machine::{Answer, Call, Effects, ListChange, Machine, Outgoing, Wish, kem_key, signed_key},
    records::{Account, Person, own},
    store::{Batch, Scan, Store, Table, Tx, encode},
};
use posthouse_crypto::e2ee::content::Body;

use super::words::{id_of, submission};

/// When it begins.
pub(super) const START: u64 = 1_705_234_567_890;

/// A device, and what its server knows of it.
pub(super) struct Device {
    name: &'static str,
    machine: Option<Machine>,
    store: MemoryStore,
    account: Account,
    identity: KeyPair,
    list: ListDocument,
    rng: StdRng,
    now: u64,
    cursor: u64,
    told: u64,
}

/// What a step has to say.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) frames: Vec<String>,
    pub(super) calls: Vec<Call>,
    pub(super) updates: Vec<Update>,
    pub(super) statuses: Vec<Status>,
    /// What holds for the moment.
    pub(super) passing: Vec<Update>,
}

pub(super) fn number(number: u8) -> DeviceNumber {
    DeviceNumber::try_from(number).unwrap()
}

pub(super) fn registration(number: u32) -> RegistrationId {
    RegistrationId::try_from(number).unwrap()
}

pub(super) fn server() -> ServerName {
    ServerName::parse("eu.example").unwrap()
}

impl Device {
    pub(super) fn new(name: &'static str, seed: u64) -> Self {
        let uuid = Uuid::from_u128(u128::from(seed));
        Self::with(name, AccountId { uuid, server: server() }, seed)
    }

    /// A device of this account, with keys of its own.
    pub(super) fn with(name: &'static str, id: AccountId, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let identity = KeyPair::generate(&mut rng);
        let account = Account {
            id,
            handle: HandleName::parse(name).unwrap(),
            device_id: DeviceUuid(Uuid::from_u128(u128::from(seed) << 64)),
            device: number(1),
            registration_id: registration(u32::try_from(seed).unwrap()),
            ready: true,
        };
        let added = UnixMillis(START);
        let listed = ListedDevice { registration_id: account.registration_id.get(), added };
        let list = DeviceList {
            account: account.id.to_string(),
            version: 1,
            issued: added,
            devices: [(DeviceId::new(1).unwrap(), listed)].into_iter().collect(),
            removed: std::collections::BTreeMap::new(),
        };
        let list = ListDocument(list.sign(&identity.private, &mut rng));
        Self {
            name,
            machine: None,
            store: MemoryStore::new(),
            account,
            identity,
            list,
            rng,
            now: START,
            cursor: 0,
            told: 0,
        }
    }

    pub(super) fn account(&self) -> &AccountId {
        &self.account.id
    }

    pub(super) fn identity(&self) -> &KeyPair {
        &self.identity
    }

    pub(super) fn registration_id(&self) -> u32 {
        self.account.registration_id.get()
    }

    pub(super) fn wait(&mut self, millis: u64) {
        self.now += millis;
    }

    /// Makes the keys, and connects; its calls are answered.
    pub(super) async fn connect(&mut self, other: &mut Self) {
        let mut batch = Batch::default();
        let prekeys = PreKeys::new(&self.identity, UnixMillis(self.now), &mut self.rng);
        let secret = self.identity.private.to_bytes();
        batch.put(Table::Own, own::IDENTITY.to_vec(), secret.expose().to_vec());
        batch.put(Table::Own, own::PREKEYS.to_vec(), prekeys.to_bytes().to_vec());
        let person = Person { identity: Some(EcKey(self.identity.public)), ..Person::default() };
        let name = self.account.id.to_string().into_bytes();
        batch.put(Table::People, name, encode(&person).to_vec());
        self.store.commit(batch).await.unwrap();
        self.machine = Some(Machine::load(&self.store, self.account.clone()).await.unwrap());
        let (machine, store) = (self.machine.as_mut().unwrap(), &self.store);
        let mut step = machine.begin(store, Timestamp(self.now), &mut self.rng);
        step.connected().await.unwrap();
        let effects = step.finish().await.unwrap();
        self.serve(effects.calls, other).await;
    }

    /// What its server says of its devices.
    pub(super) fn published(&self) -> UserDevices {
        UserDevices {
            account_id: self.account.id.clone(),
            identity_key: Some(EcKey(self.identity.public)),
            version: 1,
            device_list: Some(self.list.clone()),
            devices: vec![UserDevice {
                device: self.account.device,
                registration_id: self.account.registration_id,
                listed: true,
            }],
        }
    }

    pub(super) fn bundles(&self) -> Bundles {
        let prekeys = &self.machine.as_ref().unwrap().local.prekeys;
        Bundles {
            account_id: self.account.id.clone(),
            identity_key: EcKey(self.identity.public),
            device_list: Some(self.list.clone()),
            bundles: vec![Bundle {
                device: self.account.device,
                registration_id: self.account.registration_id,
                signed: signed_key(&prekeys.signed_public().unwrap()).unwrap(),
                one_time: None,
                kem: kem_key(&prekeys.last_resort_public().unwrap()).unwrap(),
                last_resort: true,
            }],
            without_keys: Vec::new(),
        }
    }

    /// What an honest server answers.
    pub(super) fn ask(&self, call: &Call, other: &Self) -> Answer {
        match call {
            Call::Devices(of) if *of == self.account.id => {
                Answer::Devices(Box::new(self.published()))
            }
            Call::Devices(_) => Answer::Devices(Box::new(other.published())),
            Call::Bundles { .. } => Answer::Bundles(Box::new(other.bundles())),
            Call::PreKeys => Answer::PreKeys(PreKeyStatus {
                one_time: 100,
                one_time_kem: 100,
                signed: None,
                last_resort: None,
            }),
            Call::Upload | Call::List(_) | Call::Leave(_) => Answer::Done,
            Call::Epochs { .. }
            | Call::Groups(_)
            | Call::Profile(_)
            | Call::PutProfile(_)
            | Call::Blocks(_) => Answer::Refused("not_found".to_owned()),
        }
    }

    pub(super) async fn answer(&mut self, call: &Call, answer: Answer) -> Outcome {
        let (machine, store) = (self.machine.as_mut().unwrap(), &self.store);
        let mut step = machine.begin(store, Timestamp(self.now), &mut self.rng);
        step.answered(call, answer).await.unwrap();
        let effects = step.finish().await.unwrap();
        self.outcome(effects).await
    }

    /// What is uploaded when the server says what is left of the prekeys.
    pub(super) async fn upkeep(&mut self, status: Answer) -> Option<Box<UploadPreKeys>> {
        let (machine, store) = (self.machine.as_mut().unwrap(), &self.store);
        let mut step = machine.begin(store, Timestamp(self.now), &mut self.rng);
        step.answered(&Call::PreKeys, status).await.unwrap();
        step.finish().await.unwrap().upload
    }

    pub(super) async fn frame(&mut self, text: &str) -> Outcome {
        let (machine, store) = (self.machine.as_mut().unwrap(), &self.store);
        let mut step = machine.begin(store, Timestamp(self.now), &mut self.rng);
        step.frame(text).await.unwrap();
        let effects = step.finish().await.unwrap();
        self.outcome(effects).await
    }

    /// Answers calls until there are none; the submissions that were made.
    pub(super) async fn serve(&mut self, calls: Vec<Call>, other: &mut Self) -> Vec<String> {
        let (mut calls, mut frames) = (calls, Vec::new());
        while let Some(call) = calls.pop() {
            let answer = self.ask(&call, other);
            let outcome = self.answer(&call, answer).await;
            calls.extend(outcome.calls);
            frames.extend(outcome.frames);
        }
        frames.retain(|frame| frame.contains("ciphertexts"));
        frames
    }

    /// Lets what is due go on.
    pub(super) async fn idle(&mut self, other: &mut Self) -> Vec<String> {
        let (machine, store) = (self.machine.as_mut().unwrap(), &self.store);
        let step = machine.begin(store, Timestamp(self.now), &mut self.rng);
        let effects = step.finish().await.unwrap();
        let mut frames = effects.frames;
        frames.extend(self.serve(effects.calls, other).await);
        frames
    }

    pub(super) async fn change_list(&mut self, change: ListChange) -> Vec<Call> {
        let (machine, store) = (self.machine.as_mut().unwrap(), &self.store);
        let mut step = machine.begin(store, Timestamp(self.now), &mut self.rng);
        step.wish(Wish::SignList(change)).await.unwrap();
        step.finish().await.unwrap().calls
    }

    /// The own list, as it is known here.
    pub(super) async fn own_list(&self) -> ListDocument {
        let name = self.account.id.to_string();
        let person: Person = self.kept(Table::People, name.as_bytes()).await;
        person.list.unwrap()
    }

    /// The devices that the own list names.
    pub(super) async fn listed(&self) -> Vec<u8> {
        let tx = Tx::new(&self.store);
        let name = self.account.id.to_string();
        let own: Person = tx.read(Table::People, name.as_bytes()).await.unwrap().unwrap();
        let list = own.verified_list(&self.account.id).unwrap();
        list.as_list().devices.keys().map(|number| number.get()).collect()
    }

    pub(super) async fn queue(&mut self, other: &Self, text: &str) -> Outcome {
        let (machine, store) = (self.machine.as_mut().unwrap(), &self.store);
        let mut step = machine.begin(store, Timestamp(self.now), &mut self.rng);
        let body = Body::Text { text: text.to_owned() };
        let outgoing = Outgoing::new(other.account.id.clone().into(), body);
        step.say(outgoing).await.unwrap().unwrap();
        let effects = step.finish().await.unwrap();
        self.outcome(effects).await
    }

    /// Sends a text; the submissions that come of it.
    pub(super) async fn say(&mut self, other: &mut Self, text: &str) -> Vec<String> {
        let mut outcome = self.queue(other, text).await;
        outcome.frames.extend(self.serve(outcome.calls, other).await);
        outcome.frames
    }

    /// Reads everything of the other one; the submissions that come of it.
    pub(super) async fn read(&mut self, other: &mut Self) -> Vec<String> {
        let (machine, store) = (self.machine.as_mut().unwrap(), &self.store);
        let mut step = machine.begin(store, Timestamp(self.now), &mut self.rng);
        step.wish(Wish::Read(other.account.id.clone())).await.unwrap();
        let effects = step.finish().await.unwrap();
        let mut outcome = self.outcome(effects).await;
        outcome.frames.extend(self.serve(outcome.calls, other).await);
        outcome.frames
    }

    /// The number that the next message gets.
    pub(super) fn next_number(&self) -> u64 {
        self.cursor + 1
    }

    /// A status of all messages to `user` up to a number, but for some.
    pub(super) fn watermark(
        &self,
        user: &AccountId,
        status: &str,
        through: u64,
        except: &[u64],
    ) -> String {
        let own = &self.account.id;
        json!({"type": "status", "conversation_id": ConversationId::direct(own, user),
            "origin": own.server, "through": through, "except": except, "status": status,
            "user": user, "at": START, "cursor": "c1"})
        .to_string()
    }

    /// The server has taken these; the statuses that are told.
    pub(super) async fn taken(&mut self, frames: &[String]) -> Vec<Status> {
        let mut statuses = Vec::new();
        for frame in frames {
            self.cursor += 1;
            let stamp = ((START << 16) + self.cursor).to_string();
            let status = json!({"type": "status", "message_id": id_of(frame), "status": "sent",
                "at": START, "stamp": stamp, "origin_number": self.cursor});
            statuses.extend(self.frame(&status.to_string()).await.statuses);
        }
        statuses
    }

    pub(super) async fn accept_key(&mut self, other: &mut Self) -> (Vec<String>, Vec<Update>) {
        let (machine, store) = (self.machine.as_mut().unwrap(), &self.store);
        let mut step = machine.begin(store, Timestamp(self.now), &mut self.rng);
        step.wish(Wish::AcceptKey(other.account.id.clone())).await.unwrap();
        let effects = step.finish().await.unwrap();
        let mut outcome = self.outcome(effects).await;
        outcome.frames.extend(self.serve(outcome.calls, other).await);
        (outcome.frames, outcome.updates)
    }

    /// Fulfils a wish of the application.
    pub(super) async fn wish(&mut self, wish: Wish) -> Outcome {
        let (machine, store) = (self.machine.as_mut().unwrap(), &self.store);
        let mut step = machine.begin(store, Timestamp(self.now), &mut self.rng);
        step.wish(wish).await.unwrap();
        let effects = step.finish().await.unwrap();
        self.outcome(effects).await
    }

    /// A record of the store.
    pub(super) async fn kept<T: serde::de::DeserializeOwned>(&self, table: Table, key: &[u8]) -> T {
        Tx::new(&self.store).read(table, key).await.unwrap().unwrap()
    }

    /// What becomes of it that time has passed.
    pub(super) async fn pass_time(&mut self) -> Outcome {
        let (machine, store) = (self.machine.as_mut().unwrap(), &self.store);
        let step = machine.begin(store, Timestamp(self.now), &mut self.rng);
        let effects = step.finish().await.unwrap();
        self.outcome(effects).await
    }

    /// When the device wakes up by itself.
    pub(super) fn due_at(&self) -> Option<u64> {
        self.machine.as_ref().unwrap().due().map(|at| at.0)
    }

    /// What is asked for once time has passed.
    pub(super) async fn due(&mut self) -> Vec<Call> {
        let (machine, store) = (self.machine.as_mut().unwrap(), &self.store);
        let step = machine.begin(store, Timestamp(self.now), &mut self.rng);
        step.finish().await.unwrap().calls
    }

    /// A submission as this device is sent it.
    pub(super) fn as_delivered(&mut self, from: &Self, frame: &str) -> String {
        let submission = submission(frame);
        self.cursor += 1;
        let content: serde_json::Value = serde_json::from_str(frame).unwrap();
        let conversation = ConversationId::direct(&from.account.id, &self.account.id);
        let stamp = (START << 16) + self.cursor + from.cursor;
        let class = if submission.class == Class::Message { None } else { Some(submission.class) };
        let mut delivered = json!({"type": "message", "id": submission.id, "from": from.account.id,
            "from_device": 1, "conversation_id": conversation, "content": content["content"],
            "timestamp": START, "server_timestamp": START, "stamp": stamp.to_string(),
            "cursor": format!("c{}", self.cursor), "origin_number": self.cursor});
        if let Some(class) = class {
            delivered["class"] = json!(class);
        }
        delivered.to_string()
    }

    /// The process was killed and starts again from its store.
    pub(super) async fn restart(&mut self) -> Outcome {
        self.machine = Some(Machine::load(&self.store, self.account.clone()).await.unwrap());
        self.reconnect().await
    }

    /// The connection broke, and there is another one.
    pub(super) async fn reconnect(&mut self) -> Outcome {
        let (machine, store) = (self.machine.as_mut().unwrap(), &self.store);
        machine.offline();
        let mut step = machine.begin(store, Timestamp(self.now), &mut self.rng);
        step.connected().await.unwrap();
        let effects = step.finish().await.unwrap();
        self.outcome(effects).await
    }

    pub(super) async fn deliver_all(&mut self, from: &Self, frames: &[String]) -> Outcome {
        let mut all = Outcome::default();
        for frame in frames {
            let text = self.as_delivered(from, frame);
            let outcome = self.frame(&text).await;
            all.frames.extend(outcome.frames);
            all.calls.extend(outcome.calls);
            all.updates.extend(outcome.updates);
            all.statuses.extend(outcome.statuses);
            all.passing.extend(outcome.passing);
        }
        all
    }

    pub(super) async fn deliver(&mut self, from: &Self, frames: &[String]) -> Vec<Update> {
        let outcome = self.deliver_all(from, frames).await;
        assert!(outcome.calls.is_empty(), "{} asks {:?}", self.name, outcome.calls);
        outcome.updates
    }

    pub(super) async fn forget_sessions(&mut self) {
        let mut batch = Batch::default();
        for (key, _) in self.store.scan(&Scan::prefix(Table::Sessions, &[], 99)).await.unwrap() {
            batch.delete(Table::Sessions, key);
        }
        self.store.commit(batch).await.unwrap();
    }

    /// How many messages wait in the queue.
    pub(super) async fn waiting(&self) -> usize {
        self.store.scan(&Scan::prefix(Table::Queue, &[], 99)).await.unwrap().len()
    }

    async fn outcome(&mut self, effects: Effects) -> Outcome {
        let Effects { frames, calls, passing, .. } = effects;
        let mut updates = Vec::new();
        let scan = Scan::prefix(Table::Updates, &[], 999);
        for (key, value) in self.store.scan(&scan).await.unwrap() {
            let number = crate::records::key_number(&key);
            if number > self.told {
                self.told = number;
                updates.push(crate::store::decode(Table::Updates, &value).unwrap());
            }
        }
        // Statuses are another test's matter.
        let mut statuses = Vec::new();
        updates.retain(|update| match update {
            Update::Status { status, .. } => {
                statuses.push(*status);
                false
            }
            _ => true,
        });
        Outcome { frames, calls, updates, statuses, passing }
    }
}
