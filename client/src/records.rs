//! What is in the store's records, and their keys.

mod group;
pub(crate) mod profile;

pub(crate) use group::{Chain, Group, seal_title};
pub(crate) use profile::{Fields, KnownProfile, OwnProfile, ProfileKeys};

use crate::{Mention, update::Entry};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use posthouse_crypto::e2ee::signed::device_list::VerifiedDeviceList;
use posthouse_protocol::{
    content::Ciphertext,
    frame::Class,
    id::{
        AccountId, ConversationId, DeviceId, DeviceNumber, GroupId, HandleName, MessageId,
        RegistrationId,
    },
    rest::{
        Secret, SessionTokens,
        keys::{EcKey, ListDocument},
    },
    status::Status,
    time::{Stamp, Timestamp},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Keys of [`Table::Own`](crate::store::Table::Own).
pub(crate) mod own {
    pub(crate) const ACCOUNT: &[u8] = b"account";
    pub(crate) const TOKENS: &[u8] = b"tokens";
    pub(crate) const IDENTITY: &[u8] = b"identity";
    pub(crate) const PREKEYS: &[u8] = b"prekeys";
    /// The own device list that was signed last, if it is not known to be published.
    pub(crate) const LIST: &[u8] = b"list";
    /// The list before that one, to go back to if another device was quicker.
    pub(crate) const LIST_BEFORE: &[u8] = b"list-before";
    /// Changes of the own devices that are not published yet.
    pub(crate) const CHANGES: &[u8] = b"changes";
    /// That the account's groups were listed since the device is there.
    pub(crate) const LISTED_GROUPS: &[u8] = b"listed-groups";
    /// The number of the last update that the application took.
    pub(crate) const TAKEN: &[u8] = b"taken";
    /// How far the history of a linked device has come.
    pub(crate) const HISTORY: &[u8] = b"history";
    /// That a backup is being restored, of which account.
    pub(crate) const RESTORING: &[u8] = b"restoring";
    /// The devices that this one let in.
    pub(crate) const LET_IN: &[u8] = b"let-in";
    /// The version of the own profile that is to be published, encrypted.
    pub(crate) const PROFILE: &[u8] = b"profile";
    /// Whom the account has blocked, as far as this device knows.
    pub(crate) const BLOCKED: &[u8] = b"blocked";
}

/// Who the device is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) id: AccountId,
    pub(crate) handle: HandleName,
    pub(crate) device_id: DeviceId,
    pub(crate) device: DeviceNumber,
    pub(crate) registration_id: RegistrationId,
    /// Whether identity, device list and prekeys have been uploaded.
    pub(crate) ready: bool,
}

/// The session with the homeserver.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) access: Secret,
    pub(crate) refresh: Secret,
    pub(crate) until: Timestamp,
    /// The refresh token that the next refresh asks for, drawn and stored before it.
    #[serde(default)]
    pub(crate) next: Option<Secret>,
}

impl Tokens {
    pub(crate) fn new(tokens: &SessionTokens, now: Timestamp) -> Self {
        Self {
            access: tokens.access_token.clone(),
            refresh: tokens.refresh_token.clone(),
            until: now.plus_millis(tokens.expires_in * 1000),
            next: None,
        }
    }
}

/// What is known of a person's keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Person {
    /// The identity key that is believed.
    pub(crate) identity: Option<EcKey>,
    /// Whether the safety number was compared.
    pub(crate) verified: bool,
    /// Another key that was seen and is not believed yet.
    pub(crate) announced: Option<EcKey>,
    /// The newest device list that was believed.
    pub(crate) list: Option<ListDocument>,
    /// The devices of the list that their server has.
    pub(crate) present: Vec<DeviceNumber>,
    /// Whether their server was asked since anything was heard of a change.
    pub(crate) fresh: bool,
}

impl Person {
    /// The believed list, read again.
    pub(crate) fn verified_list(&self, account: &AccountId) -> Option<VerifiedDeviceList> {
        let (list, identity) = (self.list.as_ref()?, self.identity.as_ref()?);
        list.0.verify(&account.to_string(), &identity.0, None).ok()
    }
}

/// With whom a conversation is. Its stored form is the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum With {
    Person(AccountId),
    Group(GroupId),
}

