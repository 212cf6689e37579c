//! Steps 5 and 6: group commit. Whatever arrived while the last commit ran is written by the next
//! one, in one transaction; then, and only then, the senders are told and the recipients woken.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use posthouse_client_api::ports::Answer;
use posthouse_protocol::{
    federation::stream::Lane,
    frame::{ServerFrame, StatusFrame},
    id::{AccountId, MessageId, ServerName},
    problem::{Code, Rejection},
    rest::Sent,
    status::Status,
    time::Timestamp,
};
use posthouse_storage::{
    inbox::{Entry, EntryKind},
    ledger::{Accepted, Arrival, Outcome, Refusal},
    message_store::MessageStore,
    outbox::lane_of,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Connections, recent::Recent, route::Plan};
use crate::{accounts::store_failed, regions::Regions};

/// How commits are grouped.
#[derive(Debug, Clone, Copy)]
pub struct CommitConfig {
    /// Most messages of one transaction.
    pub max_batch: usize,
    /// Most messages that wait for one; submitters beyond wait, and so do their sockets.
    pub queue: usize,
}

impl Default for CommitConfig {
    fn default() -> Self {
        Self { max_batch: 512, queue: 2_048 }
    }
}

/// What was committed since the start.
#[derive(Debug, Default)]
pub struct CommitCounters {
    /// Transactions.
    pub commits: AtomicU64,
    /// Messages accepted.
    pub accepted: AtomicU64,
    /// Messages repeated.
    pub repeated: AtomicU64,
    /// Messages refused by the ledger.
    pub refused: AtomicU64,
    /// Messages whose transaction failed.
    pub failed: AtomicU64,
}

/// Who is told of what was committed, besides the submitters.
#[derive(Clone)]
pub struct Told {
    /// Connected devices.
    pub connections: Arc<Connections>,
    /// Other regions.
    pub regions: Arc<dyn Regions>,
    /// What went to them.
    pub recent: Arc<Recent>,
}

/// A plan and who waits for it.
struct Job {
    plan: Plan,
    answer: Answer,
}

/// Hands plans to the committer of this process.
#[derive(Clone)]
pub struct Committer {
    queue: mpsc::Sender<Job>,
    counters: Arc<CommitCounters>,
}

/// A commit whose outcomes are to be told.
type Committed = (Vec<Job>, Vec<Outcome>);

impl Committer {
    /// Starts committing to `store`. The returned future runs until `shutdown`, and then until what
    /// was handed in is committed and told.
    pub fn start(
        config: CommitConfig,
        store: MessageStore,
        listeners: Told,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, waiting) = mpsc::channel(config.queue.max(1));
        let counters = Arc::new(CommitCounters::default());
        let committer = Self { queue, counters: Arc::clone(&counters) };
        // Telling runs beside the next commit, in the commits' order; at most two are behind.
        let (told, to_tell) = mpsc::channel(2);
        let waiting = Waiting { queue: waiting, shutdown, max_batch: config.max_batch.max(1) };
        let commits = Commits { store, told, counters, listeners: listeners.clone() };
        let committing = commits.run(waiting);
        let telling = tell_all(to_tell, listeners);
        let run = async move {
            let telling = tokio::spawn(telling);
            committing.await;
            if telling.await.is_err() {
                tracing::error!("telling the outcomes of commits failed");
            }
        };
        (committer, run)
    }

    /// Queues a plan for the next commit, waiting for room. The outcome goes to `answer`.
    pub async fn commit(&self, plan: Plan, answer: Answer) {
        let id = plan.accept().id;
        if let Err(mpsc::error::SendError(job)) = self.queue.send(Job { plan, answer }).await {
            let stopped = Rejection::new(Code::Unavailable, "the server stops").retry_after(1);
            refuse(job.answer, id, stopped);
        }
    }

    /// What was committed since the start.
    pub fn counters(&self) -> &CommitCounters {
        &self.counters
    }
}

/// The committer's end of the queue.
struct Waiting {
    queue: mpsc::Receiver<Job>,
    shutdown: CancellationToken,
    max_batch: usize,
}

