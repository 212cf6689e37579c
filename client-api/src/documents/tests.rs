//! The documents are whole, and their examples are what the product takes and gives.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonschema::Validator;
use posthouse_protocol::{
    frame::{
        ClientFrame, DevicesChangedFrame, GroupFrame, KeysFrame, MessageFrame, PresenceFrame,
        StatusFrame, TallyFrame, WatermarkFrame,
    },
    id::ServerName,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    frames::{CLIENT, Frame, SERVER},
    operation::Answer,
};
use crate::rest::{AREAS, ROUTES};

fn openapi() -> Value {
    serde_json::from_slice(&super::openapi().bytes).unwrap()
}

fn asyncapi() -> Value {
    serde_json::from_slice(&super::asyncapi().bytes).unwrap()
}

/// A validator of one schema of a document.
fn validator(document: &Value, schema: &Value) -> Validator {
    let whole = json!({ "allOf": [schema], "components": document["components"] });
    jsonschema::draft202012::new(&whole).unwrap_or_else(|err| panic!("{err}: {schema}"))
}

fn refuses(validator: &Validator, value: &Value) -> Option<String> {
    validator.iter_errors(value).next().map(|err| err.to_string())
}

#[test]
fn descriptions_fit_their_routes() {
    for route in ROUTES {
        let (operation, call) = (route.operation(), route.name);
        assert!(AREAS.iter().any(|(name, _)| *name == route.area()), "{call}: no such area");
        assert_eq!(operation.body.is_some(), route.max_body > 0, "{call}: the body");
        let segments = route.path.split('/').filter_map(|part| part.strip_prefix('{'));
        let segments: BTreeSet<&str> = segments.map(|part| part.trim_end_matches('}')).collect();
        let described = operation.parameters.iter().filter(|one| one.place == "path");
        let described: BTreeSet<&str> = described.map(|one| one.name).collect();
        assert_eq!(segments, described, "{call}: the path");
        assert!(operation.summary.len() > 5 && operation.description.ends_with('.'), "{call}");
        let no_code_twice: BTreeSet<_> = operation.errors.iter().collect();
        assert_eq!(no_code_twice.len(), operation.errors.len(), "{call}: an error twice");
    }
    let names: BTreeSet<_> = ROUTES.iter().map(|route| route.name).collect();
    assert_eq!(names.len(), ROUTES.len(), "operationIds are unique");
}

#[test]
fn every_route_is_documented_and_no_other() {
    let document = openapi();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            documented.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let served: BTreeSet<_> =
        ROUTES.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(documented, served);
}

#[test]
fn examples_of_calls_are_what_the_product_parses() {
    for route in ROUTES {
        let operation = route.operation();
        let answer = match &operation.answer {
            Answer::Json(_, shape) => Some(shape),
            _ => None,
        };
        for shape in operation.body.iter().chain(answer) {
            if let Err(err) = (shape.example.check)(shape.example.text) {
                panic!("{}: {err}", route.name);
            }
        }
    }
}

#[test]
fn examples_of_calls_fit_their_schemas() {
    let document = openapi();
    let mut examined = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let mut pairs = Vec::new();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                pairs.push((&parameter["schema"], &parameter["example"]));
            }
            let answers = operation["responses"].as_object().unwrap().values();
            for content in answers.chain([&operation["requestBody"]]) {
                for media in content["content"].as_object().into_iter().flat_map(|all| all.values())
                {
                    pairs.extend(media.get("example").map(|one| (&media["schema"], one)));
                    let examples = media["examples"].as_object();
                    let examples = examples.into_iter().flat_map(|all| all.values());
                    pairs.extend(examples.map(|one| (&media["schema"], &one["value"])));
                }
            }
            for (schema, example) in pairs {
                let found = refuses(&validator(&document, schema), example);
                assert_eq!(found, None, "{method} {path}: {example}");
                examined += 1;
            }
        }
    }
    assert!(examined > 300, "{examined}");
}

