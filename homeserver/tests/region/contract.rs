//! Whatever a region answers, to any call of any test, is what the published OpenAPI document says.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::http::Answer;

pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_slice(&posthouse_client_api::documents::openapi().bytes).unwrap()
});

type Validators = Mutex<HashMap<(String, u16), Option<Arc<Validator>>>>;
static VALIDATORS: LazyLock<Validators> = LazyLock::new(Mutex::default);

/// The documented path that an address has: one without a variable segment before one with.
fn template(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let paths = DOCUMENT["paths"].as_object().unwrap();
    if let Some((exact, _)) = paths.get_key_value(path) {
        return Some(exact);
    }
    let fits = |template: &&String| {
        let (ours, theirs): (Vec<_>, Vec<_>) =
            (template.split('/').collect(), path.split('/').collect());
        ours.len() == theirs.len()
            && ours.iter().zip(&theirs).all(|(a, b)| a == b || a.starts_with('{'))
    };
    paths.keys().find(fits).map(String::as_str)
}

/// Fails if the document does not say that this call can be answered so.
pub(crate) fn check(method: &str, path: &str, answer: &Answer) {
    let Some(template) = template(path) else { return };
    let operation = &DOCUMENT["paths"][template][method.to_ascii_lowercase()];
    if operation.is_null() {
        assert_eq!(answer.status, 405, "{method} {path} is not documented");
        return;
    }
    let call = format!("{method} {template}");
    let documented = &operation["responses"][answer.status.to_string()];
    assert!(!documented.is_null(), "{call}: {} {} is not documented", answer.status, answer.code());
    let validator = {
        let mut known = VALIDATORS.lock().unwrap();
        let made = known.entry((call.clone(), answer.status)).or_insert_with(|| {
            let contents = documented["content"].as_object()?;
            let media = contents.values().next().unwrap();
            let whole = json!({ "allOf": [media["schema"]], "components": DOCUMENT["components"] });
            Some(Arc::new(jsonschema::draft202012::new(&whole).unwrap()))
        });
        made.clone()
    };
    match validator {
        None => assert_eq!(answer.body, Value::Null, "{call}: {} has no body", answer.status),
        Some(validator) => {
            let found = validator.iter_errors(&answer.body).next().map(|err| err.to_string());
            assert_eq!(found, None, "{call}: {}", answer.body);
        }
    }
}
