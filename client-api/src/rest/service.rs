//! `/v1/capabilities`, `/healthz`, `/readyz`: about the server itself.

use std::borrow::Cow;

use axum::extract::State;
use hyper::StatusCode;
use posthouse_protocol::{
    problem::{Code, Rejection},
    rest::{Capabilities, Limits},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::response::{Outcome, json};
use crate::{Edge, config::READY_TIMEOUT, ws::SUBPROTOCOL};

/// What `/healthz` and `/readyz` say when all is well.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Well {
    /// `ok` or `ready`.
    status: Cow<'static, str>,
}

/// `GET /v1/capabilities`
pub(super) async fn capabilities(State(edge): State<Edge>) -> Outcome {
    let config = edge.config();
    let capabilities = Capabilities {
        server_name: config.server_name.to_string(),
        software: config.software.clone(),
        versions: vec!["v1".into()],
        subprotocols: vec![SUBPROTOCOL.into()],
        registration: config.registration.as_str().into(),
        allow_unencrypted: config.allow_unencrypted,
        limits: Limits::current(),
    };
    Ok(json(StatusCode::OK, &capabilities))
}

/// `GET /healthz`: the process is alive.
pub(super) async fn alive() -> Outcome {
    Ok(json(StatusCode::OK, &Well { status: "ok".into() }))
}

/// `GET /readyz`: the server takes requests and can serve them.
pub(super) async fn ready(State(edge): State<Edge>) -> Outcome {
    if edge.draining().is_cancelled() {
        return Err(Rejection::new(Code::Unavailable, "the server is stopping").into());
    }
    match timeout(READY_TIMEOUT, edge.ports().health.ready()).await {
        Ok(Ok(())) => Ok(json(StatusCode::OK, &Well { status: "ready".into() })),
        Ok(Err(rejection)) => Err(rejection.into()),
        Err(_) => Err(Rejection::new(Code::Unavailable, "the store does not answer").into()),
    }
}
