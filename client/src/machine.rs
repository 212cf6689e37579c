//! The functional core: what a device does with what happens to it.
//!
//! Something happens (a wish of the application, a frame, an answer, time passes), and a [`Step`]
//! works out what follows. It reads and writes the store through one transaction, and time and
//! random numbers are arguments; it knows no sockets. What is to be sent and told is an
//! [`Effects`], which comes out only once the transaction is committed: session state, queue,
//! inbox position and timeline are durable together, before an acknowledgement or a ciphertext
//! leaves. A step that is interrupted has not happened.

mod expiry;
mod group_incoming;
mod group_sending;
mod groups;
mod history;
mod incoming;
mod keys;
mod lanes;
mod marks;
mod outgoing;
mod parts;
mod past;
mod people;
mod profiles;
mod resend;
mod sealing;
mod statuses;
mod take_over;
mod typing;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use posthouse_crypto::e2ee::{
    address::{Address, DeviceId},
    device::LocalDevice,
    identity::StateError,
    prekey::store::PreKeys,
    primitives::curve::{KeyPair, PrivateKey, PublicKey},
    profile::AcceptedProfiles,
};
use posthouse_protocol::{
    cursor::Cursor,
    frame::{Ack, AckTarget, ClientFrame},
    id::{AccountId, ConversationId, DeviceNumber, GroupId},
    rest::groups::{Epochs, Groups},
    rest::keys::{Bundles, PreKeyStatus, UploadPreKeys, UserDevices},
    rest::{Blocks, Profile as SealedProfile},
    status::Seen,
    time::Timestamp,
};
use rand::rngs::StdRng;
use uuid::Uuid;

use self::{lanes::Lanes, profiles::Profiles};
use crate::{
    Event, Update, encode,
    records::{Account, Queued, With, key_number, number_key, own},
    store::{Scan, Store, StoreError, Table, Tx},
    update::{ChainFault, Misbehaviour},
};

#[cfg(not(target_family = "wasm"))]
pub(crate) use self::past::{Position, page};
pub(crate) use self::{
    history::Receiving,
    keys::{kem_key, one_time_key, signed_key},
    outgoing::{Leaving, ListChange, Outgoing, Wish},
};

/// What a device knows while it runs. All of it is in the store too.
pub(crate) struct Machine {
    pub(crate) account: Account,
    local: LocalDevice,
    lanes: Lanes,
    /// Calls that were asked for and are not answered yet.
    asked: HashSet<Call>,
    /// Groups that were spoken of while their chain was asked for: the answer may be older.
    again: HashSet<GroupId>,
    /// Groups that moved on while the homeserver was asked to let the account leave: it is signed
    /// anew, whatever the answer to that is.
    outrun: HashSet<GroupId>,
    /// Complaints that the application knows of.
    complaints: HashSet<(AccountId, Misbehaviour)>,
    /// Faults of chains that the application knows of.
    faults: HashSet<(GroupId, ChainFault)>,
    /// Members without usable keys, and until when they keep nobody from hearing.
    passed_over: HashMap<AccountId, Timestamp>,
    /// How many messages to groups wait for their keys, and of how many bytes.
    waiting: (usize, usize),
    next_update: u64,
    /// When the next message disappears.
    next_expiry: Option<Timestamp>,
    /// When more of the history is asked for.
    history_due: Option<Timestamp>,
    /// Refusals of the own list in a row.
    lists_refused: u32,
    /// The homeserver has just taken an own list: an answer with the one before may still be on its way.
    just_listed: bool,
    /// Profiles to ask for, and who is blocked.
    profiles: Profiles,
    /// Who types where, and until when that holds.
    typing: BTreeMap<typing::Place, Timestamp>,
    /// Whose presence the application watches.
    watched: BTreeSet<AccountId>,
    /// Whether the person is elsewhere, as the application says.
    away: bool,
    /// How far the inbox is durable here, as far as this process knows.
    seen: Option<Cursor>,
    online: bool,
}

