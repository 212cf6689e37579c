//! The connection to the homeserver: made, watched, and made again.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use posthouse_protocol::frame::ClientFrame;
use rand::rngs::StdRng;

use crate::{
    Backoff, ClientError, Closed, Connection, Error, Update,
    access::Access,
    encode,
    platform::{Instant, sleep_until, timeout_at},
};

/// The pauses between attempts, between half of it and all.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);
/// After so long without a word the server is asked for one.
const QUIET: Duration = Duration::from_secs(30);
/// After so long the connection is taken for dead (docs/spec/client-socket.md §7).
const DEAD: Duration = Duration::from_secs(75);
/// An attempt whose outcome was not learned may reach the server so much later.
const LATE: Duration = Duration::from_mins(5);
/// The pause that the server asks for with the code 1008.
const RULES_PAUSE: Duration = Duration::from_mins(1);
/// Frames that are handed on together.
const MAX_FRAMES: usize = 64;

type Dialing = Pin<Box<dyn Future<Output = Result<Connection, ClientError>> + Send>>;

/// The connection, or the way to one.
pub(super) struct Link {
    state: State,
    backoff: Backoff,
    rng: StdRng,
    /// When an attempt was given up whose outcome was not learned.
    given_up: Option<Instant>,
}

enum State {
    Down(Instant),
    Dialing(Dialing),
    Up(Box<Up>),
}

struct Up {
    connection: Connection,
    heard: Instant,
    asked: bool,
}

/// What the connection has to say.
pub(super) enum Tiding {
    /// It is there.
    Up,
    /// Frames, in order.
    Frames(Vec<String>),
    /// It is gone, and will be tried again.
    Down,
    /// An attempt failed, for this reason, and will be made again.
    Failed(String),
    /// It is gone for good.
    Ended(Update),
}

impl Link {
    pub(super) fn new(rng: StdRng) -> Self {
        let state = State::Down(Instant::now());
        Self { state, backoff: Backoff::new(FIRST, LONGEST), rng, given_up: None }
    }

    /// The next tiding. Cancel-safe: nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self, access: &Arc<Access>) -> Tiding {
        loop {
            match &mut self.state {
                State::Down(until) => {
                    sleep_until(*until).await;
                    self.state = State::Dialing(Box::pin(dial(Arc::clone(access))));
                }
                State::Dialing(dialing) => match dialing.await {
                    Ok(connection) => {
                        let heard = Instant::now();
                        self.state = State::Up(Box::new(Up { connection, heard, asked: false }));
                        return Tiding::Up;
                    }
                    Err(err) => {
                        if let Some(update) = ends(&err) {
                            return Tiding::Ended(update);
                        }
                        if !matches!(err, ClientError::Transport(Error::Refused(_))) {
                            self.given_up = Some(Instant::now());
                        }
                        self.fall(pause(&err));
                        return Tiding::Failed(err.to_string());
                    }
                },
                State::Up(up) => match up.next().await {
                    Ok(frames) => {
                        self.backoff.reset();
                        return Tiding::Frames(frames);
                    }
                    Err(err) => {
                        let err = ClientError::Transport(err);
                        match ends(&err) {
                            Some(Update::Replaced) if self.was_replaced_by_itself() => {}
                            Some(update) => return Tiding::Ended(update),
                            None => {}
                        }
                        self.fall(pause(&err));
                        return Tiding::Down;
                    }
                },
            }
        }
    }

    /// Queues a frame. If the connection is gone, what matters is sent again on the next one.
    pub(super) fn send(&mut self, frame: String) {
        if let State::Up(up) = &mut self.state {
            // A connection that is gone says so when it is read.
            let _ = up.connection.queue_text(frame);
        }
    }

    /// Says goodbye.
    pub(super) async fn close(&mut self) {
        if let State::Up(up) = std::mem::replace(&mut self.state, State::Down(Instant::now())) {
            Box::pin(up.connection.close()).await;
        }
    }

    /// Whether what took this connection's place may be an attempt of this device that was given up
    /// and reached the server late. Each is believed to do so once: another process with the same
    /// device is not fought over the connection.
    fn was_replaced_by_itself(&mut self) -> bool {
        self.given_up.take().is_some_and(|at| at.elapsed() < LATE)
    }

    fn fall(&mut self, least: Duration) {
        let delay = self.backoff.delay(&mut self.rng).max(least);
        self.state = State::Down(Instant::now() + delay);
    }
}

impl Up {
    /// What came, at least one frame.
    async fn next(&mut self) -> Result<Vec<String>, Error> {
        loop {
            let quiet = if self.asked { DEAD } else { QUIET };
            let waiting = timeout_at(self.heard + quiet, self.connection.next_text());
            let Ok(text) = waiting.await else {
                if self.asked {
                    let reason = "nothing was heard for 75 s".to_owned();
                    return Err(Error::Closed(Closed { code: 1006, reason }));
                }
                self.asked = true;
                self.connection.queue_text(encode(&ClientFrame::Ping(None)))?;
                continue;
            };
            let mut frames = vec![text?.as_str().to_owned()];
            self.heard = Instant::now();
            self.asked = false;
            while frames.len() < MAX_FRAMES
                && let Ok(Some(more)) = self.connection.ready_text()
            {
                frames.push(more.as_str().to_owned());
            }
            return Ok(frames);
        }
    }
}

async fn dial(access: Arc<Access>) -> Result<Connection, ClientError> {
    let token = access.token().await?;
    match Box::pin(Connection::open(&access.connector, &token)).await {
        Err(err) if err.code() == Some("unauthorized") => {
            access.refused(&token).await;
            let token = access.token().await?;
            Ok(Box::pin(Connection::open(&access.connector, &token)).await?)
        }
        other => Ok(other?),
    }
}

/// Whether an error ends it for good.
fn ends(err: &ClientError) -> Option<Update> {
    match err {
        ClientError::SessionEnded => Some(Update::SessionEnded),
        ClientError::Transport(Error::Closed(closed)) => match closed.code {
            Closed::REPLACED => Some(Update::Replaced),
            Closed::REVOKED => Some(Update::SessionEnded),
            _ => None,
        },
        ClientError::Transport(err) if err.code() == Some("unauthorized") => {
            Some(Update::SessionEnded)
        }
        _ => None,
    }
}

/// How long to wait at least before the next attempt.
fn pause(err: &ClientError) -> Duration {
    match err {
        ClientError::Transport(Error::Closed(closed)) if closed.code == 1008 => RULES_PAUSE,
        ClientError::Transport(Error::Refused(problem)) => {
            Duration::from_secs(problem.retry_after.map_or(0, u64::from))
        }
        _ => Duration::ZERO,
    }
}
