//! Screens, as a person sees them.

use posthouse_client::{Entry, KeyTrust};
use posthouse_protocol::id::AccountId;
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};
use serde_json::json;

use super::draw;
use crate::{
    names::Names,
    screen::{
        keys::{self, Action},
        model::{Dialog, Model, Row, Safety},
        theme::Theme,
    },
};

fn account(number: u8) -> AccountId {
    AccountId::parse(&format!("01890a5d-ac96-774b-bcce-b302099a80{number:02}@eu.example")).unwrap()
}

/// A message as the SDK keeps it.
fn entry(number: u8, own: bool, said: &serde_json::Value, status: Option<&str>) -> Entry {
    let (ada, ben) = (account(1), account(2));
    let from = if own { &ada } else { &ben };
    let conversation = posthouse_protocol::id::ConversationId::direct(&ada, &ben);
    let sent_at = 1_796_000_000_000_u64 + u64::from(number) * 3_600_000 * 5;
    serde_json::from_value(json!({
        "id": format!("01890a5d-ac96-774b-bcce-b302099a90{number:02}"),
        "from": from, "with": ben, "conversation": conversation,
        "stamp": null, "sent_at": sent_at, "status": status, "said": said,
        "expires_after": null, "read": true,
    }))
    .unwrap()
}

fn model() -> Model {
    let mut names = Names::default();
    for (number, name) in [(2, "ben@south.test"), (3, "宇航员"), (4, "dana")] {
        names.learn(&account(number), name);
    }
    let mut model = Model::new(account(1), names, jiff::tz::TimeZone::UTC);
    model.rows = vec![
        Row { with: account(2), unread: 0 },
        Row { with: account(3), unread: 12 },
        Row { with: account(4), unread: 0 },
    ];
    model.connected = true;
    model
}

/// A model with a conversation of all kinds of messages.
fn talking() -> Model {
    let mut model = model();
    model.open = Some(account(2));
    let text = |text: &str| json!({ "Text": text });
    let reply = json!({ "Reply": {
        "text": "Here it is.", "to": "01890a5d-ac96-774b-bcce-b302099a9001",
    } });
    model.timeline = vec![
        entry(1, true, &text("Is the road open? 道は開いていますか"), Some("read")),
        entry(2, false, &text("It is: שלום\n\u{1b}[31mred"), None),
        entry(3, false, &reply, None),
        entry(
            4,
            true,
            &text("A longer text that needs more than one line, since it goes on."),
            Some("delivered"),
        ),
        entry(5, true, &text("too fast"), Some("failed")),
        entry(6, true, &json!("Gone"), Some("sent")),
        entry(7, true, &text("waits"), None),
    ];
    model.reasons.insert(model.timeline[4].id, "queue_full".to_owned());
    model.presence.insert(account(2), (true, None));
    model
}

fn shown(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, &Theme::plain())).unwrap();
    terminal.backend().to_string()
}

fn press(model: &mut Model, code: KeyCode) -> Action {
    keys::press(model, KeyEvent::new(code, KeyModifiers::NONE))
}

fn control(model: &mut Model, letter: char) -> Action {
    keys::press(model, KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL))
}

#[test]
fn at_the_beginning_it_says_what_to_do() {
    insta::assert_snapshot!(shown(&model(), 80, 12));
}

#[test]
fn a_conversation_has_days_names_ticks_and_reasons() {
    insta::assert_snapshot!(shown(&talking(), 80, 24));
}

#[test]
fn a_narrow_screen_shows_the_conversation_alone() {
    insta::assert_snapshot!(shown(&talking(), 34, 26));
}

#[test]
fn help_is_on_one_key_and_any_key_ends_it() {
    let mut model = talking();
    press(&mut model, KeyCode::Char('?'));
    insta::assert_snapshot!(shown(&model, 80, 24));
    press(&mut model, KeyCode::Char('x'));
    assert_eq!(model.dialog, None);
    // Within a text it is a character.
    press(&mut model, KeyCode::Char('x'));
    press(&mut model, KeyCode::Char('?'));
    assert_eq!(model.draft().unwrap().text(), "x?");
    press(&mut model, KeyCode::F(1));
    assert_eq!(model.dialog, Some(Dialog::Help));
}

#[test]
fn the_safety_number_is_shown_with_its_code_if_there_is_room() {
    let mut model = talking();
    let code = crate::qr::lines(&[7; 76]).unwrap();
    let safety = Safety { digits: "12345".repeat(12), trust: KeyTrust::Unverified, code };
    model.dialog = Some(Dialog::Safety(safety.clone()));
    insta::assert_snapshot!(shown(&model, 80, 34));
    let changed = Safety { trust: KeyTrust::Changed, ..safety };
    model.dialog = Some(Dialog::Safety(changed));
    model.trust = KeyTrust::Changed;
    insta::assert_snapshot!(shown(&model, 80, 16));
}

#[test]
fn what_is_pasted_is_text_and_no_keys() {
    let mut model = talking();
    assert_eq!(keys::paste(&mut model, "two\r\nlines ?"), Action::Wrote);
    assert_eq!(model.draft().unwrap().text(), "two\nlines ?");
    insta::assert_snapshot!(shown(&model, 80, 12));
    assert_eq!(press(&mut model, KeyCode::Enter), Action::Send);
}

#[test]
fn keys_open_conversations_and_drafts_stay_where_they_were_written() {
    let mut model = model();
    assert_eq!(press(&mut model, KeyCode::Tab), Action::Beside { down: true });
    assert_eq!(model.beside(true), Some(account(2)));
    model.open = Some(account(2));
    press(&mut model, KeyCode::Char('x'));
    model.open = Some(account(4));
    assert!(model.draft().unwrap().is_empty());
    // Around the end.
    assert_eq!(model.beside(true), Some(account(2)));
    assert_eq!(model.beside(false), Some(account(3)));
    model.open = Some(account(2));
    assert_eq!(model.draft().unwrap().text(), "x");
    assert_eq!(press(&mut model, KeyCode::Enter), Action::Send);
    control(&mut model, 't');
    keys::paste(&mut model, " dana ");
    assert_eq!(press(&mut model, KeyCode::Enter), Action::Find);
    insta::assert_snapshot!(shown(&model, 80, 12));
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.dialog, None);
    assert_eq!(control(&mut model, 'q'), Action::Quit);
}

#[test]
fn a_search_shows_what_it_finds() {
    let mut model = talking();
    control(&mut model, 'f');
    for letter in "OPEN".chars() {
        press(&mut model, KeyCode::Char(letter));
    }
    insta::assert_snapshot!(shown(&model, 80, 10));
    press(&mut model, KeyCode::Enter);
    assert_eq!((model.dialog.as_ref(), model.shown().count()), (None, 7));
}

#[test]
fn no_size_is_too_small_to_draw() {
    let mut model = talking();
    for dialog in [None, Some(Dialog::Help)] {
        model.dialog = dialog;
        for (width, height) in [(1, 1), (2, 3), (5, 2), (60, 1), (61, 4), (200, 80)] {
            shown(&model, width, height);
        }
    }
}
