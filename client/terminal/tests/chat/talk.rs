//! People who talk with each other from scripts.

use std::time::Instant;

use crate::{
    home::Home,
    person::{PATIENCE, Person, mode},
};

#[tokio::test(flavor = "multi_thread")]
async fn two_people_talk_and_their_numbers_are_the_same() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    // Nothing is known of a key before it was of use.
    ada.run(&["safety", "ben"]).failed(2, &["send one first"]);

    let mut listening = ben.start(&["listen", "--count", "2", "--timeout", "60"]);
    listening.next("connected");
    let sent = ada.run(&["send", "ben", "Hello Ben!", "--wait", "delivered"]).done();
    assert_eq!((&sent["event"], &sent["status"]), (&"sent".into(), &"delivered".into()));
    let heard = listening.next("message");
    assert_eq!((&heard["id"], &heard["text"]), (&sent["id"], &"Hello Ben!".into()));
    assert_eq!((&heard["from_name"], &heard["outgoing"]), (&"ada".into(), &false.into()));
    // The rest of the text comes from a file, and ends the listening.
    ada.run_with(&["send", "ben"], "two\nlines\n").done();
    assert_eq!(listening.next("message")["text"], "two\nlines");
    listening.ends();

    // The name that came with the message is good for an answer.
    ben.run(&["send", "ada", "Hello Ada!"]).done();
    let heard = ada.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    let answer = heard.iter().find(|one| one["event"] == "message").unwrap();
    assert_eq!(answer["text"], "Hello Ada!");

    let numbers = [(&ada, "ben"), (&ben, "ada")].map(|(who, with)| {
        let shown = who.run(&["safety", with]).done();
        assert_eq!(shown["state"], "unverified");
        shown["digits"].as_str().unwrap().to_owned()
    });
    assert_eq!(numbers[0], numbers[1]);
    assert!(numbers[0].len() == 60 && numbers[0].bytes().all(|one| one.is_ascii_digit()));
    assert_eq!(ada.run(&["safety", "ben", "--verify"]).done()["state"], "verified");
    assert_eq!(ada.run(&["safety", "ben"]).done()["state"], "verified");

    let texts = |who: &Person, with: &str| -> Vec<String> {
        let all = who.run(&["history", with]).all();
        all.iter().map(|one| one["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&ada, "ben"), ["Hello Ben!", "two\nlines", "Hello Ada!"]);
    assert_eq!(texts(&ben, "ada"), texts(&ada, "ben"));
    let found = ada.run(&["history", "ben", "--search", "hello", "--limit", "1"]).done();
    assert_eq!(found["text"], "Hello Ada!");
    assert_eq!(ada.run(&["history", "ben", "--search", "LINES"]).done()["text"], "two\nlines");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_told() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    let id = ada.run(&["send", "ben", "Read me"]).done()["id"].clone();
    let mut listening = ada.start(&["listen"]);
    listening.next("connected");
    ben.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    assert_eq!(ben.run(&["conversations"]).done()["unread"], 1);
    ben.run(&["history", "ada", "--mark-read"]).all();
    assert_eq!(ben.run(&["conversations"]).done()["unread"], 0);
    // What could not be told at once is told while a command is connected.
    let reading = ben.start(&["listen"]);
    loop {
        let status = listening.next("status");
        if status["id"] == id && status["status"] == "read" {
            break;
        }
    }
    drop(reading);
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_that_come_together_are_one_line_for_people() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    for text in ["one", "two", "three"] {
        ada.run(&["send", "ben", text]).done();
    }
    ben.run(&["listen", "--count", "3", "--timeout", "60"]).all();
    let (mut told, deadline) = (String::new(), Instant::now() + PATIENCE);
    while !told.contains("✓✓") && Instant::now() < deadline {
        told.push_str(&ada.run_plain(&["listen", "--timeout", "2"]).out);
    }
    assert!(told.contains("  to ben: ✓✓  (3 messages)\n"), "{told}");
    assert!(ada.run_plain(&["listen", "--timeout", "1"]).out.matches('✓').count() == 0, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_device_is_linked_and_hears_everything() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    let laptop = Person::new(at);
    let mut linking = laptop.start(&["link", "--server", laptop.server()]);
    let code = linking.next("code")["code"].as_str().unwrap().to_owned();
    assert_eq!(ben.run(&["approve", &code]).done()["device"], 2);
    let linked = linking.next("linked");
    assert_eq!((&linked["handle"], &linked["device"]), (&"ben@eu.example".into(), &2.into()));
    linking.ends();

    ada.run(&["send", "ben", "to both"]).done();
    for device in [&ben, &laptop] {
        let heard = device.run(&["listen", "--count", "1", "--timeout", "60"]).all();
        assert!(heard.iter().any(|one| one["text"] == "to both"), "{heard:?}");
    }
    laptop.run(&["send", "ada", "from the laptop"]).done();
    let mut listening = ben.start(&["listen"]);
    let copy = listening.next("message");
    assert_eq!((&copy["text"], &copy["outgoing"]), (&"from the laptop".into(), &true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_for_its_owner_only_and_profiles_are_apart() {
    let home = Home::start().await;
    let ada = Person::registered(home.address(), "ada");
    let base = ada.path("posthouse-chat/default");
    assert_eq!(mode(&base), 0o700);
    for file in ["device.db", "server.json", "names.json"] {
        assert_eq!(mode(&base.join(file)), 0o600, "{file}");
    }
    ada.set_up("register", &["adas.other", "--profile", "other"]).done();
    let who = |profile: &str| ada.run(&["whoami", "--profile", profile]).done()["handle"].clone();
    assert_eq!(who("default"), "ada@eu.example");
    assert_eq!(who("other"), "adas.other@eu.example");
}
