//! The SDK over two regions: people with it, and its example.

use std::{net::SocketAddr, path::Path};

use posthouse_client::{
    Client, Connector, Endpoint, Entry, Home, MemoryStore, NewAccount, Trust, Update, Updates,
};
use posthouse_protocol::{id::GroupId, rest::groups::Standing};
use tokio::sync::mpsc;

use crate::{
    hello::hello,
    person::{PATIENCE, Pair},
    server::Server,
};

fn home(at: SocketAddr) -> Home {
    let endpoint = Endpoint::parse(&format!("http://{at}")).unwrap();
    Home::new(Connector::new(endpoint, Trust::System).unwrap()).unwrap()
}

fn account(name: &str) -> NewAccount {
    NewAccount::new(name, "correct horse battery staple")
}

/// A person's device.
pub(crate) struct Sdk {
    pub(crate) client: Client,
    pub(crate) updates: Updates,
}

impl Sdk {
    pub(crate) async fn register(server: &Server, name: &str) -> Self {
        Self::register_at(server.at.client, name).await
    }

    pub(crate) async fn register_at(at: SocketAddr, name: &str) -> Self {
        let registered = home(at).register(MemoryStore::new(), &account(name)).await;
        let (client, updates) = registered.unwrap();
        Self { client, updates }
    }

    /// Links a further device, which then has the history.
    pub(crate) async fn link(&self, server: &Server) -> Self {
        let linking = home(server.at.client).link(MemoryStore::new(), "laptop").await.unwrap();
        let code = linking.code();
        let (linked, approved) =
            tokio::join!(linking.finish(), self.client.approve_link(&code, None));
        approved.unwrap();
        let (client, updates) = linked.unwrap();
        let mut linked = Self { client, updates };
        let is_done = |update: &Update| matches!(update, Update::History { done: true, .. });
        linked.wait("the history", |update| is_done(update).then_some(())).await;
        linked
    }

    /// Makes a new device of a backup.
    pub(crate) async fn restore(server: &Server, name: &str, backup: (&Path, &str)) -> Self {
        let home = home(server.at.client);
        let restored = home.restore(MemoryStore::new(), &account(name), None, backup).await;
        let (client, updates) = restored.unwrap();
        Self { client, updates }
    }

    pub(crate) async fn wait<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(&Update) -> Option<T>,
    ) -> T {
        let picked = tokio::time::timeout(PATIENCE, async {
            let mut passed = Vec::new();
            while let Some(update) = self.updates.next().await {
                if let Some(picked) = pick(&update) {
                    return picked;
                }
                passed.push(update);
            }
            panic!("the client stopped before {what}: {passed:?}");
        });
        picked.await.unwrap_or_else(|_| panic!("{what} did not come"))
    }

    pub(crate) async fn stands(&mut self, group: &GroupId, wanted: Option<Standing>, least: u64) {
        self.wait("a change of the group", |update| match update {
            Update::Group { group: of, standing, epoch } => {
                (of == group && *standing == wanted && *epoch >= least).then_some(())
            }
            _ => None,
        })
        .await;
    }

    pub(crate) async fn hears(&mut self, text: &str) -> Entry {
        let entry = self.wait("a message", |update| match update {
            Update::Message(entry) => Some((**entry).clone()),
            _ => None,
        });
        let entry = entry.await;
        assert_eq!(entry.said.text(), Some(text));
        entry
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_greets_somebody_of_the_other_region() {
    let pair = Pair::start();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let [north, south] = [&pair.north, &pair.south].map(|at| format!("http://{}", at.at.client));
    let (bob, alice) = (file("bob.db"), file("alice.db"));
    let (show, mut shown) = mpsc::unbounded_channel();
    let also = show.clone();
    let waits = tokio::spawn(async move {
        let _ = hello(&[&south, &bob, "bob"], |line| also.send(line).unwrap()).await;
    });
    assert!(shown.recv().await.unwrap().starts_with("bob is "));
    let words = [north.as_str(), &alice, "alice", "bob@south.test"];
    let greets = hello(&words, |line| show.send(line).unwrap());
    tokio::time::timeout(PATIENCE, greets).await.unwrap().unwrap();
    waits.abort();
    assert!(shown.recv().await.unwrap().starts_with("alice is "));
    assert_eq!(shown.recv().await.unwrap(), "bob is told: Hello!");
    assert_eq!(shown.recv().await.unwrap(), "alice is told: Hello to you!");
}
