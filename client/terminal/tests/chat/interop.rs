//! posthouse-chat and a whole client on the official Signal library talk with each other.

use posthouse_protocol::id::{AccountId, MessageId};
use serde_json::{Value, json};

use crate::{
    home::Home,
    libsignal::{LibsignalClient, id_of},
    person::Person,
    terminal::Screen,
};

/// The content kind of `typing` (docs/spec/e2ee.md).
const TYPING: u64 = 8;
const QUIT: &str = "\u{11}";

fn account(of: &Person) -> AccountId {
    AccountId::parse(of.run(&["whoami"]).done()["account"].as_str().unwrap()).unwrap()
}

/// A script hears this, and nothing else.
#[track_caller]
fn hears(who: &Person, id: MessageId, text: &str) -> Value {
    let all = who.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    let messages: Vec<_> = all.iter().filter(|one| one["event"] == "message").collect();
    assert_eq!(messages.len(), 1, "{all:?}");
    assert_eq!((&messages[0]["id"], &messages[0]["text"]), (&json!(id.0), &json!(text)));
    messages[0].clone()
}

/// A script sends this to them, and it is there.
async fn tells(who: &Person, bob: &mut LibsignalClient, text: &str) -> Value {
    let sent = who.run(&["send", "bob", text, "--wait", "delivered"]).done();
    bob.hears(id_of(&sent["id"]), text).await;
    sent
}

async fn safety_numbers_agree(who: &Person, bob: &mut LibsignalClient) {
    bob.order(&json!({ "do": "safety", "with": account(who) }));
    let theirs = bob.event("safety").await;
    assert_eq!(who.run(&["safety", "bob"]).done()["digits"], theirs["digits"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn libsignal_talks_with_scripts() {
    let home = Home::start().await;
    let at = home.address();
    let [ada, cleo] = ["ada", "cleo"].map(|name| Person::registered(at, name));
    let mut bob = LibsignalClient::start(at, "bob").await;
    let to_ada = account(&ada);

    // The other one begins with ada, and posthouse-chat with cleo.
    for round in 0..3 {
        let text = format!("to posthouse-chat {round}");
        let id = bob.send(&json!({ "do": "send", "to": to_ada, "text": text })).await;
        let heard = hears(&ada, id, &text);
        assert_eq!(heard["from"], json!(bob.account));
        tells(&ada, &mut bob, &format!("to libsignal {round}")).await;
    }
    let sent = tells(&cleo, &mut bob, "posthouse-chat begins").await;
    bob.send(&json!({ "do": "read", "to": account(&cleo), "ids": [sent["id"]] })).await;
    let mut listening = cleo.start(&["listen"]);
    while listening.next("status")["status"] != "read" {}
    drop(listening);
    for who in [&ada, &cleo] {
        safety_numbers_agree(who, &mut bob).await;
    }

    let made = ada.run(&["groups", "create", "Riders", "bob", "cleo"]).done();
    let group = made["group"].clone();
    bob.order(&json!({ "do": "join", "group": group }));
    bob.event("joined").await;
    assert_eq!(cleo.run(&["groups", "accept", "Riders"]).done()["members"], 3);
    for round in 0..3 {
        let text = format!("to the group {round}");
        let sent = ada.run(&["groups", "send", "Riders", &text]).done();
        let heard = bob.event("text").await;
        assert_eq!((&heard["id"], &heard["group"]), (&sent["id"], &group));
        assert_eq!(heard["text"], text);
        let heard = cleo.run(&["listen", "--count", "1", "--timeout", "60"]).all();
        assert!(heard.iter().any(|one| one["id"] == sent["id"] && one["text"] == text));
        let id = bob.send(&json!({ "do": "say", "group": group, "text": text })).await;
        for who in [&ada, &cleo] {
            assert_eq!(hears(who, id, &text)["group"], group);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libsignal_talks_with_a_person_at_the_screen() {
    let home = Home::start().await;
    let ada = Person::registered(home.address(), "ada");
    let mut bob = LibsignalClient::start(home.address(), "bob").await;
    let to_ada = account(&ada);
    let sent = tells(&ada, &mut bob, "Where are you?").await;

    let mut screen = Screen::start(&ada);
    screen.has("bob");
    screen.press("\t");
    screen.has("Where are you?  ✓✓");
    bob.send(&json!({ "do": "read", "to": to_ada, "ids": [sent["id"]] })).await;
    screen.has("✓✓ read");
    let id = bob.send(&json!({ "do": "send", "to": to_ada, "text": "In the stable" })).await;
    screen.has("In the stable");
    // Who sees it has read it, and bob is told so, and that something is typed.
    loop {
        let receipt = bob.event("receipt").await;
        if receipt["ids"] == json!([id.0]) {
            break;
        }
    }
    screen.press("Stay there!");
    assert_eq!(bob.event("other").await["kind"], TYPING);
    screen.press("\r");
    let heard = bob.event("text").await;
    assert_eq!(heard["text"], "Stay there!");
    screen.has("Stay there!  ✓✓");
    screen.press(QUIT);
    screen.ends();

    let group = ada.run(&["groups", "create", "Riders", "bob"]).done()["group"].clone();
    bob.order(&json!({ "do": "join", "group": group }));
    bob.event("joined").await;
    let mut screen = Screen::start(&ada);
    screen.has("Riders");
    bob.send(&json!({ "do": "say", "group": group, "text": "Who rides today?" })).await;
    // Unread, and with that at the top, where Tab begins.
    screen.has("# Riders              1");
    screen.press("\t");
    screen.has("Who rides today?");
    screen.press("I do.\r");
    let heard = bob.event("text").await;
    assert_eq!((&heard["text"], &heard["group"]), (&json!("I do."), &group));
    screen.press(QUIT);
    screen.ends();
}
