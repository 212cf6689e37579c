//! `killed`: the receivers' region is killed under load, and started again a while later. Its
//! users connect anew, as clients do.

use core::fmt;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use posthouse_client::Connection;
use serde::Serialize;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    args::KilledArgs,
    clock,
    failure::Failure,
    frame::Messages,
    latency::{Latency, Percentiles},
    offline::all,
    pairs::{Done, Pace, Phase, Receiver, Sender, Shared, couples},
    report::{Console, Figures as Any, Soundness, line},
    target::Target,
    users::{self, User},
};

/// How long a receiver tries to connect before the run fails.
const RECONNECT: Duration = Duration::from_mins(1);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pairs: u16,
    messages: u64,
    rate: u32,
    body_bytes: u32,
    killed_after_ms: u64,
    away_ms: u64,
    /// Messages that had not arrived when the region was ready again.
    waiting: u64,
    /// From the region's return until the last message that was sent before it had arrived.
    caught_up_ms: f64,
    /// From sending to being told `sent`, by the region that was there all the time.
    accepted_ms: Option<Percentiles>,
    arrived: u64,
    /// Came again at the start of a new connection, since their acknowledgement was lost.
    repeated: u64,
    pub(crate) sound: Soundness,
}

/// Runs the scenario.
pub(crate) async fn run(target: &mut Target, args: &KilledArgs) -> Result<Any, Failure> {
    let run = rand::random_range(0..u64::MAX);
    let users = Arc::new(users::register(target, run, u32::from(args.pairs) * 2).await?);
    let each = u64::from(args.messages / u32::from(args.pairs)).max(1);
    let messages = each * u64::from(args.pairs);
    let (_phase, watching) = watch::channel(Phase::Measuring);
    let shared = Shared::new(watching);
    let (mut senders, mut receivers) = (JoinSet::new(), JoinSet::new());
    for (pair, (sender, receiver)) in (0..args.pairs).zip(couples(&users)) {
        let first = Receiver::new(receiver.connect().await?, Arc::clone(&shared), false);
        let users = Arc::clone(&users);
        let number = usize::from(pair) * 2 + 1;
        receivers
            .spawn(async move { first.run_through(each, || reconnect(users.get(number))).await });
        let texts = Messages::new(run, pair, receiver.address.clone(), args.body as usize);
        let sender = Sender::new(sender.connect().await?, texts, Arc::clone(&shared));
        let pace = Pace::new(Some(args.rate), args.pairs, pair, 0);
        senders.spawn(sender.run(pace, Done::Sent, Some(each)));
    }
    sleep(Duration::from_millis(args.kill_after)).await;
    target.kill_other().await?;
    Console::progress(format_args!("the receivers' region is killed"));
    let away = Instant::now();
    sleep(Duration::from_millis(args.back_after)).await;
    target.start_other().await?;
    let returned_at = clock::nanos();
    shared.returned_at.store(returned_at, Ordering::Relaxed);
    let away_ms = away.elapsed().as_millis();
    let done = shared.done.load(Ordering::Relaxed);
    let waiting = done.saturating_sub(shared.arrived.load(Ordering::Relaxed));
    let told = all(&mut senders, || Console::progress(format_args!("sending"))).await?;
    let received = all(&mut receivers, || {
        let arrived = shared.arrived.load(Ordering::Relaxed);
        Console::progress(format_args!("{arrived} of {messages} arrived"));
    })
    .await?;

    let mut accepted = Latency::new();
    for one in &told {
        accepted.add(&one.accepted);
    }
    let arrived = shared.arrived.load(Ordering::Relaxed);
    let mut sound = Soundness { lost: messages.saturating_sub(arrived), ..Soundness::default() };
    for one in &received {
        sound.doubled += one.sound.doubled;
        sound.out_of_order += one.sound.out_of_order;
    }
    let caught_up = shared.caught_up_at.load(Ordering::Relaxed).saturating_sub(returned_at);
    Ok(Any::Killed(Figures {
        pairs: args.pairs,
        messages,
        rate: args.rate,
        body_bytes: args.body,
        killed_after_ms: args.kill_after,
        away_ms: u64::try_from(away_ms).unwrap_or(u64::MAX),
        waiting,
        caught_up_ms: Duration::from_nanos(caught_up).as_secs_f64() * 1e3,
        accepted_ms: accepted.percentiles(),
        arrived,
        repeated: received.iter().map(|one| one.repeated).sum(),
        sound,
    }))
}

/// Connects as soon as the server is there.
async fn reconnect(user: Option<&User>) -> Result<Connection, Failure> {
    let user = user.ok_or(Failure::Nothing)?;
    let start = Instant::now();
    loop {
        match user.connect().await {
            Ok(connection) => return Ok(connection),
            Err(err) if start.elapsed() > RECONNECT => return Err(err),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pairs, messages, rate, body_bytes, killed_after_ms, away_ms, .. } = self;
        let load = format!("{messages} messages of {body_bytes} bytes, {pairs} pairs, {rate}/s");
        line(f, "load", Some(load))?;
        let kill = format!("killed after {killed_after_ms} ms, away for {away_ms} ms");
        line(f, "the receivers' region", Some(kill))?;
        line(f, "told sent", self.accepted_ms)?;
        line(f, "waiting at its return", Some(self.waiting))?;
        line(f, "caught up after", Some(format!("{:.0} ms", self.caught_up_ms)))?;
        line(f, "arrived", Some(format!("{} of {messages}", self.arrived)))?;
        line(f, "repeated on reconnect", Some(self.repeated))?;
        line(f, "messages", Some(self.sound))
    }
}
