//! A link that does to connections what networks and the machines in them do: it cuts in the middle
//! of a frame, keeps bytes back, falls silent while both ends believe in it, brings an attempt to
//! connect when its client has long made another, and brings one connection twice.
//!
//! What happens to the n-th connection follows from the seed; what is in the middle of it then, from
//! the machine's timing.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::{sleep, timeout},
};

/// How long a twin waits for its first answer.
const TWIN: Duration = Duration::from_secs(1);

/// How bad it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// A connection ends after three to six thousand bytes, doubled at most so often.
    pub(crate) doublings: u32,
    /// The longest that a connection is silent before it is reset.
    pub(crate) silence_ms: u64,
    /// The longest that an attempt to connect takes to get to the server.
    pub(crate) late_ms: u64,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Connections that were closed, or reset, in the middle.
    pub(crate) cut: AtomicUsize,
    /// Connections that fell silent.
    pub(crate) silent: AtomicUsize,
    /// Connections of which the server learned late.
    pub(crate) late: AtomicUsize,
    /// Connections that the server was brought twice.
    pub(crate) doubled: AtomicUsize,
    /// Connections that were refused.
    pub(crate) refused: AtomicUsize,
    /// Chunks that were kept back or broken up.
    pub(crate) dawdled: AtomicUsize,
}

impl Tally {
    /// How often something was done. How often to a whole connection is a matter of luck: one may
    /// carry all that is said on a quick machine.
    pub(crate) fn events(&self) -> usize {
        let Self { cut, silent, late, doubled, refused, dawdled } = self;
        [cut, silent, late, doubled, refused, dawdled].iter().map(|count| count.load(Relaxed)).sum()
    }
}

/// A link to a region; it is good until [`Chaos::begin`].
pub(crate) struct Chaos {
    /// Where to dial.
    pub(crate) address: SocketAddr,
    /// What was done.
    pub(crate) tally: Arc<Tally>,
    weather: watch::Sender<Option<Weather>>,
}

impl Chaos {
    /// A link to `target`.
    pub(crate) async fn to(target: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (weather, watched) = watch::channel(None);
        let tally = Arc::<Tally>::default();
        let counted = Arc::clone(&tally);
        tokio::spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed);
            while let Ok((from, _)) = listener.accept().await {
                let rng = StdRng::from_rng(&mut rng);
                let one =
                    One { target, rng, tally: Arc::clone(&counted), weather: watched.clone() };
                tokio::spawn(one.serve(from));
            }
        });
        Self { address, tally, weather }
    }

    /// It begins: connections that there are break.
    pub(crate) fn begin(&self, weather: Weather) {
        self.weather.send_replace(Some(weather));
    }

    /// It is over, for new connections.
    pub(crate) fn end(&self) {
        self.weather.send_replace(None);
    }
}

/// One connection.
struct One {
    target: SocketAddr,
    rng: StdRng,
    tally: Arc<Tally>,
    weather: watch::Receiver<Option<Weather>>,
}

/// How a connection ends.
enum End {
    /// Closed, as by a server that stops.
    Closed,
    /// Reset, with what was on its way.
    Reset,
    /// Silent on both sides, and reset at last.
    Silent,
    /// Reset on the client's side. The server's stays, and is told at last what it lacks.
    Lingers,
}

impl One {
    async fn serve(mut self, mut from: TcpStream) -> io::Result<()> {
        from.set_nodelay(true)?;
        let weather = *self.weather.borrow_and_update();
        let Some(weather) = weather else {
            let mut to = TcpStream::connect(self.target).await?;
            tokio::select! {
                passed = tokio::io::copy_bidirectional(&mut from, &mut to) => drop(passed?),
                _ = self.weather.changed() => {}
            }
            return Ok(());
        };
        match self.rng.random_range(0..20) {
            0 => {
                self.tally.refused.fetch_add(1, Relaxed);
                from.set_zero_linger()
            }
            1..=3 => {
                self.tally.late.fetch_add(1, Relaxed);
                // The client may have given up and made another one meanwhile.
                sleep(self.up_to(weather.late_ms)).await;
                self.carry(from, weather, false).await
            }
            4..=5 => {
                self.tally.doubled.fetch_add(1, Relaxed);
                self.carry(from, weather, true).await
            }
            _ => self.carry(from, weather, false).await,
        }
    }

