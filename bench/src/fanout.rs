//! `fanout`: messages to one group whose members are all connected, one after the other.

mod group;
mod member;

use core::fmt;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use posthouse_client::Connection;
use serde::Serialize;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    args::FanoutArgs,
    clock,
    failure::Failure,
    frame::{Incoming, Messages},
    latency::{Latency, Percentiles},
    pairs::{Cost, Snapshot},
    report::{Console, Figures as Any, Soundness, line},
    target::Target,
    users::{self, User},
};

use self::member::{Arrivals, Member};

/// How long one message may take to everybody.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages before those that are measured.
const WARM_UP: u64 = 5;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    members: u16,
    regions: usize,
    messages: u64,
    rate: u32,
    body_bytes: u32,
    ack_after_ms: u16,
    /// What it took to make the group, with two epochs for each member.
    made_in_seconds: f64,
    /// From sending to being told `sent`.
    accepted_ms: Option<Percentiles>,
    /// From sending until the last member had it.
    last_member_ms: Option<Percentiles>,
    /// From sending until a member had it, over all members.
    each_member_ms: Option<Percentiles>,
    /// What each copy has cost, its acknowledgement included.
    #[serde(flatten)]
    cost: Cost,
    pub(crate) sound: Soundness,
}

/// Runs the scenario.
pub(crate) async fn run(target: &Target, args: &FanoutArgs) -> Result<Any, Failure> {
    let run = rand::random_range(0..u64::MAX);
    let users = users::register(target, run, u32::from(args.members)).await?;
    let started = Instant::now();
    let group = group::make(&users).await?;
    let made_in_seconds = started.elapsed().as_secs_f64();
    let arrivals = Arc::new(Arrivals::default());
    let Some((sender, others)) = users.split_first() else { return Err(Failure::Nothing) };
    let ack_after = Duration::from_millis(args.ack_after.into());
    let mut members = connect(others, (&arrivals, ack_after)).await?;
    let mut connection = sender.connect().await?;
    let texts = Messages::new(run, 0, group.address.clone(), args.body as usize);
    let (mut accepted, mut last) = (Latency::new(), Latency::new());
    let mut pace = interval(Duration::from_secs(1) / args.rate);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let copies = others.len() as u64;
    let total = WARM_UP + u64::from(args.messages);
    let mut start = None;
    for number in 0..total {
        if number == WARM_UP {
            arrivals.each.lock().await.clear();
            start = Some(Snapshot::take(target, arrivals.count.load(Ordering::Relaxed)).await?);
        }
        pace.tick().await;
        let sent_at = clock::nanos();
        connection.queue_text(texts.frame_of(number, group.epoch))?;
        let wanted = (number + 1) * copies;
        let told = arrive(&mut connection, &arrivals, (number, wanted)).await?;
        if number >= WARM_UP {
            last.note(clock::nanos().saturating_sub(sent_at));
            if let Some(told) = told {
                accepted.note(told.saturating_sub(sent_at));
            }
        }
        Console::progress(format_args!("{} of {total} messages arrived everywhere", number + 1));
    }
    let end = Snapshot::take(target, arrivals.count.load(Ordering::Relaxed)).await?;
    let start = start.ok_or(Failure::Nothing)?;
    let each = arrivals.each.lock().await.percentiles();
    members.abort_all();
    Ok(Any::Fanout(Box::new(Figures {
        members: args.members,
        regions: target.regions(),
        messages: u64::from(args.messages),
        rate: args.rate,
        body_bytes: args.body,
        ack_after_ms: args.ack_after,
        made_in_seconds,
        accepted_ms: accepted.percentiles(),
        last_member_ms: last.percentiles(),
        each_member_ms: each,
        cost: end.cost(&start),
        sound: Soundness {
            doubled: arrivals.doubled.load(Ordering::Relaxed),
            ..Soundness::default()
        },
    })))
}

/// Connects those who receive.
async fn connect(
    users: &[User],
    (arrivals, ack_after): (&Arc<Arrivals>, Duration),
) -> Result<JoinSet<Result<(), Failure>>, Failure> {
    let mut members = JoinSet::new();
    for user in users {
        let connection = user.connect().await?;
        members.spawn(Member::new(connection, Arc::clone(arrivals), ack_after).run());
        Console::progress(format_args!("{} of {} members connected", members.len(), users.len()));
    }
    Ok(members)
}

/// Waits until `wanted` copies have arrived in all; gives when the message `number` was told as
/// `sent`, if it was by then.
async fn arrive(
    connection: &mut Connection,
    arrivals: &Arrivals,
    (number, wanted): (u64, u64),
) -> Result<Option<u64>, Failure> {
    let mut told = None;
    let all = async {
        loop {
            tokio::select! {
                () = arrivals.reached(wanted) => return Ok::<(), Failure>(()),
                text = connection.next_text() => {
                    let text = text?;
                    let Some(frame) = Incoming::read(&text) else { continue };
                    if frame.kind == "error" {
                        return Err(refused(&frame));
                    }
                    if frame.status.as_deref() == Some("sent") && frame.number() == Some(number) {
                        told = Some(clock::nanos());
                    }
                }
            }
        }
    };
    let late = || Failure::TooSlow {
        what: format!("message {number} did not arrive everywhere"),
        seconds: PATIENCE.as_secs(),
    };
    timeout(PATIENCE, all).await.map_err(|_| late())??;
    Ok(told)
}

fn refused(frame: &Incoming<'_>) -> Failure {
    let said = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Failure::Refused { code: said(frame.code.as_deref()), message: said(frame.message.as_deref()) }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { members, regions, messages, rate, body_bytes, ack_after_ms, .. } = self;
        let load = format!(
            "{messages} messages of {body_bytes} bytes to a group of {members} in {regions} region(s), {rate}/s, acknowledged after {ack_after_ms} ms"
        );
        line(f, "load", Some(load))?;
        line(f, "group made in", Some(format!("{:.1} s", self.made_in_seconds)))?;
        line(f, "told sent", self.accepted_ms)?;
        line(f, "last member", self.last_member_ms)?;
        line(f, "each member", self.each_member_ms)?;
        self.cost.fmt(f)?;
        line(f, "copies", Some(self.sound))
    }
}
