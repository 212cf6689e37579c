//! The async shell around the core: one task that owns the connection, makes the calls, and runs
//! one step after the other.

mod calls;
mod link;

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use posthouse_protocol::{id::MessageId, rest::keys::UploadPreKeys};
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::calls::sign;
use self::{
    calls::make,
    link::{Link, Tiding},
};
use crate::{
    ClientError, Update,
    access::Access,
    machine::{Answer, Call, Effects, Machine, Outgoing, Wish},
    platform::sleep,
    store::StoreError,
};

/// Wishes that are taken into one step, and wait in all.
pub(crate) const MAX_WISHES: usize = 64;
/// Updates that the application may leave lying before no more is read.
const MAX_UNTAKEN: u64 = 10_000;
/// Passing updates that wait; further ones are dropped.
pub(crate) const MAX_PASSING: usize = 256;

/// What the application wants of the engine.
pub(crate) enum Command {
    Say(Outgoing, oneshot::Sender<Result<MessageId, ClientError>>),
    Wish(Wish, oneshot::Sender<Result<(), ClientError>>),
}

/// A call on its way to an answer.
type Calling = Pin<Box<dyn Future<Output = (Call, Answer)> + Send>>;

/// A running device.
pub(crate) struct Engine {
    access: Arc<Access>,
    machine: Machine,
    rng: StdRng,
    commands: mpsc::Receiver<Command>,
    passing: mpsc::Sender<Update>,
    /// The number of the newest durable update.
    newest: watch::Sender<u64>,
    taken: u64,
    calls: FuturesUnordered<Calling>,
    link: Link,
}

/// The application's ends of an engine.
pub(crate) struct Ends {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) passing: mpsc::Receiver<Update>,
    pub(crate) newest: watch::Receiver<u64>,
}

enum Happened {
    Wishes(Vec<Command>),
    Link(Tiding),
    Answered(Call, Answer),
    Due,
    Abandoned,
}

impl Engine {
    pub(crate) fn new(access: Arc<Access>, machine: Machine, mut rng: StdRng) -> (Self, Ends) {
        let (commands, receiver) = mpsc::channel(MAX_WISHES);
        let (passing, passing_end) = mpsc::channel(MAX_PASSING);
        let (newest, newest_end) = watch::channel(machine.newest_update());
        let link = Link::new(StdRng::from_rng(&mut rng));
        let engine = Self {
            access,
            taken: machine.newest_update(),
            machine,
            rng,
            commands: receiver,
            passing,
            newest,
            calls: FuturesUnordered::new(),
            link,
        };
        (engine, Ends { commands, passing: passing_end, newest: newest_end })
    }

    /// Runs until the application's ends are dropped, the session ends, or the store fails.
    pub(crate) async fn run(mut self) -> Result<(), StoreError> {
        loop {
            match self.wait().await {
                Happened::Abandoned => {
                    self.link.close().await;
                    return Ok(());
                }
                Happened::Wishes(wishes) => self.fulfil(wishes).await?,
                Happened::Link(Tiding::Up) => self.connected().await?,
                Happened::Link(Tiding::Frames(frames)) => self.frames(&frames).await?,
                Happened::Link(Tiding::Down) => {
                    self.machine.offline();
                    self.pass(Update::Disconnected);
                }
                Happened::Link(Tiding::Failed(reason)) => self.pass(Update::Unreached { reason }),
                Happened::Link(Tiding::Ended(update)) => {
                    self.machine.offline();
                    self.pass(update);
                    return Ok(());
                }
                Happened::Answered(call, answer) => {
                    let now = self.access.clock.now();
                    let mut step = self.machine.begin(&*self.access.store, now, &mut self.rng);
                    step.answered(&call, answer).await?;
                    let effects = step.finish().await?;
                    self.follow(effects);
                }
                Happened::Due => self.nothing_more().await?,
            }
        }
    }

