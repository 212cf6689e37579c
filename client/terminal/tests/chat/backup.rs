//! Backups, and what is left to somebody who has lost all devices.

use serde_json::Value;

use crate::{
    home::Home,
    person::{Person, mode},
};

const LISTEN: [&str; 5] = ["listen", "--count", "1", "--timeout", "60"];

/// A file with one line, of this person.
fn line(of: &Person, name: &str, text: &str) -> String {
    let path = of.path(name);
    std::fs::write(&path, format!("{text}\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

fn texts(of: &Person, with: &str) -> Vec<Value> {
    of.run(&["history", with]).all().iter().map(|one| one["text"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_device_comes_back_from_a_backup() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    ada.run(&["send", "ben", "Before the loss"]).done();
    ben.run(&LISTEN).all();
    ben.run(&["send", "ada", "I hear you"]).done();
    ada.run(&LISTEN).all();
    let digits = ada.run(&["safety", "ben"]).done()["digits"].clone();

    let phrase = line(&ada, "phrase", "heron amber violin cradle north basil");
    let kept = ada.path("ada.backup");
    let file = kept.to_str().unwrap();
    let made = ada.run(&["backup", file, "--passphrase-file", &phrase]).done();
    assert_eq!((&made["event"], &made["messages"]), (&"backup".into(), &2.into()));
    assert_eq!(mode(&kept), 0o600);
    let again = ["backup", file, "--passphrase-file", &phrase];
    ada.run(&again).failed(2, &["exists", "--replace"]);
    ada.run(&[&again[..], &["--replace"]].concat()).done();
    let short = line(&ada, "short", "ten chars!");
    let other = ada.path("other").to_str().unwrap().to_owned();
    ada.run(&["backup", &other, "--passphrase-file", &short]).failed(2, &["12 characters"]);

    let laptop = Person::new(at);
    let wrong = line(&laptop, "wrong", "heron amber violin cradle north");
    let restore =
        |phrase: &str| laptop.set_up("restore", &[file, "ada", "--passphrase-file", phrase]);
    restore(&wrong).failed(2, &["passphrase"]);
    let restored = restore(&phrase).done();
    assert_eq!((&restored["event"], &restored["device"]), (&"restored".into(), &2.into()));
    restore(&phrase).failed(2, &["already"]);
    assert_eq!(texts(&laptop, "ben"), ["Before the loss", "I hear you"]);
    assert_eq!(laptop.run(&["safety", "ben"]).done()["digits"], digits);
    ben.run(&["send", "ada", "Are you back?"]).done();
    let heard = laptop.run(&LISTEN).all();
    assert!(heard.iter().any(|one| one["text"] == "Are you back?"), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_everything_goes_on_under_a_new_key() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    ada.run(&["send", "ben", "Before the loss"]).done();
    ben.run(&LISTEN).all();

    let anew = Person::new(at);
    anew.set_up("login", &["ada"]).failed(2, &["link", "restore", "--new-identity"]);
    let device = anew.set_up("login", &["ada", "--new-identity"]).done();
    assert_eq!(device["event"], "logged_in");
    ada.run(&["send", "ben", "too late", "--timeout", "20"]).failed(3, &["login"]);
    anew.run(&["send", "ben", "It is me again"]).done();
    ben.start(&["listen"]).next("key_changed");
    ben.run(&["safety", "ada"]).failed(6, &["another identity key", "--accept"]);
    // What was said under the new key waits until it is accepted.
    ben.run(&["safety", "ada", "--accept"]).done();
    let heard = ben.run(&LISTEN).all();
    assert!(heard.iter().any(|one| one["text"] == "It is me again"), "{heard:?}");

    anew.run(&["logout"]).failed(2, &["only device", "backup", "--last"]);
    let out = anew.run(&["logout", "--last"]).done();
    assert_eq!((&out["event"], &out["device"]), (&"logged_out".into(), &device["device"]));
    anew.run(&["send", "ben", "from nowhere", "--timeout", "20"]).failed(3, &["login"]);
}

/// A further device of somebody.
pub(crate) fn linked(to: &Person, at: std::net::SocketAddr) -> Person {
    let device = Person::new(at);
    let mut linking = device.start(&["link", "--server", device.server()]);
    let code = linking.next("code")["code"].as_str().unwrap().to_owned();
    to.run(&["approve", &code]).done();
    linking.next("linked");
    linking.ends();
    device
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_has_logged_out_makes_room_for_another() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    let laptop = linked(&ada, at);
    laptop.run(&["logout"]).done();
    let tablet = linked(&ada, at);
    for (from, text) in [(&ada, "from the first"), (&tablet, "from the third")] {
        from.run(&["send", "ben", text, "--wait", "sent"]).done();
        let heard = ben.run(&LISTEN).all();
        assert!(heard.iter().any(|one| one["text"] == text), "{heard:?}");
    }
    let told = ada.run(&["listen", "--timeout", "2"]).all();
    assert!(told.iter().all(|one| one["event"] != "refused"), "nobody has lied: {told:?}");
}
