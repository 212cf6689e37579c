//! The OpenAPI 3.1 document, from the table of routes.

use std::collections::BTreeMap;

use posthouse_protocol::{
    problem::{Code, Problem},
    time::Timestamp,
};
use serde_json::{Map, Value, json};

use super::{
    operation::{Answer, Limit, Operation, Parameter, Shape, schema_of},
    put,
    schemas::{By, Schemas},
};
use crate::rest::{Access, ROUTES, Route};

const INTRODUCTION: &str = include_str!("openapi.md");

/// The document.
pub(super) fn document() -> Value {
    let mut schemas = Schemas::new();
    // Named by the shared answers below.
    let problem = schemas.of(schema_of::<Problem>, By::Server);
    schemas.of(schema_of::<Timestamp>, By::Server);
    let mut paths = Map::new();
    let mut written = Vec::new();
    for route in ROUTES {
        written.push((route, write(route, &mut schemas, &problem)));
    }
    let sent = written.iter_mut().flat_map(|(_, call)| [&mut call.parameters, &mut call.body]);
    let components = schemas.finish(&mut sent.collect::<Vec<_>>());
    for (route, call) in written {
        let method = route.method.as_str().to_ascii_lowercase();
        put(paths.entry(route.path).or_insert_with(|| json!({})), &method, call.whole());
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Posthouse client API",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "What is not real time, of a federated end-to-end encrypted messaging server.",
            "description": INTRODUCTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{ "url": "/", "description": "The server that this document comes from." }],
        "tags": tags(),
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "session": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "An access token, from registering, logging in or refreshing.",
                },
                "ticket": {
                    "type": "apiKey", "in": "query", "name": "ticket",
                    "description": "A ticket of `POST /v1/connect/ticket`, good for one socket.",
                },
            },
        },
    })
}

/// A call as the document has it; what is sent apart from the rest, since its schemas are renamed at the
/// end.
struct Call {
    rest: Value,
    parameters: Value,
    body: Value,
}

impl Call {
    fn whole(mut self) -> Value {
        for (name, value) in [("parameters", self.parameters), ("requestBody", self.body)] {
            if !value.is_null() {
                put(&mut self.rest, name, value);
            }
        }
        self.rest
    }
}

/// The areas, in the order of the specification.
fn tags() -> Value {
    let area =
        |(name, description): &(&str, &str)| json!({ "name": name, "description": description });
    Value::Array(crate::rest::AREAS.iter().map(area).collect())
}

fn write(route: &Route, schemas: &mut Schemas, problem: &Value) -> Call {
    let operation = route.operation();
    let mut rest = json!({
        "operationId": route.name,
        "tags": [route.area()],
        "summary": operation.summary,
        "description": operation.description,
        "security": security(route.access),
        "responses": answers(route, &operation, schemas, problem),
    });
    let account = (route.access != Access::Anyone).then_some(Limit::Account);
    let limits = account.into_iter().chain(operation.limits.iter().copied());
    let limits: Vec<Value> = limits.map(rate).collect();
    if !limits.is_empty() {
        put(&mut rest, "x-rate-limits", limits.into());
    }
    let parameters: Vec<Value> =
        operation.parameters.iter().map(|one| parameter(one, schemas)).collect();
    let parameters = if parameters.is_empty() { Value::Null } else { parameters.into() };
    let body = operation.body.as_ref().map(|body| {
        json!({
            "required": true,
            "description": format!("At most {} bytes.", route.max_body),
            "content": { "application/json": shape(body, By::Client, schemas) },
        })
    });
    Call { rest, parameters, body: body.unwrap_or_default() }
}

fn security(access: Access) -> Value {
    match access {
        Access::Anyone => json!([]),
        Access::Session => json!([{ "session": [] }]),
        Access::Ticket => json!([{ "session": [] }, { "ticket": [] }]),
    }
}

/// A rate as `burst` at once and so many a second, for `by`.
fn rate(limit: Limit) -> Value {
    let (by, rate) = limit.rate();
    json!({ "by": by, "burst": rate.burst, "one_more_after_seconds": rate.interval.as_secs_f64() })
}

fn parameter(parameter: &Parameter, schemas: &mut Schemas) -> Value {
    let mut schema = schemas.of(parameter.schema, By::Client);
    // A query has texts only: what may be absent is absent.
    if parameter.place == "query" {
        super::schemas::never_null(&mut schema);
    }
    let example = match schema.get("type").and_then(Value::as_str) {
        Some("integer") => parameter.example.parse::<u64>().map_or(Value::Null, Value::from),
        _ => Value::from(parameter.example),
    };
    json!({
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.description,
        "schema": schema,
        "example": example,
    })
}

