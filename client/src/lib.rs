//! Rust SDK of Posthouse: end-to-end encrypted messages through a federation of homeservers.
//!
//! # Where to start
//!
//! A [`Home`] is a homeserver as a device meets it. It gives a [`Client`], which is what an
//! application does things with, and its [`Updates`], which is what the application is told.
//!
//! ```no_run
//! use posthouse_client::{Connector, Endpoint, Home, NewAccount, SqliteStore, Trust, Update};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint = Endpoint::parse("https://chat.eu.example")?;
//! let home = Home::new(Connector::new(endpoint, Trust::System)?)?;
//! let store = SqliteStore::open("alice.db").await?;
//! let account = NewAccount::new("alice", "correct horse battery staple");
//! let (client, mut updates) = home.open_or_register(store, &account).await?;
//!
//! let bob = client.find("bob@us.example").await?;
//! client.send_text(&bob, "Hello!").await?;
//! while let Some(update) = updates.next().await {
//!     match update {
//!         Update::Message(message) => println!("{:?}", message.said.text()),
//!         Update::KeyChanged { user, .. } => {
//!             // Show the person the new number; go on only if they agree.
//!             println!("{}", client.safety_number(&user).await?.digits());
//!         }
//!         Update::Refused { user, reason } => println!("{user}: {reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `examples/hello.rs` is a whole program.
//!
//! # What can be relied on
//!
//! * *Sent once it returns.* When [`Client::send_text`] returns, the message is in the store. It is
//!   encrypted when its turn comes and sent until the homeserver has taken it, over any number of
//!   connections and processes. The homeserver knows it by its id, so it is taken once.
//! * *One transaction a step.* Sessions, queue, timeline and position in the inbox are committed
//!   together, before a ciphertext leaves and before a message is acknowledged. A process that is
//!   killed anywhere loses nothing and decrypts nothing twice.
//! * *Told until taken.* [`Updates::next`] hands an update out again only if the process ended
//!   while it was being dealt with. With [`Updates::next_numbered`] an application deals with each
//!   exactly once.
//! * *One order.* [`Client::timeline`] is sorted as on every other device (stamp, sender, id). A
//!   late message stands at its place, not at the end.
//! * *No ghosts.* Nothing is encrypted for a device that its owner did not sign. What a server
//!   tells otherwise comes as [`Update::Refused`] and names the device. A changed identity key
//!   stops everything with its person until [`Client::accept_key`].
//!
//! # People
//!
//! [`Client::add_contact`] and [`Client::block`] tell the homeserver whom the account knows, and whom
//! it does not hear; strangers who write first are [`Client::requests`]. [`Client::watch_presence`]
//! asks for [`Update::Presence`]: of those who have the account as contact too, and of those with whom
//! it has exchanged messages. A device counts as online while it is connected, unless
//! [`Client::set_away`] says that nobody is looking.
//!
//! # Profiles
//!
//! [`Client::set_profile`] says what the account's person is called. The homeserver keeps it
//! encrypted; the key goes to those whom the person writes to or accepts, and to the members of
//! groups that they speak in, inside of messages. Whose key came is known to
//! [`Client::profile`], and [`Update::Profile`] tells of it. Blocking somebody replaces the key.
//! A name is what somebody calls themselves: it proves nothing.
//!
//! # Groups
//!
//! What a group is, its verified chain of signed epochs says, and no server
//! ([`Client::create_group`], [`Client::members`]). What a server shows otherwise, a ghost member
//! for instance, comes as [`Update::GroupRefused`] and is not believed. Messages
//! ([`Client::send_to_group`]) are encrypted once, under a key that exactly the devices of the
//! members hold; after somebody is gone the next message has another key. How many members have a
//! message comes as [`Update::Delivered`]. Entries of groups have [`Entry::group`].
//!
//! # Mentions
//!
//! A [`Text`] says whom pieces of it mean ([`Text::mention`]); each [`Entry`] has its mentions, and
//! conversations and groups count the unread messages that mention this account.
//!
//! # Several devices
//!
//! A further device is linked: [`Home::link`] shows a code, [`Client::approve_link`] on an old
//! device takes it. It gets what is sent from then on, also what the other own devices send, and
//! knows what they have read. What was before comes from the device that let it in, encrypted, in
//! pieces ([`Update::History`]): whom the account knows by which key, and all conversations.
//!
//! # Backups
//!
//! `Client::back_up` writes one encrypted file, `Home::restore` makes a new device of it. Who
//! has lost all devices and has no backup goes on under a new identity key with
//! [`Home::begin_anew`].
//!
//! # What is kept, and how
//!
//! A [`Store`] keeps everything, keys and plaintext too. `SqliteStore` is a file that only its
//! owner can read and that one process at a time can open; it is *not* encrypted. Secrets in
//! memory are zeroized where this crate holds them, which does not reach what the database or the
//! allocator copied, and none is shown by `Debug`.
//!
//! # In browsers
//!
//! All of this runs in a page too, built for `wasm32-unknown-unknown`: the transport is the
//! browser's, the store is `IndexedDbStore`, and there are no files, so no backups.
//! `docs/browser.md` says what to mind, `examples/browser` is a page.
//!
//! # The layers below
//!
//! Two transports share one [`Connector`]: [`Api`] for what is not real time and [`Connection`],
//! one WebSocket, for what is. Frames are the types of `posthouse-protocol`: a
//! [`ClientFrame`](posthouse_protocol::frame::ClientFrame) goes out, an [`Event`] comes in.
//! Programs that need no encryption, such as a load generator, use them alone.
//! Nothing reads a clock or draws random numbers by itself but what [`Home::new`] puts in;
//! [`Home::with`] takes others.

mod endpoint;

mod closed;

mod problem;

#[cfg(not(target_family = "wasm"))]
mod native;

#[cfg(not(target_family = "wasm"))]
use native as platform;

#[cfg(target_family = "wasm")]
mod browser;

#[cfg(target_family = "wasm")]
use browser as platform;

mod error;

mod api;

mod encode;

mod event;

mod message_id;

mod backoff;

mod store;

mod records;

mod profile;

mod text;

mod update;

mod machine;

mod access;

mod engine;

mod failure;

mod client;

pub use api::Api;
pub use backoff::Backoff;
pub use client::{
    Client, ConversationSummary, GroupLink, GroupMember, GroupSummary, Home, KeyTrust, Linking,
    NewAccount, Numbered, Updates,
};
pub use closed::{Closed, MAX_QUEUED};
pub use encode::encode;
pub use endpoint::{Endpoint, EndpointError, Trust};
pub use error::Error;
pub use event::{Event, Message, Place, Refusal};
pub use failure::ClientError;
pub use message_id::message_id;
pub use platform::{Connection, Connector};
pub use posthouse_crypto::e2ee::backup::BackupError;
pub use profile::Profile;
#[cfg(target_family = "wasm")]
pub use store::IndexedDbStore;
#[cfg(not(target_family = "wasm"))]
pub use store::SqliteStore;
pub use store::{Batch, MemoryStore, Scan, Store, StoreError, Table, Value};
pub use text::{Mention, Text};
pub use update::{Availability, ChainFault, Change, Entry, Misbehaviour, Said, Update};
