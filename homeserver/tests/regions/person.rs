//! Two running regions, and people with one device and real keys in them.

use std::{net::SocketAddr, net::UdpSocket, time::Duration};

use posthouse_federation::zone::Zone;
use posthouse_protocol::{
    id::{AccountId, HandleName, ServerName},
    rest::{NewDevice, Register, Secret, SessionTokens},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{
    http::{Answer, exchange},
    keyring::Keyring,
    server::{At, Place, Server, posthouse},
};

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Two regions that find each other, or three.
pub(crate) struct Pair {
    pub(crate) north: Server,
    pub(crate) south: Server,
    pub(crate) west: Option<Server>,
    places: Vec<Place>,
    dns: JoinHandle<()>,
}

impl Pair {
    pub(crate) fn start() -> Self {
        Self::start_with(&[], |_, at, _| at)
    }

    /// With more settings, and with something in front of each region: `front` is given the region,
    /// where it listens, and the other one, and says where the other one is to find it.
    pub(crate) fn start_with(
        settings: &[&str],
        front: impl FnMut(&Place, SocketAddr, &Place) -> SocketAddr,
    ) -> Self {
        Self::start_all(&["north.test", "south.test"], settings, front)
    }

    /// With a third region.
    pub(crate) fn start_with_west() -> Self {
        Self::start_all(&["north.test", "south.test", "west.test"], &[], |_, at, _| at)
    }

    fn start_all(
        domains: &[&str],
        settings: &[&str],
        mut front: impl FnMut(&Place, SocketAddr, &Place) -> SocketAddr,
    ) -> Self {
        let dns = UdpSocket::bind("127.0.0.1:0").unwrap();
        dns.set_nonblocking(true).unwrap();
        let domains: Vec<(&str, &[&str])> =
            domains.iter().map(|domain| (*domain, &[][..])).collect();
        let mut places = Place::federated(dns.local_addr().unwrap(), &domains);
        for place in &mut places {
            place.settings.push("client.rate_limits=false".to_owned());
            place.settings.extend(settings.iter().map(|setting| (*setting).to_owned()));
        }
        let [north, south] = [&places[0], &places[1]].map(|place| place.start(At::any()));
        let west = places.get(2).map(|place| place.start(At::any()));
        let mut regions = vec![(&places[0], &north, &places[1]), (&places[1], &south, &places[0])];
        regions.extend(west.iter().map(|west| (&places[2], west, &places[0])));
        let found: Vec<_> = regions
            .into_iter()
            .map(|(place, server, other)| {
                let at = front(place, server.at.federation, other);
                (ServerName::parse(&place.domain).unwrap(), at)
            })
            .collect();
        let zone = Zone::new(found);
        let dns = tokio::spawn(async move {
            zone.serve(tokio::net::UdpSocket::from_std(dns).unwrap()).await.unwrap();
        });
        Self { north, south, west, places, dns }
    }
}

impl Pair {
    /// Where the regions' files are.
    pub(crate) fn dirs(&self) -> Vec<&std::path::Path> {
        self.places.iter().map(|place| place.dir.path()).collect()
    }

    /// Starts north again, where it was.
    pub(crate) fn restart_north(&mut self) {
        self.north = self.places[0].start(self.north.at);
    }

    /// Whether an order to south was carried out.
    pub(crate) fn order_south(&self, order: &[&str]) -> bool {
        let mut command = posthouse(order[0]);
        command.args(&order[1..]).arg("--config");
        command.arg(self.places[1].dir.path().join("posthouse.toml"));
        command.args(["--set", &format!("operator.listen={}", self.south.at.operator)]);
        let output = command.output().unwrap();
        println!("{order:?}: {output:?}");
        output.status.success()
    }

    /// Starts south again, where it was.
    pub(crate) fn restart_south(&mut self) {
        self.south = self.places[1].start(self.south.at);
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.dns.abort();
        if std::thread::panicking() {
            for place in &self.places {
                println!("{}:\n{}", place.domain, place.log());
            }
        }
    }
}

/// A person with a device.
pub(crate) struct Person {
    at: SocketAddr,
    pub(crate) tokens: SessionTokens,
    pub(crate) keyring: Keyring,
}

impl Person {
    pub(crate) async fn register(server: &Server, handle: &str, seed: u64) -> Self {
        let request = Register {
            handle: HandleName::parse(handle).unwrap(),
            password: Secret(PASSWORD.into()),
            invite: None,
            device: NewDevice::default(),
        };
        let at = server.at.client;
        let answer = exchange(at, "POST", "/v1/accounts", None, Some(json!(request))).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let tokens = serde_json::from_value(answer.body).unwrap();
        Self { at, tokens, keyring: Keyring::new(seed) }
    }

    /// Registered, with an identity key, a device list, and so many one-time keys of each kind.
    pub(crate) async fn with_keys(server: &Server, handle: &str, keys: usize) -> Self {
        let mut person = Self::register(server, handle, 1).await;
        let identity = json!({ "identity_key": person.keyring.identity_key() });
        assert_eq!(person.call("PUT", "/v1/keys/identity", Some(identity)).await.status, 204);
        person.sign_list(1).await;
        let upload = json!(person.keyring.upload(keys));
        let answer = person.call("POST", "/v1/keys/prekeys", Some(upload)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        person
    }

    pub(crate) fn account(&self) -> &AccountId {
        &self.tokens.account_id
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        exchange(self.at, method, path, Some(&self.tokens.access_token), body).await
    }

    /// The number and registration id of each of the account's devices.
    pub(crate) async fn devices(&self) -> Vec<(u64, u32)> {
        let answer = self.call("GET", "/v1/devices", None).await;
        let one = |one: &Value| {
            let registration = one["registration_id"].as_u64().unwrap();
            (one["device"].as_u64().unwrap(), u32::try_from(registration).unwrap())
        };
        answer.body["devices"].as_array().unwrap().iter().map(one).collect()
    }

    /// Signs a list of the account's devices.
    pub(crate) async fn sign_list(&mut self, version: u64) {
        let devices = self.devices().await;
        let list = self.keyring.list(&self.tokens.account_id, version, &devices);
        let answer = self.call("PUT", "/v1/keys/device-list", Some(list)).await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// Adds a device to the account.
    pub(crate) async fn log_in_again(&self, handle: &str) -> Self {
        let answer = self.log_in_as(handle).await;
        assert!(answer.status < 300, "{answer:?}");
        let tokens = serde_json::from_value(answer.body).unwrap();
        Self { at: self.at, tokens, keyring: Keyring::new(9) }
    }

    /// Logs in at this person's region.
    pub(crate) async fn log_in_as(&self, user: &str) -> Answer {
        let request = json!({ "user": user, "password": PASSWORD, "device": {} });
        exchange(self.at, "POST", "/v1/sessions", None, Some(request)).await
    }

    pub(crate) async fn claim(&self, of: &AccountId, request: u128) -> Answer {
        let body = json!({ "request_id": Uuid::from_u128(request) });
        self.call("POST", &format!("/v1/users/{of}/bundles"), Some(body)).await
    }

    /// Sends a ciphertext to each of these devices of somebody.
    pub(crate) async fn seal(&self, to: &AccountId, devices: &[(u64, u32)], id: u128) -> Answer {
        self.seal_part(to, devices, (id, false)).await
    }

    /// Sends a ciphertext to those of these devices that the message with this id did not serve.
    pub(crate) async fn supplement(
        &self,
        to: &AccountId,
        devices: &[(u64, u32)],
        id: u128,
    ) -> Answer {
        self.seal_part(to, devices, (id, true)).await
    }

    async fn seal_part(
        &self,
        to: &AccountId,
        devices: &[(u64, u32)],
        (id, supplement): (u128, bool),
    ) -> Answer {
        let one = |(device, registration): &(u64, u32)| json!({ "device": device, "registration_id": registration, "type": 1, "data": "AAAA" });
        let ciphertexts: Vec<Value> = devices.iter().map(one).collect();
        let content = json!({ "type": "encrypted", "encrypted": true, "ciphertexts": ciphertexts });
        let id = Uuid::from_u128(id);
        let body = json!({ "id": id, "to": to, "content": content, "supplement": supplement });
        self.call("POST", "/v1/messages", Some(body)).await
    }

    pub(crate) async fn send(&self, to: &AccountId, id: u128, content: Value) -> Answer {
        let id = Uuid::from_u128(id);
        let body = json!({ "id": id, "to": to, "content": content });
        self.call("POST", "/v1/messages", Some(body)).await
    }

    /// The inbox.
    pub(crate) async fn inbox(&self) -> Value {
        let answer = self.call("GET", "/v1/messages/sync?since=c0&limit=1000", None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}
