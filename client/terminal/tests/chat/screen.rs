//! The full screen, as a process on a terminal of its own.

use crate::{home::Home, person::Person, terminal::Screen};

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
