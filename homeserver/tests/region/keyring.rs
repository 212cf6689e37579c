//! A device with real keys, which speaks to the server in plain HTTP.

use posthouse_crypto::e2ee::{
    prekey::store::PreKeys, primitives::curve::KeyPair, signed::device_list::DeviceList,
    time::UnixMillis,
};
use posthouse_protocol::{
    id::AccountId,
    rest::{
        Secret,
        keys::{
            EcKey, KemKey, KemPreKey, ListDocument, OneTimeKey, Signature, SignedKey, UploadPreKeys,
        },
    },
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{device::Device, home::Home};

/// An answer: its status, and its body if it has one.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) retry_after: Option<u32>,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// One call.
pub(crate) async fn call(
    home: &Home,
    method: &str,
    path: &str,
    token: Option<&Secret>,
    body: Option<Value>,
) -> Answer {
    let mut stream = TcpStream::connect(home.address()).await.unwrap();
    let body = body.map(|body| body.to_string());
    let token = token.map(|token| format!("authorization: Bearer {}\r\n", token.0));
    let kind = body.as_ref().map(|body| {
        format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
    });
    let request = [
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"),
        token.unwrap_or_default(),
        kind.unwrap_or_default(),
        "\r\n".to_owned(),
        body.unwrap_or_default(),
    ]
    .concat();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let retry_after = head.lines().find_map(|line| line.strip_prefix("retry-after: "));
    let retry_after = retry_after.map(|seconds| seconds.parse().unwrap());
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
    Answer { status, body, retry_after }
}

/// The keys of an account, as its first device holds them.
pub(crate) struct Keyring {
    pub(crate) identity: KeyPair,
    pub(crate) prekeys: PreKeys,
    pub(crate) rng: StdRng,
}

impl Keyring {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let identity = KeyPair::generate(&mut rng);
        let prekeys = PreKeys::new(&identity, UnixMillis(1_700_000_000_000), &mut rng);
        Self { identity, prekeys, rng }
    }

    pub(crate) fn identity_key(&self) -> Value {
        json!(EcKey(self.identity.public))
    }

    /// The lasting keys, and one-time keys until there are `target`.
    pub(crate) fn upload(&mut self, target: usize) -> UploadPreKeys {
        let (curve, kem) = self.prekeys.replenish(&self.identity, target, &mut self.rng);
        let signed = self.prekeys.signed_public().unwrap();
        let last = self.prekeys.last_resort_public().unwrap();
        let kem_key = |key: posthouse_crypto::e2ee::prekey::bundle::KemPreKeyPublic| KemPreKey {
            id: key.id.try_into().unwrap(),
            key: KemKey(key.key),
            signature: Signature(key.signature),
        };
        UploadPreKeys {
            signed: Some(SignedKey {
                id: signed.id.try_into().unwrap(),
                key: EcKey(signed.key),
                signature: Signature(signed.signature),
            }),
            last_resort: Some(kem_key(last)),
            one_time: curve
                .into_iter()
                .map(|key| OneTimeKey { id: key.id.try_into().unwrap(), key: EcKey(key.key) })
                .collect(),
            one_time_kem: kem.into_iter().map(kem_key).collect(),
        }
    }

    /// Signs a list of these devices, of which each is a number and a registration id.
    pub(crate) fn list(
        &mut self,
        account: &AccountId,
        version: u64,
        devices: &[(u64, u32)],
    ) -> Value {
        use posthouse_crypto::e2ee::{address::DeviceId, signed::device_list::ListedDevice};
        let issued = UnixMillis(1_700_000_000_000 + version);
        let devices = devices.iter().map(|(number, registration_id)| {
            let listed = ListedDevice { registration_id: *registration_id, added: issued };
            (DeviceId::new(*number).unwrap(), listed)
        });
        let list = DeviceList {
            account: account.to_string(),
            version,
            issued,
            devices: devices.collect(),
            removed: std::collections::BTreeMap::new(),
        };
        json!({ "list": ListDocument(list.sign(&self.identity.private, &mut self.rng)) })
    }
}

/// The number and registration id of each of an account's devices.
pub(crate) async fn devices(home: &Home, device: &Device) -> Vec<(u64, u32)> {
    let answer = call(home, "GET", "/v1/devices", Some(device.token()), None).await;
    let one = |one: &Value| {
        let registration = one["registration_id"].as_u64().unwrap();
        (one["device"].as_u64().unwrap(), u32::try_from(registration).unwrap())
    };
    answer.body["devices"].as_array().unwrap().iter().map(one).collect()
}

/// The `keys` entries of a device's inbox, as [event, user, number].
pub(crate) async fn notices(home: &Home, device: &Device) -> Vec<Value> {
    let path = "/v1/messages/sync?since=c0&limit=1000";
    let page = call(home, "GET", path, Some(device.token()), None).await;
    let events = page.body["events"].as_array().unwrap();
    events.iter().filter(|event| event["type"] == "keys").cloned().collect()
}
