//! `posthouse-conformance`: does a server do what the specification says?
//!
//! Exit code 0: every check passed or was skipped. 1: at least one failed. 2: nothing could be
//! checked.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Parser, Subcommand};
use posthouse_conformance::{
    client_api,
    federation::{
        checks,
        run::{self, Plan},
        stage::Pace,
    },
    http::Endpoint,
    report,
    server::Server,
};

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
    /// The federation, with honest and hostile peers that the suite plays itself.
    ///
    /// The subject must believe the authority, know the peers' six names (see --domain) at the
    /// address of --listen, and federate with them. Run it against a new database: a server keeps
    /// the keys that it has seen.
    Federation(Between),
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

#[derive(clap::Args)]
struct Between {
    /// The domain of the server under test.
    #[arg(long)]
    subject: String,
    /// Its federation listener, for example 127.0.0.1:7443.
    #[arg(long)]
    federation: SocketAddr,
    /// Its client listener, for example http://127.0.0.1:8080.
    #[arg(long)]
    client: String,
    /// The certificate of the test federation's authority (PEM).
    #[arg(long)]
    ca: PathBuf,
    /// Its private key (PEM).
    #[arg(long)]
    ca_key: PathBuf,
    /// Where the peers listen.
    #[arg(long, default_value = "127.0.0.1:7444")]
    listen: SocketAddr,
    /// The peers are honest, witness, hostile, forger, keys and expired below this domain.
    #[arg(long, default_value = "peer.test")]
    domain: String,
    /// An invitation, where the region asks for one.
    #[arg(long)]
    invite: Option<String>,
    /// Connections of the flood.
    #[arg(long, default_value_t = 2000)]
    connections: usize,
    /// Ephemerals of the flood.
    #[arg(long, default_value_t = 17_000)]
    ephemerals: usize,
    /// Only checks whose group, section or statement contains this.
    #[arg(long)]
    only: Option<String>,
    /// Print JSON instead of lines.
    #[arg(long)]
    json: bool,
    /// Draw the same names and ids again.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => return give_up(&err.to_string()),
    };
    let ended = runtime.block_on(async {
        match command {
            Command::ClientApi(target) => client(target).await,
            Command::Federation(between) => federation(between).await,
        }
    });
    match ended {
        Ok(code) => code,
        Err(reason) => give_up(&reason),
    }
}

async fn client(target: Target) -> Result<ExitCode, String> {
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

async fn federation(between: Between) -> Result<ExitCode, String> {
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).map_err(|err| format!("{}: {err}", path.display()))
    };
    let seed = match between.seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|err| err.to_string())?,
    };
    // The flood needs a file descriptor for each connection. If there are not as many, the check
    // itself says what could not be opened.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let plan = Plan {
        subject: between.subject,
        federation: between.federation,
        listen: between.listen,
        domain: between.domain,
        authority: (read(&between.ca)?, read(&between.ca_key)?),
        seed,
        clock: now,
        pace: Pace {
            patience: Duration::from_secs(15),
            minute: Duration::from_secs(65),
            slow: Duration::from_mins(1),
            harm: Duration::from_secs(2),
            connections: between.connections,
            ephemerals: between.ephemerals,
        },
    };
    let endpoint = Endpoint::parse(&between.client)?;
    let discovered = Server::discover(endpoint, between.invite, seed).await;
    let server = discovered.map_err(|failure| failure.to_string())?;
    let (stage, serving) = run::prepare(plan, server).await?;
    let mut outcomes = Vec::new();
    let mut group = "";
    let mut told = |outcome: &posthouse_conformance::check::Outcome| {
        if between.json {
            return;
        }
        let title = if outcome.group == group { "" } else { outcome.group };
        group = outcome.group;
        // If nobody reads, the exit code still tells.
        let _ = std::io::stdout().write_all(report::lines(title, outcome).as_bytes());
    };
    for group in checks::groups() {
        group.run(&stage, between.only.as_deref(), &mut told, &mut outcomes).await;
    }
    serving.abort();
    if outcomes.is_empty() {
        return Err("no check has such a group, section or statement".into());
    }
    let report::Totals { passed, failed, skipped } = report::totals(&outcomes);
    let text = if between.json {
        format!("{:#}\n", report::json(&stage.subject.server, &outcomes))
    } else {
        format!("\n{passed} passed, {failed} failed, {skipped} skipped, seed {seed}\n")
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(|err| err.to_string())?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

#[expect(clippy::disallowed_methods, reason = "this is the program's only clock")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn give_up(reason: &str) -> ExitCode {
    // If standard error is gone too, the exit code still tells.
    let _ = writeln!(std::io::stderr(), "posthouse-conformance: {reason}");
    ExitCode::from(2)
}
