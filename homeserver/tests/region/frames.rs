//! The AsyncAPI document against the running region: every frame that it sends is one of the document's,
//! all of those are seen, and every documented frame from a client is understood.

use std::{collections::BTreeSet, sync::LazyLock, time::Duration};

use jsonschema::Validator;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    calls::{call, devices},
    device::{Device, PATIENCE},
    home::Home,
    signer::{Signer, created, joined},
};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_slice(&posthouse_client_api::documents::asyncapi().bytes).unwrap()
});

/// What the document says that the server sends: names and validators.
static SENT: LazyLock<Vec<(String, Validator)>> = LazyLock::new(|| {
    let operations = DOCUMENT["operations"].as_object().unwrap().values();
    let sent = operations.filter(|operation| operation["action"] == "send");
    sent.map(|operation| {
        let name = operation["messages"][0]["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let payload = &DOCUMENT["components"]["messages"][name]["payload"];
        let whole = json!({ "allOf": [payload], "components": DOCUMENT["components"] });
        (name.to_owned(), jsonschema::draft202012::new(&whole).unwrap())
    })
    .collect()
});

/// The one documented frame that a text is.
fn name(text: &str) -> &'static str {
    let value: Value = serde_json::from_str(text).unwrap();
    let fits = SENT.iter().filter(|(_, validator)| validator.is_valid(&value));
    let names: Vec<&'static str> = fits.map(|(name, _)| name.as_str()).collect();
    let [only] = names[..] else { panic!("{names:?} are what the document has for {text}") };
    only
}

/// A WebSocket without a library, to see the very bytes.
struct Raw(TcpStream);

impl Raw {
    async fn open(home: &Home, device: &Device) -> Self {
        let mut stream = TcpStream::connect(home.address()).await.unwrap();
        let request = format!(
            "GET /v1/connect HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: {}\r\n\r\n",
            device.token().0,
            DOCUMENT["channels"]["socket"]["x-subprotocol"].as_str().unwrap()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("posthouse.v1"), "{head}");
        Self(stream)
    }

    async fn send(&mut self, text: &str) {
        // Masked with zeros, which change nothing (RFC 6455 §5.3).
        let mut frame = vec![0x81, 0x80 + 126];
        frame.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        self.0.write_all(&frame).await.unwrap();
    }

    /// The next text; pings of the server are passed over.
    async fn text(&mut self) -> String {
        loop {
            let opcode = self.0.read_u8().await.unwrap() & 0x0f;
            let length = match self.0.read_u8().await.unwrap() {
                126 => usize::from(self.0.read_u16().await.unwrap()),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await.unwrap();
            match opcode {
                1 => return String::from_utf8(payload).unwrap(),
                9 | 10 => {}
                other => panic!("opcode {other}"),
            }
        }
    }

    /// Reads until a frame of this name, and remembers all names.
    async fn until(&mut self, wanted: &str, seen: &mut BTreeSet<&'static str>) -> Value {
        let reading = async {
            loop {
                let text = self.text().await;
                let name = name(&text);
                seen.insert(name);
                if name == wanted {
                    return serde_json::from_str(&text).unwrap();
                }
            }
        };
        timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("no {wanted} comes"))
    }
}

fn message(to: &Device) -> Value {
    json!({"type": "message", "id": super::device::new_id(), "to": to.account(),
        "content": {"type": "encrypted", "encrypted": true, "body": "aGVsbG8="}})
}

