//! `posthouse doctor DOMAIN`: why is another region not reached? The running server examines it, with
//! what it knows; without one this process does, with the same settings.

use core::fmt::Write;
use std::{net::SocketAddr, sync::Arc, time::Duration};

use hyper::StatusCode;
use posthouse_federation::doctor::{Outcome, Report};
use posthouse_protocol::id::ServerName;
use tokio::runtime::Runtime;

use crate::{
    config::Config,
    console::Console,
    failure::{Exit, Failure},
    health, keys,
    serve::federation,
};

/// How long an examination may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Examines `peer`, and says what was found, for people or as JSON.
///
/// # Errors
/// The region does not federate, its keys or settings are not as they should be, or the peer is not
/// reachable: then the report has been shown.
pub fn run(
    config: &Config,
    peer: &ServerName,
    json: bool,
    console: Console,
) -> Result<(), Failure> {
    if config.federation.listen.is_none() {
        return Err(Failure::new(
            Exit::Config,
            "This region keeps to itself: federation.listen is \"off\".",
            "Set federation.listen to an address, such as \"0.0.0.0:7443\".",
        ));
    }
    let runtime = Runtime::new().map_err(|err| {
        let advice = "Check the limits of the process (ulimit -u).";
        Failure::new(Exit::Other, format!("Threads cannot be started: {err}."), advice)
    })?;
    let report = runtime.block_on(examine(config, peer))?;
    if json {
        console.line(serde_json::to_string(&report).unwrap_or_default());
    } else {
        console.text(in_words(&report));
    }
    if report.reachable {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Network,
        format!("{peer} cannot be reached."),
        "What to do stands beside the stage that failed.",
    ))
}

async fn examine(config: &Config, peer: &ServerName) -> Result<Report, Failure> {
    if let Some(operator) = config.operator
        && let Some(report) = ask_server(operator, peer).await
    {
        return Ok(report);
    }
    let signing = keys::load_signing_key(&config.signing_key)?;
    let doctor = federation::standalone_doctor(config, &signing)?;
    Ok(doctor.examine(peer).await)
}

/// The report of the running server; `None` if none runs, or it is another version.
async fn ask_server(operator: SocketAddr, peer: &ServerName) -> Option<Report> {
    let (status, body) = health::get(operator, &format!("/doctor/{peer}"), PATIENCE).await?;
    (status == StatusCode::OK).then(|| serde_json::from_slice(&body).ok()).flatten()
}

/// The report for people.
fn in_words(report: &Report) -> String {
    let mut out = String::new();
    // Writing into memory does not fail.
    _ = writeln!(out, "Examining {}", report.peer);
    for stage in &report.stages {
        let mark = match stage.outcome {
            Outcome::Ok => "ok",
            Outcome::Warning => "look",
            Outcome::Failed => "FAILED",
        };
        let name = format!("{:?}", stage.name).to_lowercase();
        _ = writeln!(out, "  {mark:<6} {name:<9} {:>6} ms", stage.elapsed_ms);
        for fact in &stage.facts {
            _ = writeln!(out, "           {}: {}", fact.name.replace('_', " "), fact.value);
        }
        if !stage.advice.is_empty() {
            _ = writeln!(out, "           → {}", stage.advice);
        }
    }
    if !report.not_reached.is_empty() {
        let names: Vec<String> =
            report.not_reached.iter().map(|name| format!("{name:?}").to_lowercase()).collect();
        _ = writeln!(out, "  not reached: {}", names.join(", "));
    }
    out
}

/// What this process knows of peers' keys: nothing, since the server's database is its own.
pub(crate) fn known_nobody() -> Arc<dyn posthouse_federation::ports::KnownKeys> {
    Arc::new(Nobody)
}

struct Nobody;

#[async_trait::async_trait]
impl posthouse_federation::ports::KnownKeys for Nobody {
    async fn head(
        &self,
        _peer: &ServerName,
    ) -> Result<
        Option<posthouse_protocol::federation::key_log::TrustedHead>,
        posthouse_storage::error::StoreError,
    > {
        Ok(None)
    }
}
