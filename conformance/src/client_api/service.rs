//! What a server says of itself.

use serde_json::Value;

use super::checks;
use crate::{
    check::Group,
    http::Call,
    identifiers::is_server_name,
    person::Person,
    server::Server,
    verdict::{Verdict, differs, must_be, text},
};

/// Limits of limits.md that capabilities must advertise, with their values.
const LIMITS: &[(&str, u64)] = &[
    ("max_body", 65_536),
    ("max_frame", 327_680),
    ("max_ciphertexts", 16),
    ("window", 256),
    ("max_submissions_in_flight", 256),
    ("max_ack_ids", 1_000),
    ("max_subscriptions", 1_024),
    ("max_sync_page", 1_000),
    ("max_devices", 8),
    ("retention_seconds", 2_592_000),
    ("access_token_seconds", 900),
];

pub(super) fn group() -> Group {
    let checks = checks! {
        "rest.md §6.1", "capabilities name the region, the versions and the subprotocols" => capabilities;
        "rest.md §6.1", "capabilities advertise the limits" => limits;
        "rest.md §6.2", "a server that runs says so" => health;
    };
    Group { name: "service", people: 0, checks }
}

async fn capabilities(server: &Server, _: &[Person]) -> Verdict {
    // Asked again: the answer must not change from one call to the next.
    let all = &Call::get("/v1/capabilities").send(&server.endpoint).await?.success()?;
    must_be("the second answer", all, &server.capabilities)?;
    if !is_server_name(&server.name) {
        return differs(format!("`server_name` is no server name: {:?}", server.name));
    }
    text(all, "software")?;
    let has = |name: &str, wanted: &str| {
        let list = all.get(name).and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|one| one == wanted))
    };
    if !has("versions", "v1") {
        return differs("`versions` lacks \"v1\"");
    }
    if !has("subprotocols", "posthouse.v1") {
        return differs("`subprotocols` lacks \"posthouse.v1\"");
    }
    match all.get("allow_unencrypted") {
        Some(Value::Bool(_)) => Ok(()),
        other => differs(format!("`allow_unencrypted` is {other:?}")),
    }
}

async fn limits(server: &Server, _: &[Person]) -> Verdict {
    let all = Call::get("/v1/capabilities").send(&server.endpoint).await?.success()?;
    for (name, expected) in LIMITS {
        let got = all.get("limits").and_then(|limits| limits.get(*name));
        must_be(name, &got.and_then(Value::as_u64), &Some(*expected))?;
    }
    Ok(())
}

async fn health(server: &Server, _: &[Person]) -> Verdict {
    for path in ["/healthz", "/readyz"] {
        Call::get(path).send(&server.endpoint).await?.success()?;
    }
    Ok(())
}
