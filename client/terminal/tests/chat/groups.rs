//! Groups, strangers and an export, from scripts.

use std::time::Instant;

use serde_json::Value;

use crate::{
    home::Home,
    person::{PATIENCE, Person, mode},
    terminal::Screen,
};

const F4: &str = "\u{1b}OS";

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_made_joined_talked_in_and_left() {
    let home = Home::start().await;
    let at = home.address();
    let [ada, ben, cleo] = ["ada", "ben", "cleo"].map(|name| Person::registered(at, name));
    let made = ada.run(&["groups", "create", "The stable", "ben", "cleo"]).done();
    assert_eq!((&made["title"], &made["standing"]), (&"The stable".into(), &"owner".into()));
    assert_eq!((&made["members"], &made["invited"]), (&1.into(), &2.into()));
    let id = made["group"].as_str().unwrap();
    // By its title, once the key of it is there; by its id at once.
    assert_eq!(ben.run(&["groups", "accept", "The stable"]).done()["standing"], "member");
    assert_eq!(cleo.run(&["groups", "accept", id]).done()["members"], 3);
    // What the others did meanwhile is known before the list is told.
    let listed = ada.run(&["groups"]).done();
    assert_eq!((&listed["members"], &listed["invited"]), (&3.into(), &0.into()));

    let listening =
        [&ben, &cleo].map(|who| who.start(&["listen", "--count", "1", "--timeout", "60"]));
    let sent = ada.run(&["groups", "send", "The stable", "Who rides?", "--wait", "delivered"]);
    assert_eq!(sent.done()["status"], "delivered");
    for mut one in listening {
        let heard = one.next("message");
        assert_eq!((&heard["text"], &heard["group"]), (&"Who rides?".into(), &id.into()));
        one.ends();
    }
    ben.run(&["groups", "role", "The stable", "cleo", "admin"]).failed(1, &["may not"]);
    ada.run(&["groups", "role", "The stable", "cleo", "admin"]).done();
    cleo.run(&["groups", "rename", "The stable", "The mews"]).done();
    ben.run(&["groups", "leave", id]).done();
    let members = cleo.run(&["groups", "members", "The mews"]).all();
    let roles: Vec<_> = members
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["role"].as_str().unwrap()))
        .collect();
    assert_eq!(roles.len(), 2, "{members:?}");
    assert!(roles.contains(&("ada", "owner")) && roles.contains(&("cleo", "admin")), "{roles:?}");
    let history = ada.run(&["groups", "history", id]).all();
    assert_eq!((history.len(), &history[0]["text"]), (1, &"Who rides?".into()));
    let begun = Instant::now();
    ada.run(&["groups", "members", "nothing"]).failed(2, &["nothing"]);
    ada.run(&["groups", "send", &id.replace('0', "1"), "x"]).failed(2, &["No group of yours"]);
    assert!(begun.elapsed() < PATIENCE / 4, "what is unknown is told at once");
    assert!(ada.run_plain(&["groups"]).out.contains("you are an owner"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_invited_learns_by_whom_and_how_many_are_there() {
    let home = Home::start().await;
    let at = home.address();
    let [ada, ben, cleo] = ["ada", "ben", "cleo"].map(|name| Person::registered(at, name));
    ada.run(&["groups", "create", "The stable", "ben"]).done();
    ben.run(&["groups", "accept", "The stable"]).done();
    ada.run(&["groups", "role", "The stable", "ben", "admin"]).done();
    ben.run(&["groups", "invite", "The stable", "cleo"]).done();
    let mut listening = cleo.start(&["listen"]);
    let told = listening.next("group");
    let name = (&told["invited_by_name"], &told["standing"], &told["members"]);
    assert_eq!(name, (&"ben".into(), &"invited".into(), &2.into()));
    assert_eq!(told["invited_by"], ben.run(&["whoami"]).done()["account"]);
    drop(listening);
    let shown = cleo.run_plain(&["groups"]).out;
    assert!(shown.contains("ben invites you  2 members, 1 invited"), "{shown}");

    let mut screen = Screen::start(&cleo);
    screen.press("\t");
    screen.has("ben invites you: F4  2 members: F2");
    screen.press(F4);
    screen.has("Who invites you:");
    screen.has("Handle   ben");
    screen.has("It has 2 members.");
    screen.press("a");
    screen.has("3 members: F2");
    screen.press("\u{11}");
    screen.ends();
    // All that has changed meanwhile is one line for people.
    ada.run(&["groups"]).done();
    let told = ada.run_plain(&["listen", "--timeout", "2"]).out;
    assert_eq!(told.matches("  The stable: ").count(), 1, "{told}");
    assert!(told.contains("you are an owner, 3 members\n"), "{told}");
    let joined = cleo.run(&["groups"]).done();
    assert_eq!((&joined["invited_by"], &joined["standing"]), (&Value::Null, &"member".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn people_join_by_a_link_until_it_is_ended() {
    let home = Home::start().await;
    let at = home.address();
    let [ada, ben, cleo] = ["ada", "ben", "cleo"].map(|name| Person::registered(at, name));
    ada.run(&["groups", "create", "The stable"]).done();
    let made = ada.run(&["groups", "link", "The stable", "--create", "--expires", "3600"]).done();
    let (link, id) = (made["link"].as_str().unwrap(), made["link_id"].as_str().unwrap());
    ben.run(&["groups", "join", "posthouse-group:nothing"]).failed(2, &["link to a group"]);
    ben.run(&["groups", "join", "nothing"]).failed(2, &["whole link", "posthouse-group:"]);
    for who in [&ben, &cleo] {
        assert_eq!(who.run(&["groups", "join", link]).done()["group"], made["group"]);
    }
    let listed = ada.run(&["groups", "link", "The stable"]).done();
    assert_eq!((&listed["link_id"], &listed["link"]), (&made["link_id"], &Value::Null));
    let shown = ada.run_plain(&["groups", "link", "The stable"]).out;
    assert!(shown.contains(id) && shown.contains("until 20"), "{shown}");
    let other = ada.run_plain(&["groups", "link", "The stable", "--create"]);
    assert_eq!(other.out.lines().count(), 1, "the link alone: {other:?}");
    assert!(other.err.contains("until 20") && other.err.contains("--revoke"), "{other:?}");
    let (_, rest) = other.err.split_once("--revoke ").unwrap();
    let other = &rest[..36];
    ada.run(&["groups", "link", "The stable", "--revoke", other]).done();
    let asking = ada.run(&["groups", "asking", "The stable"]).all();
    let names: Vec<_> = asking.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ben", "cleo"]);
    ada.run(&["groups", "asking", "The stable", "--accept", "ben"]).done();
    ada.run(&["groups", "asking", "The stable", "--decline", "cleo"]).done();
    assert!(ada.run(&["groups", "asking", "The stable"]).all().is_empty());
    ada.run(&["groups", "send", "The stable", "Welcome!"]).done();
    let heard = ben.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    assert!(heard.iter().any(|one| one["text"] == "Welcome!"), "{heard:?}");

    ada.run(&["groups", "link", "The stable", "--revoke", id]).done();
    assert!(ada.run(&["groups", "link", "The stable"]).all().is_empty());
    cleo.run(&["groups", "join", link]).failed(3, &["not_found"]);
    ben.run(&["groups", "link", "The stable", "--create"]).failed(3, &["forbidden"]);

    let deputies = |who: &Person| who.run(&["groups", "deputies", "The stable"]).done();
    assert_eq!(deputies(&ada)["regions"], serde_json::json!([]));
    ben.run(&["groups", "deputies", "The stable", "--set", "us.example"]).failed(1, &["may not"]);
    ada.run(&["groups", "deputies", "The stable", "--set", "us.example", "as.example"]).done();
    assert_eq!(deputies(&ben)["regions"], serde_json::json!(["us.example", "as.example"]));
    ada.run(&["groups", "deputies", "The stable", "--none"]).done();
    assert_eq!(deputies(&ada)["regions"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_listed_until_they_are_answered() {
    let home = Home::start().await;
    let at = home.address();
    let [ada, ben, cleo] = ["ada", "ben", "cleo"].map(|name| Person::registered(at, name));
    ada.run(&["send", "ben", "You do not know me"]).done();
    cleo.run(&["send", "ben", "Nor me"]).done();
    let mut asking: Vec<_> =
        ben.run(&["requests"]).all().iter().map(|one| one["name"].clone()).collect();
    asking.sort_by_key(ToString::to_string);
    assert_eq!(asking, ["ada", "cleo"]);
    ben.run(&["requests", "--accept", "ada"]).done();
    ben.run(&["requests", "--decline", "cleo"]).done();
    assert!(ben.run(&["requests"]).all().is_empty());
    ben.run(&["requests", "--accept", "ada"]).failed(3, &["not_found"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_was_said_can_be_taken_along() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    for text in ["one", "two"] {
        ada.run(&["send", "ben", text]).done();
    }
    let file = ada.path("taken.jsonl");
    let to = ["export", "--to", file.to_str().unwrap()];
    assert!(ada.run(&to).all().is_empty());
    assert_eq!(mode(&file), 0o600);
    let written = std::fs::read_to_string(&file).unwrap();
    let all: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<_> = all.iter().map(|one| one["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["export", "conversation", "message", "message"]);
    assert_eq!((&all[2]["text"], &all[3]["text"]), (&"one".into(), &"two".into()));
    // Nothing is ever overwritten.
    ada.run(&to).failed(2, &["exists"]);
    assert_eq!(ben.run(&["export"]).all()[0]["handle"], "ben@eu.example");
}
