//! A known phrase is said in every way that people have, between SDK devices of two regions. Then it is
//! looked for in the regions' databases, in their logs at the most talkative level, and in what they
//! said to each other: it is nowhere. What is said in the clear is found by the same search.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE};
use posthouse_client::{
    Batch, Client, Connector, Endpoint, Home, MemoryStore, NewAccount, Profile, Scan, Store,
    StoreError, Table, Trust, Update, Updates, Value,
};
use posthouse_crypto::e2ee::{
    attachment::Encryptor,
    content::{Body, Content, ReceiptStatus},
    time::UnixMillis,
};
use posthouse_protocol::{
    id::{GroupId, MessageId},
    rest::groups::Standing,
    status::Status,
    time::Clock as _,
};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::json;

use crate::{
    person::{PATIENCE, Pair, Person, until},
    recorder::Recorder,
    server::Server,
};

/// What is said under encryption.
const PHRASE: &str = "the grey mare waits at the ford";
/// What is said in the clear.
const CLEAR: &str = "the black mare went over the bridge";

/// A device, and what it keeps.
struct Sdk {
    client: Client,
    updates: Updates,
    store: Shared,
}

/// A store that is looked into.
#[derive(Clone)]
struct Shared(Arc<MemoryStore>);

#[async_trait]
impl Store for Shared {
    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.0.get(table, key).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Vec<(Vec<u8>, Value)>, StoreError> {
        self.0.scan(scan).await
    }

    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.0.commit(batch).await
    }
}

impl Sdk {
    async fn register(server: &Server, name: &str) -> Self {
        let endpoint = Endpoint::parse(&format!("http://{}", server.at.client)).unwrap();
        let home = Home::new(Connector::new(endpoint, Trust::System).unwrap()).unwrap();
        let account = NewAccount::new(name, "correct horse battery staple");
        let store = Shared(Arc::new(MemoryStore::new()));
        let (client, updates) = home.register(store.clone(), &account).await.unwrap();
        Self { client, updates, store }
    }

    /// The key of the own profile.
    async fn profile_key(&self) -> Vec<u8> {
        let own = self.client.account().to_string();
        let kept = self.store.get(Table::Profiles, own.as_bytes()).await.unwrap().unwrap();
        let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap();
        let key = STANDARD.decode(kept["keys"][0].as_str().unwrap()).unwrap();
        assert_eq!(key.len(), 32);
        key
    }

    async fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Update) -> Option<T>) -> T {
        let picked = tokio::time::timeout(PATIENCE, async {
            loop {
                let update = self.updates.next().await.expect("the device goes on");
                if let Some(picked) = pick(&update) {
                    return picked;
                }
            }
        });
        picked.await.unwrap_or_else(|_| panic!("{what} did not come"))
    }

    async fn hears(&mut self, text: &str) {
        self.wait(text, |update| match update {
            Update::Message(entry) if entry.said.text() == Some(text) => Some(()),
            _ => None,
        })
        .await;
    }
}

