//! A group of two regions, through the SDK.

use posthouse_client::{
    Client, Connector, Endpoint, Entry, Home, MemoryStore, NewAccount, Trust, Update, Updates,
};
use posthouse_protocol::{id::GroupId, rest::groups::Standing};

use crate::{
    person::{PATIENCE, Pair},
    server::Server,
};

/// A person's device.
struct Sdk {
    client: Client,
    updates: Updates,
}

impl Sdk {
    async fn register(server: &Server, name: &str) -> Self {
        let endpoint = Endpoint::parse(&format!("http://{}", server.at.client)).unwrap();
        let home = Home::new(Connector::new(endpoint, Trust::System).unwrap()).unwrap();
        let account = NewAccount::new(name, "correct horse battery staple");
        let (client, updates) = home.register(MemoryStore::new(), &account).await.unwrap();
        Self { client, updates }
    }

    async fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Update) -> Option<T>) -> T {
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

    async fn stands(&mut self, group: &GroupId, wanted: Option<Standing>, least: u64) {
        self.wait("a change of the group", |update| match update {
            Update::Group { group: of, standing, epoch } => {
                (of == group && *standing == wanted && *epoch >= least).then_some(())
            }
            _ => None,
        })
        .await;
    }

    async fn hears(&mut self, text: &str) -> Entry {
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
async fn people_of_two_regions_talk_in_a_group_until_one_is_removed() {
    let pair = Pair::start();
    let mut ada = Sdk::register(&pair.north, "ada").await;
    let mut ben = Sdk::register(&pair.south, "ben").await;
    let mut cid = Sdk::register(&pair.south, "cid").await;
    let people = [ben.client.account().clone(), cid.client.account().clone()];
    let group = ada.client.create_group("Both sides", &people).await.unwrap();
    for one in [&mut ben, &mut cid] {
        one.stands(&group, Some(Standing::Invited), 1).await;
        one.client.accept_invitation(&group).await.unwrap();
    }
    ada.stands(&group, Some(Standing::Owner), 5).await;
    let sent = ada.client.send_to_group(&group, "hello south").await.unwrap();
    for one in [&mut ben, &mut cid] {
        let entry = one.hears("hello south").await;
        assert_eq!((entry.id, entry.group.as_ref()), (sent, Some(&group)));
    }
    ada.wait("both counted", |update| match update {
        Update::Delivered { id, delivered: 2, audience: 2, .. } if *id == sent => Some(()),
        _ => None,
    })
    .await;
    ben.client.send_to_group(&group, "hello north").await.unwrap();
    ada.hears("hello north").await;
    cid.hears("hello north").await;
    assert_eq!(ben.client.group(&group).await.unwrap().title.as_deref(), Some("Both sides"));

    ada.client.remove(&group, cid.client.account()).await.unwrap();
    cid.stands(&group, None, 6).await;
    ada.client.send_to_group(&group, "the two of us").await.unwrap();
    ben.hears("the two of us").await;
    ben.client.send_to_group(&group, "indeed").await.unwrap();
    ada.hears("indeed").await;
    let kept = cid.client.group_timeline(&group, None, 10).await.unwrap();
    let texts: Vec<_> = kept.iter().filter_map(|one| one.said.text()).collect();
    assert_eq!(texts, ["hello south", "hello north"]);
}
