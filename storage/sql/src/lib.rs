//! SQLite and PostgreSQL adapter of the Posthouse storage ports.
//!
//! One adapter, two dialects: a statement is written once (`statement`), with its few differences
//! in place, and runs through a small connection layer (`db`). [`SqlStore`] implements every port
//! of `posthouse-storage`; what is fsynced when, and how many statements a commit takes, is in
//! `docs/spec/durability.md`.

mod store;

pub use counters::{Counters, Counts};
pub use store::SqlStore;

mod accounts;
mod bodies;
mod commit;
mod conversations;
mod erasure;
mod factors;
mod groups;
mod invites;
mod keys;
mod leases;
mod ledger;
mod links;
mod outbox;
mod ownership;
mod pages;
mod peers;
mod people;
mod profiles;
mod receipts;
mod reception;
mod reports;
mod retention;
mod sessions;
mod wakes;

mod columns;
mod counters;
mod db;
mod entries;
mod failure;
mod fanouts;
mod servers;
mod statement;
mod writing;

#[cfg(test)]
mod prepared;