/// A REST call that the core needs made. The shell repeats it until there is an answer that
/// counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    /// Whose devices there are.
    Devices(AccountId),
    /// Bundles for these devices; sent again with the same number until it is answered.
    Bundles { of: AccountId, devices: Vec<DeviceNumber>, request: Uuid },
    /// How many prekeys the homeserver has left.
    PreKeys,
    /// New prekeys.
    Upload,
    /// The own device list that was signed last; its version.
    List(u64),
    /// A group's chain from this epoch on.
    Epochs { group: GroupId, from: u64 },
    /// The account's groups, after this conversation.
    Groups(Option<ConversationId>),
    /// The account leaves a group, or declines: signed against the chain as it is known when the call
    /// is made, each time anew.
    Leave(GroupId),
    /// Somebody's profile, or the own one. Asked once: what did not come is asked for later.
    Profile(AccountId),
    /// The own profile that was encrypted last; its version.
    PutProfile(u64),
    /// Those who are blocked, after this account.
    Blocks(Option<AccountId>),
}

/// The answer to a [`Call`], or the code of its refusal.
pub(crate) enum Answer {
    Devices(Box<UserDevices>),
    Bundles(Box<Bundles>),
    PreKeys(PreKeyStatus),
    Epochs(Box<Epochs>),
    Groups(Box<Groups>),
    Profile(Box<SealedProfile>),
    Blocks(Box<Blocks>),
    Done,
    Refused(String),
}

/// What is to be done once a step is committed.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Frames for the socket, in order.
    pub(crate) frames: Vec<String>,
    /// Calls to make.
    pub(crate) calls: Vec<Call>,
    /// What holds for the moment.
    pub(crate) passing: Vec<Update>,
    /// Prekeys to upload with [`Call::Upload`].
    pub(crate) upload: Option<Box<UploadPreKeys>>,
}

/// One thing that happens, and all that follows from it.
pub(crate) struct Step<'a> {
    machine: &'a mut Machine,
    tx: Tx<'a>,
    now: Timestamp,
    rng: &'a mut StdRng,
    out: Effects,
    /// How far the inbox is durable with this step.
    seen: Option<Cursor>,
    prekeys_changed: bool,
}

impl Machine {
    /// The machine of a device that has an account.
    pub(crate) async fn load(store: &dyn Store, account: Account) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt(Table::Own);
        let tx = Tx::new(store);
        let secret = tx.get(Table::Own, own::IDENTITY).await?.ok_or_else(corrupt)?;
        let secret: &[u8; 32] = secret.as_slice().try_into().map_err(|_| corrupt())?;
        let prekeys = tx.get(Table::Own, own::PREKEYS).await?.ok_or_else(corrupt)?;
        let identity = KeyPair::from_private(PrivateKey::from_bytes(secret));
        let prekeys = PreKeys::from_bytes(&prekeys).map_err(|err| match err {
            StateError::Version(version) => {
                StoreError::Version(i64::try_from(version).unwrap_or(-1))
            }
            _ => corrupt(),
        })?;
        Self::with_keys(store, account, identity, prekeys).await
    }

    /// The machine of a device with these keys, which need not be stored yet.
    pub(crate) async fn with_keys(
        store: &dyn Store,
        account: Account,
        identity: KeyPair,
        prekeys: PreKeys,
    ) -> Result<Self, StoreError> {
        let tx = Tx::new(store);
        let local = LocalDevice {
            address: address(&account.id, account.device),
            identity,
            registration_id: account.registration_id.get(),
            prekeys,
            accepts: AcceptedProfiles::default(),
        };
        let mut lanes = Lanes::default();
        for (key, value) in tx.scan(&Scan::prefix(Table::Queue, &[], usize::MAX)).await? {
            let queued: Queued = crate::store::decode(Table::Queue, &value)?;
            lanes.push(queued.to.conversation(&account.id), key_number(&key), &queued);
        }
        let waiting = tx.scan(&Scan::prefix(Table::Waiting, &[], usize::MAX)).await?;
        let waiting = (waiting.len(), waiting.iter().map(|(_, frame)| frame.len()).sum());
        let last = Scan::prefix(Table::Updates, &[], 1).backwards();
        let last = tx.scan(&last).await?.first().map_or(0, |(key, _)| key_number(key));
        // Taken updates are gone, so their numbers are remembered apart.
        let taken = tx.read(Table::Own, own::TAKEN).await?.unwrap_or(0);
        let next_update = last.max(taken) + 1;
        let blocked = tx.read(Table::Own, own::BLOCKED).await?.unwrap_or_default();
        Ok(Self {
            account,
            local,
            lanes,
            asked: HashSet::new(),
            again: HashSet::new(),
            outrun: HashSet::new(),
            complaints: HashSet::new(),
            faults: HashSet::new(),
            passed_over: HashMap::new(),
            waiting,
            next_update,
            next_expiry: expiry::next(&tx).await?,
            history_due: history::due(&tx).await?,
            lists_refused: 0,
            just_listed: false,
            profiles: Profiles::new(blocked),
            typing: BTreeMap::new(),
            watched: BTreeSet::new(),
            away: false,
            seen: None,
            online: false,
        })
    }

    pub(crate) fn begin<'a>(
        &'a mut self,
        store: &'a dyn Store,
        now: Timestamp,
        rng: &'a mut StdRng,
    ) -> Step<'a> {
        let (tx, out) = (Tx::new(store), Effects::default());
        Step { machine: self, tx, now, rng, out, seen: None, prekeys_changed: false }
    }

    /// The connection was lost: what is in flight is sent again on the next one.
    pub(crate) fn offline(&mut self) {
        self.online = false;
        self.lanes.ground();
    }

    /// The account's identity key.
    pub(crate) fn identity(&self) -> PublicKey {
        self.local.identity.public
    }

    /// The number of the newest durable update.
    pub(crate) fn newest_update(&self) -> u64 {
        self.next_update - 1
    }

    /// When something that waits for a time is due.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        let of_history = self.history_due.filter(|_| self.online);
        let of_profiles = self.profiles_due();
        let all = self.lanes.due().into_iter().chain(self.next_expiry);
        all.chain(of_history).chain(of_profiles).chain(self.typing_due()).min()
    }
}

