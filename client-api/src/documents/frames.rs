//! The frames of the socket, for the AsyncAPI document: their shapes and examples.

use posthouse_protocol::{
    frame::{
        DevicesChangedFrame, GroupFrame, KeysFrame, MessageFrame, PresenceFrame, StatusFrame,
        TallyFrame, WatermarkFrame,
    },
    schema::frames::{
        ClientAck, ClientMessage, ClientPing, ClientPresence, ClientSubscribe, ClientUnsubscribe,
    },
};

use super::operation::{SchemaOf, schema_of};

/// A frame.
pub(super) struct Frame {
    /// Its name in the document.
    pub(super) name: &'static str,
    /// Its `type`.
    pub(super) kind: &'static str,
    pub(super) summary: &'static str,
    pub(super) schema: FrameSchema,
    pub(super) examples: &'static [&'static str],
}

/// Where a frame's schema comes from.
#[derive(Clone, Copy)]
pub(super) enum FrameSchema {
    /// From a type of its own.
    Of(SchemaOf),
    /// From the variant of [`ServerFrame`](posthouse_protocol::frame::ServerFrame) with its `type`.
    Variant,
}

/// What clients send.
pub(super) const CLIENT: &[Frame] = &[
    Frame {
        name: "ClientMessage",
        kind: "message",
        summary: "Send a message",
        schema: FrameSchema::Of(schema_of::<ClientMessage>),
        examples: &[
            r#"{"type":"message","id":"01890a5d-ac96-774b-bcce-b302099a8057",
                "to":"bob","content":{"type":"encrypted","encrypted":true,"ciphertexts":[
                {"device":1,"registration_id":4711,"type":3,"data":"MwohBWFsaWNl"}]},
                "timestamp":1705234567890}"#,
            r#"{"type":"message","id":"01890a5d-ac96-774b-bcce-b302099a8057",
                "to":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "prev":"01890a5d-ab00-774b-bcce-b302099a8057",
                "after":"111754252641894400","content":{"type":"encrypted",
                "encrypted":true,"ciphertexts":[{"device":1,"registration_id":4711,
                "type":3,"data":"MwohBWFsaWNl"},{"device":2,"registration_id":815,
                "type":2,"data":"MwohBWJvYg=="},
                {"user":"01890a5d-1111-774b-bcce-b302099a8057@eu.example","device":3,
                "registration_id":7,"type":2,"data":"MwohBWNhcm9s"}]}}"#,
        ],
    },
    Frame {
        name: "ClientAck",
        kind: "ack",
        summary: "Acknowledge messages",
        schema: FrameSchema::Of(schema_of::<ClientAck>),
        examples: &[
            r#"{"type":"ack","through":"c17","status":"delivered"}"#,
            r#"{"type":"ack","message_id":"01890a5d-ac96-774b-bcce-b302099a8057",
                "status":"delivered"}"#,
            r#"{"type":"ack","message_ids":["01890a5d-ac96-774b-bcce-b302099a8057"],
                "from":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "status":"read"}"#,
        ],
    },
    Frame {
        name: "ClientPresence",
        kind: "presence",
        summary: "Say how the person is there",
        schema: FrameSchema::Of(schema_of::<ClientPresence>),
        examples: &[
            r#"{"type":"presence","status":"away"}"#,
            r#"{"type":"presence","status":"typing","to":"bob"}"#,
        ],
    },
    Frame {
        name: "ClientSubscribe",
        kind: "subscribe",
        summary: "Watch some users' presence",
        schema: FrameSchema::Of(schema_of::<ClientSubscribe>),
        examples: &[r#"{"type":"subscribe","users":["bob",
                "01890a5d-0000-774b-bcce-b302099a8057@eu.example"]}"#],
    },
    Frame {
        name: "ClientUnsubscribe",
        kind: "unsubscribe",
        summary: "Watch them no longer",
        schema: FrameSchema::Of(schema_of::<ClientUnsubscribe>),
        examples: &[r#"{"type":"unsubscribe","users":["bob"]}"#],
    },
    Frame {
        name: "ClientPing",
        kind: "ping",
        summary: "Ask for a sign of life",
        schema: FrameSchema::Of(schema_of::<ClientPing>),
        examples: &[r#"{"type":"ping","ref":"7"}"#],
    },
];

/// What the server sends.
pub(super) const SERVER: &[Frame] = &[
    Frame {
        name: "MessageFrame",
        kind: "message",
        summary: "A message",
        schema: FrameSchema::Of(schema_of::<MessageFrame<'static>>),
        examples: &[
            r#"{"type":"message","id":"01890a5d-ac96-774b-bcce-b302099a8057",
                "from":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "from_device":1,"conversation_id":"abababababababababababababababab",
                "content":{"type":"encrypted","encrypted":true,"ciphertexts":[
                {"device":1,"registration_id":4711,"type":2,"data":"MwohBQ=="}]},
                "timestamp":1705234567890,"server_timestamp":1705234567900,
                "stamp":"111754252641894400","cursor":"c17","origin_number":3}"#,
            r#"{"type":"message","id":"01890a5d-ac96-774b-bcce-b302099a8057",
                "from":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "conversation_id":"abababababababababababababababab",
                "content":{"type":"encrypted","encrypted":true,
                "ciphertexts":[{"device":1,"registration_id":4711,"type":2,
                "data":"MwohBQ=="}]},"timestamp":1705234567890,
                "server_timestamp":1705234567900,"class":"ephemeral"}"#,
        ],
    },
    Frame {
        name: "StatusFrame",
        kind: "status",
        summary: "What became of a message",
        schema: FrameSchema::Of(schema_of::<StatusFrame>),
        examples: &[
            r#"{"type":"status","message_id":"01890a5d-ac96-774b-bcce-b302099a8057",
                "status":"sent","at":1705234567900,
                "conversation_id":"abababababababababababababababab",
                "stamp":"111754252641894400","origin_number":3}"#,
            r#"{"type":"status","message_id":"01890a5d-ac96-774b-bcce-b302099a8057",
                "status":"failed","at":1705234567900,
                "user":"01890a5d-1111-774b-bcce-b302099a8057@us.example",
                "reason":"unknown_user","cursor":"c89"}"#,
        ],
    },
    Frame {
        name: "WatermarkFrame",
        kind: "status",
        summary: "What became of many messages",
        schema: FrameSchema::Of(schema_of::<WatermarkFrame>),
        examples: &[r#"{"type":"status","conversation_id":"abababababababababababababababab",
                "origin":"eu.example","through":17,"except":[12],"status":"delivered",
                "user":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "at":1705234569000,"cursor":"c88"}"#],
    },
    Frame {
        name: "PresenceFrame",
        kind: "presence",
        summary: "A user's presence",
        schema: FrameSchema::Of(schema_of::<PresenceFrame>),
        examples: &[
            r#"{"type":"presence",
                "user_id":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "status":"offline","last_seen":1705234567890}"#,
            r#"{"type":"presence",
                "user_id":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "status":"typing","expires_in":10}"#,
        ],
    },
    Frame {
        name: "KeysFrame",
        kind: "keys",
        summary: "Keys or devices have changed",
        schema: FrameSchema::Of(schema_of::<KeysFrame>),
        examples: &[
            r#"{"type":"keys","event":"device_list",
                "user":"01890a5d-0000-774b-bcce-b302099a8057@eu.example","version":3,
                "cursor":"c18"}"#,
            r#"{"type":"keys","event":"identity",
                "user":"01890a5d-0000-774b-bcce-b302099a8057@eu.example","cursor":"c19"}"#,
            r#"{"type":"keys","event":"prekeys_low","one_time":19,"one_time_kem":19,
                "cursor":"c20"}"#,
        ],
    },
    Frame {
        name: "GroupFrame",
        kind: "group",
        summary: "A group has changed",
        schema: FrameSchema::Of(schema_of::<GroupFrame>),
        examples: &[r#"{"type":"group","event":"epoch",
                "group":"g.01890a5d-2222-774b-bcce-b302099a8057@eu.example","epoch":5,
                "hash":"q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=","cursor":"c21"}"#],
    },
    Frame {
        name: "TallyFrame",
        kind: "group_status",
        summary: "How many members of a group have got messages",
        schema: FrameSchema::Of(schema_of::<TallyFrame>),
        examples: &[r#"{"type":"group_status",
                "group":"g.01890a5d-2222-774b-bcce-b302099a8057@eu.example",
                "conversation_id":"abababababababababababababababab",
                "origin":"eu.example","status":"delivered","steps":[[17,812],[12,200]],
                "joined":[[15,3]],"except":[[16,1]],"from":1,"at":1705234569000,
                "cursor":"c91"}"#],
    },
    Frame {
        name: "DevicesChangedFrame",
        kind: "devices_changed",
        summary: "A message did not reach all devices",
        schema: FrameSchema::Of(schema_of::<DevicesChangedFrame>),
        examples: &[r#"{"type":"devices_changed",
                "message_id":"01890a5d-ac96-774b-bcce-b302099a8057",
                "user":"01890a5d-1111-774b-bcce-b302099a8057@us.example","missing":[3],
                "version":4,"cursor":"c22"}"#],
    },
    Frame {
        name: "CaughtUpFrame",
        kind: "caught_up",
        summary: "The backlog is drained",
        schema: FrameSchema::Variant,
        examples: &[r#"{"type":"caught_up","cursor":"c17"}"#],
    },
    Frame {
        name: "ChangedFrame",
        kind: "changed",
        summary: "Something of the account has changed",
        schema: FrameSchema::Variant,
        examples: &[r#"{"type":"changed","what":"requests",
                "user":"01890a5d-1111-774b-bcce-b302099a8057@us.example"}"#],
    },
    Frame {
        name: "ErrorFrame",
        kind: "error",
        summary: "A frame was refused",
        schema: FrameSchema::Variant,
        examples: &[
            r#"{"type":"error","code":"out_of_order",
                "message":"the message that should come before was not accepted",
                "ref":"01890a5d-ac96-774b-bcce-b302099a8057"}"#,
            r#"{"type":"error","code":"rate_limited",
                "message":"this was done too often; wait and try again","ref":"7",
                "retry_after":2}"#,
            r#"{"type":"error","code":"stale_devices",
                "message":"the ciphertexts do not match the user's devices",
                "ref":"01890a5d-ac96-774b-bcce-b302099a8057",
                "user":"01890a5d-0000-774b-bcce-b302099a8057@eu.example","missing":[2],
                "extra":[],"stale":[1]}"#,
            r#"{"type":"error","code":"stale_epoch",
                "message":"the group's newest epoch is 5; read the chain",
                "ref":"01890a5d-ac96-774b-bcce-b302099a8057","epoch":5,
                "hash":"q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="}"#,
        ],
    },
    Frame {
        name: "PongFrame",
        kind: "pong",
        summary: "The answer to `ping`",
        schema: FrameSchema::Variant,
        examples: &[r#"{"type":"pong","ref":"7"}"#],
    },
];
