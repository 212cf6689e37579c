//! What a commit costs: `cargo run --release -p posthouse-storage-sql --example commit_speed -- [--abroad] [url [size…]]`.
//!
//! 20 pairs of accounts, bodies of 120 bytes, one recipient each, commits of several sizes one after
//! the other. Prints messages per second, CPU time per message (all threads of this process, so on
//! PostgreSQL without the server), statements and round trips per commit. Without a URL it uses a
//! new SQLite file in the current directory's file system.
//!
//! With `--abroad` every message goes to another region instead: after each commit it is loaded and
//! settled, as one envelope with its receipt would, and in the end everything is forgotten.
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
    cursor::Cursor,
    federation::stream::{Lane, PerLane},
    frame::Class,
    id::SessionId,
    id::{AccountId, ConversationId, DeviceId, HandleName, MessageId, RegistrationId, ServerName},
    time::Timestamp,
};
use posthouse_storage::{
    accounts::{Accounts, NewAccount, NewDevice, PasswordHash},
    bodies::BodyId,
    leases::Leases,
    ledger::{Accept, Destination, Ledger, Outcome},
    outbox::{LoadRange, Mark, Outbox, OutboxStream, Settlement},
    sessions::NewSession,
};
use posthouse_storage_sql::SqlStore;
use uuid::Uuid;

/// As in the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long each size is measured.
const ROUND: Duration = Duration::from_secs(3);
const PAIRS: u64 = 20;
const SIZES: [usize; 7] = [1, 2, 5, 10, 30, 100, 500];
const BODY: &[u8] = &[b'x'; 120];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir_in(".")?;
    let file = directory.path().join("speed.db");
    let (flags, args): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|arg| arg == "--abroad");
    let mut args = args.into_iter();
    let url = args.next().unwrap_or_default();
    let url = if url.is_empty() { file.display().to_string() } else { url };
    let sizes: Vec<usize> = args.filter_map(|size| size.parse().ok()).collect();
    let all = sizes.is_empty();
    let sizes = if all { SIZES.to_vec() } else { sizes };
    let store = SqlStore::open(&url, id(1, 0)).await?;
    let mut bench = Bench { store, next: now().0 << 16 };
    let people = bench.people().await?;
    if !flags.is_empty() {
        let sizes = if all { vec![1, 100, 500] } else { sizes };
        bench.abroad(&people, &sizes).await?;
        bench.store.close().await;
        return Ok(());
    }
    println!("size      msg/s  CPU µs/msg  CPU µs/commit  p50 µs  p99 µs  statements  round trips");
    for size in sizes {
        bench.round(&people, size).await?;
    }
    if all {
        println!("\na repetition: {:.1} µs CPU", bench.repetitions(&people).await?);
        println!("page of 100: {:.1} µs CPU per message", bench.pages(&people).await?);
    }
    println!("{} transactions in all", bench.store.counters().read().transactions);
    bench.store.close().await;
    Ok(())
}

struct Bench {
    store: SqlStore,
    next: u64,
}

struct Person {
    account: AccountId,
    device: DeviceId,
}

