//! What the keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Dialog, Model};

/// What the loop has to do about a key; what only concerns the model is done already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Nothing,
    Accept,
    /// Draw everything anew.
    Anew,
    Beside {
        down: bool,
    },
    Find,
    Quit,
    Safety,
    Send,
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
        None if control => with_control(model, key.code),
        None => in_conversation(model, key),
    }
}

/// Text was pasted.
pub(crate) fn paste(model: &mut Model, text: &str) -> Action {
    match &mut model.dialog {
        Some(Dialog::To(text_of) | Dialog::Search(text_of)) => _ = text_of.insert(text.trim()),
        Some(_) => {}
        None => return write(model, text),
    }
    Action::Nothing
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
        (Dialog::To(name), KeyCode::Enter) => {
            model.dialog = Some(Dialog::To(name));
            Action::Find
        }
        (Dialog::To(mut name), code) => {
            edit(&mut name, code, key.modifiers);
            model.dialog = Some(Dialog::To(name));
            Action::Nothing
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
    }
}

fn with_control(model: &mut Model, code: KeyCode) -> Action {
    match code {
        KeyCode::Char('n') | KeyCode::Down => Action::Beside { down: true },
        KeyCode::Char('p') | KeyCode::Up => Action::Beside { down: false },
        KeyCode::Char('t') => {
            model.dialog = Some(Dialog::To(super::editor::Editor::default()));
            Action::Nothing
        }
        KeyCode::Char('f') if model.open.is_some() => {
            model.dialog = Some(Dialog::Search(super::editor::Editor::default()));
            Action::Nothing
        }
        KeyCode::Char('l') => Action::Anew,
        KeyCode::Char('j') => write(model, "\n"),
        _ => {
            let changed =
                model.draft().is_some_and(|draft| edit(draft, code, KeyModifiers::CONTROL));
            if changed { Action::Wrote } else { Action::Nothing }
        }
    }
}

fn in_conversation(model: &mut Model, key: KeyEvent) -> Action {
    let empty = model.draft().is_none_or(|draft| draft.is_empty());
    match key.code {
        KeyCode::F(1) => model.dialog = Some(Dialog::Help),
        KeyCode::Char('?') if empty => model.dialog = Some(Dialog::Help),
        KeyCode::F(2) => return Action::Safety,
        KeyCode::Tab => return Action::Beside { down: true },
        KeyCode::BackTab => return Action::Beside { down: false },
        KeyCode::Down if empty => return Action::Beside { down: true },
        KeyCode::Up if empty => return Action::Beside { down: false },
        KeyCode::PageUp => model.scrolled = model.scrolled.saturating_add(10),
        KeyCode::PageDown => model.scrolled = model.scrolled.saturating_sub(10),
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
fn edit(editor: &mut super::editor::Editor, code: KeyCode, with: KeyModifiers) -> bool {
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
