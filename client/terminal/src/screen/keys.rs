//! What the keys do.

use posthouse_client::Said;
use posthouse_protocol::rest::groups::Standing;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    dialog::{Devices, Dialog, Question},
    editor::Editor,
    model::Model,
};
use crate::talk::About;

/// What the loop has to do about a key; what only concerns the model is done already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Nothing,
    Accept,
    /// A question was answered.
    Answer,
    /// Draw everything anew.
    Anew,
    Beside {
        down: bool,
    },
    Block,
    Devices,
    /// Who asks is heard, or is not.
    Hear(bool),
    /// The safety number, or who is in the group.
    Info,
    Leave,
    /// What the own person is called.
    Name,
    /// What the person of the open conversation is to this account.
    Person,
    Quit,
    Remove,
    Role(Standing),
    Send,
    /// The person becomes a contact, or is none any more.
    SetContact(bool),
    /// The person is blocked, or heard again.
    SetBlocked(bool),
    /// The chosen message is taken back.
    TakeBack,
    Verify,
    /// The draft has changed.
    Wrote,
}

/// A key was pressed.
pub(crate) fn press(model: &mut Model, key: KeyEvent) -> Action {
    if key.kind == KeyEventKind::Release {
        return Action::Nothing;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if control && matches!(key.code, KeyCode::Char('c' | 'q')) {
        return Action::Quit;
    }
    model.notice = None;
    match model.dialog.take() {
        Some(dialog) => in_dialog(model, dialog, key),
        None if model.chosen.is_some() => in_choice(model, key.code),
        None if control => with_control(model, key.code),
        None => in_conversation(model, key),
    }
}

/// Text was pasted.
pub(crate) fn paste(model: &mut Model, text: &str) -> Action {
    match &mut model.dialog {
        Some(Dialog::Ask(_, text_of) | Dialog::Search(text_of)) => _ = text_of.insert(text.trim()),
        Some(_) => {}
        None => return write(model, text),
    }
    Action::Nothing
}

pub(super) fn ask(model: &mut Model, question: Question) {
    let editor = if question.is_secret() { Editor::for_secret() } else { Editor::default() };
    model.dialog = Some(Dialog::Ask(question, editor));
}

fn in_dialog(model: &mut Model, dialog: Dialog, key: KeyEvent) -> Action {
    match (dialog, key.code) {
        // Any key ends the help.
        (_, KeyCode::Esc) | (Dialog::Help, _) | (Dialog::Search(_), KeyCode::Enter) => {
            Action::Nothing
        }
        (Dialog::Search(mut wanted), code) => {
            match code {
                KeyCode::PageUp => model.scrolled = model.scrolled.saturating_add(10),
                KeyCode::PageDown => model.scrolled = model.scrolled.saturating_sub(10),
                code => {
                    edit(&mut wanted, code, key.modifiers);
                    model.scrolled = 0;
                }
            }
            model.dialog = Some(Dialog::Search(wanted));
            Action::Nothing
        }
        (Dialog::Ask(question, mut text), code) => {
            let answered = code == KeyCode::Enter;
            if !answered {
                edit(&mut text, code, key.modifiers);
            }
            model.dialog = Some(Dialog::Ask(question, text));
            if answered { Action::Answer } else { Action::Nothing }
        }
        (Dialog::Safety(safety), code) => {
            model.dialog = Some(Dialog::Safety(safety));
            match code {
                KeyCode::Char('v') => Action::Verify,
                KeyCode::Char('a') => Action::Accept,
                KeyCode::F(2) | KeyCode::Enter => {
                    model.dialog = None;
                    Action::Nothing
                }
                _ => Action::Nothing,
            }
        }
        (Dialog::Decide, code) => match code {
            KeyCode::Char('a') => Action::Hear(true),
            KeyCode::Char('d') => Action::Hear(false),
            KeyCode::Char('b') => Action::Block,
            _ => {
                model.dialog = Some(Dialog::Decide);
                Action::Nothing
            }
        },
        (Dialog::Person(relation), code) => {
            model.dialog = Some(Dialog::Person(relation));
            match code {
                KeyCode::Char('c') => Action::SetContact(!relation.contact),
                KeyCode::Char('b') => Action::SetBlocked(!relation.blocked),
                KeyCode::F(4) | KeyCode::Enter => {
                    model.dialog = None;
                    Action::Nothing
                }
                _ => Action::Nothing,
            }
        }
        (Dialog::Devices(devices), code) => {
            in_devices(model, devices, code);
            Action::Nothing
        }
        (Dialog::Members(at), code) => in_members(model, at, code),
    }
}

fn in_devices(model: &mut Model, mut devices: Devices, code: KeyCode) {
    let last = devices.all.len().saturating_sub(1);
    match code {
        KeyCode::Up => devices.at = devices.at.saturating_sub(1),
        KeyCode::Down => devices.at = (devices.at + 1).min(last),
        _ => {}
    }
    let chosen = devices.all.get(devices.at).cloned();
    match (code, chosen) {
        (KeyCode::Char('l'), _) => return ask(model, Question::Code),
        (KeyCode::Char('p'), _) => return ask(model, Question::NewPin),
        (KeyCode::Char('r'), Some(device)) if !device.current => {
            return ask(model, Question::Remove(device));
        }
        (KeyCode::Char('r'), _) => model.notice = Some("that is this device".to_owned()),
        (KeyCode::Enter | KeyCode::F(5), _) => return,
        _ => {}
    }
    model.dialog = Some(Dialog::Devices(devices));
}

fn in_members(model: &mut Model, at: usize, code: KeyCode) -> Action {
    let last = model.members.len().saturating_sub(1);
    let at = match code {
        KeyCode::Up => at.saturating_sub(1),
        KeyCode::Down => (at + 1).min(last),
        _ => at,
    };
    model.dialog = Some(Dialog::Members(at));
    match code {
        KeyCode::Char('i') => ask(model, Question::Invite),
        KeyCode::Char('n') => ask(model, Question::Rename),
        KeyCode::Char('o') => return Action::Role(Standing::Owner),
        KeyCode::Char('a') => return Action::Role(Standing::Admin),
        KeyCode::Char('m') => return Action::Role(Standing::Member),
        KeyCode::Char('r') => return Action::Remove,
        KeyCode::Char('l') => return Action::Leave,
        KeyCode::Enter | KeyCode::F(2) => model.dialog = None,
        _ => {}
    }
    Action::Nothing
}

/// A message is chosen: what is to be done about it.
fn in_choice(model: &mut Model, code: KeyCode) -> Action {
    let chosen = model.chosen.and_then(|id| model.message(id));
    let Some((id, own, text)) = chosen.map(|one| {
        let text = match &one.said {
            Said::Text(text) | Said::Reply { text, .. } => Some(text.clone()),
            _ => None,
        };
        (one.id, one.from == model.own, text)
    }) else {
        model.chosen = None;
        return Action::Nothing;
    };
    match code {
        KeyCode::Up | KeyCode::Char('k') => model.choose(false),
        KeyCode::Down | KeyCode::Char('j') => model.choose(true),
        KeyCode::Enter | KeyCode::Char('r') => {
            model.about = Some(About::Reply(id));
            model.chosen = None;
        }
        KeyCode::Char('+') => ask(model, Question::Reaction),
        KeyCode::Char('e' | 'd') if !own => {
            model.notice = Some("that is for your own messages".to_owned());
        }
        KeyCode::Char('e') => {
            let Some(text) = text else { return Action::Nothing };
            if let Some(draft) = model.draft() {
                draft.take();
                draft.insert(&text);
            }
            model.about = Some(About::Edit(id));
            model.chosen = None;
        }
        KeyCode::Char('d') => return Action::TakeBack,
        KeyCode::Esc => model.chosen = None,
        _ => {}
    }
    Action::Nothing
}

fn with_control(model: &mut Model, code: KeyCode) -> Action {
    match code {
        KeyCode::Char('n') | KeyCode::Down => return Action::Beside { down: true },
        KeyCode::Char('p') | KeyCode::Up => return Action::Beside { down: false },
        KeyCode::Char('t') => ask(model, Question::To),
        KeyCode::Char('g') => ask(model, Question::GroupTitle),
        KeyCode::Char('r') => {
            model.choose(false);
            if model.chosen.is_none() {
                model.notice = Some("there is no message here yet".to_owned());
            }
        }
        KeyCode::Char('f') if model.open.is_some() => {
            model.dialog = Some(Dialog::Search(Editor::default()));
        }
        KeyCode::Char('l') => return Action::Anew,
        KeyCode::Char('j') => return write(model, "\n"),
        _ => {
            let changed =
                model.draft().is_some_and(|draft| edit(draft, code, KeyModifiers::CONTROL));
            return if changed { Action::Wrote } else { Action::Nothing };
        }
    }
    Action::Nothing
}

fn in_conversation(model: &mut Model, key: KeyEvent) -> Action {
    let empty = model.draft().is_none_or(|draft| draft.is_empty());
    match key.code {
        KeyCode::F(1) => model.dialog = Some(Dialog::Help),
        KeyCode::Char('?') if empty => model.dialog = Some(Dialog::Help),
        KeyCode::F(2) => return Action::Info,
        KeyCode::F(3) => return Action::Name,
        KeyCode::F(4) if model.asks() => model.dialog = Some(Dialog::Decide),
        KeyCode::F(4) if model.open.as_ref().is_some_and(|open| open.person().is_some()) => {
            return Action::Person;
        }
        KeyCode::F(4) => model.notice = Some("nobody asks here".to_owned()),
        KeyCode::F(5) => return Action::Devices,
        KeyCode::F(6) if model.open.is_some() => ask(model, Question::Disappear),
        KeyCode::Tab if model.complete() => return Action::Wrote,
        KeyCode::Tab => return Action::Beside { down: true },
        KeyCode::BackTab => return Action::Beside { down: false },
        KeyCode::Down if empty => return Action::Beside { down: true },
        KeyCode::Up if empty => return Action::Beside { down: false },
        KeyCode::PageUp => model.scrolled = model.scrolled.saturating_add(10),
        KeyCode::PageDown => model.scrolled = model.scrolled.saturating_sub(10),
        KeyCode::Esc => {
            // The text of an edit was not written for anything else.
            if matches!(model.about.take(), Some(About::Edit(_))) {
                model.draft().map(Editor::take);
            }
        }
        KeyCode::Enter if key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SHIFT) => {
            return write(model, "\n");
        }
        KeyCode::Enter if !empty => return Action::Send,
        code => {
            if let Some(draft) = model.draft() {
                if edit(draft, code, key.modifiers) {
                    return Action::Wrote;
                }
            } else if matches!(code, KeyCode::Char(_)) {
                model.notice = Some("Tab opens a conversation, Ctrl-T begins one".to_owned());
            }
        }
    }
    Action::Nothing
}

fn write(model: &mut Model, text: &str) -> Action {
    match model.draft() {
        Some(draft) => {
            if !draft.insert(text) {
                model.notice = Some("a message has at most 32 KiB".to_owned());
            }
            Action::Wrote
        }
        None => Action::Nothing,
    }
}

/// Editing as in a shell. Whether the text may have changed.
pub(super) fn edit(editor: &mut Editor, code: KeyCode, with: KeyModifiers) -> bool {
    if with.contains(KeyModifiers::CONTROL) {
        match code {
            KeyCode::Char('a') => editor.home(),
            KeyCode::Char('e') => editor.end(),
            KeyCode::Char('w') => editor.delete_word(),
            KeyCode::Char('u') => _ = editor.take(),
            _ => return false,
        }
        return true;
    }
    match code {
        KeyCode::Char(one) => _ = editor.insert(one.encode_utf8(&mut [0; 4])),
        KeyCode::Backspace => editor.backspace(),
        KeyCode::Delete => editor.delete(),
        KeyCode::Left => editor.left(),
        KeyCode::Right => editor.right(),
        KeyCode::Home => editor.home(),
        KeyCode::End => editor.end(),
        _ => return false,
    }
    true
}
