//! What a homeserver must keep durable, in the domain's words: the ports, and the contract suite
//! that every adapter passes.
//!
//! Two kinds of port (docs/spec/durability.md):
//!
//! * [`bodies::Bodies`]: opaque bytes by id;
//! * the *ledger*, everything else, split by area: [`accounts::Accounts`], [`sessions::Sessions`],
//!   [`invites::Invites`], [`factors::Factors`], [`erasure::Erasure`], [`keys::Keys`],
//!   [`links::Links`], [`people::People`], [`profiles::Profiles`], [`reports::Reports`],
//!   [`conversations::Conversations`], [`groups::Groups`],
//!   [`ledger::Ledger`] (acceptance, inboxes, positions, watermarks), [`outbox::Outbox`],
//!   [`reception::Receptions`], [`peers::Peers`],
//!   [`leases::Leases`], [`ownership::Ownership`], [`wakes::Wakes`].
//!
//! A message's body is put first, then one ledger transaction is the commit point:
//! [`message_store::MessageStore`] holds the two together. Every method that returns `Ok` after
//! writing has made its effect durable, except where it says otherwise.

pub mod error;

pub mod accounts;

pub mod sessions;

pub mod keys;

pub mod links;

pub mod invites;

pub mod backoff;

pub mod factors;

pub mod erasure;

pub mod bodies;

pub mod ledger;

pub mod message_store;

pub mod inbox;

pub mod conversations;

pub mod people;

pub mod groups;

pub mod profiles;

pub mod reports;

pub mod receipts;

pub mod outbox;

pub mod reception;

pub mod peers;

pub mod leases;

pub mod ownership;

pub mod retention;

pub mod wakes;

#[cfg(feature = "contract")]
pub mod contract;
