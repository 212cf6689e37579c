//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};

/// Loads a Posthouse homeserver and measures throughput, latency, CPU and memory.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Print the result as one JSON object instead of a table.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Threads of the load generator. It shares the machine with the server, so few.
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) workers: u16,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
}

/// Which server is loaded: one that runs, or one that is started for the run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TargetArgs {
    /// Start this `posthouse` binary in a directory of its own, and end it afterwards.
    #[arg(long, global = true)]
    pub(crate) spawn: Option<PathBuf>,
    /// With --spawn: clients connect through TLS.
    #[arg(long, global = true)]
    pub(crate) tls: bool,
    /// With --spawn: start two regions that find and trust each other, or three with --across=3.
    /// Users live in one after the other: of a pair the sender in one and the receiver in the next.
    /// CPU and memory are those of all servers.
    #[arg(
        long,
        global = true,
        value_name = "REGIONS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2",
        value_parser = clap::value_parser!(u8).range(2..=3)
    )]
    pub(crate) across: Option<u8>,
    /// With --spawn: the database's URL instead of a fresh SQLite file.
    #[arg(long, global = true)]
    pub(crate) database: Option<String>,
    /// With --spawn: where the data directory is made; its disk is the one that is measured.
    #[arg(long, global = true, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The client API of a server that runs: https://host:port, or http:// on this machine.
    #[arg(long, global = true)]
    pub(crate) url: Option<String>,
    /// The certificates to trust (PEM) for --url.
    #[arg(long, global = true)]
    pub(crate) ca: Option<PathBuf>,
    /// The process id of the server at --url, for CPU and memory.
    #[arg(long, global = true)]
    pub(crate) pid: Option<u32>,
    /// Further processes whose CPU counts: the database's.
    #[arg(long, global = true)]
    pub(crate) also_pid: Vec<u32>,
    /// The operator's listener of the server at --url (ip:port), for the size of commits.
    #[arg(long, global = true)]
    pub(crate) metrics: Option<SocketAddr>,
}

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    /// Senders and receivers in pairs, all connected: throughput, latency, CPU per message.
    Pairs(PairsArgs),
    /// Connections that do nothing: memory per connection.
    Idle(IdleArgs),
    /// Messages to receivers that are away, who then come back and drain them.
    Offline(OfflineArgs),
    /// Messages to one group whose members are all connected: the time until the last one has it.
    Fanout(FanoutArgs),
    /// With --across: the receivers' region is killed under load and comes back a while later.
    Killed(KilledArgs),
}

/// `pairs`.
#[derive(Debug, clap::Args)]
pub(crate) struct PairsArgs {
    /// Pairs of one sender and one receiver.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    pub(crate) pairs: u16,
    /// Messages in flight a pair, from sending to `delivered`; without --rate the next one is sent
    /// when one is delivered.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=250))]
    pub(crate) window: u16,
    /// Messages a second over all pairs; without it, as many as the window lets through.
    #[arg(long)]
    pub(crate) rate: Option<u32>,
    /// Bytes of a message's body.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(16..=65_536))]
    pub(crate) body: u32,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// Seconds before them that are not.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(crate) warmup: u64,
    /// Acknowledge each message by its id, instead of all that came together by their cursor.
    #[arg(long)]
    pub(crate) ack_each: bool,
}

/// `idle`.
#[derive(Debug, clap::Args)]
pub(crate) struct IdleArgs {
    /// Connections, each of an account of its own.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub(crate) connections: u32,
}

/// `offline`.
#[derive(Debug, clap::Args)]
pub(crate) struct OfflineArgs {
    /// Pairs of one sender and one absent receiver.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    pub(crate) pairs: u16,
    /// Messages over all pairs.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) messages: u32,
    /// Messages of a sender that wait for `sent`.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=250))]
    pub(crate) window: u16,
    /// Bytes of a message's body.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(16..=65_536))]
    pub(crate) body: u32,
    /// With --across: the receivers' whole region is away, and comes back to be drained into.
    #[arg(long)]
    pub(crate) peer_away: bool,
}

/// `fanout`.
#[derive(Debug, clap::Args)]
pub(crate) struct FanoutArgs {
    /// Members of the group, the sender included. With --across they are of one region after
    /// the other.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(3..=1_024))]
    pub(crate) members: u16,
    /// Messages, one after the other.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) messages: u32,
    /// Messages a second; the next one never leaves before the last one has arrived everywhere.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rate: u32,
    /// Bytes of a message's body.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(16..=65_536))]
    pub(crate) body: u32,
    /// Milliseconds after which a member acknowledges what it got. 0, at once, makes the server read
    /// acknowledgements while it still writes to the other members; over a network they come a round
    /// trip later.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    pub(crate) ack_after: u16,
}

/// `killed`.
#[derive(Debug, clap::Args)]
pub(crate) struct KilledArgs {
    /// Pairs of one sender and one receiver.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    pub(crate) pairs: u16,
    /// Messages over all pairs.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) messages: u32,
    /// Messages a second over all pairs.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: u32,
    /// Milliseconds of traffic before the kill.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub(crate) kill_after: u64,
    /// Milliseconds until the region is started again.
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub(crate) back_after: u64,
    /// Bytes of a message's body.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(16..=65_536))]
    pub(crate) body: u32,
}