#[tokio::test]
async fn every_frame_that_is_sent_is_documented_and_all_are_seen() {
    let home = Home::start().await;
    let (mut ada, mut ben) = (Signer::new(&home, "ada").await, Signer::new(&home, "ben").await);
    let other = Device::log_in(&home, "ada").await;
    let mut seen = BTreeSet::new();
    let mut adas = Raw::open(&home, &ada.device).await;
    let mut bens = Raw::open(&home, &ben.device).await;
    for socket in [&mut adas, &mut bens] {
        socket.until("CaughtUpFrame", &mut seen).await;
    }
    bens.send(r#"{"type":"ping","ref":"7"}"#).await;
    bens.until("PongFrame", &mut seen).await;
    bens.send(r#"{"type":"dance","ref":"8"}"#).await;
    let error = bens.until("ErrorFrame", &mut seen).await;
    assert_eq!((&error["code"], &error["ref"]), (&json!("unknown_type"), &json!("8")));

    // A stranger writes: a request is made, and the message delivered and acknowledged.
    bens.send(&message(&ada.device).to_string()).await;
    bens.until("StatusFrame", &mut seen).await;
    let received = adas.until("MessageFrame", &mut seen).await;
    adas.send(&message(&ben.device).to_string()).await;
    bens.until("MessageFrame", &mut seen).await;
    let through = json!({"type": "ack", "through": received["cursor"], "status": "read"});
    adas.send(&through.to_string()).await;
    bens.until("WatermarkFrame", &mut seen).await;

    // They have written both ways: presence is seen.
    let watch = json!({"type": "subscribe", "users": [ada.device.account()]});
    bens.send(&watch.to_string()).await;
    bens.until("PresenceFrame", &mut seen).await;
    let typing = json!({"type": "presence", "status": "typing", "to": ben.device.account()});
    adas.send(&typing.to_string()).await;
    while bens.until("PresenceFrame", &mut seen).await["status"] != "typing" {}

    // Another device of Ada changes something, and her devices are signed.
    let privacy = call(&home, "GET", "/v1/account/privacy", Some(other.token()), None).await.body;
    call(&home, "PUT", "/v1/account/privacy", Some(other.token()), Some(privacy)).await;
    adas.until("ChangedFrame", &mut seen).await;
    let listed = devices(&home, &ada.device).await;
    let list = ada.keys.list(ada.device.account(), 1, &listed);
    let put = call(&home, "PUT", "/v1/keys/device-list", Some(other.token()), Some(list)).await;
    assert_eq!(put.status, 204, "{put:?}");
    while bens.until("KeysFrame", &mut seen).await["event"] != "device_list" {}

    // A group of both, in which Ada writes.
    let mut group = created(&home, &mut ada).await;
    joined(&home, &mut group, (&mut ada, &mut ben)).await;
    adas.until("GroupFrame", &mut seen).await;
    let to_group = json!({"type": "message", "id": super::device::new_id(), "to": group.group(),
        "epoch": group.epoch(),
        "content": {"type": "encrypted", "encrypted": true, "body": "aGVsbG8="}});
    adas.send(&to_group.to_string()).await;
    let received = bens.until("MessageFrame", &mut seen).await;
    let through = json!({"type": "ack", "through": received["cursor"], "status": "delivered"});
    bens.send(&through.to_string()).await;
    adas.until("TallyFrame", &mut seen).await;

    let documented: BTreeSet<&str> = SENT.iter().map(|(name, _)| name.as_str()).collect();
    let never: Vec<&str> = documented.difference(&seen).copied().collect();
    assert_eq!(never, ["DevicesChangedFrame"], "it takes another region");
}

#[tokio::test]
async fn every_documented_frame_of_a_client_is_understood() {
    let home = Home::start().await;
    let ada = Device::register(&home, "ada").await;
    Device::register(&home, "bob").await;
    let mut socket = Raw::open(&home, &ada).await;
    let operations = DOCUMENT["operations"].as_object().unwrap().values();
    let mut sent = 0;
    for operation in operations.filter(|operation| operation["action"] == "receive") {
        let name = operation["messages"][0]["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        for example in DOCUMENT["components"]["messages"][name]["examples"].as_array().unwrap() {
            socket.send(&example["payload"].to_string()).await;
            sent += 1;
        }
    }
    assert!(sent >= 10, "{sent}");
    socket.send(r#"{"type":"ping","ref":"the last one"}"#).await;
    let answers = async {
        loop {
            let text = socket.text().await;
            let frame: Value = serde_json::from_str(&text).unwrap();
            if name(&text) == "ErrorFrame" {
                // The examples name users and messages that are not here.
                let strange = ["bad_json", "unknown_type", "bad_request", "too_large", "internal"];
                assert!(!strange.contains(&frame["code"].as_str().unwrap()), "{text}");
            }
            if frame["type"] == "pong" && frame["ref"] == "the last one" {
                return;
            }
        }
    };
    timeout(PATIENCE + Duration::from_secs(1), answers).await.expect("the last answer");
}
