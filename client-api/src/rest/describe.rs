//! What the published documents say of each call: for every handler a function of the same name in the
//! module of the same name. A route whose handler has none does not compile.

pub(super) mod accounts;
pub(super) mod connect;
pub(super) mod conversations;
pub(super) mod devices;
pub(super) mod documents;
pub(super) mod groups;
pub(super) mod keys;
pub(super) mod links;
pub(super) mod messages;
pub(super) mod people;
pub(super) mod presence;
pub(super) mod profiles;
pub(super) mod security;
pub(super) mod service;
pub(super) mod sessions;
pub(super) mod users;

use std::borrow::Cow;

use posthouse_protocol::{
    frame::{Ack, Malformed, Submission},
    id::ServerName,
    limits,
    problem::Rejection,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::config;

/// The areas of the API, in the order of the specification, with what they are about.
pub(crate) const AREAS: &[(&str, &str)] = &[
    ("accounts", "Registering, and who one is."),
    ("sessions", "Logging in and out, tokens."),
    ("security", "What protects the account, and its end."),
    ("users", "The directory."),
    ("messages", "Messages without a socket, and catching up."),
    ("conversations", "The list of conversations, and deleting for oneself."),
    ("connect", "Opening the socket."),
    ("presence", "Who is there."),
    ("devices", "The devices of the own account."),
    ("keys", "Keys that others encrypt for."),
    ("links", "Linking a new device by a code."),
    ("people", "Contacts, blocks, message requests, privacy, reports."),
    ("groups", "Chains of epochs, invite links, and who asks to join."),
    ("profiles", "Encrypted names and pictures."),
    ("service", "The server itself."),
    ("documents", "What the API is."),
];

macro_rules! query_types {
    ($($(#[$doc:meta])* $name:ident => $schema:tt;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}
query_types! {
    /// `limit` of lists.
    ListLimit => {
        "type": "integer", "minimum": 1, "maximum": limits::MAX_LIST_PAGE,
        "default": limits::DEFAULT_LIST_PAGE,
    };
    /// `limit` of `GET /v1/messages/sync`.
    SyncLimit => {
        "type": "integer", "minimum": 1, "maximum": limits::MAX_SYNC_PAGE,
        "default": limits::DEFAULT_SYNC_PAGE,
    };
    /// `from` of `GET /v1/groups/{id}/epochs`.
    EpochNumber => {
        "type": "integer", "minimum": 1, "maximum": limits::MAX_GROUP_EPOCHS, "default": 1,
    };
    /// `limit` of `GET /v1/groups/{id}/epochs`.
    EpochsLimit => {
        "type": "integer", "minimum": 1, "maximum": limits::MAX_EPOCHS_PAGE,
        "default": limits::MAX_EPOCHS_PAGE,
    };
    /// `before` of `GET /v1/conversations`.
    ConversationPlace => { "type": "string", "pattern": "^[0-9]{1,20}\\.[0-9a-f]{32}$" };
    /// `users` of `GET /v1/presence`.
    UserList => {
        "type": "string", "minLength": 1,
        "pattern": format!("^[^,]+(,[^,]+){{0,{}}}$", config::MAX_PRESENCE_QUERY - 1),
    };
}

/// A region for the addresses of examples.
fn own() -> Result<ServerName, String> {
    ServerName::parse("eu.example").map_err(|err| err.to_string())
}

fn why(err: Malformed) -> String {
    let rejection: Rejection = err.rejection;
    rejection.to_string()
}

fn parse_submission(text: &str) -> Result<(), String> {
    Submission::parse(text, &own()?).map(drop).map_err(why)
}

fn parse_ack(text: &str) -> Result<(), String> {
    Ack::parse(text, &own()?).map(drop).map_err(why)
}
