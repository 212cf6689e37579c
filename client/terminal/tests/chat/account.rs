//! What a person does about the account itself, its devices, and somebody who bothers them.

use posthouse_homeserver::operator::order::{Answer, Order};
use serde_json::Value;

use crate::{
    backup::linked,
    home::Home,
    person::{PASSWORD, Person},
};

const OTHER: &str = "a different horse altogether";

/// A file with one line, of this person.
fn line(of: &Person, name: &str, text: &str) -> String {
    let path = of.path(name);
    std::fs::write(&path, format!("{text}\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_the_other_sessions_and_opens_new_ones() {
    let home = Home::start().await;
    let at = home.address();
    let ada = Person::registered(at, "ada");
    let laptop = linked(&ada, at);
    let files = [("now", PASSWORD), ("new", OTHER), ("weak", "1234567890")];
    let [now, new, weak] = files.map(|(name, text)| line(&ada, name, text));
    let change = |from: &str, to: &str| {
        ada.run(&["password", "--password-file", from, "--new-password-file", to])
    };
    change(&new, &now).failed(3, &["wrong_credentials", "the password"]);
    change(&now, &weak).failed(3, &["weak_password"]);
    laptop.run(&["contacts"]).all();
    assert_eq!(change(&now, &new).done()["event"], "password_changed");
    ada.run(&["contacts"]).all();
    laptop.run(&["contacts"]).failed(3, &["login"]);
    laptop.set_up("login", &["ada"]).failed(3, &["wrong_credentials"]);
    let words = ["login", "ada", "--password-file", &new];
    assert_eq!(laptop.run(&words).done()["device"], 2, "it is the device that it was");
    // Both from standard input, the present one first.
    let piped = ["password", "--password-file", "-", "--new-password-file", "-"];
    ada.run_with(&piped, &format!("{OTHER}\n{PASSWORD}\n")).done();
    laptop.set_up("login", &["ada"]).done();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_deleted_by_who_types_its_name_and_password() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    let (right, wrong) = (line(&ada, "right", PASSWORD), line(&ada, "wrong", OTHER));
    let delete = |password: &str, words: &[&str]| {
        ada.run(&[&["delete-account", "--password-file", password], words].concat())
    };
    delete(&right, &[]).failed(2, &["terminal", "--confirm"]);
    delete(&right, &["--confirm", "ada"])
        .failed(2, &["is not ada@eu.example", "nothing was deleted"]);
    let confirmed = ["--confirm", "ada@eu.example"];
    delete(&wrong, &confirmed).failed(3, &["wrong_credentials"]);
    ada.run(&["contacts"]).all();
    assert_eq!(delete(&right, &confirmed).done()["event"], "account_deleted");
    ada.run(&["contacts"]).failed(3, &["was deleted", "--profile"]);
    assert_eq!(ada.run(&["whoami"]).done()["ended"], "deleted");
    ada.set_up("login", &["ada"]).failed(3, &["wrong_credentials"]);
    ben.run(&["send", "ada", "Are you there?"]).failed(3, &["unknown_user"]);
    ben.set_up("register", &["ada", "--profile", "other"]).failed(3, &["handle_taken"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_listed_and_one_is_taken_out() {
    let home = Home::start().await;
    let at = home.address();
    let ada = Person::registered(at, "ada");
    let laptop = linked(&ada, at);
    let all = ada.run(&["devices"]).all();
    let told = |one: &Value| (one["device"].clone(), one["current"].clone(), one["listed"].clone());
    let told: Vec<_> = all.iter().map(told).collect();
    let of = |number: u8, current: bool| -> (Value, Value, Value) {
        (number.into(), current.into(), true.into())
    };
    assert_eq!(told, [of(1, true), of(2, false)]);
    let shown = laptop.run_plain(&["devices"]).out;
    assert!(shown.contains("2  terminal  (this one)"), "{shown}");
    let remove = |number: &str| ada.run(&["devices", "--remove", number]);
    remove("7").failed(2, &["no device 7"]);
    remove("1").failed(2, &["this one", "logout"]);
    let removed = remove("2").done();
    assert_eq!((&removed["device"], &removed["published"]), (&2.into(), &true.into()));
    assert_eq!(laptop.run(&["whoami"]).done()["ended"], "session_ended");
    laptop.run(&["contacts"]).failed(3, &["login", "removed"]);
    // The log-in finds what has happened, and every command says it from then on.
    laptop.set_up("login", &["ada"]).failed(3, &["not_found", "was removed", "--profile"]);
    let told = laptop.run_plain(&["whoami"]).out;
    assert!(
        told.contains("You were ada@eu.example, device 2") && told.contains("was removed"),
        "{told}"
    );
    laptop.run(&["send", "ada", "Hm?"]).failed(3, &["was removed", "posthouse-chat link"]);
    laptop.run(&["link", "--server", laptop.server()]).failed(3, &["was removed", "--profile"]);
    assert_eq!(ada.run(&["devices"]).done()["device"], 1);
    // The list without it holds: somebody else encrypts for what is left.
    let ben = Person::registered(at, "ben");
    ben.run(&["send", "ada", "Only one?", "--wait", "sent"]).done();
    let heard = ada.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    assert!(heard.iter().any(|one| one["text"] == "Only one?"), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_has_logged_out_says_so_and_keeps_what_it_has() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    assert_eq!(ada.run(&["whoami"]).done()["ended"], Value::Null);
    ada.run(&["send", "ben", "while I am here"]).done();
    let out = ada.run_plain(&["logout", "--last"]);
    assert!(out.out.contains("none of ada@eu.example's any more"), "{out:?}");
    let told = ada.run(&["whoami"]).done();
    assert_eq!((&told["ended"], &told["device"]), (&"logged_out".into(), &1.into()));
    let told = ada.run_plain(&["whoami"]).out;
    assert!(told.contains("You were ada@eu.example") && told.contains("logged out"), "{told}");
    let refused = ada.run(&["send", "ben", "and now?"]);
    refused.failed(3, &["logged out", "--profile", "--new-identity"]);
    assert!(refused.out.is_empty(), "nothing waits that never goes: {refused:?}");
    let known = ada.run(&["history", "ben"]).all();
    assert_eq!((known.len(), &known[0]["text"]), (1, &"while I am here".into()));
    let known = ada.run(&["conversations"]);
    assert_eq!(known.done()["with_name"], "ben");
    assert!(known.err.contains("stale") && known.err.contains("logged out"), "{known:?}");
    // What it advises works.
    let file = ada.path("password");
    let words = ["login", "ada", "--new-identity", "--profile", "anew", "--server", ada.server()];
    ada.run(&[&words[..], &["--password-file", file.to_str().unwrap()]].concat()).done();
    ada.run(&["send", "ben", "here I am", "--profile", "anew"]).done();
    assert_eq!(ben.run(&["whoami"]).done()["ended"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_sees_the_messages_that_are_chosen_and_no_other() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, eve) = (Person::registered(at, "ada"), Person::registered(at, "eve"));
    for text in ["Buy this", "Buy that", "Buy now"] {
        eve.run(&["send", "ada", text]).done();
    }
    ada.run(&["listen", "--count", "3", "--timeout", "60"]).all();
    let first = ada.run(&["history", "eve"]).all()[0]["id"].as_str().unwrap().to_owned();
    let words = ["report", "eve", "--reason", "spam", "--comment", "since Monday", "--last", "1"];
    let filed = ada.run(&[&words[..], &["--message", &first]].concat()).done();
    assert_eq!((&filed["event"], &filed["messages"]), (&"reported".into(), &2.into()));

    let operator = home.operator();
    let id = filed["report"].as_str().unwrap().parse().unwrap();
    let shown = operator.carry_out(Order::ReportShow { id }).await.unwrap();
    let Answer::Report { evidence, comment, .. } = shown else { panic!("{shown:?}") };
    assert_eq!(comment.as_deref(), Some("since Monday"));
    let evidence: Vec<Value> = serde_json::from_str(&evidence).unwrap();
    let texts: Vec<_> = evidence.iter().map(|one| one["content"]["text"].clone()).collect();
    assert_eq!(texts, ["Buy this", "Buy now"]);
    assert!(evidence.iter().all(|one| one["stamp"].is_string()), "{evidence:?}");

    let unknown = uuid::Uuid::nil().to_string();
    let words = ["report", "eve", "--reason", "other", "--message", &unknown];
    ada.run(&words).failed(2, &["no words of theirs", &unknown]);
    ada.run(&["report", "ada", "--reason", "other"]).failed(3, &["bad_request"]);
    ada.run(&["report", "eve", "--reason", "envy"]).failed(2, &["envy", "harassment"]);
    eve.run(&["report", "ada", "--reason", "spam", "--last", "3"])
        .failed(2, &["no messages of ada's", "--last"]);
    // Somebody can be reported for what is no message, too.
    assert_eq!(ada.run(&["report", "eve", "--reason", "impersonation"]).done()["messages"], 0);
}
