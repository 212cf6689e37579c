//! Screens, as a person sees them.

use posthouse_client::{Availability, Entry, KeyTrust};
use posthouse_protocol::{
    id::{AccountId, GroupId, ServerName},
    rest::groups::{Standing, Unacknowledged},
    time::Timestamp,
};
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
        dialog::{Device, Devices, Dialog, Question, Relation, Safety},
        keys::{self, Action},
        model::{Group, Mark, Member, Model, Row, Talked},
        theme::Theme,
    },
    talk::{About, Talk},
};

fn account(number: u8) -> AccountId {
    AccountId::parse(&format!("01890a5d-ac96-774b-bcce-b302099a80{number:02}@eu.example")).unwrap()
}

fn person(number: u8) -> Talk {
    Talk::Person(account(number))
}

fn row(talk: Talk, unread: u64, mark: Mark) -> Row {
    Row { talk, unread, called: false, mark }
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
        row(person(2), 0, Mark::Plain),
        row(person(3), 12, Mark::Plain),
        row(person(4), 0, Mark::Plain),
    ];
    model.connected = true;
    model
}

/// A model with a conversation of all kinds of messages.
fn talking() -> Model {
    let mut model = model();
    model.open = Some(person(2));
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
    model.presence.insert(account(2), (Availability::Online, None));
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
    assert_eq!(model.beside(true), Some(person(2)));
    model.open = Some(person(2));
    press(&mut model, KeyCode::Char('x'));
    model.open = Some(person(4));
    assert!(model.draft().unwrap().is_empty());
    // Around the end.
    assert_eq!(model.beside(true), Some(person(2)));
    assert_eq!(model.beside(false), Some(person(3)));
    model.open = Some(person(2));
    assert_eq!(model.draft().unwrap().text(), "x");
    assert_eq!(press(&mut model, KeyCode::Enter), Action::Send);
    control(&mut model, 't');
    keys::paste(&mut model, " dana ");
    assert_eq!(press(&mut model, KeyCode::Enter), Action::Answer);
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
    let all = [
        None,
        Some(Dialog::Help),
        Some(Dialog::Decide),
        Some(Dialog::Devices(devices())),
        Some(Dialog::Members(0)),
        Some(Dialog::Ask(Question::Code, crate::screen::editor::Editor::default())),
    ];
    model.about = Some(About::Reply(model.timeline[0].id));
    for dialog in all {
        model.dialog = dialog;
        for (width, height) in [(1, 1), (2, 3), (5, 2), (60, 1), (61, 4), (200, 80)] {
            shown(&model, width, height);
        }
    }
}

/// A model with a group of three that is open, an invitation and a stranger.
fn in_group() -> Model {
    let mut model = model();
    let group = |number: u8| {
        let id = format!("g.01890a5d-ac96-774b-bcce-b302099a70{number:02}@eu.example");
        GroupId::parse(&id).unwrap()
    };
    let summary = |number: u8, title: &str, standing: &str| -> Group {
        Group {
            id: group(number),
            title: Some(title.to_owned()),
            standing: Some(serde_json::from_value(json!(standing)).unwrap()),
            invited_by: None,
            members: 3,
            active: Timestamp(7),
            unread: 0,
            mentioned: 0,
            disappears: None,
        }
    };
    let groups = [summary(1, "The stable", "owner"), summary(2, "Riders", "invited")];
    model.names.learn_groups(groups.iter().map(|one| (one.id.clone(), one.title.clone())));
    model.requests.insert(account(3));
    let mut rows = vec![
        row(Talk::Group(group(2)), 0, Mark::Asks),
        row(person(3), 12, Mark::Asks),
        row(Talk::Group(group(1)), 2, Mark::Plain),
    ];
    rows.push(row(person(4), 0, Mark::Plain));
    model.rows = rows;
    model.open = Some(Talk::Group(group(1)));
    let [stable, _] = groups;
    model.group = Some(stable);
    model.members = [(1, Standing::Owner), (2, Standing::Member), (4, Standing::Invited)]
        .map(|(number, standing)| Member { account: account(number), standing })
        .into();
    let said = |number: u8, own: bool, text: &str, status: Option<&str>, delivered: u64| {
        let mut entry = entry(number, own, &json!({ "Text": text }), status);
        entry.group = Some(group(1));
        (entry.delivered, entry.audience) = (delivered, 2);
        entry
    };
    model.timeline = vec![
        said(1, true, "Who rides?", Some("delivered"), 2),
        said(2, false, "I do.", None, 0),
        said(3, true, "Then take the grey one.", Some("sent"), 1),
    ];
    model.timeline[1].reactions = vec![(account(1), "👍".to_owned())];
    // What is gone was not merely edited.
    let mut gone = entry(4, false, &json!("Gone"), None);
    (gone.group, gone.edited) = (Some(group(1)), true);
    model.timeline.push(gone);
    model
}

