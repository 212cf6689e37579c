//! The SDK and a whole client on the official Signal library talk with each other. The library is AGPL:
//! it runs in a process of its own, for this test only (`crypto/interop/run`).

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use posthouse_client::Update;
use posthouse_protocol::{
    id::{AccountId, GroupId, MessageId},
    rest::groups::Standing,
    status::Status,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    home::Home,
    sdk::{PATIENCE, Sdk},
};

/// The other client.
struct Other {
    child: Child,
    orders: ChildStdin,
    events: mpsc::UnboundedReceiver<Value>,
    account: AccountId,
}

impl Other {
    async fn start(home: &Home, handle: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crypto/interop/client.mjs");
        let at = format!("http://{}", home.address());
        let mut node = Command::new("node");
        node.arg(script).args([&at, handle]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = node.spawn().unwrap();
        let (orders, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (tell, mut events) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // The test may have ended.
                let _ = tell.send(serde_json::from_str(&line).unwrap());
            }
        });
        let registered = event(&mut events, "registered").await;
        assert_eq!(registered["library"], "0.103.0");
        let account = AccountId::parse(registered["account"].as_str().unwrap()).unwrap();
        Self { child, orders, events, account }
    }

    fn order(&mut self, order: &Value) {
        writeln!(self.orders, "{order}").unwrap();
    }

    async fn event(&mut self, kind: &str) -> Value {
        event(&mut self.events, kind).await
    }

    /// Carries an order out that sends a message; its id.
    async fn send(&mut self, order: &Value) -> MessageId {
        self.order(order);
        id_of(&self.event("sent").await["id"])
    }

    async fn hears(&mut self, id: MessageId, text: &str) {
        let heard = self.event("text").await;
        assert_eq!((id_of(&heard["id"]), heard["text"].as_str()), (id, Some(text)));
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn event(events: &mut mpsc::UnboundedReceiver<Value>, kind: &str) -> Value {
    loop {
        let next = tokio::time::timeout(PATIENCE, events.recv()).await;
        let next = next.unwrap_or_else(|_| panic!("no {kind}")).expect("the other client goes on");
        assert_ne!(next["event"], "error", "{next}");
        if next["event"] == kind {
            return next;
        }
    }
}

fn id_of(value: &Value) -> MessageId {
    MessageId(Uuid::parse_str(value.as_str().unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn libsignal_plays_a_whole_client() {
    let home = Home::start().await;
    let mut ada = Sdk::register(&home, "ada").await;
    let mut bob = Other::start(&home, "bob").await;
    let (to_ada, to_bob) = (ada.account().to_string(), bob.account.clone());

    // The other one begins; later the SDK does, with somebody else.
    for round in 0..10 {
        let text = format!("from libsignal {round}");
        let id = bob.send(&json!({ "do": "send", "to": to_ada, "text": text })).await;
        let heard = ada.message().await;
        assert_eq!((heard.id, heard.said.text()), (id, Some(text.as_str())));
        let text = format!("from the SDK {round}");
        let id = ada.client.send_text(&to_bob, &text).await.unwrap();
        bob.hears(id, &text).await;
        ada.status(id, Status::Delivered).await;
        bob.send(&json!({ "do": "read", "to": to_ada, "ids": [id.0] })).await;
        ada.status(id, Status::Read).await;
    }
    ada.client.mark_read(&to_bob).await.unwrap();
    let receipt = bob.event("receipt").await;
    assert_eq!(receipt["ids"].as_array().unwrap().len(), 10, "{receipt}");
    ada.client.set_typing(&to_bob, true).await.unwrap();
    assert_eq!(bob.event("other").await["kind"], 8);

    let mut cid = Sdk::register(&home, "cid").await;
    let first = cid.client.send_text(&to_bob, "the SDK begins").await.unwrap();
    bob.hears(first, "the SDK begins").await;
    let to_cid = cid.account().to_string();
    let id = bob.send(&json!({ "do": "send", "to": to_cid, "text": "and is answered" })).await;
    assert_eq!(cid.message().await.id, id);

    let group = in_a_group(&mut ada, &mut bob, &mut cid).await;
    for round in 0..3 {
        let text = format!("to the group {round}");
        let id = ada.client.send_to_group(&group, &text).await.unwrap();
        bob.hears(id, &text).await;
        assert_eq!(cid.message().await.id, id);
        let id = bob.send(&json!({ "do": "say", "group": group, "text": text })).await;
        for one in [&mut ada, &mut cid] {
            let heard = one.message().await;
            let seen = (heard.id, heard.group.as_ref(), heard.said.text());
            assert_eq!(seen, (id, Some(&group), Some(text.as_str())));
        }
    }

    // Whoever is removed hears nothing more.
    ada.client.remove(&group, cid.account()).await.unwrap();
    cid.in_group(&group, None, 6).await;
    let id = ada.client.send_to_group(&group, "the two of us").await.unwrap();
    bob.hears(id, "the two of us").await;
    let own = cid.client.group_timeline(&group, None, 20).await.unwrap();
    assert!(own.iter().all(|entry| entry.id != id));
}

async fn in_a_group(ada: &mut Sdk, bob: &mut Other, cid: &mut Sdk) -> GroupId {
    let people = [bob.account.clone(), cid.account().clone()];
    let group = ada.client.create_group("Riders", &people).await.unwrap();
    cid.join(&group).await;
    bob.order(&json!({ "do": "join", "group": group }));
    bob.event("joined").await;
    for (one, standing) in [(ada, Standing::Owner), (cid, Standing::Member)] {
        one.wait("three members", |update| match update {
            Update::Group { group: of, standing: now, epoch: 5.. } => {
                (*of == group && *now == Some(standing)).then_some(())
            }
            _ => None,
        })
        .await;
    }
    group
}