/// Says the phrase in every way, and gives the ids of two messages whose receipts were sent.
async fn say_everything(ada: &mut Sdk, ben: &mut Sdk) -> [MessageId; 2] {
    let [to_ada, to_ben] = [&ada, &ben].map(|one| one.client.account().clone());
    let mut profile = Profile::named(PHRASE);
    (profile.about, profile.avatar) = (Some(PHRASE.to_owned()), Some(PHRASE.into()));
    ada.client.set_profile(profile.clone()).await.unwrap();
    let first = ada.client.send_text(&to_ben, PHRASE).await.unwrap();
    let second = ada.client.send_disappearing(&to_ben, PHRASE, 3_600).await.unwrap();
    ben.hears(PHRASE).await;
    ben.hears(PHRASE).await;
    ben.client.reply(&to_ada, first, PHRASE).await.unwrap();
    ada.hears(PHRASE).await;
    ada.client.react(&to_ben, first, "\u{1f40e}").await.unwrap();
    ada.client.edit(&to_ben, first, &format!("{PHRASE}!")).await.unwrap();
    ben.wait("the edit", |update| matches!(update, Update::Changed { .. }).then_some(())).await;
    ben.client.mark_read(&to_ada).await.unwrap();
    ada.wait("the receipt", |update| match update {
        Update::Status { id, status: Status::Read, .. } if *id == second => Some(()),
        _ => None,
    })
    .await;
    ada.client.set_typing(&to_ben, true).await.unwrap();
    ben.wait("typing", |update| matches!(update, Update::Typing { .. }).then_some(())).await;

    let group = ada.client.create_group(PHRASE, &[to_ben]).await.unwrap();
    ben.wait("an invitation", stands(&group, Standing::Invited)).await;
    ben.client.accept_invitation(&group).await.unwrap();
    ada.wait("a member", |update| match update {
        Update::Group { group: of, epoch: 3.., .. } => (*of == group).then_some(()),
        _ => None,
    })
    .await;
    ada.client.send_to_group(&group, PHRASE).await.unwrap();
    ben.hears(PHRASE).await;
    ben.client.send_to_group(&group, PHRASE).await.unwrap();
    ada.hears(PHRASE).await;
    let titled = async || ben.client.group(&group).await.unwrap().title.as_deref() == Some(PHRASE);
    until("the title", titled).await;
    let named = async || ben.client.profile(&to_ada).await.unwrap() == Some(profile.clone());
    until("the profile", named).await;
    [first, second]
}

fn stands(group: &GroupId, wanted: Standing) -> impl Fn(&Update) -> Option<()> {
    move |update| match update {
        Update::Group { group: of, standing, .. } if of == group && *standing == Some(wanted) => {
            Some(())
        }
        _ => None,
    }
}

/// Somebody's profile, encrypted as clients do it.
async fn seal_profile(of: &Person) -> String {
    let (mut rng, mut sealed) = (StdRng::seed_from_u64(1), Vec::new());
    let mut encryptor = Encryptor::new(&mut rng, &mut sealed);
    encryptor.push(PHRASE.as_bytes(), &mut sealed).unwrap();
    encryptor.finish(&mut sealed).unwrap();
    set_profile(of, &sealed).await
}

async fn set_profile(of: &Person, text: &[u8]) -> String {
    let text = STANDARD.encode(text);
    let profile = json!({ "replaces": 0, "about": text });
    assert_eq!(of.call("PUT", "/v1/users/me/profile", Some(profile)).await.status, 200);
    text
}

/// Somebody asks for the profile of somebody of the other region.
async fn see_profile(by: &Person, of: &Person, text: &str) {
    let path = format!("/v1/users/{}/profile", of.account());
    until("the profile", async || by.call("GET", &path, None).await.body["about"] == text).await;
}

/// One thing to look for, and all forms that it may have.
struct Needle {
    what: String,
    forms: Vec<Vec<u8>>,
}

impl Needle {
    fn new(what: &str, bytes: &[u8]) -> Self {
        let wide = |order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            bytes.iter().flat_map(|byte| order(u16::from(*byte))).collect()
        };
        let hex = |upper: bool| -> Vec<u8> {
            let one = |byte: &u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
            bytes.iter().map(one).collect::<String>().into_bytes()
        };
        let mut forms = vec![bytes.to_vec(), hex(false), hex(true), wide(u16::to_le_bytes)];
        forms.push(wide(u16::to_be_bytes));
        // Base64 at every place that it may begin in what is encoded; the ends depend on what is beside it.
        for skipped in 0..3 {
            let inner = bytes[skipped..].chunks_exact(3).flatten().copied().collect::<Vec<u8>>();
            forms.extend([
                STANDARD.encode(&inner).into_bytes(),
                URL_SAFE.encode(&inner).into_bytes(),
            ]);
        }
        Self { what: what.to_owned(), forms }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| contains(bytes, form))
    }
}