#[test]
fn a_group_shows_who_has_a_message_and_who_is_in_it() {
    let mut model = in_group();
    insta::assert_snapshot!(shown(&model, 80, 12));
    assert_eq!(press(&mut model, KeyCode::F(2)), Action::Info);
    model.dialog = Some(Dialog::Members(0));
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Down);
    assert_eq!(model.dialog, Some(Dialog::Members(2)));
    press(&mut model, KeyCode::Up);
    insta::assert_snapshot!(shown(&model, 80, 14));
    let late = |name: &str, from| Unacknowledged { region: ServerName::parse(name).unwrap(), from };
    let open = model.group.as_ref().unwrap().id.clone();
    model.behind = Some((open, vec![late("us.example", 7), late("asia.example", 9)]));
    let behind = shown(&model, 80, 18);
    assert!(behind.contains("Not told of the newest changes yet:"), "{behind}");
    assert!(behind.contains("  us.example (from epoch 7)"), "{behind}");
    let other = GroupId::parse(&format!("g.{}@eu.example", uuid::Uuid::nil())).unwrap();
    model.behind = Some((other, vec![late("us.example", 7)]));
    assert!(!shown(&model, 80, 18).contains("us.example (from"), "that is another group");
    assert_eq!(press(&mut model, KeyCode::Char('a')), Action::Role(Standing::Admin));
    assert_eq!(press(&mut model, KeyCode::Char('r')), Action::Remove);
    assert_eq!(press(&mut model, KeyCode::Char('l')), Action::Leave);
    press(&mut model, KeyCode::Char('i'));
    insta::assert_snapshot!(shown(&model, 80, 10));
}

#[test]
fn strangers_and_invitations_wait_for_an_answer() {
    let mut model = in_group();
    press(&mut model, KeyCode::F(4));
    assert_eq!(model.dialog, None, "nobody asks here");
    model.open = Some(person(3));
    press(&mut model, KeyCode::F(4));
    insta::assert_snapshot!(shown(&model, 80, 14));
    assert_eq!(press(&mut model, KeyCode::Char('x')), Action::Nothing);
    assert_eq!(model.dialog, Some(Dialog::Decide));
    assert_eq!(press(&mut model, KeyCode::Char('d')), Action::Hear(false));
    model.dialog = Some(Dialog::Decide);
    assert_eq!(press(&mut model, KeyCode::Char('a')), Action::Hear(true));
    model.dialog = Some(Dialog::Decide);
    assert_eq!(press(&mut model, KeyCode::Char('b')), Action::Block);
}

#[test]
fn an_invitation_says_whose_it_is_and_how_many_are_in_the_group() {
    let mut model = in_group();
    let Some(group) = &mut model.group else { panic!() };
    group.standing = Some(Standing::Invited);
    let head = shown(&model, 80, 18);
    assert!(head.contains("you are invited: F4  3 members: F2"), "{head}");
    let Some(group) = &mut model.group else { panic!() };
    group.invited_by = Some(account(4));
    model.dialog = Some(Dialog::Decide);
    let asked = shown(&model, 80, 18);
    for part in ["dana invites you: F4", "Who invites you:", "Handle   dana", "It has 3 members."] {
        assert!(asked.contains(part), "\"{part}\" is not in:\n{asked}");
    }
}