    async fn wait(&mut self) -> Happened {
        let now = self.access.clock.now();
        let due = self.machine.due().map(|at| Duration::from_millis(at.0.saturating_sub(now.0)));
        let reads = self.machine.newest_update().saturating_sub(self.taken) < MAX_UNTAKEN;
        tokio::select! {
            command = self.commands.recv() => {
                let Some(command) = command else { return Happened::Abandoned };
                let mut wishes = vec![command];
                while wishes.len() < MAX_WISHES && let Ok(more) = self.commands.try_recv() {
                    wishes.push(more);
                }
                Happened::Wishes(wishes)
            }
            tiding = self.link.next(&self.access), if reads => Happened::Link(tiding),
            Some((call, answer)) = self.calls.next() => Happened::Answered(call, answer),
            () = sleep(due.unwrap_or_default()), if due.is_some() => Happened::Due,
        }
    }

    /// Some wishes in one step: they are durable together.
    async fn fulfil(&mut self, wishes: Vec<Command>) -> Result<(), StoreError> {
        let now = self.access.clock.now();
        let mut step = self.machine.begin(&*self.access.store, now, &mut self.rng);
        let mut replies: Vec<Box<dyn FnOnce() + Send>> = Vec::with_capacity(wishes.len());
        for wish in wishes {
            match wish {
                Command::Say(outgoing, reply) => {
                    // What is made here is well-formed: it can only be too long.
                    let said = step.say(outgoing).await?.map_err(|_| ClientError::TooLong);
                    // Whoever asked may be gone.
                    replies.push(Box::new(|| drop(reply.send(said))));
                }
                Command::Wish(wish, reply) => {
                    if let Wish::Taken(through) = wish {
                        self.taken = self.taken.max(through);
                    }
                    step.wish(wish).await?;
                    replies.push(Box::new(|| drop(reply.send(Ok(())))));
                }
            }
        }
        let effects = step.finish().await?;
        self.follow(effects);
        for reply in replies {
            reply();
        }
        Ok(())
    }

    async fn connected(&mut self) -> Result<(), StoreError> {
        let now = self.access.clock.now();
        let mut step = self.machine.begin(&*self.access.store, now, &mut self.rng);
        step.connected().await?;
        let effects = step.finish().await?;
        self.follow(effects);
        Ok(())
    }

    async fn frames(&mut self, frames: &[String]) -> Result<(), StoreError> {
        let now = self.access.clock.now();
        let mut step = self.machine.begin(&*self.access.store, now, &mut self.rng);
        for frame in frames {
            step.frame(frame).await?;
        }
        let effects = step.finish().await?;
        self.follow(effects);
        Ok(())
    }

    async fn nothing_more(&mut self) -> Result<(), StoreError> {
        let now = self.access.clock.now();
        let step = self.machine.begin(&*self.access.store, now, &mut self.rng);
        let effects = step.finish().await?;
        self.follow(effects);
        Ok(())
    }

    /// Does what a committed step asks for.
    fn follow(&mut self, effects: Effects) {
        let Effects { frames, calls, passing, upload } = effects;
        for frame in frames {
            self.link.send(frame);
        }
        for call in calls {
            self.spawn(call, None);
        }
        if let Some(upload) = upload {
            self.spawn(Call::Upload, Some(upload));
        }
        for update in passing {
            self.pass(update);
        }
        let newest = self.machine.newest_update();
        self.newest.send_if_modified(|known| {
            let is_new = *known != newest;
            *known = newest;
            is_new
        });
    }

    fn spawn(&mut self, call: Call, upload: Option<Box<UploadPreKeys>>) {
        let (access, rng) = (Arc::clone(&self.access), StdRng::from_rng(&mut self.rng));
        self.calls.push(Box::pin(make(access, call, upload, rng)));
    }

    /// What holds for the moment is dropped if nobody listens.
    fn pass(&self, update: Update) {
        let _ = self.passing.try_send(update);
    }
}
