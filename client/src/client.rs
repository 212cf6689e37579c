//! The SDK's handle: what an application holds.

mod account;
mod anew;
#[cfg(not(target_family = "wasm"))]
mod backup;
mod device;
mod group_links;
mod group_talk;
mod groups;
mod linking;
mod listing;
mod people;
mod profiles;
mod refresh;
mod report;
#[cfg(not(target_family = "wasm"))]
mod restoring;
mod setup;
mod trust;
mod updates;

pub use group_links::GroupLink;
pub use groups::{GroupMember, GroupSummary};
pub use linking::Linking;
pub use setup::{Home, NewAccount};
pub use trust::KeyTrust;
pub use updates::{Numbered, Updates};

use std::sync::Arc;

use posthouse_crypto::e2ee::{
    content::{Body, MAX_MENTIONS, MAX_TEXT_LEN, Mention},
    primitives::curve::PublicKey,
    safety_number::SafetyNumber,
};
use posthouse_protocol::{
    id::{AccountId, Address, ConversationId, MessageId},
    time::Timestamp,
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Api, ClientError, Text,
    access::Access,
    engine::Command,
    machine::{Outgoing, Wish},
    records::{Account, Conversation, Person, With, message_key, timeline_key},
    store::{Scan, Table, Tx, decode},
    update::Entry,
};

/// The longest reaction, in bytes (docs/spec/e2ee-formats.md).
const MAX_EMOJI: usize = 64;

/// A device of an account. Cheap to clone. When the last clone and its [`Updates`] are dropped the
/// connection is closed; everything is in the store.
#[derive(Clone)]
pub struct Client {
    home: Home,
    access: Arc<Access>,
    account: Arc<Account>,
    identity: PublicKey,
    commands: mpsc::Sender<Command>,
}

/// A conversation, for a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConversationSummary {
    /// With whom.
    pub with: AccountId,
    /// Its id.
    pub id: ConversationId,
    /// When something was last said in it.
    pub active: Timestamp,
    /// Messages of the other person that were not read.
    pub unread: u64,
    /// Of those, the ones that mention this account.
    pub mentioned: u64,
    /// For how many seconds what this device sends there is shown; `None` for good.
    pub disappears: Option<u32>,
}

impl Client {
    /// The account.
    pub fn account(&self) -> &AccountId {
        &self.account.id
    }

    /// The number of this device within the account.
    pub fn device(&self) -> u8 {
        self.account.device.get()
    }

    /// The account of a handle or account id, with its region or of the own one: `bob`,
    /// `bob@eu.example`. By which handle an account of another region was found is remembered
    /// ([`Client::handle_of`]).
    ///
    /// # Errors
    /// [`ClientError::Name`]; [`ClientError::Transport`], with the code `unknown_user` if there is
    /// nobody of that name; [`ClientError::Store`].
    pub async fn find(&self, name: &str) -> Result<AccountId, ClientError> {
        let address = &Address::parse(name, &self.account.id.server)?;
        let abroad = match address {
            Address::Account(account) => return Ok(account.clone()),
            Address::Handle(handle) => {
                Some(&handle.name).filter(|_| handle.server != self.account.id.server)
            }
            Address::Group(_) => None,
        };
        if let Some(handle) = abroad {
            // The look-up of users answers for the own region; that of devices, for all.
            let ask = |api: Api, token| async move { api.user_devices(&token, address).await };
            let found = self.access.call(ask).await?.account_id;
            self.remember_handle(&found, handle).await?;
            return Ok(found);
        }
        let user = self.access.call(|api, token| async move { api.user(&token, address).await });
        Ok(user.await?.account_id)
    }

    /// Sends a text. When this returns it is durable here: it will be encrypted and sent, whatever
    /// happens to this process. How it fares comes as [`Update::Status`](crate::Update::Status).
    ///
    /// # Errors
    /// [`ClientError::TooLong`] beyond 32 KiB or 16 mentions, [`ClientError::Oneself`],
    /// [`ClientError::Stopped`].
    pub async fn send_text(
        &self,
        to: &AccountId,
        text: impl Into<Text>,
    ) -> Result<MessageId, ClientError> {
        self.say(to, words(text.into(), |text| Body::Text { text }, None)).await
    }

    /// Sends a text that disappears so many seconds after it was read.
    ///
    /// # Errors
    /// As [`Client::send_text`].
    pub async fn send_disappearing(
        &self,
        to: &AccountId,
        text: impl Into<Text>,
        seconds: u32,
    ) -> Result<MessageId, ClientError> {
        self.say(to, words(text.into(), |text| Body::Text { text }, Some(seconds))).await
    }

