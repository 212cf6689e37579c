//! `offline`: messages to receivers that are away, who then come back and drain them.

use core::fmt;
use std::sync::{Arc, atomic::Ordering};

use serde::Serialize;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    args::OfflineArgs,
    failure::Failure,
    frame::Messages,
    latency::{Latency, Percentiles},
    pairs::{Cost, Done, Pace, Phase, Receiver, Sender, Shared, Snapshot, couples},
    report::{Console, Figures as Any, Soundness, line},
    target::Target,
    users::{self, User},
};

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pairs: u16,
    /// Whether their whole region was away.
    peer_away: bool,
    messages: u64,
    body_bytes: u32,
    stored_per_second: f64,
    /// From sending to being told `sent`.
    accepted_ms: Option<Percentiles>,
    stored: Cost,
    drained_per_second: f64,
    drained: Cost,
    pub(crate) sound: Soundness,
}

/// Runs the scenario.
pub(crate) async fn run(target: &mut Target, args: &OfflineArgs) -> Result<Any, Failure> {
    let run = rand::random_range(0..u64::MAX);
    // The last two only introduce their regions to each other.
    let mut users = users::register(target, run, u32::from(args.pairs) * 2 + 2).await?;
    let strangers = users.split_off(users.len().saturating_sub(2));
    if args.peer_away {
        introduce(&strangers, run, args).await?;
    }
    let each = u64::from(args.messages / u32::from(args.pairs)).max(1);
    let messages = each * u64::from(args.pairs);
    // Everything is measured here: there is no warming up.
    let (_phase, watching) = watch::channel(Phase::Measuring);
    let shared = Shared::new(watching);

    let mut senders = JoinSet::new();
    for (pair, (sender, receiver)) in (0..args.pairs).zip(couples(&users)) {
        let texts = Messages::new(run, pair, receiver.address.clone(), args.body as usize);
        let sender = Sender::new(sender.connect().await?, texts, Arc::clone(&shared));
        senders.spawn(sender.run(Pace::Window(args.window.into()), Done::Sent, Some(each)));
    }
    if args.peer_away {
        target.kill_other().await?;
    }
    let start = Snapshot::take(target, 0).await?;
    let told = all(&mut senders, || {
        let done = shared.done.load(Ordering::Relaxed);
        Console::progress(format_args!("{done} of {messages} stored"));
    })
    .await?;
    let stored = Snapshot::take(target, messages).await?;

    if args.peer_away {
        Console::progress(format_args!("{messages} stored; the other region starts"));
        target.start_other().await?;
    }
    let begin = Snapshot::take(target, 0).await?;
    let mut receivers = JoinSet::new();
    for (_, receiver) in couples(&users) {
        let receiver = Receiver::new(receiver.connect().await?, Arc::clone(&shared), false);
        receivers.spawn(receiver.run(Some(each)));
    }
    let received = all(&mut receivers, || {
        let arrived = shared.arrived.load(Ordering::Relaxed);
        Console::progress(format_args!("{arrived} of {messages} drained"));
    })
    .await?;
    let arrived = shared.arrived.load(Ordering::Relaxed);
    let drained = Snapshot::take(target, arrived).await?;

    let mut accepted = Latency::new();
    for one in &told {
        accepted.add(&one.accepted);
    }
    let mut sound = Soundness { lost: messages.saturating_sub(arrived), ..Soundness::default() };
    for one in &received {
        sound.doubled += one.sound.doubled;
        sound.out_of_order += one.sound.out_of_order;
    }
    Ok(Any::Offline(Box::new(Figures {
        pairs: args.pairs,
        peer_away: args.peer_away,
        messages,
        body_bytes: args.body,
        stored_per_second: per_second(stored.since(&start)),
        accepted_ms: accepted.percentiles(),
        stored: stored.cost(&start),
        drained_per_second: per_second(drained.since(&begin)),
        drained: drained.cost(&begin),
        sound,
    })))
}

/// One message from region to region: a peer that returns was there before.
async fn introduce(users: &[User], run: u64, args: &OfflineArgs) -> Result<(), Failure> {
    let (_phase, watching) = watch::channel(Phase::Measuring);
    let shared = Shared::new(watching);
    for (sender, receiver) in couples(users) {
        let texts = Messages::new(run, args.pairs, receiver.address.clone(), args.body as usize);
        let receiver = Receiver::new(receiver.connect().await?, Arc::clone(&shared), false);
        let mut receiving = JoinSet::new();
        receiving.spawn(receiver.run(Some(1)));
        let sender = Sender::new(sender.connect().await?, texts, Arc::clone(&shared));
        sender.run(Pace::Window(1), Done::Delivered, Some(1)).await?;
        all(&mut receiving, || Console::progress(format_args!("the regions meet"))).await?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "so many messages fit")]
fn per_second((seconds, messages): (f64, u64)) -> f64 {
    messages as f64 / seconds.max(f64::MIN_POSITIVE)
}

/// Waits for tasks, as long as they get on.
pub(crate) async fn all<T: 'static>(
    tasks: &mut JoinSet<Result<T, Failure>>,
    tell: impl Fn(),
) -> Result<Vec<T>, Failure> {
    const SECONDS: u64 = 600;
    let mut results = Vec::new();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(SECONDS);
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(500));
    while !tasks.is_empty() {
        tokio::select! {
            Some(result) = tasks.join_next() => results.push(result??),
            _ = tick.tick() => tell(),
            () = tokio::time::sleep_until(deadline) => {
                let what = "not everything was stored or drained".into();
                return Err(Failure::TooSlow { what, seconds: SECONDS });
            }
        }
    }
    Ok(results)
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pairs, messages, body_bytes, .. } = self;
        let who = if self.peer_away { "receivers of an absent region" } else { "absent receivers" };
        let load = format!("{messages} messages of {body_bytes} bytes to {pairs} {who}");
        line(f, "load", Some(load))?;
        line(f, "stored/s", Some(format!("{:.0}", self.stored_per_second)))?;
        line(f, "told sent", self.accepted_ms)?;
        self.stored.fmt(f)?;
        line(f, "drained/s", Some(format!("{:.0}", self.drained_per_second)))?;
        self.drained.fmt(f)?;
        line(f, "messages", Some(self.sound))
    }
}
