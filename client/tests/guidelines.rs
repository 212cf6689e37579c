//! The SDK's types against the Rust API guidelines (rust-lang.github.io/api-guidelines), as far as a
//! compiler can say it. Documentation of every public item and its errors is the lints' (`missing_docs`,
//! clippy's pedantic ones); examples are compiled as rustdoc's tests.
//!
//! Left as they are: `Api` and the connections show no secrets and so little that they compare by
//! nothing (C-COMMON-TRAITS); enums that grow are `non_exhaustive` (C-STABLE); types of other crates
//! that appear in signatures are those of `posthouse-protocol` and `http` (C-STABLE).
#![cfg(not(target_family = "wasm"))]

use core::{error::Error as StdError, fmt::Debug, hash::Hash};

use posthouse_client::{
    Api, Availability, Backoff, BackupError, Batch, ChainFault, Change, Client, ClientError,
    Closed, Connection, Connector, ConversationSummary, Endpoint, EndpointError, Entry, Error,
    Event, GroupLink, GroupMember, GroupSummary, Home, KeyTrust, Linking, MemoryStore, Mention,
    Message, Misbehaviour, NewAccount, Numbered, Place, Refusal, Said, Scan, SqliteStore, Store,
    StoreError, Table, Text, Trust, Update, Updates, Value,
};

/// C-SEND-SYNC, C-DEBUG.
fn works<T: Debug + Send + Sync + 'static>() {}

/// C-GOOD-ERR.
fn fails<T: StdError + Send + Sync + 'static>() {}

/// C-COMMON-TRAITS of what carries data.
fn value<T: Debug + Clone + PartialEq + Eq + Send + Sync + 'static>() {}

/// The same of small ones.
fn small<T: Debug + Copy + PartialEq + Eq + Hash + Send + Sync + 'static>() {}

/// C-OBJECT.
fn port(_: &dyn Store) {}

#[test]
fn types_have_the_traits_that_are_expected_of_them() {
    works::<Home>();
    works::<Client>();
    works::<Updates>();
    works::<Linking>();
    works::<Api>();
    works::<Connector>();
    works::<Connection>();
    works::<Backoff>();
    works::<MemoryStore>();
    works::<SqliteStore>();
    works::<Batch>();
    works::<NewAccount>();
    works::<Event>();
    works::<Message>();
    works::<Place>();
    works::<Refusal>();
    works::<Scan>();
    works::<Trust<'static>>();
    works::<Value>();

    fails::<ClientError>();
    fails::<Error>();
    fails::<StoreError>();
    fails::<BackupError>();
    fails::<EndpointError>();
    fails::<ChainFault>();
    fails::<Misbehaviour>();

    value::<Update>();
    value::<Numbered>();
    value::<Entry>();
    value::<Said>();
    value::<Mention>();
    value::<Text>();
    value::<Endpoint>();
    value::<Closed>();
    value::<ConversationSummary>();
    value::<GroupSummary>();
    value::<GroupMember>();
    value::<GroupLink>();

    small::<Availability>();
    small::<Change>();
    small::<KeyTrust>();
    small::<Table>();
    port(&MemoryStore::new());
}

/// Nothing that a person said or that is secret is shown (C-DEBUG is no leak).
#[test]
fn what_is_secret_is_not_shown() {
    let account = NewAccount::new("ada", "correct horse battery staple");
    let shown = format!("{account:?} {:?}", Said::Text("the grey mare".to_owned()));
    assert!(!shown.contains("horse") && !shown.contains("mare"), "{shown}");
}