/// A name is shown with what proves more, wherever it could be taken for somebody else's.
#[test]
fn who_calls_themselves_what_is_shown_beside_who_they_are() {
    let mut model = talking();
    let mut profile = posthouse_client::Profile::named("Dana");
    profile.about = Some("rides, and counts the stars".to_owned());
    model.names.learn_profile(&account(2), Some(profile));
    let profile = posthouse_client::Profile::named("Yuri");
    model.names.learn_profile(&account(3), Some(profile));
    model.dialog = Some(Dialog::Person(Relation { contact: false, blocked: false }));
    insta::assert_snapshot!(shown(&model, 80, 18));
}

#[test]
fn a_message_is_chosen_to_be_answered_changed_or_taken_back() {
    let mut model = talking();
    control(&mut model, 'r');
    assert_eq!(model.chosen, Some(model.timeline[6].id));
    // Of others, neither.
    for _ in 0..4 {
        press(&mut model, KeyCode::Up);
    }
    insta::assert_snapshot!(shown(&model, 80, 12));
    press(&mut model, KeyCode::Char('e'));
    assert!(model.notice.as_ref().is_some_and(|notice| notice.contains("your own")));
    press(&mut model, KeyCode::Char('+'));
    assert!(matches!(model.dialog, Some(Dialog::Ask(Question::Reaction, _))));
    press(&mut model, KeyCode::Char('🐎'));
    insta::assert_snapshot!(shown(&model, 80, 12));
    press(&mut model, KeyCode::Esc);
    press(&mut model, KeyCode::Char('r'));
    assert_eq!(model.about, Some(About::Reply(model.timeline[2].id)));
    press(&mut model, KeyCode::Char('y'));
    insta::assert_snapshot!(shown(&model, 80, 12));
    press(&mut model, KeyCode::Esc);
    // What was written stays, for it was no edit.
    assert_eq!((model.about, model.draft().unwrap().text()), (None, "y"));

    control(&mut model, 'r');
    for _ in 0..3 {
        press(&mut model, KeyCode::Up);
    }
    press(&mut model, KeyCode::Char('e'));
    assert_eq!(model.about, Some(About::Edit(model.timeline[3].id)));
    assert!(model.draft().unwrap().text().starts_with("A longer text"));
    press(&mut model, KeyCode::Esc);
    assert!(model.draft().unwrap().is_empty());
    control(&mut model, 'r');
    assert_eq!(press(&mut model, KeyCode::Char('d')), Action::TakeBack);
}

fn devices() -> Devices {
    let device = |number, name: &str, current| Device { number, name: name.to_owned(), current };
    Devices { all: vec![device(1, "laptop", true), device(2, "phone", false)], at: 0, pin: false }
}

#[test]
fn a_device_is_removed_by_its_number_and_a_pin_is_not_shown() {
    let mut model = talking();
    model.dialog = Some(Dialog::Devices(devices()));
    press(&mut model, KeyCode::Char('r'));
    assert_eq!(model.notice.as_deref(), Some("that is this device"));
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Char('r'));
    insta::assert_snapshot!(shown(&model, 80, 14));
    press(&mut model, KeyCode::Char('2'));
    assert_eq!(press(&mut model, KeyCode::Enter), Action::Answer);

    model.dialog = Some(Dialog::Devices(devices()));
    press(&mut model, KeyCode::Char('p'));
    keys::paste(&mut model, "271828");
    let screen = shown(&model, 80, 14);
    assert!(screen.contains("> ••••••") && !screen.contains("271828"), "{screen}");
    assert!(!format!("{:?}", model.dialog).contains("271828"));
    assert_eq!(press(&mut model, KeyCode::Enter), Action::Answer);
}

