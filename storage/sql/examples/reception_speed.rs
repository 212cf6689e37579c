//! What receiving costs: `cargo run --release -p posthouse-storage-sql --example reception_speed -- [url [size…]]`.
//!
//! 20 pairs of a sender in another region and a recipient here, bodies of 120 bytes, envelopes of
//! several sizes one after the other. Prints what `commit_speed` prints, for `Receptions::take`, then
//! the cost of envelopes that hold nothing but repetitions, and of watermarks. Without a URL it uses
//! a new SQLite file in the current directory's file system.
#![expect(clippy::print_stdout, reason = "a program that prints figures")]
#![expect(clippy::disallowed_methods, reason = "measures with the real clock")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::unchecked_time_subtraction,
    reason = "figures for people, of a few million messages and seconds at most"
)]

use std::{
    error::Error,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use posthouse_protocol::{
    federation::stream::{Incarnation, Lane, Standing},
    frame::Class,
    id::{AccountId, ConversationId, DeviceNumber, MessageId, ServerName},
    status::Reached,
    time::{Stamp, Timestamp},
};
use posthouse_storage::{
    bodies::BodyId,
    inbox::StoredMessage,
    receipts::{Watermark, WatermarkRise},
    reception::{InboundStream, Received, ReceivedWatermark, Reception, Receptions, Taken},
};
use posthouse_storage_sql::SqlStore;
use uuid::Uuid;

/// As in the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long each size is measured.
const ROUND: Duration = Duration::from_secs(3);
const PAIRS: usize = 20;
const SIZES: [usize; 5] = [1, 10, 100, 500, 1_000];
const BODY: &[u8] = &[b'x'; 120];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir_in(".")?;
    let file = directory.path().join("speed.db");
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_default();
    let url = if url.is_empty() { file.display().to_string() } else { url };
    let sizes: Vec<usize> = args.filter_map(|size| size.parse().ok()).collect();
    let all = sizes.is_empty();
    let sizes = if all { SIZES.to_vec() } else { sizes };
    let next = now().0 << 16;
    let store = SqlStore::open(&url, id(1, 0)).await?;
    let mut bench = Bench::new(store, next)?;
    println!("size      msg/s  CPU µs/msg  CPU µs/take  p50 µs  p99 µs  statements  round trips");
    for size in sizes {
        bench.round(size).await?;
    }
    if all {
        println!("\nof 100 repetitions: {:.1} µs CPU each", bench.repetitions().await?);
        println!("of 100 watermarks: {:.1} µs CPU each", bench.watermarks().await?);
    }
    println!("{} transactions in all", bench.store.counters().read().transactions);
    bench.store.close().await;
    Ok(())
}

struct Bench {
    store: SqlStore,
    next: u64,
    own: ServerName,
    origin: ServerName,
    stream: InboundStream,
    pairs: Vec<(AccountId, AccountId)>,
}

type Batch = (Vec<Received>, Vec<(BodyId, Bytes)>);

impl Bench {
    fn new(store: SqlStore, next: u64) -> Result<Self, Box<dyn Error>> {
        let (own, origin) = (ServerName::parse("eu.example")?, ServerName::parse("us.example")?);
        let stream = InboundStream::default();
        let mut bench = Self { store, next, own, origin, stream, pairs: Vec::new() };
        for _ in 0..PAIRS {
            let from = AccountId { uuid: bench.id(), server: bench.origin.clone() };
            let to = AccountId { uuid: bench.id(), server: bench.own.clone() };
            bench.pairs.push((from, to));
        }
        Ok(bench)
    }

