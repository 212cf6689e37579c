//! Draws the model. Pure: the same model and size give the same screen.

mod dialogs;

mod timeline;

use posthouse_client::{Availability, KeyTrust};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Position, Rect},
    style::Style,
    text::{Line, Span},
    widgets::{Block, Borders, Paragraph},
};
use unicode_width::UnicodeWidthStr as _;

use super::{
    dialog::Dialog,
    model::{Mark, Model},
    theme::Theme,
    wrap::{cut, wrap},
};
use crate::{
    talk::{About, Talk},
    text::{harmless, line, spanned},
};

/// Narrower screens show the conversation alone.
const LIST_FROM: u16 = 60;
const SEARCH: &str = "Search: ";
/// Most lines of what is being written that are shown.
const MAX_DRAFT: usize = 6;

/// Draws everything.
pub(crate) fn draw(frame: &mut Frame<'_>, model: &Model, theme: &Theme) {
    let [rest, foot] =
        Layout::vertical([Constraint::Min(1), Constraint::Length(1)]).areas(frame.area());
    let wide = frame.area().width >= LIST_FROM;
    let list_width = if wide { 24 } else { 0 };
    let [list, talk] =
        Layout::horizontal([Constraint::Length(list_width), Constraint::Min(1)]).areas(rest);
    if wide {
        conversations(frame, list, model, theme);
    }
    conversation(frame, talk, model, theme);
    footer(frame, foot, model, theme);
    if let Some(dialog) = &model.dialog {
        dialogs::draw(frame, rest, dialog, model, theme);
    }
}

fn conversations(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: &Theme) {
    let block = Block::new().borders(Borders::RIGHT).border_style(theme.frame);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let (width, height) = (usize::from(inner.width), usize::from(inner.height));
    let open = model.rows.iter().position(|row| Some(&row.talk) == model.open.as_ref());
    // The open one stays in sight.
    let first = open.map_or(0, |open| (open + 1).saturating_sub(height));
    let lines = model.rows.iter().enumerate().skip(first).take(height).map(|(at, row)| {
        let count = match (row.unread, row.called) {
            (0, _) => String::new(),
            (unread, false) => format!(" {unread}"),
            (unread, true) => format!(" @{unread}"),
        };
        let room = width.saturating_sub(count.width() + 2);
        let presence = row.talk.person().and_then(|person| model.presence.get(person));
        let dot = match (row.mark, &row.talk, presence) {
            (Mark::Asks, ..) => "?",
            (Mark::Left, ..) => "-",
            (_, Talk::Group(_), _) => "#",
            (_, _, Some((Availability::Online, _))) => "•",
            (_, _, Some((Availability::Away, _))) => "◦",
            _ => " ",
        };
        let name = cut(&line(&model.title(&row.talk)), room);
        let gap = " ".repeat(room.saturating_sub(name.width()));
        let style = if Some(at) == open { theme.selected } else { Style::new() };
        Line::from(vec![
            Span::styled(format!("{dot} {name}{gap}"), style),
            Span::styled(count, if Some(at) == open { theme.selected } else { theme.unread }),
        ])
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), inner);
}

fn conversation(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: &Theme) {
    let Some(open) = &model.open else {
        let lines = [
            "Welcome to Posthouse.",
            "",
            "Tab opens the next conversation,",
            "Ctrl-T begins one with somebody,",
            "Ctrl-G makes a group,",
            "F3 says what you are called,",
            "F1 shows all keys.",
        ];
        let lines: Vec<_> = lines.into_iter().map(|one| Line::styled(one, theme.dim)).collect();
        frame.render_widget(Paragraph::new(lines).centered(), middle(area, 7));
        return;
    };
    let empty = super::editor::Editor::default();
    let draft = model.drafts.get(open).unwrap_or(&empty);
    let width = usize::from(area.width).saturating_sub(2);
    // One column more than the text, for the cursor behind it.
    let written = wrap(&harmless(draft.text()), width.saturating_sub(1));
    let before = wrap(&harmless(draft.before()), width.saturating_sub(1));
    let cursor = before.len().saturating_sub(1);
    let shown = written.len().clamp(1, MAX_DRAFT);
    let first = (cursor + 1).saturating_sub(shown);
    let about = about(model, width);
    let height = u16::try_from(shown + about.iter().len()).unwrap_or(1) + 1;
    let [title, talk, input] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(height)])
            .areas(area);
    head(frame, title, model, theme);
    timeline::draw(frame, talk, model, theme);
    let block = Block::new().borders(Borders::TOP).border_style(theme.frame);
    let mut inner = block.inner(input);
    frame.render_widget(block, input);
    if let Some(text) = about {
        frame.render_widget(Paragraph::new(Line::styled(text, theme.dim)), inner);
        inner = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner };
    }
    let lines: Vec<_> = written
        .iter()
        .enumerate()
        .skip(first)
        .take(shown)
        .map(|(at, text)| {
            let mark = if at == 0 { "> " } else { "  " };
            Line::from(vec![Span::styled(mark, theme.dim), Span::raw(text.clone())])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), inner);
    if model.dialog.is_none() {
        let column = before.last().map_or(0, |line| line.width()) + 2;
        let (x, y) = (u16::try_from(column), u16::try_from(cursor.saturating_sub(first)));
        let (x, y) = (inner.x + x.unwrap_or(0), inner.y + y.unwrap_or(0));
        frame.set_cursor_position(Position::new(x, y));
    }
}

