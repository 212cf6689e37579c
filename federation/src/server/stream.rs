//! A connection's pace: how long a peer may take for the next request's head, and for reading an
//! answer.
//!
//! Deadlines are held outside the stream: the HTTP library does not look at a stream again while it
//! knows it to be blocked, so a deadline that starts meanwhile would never be noticed there.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::{Instant, Sleep, sleep_until, timeout},
};

/// How long a peer has to close its side.
const LINGER: Duration = Duration::from_secs(2);
/// Most bytes that are thrown away meanwhile: a whole envelope that was refused unread.
const MAX_LINGER_BYTES: usize = posthouse_protocol::federation::limits::MAX_ENVELOPE + 64 * 1024;

/// Whose turn it is, and how far the peer has come.
#[derive(Default)]
pub(super) struct Pace {
    /// Even while the peer owes a request, odd while an answer is being made.
    turn: AtomicU64,
    /// Some of the owed request's head has come.
    begun: AtomicBool,
    /// The peer does not read as fast as is written.
    unwritten: AtomicBool,
}

impl Pace {
    /// A request has come; the answer is being made until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        self.turn.fetch_add(1, SeqCst);
        self.begun.store(false, SeqCst);
        Answering(Arc::clone(self))
    }

    fn is_peers_turn(&self) -> bool {
        self.turn.load(SeqCst).is_multiple_of(2)
    }
}

/// An answer is being made.
pub(super) struct Answering(Arc<Pace>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.turn.fetch_add(1, SeqCst);
    }
}

/// How long each part may take.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// A head, from its first byte; the first one from the start.
    pub(super) head: Duration,
    /// The rest between two requests.
    pub(super) idle: Duration,
    /// The reading of an answer, from when it was made.
    pub(super) answer: Duration,
}

/// Notices when the peer takes too long.
pub(super) struct Watch {
    pace: Arc<Pace>,
    patience: Patience,
    /// The turn that the deadlines belong to.
    turn: u64,
    idle_by: Instant,
    head_by: Option<Instant>,
    answer_by: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Watch {
    /// The first request is owed from now on.
    pub(super) fn new(pace: Arc<Pace>, patience: Patience) -> Self {
        let now = Instant::now();
        let (idle_by, answer_by) = (now + patience.head, now + patience.answer);
        let (turn, sleep) = (pace.turn.load(SeqCst), Box::pin(sleep_until(idle_by)));
        Self { pace, patience, turn, idle_by, head_by: None, answer_by, sleep }
    }

    /// Ready once the peer has taken too long. To be called after everything else was polled.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let turn = self.pace.turn.load(SeqCst);
        let now = Instant::now();
        if turn != self.turn {
            self.turn = turn;
            self.idle_by = now + self.patience.idle;
            self.head_by = None;
            self.answer_by = now + self.patience.answer;
        }
        if !self.pace.is_peers_turn() {
            // Answering has a deadline of its own, and its end wakes this task.
            return Poll::Pending;
        }
        let deadline = if self.pace.unwritten.load(SeqCst) {
            self.answer_by
        } else if self.pace.begun.load(SeqCst) {
            let by = *self.head_by.get_or_insert(now + self.patience.head);
            by.min(self.idle_by)
        } else {
            self.idle_by
        };
        if self.sleep.deadline() != deadline {
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// A stream that tells its pace.
pub(super) struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, pace: Arc<Pace>) -> Self {
        Self { stream, pace }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn blocked<T>(&self, written: Poll<T>) -> Poll<T> {
        if written.is_pending() {
            self.pace.unwritten.store(true, SeqCst);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before && self.pace.is_peers_turn() {
            self.pace.begun.store(true, SeqCst);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.blocked(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.pace.unwritten.store(false, SeqCst);
        }
        self.blocked(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.blocked(shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.blocked(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Closes this side, then waits a little for the peer's. Closing while bytes of the peer are unread
/// would make the kernel reset the connection, and the peer could miss the last thing it was told.
pub(super) async fn close(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let lingering = async {
        stream.shutdown().await?;
        let mut scrap = vec![0; 16 * 1024];
        let mut total = 0;
        while total < MAX_LINGER_BYTES {
            match stream.read(&mut scrap).await? {
                0 => break,
                read => total += read,
            }
        }
        io::Result::Ok(())
    };
    // Broken or late: the connection is dropped either way.
    drop(timeout(LINGER, lingering).await);
}
