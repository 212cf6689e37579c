//! A connection's bytes, with patience: how long a peer may take for the next request's head, and
//! for reading an answer.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
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

/// Whose turn it is: even while the peer owes a request, odd while an answer is being made.
#[derive(Clone, Default)]
pub(super) struct Turn(Arc<AtomicU64>);

impl Turn {
    /// A request has come; the answer lasts until the guard is dropped.
    pub(super) fn begin(&self) -> Answering {
        self.0.fetch_add(1, SeqCst);
        Answering(Arc::clone(&self.0))
    }

    fn number(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

/// An answer is being made.
pub(super) struct Answering(Arc<AtomicU64>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// How long each part may take.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// A head, from its first byte.
    pub(super) head: Duration,
    /// The rest between two requests.
    pub(super) idle: Duration,
    /// The reading of an answer, from when it was made.
    pub(super) answer: Duration,
}

/// A stream that fails once the peer takes too long.
pub(super) struct Patient<S> {
    stream: S,
    turn: Turn,
    patience: Patience,
    /// The turn that the deadlines belong to.
    seen: u64,
    /// Some of the present request's head has come.
    begun: bool,
    read_by: Instant,
    write_by: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl<S> Patient<S> {
    /// The first request is owed from now on.
    pub(super) fn new(stream: S, turn: Turn, patience: Patience) -> Self {
        let now = Instant::now();
        let read_by = now + patience.head;
        let write_by = now + patience.answer;
        let (seen, sleep) = (turn.number(), Box::pin(sleep_until(read_by)));
        Self { stream, turn, patience, seen, begun: false, read_by, write_by, sleep }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Sets the deadlines when the turn has passed on.
    fn follow_turn(&mut self) {
        let turn = self.turn.number();
        if turn != self.seen {
            self.seen = turn;
            self.begun = false;
            let now = Instant::now();
            self.read_by = now + self.patience.idle;
            self.write_by = now + self.patience.answer;
        }
    }

    /// Fails if `deadline` is over, or else makes the task wake then.
    fn expect_by(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.sleep.deadline() != deadline {
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(cx).map(|()| io::ErrorKind::TimedOut.into())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.follow_turn();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let owed = this.seen.is_multiple_of(2);
        match read {
            Poll::Pending if owed => {
                let deadline = this.read_by;
                this.expect_by(deadline, cx).map(Err)
            }
            Poll::Ready(Ok(())) if owed && !this.begun && buf.filled().len() > before => {
                this.begun = true;
                this.read_by = this.read_by.min(Instant::now() + this.patience.head);
                read
            }
            _ => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> Patient<S> {
    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.follow_turn();
        let written = act(Pin::new(&mut self.stream), cx);
        if written.is_pending() {
            let deadline = self.write_by;
            return self.expect_by(deadline, cx).map(Err);
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.in_time(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx, AsyncWrite::poll_shutdown)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.in_time(cx, |stream, cx| stream.poll_write_vectored(cx, bufs))
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
