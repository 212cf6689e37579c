//! The listener over real sockets and TLS: every route, every refusal, and hostile peers.

use std::{sync::Arc, time::Duration};

use posthouse_protocol::{
    federation::{
        envelope::{Addressing, Envelope},
        header::Place,
        key_log::{decode_log, follow},
        keys::KeyId,
        limits,
        query::{
            EchoAnswer, Nonce, ProfileAnswer, ProfileOf, Query, Question, ResolveAnswer,
            keys::{BundlesAnswer, BundlesOf, DevicesAnswer, DevicesOf},
        },
        receipt::{Outcome, SignedReceipt},
        record::{self, EventRecord, Record},
        refusal::{Refusal, RefusalCode},
        signed::Signed,
        stream::{Incarnation, Lane, RunningHash},
    },
    id::{AccountId, HandleName},
    time::{Clock as _, Timestamp},
};
use rand::{SeedableRng as _, rngs::StdRng};
use rustls::pki_types;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use uuid::Uuid;

use super::*;
use crate::{
    testing::{Region, Running, World, until},
    tls::{TlsClock, client_config, tests::name},
};

mod bounds;
mod routes;

/// A connection as a peer, spoken by hand.
struct Wire {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
struct Said {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Said {
    fn refusal(&self) -> Refusal {
        let refusal = Refusal::decode(&self.body).unwrap();
        assert_eq!(self.status, refusal.code.status());
        let header = refusal.retry_after.map(|seconds| format!("retry-after: {seconds}\r\n"));
        assert!(self.head.contains(&header.unwrap_or_default()), "{}", self.head);
        refusal
    }

    fn closes(&self) -> bool {
        self.head.contains("connection: close\r\n")
    }
}

impl Wire {
    async fn open(who: &Region, to: &Running, domain: &str) -> io::Result<Self> {
        let clock = Arc::new(TlsClock::new(Arc::clone(&who.clock) as _));
        let (identity, trust) = (Arc::clone(&who.identity), Arc::clone(&who.trust));
        let config = client_config(identity, trust, clock).unwrap();
        let socket = TcpStream::connect(to.address).await?;
        let domain = pki_types::ServerName::try_from(domain.to_owned()).unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(domain, socket).await?;
        Ok(Self { stream, read: Vec::new() })
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn get(&mut self, path: &str) -> Said {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: south.test\r\n\r\n").as_bytes()).await;
        self.answer().await.unwrap()
    }

    async fn post(&mut self, path: &str, body: &[u8]) -> Said {
        self.send(&request(path, "content-type: application/cbor\r\n", body)).await;
        self.answer().await.unwrap()
    }

    /// The next answer; `None` if the connection ends before one.
    async fn answer(&mut self) -> Option<Said> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).unwrap();
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        while self.read.len() < length {
            self.more().await?;
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Said { status, head, body: self.read.drain(..length).collect() })
    }

    async fn more(&mut self) -> Option<()> {
        let mut buffer = vec![0; 16 * 1024];
        let read = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.read.extend_from_slice(&buffer[..read]);
        (read > 0).then_some(())
    }

    /// Waits for the server to end the connection.
    async fn ended(&mut self) {
        let waiting = async { while self.more().await.is_some() {} };
        timeout(Duration::from_secs(10), waiting).await.unwrap();
    }
}

fn request(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: south.test\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Two regions, of which south listens.
struct Bench {
    world: World,
    north: Region,
    south: Region,
    running: Running,
}

impl Bench {
    async fn new(config: Config) -> Self {
        let world = World::new();
        let (north, south) = (world.region("north.test"), world.region("south.test"));
        let running = south.serve(config).await;
        Self { world, north, south, running }
    }

    async fn wire(&self) -> Wire {
        Wire::open(&self.north, &self.running, "south.test").await.unwrap()
    }

    fn envelope(&self, first: u64, to: &str) -> Vec<u8> {
        let incarnation = Incarnation { number: 1, random: [1; 16] };
        let lane = Lane::Messages;
        let before = RunningHash::start(&self.north.name, &self.south.name, &incarnation, lane);
        let place = Place { lane, incarnation, first, count: 1, before, resumes: None };
        let addressing = Addressing {
            origin: self.north.name.clone(),
            destination: name(to),
            created: self.north.clock.now(),
            place: Some(place),
        };
        let event = posthouse_protocol::federation::event::Event::new(
            posthouse_protocol::federation::event::EventKind::Other(900),
            posthouse_protocol::federation::event::EventClass::Control,
        );
        let id = Uuid::from_u128(u128::from(first));
        let records = [Record::Event(EventRecord { id, sender: None, event: Ok(event) })];
        let records = record::encode(&records).unwrap();
        let (key, mut rng) = (self.south.sealing.public_key(), StdRng::seed_from_u64(first));
        Envelope::make(addressing, &records, &key, &self.north.signing, &mut rng).unwrap().encode()
    }

    fn query<Q>(&self, question: Q) -> Query<Q> {
        Query {
            origin: self.north.name.clone(),
            destination: self.south.name.clone(),
            created: self.north.clock.now(),
            signing_key: KeyId([0; 8]),
            question,
        }
    }

    fn sign<Q: Question>(&self, query: Query<Q>) -> Vec<u8> {
        Signed::sign(query, &self.north.signing).encode()
    }

    fn handle(&self, text: &str) -> Vec<u8> {
        self.sign(self.query(HandleName::parse(text).unwrap()))
    }
}