#[test]
fn how_long_messages_stay_is_set_and_shown() {
    let mut model = model();
    press(&mut model, KeyCode::F(6));
    assert_eq!(model.dialog, None, "nothing is open");
    let mut model = talking();
    press(&mut model, KeyCode::F(6));
    assert!(matches!(model.dialog, Some(Dialog::Ask(Question::Disappear, _))));
    assert_eq!(press(&mut model, KeyCode::Enter), Action::Answer);
    (model.dialog, model.disappears) = (None, Some(43_200));
    assert!(shown(&model, 80, 10).contains("disappears after 12h"));
}

#[test]
fn the_own_devices_are_shown_and_a_code_lets_one_in() {
    let mut model = talking();
    assert_eq!(press(&mut model, KeyCode::F(5)), Action::Devices);
    model.dialog = Some(Dialog::Devices(devices()));
    insta::assert_snapshot!(shown(&model, 80, 14));
    press(&mut model, KeyCode::Char('l'));
    keys::paste(&mut model, " posthouse-link:x\n");
    assert_eq!(press(&mut model, KeyCode::Enter), Action::Answer);
    let Some(Dialog::Ask(Question::Code, code)) = &model.dialog else { panic!("no code") };
    assert_eq!(code.text(), "posthouse-link:x");
}

#[test]
fn what_asks_for_a_decision_stands_first() {
    let mut model = in_group();
    let talked = |number: u8, active: u64| Talked {
        with: account(number),
        active: Timestamp(active),
        unread: 0,
        mentioned: 0,
    };
    model.open = None;
    model.list(vec![talked(2, 9), talked(3, 1), talked(4, 5)], &[]);
    let order: Vec<_> = model.rows.iter().map(|row| row.talk.clone()).collect();
    assert_eq!(order, [person(3), person(2), person(4)]);
}

#[test]
fn mentions_are_completed_shown_and_counted() {
    let mut model = in_group();
    model.members[1].account = account(2);
    keys::paste(&mut model, "well, @d");
    assert_eq!(press(&mut model, KeyCode::Tab), Action::Wrote);
    assert_eq!(model.draft().unwrap().text(), "well, @dana ");
    keys::paste(&mut model, "@x");
    assert_eq!(press(&mut model, KeyCode::Tab), Action::Beside { down: true });

    // What stands where a mention is, is drawn as one, also behind a line's end.
    let text = "You there, \u{2063}@ada, and all of you who are with @dana and her horse?";
    let mention = |what: &str, number: u8| {
        let start = text.find(what).unwrap();
        json!({ "start": start, "end": start + what.len(), "account": account(number) })
    };
    let mut message =
        serde_json::to_value(entry(9, false, &json!({ "Text": text }), None)).unwrap();
    message["mentions"] = json!([mention("@ada", 1), mention("@dana", 4)]);
    let mut message: Entry = serde_json::from_value(message).unwrap();
    message.group = model.timeline[0].group.clone();
    let told = posthouse_client::Update::Message(Box::new(message.clone()));
    model.told(&told);
    assert_eq!(model.notice, None, "it is open");
    model.timeline = vec![message];
    let mut terminal = Terminal::new(TestBackend::new(60, 12)).unwrap();
    terminal.draw(|frame| draw(frame, &model, &Theme::plain())).unwrap();
    let buffer = terminal.backend().buffer();
    let bold = |row: u16| -> String {
        let cells = (25..60).map(|column| &buffer[(column, row)]);
        let is_bold =
            |cell: &&ratatui::buffer::Cell| cell.modifier.contains(ratatui::style::Modifier::BOLD);
        cells.filter(is_bold).map(ratatui::buffer::Cell::symbol).collect()
    };
    let all: String = (3..5).map(bold).collect();
    assert!(all.contains("@ada@dana"), "{all}: {}", terminal.backend());

    model.open = Some(person(4));
    model.told(&told);
    let notice = model.notice.clone().unwrap_or_default();
    assert_eq!(notice, "ben@south.test mentions you in The stable");
    let groups = [Group { unread: 3, mentioned: 1, ..model.group.clone().unwrap() }];
    model.list(Vec::new(), &groups);
    assert!(shown(&model, 80, 6).contains("@3"));
}
