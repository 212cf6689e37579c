//! Contacts, blocks and presence, from scripts and on the screen.

use crate::{home::Home, person::Person, terminal::Screen};

const F4: &str = "\u{1b}OS";
/// What a terminal says when it is looked at, and when it is not any more.
const FOCUS: [&str; 2] = ["\u{1b}[I", "\u{1b}[O"];

/// Ada and Ben, who have written to each other.
fn acquainted(home: &Home) -> (Person, Person) {
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    ada.run(&["send", "ben", "Halloo!"]).done();
    ben.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    ben.run(&["send", "ada", "Halloo to you!"]).done();
    ada.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    (ada, ben)
}

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
    let late = ben.run(&["send", "ada", "heard", "--wait", "delivered", "--timeout", "1"]);
    late.failed(5, &[]);
    assert!(late.out.contains(r#""status":"sent""#), "it has come as far as that: {late:?}");
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
async fn typing_ends_with_its_time_and_with_what_was_typed() {
    let home = Home::start().await;
    let (ada, ben) = acquainted(&home);
    let mut listening = ada.start(&["listen", "--timeout", "60"]);
    listening.next("connected");
    let mut screen = Screen::start(&ben);
    screen.has("ada");
    screen.press("\t");
    screen.has("│ connected");
    screen.press("x");
    assert_eq!(listening.next("typing")["typing"], true);
    // Ben says nothing more, and his screen takes nothing back.
    assert_eq!(listening.next("typing")["typing"], false);
    screen.press("y");
    assert_eq!(listening.next("typing")["typing"], true);
    screen.press("\r");
    assert_eq!(listening.next("typing")["typing"], false);
    screen.press("\u{11}");
    screen.ends();
    drop(listening);
    assert_eq!(ada.run(&["history", "ben", "--limit", "1"]).done()["text"], "xy");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_screen_shows_who_is_there_and_blocks() {
    let home = Home::start().await;
    let (ada, ben) = acquainted(&home);

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
    other.has("unheard  ✓");
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

const F3: &str = "\u{1b}OR";

#[tokio::test(flavor = "multi_thread")]
async fn people_are_shown_by_the_names_that_they_give_themselves() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    let shown = ada.run(&["profile"]).done();
    assert_eq!((&shown["event"], &shown["name"]), (&"profile".into(), &serde_json::Value::Null));
    let said = ada.run(&["profile", "--name", "Ada Lovelace", "--about", "counts"]).done();
    assert_eq!((&said["name"], &said["published"]), (&"Ada Lovelace".into(), &true.into()));
    assert_eq!(ada.run(&["profile", "--name", ""]).done()["name"], serde_json::Value::Null);
    let said = ada.run(&["profile", "--name", "Ada Lovelace"]).done();
    assert_eq!((&said["name"], &said["about"]), (&"Ada Lovelace".into(), &"counts".into()));
    ada.run(&["profile", "--name", &"x".repeat(257)]).failed(2, &["256 bytes"]);

    let mut listening = ben.start(&["listen", "--timeout", "60"]);
    listening.next("connected");
    ada.run(&["send", "ben", "Halloo!", "--wait", "delivered"]).done();
    let told = listening.next("profile");
    assert_eq!((&told["name"], &told["about"]), (&"Ada Lovelace".into(), &"counts".into()));
    drop(listening);
    let listed = ben.run(&["conversations"]).done();
    assert_eq!(
        (&listed["with_name"], &listed["with_profile"]),
        (&"ada".into(), &"Ada Lovelace".into())
    );
    assert!(ben.run_plain(&["conversations"]).out.contains("Ada Lovelace (ada)"));
    assert!(ben.run_plain(&["history", "ada"]).out.contains("Ada Lovelace: Halloo!"));

    let mut screen = Screen::start(&ben);
    screen.has("Ada Lovelace");
    screen.press("\t");
    screen.has("Ada Lovelace: Halloo!");
    // Who asks is told apart from whom they claim to be before they are heard.
    screen.has("wants to write to you");
    screen.press(F4);
    screen.has("They call themselves Ada Lovelace.");
    screen.has("Handle   ada");
    screen.press("a");
    screen.has("heard from now on");
    screen.press(F4);
    screen.has("Ada Lovelace (ada)");
    screen.has("counts");
    screen.has("Account  0");
    screen.press("\u{1b}");
    screen.has_not("Account  0");
    screen.press(F3);
    screen.has("What you are called");
    screen.press("Ben\r");
    screen.has("you are called Ben");
    screen.press("Halloo to you!\r");
    screen.has("✓");
    screen.press("\u{11}");
    screen.ends();
    assert_eq!(ben.run(&["profile"]).done()["name"], "Ben");

    let mut other = Screen::start(&ada);
    other.has("Ben");
    other.press("\t");
    other.has("Ben: Halloo to you!");
    other.press("\u{11}");
    other.ends();
}
