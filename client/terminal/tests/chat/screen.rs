//! The full screen, as a process on a terminal of its own.

use crate::{
    home::Home,
    link::{Link, State},
    person::{PASSWORD, Person},
    terminal::Screen,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reads_answers_and_leaves() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    ada.run(&["send", "ben", "Halloo!"]).done();
    // It is there before the screen is, so that the first drawing has it.
    ben.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    let mut screen = Screen::start(&ben);
    screen.shows("ada");
    screen.shows("Welcome");
    screen.press("\t");
    screen.shows("Halloo!");
    // What is pasted is one text, whatever is in it; Enter sends it.
    screen.press("\u{1b}[200~Quiz?\nq\u{1b}[201~");
    screen.shows("Quiz?");
    screen.press("\r");
    screen.shows("✓");
    screen.press("?");
    screen.shows("Help");
    screen.press("\u{11}");
    // The terminal is given back: no pasting in brackets, and the screen that was there before.
    screen.shows("\u{1b}[?2004l");
    screen.shows("\u{1b}[?1049l");
    screen.ends();
    assert!(!screen.seen.contains("\u{1b}[3"), "a colour in spite of NO_COLOR");

    let heard = ada.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    assert!(heard.iter().any(|one| one["text"] == "Quiz?\nq"), "{heard:?}");
    let first = &ada.run(&["history", "ben"]).all()[0];
    assert_eq!((&first["text"], &first["status"]), (&"Halloo!".into(), &"read".into()));
}

const DOWN: &str = "\u{1b}[B";
const F5: &str = "\u{1b}[15~";
const F6: &str = "\u{1b}[17~";

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_let_in_by_a_pin_and_removed() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    let mut screen = Screen::start(&ben);
    screen.has("Welcome");
    screen.press(F5);
    screen.has("1  terminal  (this one)");
    screen.press("p");
    screen.has("6 to 12 digits");
    screen.press("27182\r");
    screen.has("a PIN has 6 to 12 digits");
    screen.press("8\r");
    screen.has("Your password");
    screen.press(&format!("{PASSWORD}\r"));
    screen.has("new devices need the PIN");
    assert!(!screen.seen.contains("27182") && !screen.seen.contains("battery"));

    let laptop = Person::new(at);
    let mut linking = laptop.start(&["link", "--server", laptop.server()]);
    let code = linking.next("code")["code"].as_str().unwrap().to_owned();
    screen.press("l");
    screen.has("The code that the new device shows");
    screen.press(&format!("\u{1b}[200~{code}\u{1b}[201~\r"));
    screen.has("Your PIN");
    screen.press("271828\r");
    screen.has("device 2 is one of yours now");
    linking.next("linked");
    linking.ends();
    laptop.run(&["send", "ada", "from both"]).done();

    screen.press(F5);
    screen.has("2  terminal");
    screen.press("r");
    screen.has("that is this device");
    screen.press(DOWN);
    screen.press("r");
    screen.has("It hears nothing from then on");
    screen.press("1\r");
    screen.has("its number is 2");
    screen.press("\u{15}2\r");
    screen.has("device 2 is none of yours any more");
    screen.has_not("2  terminal");
    laptop.run(&["send", "ada", "too late", "--timeout", "20"]).failed(3, &["login"]);
    screen.press("\u{11}");
    screen.ends();
    let heard = ada.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    assert!(heard.iter().any(|one| one["text"] == "from both"), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_mentioned_and_messages_disappear() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    let words = ["send", "ben", "Here, @ben", "--wait", "sent"];
    ada.run(&words).done();
    let heard = ben.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    let heard = heard.iter().find(|one| one["event"] == "message").unwrap();
    assert_eq!((&heard["mentioned"], &heard["mentions"][0]["start"]), (&true.into(), &6.into()));
    assert_eq!(ben.run(&["conversations"]).done()["mentioned"], 1);

    let mut screen = Screen::start(&ben);
    screen.has("@1");
    screen.press("\t");
    screen.has("Here, @ben");
    screen.press(F6);
    screen.has("nothing keeps them");
    screen.press("often\r");
    screen.has("a number with s, m, h or d");
    screen.press("\u{15}12h\r");
    screen.has("disappears after 12h");
    screen.press("Yes, @a");
    screen.has("> Yes, @a");
    screen.press("\t");
    screen.has("> Yes, @ada");
    screen.press("?\r");
    screen.has("✓");
    // Who answers has read.
    screen.has_not("@1");
    screen.press("\u{11}");
    screen.ends();

    let heard = ada.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    let heard = heard.iter().find(|one| one["text"] == "Yes, @ada ?").unwrap();
    assert_eq!((&heard["expires_after"], &heard["mentioned"]), (&43_200.into(), &true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_screen_of_a_new_profile_shows_a_code_and_becomes_a_device() {
    let home = Home::start().await;
    let ben = Person::registered(home.address(), "ben");
    let laptop = Person::new(home.address());
    let mut screen = Screen::tall(&laptop);
    screen.has("This profile is no device yet");
    screen.press("nonsense\r");
    screen.has("That is no homeserver's address");
    screen.press(&format!("\u{15}{}\r", laptop.server()));
    screen.has("posthouse-link:");
    // The same as a picture.
    screen.has("███████");
    let code = screen.piece("posthouse-link:");
    assert_eq!(ben.run(&["approve", &code]).done()["device"], 2);
    screen.has("Tab opens the next conversation");
    screen.press(F5);
    screen.has("2  terminal  (this one)");
    screen.press("\u{11}");
    screen.ends();
    assert_eq!(laptop.run(&["whoami"]).done()["device"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_homeserver_that_takes_its_time_does_not_hold_the_screen() {
    let home = Home::start().await;
    let link = Link::to(home.address()).await;
    let ada = Person::registered(home.address(), "ada");
    let ben = Person::registered(link.address, "ben");
    ada.run(&["send", "ben", "Halloo!"]).done();
    ben.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    let mut screen = Screen::start(&ben);
    screen.has("ada");
    screen.press("\t");
    screen.has("Halloo!");
    screen.has("│ connected");
    link.set(State::Stalled);
    screen.press(F5);
    screen.has("working … asking for your devices");
    screen.press("Quiz?");
    screen.has("> Quiz?");
    link.set(State::Up);
    screen.has("Your devices");
    screen.has_not("working");
    screen.press("\u{11}");
    screen.ends();
}