impl With {
    /// With whom an entry of the timeline was exchanged.
    pub(crate) fn of(entry: &Entry) -> Self {
        match &entry.group {
            Some(group) => Self::Group(group.clone()),
            None => Self::Person(entry.with.clone()),
        }
    }

    pub(crate) fn person(&self) -> Option<&AccountId> {
        match self {
            Self::Person(person) => Some(person),
            Self::Group(_) => None,
        }
    }

    pub(crate) fn group(&self) -> Option<&GroupId> {
        match self {
            Self::Person(_) => None,
            Self::Group(group) => Some(group),
        }
    }

    /// The conversation that `own` has with them.
    pub(crate) fn conversation(&self, own: &AccountId) -> ConversationId {
        match self {
            Self::Person(person) => ConversationId::direct(own, person),
            Self::Group(group) => ConversationId::group(group),
        }
    }

    /// An account or a group, by its full name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match GroupId::parse(name) {
            Ok(group) => Some(Self::Group(group)),
            Err(_) => AccountId::parse(name).ok().map(Self::Person),
        }
    }
}

impl core::fmt::Display for With {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Person(person) => person.fmt(f),
            Self::Group(group) => group.fmt(f),
        }
    }
}

impl From<AccountId> for With {
    fn from(person: AccountId) -> Self {
        Self::Person(person)
    }
}

impl From<GroupId> for With {
    fn from(group: GroupId) -> Self {
        Self::Group(group)
    }
}

/// Something that waits to be taken by the homeserver.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Queued {
    pub(crate) id: MessageId,
    pub(crate) to: With,
    pub(crate) class: Class,
    pub(crate) timestamp: Timestamp,
    #[serde(default)]
    pub(crate) collapse: Option<String>,
    /// To the own account: for this device only.
    #[serde(default)]
    pub(crate) only: Option<DeviceNumber>,
    /// Of a message that does not fit into one: who has it once this part of it is taken. Empty if
    /// nobody lacks it then.
    #[serde(default)]
    pub(crate) has: Vec<Served>,
    /// Who had it before this part.
    #[serde(default)]
    pub(crate) had: Vec<Served>,
    /// Once it is encrypted. The sessions have moved on with it, so it is sent as it is, or not.
    #[serde(default)]
    pub(crate) sealed: Option<Vec<Ciphertext>>,
    /// To a group: the ciphertext for all, and the epoch that it was made for.
    #[serde(default)]
    pub(crate) body: Option<String>,
    #[serde(default)]
    pub(crate) epoch: Option<u64>,
}

impl Queued {
    /// Something that is still to be encrypted.
    pub(crate) fn new(id: MessageId, to: With, class: Class, timestamp: Timestamp) -> Self {
        Self {
            id,
            to,
            class,
            timestamp,
            collapse: None,
            only: None,
            has: Vec::new(),
            had: Vec::new(),
            sealed: None,
            body: None,
            epoch: None,
        }
    }
}

/// A device that has a part of a message: of the recipient, or an own other one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Served {
    pub(crate) own: bool,
    pub(crate) device: DeviceNumber,
    pub(crate) registration_id: RegistrationId,
}

/// What was sent, for those who cannot read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SentContent {
    pub(crate) to: With,
    /// To a group: the epoch that it was sent in.
    #[serde(default)]
    pub(crate) epoch: u64,
    pub(crate) at: Timestamp,
    pub(crate) padded: Bytes,
    /// How often it was sent again, by account and device.
    #[serde(default)]
    pub(crate) answered: Vec<(AccountId, u8, u8)>,
}

/// A conversation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Conversation {
    pub(crate) with: With,
    /// The highest stamp that was seen.
    pub(crate) highest: Option<Stamp>,
    /// The last message of this device that the homeserver took.
    pub(crate) last_taken: Option<MessageId>,
    /// When something was last shown in it.
    pub(crate) active: Timestamp,
    /// Messages of others that were not read.
    #[serde(default)]
    pub(crate) unread: u64,
    /// Of those, the ones that mention this account.
    #[serde(default)]
    pub(crate) mentioned: u64,
    /// For how many seconds what this device sends is shown.
    #[serde(default)]
    pub(crate) disappears: Option<u32>,
    /// How far the own messages have got, for those whose numbers are told only later: a status that
    /// tells of many may overtake the `sent` of one that a cut swallowed.
    #[serde(default)]
    pub(crate) reached: Vec<Reached>,
    /// The same in a group: the newest count, as it came.
    #[serde(default)]
    pub(crate) tally: Option<String>,
}