fn shape(shape: &Shape, by: By, schemas: &mut Schemas) -> Value {
    let example: Value = serde_json::from_str(shape.example.text).unwrap_or_default();
    json!({ "schema": schemas.of(shape.schema, by), "example": example })
}

fn answers(route: &Route, operation: &Operation, schemas: &mut Schemas, problem: &Value) -> Value {
    let mut answers = Map::new();
    let (status, answer) = match &operation.answer {
        Answer::Json(status, body) => {
            let content = json!({ "application/json": shape(body, By::Server, schemas) });
            (*status, json!({ "description": "It is done.", "content": content }))
        }
        Answer::Nothing => (204, json!({ "description": "It is done. There is no body." })),
        Answer::Socket => {
            let description = "From here on the connection is a socket: `/v1/asyncapi.json`.";
            (101, json!({ "description": description }))
        }
        Answer::Document(media_type) => {
            let schema = if media_type.ends_with("json") {
                json!({ "type": "object" })
            } else {
                json!({ "type": "string" })
            };
            let mut etag = Map::new();
            etag.insert("ETag".into(), json!({ "required": true, "schema": { "type": "string" } }));
            answers.insert(
                "304".into(),
                json!({
                    "description": "It is the one that `If-None-Match` names.", "headers": etag,
                }),
            );
            let mut content = Map::new();
            content.insert((*media_type).into(), json!({ "schema": schema }));
            (200, json!({ "description": "The document.", "headers": etag, "content": content }))
        }
    };
    answers.insert(status.to_string(), answer);
    for (status, codes) in errors(route, operation) {
        answers.insert(status.to_string(), refusal(status, &codes, problem));
    }
    Value::Object(answers)
}

/// The codes that a call can be refused with, by HTTP status.
fn errors(route: &Route, operation: &Operation) -> BTreeMap<u16, Vec<Code>> {
    let mut codes = operation.errors.clone();
    if route.access != Access::Anyone {
        codes.extend([Code::Unauthorized, Code::RateLimited, Code::Internal, Code::Unavailable]);
    }
    if operation.body.is_some() {
        codes.extend([
            Code::BadJson,
            Code::BadRequest,
            Code::Timeout,
            Code::TooLarge,
            Code::UnsupportedMediaType,
            Code::Internal,
            Code::Unavailable,
        ]);
    }
    if !operation.parameters.is_empty() {
        codes.push(Code::BadRequest);
    }
    if !operation.limits.is_empty() {
        codes.push(Code::RateLimited);
    }
    if operation.limits.contains(&Limit::Lookup) {
        codes.extend([Code::UnknownUser, Code::RegionUnreachable]);
    }
    codes.sort_unstable();
    codes.dedup();
    let mut by_status = BTreeMap::<u16, Vec<Code>>::new();
    for code in codes {
        by_status.entry(code.status()).or_default().push(code);
    }
    by_status
}

fn refusal(status: u16, codes: &[Code], problem: &Value) -> Value {
    let names: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let lines = codes.iter().map(|code| format!("* `{}`: {}.", code.as_str(), code.title()));
    let example = |code: &Code| {
        let kind = format!("urn:posthouse:problem:{}", code.as_str());
        let mut value = json!({
            "type": kind, "title": code.title(), "status": status, "code": code.as_str(),
            "detail": "What is wrong in this case, for developers.",
        });
        if status == 429 {
            put(&mut value, "retry_after", json!(30));
        }
        (code.as_str().to_owned(), json!({ "summary": code.title(), "value": value }))
    };
    let examples: Map<String, Value> = codes.iter().map(example).collect();
    let only =
        json!({ "properties": { "code": { "enum": names }, "status": { "const": status } } });
    let mut answer = json!({
        "description": lines.collect::<Vec<_>>().join("\n"),
        "content": { "application/problem+json": {
            "schema": { "allOf": [problem, only] },
            "examples": examples,
        } },
    });
    let header = match status {
        401 => Some(("WWW-Authenticate", json!({ "type": "string" }))),
        429 => Some(("Retry-After", json!({ "type": "integer", "minimum": 1 }))),
        _ => None,
    };
    if let Some((name, schema)) = header {
        let mut headers = json!({});
        put(&mut headers, name, json!({ "required": true, "schema": schema }));
        put(&mut answer, "headers", headers);
    }
    answer
}