#[test]
fn examples_of_frames_fit_their_schemas() {
    let document = asyncapi();
    let messages = document["components"]["messages"].as_object().unwrap();
    assert_eq!(messages.len(), CLIENT.len() + SERVER.len());
    for (name, message) in messages {
        let validator = validator(&document, &message["payload"]);
        for example in message["examples"].as_array().unwrap() {
            assert_eq!(refuses(&validator, &example["payload"]), None, "{name}: {example}");
            // The `type` decides: no other frame passes for this one.
            let mut other = example["payload"].clone();
            other["type"] = json!("another");
            assert!(refuses(&validator, &other).is_some(), "{name} takes any type");
        }
    }
}

/// What a region takes that nobody set up otherwise: encrypted contents only.
#[test]
fn examples_of_messages_are_what_every_region_takes() {
    let mut contents = Vec::new();
    for document in [openapi(), asyncapi()] {
        contents_in(&document, &mut contents);
    }
    assert!(contents.len() >= 6, "{contents:?}");
    for content in contents {
        assert_eq!((&content["type"], &content["encrypted"]), (&json!("encrypted"), &json!(true)));
    }
}

/// The contents of all messages within a value.
fn contents_in(value: &Value, found: &mut Vec<Value>) {
    if let Some(content) = value.get("content") {
        let has_payload = content.get("body").or_else(|| content.get("ciphertexts")).is_some();
        if content["type"].is_string() && has_payload {
            found.push(content.clone());
        }
    }
    match value {
        Value::Array(all) => all.iter().for_each(|one| contents_in(one, found)),
        Value::Object(all) => all.values().for_each(|one| contents_in(one, found)),
        _ => {}
    }
}

fn round_trips<T: Serialize + DeserializeOwned>(text: &str) {
    let value: T = serde_json::from_str(text).unwrap_or_else(|err| panic!("{err}: {text}"));
    let given: Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(&value).unwrap(), given);
}

#[test]
fn examples_of_frames_are_what_the_product_parses() {
    let own = ServerName::parse("eu.example").unwrap();
    for frame in CLIENT {
        for text in frame.examples {
            let parsed = ClientFrame::parse(text, &own).unwrap_or_else(|err| panic!("{err:?}"));
            assert_eq!(kind_of(&parsed), frame.kind);
        }
    }
    for Frame { name, examples, .. } in SERVER {
        for text in *examples {
            match *name {
                "MessageFrame" => {
                    let frame: MessageFrame<'_> = serde_json::from_str(text).unwrap();
                    let given: Value = serde_json::from_str(text).unwrap();
                    assert_eq!(serde_json::to_value(&frame).unwrap(), given);
                }
                "StatusFrame" => round_trips::<StatusFrame>(text),
                "WatermarkFrame" => round_trips::<WatermarkFrame>(text),
                "PresenceFrame" => round_trips::<PresenceFrame>(text),
                "KeysFrame" => round_trips::<KeysFrame>(text),
                "GroupFrame" => round_trips::<GroupFrame>(text),
                "TallyFrame" => round_trips::<TallyFrame>(text),
                "DevicesChangedFrame" => round_trips::<DevicesChangedFrame>(text),
                // What the server only writes is compared in tests/edge/spec.rs, by the same texts.
                "CaughtUpFrame" | "ChangedFrame" | "ErrorFrame" | "PongFrame" => {}
                other => panic!("nothing reads a {other}"),
            }
        }
    }
}

/// A frame that is added to the parser has to be added here, and is then missed in the document.
fn kind_of(frame: &ClientFrame) -> &'static str {
    match frame {
        ClientFrame::Message(_) => "message",
        ClientFrame::Ack(_) => "ack",
        ClientFrame::Presence(_) => "presence",
        ClientFrame::Subscribe(_) => "subscribe",
        ClientFrame::Unsubscribe(_) => "unsubscribe",
        ClientFrame::Ping(_) => "ping",
    }
}