/// What is written is about another message: which.
fn about(model: &Model, width: usize) -> Option<String> {
    let (what, id) = match model.about? {
        About::Reply(id) => ("reply to", id),
        About::Edit(id) => ("instead of", id),
    };
    let text = model.message(id).map(timeline::words).unwrap_or_default();
    Some(cut(&format!("{what}: {} (Esc)", cut(&line(&text), width.saturating_sub(18))), width))
}

fn head(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: &Theme) {
    let Some(open) = &model.open else { return };
    let name = open.person().map_or_else(|| model.title(open), |user| model.names.full(user));
    let mut spans = vec![Span::styled(line(&name), theme.other)];
    let mut add = |text: String, style: Style| spans.push(Span::styled(format!("  {text}"), style));
    if model.asks() {
        let what = match (open, model.inviter()) {
            (Talk::Person(_), _) => "wants to write to you".to_owned(),
            (Talk::Group(_), Some(user)) => {
                format!("{} invites you", line(&model.names.title(user)))
            }
            (Talk::Group(_), None) => "you are invited".to_owned(),
        };
        add(format!("{what}: F4"), theme.warning);
    }
    match (open, model.trust) {
        (Talk::Group(_), _) => match (&model.group, model.standing()) {
            (Some(group), Some(_)) => add(format!("{}: F2", counted(group.members)), theme.dim),
            _ => add("you are not in it any more".to_owned(), theme.dim),
        },
        (_, KeyTrust::Verified) => add("verified".to_owned(), theme.dim),
        (_, KeyTrust::Changed) => {
            add("KEY CHANGED: F2, nothing is sent until then".to_owned(), theme.warning);
        }
        _ => {}
    }
    if let Some(seconds) = model.disappears {
        add(format!("disappears after {}", spanned(seconds)), theme.dim);
    }
    if let Some(about) = open.person().and_then(|person| model.about_person(person)) {
        add(about, theme.dim);
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

/// How many members there are, in words.
fn counted(count: usize) -> String {
    if count == 1 { "1 member".to_owned() } else { format!("{count} members") }
}

fn footer(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: &Theme) {
    let text = if let Some(Dialog::Search(wanted)) = &model.dialog {
        let (before, found) = (line(wanted.before()), model.shown().count());
        let x = area.x + u16::try_from(before.width() + SEARCH.width()).unwrap_or(0);
        frame.set_cursor_position(Position::new(x.min(area.right().saturating_sub(1)), area.y));
        let rest = format!("  {found} found (Enter, Esc)");
        let wanted = Span::raw(line(wanted.text()));
        Line::from(vec![Span::raw(SEARCH), wanted, Span::styled(rest, theme.dim)])
    } else if let Some(what) = &model.working {
        Line::styled(format!("working … {what}"), theme.warning)
    } else if let Some(notice) = &model.notice {
        Line::styled(line(notice), theme.warning)
    } else if model.chosen.is_some() && model.dialog.is_none() {
        Line::styled("Up Down choose  r reply  + react  e edit  d take back  Esc", theme.dim)
    } else {
        let state = if model.connected { "connected" } else { "not connected: tries again" };
        let keys = "F1 help  Tab next  Ctrl-T new  Ctrl-R message  Ctrl-Q quit";
        Line::styled(format!("{keys}  │ {state}"), theme.dim)
    };
    frame.render_widget(Paragraph::new(text), area);
}

/// So many lines in the middle of an area.
fn middle(area: Rect, height: u16) -> Rect {
    let height = height.min(area.height);
    Rect { y: area.y + (area.height - height) / 2, height, ..area }
}

#[cfg(test)]
mod tests;
