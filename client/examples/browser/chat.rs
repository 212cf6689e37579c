//! The SDK in a page: what `page.js` calls. The page keeps one device, in IndexedDB.
#![cfg(target_family = "wasm")]

use js_sys::{Array, Function, Object, Reflect};
use posthouse_client::{
    Client, Connector, Endpoint, Entry, Home, IndexedDbStore, NewAccount, Trust, Update, Updates,
};
use posthouse_protocol::status::Status;
use wasm_bindgen::{JsError, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::spawn_local;

/// Messages of a conversation that the page shows.
const SHOWN: usize = 200;

/// A person's device.
#[wasm_bindgen]
pub struct Chat(Client);

#[wasm_bindgen]
impl Chat {
    /// Opens the device that this browser keeps under this name. `told(what, whom)` is called with
    /// what happens: `message`, `status` or `changed` with somebody, `connected`, `disconnected`,
    /// `ended`.
    pub async fn open(homeserver: String, name: String, told: Function) -> Result<Chat, JsError> {
        let store = IndexedDbStore::open(&format!("posthouse {name}")).await?;
        Ok(Self::begin(home(&homeserver)?.open(store).await?, told))
    }

    /// Registers an account, with this browser as its first device.
    pub async fn register(
        homeserver: String,
        name: String,
        password: String,
        told: Function,
    ) -> Result<Chat, JsError> {
        let store = IndexedDbStore::open(&format!("posthouse {name}")).await?;
        let account = NewAccount::new(&name, &password);
        Ok(Self::begin(home(&homeserver)?.open_or_register(store, &account).await?, told))
    }

    /// Who this is.
    pub fn account(&self) -> String {
        self.0.account().to_string()
    }

    /// The account of a name: `bob`, `bob@eu.example`.
    pub async fn find(&self, name: String) -> Result<String, JsError> {
        Ok(self.0.find(&name).await?.to_string())
    }

    /// Sends a text. Once this returns it is in the browser's database, and will be sent.
    pub async fn send(&self, to: String, text: String) -> Result<String, JsError> {
        let to = self.0.find(&to).await?;
        Ok(self.0.send_text(&to, &text).await?.to_string())
    }

    /// The newest messages with an account, the oldest of them first. They count as read.
    pub async fn read(&self, with: String) -> Result<Array, JsError> {
        let with = self.0.find(&with).await?;
        let entries = self.0.timeline(&with, None, SHOWN).await?;
        if entries.iter().any(|entry| entry.status.is_none() && !entry.read) {
            self.0.mark_read(&with).await?;
        }
        Ok(entries.iter().map(|entry| shown(self.0.account() == &entry.from, entry)).collect())
    }

    fn begin((client, updates): (Client, Updates), told: Function) -> Self {
        spawn_local(listen(updates, told));
        Self(client)
    }
}

fn home(homeserver: &str) -> Result<Home, JsError> {
    Ok(Home::new(Connector::new(Endpoint::parse(homeserver)?, Trust::System)?)?)
}

/// Tells the page what happens, until the device stops. Asking for the next update says that the
/// one before was dealt with: it does not come again, also after a reload.
async fn listen(mut updates: Updates, told: Function) {
    let tell = |what: &str, whom: Option<String>| {
        let whom = whom.map_or(JsValue::NULL, JsValue::from);
        // What the page does not manage is in its console.
        let _ = told.call2(&JsValue::NULL, &what.into(), &whom);
    };
    while let Some(update) = updates.next().await {
        match update {
            Update::Message(message) => tell("message", Some(message.with.to_string())),
            Update::Status { with, .. } => tell("status", Some(with.to_string())),
            Update::Changed { with, .. } => tell("changed", Some(with.to_string())),
            Update::KeyChanged { user, .. } => tell("key changed", Some(user.to_string())),
            Update::Connected => tell("connected", None),
            Update::Disconnected => tell("disconnected", None),
            _ => {}
        }
    }
    tell("ended", None);
}

/// A message as a plain object.
fn shown(own: bool, entry: &Entry) -> Object {
    let object = Object::new();
    for (name, value) in [
        ("id", JsValue::from(entry.id.to_string())),
        ("own", own.into()),
        ("text", entry.said.text().unwrap_or("(not a text)").into()),
        ("status", entry.status.map_or("", name).into()),
    ] {
        // It fails for what is no object only.
        let _ = Reflect::set(&object, &name.into(), &value);
    }
    object
}

/// The name of a status, as on the wire.
fn name(status: Status) -> &'static str {
    match status {
        Status::Sent => "sent",
        Status::Queued => "queued",
        Status::Accepted => "accepted",
        Status::Delivered => "delivered",
        Status::Read => "read",
        Status::Failed => "failed",
        _ => "",
    }
}
