//! `posthouse-conformance`: does a server do what the specification says?
//!
//! Exit code 0: every check passed or was skipped. 1: at least one failed. 2: nothing could be
//! checked.

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};
use posthouse_conformance::{client_api, http::Endpoint, report, server::Server};

/// Checks a server against the Posthouse specification, from outside.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The client API: accounts, the socket, messages, order, synchronisation, presence, errors.
    ClientApi(Target),
}

#[derive(clap::Args)]
struct Target {
    /// The client listener, for example http://127.0.0.1:8080.
    #[arg(long)]
    url: String,
    /// An invitation, where the region asks for one.
    #[arg(long)]
    invite: Option<String>,
    /// Only checks whose section or statement contains this.
    #[arg(long)]
    only: Option<String>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Repeat a run with the same names and ids (on a server that has not seen them).
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let Command::ClientApi(target) = Arguments::parse().command;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => return give_up(&err.to_string()),
    };
    match runtime.block_on(run(target)) {
        Ok(code) => code,
        Err(reason) => give_up(&reason),
    }
}

async fn run(target: Target) -> Result<ExitCode, String> {
    let seed = match target.seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|err| err.to_string())?,
    };
    let endpoint = Endpoint::parse(&target.url)?;
    let discovered = Server::discover(endpoint, target.invite, seed).await;
    let server = discovered.map_err(|failure| failure.to_string())?;
    let mut outcomes = Vec::new();
    for group in client_api::groups() {
        group.run(&server, target.only.as_deref(), &mut outcomes).await;
    }
    if outcomes.is_empty() {
        return Err("no check has such a section or statement".into());
    }
    let text = if target.json {
        format!("{:#}\n", report::json(&server.name, &outcomes))
    } else {
        format!("{}, seed {seed}\n{}", server.name, report::table(&outcomes))
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(|err| err.to_string())?;
    Ok(if report::totals(&outcomes).failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn give_up(reason: &str) -> ExitCode {
    // If standard error is gone too, the exit code still tells.
    let _ = writeln!(std::io::stderr(), "posthouse-conformance: {reason}");
    ExitCode::from(2)
}
