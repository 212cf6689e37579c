//! Contacts, blocks and presence, from scripts and on the screen.

use crate::{home::Home, person::Person, terminal::Screen};

const F4: &str = "\u{1b}OS";
/// What a terminal says when it is looked at, and when it is not any more.
const FOCUS: [&str; 2] = ["\u{1b}[I", "\u{1b}[O"];

#[tokio::test(flavor = "multi_thread")]
async fn contacts_and_blocks_are_listed_and_changed() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    assert!(ada.run(&["contacts"]).all().is_empty());
    assert_eq!(ada.run(&["contacts", "--add", "ben"]).done()["event"], "contact_added");
    let listed = ada.run(&["contacts"]).done();
    assert_eq!((&listed["event"], &listed["name"]), (&"contact".into(), &"ben".into()));
    assert!(listed["since"].as_u64().is_some_and(|since| since > 0));
    assert_eq!(ada.run(&["contacts", "--remove", "ben"]).done()["event"], "contact_removed");
    ada.run(&["contacts", "--remove", "ben"]).failed(3, &["not_found"]);
    assert!(ada.run(&["contacts"]).all().is_empty());

    assert_eq!(ada.run(&["blocks", "--add", "ben"]).done()["event"], "blocked");
    let listed = ada.run(&["blocks"]).done();
    assert_eq!((&listed["event"], &listed["name"]), (&"block".into(), &"ben".into()));
    ben.run(&["send", "ada", "unheard", "--wait", "sent"]).done();
    assert_eq!(ada.run(&["blocks", "--remove", "ben"]).done()["event"], "unblocked");
    ben.run(&["send", "ada", "heard", "--wait", "delivered", "--timeout", "1"]).failed(5, &[]);
    let heard = ada.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    let heard = heard.iter().find(|one| one["event"] == "message").unwrap();
    assert_eq!(heard["text"], "heard");
    assert_eq!(
        ada.run(&["history", "ben"]).all().len(),
        1,
        "what was discarded does not come back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_watches_who_comes_and_goes() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    ada.run(&["contacts", "--add", "ben"]).done();
    ben.run(&["contacts", "--add", "ada"]).done();
    let mut watching = ada.start(&["listen", "--watch", "ben", "--timeout", "60"]);
    let before = watching.next("presence");
    assert_eq!(before["availability"], "offline");
    let mut there = ben.start(&["listen"]);
    let came = watching.next("presence");
    assert_eq!((&came["user"], &came["availability"]), (&before["user"], &"online".into()));
    there.next("connected");
    drop(there);
    let gone = watching.next("presence");
    assert_eq!(gone["availability"], "offline");
    assert!(gone["last_seen"].as_u64().is_some_and(|at| at > 0), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_screen_shows_who_is_there_and_blocks() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    ada.run(&["send", "ben", "Halloo!"]).done();
    ben.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    ben.run(&["send", "ada", "Halloo to you!"]).done();
    ada.run(&["listen", "--count", "1", "--timeout", "60"]).all();

    let mut screen = Screen::start(&ada);
    screen.has("ben");
    screen.press("\t");
    screen.has("Halloo to you!");
    screen.has("last seen");
    // Who looks at another window is away, and nobody has to say so.
    let mut other = Screen::start(&ben);
    screen.has("• ben");
    screen.has("online");
    other.press(FOCUS[1]);
    screen.has("◦ ben");
    screen.has("away");
    other.press(FOCUS[0]);
    screen.has("online");

    screen.press(F4);
    screen.has("They are none of");
    screen.press("c");
    screen.has("They are one of");
    screen.press("b");
    screen.has("They are blocked");
    other.has("ada");
    other.press("\tunheard\r");
    other.has("unheard");
    other.has("✓");
    screen.press("b");
    screen.has("heard from now on");
    screen.has_not("They are blocked");
    other.press("heard\r");
    screen.press("\u{1b}");
    screen.has("ben: heard");
    screen.has_not("unheard");
    for one in [&mut screen, &mut other] {
        one.press("\u{11}");
        one.ends();
    }
    assert_eq!(ada.run(&["contacts"]).done()["name"], "ben");
    assert!(ada.run(&["blocks"]).all().is_empty());
}
