//! The AsyncAPI 3 document of the socket, from the tables of frames.

use posthouse_protocol::frame::ServerFrame;
use serde_json::{Map, Value, json};

use super::{
    frames::{CLIENT, Frame, FrameSchema, SERVER},
    operation::schema_of,
    put,
    schemas::{By, Schemas, never_null},
};
use crate::ws::SUBPROTOCOL;

const INTRODUCTION: &str = include_str!("asyncapi.md");

/// The document.
pub(super) fn document() -> Value {
    let mut schemas = Schemas::new();
    schemas.of(schema_of::<ServerFrame<'static>>, By::Server);
    let mut payload = |frame: &Frame, by: By| match frame.schema {
        FrameSchema::Of(schema) => schemas.of(schema, by),
        FrameSchema::Variant => json!({ "$ref": format!("#/components/schemas/{}", frame.name) }),
    };
    let mut client: Vec<Value> = CLIENT.iter().map(|frame| payload(frame, By::Client)).collect();
    let server: Vec<Value> = SERVER.iter().map(|frame| payload(frame, By::Server)).collect();
    let mut requests: Vec<&mut Value> = client.iter_mut().collect();
    let mut components = schemas.finish(&mut requests);
    split_variants(&mut components);
    let frames = CLIENT.iter().zip(client).chain(SERVER.iter().zip(server));
    let messages: Map<String, Value> =
        frames.map(|(frame, payload)| (frame.name.to_owned(), message(frame, &payload))).collect();
    let of_channel: Map<String, Value> = messages
        .keys()
        .map(|name| (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") })))
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Posthouse client socket",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": { "region": {
            "host": "chat.eu.example", "protocol": "wss",
            "description": "A region: the host is where this document comes from.",
            "security": [
                { "$ref": "#/components/securitySchemes/session" },
                { "$ref": "#/components/securitySchemes/ticket" },
            ],
        } },
        "channels": { "socket": {
            "address": "/v1/connect",
            "title": "The socket of a device",
            "description": closing(),
            "messages": of_channel,
            "bindings": { "ws": binding() },
            "x-subprotocol": SUBPROTOCOL,
            "x-close-codes": close_codes(),
        } },
        "operations": operations(),
        "components": {
            "schemas": components,
            "messages": messages,
            "securitySchemes": {
                "session": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "ticket": { "type": "httpApiKey", "in": "query", "name": "ticket" },
            },
        },
    })
}

/// The variants of `ServerFrame` become schemas of their own.
fn split_variants(components: &mut Map<String, Value>) {
    let whole = components.remove("ServerFrame").unwrap_or_default();
    for variant in whole.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
        let kind = variant.pointer("/properties/type/const").and_then(Value::as_str);
        if let Some(frame) = SERVER
            .iter()
            .find(|frame| matches!(frame.schema, FrameSchema::Variant) && Some(frame.kind) == kind)
        {
            let mut variant = variant.clone();
            if let Some(Value::Object(properties)) = variant.get_mut("properties") {
                properties.values_mut().for_each(never_null);
            }
            components.insert(frame.name.to_owned(), variant);
        }
    }
}

fn message(frame: &Frame, payload: &Value) -> Value {
    let examples = frame.examples.iter().map(|text| {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        json!({ "payload": value })
    });
    json!({
        "name": frame.kind,
        "title": frame.summary,
        "contentType": "application/json",
        "payload": payload,
        "examples": examples.collect::<Vec<_>>(),
    })
}

/// The document describes the server: it receives what clients send.
fn operations() -> Value {
    let mut operations = Map::new();
    for (action, frames) in [("receive", CLIENT), ("send", SERVER)] {
        for frame in frames {
            let mut operation = json!({
                "action": action,
                "channel": { "$ref": "#/channels/socket" },
                "summary": frame.summary,
                "messages": [in_channel(frame.name)],
            });
            let replies: &[&str] = match frame.name {
                "ClientMessage" => &["StatusFrame", "ErrorFrame"],
                "ClientPing" => &["PongFrame"],
                _ => &[],
            };
            if !replies.is_empty() {
                let replies: Vec<Value> = replies.iter().map(|name| in_channel(name)).collect();
                let channel = json!({ "$ref": "#/channels/socket" });
                put(&mut operation, "reply", json!({ "channel": channel, "messages": replies }));
            }
            operations.insert(format!("{action}{}", frame.name), operation);
        }
    }
    Value::Object(operations)
}

fn in_channel(name: &str) -> Value {
    json!({ "$ref": format!("#/channels/socket/messages/{name}") })
}

/// The WebSocket binding (version 0.1.0): what the handshake may have.
fn binding() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "bindingVersion": "0.1.0",
        "method": "GET",
        "query": { "type": "object", "properties": {
            "ticket": text("A ticket of `POST /v1/connect/ticket`."),
        } },
        "headers": { "type": "object", "properties": {
            "Authorization": text("`Bearer` and an access token."),
            "Sec-WebSocket-Protocol": { "type": "string", "const": SUBPROTOCOL },
        } },
    })
}

/// Every code that the server closes with: what it means, and what the client does.
const CLOSE_CODES: &[(u16, &str, &str)] = &[
    (1002, "what came is no WebSocket traffic", "mend the client"),
    (1007, "a text message is no UTF-8", "mend the client"),
    (
        1008,
        "the client keeps to no limits; the reason says to which",
        "wait a minute, then reconnect",
    ),
    (1009, "a frame of more than 16 MiB", "mend the client"),
    (1011, "the inbox cannot be read now", "reconnect after a pause that doubles"),
    (1012, "the server restarts", "reconnect after a random time of up to 5 seconds"),
    (4001, "another connection of the same device took over", "do not reconnect by itself"),
    (4002, "the device was too slow", "reconnect"),
    (4003, "the session was ended", "log in again"),
];

fn close_codes() -> Value {
    let one = |(code, meaning, then): &(u16, &str, &str)| json!({ "code": code, "meaning": meaning, "client": then });
    CLOSE_CODES.iter().map(one).collect()
}

fn closing() -> String {
    let line = |(code, meaning, then): &(u16, &str, &str)| format!("* {code}: {meaning}; {then}.");
    let lines: Vec<String> = CLOSE_CODES.iter().map(line).collect();
    format!("Frames both ways. The server closes with:\n\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Close;

    #[test]
    fn the_codes_of_the_server_are_listed() {
        for close in [Close::Restart, Close::Replaced, Close::TooSlow, Close::Revoked] {
            assert!(CLOSE_CODES.iter().any(|(code, ..)| *code == close.code()), "{close:?}");
        }
    }
}