    /// What this device sends to the person from now on disappears so many seconds after they have
    /// read it, unless it is sent otherwise; with `None` it stays. It is a setting of this device,
    /// and they are not told: each message says for itself for how long it is shown.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn set_disappearing(
        &self,
        with: &AccountId,
        seconds: Option<u32>,
    ) -> Result<(), ClientError> {
        self.wish(Wish::Disappear(with.clone().into(), seconds)).await
    }

    /// Answers a message of the conversation.
    ///
    /// # Errors
    /// As [`Client::send_text`].
    pub async fn reply(
        &self,
        to: &AccountId,
        target: MessageId,
        text: impl Into<Text>,
    ) -> Result<MessageId, ClientError> {
        let target = *target.0.as_bytes();
        self.say(to, words(text.into(), |text| Body::Reply { text, target }, None)).await
    }

    /// Gives an own message another text.
    ///
    /// # Errors
    /// As [`Client::send_text`].
    pub async fn edit(
        &self,
        with: &AccountId,
        target: MessageId,
        text: impl Into<Text>,
    ) -> Result<MessageId, ClientError> {
        let target = *target.0.as_bytes();
        self.say(with, words(text.into(), |text| Body::Edit { text, target }, None)).await
    }

    /// Takes an own message back, for everyone.
    ///
    /// # Errors
    /// As [`Client::send_text`].
    pub async fn delete(
        &self,
        with: &AccountId,
        target: MessageId,
    ) -> Result<MessageId, ClientError> {
        self.say(with, Body::Delete { target: *target.0.as_bytes() }.into()).await
    }

    /// Reacts to a message with an emoji, in the place of an earlier reaction; an empty one takes
    /// it back.
    ///
    /// # Errors
    /// As [`Client::send_text`].
    pub async fn react(
        &self,
        with: &AccountId,
        target: MessageId,
        emoji: &str,
    ) -> Result<MessageId, ClientError> {
        let target = *target.0.as_bytes();
        self.say(with, Body::Reaction { emoji: emoji.to_owned(), target }.into()).await
    }

    /// Everything of this person up to now was read: they are told, encrypted, and so are the own
    /// other devices.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn mark_read(&self, with: &AccountId) -> Result<(), ClientError> {
        self.wish(Wish::Read(with.clone())).await
    }

    /// Tells this person that the own one types, or stopped. Said while connected only, and lost
    /// if they are not. It holds for 10 seconds: to be said again while it goes on.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn set_typing(&self, to: &AccountId, typing: bool) -> Result<(), ClientError> {
        self.wish(Wish::Typing(to.clone(), typing)).await
    }

    /// Watches the presence of these people, at most 1,024, in the place of those before: as it is
    /// and as it changes comes as [`Update::Presence`](crate::Update::Presence). Only those are
    /// told of whom the account may see it.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn watch_presence(&self, users: &[AccountId]) -> Result<(), ClientError> {
        self.wish(Wish::Watch(users.to_vec())).await
    }

    /// Tells whether the person is elsewhere while the device stays connected. It holds until it is
    /// said otherwise, over reconnections too, but not over a restart.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn set_away(&self, away: bool) -> Result<(), ClientError> {
        self.wish(Wish::Away(away)).await
    }

    /// Goes on with the key that [`Update::KeyChanged`](crate::Update::KeyChanged) told of. To be
    /// called once the person knows.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn accept_key(&self, user: &AccountId) -> Result<(), ClientError> {
        self.wish(Wish::AcceptKey(user.clone())).await
    }

    /// Remembers that the safety number was compared and is right.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn mark_verified(&self, user: &AccountId) -> Result<(), ClientError> {
        self.wish(Wish::Verified(user.clone())).await
    }

    /// The safety number of this account and a person, which both can compare; a changed key shows
    /// in it before it is accepted.
    ///
    /// # Errors
    /// [`ClientError::UnknownKeys`] before anything was exchanged, [`ClientError::Store`].
    pub async fn safety_number(&self, user: &AccountId) -> Result<SafetyNumber, ClientError> {
        let tx = Tx::new(&*self.access.store);
        let known = tx.read::<Person>(Table::People, user.to_string().as_bytes()).await?;
        let known = known.ok_or(ClientError::UnknownKeys)?;
        let key = known.announced.or(known.identity).ok_or(ClientError::UnknownKeys)?;
        let (own, theirs) = (self.account.id.to_string(), user.to_string());
        Ok(SafetyNumber::new(own.as_bytes(), &self.identity, theirs.as_bytes(), &key.0))
    }

    /// The newest messages of a conversation before `before`, at most `limit`, the oldest of them
    /// first: in the order that everybody sees (docs/spec/ordering.md).
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn timeline(
        &self,
        with: &AccountId,
        before: Option<&Entry>,
        limit: usize,
    ) -> Result<Vec<Entry>, ClientError> {
        self.timeline_of(ConversationId::direct(&self.account.id, with), before, limit).await
    }

    async fn timeline_of(
        &self,
        conversation: ConversationId,
        before: Option<&Entry>,
        limit: usize,
    ) -> Result<Vec<Entry>, ClientError> {
        let mut scan = Scan::prefix(Table::Timeline, &conversation.0, limit).backwards();
        if let Some(entry) = before {
            scan.to = timeline_key(entry);
        }
        let found = self.access.store.scan(&scan).await?;
        let read = |(_, value): &(Vec<u8>, crate::store::Value)| decode(Table::Timeline, value);
        Ok(found.iter().rev().map(read).collect::<Result<_, _>>()?)
    }

    /// One message, as it is now.
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn message(
        &self,
        from: &AccountId,
        id: MessageId,
    ) -> Result<Option<Entry>, ClientError> {
        let tx = Tx::new(&*self.access.store);
        let Some(key) = tx.get(Table::Index, &message_key(from, id)).await? else {
            return Ok(None);
        };
        Ok(tx.read(Table::Timeline, &key).await?)
    }

    /// All conversations with single people in which something was said or set, those with the latest
    /// activity first.
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn conversations(&self) -> Result<Vec<ConversationSummary>, ClientError> {
        let scan = Scan::prefix(Table::Conversations, &[], usize::MAX);
        let mut all = Vec::new();
        for (_, value) in self.access.store.scan(&scan).await? {
            let record: Conversation = decode(Table::Conversations, &value)?;
            let Conversation { active, unread, mentioned, disappears, .. } = record;
            let With::Person(with) = record.with else { continue };
            if with == self.account.id {
                // Where the own devices speak among themselves.
                continue;
            }
            if active == Timestamp(0) && unread == 0 && disappears.is_none() {
                // Only keys of a group went there.
                continue;
            }
            let id = ConversationId::direct(&self.account.id, &with);
            all.push(ConversationSummary { with, id, active, unread, mentioned, disappears });
        }
        all.sort_by_key(|one| core::cmp::Reverse(one.active));
        Ok(all)
    }

    async fn say(&self, to: &AccountId, said: Spoken) -> Result<MessageId, ClientError> {
        if *to == self.account.id {
            return Err(ClientError::Oneself);
        }
        self.say_to(to.clone().into(), said).await
    }

    async fn say_to(&self, to: With, said: Spoken) -> Result<MessageId, ClientError> {
        let Spoken { body, mentions, expires_after } = said;
        // What is longer would be refused by whoever reads it.
        let fits = match &body {
            Body::Reaction { emoji, .. } => emoji.len() <= MAX_EMOJI,
            body => body.text().is_none_or(|text| text.len() <= MAX_TEXT_LEN),
        };
        if !fits || mentions.len() > MAX_MENTIONS {
            return Err(ClientError::TooLong);
        }
        let (reply, said) = oneshot::channel();
        let outgoing = Outgoing { to, body, mentions, expires_after };
        let sent = self.commands.send(Command::Say(outgoing, reply)).await;
        sent.map_err(|_| ClientError::Stopped)?;
        said.await.map_err(|_| ClientError::Stopped)?
    }

    async fn wish(&self, wish: Wish) -> Result<(), ClientError> {
        wish_for(&self.commands, wish).await
    }
}

/// What is said, before it is known to whom.
struct Spoken {
    body: Body,
    mentions: Vec<Mention>,
    expires_after: Option<u32>,
}

impl From<Body> for Spoken {
    fn from(body: Body) -> Self {
        Self { body, mentions: Vec::new(), expires_after: None }
    }
}

/// Words and whom they mean, as a body of this kind.
fn words(text: Text, body: impl FnOnce(String) -> Body, expires_after: Option<u32>) -> Spoken {
    Spoken { body: body(text.text), mentions: text.mentions, expires_after }
}

async fn wish_for(commands: &mpsc::Sender<Command>, wish: Wish) -> Result<(), ClientError> {
    let (reply, done) = oneshot::channel();
    commands.send(Command::Wish(wish, reply)).await.map_err(|_| ClientError::Stopped)?;
    done.await.map_err(|_| ClientError::Stopped)?
}

impl core::fmt::Debug for Client {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Client")
            .field("account", &self.account.id)
            .field("device", &self.account.device)
            .finish_non_exhaustive()
    }
}
