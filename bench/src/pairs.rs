//! `pairs`: N senders and N receivers, all connected.
//!
//! A message counts as delivered once it has arrived at the receiver and the sender was told so.

mod receiver;
mod sender;

use core::fmt;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    args::PairsArgs,
    clock,
    failure::Failure,
    frame::Messages,
    latency::{Latency, Percentiles},
    metrics::Counters,
    process::{self, Cpu},
    report::{Console, Figures as Any, Soundness, line},
    target::Target,
    users::{self, User},
};

pub(crate) use receiver::Receiver;
pub(crate) use sender::{Done, Pace, Sender};

/// How long what is in flight at the end may take to arrive.
const DRAIN_SECONDS: u64 = 30;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Messages flow, nothing is noted.
    Warmup,
    /// Messages flow and are noted.
    Measuring,
    /// Nothing new is sent.
    Draining,
    /// Receivers go home.
    Over,
}

/// What senders and receivers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) phase: watch::Receiver<Phase>,
    /// Messages of all senders that are done with.
    pub(crate) done: AtomicU64,
    /// Messages that have arrived at all receivers.
    pub(crate) arrived: AtomicU64,
    /// When a server that had been away was ready again, in nanoseconds; 0 before.
    pub(crate) returned_at: AtomicU64,
    /// When the last message arrived that was sent before that; 0 if none did.
    pub(crate) caught_up_at: AtomicU64,
}

impl Shared {
    pub(crate) fn new(phase: watch::Receiver<Phase>) -> Arc<Self> {
        Arc::new(Self {
            phase,
            done: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            returned_at: AtomicU64::new(0),
            caught_up_at: AtomicU64::new(0),
        })
    }
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pairs: u16,
    window: u16,
    /// Messages a second that were asked for; none for as many as possible.
    rate: Option<u32>,
    body_bytes: u32,
    acks: &'static str,
    seconds: f64,
    delivered: u64,
    delivered_per_second: f64,
    /// From sending to arriving.
    one_way_ms: Option<Percentiles>,
    /// From sending to being told `sent`.
    accepted_ms: Option<Percentiles>,
    /// From sending to being told `delivered`.
    round_trip_ms: Option<Percentiles>,
    #[serde(flatten)]
    cost: Cost,
    rss_fresh_kib: Option<u64>,
    rss_loaded_kib: Option<u64>,
    pub(crate) sound: Soundness,
}

/// What the messages cost, each.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    server_user_us: Option<f64>,
    server_system_us: Option<f64>,
    /// Both together, of all processes of the server.
    server_cpu_us: Option<f64>,
    /// The load generator's own.
    generator_cpu_us: f64,
    /// Messages in a commit.
    messages_per_commit: Option<f64>,
    /// Frames to clients in one write.
    frames_per_write: Option<f64>,
    /// SQL statements a message.
    statements: Option<f64>,
}

/// The server at one moment.
pub(crate) struct Snapshot {
    nanos: u64,
    messages: u64,
    server: Option<Cpu>,
    generator: Cpu,
    counters: Counters,
}

impl Snapshot {
    pub(crate) async fn take(target: &Target, messages: u64) -> Result<Self, Failure> {
        let nanos = clock::nanos();
        let server = match target.pids.as_slice() {
            [] => None,
            pids => Some(process::cpu(pids)?),
        };
        let generator = process::cpu(&[std::process::id()])?;
        // Last, since it takes a while.
        let counters = Counters::read(target.operator).await;
        Ok(Self { nanos, messages, server, generator, counters })
    }

    /// Seconds and messages since `earlier`.
    #[expect(clippy::cast_precision_loss, reason = "hours of nanoseconds fit well enough")]
    pub(crate) fn since(&self, earlier: &Self) -> (f64, u64) {
        let nanos = self.nanos.saturating_sub(earlier.nanos);
        (nanos as f64 / 1e9, self.messages.saturating_sub(earlier.messages))
    }

    /// What each of the messages since `earlier` has cost.
    #[expect(clippy::cast_precision_loss, reason = "hours of microseconds fit well enough")]
    pub(crate) fn cost(&self, earlier: &Self) -> Cost {
        let messages = self.messages.saturating_sub(earlier.messages).max(1) as f64;
        let each = |micros: u64| micros as f64 / messages;
        let server = self.server.zip(earlier.server).map(|(now, then)| now.since(then));
        let ratio = |over, under| self.counters.ratio(&earlier.counters, over, under);
        Cost {
            server_user_us: server.map(|cpu| each(cpu.user)),
            server_system_us: server.map(|cpu| each(cpu.system)),
            server_cpu_us: server.map(|cpu| each(cpu.total())),
            generator_cpu_us: each(self.generator.since(earlier.generator).total()),
            messages_per_commit: ratio(
                "posthouse_messages_accepted_total",
                "posthouse_message_commits_total",
            ),
            frames_per_write: ratio(
                "posthouse_client_frames_sent_total",
                "posthouse_client_socket_writes_total",
            ),
            statements: ratio(
                "posthouse_store_statements_total",
                "posthouse_messages_accepted_total",
            ),
        }
    }
}

