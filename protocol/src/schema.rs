//! JSON Schemas (draft 2020-12) of what a client sends and is sent, for the published documents of
//! the client API.
//!
//! Most types derive theirs where they stand. Here are those that are written as one text or number,
//! and [`frames`], the shapes of what is parsed by hand. A schema says what JSON Schema can say;
//! lengths are counted in characters there and in bytes of UTF-8 here, so that a schema never
//! refuses what the parser takes.

pub mod frames;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

pub use frames::{AddressText, DeliveredContent, DeviceName, InboxEvent, Since};

use crate::{
    cursor::Cursor,
    id::{
        AccountId, ConversationId, DeviceId, DeviceNumber, GroupId, HandleName, MessageId,
        RegistrationId, ServerName, SessionId,
    },
    limits,
    problem::Code,
    rest::{
        Opaque, Pin, Secret,
        groups::{EpochDocument, EpochHash, Title},
        keys::{EcKey, KemKey, ListDocument, PreKeyId, Provisioning, Signature},
    },
    status::FailReason,
    time::{Stamp, Timestamp},
};

const UUID: &str = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const SERVER: &str = "([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
const AN_ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Schemas with a name of their own.
macro_rules! named {
    ($($type:ident => $schema:tt;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}
pub(crate) use named;

named! {
    ServerName => {
        "type": "string", "minLength": 3, "maxLength": 253, "pattern": format!("^{SERVER}$"),
        "description": "The DNS name of a region, in lowercase. It is no IP address.",
        "examples": ["eu.example"],
    };
    AccountId => {
        "type": "string", "maxLength": 290, "pattern": format!("^{UUID}@{SERVER}$"),
        "description": "An account, for ever: a UUID and the region that owns it.",
        "examples": ["01890a5d-0000-774b-bcce-b302099a8057@eu.example"],
    };
    GroupId => {
        "type": "string", "maxLength": 292, "pattern": format!("^g\\.{UUID}@{SERVER}$"),
        "description": "A group: `g.`, a UUID and the region that owns it.",
        "examples": ["g.01890a5d-0000-774b-bcce-b302099a8057@eu.example"],
    };
    HandleName => {
        "type": "string", "minLength": 1, "maxLength": 32,
        "pattern": "^[a-z0-9]([a-z0-9._-]{0,30}[a-z0-9])?$",
        "description": "The name part of a handle. It neither starts with `g.` nor looks like a UUID.",
        "examples": ["alice"],
    };
    MessageId => {
        "type": "string", "pattern": format!("^{UUID}$"),
        "description": "A UUID that the sender's client makes, in lowercase; version 7 is recommended.",
        "examples": [AN_ID],
    };
    DeviceId => {
        "type": "string", "pattern": format!("^{UUID}$"),
        "description": "A device, as its own account knows it.", "examples": [AN_ID],
    };
    SessionId => {
        "type": "string", "pattern": format!("^{UUID}$"),
        "description": "One log-in of one device.", "examples": [AN_ID],
    };
    DeviceNumber => {
        "type": "integer", "minimum": 1, "maximum": 127,
        "description": "A device within its account, as other clients address it.", "examples": [1],
    };
    RegistrationId => {
        "type": "integer", "minimum": 0, "maximum": 16383,
        "description": "Drawn at random when a device is installed.", "examples": [4711],
    };
    ConversationId => {
        "type": "string", "pattern": "^[0-9a-f]{32}$",
        "description": "Both sides derive it: the first 16 bytes of a SHA-256 of who takes part.",
        "examples": ["828489aa00fd9093e20dd7ccea6dde6b"],
    };
    Cursor => {
        "type": "string", "pattern": "^c[0-9]{1,20}$",
        "description": "A place in the account's inbox. Opaque: store it and give it back.",
        "examples": ["c17"],
    };
    Stamp => {
        "type": "string", "pattern": "^[0-9]{1,20}$",
        "description": "A message's place in its conversation: a number of up to 64 bits, as text.",
        "examples": ["111754252641894400"],
    };
    Timestamp => {
        "type": "integer", "minimum": 0,
        "description": "Milliseconds since 1970-01-01T00:00:00Z.", "examples": [1_705_234_567_890_u64],
    };
    PreKeyId => {
        "type": "integer", "minimum": 1, "maximum": 16_777_215,
        "description": "A prekey's number on its device.", "examples": [7],
    };
}

/// Schemas that stand where they are used.
macro_rules! inline {
    ($($type:ident => $schema:tt;)*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

inline! {
    Secret => { "type": "string" };
    Pin => { "type": "string", "pattern": "^[0-9]{6,12}$" };
    EcKey => {
        "type": "string", "contentEncoding": "base64", "minLength": 44, "maxLength": 44,
        "pattern": "^BQ[A-Za-z0-9+/]{42}$|^B[A-Za-z0-9+/]{43}$",
    };
    KemKey => {
        "type": "string", "contentEncoding": "base64", "minLength": 2_092, "maxLength": 2_092,
        "pattern": "^[A-Za-z0-9+/]{2092}$",
    };
    Signature => {
        "type": "string", "contentEncoding": "base64", "minLength": 88, "maxLength": 88,
        "pattern": "^[A-Za-z0-9+/]{86}==$",
    };
    ListDocument => {
        "type": "string", "contentEncoding": "base64", "minLength": 4,
        "maxLength": limits::MAX_DEVICE_LIST.div_ceil(3) * 4,
    };
    EpochDocument => {
        "type": "string", "contentEncoding": "base64", "minLength": 4,
        "maxLength": limits::MAX_GROUP_EPOCH.div_ceil(3) * 4,
    };
    EpochHash => {
        "type": "string", "contentEncoding": "base64", "minLength": 44, "maxLength": 44,
        "pattern": "^[A-Za-z0-9+/]{43}=$",
    };
    Title => {
        "type": "string", "contentEncoding": "base64",
        "maxLength": limits::MAX_GROUP_TITLE.div_ceil(3) * 4,
    };
    Provisioning => {
        "type": "string", "contentEncoding": "base64", "minLength": 4,
        "maxLength": limits::MAX_PROVISIONING.div_ceil(3) * 4,
    };
}

impl<const MAX: usize> JsonSchema for Opaque<MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Opaque{MAX}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": MAX })
    }
}

impl JsonSchema for Code {
    fn schema_name() -> Cow<'static, str> {
        "Code".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = |code: &Self| json!({ "const": code.as_str(), "description": code.title() });
        let all: Vec<Value> = Self::ALL.iter().map(one).collect();
        json_schema!({ "type": "string", "oneOf": all, "description": "What went wrong." })
    }
}

impl JsonSchema for FailReason {
    fn schema_name() -> Cow<'static, str> {
        "FailReason".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let all = Self::ALL.map(Self::as_str);
        json_schema!({
            "type": "string", "enum": all,
            "description": "Why a message will not arrive. Show one that you do not know as `other`.",
        })
    }
}

/// Adds the `type` by which a frame is known.
pub fn tagged(kind: &'static str) -> impl FnMut(&mut Schema) {
    move |schema| tag(schema, kind, true)
}

/// Adds the `type`, which has to be there or may be absent.
pub(crate) fn tag(schema: &mut Schema, kind: &'static str, required: bool) {
    if let Some(Value::Object(members)) = schema.get_mut("properties") {
        let tag = if required {
            json!({ "type": "string", "const": kind })
        } else {
            json!({ "type": ["string", "null"], "enum": [kind, null] })
        };
        members.insert("type".into(), tag);
    }
    if required {
        match schema.get_mut("required") {
            Some(Value::Array(names)) => names.insert(0, "type".into()),
            _ => drop(schema.insert("required".into(), json!(["type"]))),
        }
    }
}
