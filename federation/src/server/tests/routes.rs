//! What each route answers, good and bad.

use super::*;

const ENVELOPES: &str = "/federation/v1/envelopes";
const RESOLVE: &str = "/federation/v1/query/resolve";
const PROFILE: &str = "/federation/v1/query/profile";
const ECHO: &str = "/federation/v1/echo";
const DEVICES: &str = "/federation/v1/query/devices";
const BUNDLE: &str = "/federation/v1/query/bundle";

#[tokio::test]
async fn every_route_answers_over_one_connection() {
    let bench = Bench::new(Config::default()).await;
    let mut wire = bench.wire().await;
    let said = wire.post(ENVELOPES, &bench.envelope(1, "south.test")).await;
    assert_eq!(said.status, 200);
    assert!(said.head.contains("content-type: application/cbor\r\n"));
    let receipt = SignedReceipt::decode(&said.body).unwrap();
    let receipt = receipt.verify(&bench.south.signing.verifying_key()).unwrap();
    assert_eq!(receipt.receipt().outcome, Outcome::Accepted);
    assert_eq!(bench.south.store.from(&name("north.test")).effects.len(), 1);

    let said = wire.get("/federation/v1/server").await;
    assert_eq!((said.status, &said.body), (200, &bench.south.document().encode()));

    let said = wire.get("/federation/v1/keylog").await;
    assert!(follow(&name("south.test"), None, &decode_log(&said.body).unwrap()).is_ok());

    for (handle, account) in [("alice", Some(Uuid::from_u128(0xa11ce))), ("nobody", None)] {
        let said = wire.post(RESOLVE, &bench.handle(handle)).await;
        assert_eq!(ResolveAnswer::decode(&said.body).unwrap().account, account);
    }

    for (account, version) in [(0xa11ce, 2), (7, 0)] {
        let asked = bench.sign(bench.query(ProfileOf(Uuid::from_u128(account))));
        let answer = ProfileAnswer::decode(&wire.post(PROFILE, &asked).await.body).unwrap();
        assert_eq!(answer.version, version);
        assert_eq!(answer.account.is_some(), answer.name.is_some());
    }

    let nonce = Nonce([9; 16]);
    let said = wire.post(ECHO, &bench.sign(bench.query(nonce))).await;
    let answer = Signed::<EchoAnswer>::decode(&said.body).unwrap();
    let answer = answer.verify(&bench.south.signing.verifying_key()).unwrap().into_value();
    assert_eq!((answer.nonce, answer.to), (nonce, name("north.test")));
    assert_eq!(answer.created, bench.south.clock.now());

    let counted: Vec<_> = bench.running.counters.requests().collect();
    let expected = [
        ("bundle", 0),
        ("devices", 0),
        ("echo", 1),
        ("envelopes", 1),
        ("group", 0),
        ("keylog", 1),
        ("profile", 2),
        ("resolve", 2),
        ("server", 1),
        ("other", 0),
    ];
    assert_eq!(counted, expected);
    assert_eq!(bench.running.counters.connections.load(Relaxed), 1);
    let heard = bench.south.heard.0.lock().unwrap().len();
    assert_eq!(heard, 6, "the envelope, two handles, two profiles, the echo");
}

#[tokio::test]
async fn questions_about_keys_are_answered_in_the_name_of_the_region_that_asks() {
    let bench = Bench::new(Config::default()).await;
    let mut wire = bench.wire().await;
    let (alice, nobody) = (Uuid::from_u128(0xa11ce), Uuid::from_u128(1));
    let server = name("south.test");
    let account = |uuid| AccountId { uuid, server: server.clone() };
    for (uuid, known) in [(alice, true), (nobody, false)] {
        let said = wire.post(DEVICES, &bench.sign(bench.query(DevicesOf(uuid)))).await;
        let answer = DevicesAnswer::decode(&said.body, &account(uuid)).unwrap();
        assert_eq!(answer.devices.is_some(), known);
    }
    let claim = |account, requester, request| BundlesOf {
        account,
        requester: Uuid::from_u128(requester),
        request: Uuid::from_u128(request),
        devices: None,
    };
    for (uuid, want) in [(alice, BundlesAnswer::NoIdentity), (nobody, BundlesAnswer::NoAccount)] {
        let said = wire.post(BUNDLE, &bench.sign(bench.query(claim(uuid, 2, 3)))).await;
        assert_eq!(BundlesAnswer::decode(&said.body, &account(uuid)), Ok(want));
    }
    let refusal = wire.post(BUNDLE, &bench.sign(bench.query(claim(alice, 0, 1)))).await.refusal();
    assert_eq!((refusal.code, refusal.retry_after), (RefusalCode::RateLimited, Some(7)));
    let refusal = wire.post(BUNDLE, &bench.sign(bench.query(claim(alice, 1, 0)))).await.refusal();
    assert_eq!(refusal.code, RefusalCode::Overloaded);
    assert!(!refusal.detail.contains("database"));
    // Each question has an address and a label of its own.
    let said = wire.post(BUNDLE, &bench.sign(bench.query(DevicesOf(alice)))).await;
    assert_eq!(said.refusal().code, RefusalCode::Malformed);
    let said = wire.post(DEVICES, &bench.sign(bench.query(Nonce(alice.into_bytes())))).await;
    assert_eq!(said.refusal().code, RefusalCode::BadSignature);
}