/// Runs the scenario.
pub(crate) async fn run(target: &Target, args: &PairsArgs) -> Result<Any, Failure> {
    let run = rand::random_range(0..u64::MAX);
    let users = users::register(target, run, u32::from(args.pairs) * 2).await?;
    let (phase, watching) = watch::channel(Phase::Warmup);
    let shared = Shared::new(watching);
    let mut receivers = JoinSet::new();
    let mut senders = JoinSet::new();
    for (pair, (sender, receiver)) in (0..args.pairs).zip(couples(&users)) {
        let connection = receiver.connect().await?;
        receivers.spawn(Receiver::new(connection, Arc::clone(&shared), args.ack_each).run(None));
        let messages = Messages::new(run, pair, receiver.address.clone(), args.body as usize);
        let pace = Pace::new(args.rate, args.pairs, pair, args.window);
        let sender = Sender::new(sender.connect().await?, messages, Arc::clone(&shared));
        senders.spawn(sender.run(pace, Done::Delivered, None));
    }
    let done = || shared.done.load(Ordering::Relaxed);
    wait(args.warmup, || Console::progress(format_args!("warming up: {} delivered", done()))).await;
    let before = Snapshot::take(target, done()).await?;
    // The receivers of the phase are alive as long as there are tasks.
    let _ = phase.send(Phase::Measuring);
    wait(args.seconds, || Console::progress(format_args!("measuring: {} delivered", done()))).await;
    let after = Snapshot::take(target, done()).await?;
    let _ = phase.send(Phase::Draining);
    let loaded = match target.pids.as_slice() {
        [] => None,
        pids => Some(process::resident_kib(pids)?),
    };
    let sent = join(&mut senders, "what was in flight did not arrive").await?;
    let _ = phase.send(Phase::Over);
    let received = join(&mut receivers, "the receivers did not end").await?;

    let (seconds, delivered) = after.since(&before);
    if delivered == 0 {
        return Err(Failure::Nothing);
    }
    let (mut round_trip, mut accepted) = (Latency::new(), Latency::new());
    let mut one_way = Latency::new();
    let mut sound = Soundness::default();
    for (sender, receiver) in sent.iter().zip(&received) {
        round_trip.add(&sender.done);
        accepted.add(&sender.accepted);
        one_way.add(&receiver.one_way);
        sound.doubled += receiver.sound.doubled;
        sound.out_of_order += receiver.sound.out_of_order;
    }
    sound.lost = done().saturating_sub(shared.arrived.load(Ordering::Relaxed));
    #[expect(clippy::cast_precision_loss, reason = "so many messages fit")]
    let per_second = delivered as f64 / seconds;
    Ok(Any::Pairs(Box::new(Figures {
        pairs: args.pairs,
        window: args.window,
        rate: args.rate,
        body_bytes: args.body,
        acks: if args.ack_each { "each" } else { "together" },
        seconds,
        delivered,
        delivered_per_second: per_second,
        one_way_ms: one_way.percentiles(),
        accepted_ms: accepted.percentiles(),
        round_trip_ms: round_trip.percentiles(),
        cost: after.cost(&before),
        rss_fresh_kib: target.fresh_kib,
        rss_loaded_kib: loaded,
        sound,
    })))
}

/// Senders and their receivers.
pub(crate) fn couples(users: &[User]) -> impl Iterator<Item = (&User, &User)> {
    users.chunks_exact(2).filter_map(|couple| match couple {
        [sender, receiver] => Some((sender, receiver)),
        _ => None,
    })
}

/// Waits for tasks that end by themselves.
pub(crate) async fn join<T: 'static>(
    tasks: &mut JoinSet<Result<T, Failure>>,
    late: &str,
) -> Result<Vec<T>, Failure> {
    let all = async {
        let mut results = Vec::new();
        while let Some(result) = tasks.join_next().await {
            results.push(result??);
        }
        Ok(results)
    };
    let deadline = Duration::from_secs(DRAIN_SECONDS);
    let late = Failure::TooSlow { what: late.into(), seconds: DRAIN_SECONDS };
    tokio::time::timeout(deadline, all).await.map_err(|_| late)?
}

async fn wait(seconds: u64, tell: impl Fn()) {
    for _ in 0..seconds * 2 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        tell();
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load = match self.rate {
            Some(rate) => format!("{rate} messages/s"),
            None => format!("{} in flight a pair", self.window),
        };
        let Self { pairs, body_bytes, acks, .. } = self;
        let load = format!("{pairs} pairs, {load}, {body_bytes} bytes, acknowledged {acks}");
        line(f, "load", Some(load))?;
        let total = format!("{} in {:.1} s", self.delivered, self.seconds);
        line(f, "delivered", Some(total))?;
        line(f, "delivered/s", Some(format!("{:.0}", self.delivered_per_second)))?;
        line(f, "one way", self.one_way_ms)?;
        line(f, "told sent", self.accepted_ms)?;
        line(f, "round trip", self.round_trip_ms)?;
        self.cost.fmt(f)?;
        line(f, "server memory, fresh", self.rss_fresh_kib.map(mebibytes))?;
        line(f, "server memory, loaded", self.rss_loaded_kib.map(mebibytes))?;
        line(f, "messages", Some(self.sound))
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(all), Some(user), Some(system)) =
            (self.server_cpu_us, self.server_user_us, self.server_system_us)
        {
            let text = format!("{all:.1} us (user {user:.1}, system {system:.1})");
            line(f, "server CPU a message", Some(text))?;
        }
        let own = format!("{:.1} us", self.generator_cpu_us);
        line(f, "load generator's CPU", Some(own))?;
        let digits = |value: f64| format!("{value:.1}");
        line(f, "messages a commit", self.messages_per_commit.map(digits))?;
        line(f, "frames a write", self.frames_per_write.map(digits))?;
        line(f, "statements a message", self.statements.map(|value| format!("{value:.3}")))
    }
}

/// KiB as text in MiB.
#[expect(clippy::cast_precision_loss, reason = "memory sizes fit")]
pub(crate) fn mebibytes(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}
