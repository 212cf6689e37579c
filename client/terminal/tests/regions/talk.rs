//! People of two regions, from the first message to a healed partition.

use std::time::Instant;

use serde_json::Value;

use crate::{
    person::{PATIENCE, Person, mode},
    region::Pair,
    terminal::Screen,
};

fn register(pair: &Pair, which: usize, name: &str) -> Person {
    let person = Person::new(pair.client(which));
    person.set_up("register", &[name]).done();
    person
}

pub(crate) fn people_of_two_regions() {
    let mut pair = Pair::start();
    let [ada, cleo] = ["ada", "cleo"].map(|name| register(&pair, 0, name));
    let ben = register(&pair, 1, "ben");
    they_meet(&ada, &ben);
    a_group_of_two_regions(&ada, &ben, &cleo);
    on_the_screen(&ada, &ben);
    let laptop = a_second_device(&pair, &ada, &ben);
    a_restored_device(&pair, &ben);
    a_partition(&pair, &ada, &ben);
    a_restart(&mut pair, &ada, &ben);
    // Nothing came twice anywhere, and all see one order.
    let texts = |who: &Person, with: &str| -> Vec<Value> {
        who.run(&["history", with]).all().iter().map(|one| one["text"].clone()).collect()
    };
    let said = texts(&ada, "ben@south.test");
    assert_eq!(said, texts(&ben, "ada@north.test"));
    assert_eq!(said.last().unwrap(), "after the restart");
    laptop.run(&["listen", "--count", "2", "--timeout", "60"]).all();
    let file = ben.path("taken.jsonl");
    ben.run(&["export", "--to", file.to_str().unwrap()]).all();
    assert_eq!(mode(&file), 0o600);
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("Who rides?") && written.contains("into the dark"));
}

/// A stranger of the other region writes and is accepted; both see one number.
fn they_meet(ada: &Person, ben: &Person) {
    let mut listening = ben.start(&["listen", "--count", "1", "--timeout", "60"]);
    listening.next("connected");
    ada.run(&["send", "ben@south.test", "Hello Ben!", "--wait", "delivered"]).done();
    let from = listening.next("message")["from"].as_str().unwrap().to_owned();
    listening.ends();
    let asks = ben.run(&["requests"]).done();
    assert_eq!(asks["user"], from);
    ben.run(&["requests", "--accept", &from]).done();
    ben.run(&["send", "ada@north.test", "Hello Ada!", "--wait", "sent"]).done();
    ada.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    let numbers = [(ada, "ben@south.test"), (ben, "ada@north.test")]
        .map(|(who, with)| who.run(&["safety", with]).done()["digits"].clone());
    assert_eq!(numbers[0], numbers[1]);
}

fn a_group_of_two_regions(ada: &Person, ben: &Person, cleo: &Person) {
    let made = ada.run(&["groups", "create", "The stable", "cleo", "ben@south.test"]).done();
    let id = made["group"].as_str().unwrap();
    // The invitation is on its way to the other region.
    ben.start(&["listen"]).next("group");
    for who in [ben, cleo] {
        assert_eq!(who.run(&["groups", "accept", "The stable"]).done()["standing"], "member");
    }
    let listening =
        [ben, cleo].map(|who| who.start(&["listen", "--count", "1", "--timeout", "60"]));
    let sent = ada.run(&["groups", "send", id, "Who rides?", "--wait", "delivered"]).done();
    assert_eq!(sent["status"], "delivered");
    for mut one in listening {
        assert_eq!(one.next("message")["text"], "Who rides?");
        one.ends();
    }
    ben.run(&["groups", "send", "The stable", "I do."]).done();
    for who in [ada, cleo] {
        let heard = who.run(&["listen", "--count", "1", "--timeout", "60"]).all();
        assert!(heard.iter().any(|one| one["text"] == "I do."), "{heard:?}");
    }
    let mut roles: Vec<_> = ben
        .run(&["groups", "members", id])
        .all()
        .iter()
        .map(|one| one["role"].as_str().unwrap().to_owned())
        .collect();
    roles.sort();
    assert_eq!(roles, ["member", "member", "owner"]);
}