/// The source of `protocol` names the frames: the literals that decide on a `type`.
#[test]
fn every_frame_is_documented_and_no_other() {
    let source = |name: &str| {
        let path = format!("{}/../protocol/src/frame/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let names = |all: &[Frame]| -> BTreeSet<String> {
        all.iter().map(|frame| frame.kind.to_owned()).collect()
    };
    let client = source("client");
    let parser = client.split("let parsed = match kind.as_deref() {").nth(1).unwrap();
    let arms = parser.split("Some(other)").next().unwrap();
    let arms = arms.split("Some(\"").skip(1).filter_map(|rest| rest.split('"').next());
    assert_eq!(arms.map(str::to_owned).collect::<BTreeSet<_>>(), names(CLIENT));

    let files = std::fs::read_dir(format!("{}/../protocol/src/frame", env!("CARGO_MANIFEST_DIR")));
    let mut sent = BTreeSet::new();
    for file in files.unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let tags = text.split("#[serde(tag = \"type\", rename = \"").skip(1);
        sent.extend(tags.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
    }
    let server = source("server");
    let variants = server.split("pub enum ServerFrame<'a> {").nth(1).unwrap();
    let variants = variants.split("\n}\n").next().unwrap();
    let variants =
        variants.lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(" {"));
    sent.extend(variants.filter(|name| !name.starts_with(' ')).map(snake));
    assert_eq!(sent, names(SERVER));
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// What the schema of a client's frame names, the parser reads; and all that it reads is named.
#[test]
fn the_members_of_clients_frames_are_those_of_the_parser() {
    let document = asyncapi();
    let schemas = &document["components"]["schemas"];
    let mut named = BTreeSet::new();
    for frame in CLIENT {
        let properties = schemas[frame.name]["properties"].as_object().unwrap();
        named.extend(properties.keys().cloned());
        for (member, schema) in properties {
            // A member that is read is refused if it is of another type.
            let mut wrong: Value = serde_json::from_str(frame.examples[0]).unwrap();
            wrong[member] = json!({ "of": [schema["type"]] });
            let own = ServerName::parse("eu.example").unwrap();
            let refused = ClientFrame::parse(&wrong.to_string(), &own).is_err();
            assert!(refused, "{}: `{member}` is not read", frame.name);
        }
    }
    let path = format!("{}/../protocol/src/frame/client.rs", env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(path).unwrap();
    let raw = source.split("struct Raw<'a> {").nth(1).unwrap().split("\n}\n").next().unwrap();
    let mut renamed = None;
    let mut read = BTreeSet::new();
    for line in raw.lines().map(str::trim) {
        if let Some((_, rest)) = line.split_once("rename = \"") {
            renamed = rest.split('"').next().map(str::to_owned);
        } else if let Some((name, _)) = line.split_once(": ").filter(|_| !line.starts_with('#')) {
            read.insert(renamed.take().unwrap_or_else(|| name.to_owned()));
        }
    }
    assert_eq!(named, read);
}

#[test]
fn references_lead_somewhere_and_nothing_lies_idle() {
    for document in [openapi(), asyncapi()] {
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in &found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            let reference = format!("#/components/schemas/{name}");
            // `Timestamp` and the like are named by every type that has one.
            assert!(found.contains(&reference), "{name} is not used");
        }
        let text = document.to_string();
        for left_over in ["[`", "crate::", "Cow<"] {
            assert!(!text.contains(left_over), "{left_over}");
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|one| references(one, found));
        }
        Value::Array(all) => all.iter().for_each(|one| references(one, found)),
        _ => {}
    }
}

/// The page works without the network, and the browser is told to hold it to that.
#[test]
fn the_page_asks_nobody_else() {
    let page = String::from_utf8(super::PAGE.document.bytes.to_vec()).unwrap();
    for elsewhere in ["http:", "https:", "src=", "@import", "url(", "innerHTML", "eval("] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    let policy = super::PAGE.policy.to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    for (directive, tag) in [("script-src", "script"), ("style-src", "style")] {
        let inside = page.split(&format!("<{tag}>")).nth(1).unwrap();
        let inside = inside.split(&format!("</{tag}>")).next().unwrap();
        let hash = STANDARD.encode(Sha256::digest(inside));
        assert!(policy.contains(&format!("{directive} 'sha256-{hash}'")), "{policy}");
    }
}
