//! The suite's own peers against each other: an honest one in place of the server under test keeps
//! every rule that needs no client, and a server that says yes to everything keeps none.

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{Arc, Mutex, atomic::AtomicU64},
        time::{Duration, SystemTime, UNIX_EPOCH},
    };

    use posthouse_conformance::{
        federation::{
            caller::Caller,
            checks::{self, Check},
            keys::Document,
            peer::{Peer, uuid_text},
            run::names,
            site::{Site, bind},
            stage::{Pace, Roles, Stage},
            tls::{self, Authority, fresh_pem},
        },
        http::Endpoint,
        person::Person,
        server::Server,
        verdict::Verdict,
    };
    use serde_json::{Value, json};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };
    use tokio_rustls::TlsAcceptor;

    const MADE: u64 = 1_700_000_000_000;
    const MINUTE: u64 = 1_500;

    /// Checks that look at what a peer that is no server with clients and a listener of its own
    /// cannot have: other peers' documents, the client API, bounds of its own.
    const BEYOND_A_PEER: &[&str] = &[
        "a message into a conversation of others is not delivered there",
        "queries of another origin, for another server, too old, or forged are refused",
    ];

    #[expect(clippy::disallowed_methods, reason = "this is the test's only clock")]
    fn now() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(since.as_millis()).unwrap()
    }

    #[tokio::test]
    async fn an_honest_peer_keeps_what_the_hostile_one_tests() {
        let world = World::new().await;
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let stage = world.stage(listener.local_addr().unwrap()).await;
        let site = Site {
            peers: vec![Arc::clone(&world.north)],
            subject: Document::read(&stage.roles.hostile.document(now())).unwrap(),
            clock: now,
            minute: MINUTE,
        };
        let config =
            tls::server(&stage.authority, [(world.north.name.as_str(), &world.north.credential)]);
        let serving = tokio::spawn(Arc::new(site).serve(listener, config.unwrap()));
        let mut ran = 0;
        for (group, check) in hostile_checks() {
            if BEYOND_A_PEER.contains(&check.statement) {
                continue;
            }
            let verdict = check.run(&stage).await;
            assert_eq!(verdict, Ok(()), "{group}: {}", check.statement);
            ran += 1;
        }
        serving.abort();
        assert!(ran > 60, "{ran}");
    }

    #[tokio::test]
    async fn a_server_that_says_yes_keeps_nothing() {
        let world = World::new().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stage = world.stage(listener.local_addr().unwrap()).await;
        let config =
            tls::server(&stage.authority, [(world.north.name.as_str(), &world.north.credential)]);
        let acceptor = TlsAcceptor::from(config.unwrap());
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(agree(acceptor.clone(), stream));
            }
        });
        // The stream counts as open, so that no check fails for the want of one.
        let life =
            posthouse_conformance::federation::lanes::Incarnation { number: 2, random: [7; 16] };
        let mut ran = 0;
        for (group, check) in hostile_checks() {
            stage.roles.hostile.begin(&world.north.name, life);
            if matches!(group, "federation: hostile connections and requests") {
                continue;
            }
            let verdict = check.run(&stage).await;
            assert!(verdict.is_err(), "{group}: {} passed", check.statement);
            ran += 1;
        }
        serving.abort();
        assert!(ran > 50, "{ran}");
    }

    fn hostile_checks() -> Vec<(&'static str, Check)> {
        let wanted = [
            "federation: hostile connections and requests",
            "federation: hostile envelopes",
            "federation: hostile streams",
        ];
        let groups = checks::groups().into_iter().filter(|group| wanted.contains(&group.name));
        groups
            .flat_map(|group| group.checks.into_iter().map(move |check| (group.name, check)))
            .collect()
    }

    /// Answers every request with 200 and nothing.
    async fn agree(acceptor: TlsAcceptor, stream: TcpStream) {
        let Ok(mut stream) = acceptor.accept(stream).await else { return };
        let mut head = [0; 4096];
        drop(stream.read(&mut head).await);
        let yes = b"HTTP/1.1 200 OK\r\ncontent-type: application/cbor\r\ncontent-length: 0\r\n\r\n";
        drop(stream.write_all(yes).await);
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
    }

    struct World {
        pem: (String, String),
        north: Arc<Peer>,
    }

    impl World {
        async fn new() -> Self {
            let pem = fresh_pem().unwrap();
            let authority = Authority::from_pem(&pem.0, &pem.1).unwrap();
            let north = Arc::new(Peer::new("north.test", MADE, &authority).unwrap());
            tokio::task::yield_now().await;
            Self { pem, north }
        }

        /// A stage whose subject is the honest peer, and whose local users are its only one.
        async fn stage(&self, address: SocketAddr) -> Stage {
            let authority = Authority::from_pem(&self.pem.0, &self.pem.1).unwrap();
            let peers: Vec<_> = names("peer.test")
                .into_iter()
                .map(|name| Arc::new(Peer::new(&name, MADE, &authority).unwrap()))
                .collect();
            let [honest, witness, hostile, forger, keys, expired] = peers.try_into().unwrap();
            let roles = Roles { honest, witness, hostile, forger, keys, expired };
            let versions = &[&rustls::version::TLS13];
            let caller = Caller {
                address,
                domain: self.north.name.clone(),
                source: None,
                config: tls::client(&authority, Some(&roles.honest.credential), versions).unwrap(),
                patience: Duration::from_secs(20),
            };
            let inbox = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = Endpoint::parse(&format!("http://{}", inbox.local_addr().unwrap()));
            let (north, origin) = (Arc::clone(&self.north), roles.hostile.name.clone());
            tokio::spawn(serve_inbox(inbox, north, origin));
            Stage {
                server: Server::discover(endpoint.unwrap(), None, 7).await.unwrap(),
                subject: Document::read(&self.north.document(now())).unwrap(),
                caller,
                quiet_source: None,
                authority,
                stranger: Authority::fresh().unwrap(),
                roles,
                people: vec![person(&self.north), person(&self.north)],
                pace: Pace {
                    patience: Duration::from_secs(5),
                    minute: Duration::from_secs(5),
                    slow: Duration::from_secs(30),
                    harm: Duration::from_millis(100),
                    connections: 200,
                    ephemerals: 100,
                },
                clock: now,
                seed: 7,
                drawn: AtomicU64::new(0),
                numbers: Mutex::default(),
                local: Mutex::default(),
            }
        }
    }

    fn person(north: &Peer) -> Person {
        let account = north.account();
        let tokens = json!({
            "account_id": account, "handle": north.handle, "device_id": "x", "device": 1,
            "session_id": "x", "access_token": "x", "refresh_token": "x",
        });
        let read: Verdict<Person> = Person::logged_in(&tokens, "x");
        read.unwrap()
    }

    /// As much of a client API as shows what the honest peer took.
    async fn serve_inbox(listener: TcpListener, north: Arc<Peer>, origin: String) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            drop(stream.read(&mut head).await);
            let received = north.state().received.clone();
            let mut seen = std::collections::BTreeSet::new();
            let messages: Vec<Value> = received
                .iter()
                .filter(|one| one.event.as_ref().is_some_and(|event| event.kind == 1))
                .filter_map(|one| {
                    let from = format!("{}@{origin}", uuid_text(one.enclosed.sender?));
                    let new = seen.insert((one.id(), from.clone()));
                    new.then(|| json!({"id": one.id(), "from": from}))
                })
                .collect();
            let body = json!({
                "server_name": "north.test", "registration": "open",
                "messages": messages, "events": [], "has_more": false, "next_cursor": "c0",
            })
            .to_string();
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            drop(stream.write_all(answer.as_bytes()).await);
        }
    }
}