impl Waiting {
    /// Everything that waits, at most a batch; nothing once the queue is closed and empty.
    async fn next(&mut self, jobs: &mut Vec<Job>) -> usize {
        tokio::select! {
            biased;
            // Also if that happened while the last commit ran. What is in the queue is taken after it.
            () = self.shutdown.cancelled() => self.queue.close(),
            taken = self.queue.recv_many(jobs, self.max_batch) => return taken,
        }
        self.queue.recv_many(jobs, self.max_batch).await
    }
}

/// What commits need.
struct Commits {
    store: MessageStore,
    told: mpsc::Sender<Committed>,
    counters: Arc<CommitCounters>,
    listeners: Told,
}

impl Commits {
    async fn run(self, mut waiting: Waiting) {
        let mut jobs = Vec::new();
        while waiting.next(&mut jobs).await > 0 {
            let accepts: Vec<_> = jobs.iter().map(|job| job.plan.accept().clone()).collect();
            let bodies: Vec<_> =
                jobs.iter().map(|job| (job.plan.accept().body, job.plan.body().clone())).collect();
            match self.store.commit(&accepts, &bodies).await {
                Ok(outcomes) => {
                    count(&self.counters, &outcomes);
                    wake(&jobs, &outcomes, self.listeners.regions.as_ref(), &self.listeners.recent);
                    if self.told.send((core::mem::take(&mut jobs), outcomes)).await.is_err() {
                        return;
                    }
                }
                Err(err) => self.failed(&mut jobs, &store_failed(&err)),
            }
        }
    }

    /// Refuses the jobs of a commit that failed. It may be durable all the same, if the connection
    /// to the database broke before its answer: then the senders' repetitions are told `sent` and
    /// bring no arrival, so that the recipients have to look into their inboxes now.
    fn failed(&self, jobs: &mut Vec<Job>, rejection: &Rejection) {
        let failed = u64::try_from(jobs.len()).unwrap_or(u64::MAX);
        self.counters.failed.fetch_add(failed, Ordering::Relaxed);
        for Job { plan, answer } in jobs.drain(..) {
            for account in &plan.accept().recipients {
                self.listeners.connections.inbox_grew(*account);
            }
            refuse(answer, plan.accept().id, rejection.clone());
        }
    }
}

