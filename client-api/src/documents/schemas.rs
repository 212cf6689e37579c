//! The schemas of all types that a document names. What is sent and what is answered differ in a
//! type: an absent member may be sent as `null`, and is never answered so.

use std::collections::BTreeSet;

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::operation::SchemaOf;

const PLACE: &str = "#/components/schemas/";

/// Collects schemas while a document is made.
pub(super) struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

/// Who writes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Client,
    Server,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let mut settings = SchemaSettings::draft2020_12();
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        let answers = settings.clone().for_serialize().into_generator();
        Self { requests: settings.into_generator(), answers }
    }

    /// The schema of a type, or a reference to it.
    pub(super) fn of(&mut self, schema: SchemaOf, by: By) -> Value {
        match by {
            By::Client => schema(&mut self.requests).to_value(),
            By::Server => schema(&mut self.answers).to_value(),
        }
    }

    /// All that were referred to, by name. Where a type differs between requests and answers, the
    /// one of requests has another name; `document` is made to refer to it.
    pub(super) fn finish(mut self, requests: &mut [&mut Value]) -> Map<String, Value> {
        let mut answers = self.answers.take_definitions(true);
        let mut sent = self.requests.take_definitions(true);
        for schema in answers.values_mut() {
            without_null(schema);
        }
        for schema in answers.values_mut().chain(sent.values_mut()) {
            plain_text(schema);
        }
        let differing = differing(&sent, &answers);
        for schema in sent.values_mut().chain(requests.iter_mut().map(|value| &mut **value)) {
            rename(schema, &differing);
        }
        for (name, schema) in sent {
            if differing.contains(&name) {
                answers.insert(renamed(&name), schema);
            } else {
                answers.entry(name).or_insert(schema);
            }
        }
        answers
    }
}

fn renamed(name: &str) -> String {
    format!("{name}Sent")
}

/// The names of types that are not the same in both, themselves or by what they refer to.
fn differing(sent: &Map<String, Value>, answers: &Map<String, Value>) -> BTreeSet<String> {
    let shared = || sent.iter().filter_map(|(name, one)| Some((name, one, answers.get(name)?)));
    let unlike = shared().filter(|(_, sent, answered)| sent != answered);
    let mut found: BTreeSet<String> = unlike.map(|(name, ..)| name.clone()).collect();
    loop {
        let before = found.len();
        for (name, schema, _) in shared() {
            if refers_to(schema, &found) {
                found.insert(name.clone());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn refers_to(schema: &Value, names: &BTreeSet<String>) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(key, value)| {
            let name = value.as_str().and_then(|text| text.strip_prefix(PLACE));
            (key == "$ref" && name.is_some_and(|name| names.contains(name)))
                || refers_to(value, names)
        }),
        Value::Array(all) => all.iter().any(|one| refers_to(one, names)),
        _ => false,
    }
}

fn rename(schema: &mut Value, names: &BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            for (key, value) in members {
                let name = value.as_str().and_then(|text| text.strip_prefix(PLACE));
                match name.filter(|name| key == "$ref" && names.contains(*name)) {
                    Some(name) => *value = json!(format!("{PLACE}{}", renamed(name))),
                    None => rename(value, names),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|one| rename(one, names)),
        _ => {}
    }
}

/// Members that may be absent are never `null`.
fn without_null(schema: &mut Value) {
    let Value::Object(members) = schema else {
        if let Value::Array(all) = schema {
            all.iter_mut().for_each(without_null);
        }
        return;
    };
    let required = members.get("required").cloned().unwrap_or_default();
    let is_required =
        |name: &str| required.as_array().is_some_and(|all| all.contains(&json!(name)));
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        for (name, property) in properties {
            if !is_required(name) {
                never_null(property);
            }
        }
    }
    members.values_mut().for_each(without_null);
}

pub(super) fn never_null(property: &mut Value) {
    let Value::Object(members) = property else { return };
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|one| one != "null");
        if let [only] = &mut types[..] {
            let only = only.take();
            members.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
        choices.retain(|one| one["type"] != "null");
        if let [Value::Object(only)] = &mut choices[..] {
            let only = std::mem::take(only);
            members.remove("anyOf");
            members.extend(only);
        }
    }
    if let Some(Value::Array(values)) = members.get_mut("enum") {
        values.retain(|one| !one.is_null());
    }
}

/// Descriptions come from the code's documentation: its links become plain names.
fn plain_text(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = text.replace("[`", "`").replace("`]", "`").replace("crate::", "");
            }
            members.values_mut().for_each(plain_text);
        }
        Value::Array(all) => all.iter_mut().for_each(plain_text),
        _ => {}
    }
}