#[tokio::test]
async fn other_addresses_methods_and_types_are_refused() {
    let bench = Bench::new(Config::default()).await;
    let mut wire = bench.wire().await;
    for path in ["/", "/federation/v1/envelopes/", "/federation/v2/server", "/metrics"] {
        assert_eq!(wire.get(path).await.refusal().code, RefusalCode::NotFound, "{path}");
    }
    assert_eq!(wire.get(ENVELOPES).await.refusal().code, RefusalCode::NotFound);
    assert_eq!(bench.running.refusals("not_found"), 5);
    for headers in [
        "",
        "content-type: application/json\r\n",
        "content-type: application/cbor\r\ncontent-encoding: gzip\r\n",
    ] {
        let mut wire = bench.wire().await;
        wire.send(&request(ENVELOPES, headers, b"x")).await;
        assert_eq!(wire.answer().await.unwrap().refusal().code, RefusalCode::Malformed);
    }
    let mut wire = bench.wire().await;
    let said = wire.post(ENVELOPES, b"no envelope").await;
    assert_eq!(said.refusal().code, RefusalCode::Malformed);
    assert!(!said.closes());
    assert_eq!(wire.get("/federation/v1/server").await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn envelopes_of_others_and_for_others_are_refused() {
    let bench = Bench::new(Config::default()).await;
    let east = bench.world.region("east.test");
    let mut wire = Wire::open(&east, &bench.running, "south.test").await.unwrap();
    let said = wire.post(ENVELOPES, &bench.envelope(1, "south.test")).await;
    assert_eq!(said.refusal().code, RefusalCode::WrongOrigin);
    let mut wire = bench.wire().await;
    let said = wire.post(ENVELOPES, &bench.envelope(1, "east.test")).await;
    assert_eq!(said.refusal().code, RefusalCode::WrongDestination);
    assert!(bench.south.heard.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn queries_are_refused_unless_everything_fits() {
    let bench = Bench::new(Config::default()).await;
    let mut wire = bench.wire().await;
    let alice = || bench.query(HandleName::parse("alice").unwrap());
    let mut check = async |query: Query<HandleName>, code| {
        let said = wire.post(RESOLVE, &bench.sign(query)).await;
        assert_eq!(said.refusal().code, code);
    };
    check(Query { origin: name("east.test"), ..alice() }, RefusalCode::WrongOrigin).await;
    check(Query { destination: name("east.test"), ..alice() }, RefusalCode::WrongDestination).await;
    for created in [-300_001, 300_001] {
        let created = Timestamp(bench.north.clock.now().0.saturating_add_signed(created));
        check(Query { created, ..alice() }, RefusalCode::NotFresh).await;
    }
    for (path, mut other) in
        [(RESOLVE, bench.handle("alice")), (ECHO, bench.sign(bench.query(Nonce([1; 16]))))]
    {
        // [query, signature]: behind the heads of both the first key, and its value.
        assert_eq!(other.get(3..6), Some(&[0xa6, 1, 1][..]));
        other[5] = 2;
        let refusal = wire.post(path, &other).await.refusal();
        assert_eq!(refusal.code, RefusalCode::UnsupportedVersion);
        assert!(refusal.detail.contains("version 2 is not spoken here"), "{}", refusal.detail);
    }
    let other = SigningKey::from_seed(&[7; 32]);
    let said = wire.post(RESOLVE, &Signed::sign(alice(), &other).encode()).await;
    assert_eq!(said.refusal().code, RefusalCode::UnknownKey);
    let mut changed = bench.handle("alice");
    *changed.last_mut().unwrap() ^= 1;
    let said = wire.post(RESOLVE, &changed).await;
    assert_eq!(said.refusal().code, RefusalCode::BadSignature);
    // An echo is no resolve query.
    let said = wire.post(RESOLVE, &bench.sign(bench.query(Nonce([1; 16])))).await;
    assert_eq!(said.refusal().code, RefusalCode::Malformed);
    let said = wire.post(RESOLVE, &bench.handle("broken")).await;
    let refusal = said.refusal();
    assert_eq!((refusal.code, refusal.retry_after), (RefusalCode::Overloaded, Some(1)));
    assert!(!refusal.detail.contains("database"), "what is wrong here is nobody's business");
    assert_eq!(wire.post(RESOLVE, &bench.handle("alice")).await.status, 200);
}

#[tokio::test]
async fn an_unknown_key_is_looked_up_once() {
    let bench = Bench::new(Config::default()).await;
    let keys = &bench.world.keys;
    let known = keys.known.lock().unwrap().get(&name("south.test")).cloned().unwrap();
    let north = keys.known.lock().unwrap().insert(name("north.test"), known).unwrap();
    let mut wire = bench.wire().await;
    let said = wire.post(ECHO, &bench.sign(bench.query(Nonce([1; 16])))).await;
    assert_eq!(said.refusal().code, RefusalCode::UnknownKey);
    keys.newest.lock().unwrap().insert(name("north.test"), north);
    assert_eq!(wire.post(ECHO, &bench.sign(bench.query(Nonce([1; 16])))).await.status, 200);
}
