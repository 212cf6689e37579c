//! What goes wrong ends with the code that the documentation names, and says what to do.

use std::time::Instant;

use crate::{
    home::Home,
    person::{PATIENCE, Person},
};

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_their_codes_and_say_what_to_do() {
    let home = Home::start().await;
    let at = home.address();
    let ada = Person::registered(at, "ada");
    let other = Person::new(at);

    other.run(&["whoami"]).failed(2, &["posthouse-chat register"]);
    assert!(!other.path("posthouse-chat").exists(), "a question makes no profile");
    other.run(&["nonsense"]).failed(2, &["nonsense"]);
    other.run(&["whoami", "--profile", "../x"]).failed(2, &["name of a profile"]);
    let far = ["register", "x", "--server", "http://eu.example", "--password-file", "/dev/null"];
    other.run(&far).failed(2, &["https://"]);
    other.set_up("register", &["ada"]).failed(3, &["handle_taken", "another name"]);
    std::fs::write(other.path("short"), "too short\n").unwrap();
    let short = other.path("short").to_str().unwrap().to_owned();
    let words = ["register", "x", "--server", other.server(), "--password-file", &short];
    other.run(&words).failed(2, &["fewer than 10 characters", "words"]);
    other.set_up("login", &["ada"]).failed(2, &["posthouse-chat link"]);
    ada.set_up("register", &["ada2"]).failed(2, &["--profile"]);
    std::fs::write(ada.path("password"), "not this one either\n").unwrap();
    ada.set_up("login", &["ada"]).failed(3, &["name and the password"]);
    ada.run(&["send", "nobody", "x"]).failed(3, &["unknown_user"]);
    ada.run(&["send", "ada", "x"]).failed(2, &["somebody else"]);
    ada.run_with(&["send", "ada"], "").failed(2, &["no text"]);
    ada.run(&["approve", "posthouse-link:x"]).failed(2, &["whole code"]);
    // Long enough for a busy machine to connect: who was never connected is told something else.
    ada.run(&["listen", "--count", "1", "--timeout", "5"]).failed(5, &["--timeout"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_remembers_the_server_until_it_is_told_otherwise() {
    let home = Home::start().await;
    Person::registered(home.address(), "ada");
    let anew = Person::new(home.address());
    let file = anew.path("password");
    let log_in = |words: &[&str]| {
        let login = ["login", "ada", "--password-file", file.to_str().unwrap()];
        anew.run(&[&login[..], words].concat())
    };
    log_in(&[]).failed(2, &["No homeserver is named", "--server"]);
    // Nothing answers at this address, so it is not worth being remembered.
    log_in(&["--server", "http://127.0.0.1:1"])
        .failed(4, &["http://127.0.0.1:1 cannot be reached"]);
    log_in(&[]).failed(2, &["No homeserver is named"]);
    // The way that the failure advises needs no more than it says.
    anew.set_up("login", &["ada"]).failed(2, &["--new-identity"]);
    log_in(&["--new-identity"]).done();
    log_in(&[]).done();
    log_in(&["--forget-server"]).failed(2, &["No homeserver is named"]);
    log_in(&["--server", "http://127.0.0.1:1"]).failed(4, &["http://127.0.0.1:1"]);
    anew.run(&["logout", "--last"]).done();
    log_in(&[]).failed(3, &["not_found", "has logged out", "link", "--new-identity"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_is_told_at_once_and_ends_a_listening_badly() {
    let mut home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    ada.run(&["send", "ben", "one"]).done();
    home.stop().await;
    let refused = format!("http://{at} cannot be reached");
    ada.run(&["listen", "--timeout", "2"]).failed(4, &[&refused, "whether the server runs"]);
    let plain = ada.run_plain(&["send", "ben", "two", "--timeout", "2"]);
    plain.failed(4, &[&refused, "whether the server runs", "It is tried again.", "not reached"]);
    assert_eq!(plain.err.matches(&refused).count(), 1, "once for each reason: {plain:?}");
    // While it goes on, not when it gives up.
    let mut waiting = ben.start(&["listen"]);
    let told = waiting.complains();
    assert_eq!(told["event"], "unreached");
    drop(waiting);
    // What is known is listed all the same, and not as news.
    let begun = Instant::now();
    for list in ["conversations", "groups"] {
        let known = ada.run(&[list]);
        known.all();
        assert!(
            known.err.contains(r#""event":"stale""#) && known.err.contains(&refused),
            "{known:?}"
        );
    }
    let plain = ada.run_plain(&["conversations"]);
    assert!(plain.out.contains("ben") && plain.err.contains("knew last"), "{plain:?}");
    assert!(!plain.err.contains("tried again"), "{plain:?}");
    ada.run(&["groups", "members", "The stable", "--timeout", "1"]).failed(4, &[&refused]);
    assert!(begun.elapsed() < PATIENCE / 2, "it is told soon");
    assert!(told["message"].as_str().is_some_and(|text| text.contains(&refused)), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_password_or_a_terminal_it_does_not_hang() {
    let home = Home::start().await;
    let person = Person::new(home.address());
    let words = ["register", "ada", "--server", person.server()];
    person.run(&words).failed(2, &["--password-file"]);
    let words = ["register", "ada", "--server", person.server(), "--password-file", "-"];
    person.run_with(&words, "a password of the pipe\n").done();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_do_not_share_a_profile() {
    let home = Home::start().await;
    let ada = Person::registered(home.address(), "ada");
    let mut listening = ada.start(&["listen"]);
    listening.next("connected");
    ada.run(&["whoami"]).failed(7, &["--profile NAME"]);
    drop(listening);
    ada.run(&["whoami"]).done();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_go_now_goes_with_the_next_command() {
    let mut home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    ada.run(&["send", "ben", "one"]).done();
    home.stop().await;
    ada.run(&["send", "ben", "two", "--timeout", "1"]).failed(4, &["next command"]);
    ada.run(&["send", "ben", "three", "--wait", "queued"]).done();
    home.run().await;
    // The region has another port now, which the profile learns by logging in again.
    for (person, name) in [(&ada, "ada"), (&ben, "ben")] {
        let file = person.path("password");
        let server = format!("http://{}", home.address());
        let words = ["login", name, "--server", &server, "--password-file"];
        person.run(&[&words[..], &[file.to_str().unwrap()]].concat()).done();
    }
    ada.run(&["send", "ben", "four", "--wait", "sent"]).done();
    let heard = ben.run(&["listen", "--count", "4", "--timeout", "60"]).all();
    let texts: Vec<_> = heard.iter().filter_map(|one| one["text"].as_str()).collect();
    assert_eq!(texts, ["one", "two", "three", "four"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_not_steered_by_what_somebody_writes() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    ada.run(&["send", "ben", "\u{1b}[2Jgone\u{202e}"]).done();
    let heard = ben.run_plain(&["listen", "--count", "1", "--timeout", "60"]);
    assert!(heard.out.contains("ada: \u{FFFD}[2Jgone\u{FFFD}"), "{heard:?}");
    assert!(!heard.out.contains('\u{1b}'));
}