fn count(counters: &CommitCounters, outcomes: &[Outcome]) {
    counters.commits.fetch_add(1, Ordering::Relaxed);
    for outcome in outcomes {
        let counter = match outcome {
            Outcome::Accepted(_) => &counters.accepted,
            Outcome::Repeated(_) => &counters.repeated,
            Outcome::Refused(_) => &counters.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Wakes the queues to other regions, each lane once, and remembers what goes there.
fn wake(jobs: &[Job], outcomes: &[Outcome], regions: &dyn Regions, recent: &Recent) {
    let mut woken: Vec<(&ServerName, Lane)> = Vec::new();
    for (job, outcome) in jobs.iter().zip(outcomes) {
        let accept = job.plan.accept();
        if accept.destinations.is_empty() || !matches!(outcome, Outcome::Accepted(_)) {
            continue;
        }
        let lane = lane_of(accept.class);
        for to in &accept.destinations {
            if let [one] = to.recipients.as_slice() {
                let recipient = AccountId { uuid: *one, server: to.server.clone() };
                recent.note(accept.id, accept.sender.uuid, recipient);
            }
            if !woken.contains(&(&to.server, lane)) {
                woken.push((&to.server, lane));
                regions.wake(&to.server, lane);
            }
        }
    }
}

async fn tell_all(mut committed: mpsc::Receiver<Committed>, told: Told) {
    while let Some((jobs, outcomes)) = committed.recv().await {
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            tell(job, outcome, &told);
        }
    }
}

fn tell(job: Job, outcome: Outcome, told: &Told) {
    let id = job.plan.accept().id;
    match outcome {
        Outcome::Accepted(accepted) => {
            sent(job.answer, id, &accepted);
            arrive(&job.plan, &accepted, &told.connections);
            queued(&job.plan, &told.connections, told.regions.as_ref());
        }
        Outcome::Repeated(accepted) => sent(job.answer, id, &accepted),
        Outcome::Refused(refusal) => refuse(job.answer, id, rejection(refusal)),
    }
}

fn rejection(refusal: Refusal) -> Rejection {
    match refusal {
        Refusal::AfterUnknown => Rejection::new(
            Code::AfterUnknown,
            "`after` lies above every stamp that is known in the conversation",
        ),
        Refusal::QueueFull => {
            Rejection::new(Code::QueueFull, "too much waits for the recipient's devices already")
        }
        Refusal::NothingToSupplement => nothing_to_supplement(),
        Refusal::Overtaken => Rejection::new(
            Code::Conflict,
            "another supplement of the message came first; send it again",
        ),
        Refusal::OutOfOrder => Rejection::new(
            Code::OutOfOrder,
            "`prev` is not this device's last accepted message in the conversation",
        ),
    }
}

/// There is no such message to be supplemented.
pub(super) fn nothing_to_supplement() -> Rejection {
    let detail = "no message with this id, to this recipient, waits here any more";
    Rejection::new(Code::NotFound, detail)
}

/// Hands the new entries to connected devices.
fn arrive(plan: &Plan, accepted: &Accepted, connections: &Connections) {
    let accept = plan.accept();
    let is_kept = |arrival: &Arrival| !accept.discard || arrival.account == accept.sender.uuid;
    let (kept, discarded): (Vec<Arrival>, Vec<Arrival>) =
        accepted.arrivals.iter().copied().partition(is_kept);
    let message = Arc::new(plan.stored(accepted));
    let entry = |cursor, kind| Entry { cursor, arrived_at: accepted.at, kind };
    let shown = |cursor| entry(cursor, EntryKind::Message(Arc::clone(&message)));
    connections.hand_over(&kept, shown, Some(plan.body()));
    let passed_over = |cursor| entry(cursor, EntryKind::Discarded(Arc::clone(&message)));
    connections.hand_over(&discarded, passed_over, None);
}

/// Tells the sender's connected devices that the message waits for a region that does not answer.
fn queued(plan: &Plan, connections: &Connections, regions: &dyn Regions) {
    let accept = plan.accept();
    for to in &accept.destinations {
        if let Some(since) = regions.unreachable_since(&to.server) {
            let frame = queued_frame(accept.id, since);
            connections.push(accept.sender.uuid, &frame.to_json().into(), None);
        }
    }
}

/// The status `queued`: since when the recipient's region does not answer.
pub(crate) fn queued_frame(id: MessageId, since: Timestamp) -> StatusFrame {
    StatusFrame {
        message_id: id,
        status: Status::Queued,
        at: since,
        user: None,
        conversation_id: None,
        stamp: None,
        origin_number: None,
        reason: None,
        cursor: None,
    }
}

/// Tells an acceptance.
pub(super) fn sent(answer: Answer, id: MessageId, accepted: &Accepted) {
    match answer {
        Answer::Socket(mailbox) => {
            let frame = StatusFrame {
                message_id: id,
                status: Status::Sent,
                at: accepted.at,
                user: None,
                conversation_id: Some(accepted.conversation),
                stamp: Some(accepted.stamp),
                origin_number: Some(accepted.origin_number),
                reason: None,
                cursor: None,
            };
            mailbox.answer(frame.to_json().into());
        }
        Answer::Request(waiting) => {
            let sent = Sent {
                message_id: id,
                status: Status::Sent,
                conversation_id: accepted.conversation,
                stamp: accepted.stamp,
                origin_number: accepted.origin_number,
                at: accepted.at,
            };
            // Who waits no longer will ask again, under the same id.
            drop(waiting.send(Ok(sent)));
        }
    }
}

/// Tells a refusal.
pub(super) fn refuse(answer: Answer, id: MessageId, rejection: Rejection) {
    match answer {
        Answer::Socket(mailbox) => {
            let reference = id.to_string();
            mailbox.answer(ServerFrame::error(&rejection, Some(&reference)).to_json().into());
        }
        Answer::Request(waiting) => drop(waiting.send(Err(rejection))),
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    /// Those who may hand something in stay until the region is gone: the queue does not end by itself.
    #[tokio::test]
    async fn a_stop_while_a_commit_runs_ends_the_queue() {
        let (sender, queue) = mpsc::channel(1);
        let shutdown = CancellationToken::new();
        let mut waiting = Waiting { queue, shutdown: shutdown.clone(), max_batch: 1 };
        shutdown.cancel();
        let mut jobs = Vec::new();
        let taken = tokio::time::timeout(Duration::from_secs(10), waiting.next(&mut jobs)).await;
        assert_eq!(taken, Ok(0));
        assert!(sender.is_closed(), "nobody waits for room in it");
    }
}
