//! Draws the model. Pure: the same model and size give the same screen.

mod dialogs;

mod timeline;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Position, Rect},
    style::Style,
    text::{Line, Span},
    widgets::{Block, Borders, Paragraph},
};
use unicode_width::UnicodeWidthStr as _;

use super::{
    model::{Dialog, Model},
    theme::Theme,
    wrap::{cut, wrap},
};
use crate::text::{harmless, line};

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
    let open = model.rows.iter().position(|row| Some(&row.with) == model.open.as_ref());
    // The open one stays in sight.
    let first = open.map_or(0, |open| (open + 1).saturating_sub(height));
    let lines = model.rows.iter().enumerate().skip(first).take(height).map(|(at, row)| {
        let count = if row.unread > 0 { format!(" {}", row.unread) } else { String::new() };
        let room = width.saturating_sub(count.width() + 2);
        let dot = match model.presence.get(&row.with) {
            Some((true, _)) => "•",
            _ => " ",
        };
        let name = cut(&line(&model.names.short(&row.with)), room);
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
            "F1 shows all keys.",
        ];
        let lines: Vec<_> = lines.into_iter().map(|one| Line::styled(one, theme.dim)).collect();
        frame.render_widget(Paragraph::new(lines).centered(), middle(area, 5));
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
    let height = u16::try_from(shown).unwrap_or(1) + 1;
    let [title, talk, input] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(height)])
            .areas(area);
    head(frame, title, model, theme);
    timeline::draw(frame, talk, model, theme);
    let block = Block::new().borders(Borders::TOP).border_style(theme.frame);
    let inner = block.inner(input);
    frame.render_widget(block, input);
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

fn head(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: &Theme) {
    let Some(open) = &model.open else { return };
    let mut spans = vec![Span::styled(line(&model.names.short(open)), theme.other)];
    match model.trust {
        posthouse_client::KeyTrust::Verified => spans.push(Span::styled("  verified", theme.dim)),
        posthouse_client::KeyTrust::Changed => {
            spans
                .push(Span::styled("  KEY CHANGED: F2, nothing is sent until then", theme.warning));
        }
        _ => {}
    }
    if let Some(about) = model.about(open) {
        spans.push(Span::styled(format!("  {about}"), theme.dim));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

fn footer(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: &Theme) {
    let text = if let Some(Dialog::Search(wanted)) = &model.dialog {
        let (before, found) = (line(wanted.before()), model.shown().count());
        let x = area.x + u16::try_from(before.width() + SEARCH.width()).unwrap_or(0);
        frame.set_cursor_position(Position::new(x.min(area.right().saturating_sub(1)), area.y));
        let rest = format!("  {found} found (Enter, Esc)");
        let wanted = Span::raw(line(wanted.text()));
        Line::from(vec![Span::raw(SEARCH), wanted, Span::styled(rest, theme.dim)])
    } else if let Some(notice) = &model.notice {
        Line::styled(line(notice), theme.warning)
    } else {
        let state = if model.connected { "connected" } else { "not connected: tries again" };
        let keys = "F1 help  Tab next  Ctrl-T new  F2 safety  Ctrl-Q quit";
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