/// A watermark: numbers up to `through` have the status, but for some.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reached {
    pub(crate) status: Status,
    pub(crate) through: u64,
    pub(crate) except: Vec<u64>,
}

impl Reached {
    /// Whether it tells of this number.
    pub(crate) fn covers(&self, number: u64) -> bool {
        number <= self.through && !self.except.contains(&number)
    }
}

impl Conversation {
    pub(crate) fn new(with: With) -> Self {
        Self {
            with,
            highest: None,
            last_taken: None,
            active: Timestamp(0),
            unread: 0,
            mentioned: 0,
            disappears: None,
            reached: Vec::new(),
            tally: None,
        }
    }
}

/// What somebody said about a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mark {
    Edit {
        text: String,
        stamp: Stamp,
        #[serde(default)]
        mentions: Vec<Mention>,
    },
    Delete,
    Reaction {
        emoji: String,
        stamp: Stamp,
    },
}

impl Mark {
    /// Its kind, in the keys of marks.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Edit { .. } => 1,
            Self::Delete => 2,
            Self::Reaction { .. } => 3,
        }
    }
}

/// Bytes, in base64 inside of JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) zeroize::Zeroizing<Vec<u8>>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(self.0.as_slice()))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        let bytes = STANDARD.decode(text.as_bytes()).map_err(de::Error::custom)?;
        Ok(Self(zeroize::Zeroizing::new(bytes)))
    }
}

/// `sender ‖ 0 ‖ id`: names a message everywhere.
pub(crate) fn message_key(from: &AccountId, id: MessageId) -> Vec<u8> {
    let mut key = from.to_string().into_bytes();
    key.push(0);
    key.extend_from_slice(id.0.as_bytes());
    key
}

/// `conversation ‖ stamp ‖ sender ‖ 0 ‖ id`: the order of docs/spec/ordering.md §3. What was not
/// taken yet stands at the end, in the order of the queue.
pub(crate) fn timeline_key(entry: &Entry) -> Vec<u8> {
    let mut key = entry.conversation.0.to_vec();
    // No stamp has the first bit for another four thousand years.
    let place = entry.stamp.map_or(1 << 63 | entry.queued, |stamp| stamp.0);
    key.extend_from_slice(&place.to_be_bytes());
    key.extend_from_slice(&message_key(&entry.from, entry.id));
    key
}

/// `conversation ‖ target ‖ who ‖ 0 ‖ kind`: one mark of a kind by one person.
pub(crate) fn mark_key(
    conversation: ConversationId,
    target: MessageId,
    by: &AccountId,
    kind: u8,
) -> Vec<u8> {
    let mut key = marks_prefix(conversation, target);
    key.extend_from_slice(by.to_string().as_bytes());
    key.extend_from_slice(&[0, kind]);
    key
}

/// `g ‖ conversation ‖ id`: who has written a message of this id in a group. No account's name
/// begins with that letter.
pub(crate) fn author_key(conversation: ConversationId, id: MessageId) -> Vec<u8> {
    let mut key = b"g".to_vec();
    key.extend_from_slice(&marks_prefix(conversation, id));
    key
}

/// What the keys of all marks of a message start with.
pub(crate) fn marks_prefix(conversation: ConversationId, target: MessageId) -> Vec<u8> {
    let mut key = conversation.0.to_vec();
    key.extend_from_slice(target.0.as_bytes());
    key
}

/// `account ‖ 0 ‖ device`.
pub(crate) fn session_key(account: &AccountId, device: DeviceNumber) -> Vec<u8> {
    let mut key = account.to_string().into_bytes();
    key.extend_from_slice(&[0, device.get()]);
    key
}

/// `conversation ‖ origin number`.
pub(crate) fn open_key(conversation: ConversationId, number: u64) -> Vec<u8> {
    let mut key = conversation.0.to_vec();
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// A number, so that keys sort as numbers do.
pub(crate) fn number_key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// The number of such a key.
pub(crate) fn key_number(key: &[u8]) -> u64 {
    key.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