impl Bench {
    fn id(&mut self) -> Uuid {
        self.next += 1;
        id(self.next, self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    async fn people(&mut self) -> Result<Vec<Person>, Box<dyn Error>> {
        let server = ServerName::parse("eu.example")?;
        let mut people = Vec::new();
        for _ in 0..PAIRS * 2 {
            let (account, device, at) = (self.id(), DeviceId(self.id()), now());
            let session = NewSession {
                id: SessionId(self.id()),
                account,
                device,
                refresh: sha(self.next),
                created_at: at,
                expires_at: at.plus_millis(1_000_000),
            };
            let new_account = NewAccount {
                id: account,
                handle: HandleName::parse(&format!("u{}", self.next))?,
                password_hash: PasswordHash("$argon2id$".into()),
                invite: None,
                created_at: at,
            };
            let new_device = NewDevice {
                id: device,
                account,
                registration_id: RegistrationId::try_from(1)?,
                name: "bench".into(),
                created_at: at,
            };
            self.store.create_account(&new_account, &new_device, &session).await?;
            people.push(Person {
                account: AccountId { uuid: account, server: server.clone() },
                device,
            });
        }
        Ok(people)
    }

    fn batch(&mut self, people: &[Person], size: usize) -> (Vec<Accept>, Vec<(BodyId, Bytes)>) {
        let at = now();
        let mut bodies = Vec::with_capacity(size);
        let mut batch = Vec::with_capacity(size);
        for n in 0..size {
            let at_pair = (self.next as usize + n) % (people.len() / 2) * 2;
            let [from, to] = &people[at_pair..at_pair + 2] else { continue };
            let mut random = [0; 10];
            random.copy_from_slice(&self.id().as_bytes()[6..]);
            let body = BodyId::new(at, random);
            bodies.push((body, Bytes::from_static(BODY)));
            batch.push(Accept {
                part: 0,
                sender: from.account.clone(),
                device: from.device,
                device_number: posthouse_protocol::id::DeviceNumber::FIRST,
                id: MessageId(self.id()),
                conversation: ConversationId::direct(&from.account, &to.account),
                side: 1,
                prev: None,
                after: None,
                recipients: vec![to.account.uuid],
                discard: false,
                destinations: Vec::new(),
                to: to.account.to_string(),
                class: Class::Message,
                collapse: None,
                expires: None,
                epoch: None,
                device_list_version: None,
                client_timestamp: at,
                now: at,
                size: 120,
                body,
            });
        }
        (batch, bodies)
    }

    async fn round(&mut self, people: &[Person], size: usize) -> Result<(), Box<dyn Error>> {
        for _ in 0..20 {
            let (batch, bodies) = self.batch(people, size);
            self.store.commit(&batch, &bodies).await?;
        }
        let before = self.store.counters().read();
        let (mut times, mut making) = (Vec::new(), Duration::ZERO);
        let (cpu, start) = (cpu()?, Instant::now());
        while start.elapsed() < ROUND {
            let made = Instant::now();
            let (batch, bodies) = self.batch(people, size);
            making += made.elapsed();
            let begun = Instant::now();
            let outcomes = self.store.commit(&batch, &bodies).await?;
            times.push(begun.elapsed());
            assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted(_))));
        }
        let wall = start.elapsed() - making;
        let cpu = self::cpu()? - cpu - making;
        let after = self.store.counters().read();
        times.sort_unstable();
        let commits = times.len() as f64;
        let messages = commits * size as f64;
        println!(
            "{size:4} {:10.0} {:11.2} {:14.1} {:7} {:7} {:11.1} {:12.1}",
            messages / wall.as_secs_f64(),
            cpu.as_secs_f64() * 1e6 / messages,
            cpu.as_secs_f64() * 1e6 / commits,
            times[times.len() / 2].as_micros(),
            times[times.len() * 99 / 100].as_micros(),
            (after.statements - before.statements) as f64 / commits,
            (after.round_trips - before.round_trips) as f64 / commits,
        );
        Ok(())
    }

    /// Everything goes to another region.
    async fn abroad(&mut self, people: &[Person], sizes: &[usize]) -> Result<(), Box<dyn Error>> {
        let region = ServerName::parse("us.example")?;
        let fence = self.store.acquire("us.example", id(1, 0), now(), 1_000_000_000).await?;
        let fence = fence.ok_or("another process holds the lease")?;
        let fresh = OutboxStream { state: Bytes::new(), lanes: PerLane::default() };
        let stream = self.store.stream(&fence, &region, &fresh).await?;
        let mut done = stream.lanes.of(Lane::Messages).receipted.index;
        println!("size      msg/s  CPU µs per message: commit    load  settle  forget   together");
        for &size in sizes {
            let mut cost = [Duration::ZERO; 4];
            let (start, mut making, mut messages) = (Instant::now(), Duration::ZERO, 0_usize);
            let first = done;
            while start.elapsed() < ROUND {
                let made = Instant::now();
                let (mut batch, bodies) = self.batch(people, size);
                for accept in &mut batch {
                    let recipients = core::mem::take(&mut accept.recipients);
                    accept.destinations = vec![Destination { server: region.clone(), recipients }];
                }
                making += made.elapsed();
                let before = cpu()?;
                let outcomes = self.store.commit(&batch, &bodies).await?;
                assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted(_))));
                let committed = cpu()?;
                let range = LoadRange { after: done, limit: size, max_bytes: 1 << 20 };
                let loaded = self.store.load(&fence, &region, Lane::Messages, range).await?;
                assert_eq!(loaded.entries.len(), size);
                let read = cpu()?;
                done += size as u64;
                let to = Mark { index: done, ..Mark::default() };
                let settlement = Settlement { to, rejected: &[], now: now() };
                self.store.settle(&fence, &region, Lane::Messages, settlement).await?;
                let settled = cpu()?;
                cost[0] += committed - before;
                cost[1] += read - committed;
                cost[2] += settled - read;
                messages += size;
            }
            let wall = start.elapsed() - making;
            let before = cpu()?;
            for floor in (first..=done).step_by(size.max(100)) {
                let floor = Mark { index: floor, ..Mark::default() };
                self.store.forget(&fence, &region, Lane::Messages, floor).await?;
            }
            cost[3] = cpu()? - before;
            let each = |cost: Duration| cost.as_secs_f64() * 1e6 / messages as f64;
            let [commit, load, settle, forget] = cost.map(each);
            println!(
                "{size:4} {:10.0} {commit:29.1} {load:7.1} {settle:7.1} {forget:7.1} {:10.1}",
                messages as f64 / wall.as_secs_f64(),
                commit + load + settle + forget,
            );
        }
        Ok(())
    }

    async fn repetitions(&mut self, people: &[Person]) -> Result<f64, Box<dyn Error>> {
        let (batch, bodies) = self.batch(people, 1);
        self.store.commit(&batch, &bodies).await?;
        let (cpu, start, mut count) = (cpu()?, Instant::now(), 0);
        while start.elapsed() < ROUND {
            self.store.commit(&batch, &bodies).await?;
            count += 1;
        }
        Ok((self::cpu()? - cpu).as_secs_f64() * 1e6 / f64::from(count))
    }

    async fn pages(&self, people: &[Person]) -> Result<f64, Box<dyn Error>> {
        let reader = people[1].account.uuid;
        let (cpu, start, mut read) = (cpu()?, Instant::now(), 0);
        let mut cursor = Cursor::START;
        while start.elapsed() < ROUND {
            let page = self.store.page(reader, cursor, 100).await?;
            read += page.entries.len();
            cursor = page.entries.last().map_or(Cursor::START, |entry| entry.cursor);
        }
        Ok((self::cpu()? - cpu).as_secs_f64() * 1e6 / read as f64)
    }
}

fn id(time: u64, random: u64) -> Uuid {
    // Ordered by time, as version 7 is.
    Uuid::from_u64_pair(time, random)
}

fn sha(n: u64) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&n.to_be_bytes());
    hash
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
