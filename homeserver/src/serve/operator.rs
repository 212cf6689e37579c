//! The operator's listener in plain HTTP: `/healthz`, `/readyz`, `/metrics`, in a region that
//! federates `/federation` and `/doctor/DOMAIN`, and `/orders` for the command line.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, ORIGIN},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use posthouse_client_api::{config::READY_TIMEOUT, ports::Health};
use posthouse_protocol::{
    id::ServerName,
    problem::{Code, Problem, Rejection},
    time::Clock as _,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    metrics::{self, Facts},
    streams,
};
use crate::{
    clock::SystemClock,
    operator::{order::Order, seal},
};

/// Most connections at a time; further ones wait.
const MAX_CONNECTIONS: usize = 64;
/// How long the head of a request may take, and the wait for the next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last in all.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(10);

/// Largest order, in bytes.
const MAX_ORDER: usize = 16 * 1024;
/// How long an order may take to arrive.
const ORDER_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until `stop`.
pub(super) async fn serve(listener: TcpListener, facts: Arc<Facts>, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (facts, stop) = (Arc::clone(&facts), stop.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        _ = timeout(CONNECTION_TIMEOUT, connection(stream, facts)) => {}
                    }
                    drop(place);
                });
            }
            Err(err) => {
                tracing::warn!(error = %err, "the operator's listener cannot accept");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn connection(stream: TcpStream, facts: Arc<Facts>) {
    let service = service_fn(|request| {
        let facts = Arc::clone(&facts);
        async move { Ok::<_, Infallible>(answer(request, &facts).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(err) = served {
        tracing::debug!(error = %err, "a connection of the operator's listener ended early");
    }
}

async fn answer(request: Request<Incoming>, facts: &Facts) -> Response<Full<Bytes>> {
    if request.method() == Method::POST && request.uri().path() == "/orders" {
        return match order(request, facts).await {
            Ok(response) => response,
            Err(rejection) => refusal(rejection),
        };
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n");
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "alive\n"),
        "/readyz" => ready(facts).await,
        "/metrics" => {
            let mut response = text(StatusCode::OK, metrics::exposition(facts));
            let form = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, form);
            response
        }
        "/federation" => federation(facts).await,
        path => match path.strip_prefix("/doctor/") {
            Some(domain) => examine(facts, domain).await,
            None => text(
                StatusCode::NOT_FOUND,
                "/healthz, /readyz, /metrics, /federation and /doctor/DOMAIN are served here\n",
            ),
        },
    }
}

/// Carries out what the command line orders.
async fn order(
    request: Request<Incoming>,
    facts: &Facts,
) -> Result<Response<Full<Bytes>>, Rejection> {
    let (head, body) = request.into_parts();
    let sealed = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let unsealed = || Rejection::new(Code::Unauthorized, "the order is not the operator's");
    // A page in a browser always names its origin with a POST.
    let sealed = sealed.filter(|_| !head.headers.contains_key(ORIGIN)).ok_or_else(unsealed)?;
    let reading = timeout(ORDER_TIMEOUT, Limited::new(body, MAX_ORDER).collect());
    let body = match reading.await {
        Ok(Ok(body)) => body.to_bytes(),
        _ => return Err(Rejection::new(Code::TooLarge, "the order is too large, or did not come")),
    };
    let (key, domain) = (&facts.operator_key, &facts.domain);
    if !seal::is_operators(key, domain, SystemClock.now(), sealed, &body) {
        return Err(unsealed());
    }
    let order: Order = serde_json::from_slice(&body)
        .map_err(|err| Rejection::new(Code::BadJson, err.to_string()))?;
    tracing::info!(?order, "an order of the operator");
    let answer = facts.operator.carry_out(order).await?;
    Ok(json(StatusCode::OK, "application/json", &answer))
}

fn refusal(rejection: Rejection) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(rejection.code.status());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, "application/problem+json", &Problem::from(rejection))
}

fn json(
    status: StatusCode,
    form: &'static str,
    body: &impl serde::Serialize,
) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form));
    response
}

async fn federation(facts: &Facts) -> Response<Full<Bytes>> {
    let Some(abroad) = &facts.abroad else { return alone() };
    match streams::json(&facts.store, abroad).await {
        Ok(json) => as_json(json),
        Err(fact) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{fact}\n")),
    }
}

async fn examine(facts: &Facts, domain: &str) -> Response<Full<Bytes>> {
    let Some(abroad) = &facts.abroad else { return alone() };
    let Ok(peer) = ServerName::parse(domain) else {
        return text(StatusCode::BAD_REQUEST, "that is no name of a region\n");
    };
    let report = abroad.doctor().examine(&peer).await;
    as_json(serde_json::to_string(&report).unwrap_or_default())
}

fn alone() -> Response<Full<Bytes>> {
    text(StatusCode::NOT_FOUND, "this region does not federate: federation.listen is off\n")
}

fn as_json(json: String) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, json);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn ready(facts: &Facts) -> Response<Full<Bytes>> {
    if facts.draining.is_cancelled() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match timeout(READY_TIMEOUT, facts.readiness.ready()).await {
        Ok(Ok(())) => text(StatusCode::OK, "ready\n"),
        Ok(Err(why)) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", why.detail)),
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let form = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, form);
    response
}