/// Whether `needle` is in `hay`: its first byte is looked for first, since there is much hay.
fn contains(hay: &[u8], needle: &[u8]) -> bool {
    let mut rest = hay;
    while let Some(at) = rest.iter().position(|byte| *byte == needle[0]) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// What is encrypted and is no text: how the contents of receipts and of typing begin, and two ids beside
/// each other, as a receipt has them and the server, which knows both ids, has no reason to.
fn structures([first, second]: [MessageId; 2]) -> Vec<Needle> {
    let now = UnixMillis(posthouse_homeserver::clock::SystemClock.now().0);
    let targets = vec![*first.0.as_bytes(), *second.0.as_bytes()];
    let receipt = Body::Receipt { status: ReceiptStatus::Read, targets };
    let start = |body| {
        let padded = Content::new(now, None, body).to_padded_bytes().unwrap();
        // Version, kind, and the upper bytes of the time, which are the same for weeks.
        padded.as_slice()[..11].to_vec()
    };
    let both = [&[0x50][..], first.0.as_bytes(), &[0x50], second.0.as_bytes()].concat();
    vec![
        Needle::new("the beginning of a receipt", &start(receipt)),
        Needle::new("the beginning of typing", &start(Body::Typing { started: true })),
        Needle::new("the beginning of a profile's key", &start(Body::ProfileKey([7; 32].into()))),
        Needle::new("the targets of a receipt", &both),
    ]
}

/// Everything that a region has on disk but its keys: database, log of writes, log.
fn kept(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let data = std::fs::read_dir(dir.join("data")).unwrap().map(|file| file.unwrap().path());
    let files = data.chain([dir.join("serve.log")]).filter(|path| path.is_file());
    files.map(|path| (path.display().to_string(), std::fs::read(&path).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_phrase_is_nowhere_in_two_regions_nor_between_them() {
    let mut recorders = Vec::new();
    let pair = Pair::start_with(
        &["log.filter=trace", "messages.allow_unencrypted=true"],
        |of, at, peer| {
            let recorder = Recorder::start(of, at, peer);
            let address = recorder.address;
            recorders.push(recorder);
            address
        },
    );
    let mut ada = Sdk::register(&pair.north, "ada").await;
    let mut ben = Sdk::register(&pair.south, "ben").await;
    let ids = say_everything(&mut ada, &mut ben).await;
    let [one, other] = [
        Person::register(&pair.north, "cleo", 1).await,
        Person::register(&pair.south, "dora", 2).await,
    ];
    see_profile(&one, &other, &seal_profile(&other).await).await;

    // The same ways in the clear.
    let text = json!({ "type": "text", "encrypted": true, "body": CLEAR });
    assert_eq!(one.send(other.account(), 1, text).await.status, 200);
    until("the message", async || other.inbox().await.to_string().contains(CLEAR)).await;
    see_profile(&other, &one, &set_profile(&one, CLEAR.as_bytes()).await).await;

    let mut needles = structures(ids);
    needles.push(Needle::new("the phrase", PHRASE.as_bytes()));
    needles.push(Needle::new("the profile's key", &ada.profile_key().await));
    let clear = Needle::new("the clear phrase", CLEAR.as_bytes());
    let (mut found, mut looked_at) = (Vec::new(), 0);
    let mut hunt = |place: &str, bytes: &[u8]| {
        looked_at += bytes.len();
        for needle in &needles {
            assert!(!needle.is_in(bytes), "{} is in {place}", needle.what);
        }
        clear.is_in(bytes).then(|| found.push(place.to_owned()));
    };
    for dir in pair.dirs() {
        for (path, bytes) in kept(dir) {
            hunt(&path, &bytes);
        }
    }
    for recorder in &recorders {
        for said in recorder.said() {
            hunt("the federation", &said);
        }
    }
    println!("{looked_at} bytes; in the clear: {found:?}");
    for place in ["the federation", "data"] {
        assert!(found.iter().any(|one| one.contains(place)), "the search finds nothing in {place}");
    }
    for dir in pair.dirs() {
        let dir = dir.to_str().unwrap();
        assert!(found.iter().any(|one| one.starts_with(dir)), "nothing is found in {dir}");
        let log = std::fs::read_to_string(format!("{dir}/serve.log")).unwrap();
        assert!(log.contains("TRACE"), "the log tells all that it can");
    }
}
