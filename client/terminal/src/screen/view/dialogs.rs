//! What lies over the conversation: help, whom to write to, the safety number.

use posthouse_client::KeyTrust;
use ratatui::{
    Frame,
    layout::{Position, Rect},
    style::{Color, Style},
    text::Line,
    widgets::{Block, Clear, Paragraph},
};
use unicode_width::UnicodeWidthStr as _;

use super::super::{
    model::{Dialog, Model, Safety},
    theme::Theme,
};
use crate::{command::grouped, text::line};

/// The keys, as the help shows them.
const KEYS: &[(&str, &str)] = &[
    ("Enter", "send"),
    ("Alt-Enter, Ctrl-J", "a new line"),
    ("Tab, Shift-Tab", "next conversation, the one before"),
    ("Ctrl-T", "write to somebody: bob, bob@us.example"),
    ("PageUp, PageDown", "scroll"),
    ("Ctrl-F", "search in the conversation"),
    ("F2", "safety number: compare it with them"),
    ("Ctrl-A -E -W -U", "start, end, delete word, delete all"),
    ("Ctrl-L", "draw the screen anew"),
    ("F1, ?", "this help (? while nothing is written)"),
    ("Ctrl-Q, Ctrl-C", "quit; what is sent is kept"),
    ("", ""),
    ("…", "waits here      ✓  on the homeserver"),
    ("✓✓", "delivered       ✓✓ read  (blue)"),
];

pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    dialog: &Dialog,
    model: &Model,
    theme: &Theme,
) {
    match dialog {
        Dialog::Help => {
            let lines = KEYS.iter().map(|(key, what)| Line::raw(format!("{key:<19}{what}")));
            boxed(frame, area, " Help (any key ends it) ", lines.collect(), theme);
        }
        // It stands in the last line, below what it finds.
        Dialog::Search(_) => {}
        Dialog::To(name) => {
            let lines = vec![
                Line::raw("A name, or name@region of another region:"),
                Line::raw(format!("> {}", line(name.text()))),
            ];
            let inner = boxed(frame, area, " Write to (Enter, Esc) ", lines, theme);
            let column = u16::try_from(line(name.before()).width() + 2).unwrap_or(0);
            let x = (inner.x + column).min(inner.right().saturating_sub(1));
            frame.set_cursor_position(Position::new(x, inner.y + 1));
        }
        Dialog::Safety(safety) => safety_number(frame, area, safety, model, theme),
    }
}

fn safety_number(frame: &mut Frame<'_>, area: Rect, safety: &Safety, model: &Model, theme: &Theme) {
    let name = model.open.as_ref().map(|open| line(&model.names.short(open))).unwrap_or_default();
    let mut lines: Vec<Line<'_>> =
        grouped(&safety.digits).lines().map(|one| Line::raw(one.to_owned()).centered()).collect();
    let (text, style) = match safety.trust {
        KeyTrust::Changed => ("The key has CHANGED. Compare, then: a accept it", theme.warning),
        KeyTrust::Verified => ("You have compared it.", theme.dim),
        _ => ("The same on their screen? v it is", theme.dim),
    };
    lines.push(Line::default());
    lines.push(Line::styled(text, style).centered());
    // The code is black on white on every terminal: scanners want it so.
    let room = usize::from(area.height).saturating_sub(lines.len() + 3);
    let width = safety.code.first().map_or(0, |row| row.width());
    if safety.code.len() <= room && width + 2 <= usize::from(area.width) {
        let colours = Style::new().fg(Color::White).bg(Color::Black);
        lines.push(Line::default());
        lines.extend(safety.code.iter().map(|row| Line::styled(row.clone(), colours).centered()));
    }
    boxed(frame, area, &format!(" Safety number with {name} (Esc) "), lines, theme);
}

/// A box in the middle, as large as its lines; the area inside.
fn boxed(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    lines: Vec<Line<'_>>,
    theme: &Theme,
) -> Rect {
    let width = lines.iter().map(Line::width).max().unwrap_or(0).max(title.width());
    let width = u16::try_from(width + 4).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    let block = Block::bordered().title(title.to_owned()).border_style(theme.frame);
    let mut inner = block.inner(place);
    frame.render_widget(Clear, place);
    frame.render_widget(block, place);
    if inner.width > 2 {
        inner = Rect { x: inner.x + 1, width: inner.width - 2, ..inner };
    }
    frame.render_widget(Paragraph::new(lines), inner);
    inner
}