    fn up_to(&mut self, millis: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(0..=millis))
    }

    /// Passes bytes both ways until so many have passed.
    async fn carry(mut self, from: TcpStream, weather: Weather, twice: bool) -> io::Result<()> {
        let twin = if twice { Some(TcpStream::connect(self.target).await?) } else { None };
        let (mut from, mut to) = (from, TcpStream::connect(self.target).await?);
        to.set_nodelay(true)?;
        // As many short ones as long ones.
        let least = self.rng.random_range(3_000..6_000);
        let budget = AtomicI64::new(least << self.rng.random_range(0..=weather.doublings));
        let [mut up, mut down] = [(); 2].map(|()| Way {
            budget: &budget,
            rng: StdRng::from_rng(&mut self.rng),
            tally: &self.tally,
            unsent: Vec::new(),
        });
        let is_spent = {
            let ((from_read, from_write), (to_read, to_write)) = (from.split(), to.split());
            tokio::select! {
                spent = up.pass(from_read, to_write, twin) => spent,
                spent = down.pass(to_read, from_write, None) => spent,
            }
        };
        if !is_spent {
            return Ok(());
        }
        let unsent = up.unsent;
        match [End::Closed, End::Reset, End::Silent, End::Lingers][self.rng.random_range(0..4)] {
            End::Closed => {
                self.tally.cut.fetch_add(1, Relaxed);
            }
            End::Reset => {
                self.tally.cut.fetch_add(1, Relaxed);
                from.set_zero_linger()?;
                to.set_zero_linger()?;
            }
            End::Silent => {
                self.tally.silent.fetch_add(1, Relaxed);
                sleep(self.up_to(weather.silence_ms)).await;
                from.set_zero_linger()?;
                to.set_zero_linger()?;
            }
            End::Lingers => {
                self.tally.silent.fetch_add(1, Relaxed);
                from.set_zero_linger()?;
                drop(from);
                sleep(self.up_to(weather.silence_ms)).await;
                to.write_all(&unsent).await?;
            }
        }
        Ok(())
    }
}

/// Bytes in one direction.
struct Way<'a> {
    /// What both directions may still pass.
    budget: &'a AtomicI64,
    rng: StdRng,
    tally: &'a Tally,
    /// What was read and not passed on.
    unsent: Vec<u8>,
}

impl Way<'_> {
    /// Passes bytes on; `true` if the connection has passed as many as it may, `false` if an end has
    /// closed it. The twin gets the first of them.
    async fn pass(
        &mut self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        mut twin: Option<TcpStream>,
    ) -> bool {
        let mut buffer = [0; 4_096];
        loop {
            // Some reads take a few bytes, so that frames come in pieces.
            let size = if self.rng.random_bool(0.1) { 7 } else { buffer.len() };
            let Ok(length @ 1..) = from.read(&mut buffer[..size]).await else { return false };
            if self.rng.random_bool(0.05) {
                self.tally.dawdled.fetch_add(1, Relaxed);
                sleep(Duration::from_millis(self.rng.random_range(0..30))).await;
            }
            let wanted = i64::try_from(length).unwrap();
            let left = self.budget.fetch_sub(wanted, Relaxed).clamp(0, wanted);
            let (passed, unsent) = buffer[..length].split_at(usize::try_from(left).unwrap());
            if let Some(mut twin) = twin.take() {
                // What becomes of it is of no interest to anybody, but it comes first: of two sockets of
                // a device the later one counts.
                let _ = twin.write_all(passed).await;
                let _ = timeout(TWIN, twin.readable()).await;
            }
            if to.write_all(passed).await.is_err() {
                return false;
            }
            if left < wanted {
                self.unsent = unsent.to_vec();
                return true;
            }
        }
    }
}