impl Step<'_> {
    /// A frame came. Several may be handed to one step.
    pub(crate) async fn frame(&mut self, text: &str) -> Result<(), StoreError> {
        // What cannot be read is a server's defect, or of a later version: it is passed over.
        let Ok(event) = Event::parse(text) else { return Ok(()) };
        match event {
            Event::Message(message) => self.on_message(&message, text).await,
            Event::Status(status) => self.on_status(&status).await,
            Event::Watermark(watermark) => self.on_watermark(&watermark).await,
            Event::Refused(refusal) => self.on_refusal(&refusal).await,
            Event::Keys(keys) => self.on_keys(&keys).await,
            Event::DevicesChanged(unserved) => self.on_unserved(&unserved).await,
            Event::Presence(presence) => {
                self.on_presence(&presence);
                Ok(())
            }
            Event::CaughtUp { cursor } => {
                self.seen(cursor);
                self.out.passing.push(Update::Connected);
                Ok(())
            }
            Event::Group(frame) => self.on_group(&frame).await,
            Event::GroupStatus(tally) => self.on_tally(&tally).await,
            Event::Changed { what } => self.on_changed(&what).await,
            Event::Pong(_) | Event::Unknown { .. } => Ok(()),
        }
    }

    /// The homeserver was reached.
    pub(crate) async fn connected(&mut self) -> Result<(), StoreError> {
        self.machine.online = true;
        // The last acknowledgement may have been lost with the connection. It goes before everything
        // else: over a link that breaks soon, the server would send the same again and again.
        self.seen = self.seen.max(self.machine.seen);
        self.call(Call::PreKeys);
        self.call(Call::Devices(self.machine.account.id.clone()));
        self.forget_sent().await?;
        self.ask_for_chains().await?;
        self.give_up_waiting().await?;
        self.profiles_connected().await?;
        let watched = self.machine.watched.iter().cloned().collect();
        self.subscribe(watched);
        if self.machine.away {
            // A device that connects counts as online.
            self.wish(Wish::Away(true)).await?;
        }
        self.publish_list().await
    }

    /// A call was answered.
    pub(crate) async fn answered(&mut self, call: &Call, answer: Answer) -> Result<(), StoreError> {
        self.machine.asked.remove(call);
        match (call, answer) {
            (Call::Devices(of), Answer::Devices(devices)) => self.on_devices(of, &devices).await,
            (Call::Bundles { of, devices, .. }, Answer::Bundles(bundles)) => {
                self.on_bundles(of, devices, &bundles).await
            }
            (Call::PreKeys, Answer::PreKeys(status)) => {
                self.on_prekey_status(&status);
                Ok(())
            }
            (Call::Groups(_), Answer::Groups(page)) => self.on_groups(&page).await,
            (Call::Epochs { group, .. }, Answer::Epochs(page)) => {
                let again = self.machine.again.remove(group);
                self.on_epochs(group, &page, again).await
            }
            (Call::Epochs { group, .. }, Answer::Refused(_)) => {
                if self.machine.again.remove(group) {
                    self.call(call.clone());
                    return Ok(());
                }
                self.on_epochs_refused(group).await
            }
            (Call::Leave(group), answer) => self.on_leave(group, answer).await,
            (Call::Profile(of), Answer::Profile(profile)) => self.on_profile(of, &profile).await,
            (Call::Profile(of), Answer::Refused(_)) => self.on_profile_refused(of).await,
            (Call::PutProfile(_), Answer::Profile(profile)) => {
                self.profile_published(&profile).await
            }
            (Call::PutProfile(_), Answer::Refused(code)) => {
                self.profile_refused(&code);
                Ok(())
            }
            (Call::Blocks(after), Answer::Blocks(page)) => {
                self.on_blocks(after.as_ref(), &page);
                Ok(())
            }
            (Call::List(_), Answer::Done) => self.published().await,
            (Call::List(_), Answer::Refused(_)) => self.list_refused().await,
            (Call::Devices(of) | Call::Bundles { of, .. }, Answer::Refused(code)) => {
                self.on_call_refused(of, &code).await
            }
            _ => Ok(()),
        }
    }

    /// Commits, and gives what follows.
    pub(crate) async fn finish(mut self) -> Result<Effects, StoreError> {
        self.ask_for_history().await?;
        self.look_at_profiles();
        self.pump().await?;
        self.expire().await?;
        self.end_typing();
        if self.prekeys_changed {
            let stored = self.machine.local.prekeys.to_bytes();
            self.tx.put(Table::Own, own::PREKEYS.to_vec(), stored);
        }
        self.tx.commit().await?;
        if let Some(cursor) = self.seen {
            self.machine.seen = self.machine.seen.max(self.seen);
            let target = AckTarget::Through(cursor);
            let ack = encode(&ClientFrame::Ack(Ack { target, seen: Seen::Delivered }));
            self.out.frames.insert(0, ack);
        }
        Ok(self.out)
    }

    fn seen(&mut self, cursor: Cursor) {
        self.seen = self.seen.max(Some(cursor));
    }

    /// Asks for a call, unless it was asked for.
    fn call(&mut self, call: Call) {
        let known = |asked: &Call| match (asked, &call) {
            (Call::Bundles { of, .. }, Call::Bundles { of: other, .. }) => of == other,
            (asked, call) => asked == call,
        };
        if !self.machine.asked.iter().any(known) {
            self.machine.asked.insert(call.clone());
            self.out.calls.push(call);
        }
    }

    /// Tells the application, durably.
    fn tell(&mut self, update: &Update) {
        let number = self.machine.next_update;
        self.machine.next_update += 1;
        self.tx.write(Table::Updates, number_key(number), update);
    }

    /// The application has taken everything up to this number.
    pub(crate) async fn taken(&mut self, through: u64) -> Result<(), StoreError> {
        let scan = Scan {
            to: number_key(through.saturating_add(1)),
            ..Scan::prefix(Table::Updates, &[], usize::MAX)
        };
        for (key, _) in self.tx.scan(&scan).await? {
            self.tx.delete(Table::Updates, key);
        }
        self.tx.write(Table::Own, own::TAKEN.to_vec(), &through);
        Ok(())
    }

    fn own(&self) -> AccountId {
        self.machine.account.id.clone()
    }

    fn conversation_with(&self, with: &AccountId) -> ConversationId {
        ConversationId::direct(&self.machine.account.id, with)
    }

    fn place_of(&self, with: &With) -> ConversationId {
        with.conversation(&self.machine.account.id)
    }
}

/// The name that sessions know a device by.
pub(crate) fn address(account: &AccountId, device: DeviceNumber) -> Address {
    let number = DeviceId::new(u64::from(device.get()));
    // A parsed account has at most 290 bytes, a parsed number is 1 to 127.
    #[expect(clippy::expect_used, reason = "the bounds of the parsed types are narrower")]
    number.and_then(|number| Address::new(&account.to_string(), number)).expect("within bounds")
}

#[cfg(test)]
mod tests;