/// The full screen, by its keys alone.
fn on_the_screen(ada: &Person, ben: &Person) {
    let mut screen = Screen::start(ada);
    screen.shows("stable");
    screen.press("\u{14}");
    screen.shows("Write");
    screen.press("ben@south.test\r");
    screen.shows("Ada!");
    // Ctrl-R chooses the newest message, r answers it.
    screen.press("\u{12}");
    screen.shows("choose");
    screen.press("r");
    screen.shows("reply");
    screen.press("And to you\r");
    screen.shows("✓");
    screen.press("\u{1b}OQ");
    screen.shows("Safety");
    screen.press("\u{1b}");
    let heard = ben.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    let answer = heard.iter().find(|one| one["event"] == "message").unwrap();
    assert_eq!((&answer["text"], &answer["kind"]), (&"And to you".into(), &"reply".into()));
    screen.press("\u{11}");
    screen.ends();
}

fn a_second_device(pair: &Pair, ada: &Person, ben: &Person) -> Person {
    let laptop = Person::new(pair.client(1));
    let mut linking = laptop.start(&["link", "--server", laptop.server()]);
    let code = linking.next("code")["code"].as_str().unwrap().to_owned();
    // Nobody encrypts for a device before they have heard of it: across regions that is a hint.
    let mut online = ada.start(&["listen"]);
    online.next("connected");
    ben.run(&["approve", &code]).done();
    linking.next("linked");
    linking.ends();
    online.next("devices_changed");
    drop(online);
    ada.run(&["send", "ben@south.test", "to both"]).done();
    for device in [ben, &laptop] {
        let heard = device.run(&["listen", "--count", "1", "--timeout", "60"]).all();
        assert!(heard.iter().any(|one| one["text"] == "to both"), "{heard:?}");
    }
    // The history goes while both are there.
    let deadline = Instant::now() + PATIENCE;
    while laptop.run(&["conversations"]).done()["with_name"] != ADA && Instant::now() < deadline {
        let mut giving = ben.start(&["listen"]);
        giving.next("connected");
        laptop.run(&["listen", "--timeout", "2"]).all();
    }
    knows_ada(&laptop);
    laptop
}

const ADA: &str = "ada@north.test";

/// A new device shows people of the other region by the names that they were found by.
fn knows_ada(device: &Person) {
    let name: Value = ADA.into();
    assert_eq!(device.run(&["conversations"]).done()["with_name"], name);
    let taken = device.run(&["export"]).all();
    let said: Vec<_> = taken.iter().filter(|one| one["event"] == "message").collect();
    assert!(said.iter().any(|one| one["from_name"] == name), "{said:?}");
    assert!(
        said.iter().all(|one| one["group"] != Value::Null || one["with_name"] == name),
        "{said:?}"
    );
}

fn a_restored_device(pair: &Pair, ben: &Person) {
    let file = |name: &str| ben.path(name).to_str().unwrap().to_owned();
    let (phrase, backup) = (file("phrase"), file("ben.backup"));
    std::fs::write(&phrase, "heron amber violin cradle north basil\n").unwrap();
    ben.run(&["backup", &backup, "--passphrase-file", &phrase]).done();
    let tablet = Person::new(pair.client(1));
    tablet.set_up("restore", &[&backup, "ben", "--passphrase-file", &phrase]).done();
    knows_ada(&tablet);
    tablet.run(&["logout"]).done();
}

fn a_partition(pair: &Pair, ada: &Person, ben: &Person) {
    pair.cut();
    ada.run(&["send", "ben@south.test", "into the dark", "--wait", "sent"]).done();
    ada.run(&["send", "ben@south.test", "deeper", "--wait", "delivered", "--timeout", "1"])
        .failed(5, &["history"]);
    pair.heal();
    let heard = ben.run(&["listen", "--count", "2", "--timeout", "60"]).all();
    let texts: Vec<_> = heard.iter().filter_map(|one| one["text"].as_str()).collect();
    assert_eq!(texts, ["into the dark", "deeper"]);
}

fn a_restart(pair: &mut Pair, ada: &Person, ben: &Person) {
    let mut listening = ben.start(&["listen", "--count", "1", "--timeout", "60"]);
    listening.next("connected");
    pair.restart(0);
    ada.run(&["send", "ben@south.test", "after the restart", "--wait", "delivered"]).done();
    assert_eq!(listening.next("message")["text"], "after the restart");
    listening.ends();
}