    fn id(&mut self) -> Uuid {
        self.next += 1;
        id(self.next, self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn batch(&mut self, size: usize) -> Batch {
        let at = now();
        let mut bodies = Vec::with_capacity(size);
        let mut batch = Vec::with_capacity(size);
        for n in 0..size {
            let (from, to) = self.pairs[(self.next as usize + n) % PAIRS].clone();
            let mut random = [0; 10];
            random.copy_from_slice(&self.id().as_bytes()[6..]);
            let body = BodyId::new(at, random);
            bodies.push((body, Bytes::from_static(BODY)));
            let message = StoredMessage {
                part: 0,
                device: None,
                device_number: Some(DeviceNumber::FIRST),
                device_list_version: None,
                id: MessageId(self.id()),
                to: to.to_string(),
                conversation: ConversationId::direct(&from, &to),
                stamp: Stamp(Stamp::at(at).0 + n as u64),
                origin_number: self.next,
                class: Class::Message,
                collapse: None,
                expires: None,
                epoch: None,
                client_timestamp: at,
                accepted_at: at,
                body,
                sender: from,
            };
            batch.push(Received {
                message,
                side: 1,
                recipients: vec![to.uuid],
                discard: false,
                size: BODY.len() as u64,
            });
        }
        (batch, bodies)
    }

    /// The stream after `more` sequences.
    fn after(&self, more: usize) -> InboundStream {
        let first = Incarnation { number: 1, random: [7; 16] };
        let start = || Standing::start(&self.origin, &self.own, first);
        let mut standing = self.stream.standing.unwrap_or_else(start);
        standing.lanes.of_mut(Lane::Messages).through += more as u64;
        InboundStream { standing: Some(standing), since: self.stream.since.or_else(|| Some(now())) }
    }

    async fn take(
        &mut self,
        (messages, bodies): &Batch,
        watermarks: &[ReceivedWatermark],
    ) -> Result<(), Box<dyn Error>> {
        let next = self.after(messages.len() + watermarks.len());
        let reception = Reception {
            origin: &self.origin,
            expected: &self.stream,
            next: &next,
            lane: Lane::Messages,
            messages,
            bodies,
            watermarks,
            rejected: &[],
            voids: &[],
            now: now(),
        };
        match self.store.take(&reception).await? {
            Taken::Done { .. } => self.stream = next,
            Taken::Moved => return Err("the stream has moved".into()),
        }
        Ok(())
    }

    async fn round(&mut self, size: usize) -> Result<(), Box<dyn Error>> {
        for _ in 0..20 {
            let batch = self.batch(size);
            self.take(&batch, &[]).await?;
        }
        let before = self.store.counters().read();
        let (mut times, mut making) = (Vec::new(), Duration::ZERO);
        let (cpu, start) = (cpu()?, Instant::now());
        while start.elapsed() < ROUND {
            let began = Instant::now();
            let batch = self.batch(size);
            making += began.elapsed();
            let began = Instant::now();
            self.take(&batch, &[]).await?;
            times.push(began.elapsed());
        }
        let elapsed = start.elapsed() - making;
        let cpu = self::cpu()? - cpu - making;
        let after = self.store.counters().read();
        let takes = times.len();
        times.sort_unstable();
        let micros = |at: usize| times[at.min(takes - 1)].as_micros();
        let messages = (takes * size) as f64;
        println!(
            "{size:4} {:10.0} {:11.1} {:12.0} {:7} {:7} {:11.1} {:12.1}",
            messages / elapsed.as_secs_f64(),
            cpu.as_secs_f64() * 1e6 / messages,
            cpu.as_secs_f64() * 1e6 / takes as f64,
            micros(takes / 2),
            micros(takes * 99 / 100),
            (after.statements - before.statements) as f64 / takes as f64,
            (after.round_trips - before.round_trips) as f64 / takes as f64,
        );
        Ok(())
    }

    async fn repetitions(&mut self) -> Result<f64, Box<dyn Error>> {
        let batch = self.batch(100);
        self.take(&batch, &[]).await?;
        let (cpu, start, mut count) = (cpu()?, Instant::now(), 0);
        while start.elapsed() < ROUND {
            self.take(&batch, &[]).await?;
            count += 100;
        }
        Ok((self::cpu()? - cpu).as_secs_f64() * 1e6 / f64::from(count))
    }

    /// Watermarks over numbers that this region gave: one for each of 100 readers, who get further
    /// with each envelope.
    async fn watermarks(&mut self) -> Result<f64, Box<dyn Error>> {
        use posthouse_storage::ledger::{Accept, Ledger};
        let (readers, teller) = ((0..100).map(|_| self.id()).collect::<Vec<_>>(), self.id());
        let sender = AccountId { uuid: teller, server: self.own.clone() };
        let mut conversations = Vec::new();
        for reader in readers {
            let reader = AccountId { uuid: reader, server: self.origin.clone() };
            let conversation = ConversationId::direct(&sender, &reader);
            let mut batch = Vec::new();
            for _ in 0..MESSAGES {
                let at = now();
                batch.push(Accept {
                    part: 0,
                    sender: sender.clone(),
                    device: posthouse_protocol::id::DeviceId(teller),
                    device_number: DeviceNumber::FIRST,
                    id: MessageId(self.id()),
                    conversation,
                    side: 1,
                    prev: None,
                    after: None,
                    recipients: Vec::new(),
                    discard: false,
                    destinations: Vec::new(),
                    to: reader.to_string(),
                    class: Class::Message,
                    collapse: None,
                    expires: None,
                    epoch: None,
                    device_list_version: None,
                    client_timestamp: at,
                    now: at,
                    body: BodyId::new(at, [0; 10]),
                    size: 0,
                });
            }
            self.store.commit(&batch, &[]).await?;
            conversations.push((reader, conversation));
        }
        let (cpu, mut count) = (cpu()?, 0);
        for through in 1..=MESSAGES {
            let rises = conversations.iter().map(|(reader, conversation)| WatermarkRise {
                watermark: Watermark {
                    conversation: *conversation,
                    reader: reader.clone(),
                    origin: self.own.clone(),
                    reached: Reached::Delivered,
                    through,
                    except: Vec::new(),
                    at: now(),
                },
                tell: vec![teller],
                forward: None,
            });
            let rises: Vec<WatermarkRise> = rises.collect();
            let reported = rises.into_iter();
            let reported: Vec<ReceivedWatermark> =
                reported.map(|rise| ReceivedWatermark { id: self.id(), rise }).collect();
            self.take(&Batch::default(), &reported).await?;
            count += 100;
        }
        Ok((self::cpu()? - cpu).as_secs_f64() * 1e6 / f64::from(count))
    }
}

/// Messages in each conversation whose watermarks rise.
const MESSAGES: u64 = 300;

fn id(time: u64, random: u64) -> Uuid {
    // Ordered by time, as version 7 is.
    Uuid::from_u64_pair(time, random)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or_default())
}

/// Time that the threads of this process have run, user and system, in nanoseconds.
fn cpu() -> Result<Duration, Box<dyn Error>> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += stat.split(' ').next().ok_or("no schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}
