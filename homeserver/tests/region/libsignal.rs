//! A whole client on the official Signal library. The library is AGPL: it runs in a process of its own,
//! for tests only (`crypto/interop/run`).

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use posthouse_protocol::id::{AccountId, MessageId};
use serde_json::Value;
use tokio::sync::mpsc;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_mins(1);

/// The process.
pub(crate) struct LibsignalClient {
    child: Child,
    orders: ChildStdin,
    events: mpsc::UnboundedReceiver<Value>,
    pub(crate) account: AccountId,
}

impl LibsignalClient {
    /// Registers with the homeserver at this address.
    pub(crate) async fn start(at: SocketAddr, handle: &str) -> Self {
        let mut node = Command::new("node");
        node.arg(script())
            .args([&format!("http://{at}"), handle])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
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

    pub(crate) fn order(&mut self, order: &Value) {
        writeln!(self.orders, "{order}").unwrap();
    }

    /// The next event of this kind; others before it are passed over.
    pub(crate) async fn event(&mut self, kind: &str) -> Value {
        event(&mut self.events, kind).await
    }

    /// Carries an order out that sends a message; its id.
    pub(crate) async fn send(&mut self, order: &Value) -> MessageId {
        self.order(order);
        id_of(&self.event("sent").await["id"])
    }

    /// The next text that it hears is this one.
    pub(crate) async fn hears(&mut self, id: MessageId, text: &str) {
        let heard = self.event("text").await;
        assert_eq!((id_of(&heard["id"]), heard["text"].as_str()), (id, Some(text)));
    }
}

impl Drop for LibsignalClient {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn event(events: &mut mpsc::UnboundedReceiver<Value>, kind: &str) -> Value {
    loop {
        let next = tokio::time::timeout(PATIENCE, events.recv()).await;
        let next = next.unwrap_or_else(|_| panic!("no {kind}")).unwrap();
        assert_ne!(next["event"], "error", "{next}");
        if next["event"] == kind {
            return next;
        }
    }
}

/// The id in an event of either side.
pub(crate) fn id_of(value: &Value) -> MessageId {
    MessageId(Uuid::parse_str(value.as_str().unwrap()).unwrap())
}

/// Whatever crate of the workspace the test belongs to.
fn script() -> PathBuf {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let all = above.map(|folder| folder.join("crypto/interop/client.mjs"));
    all.into_iter().find(|script| script.exists()).unwrap()
}
