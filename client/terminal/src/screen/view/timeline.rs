//! The messages of a conversation, the newest at the bottom.

use posthouse_client::{Entry, Said};
use posthouse_protocol::status::Status;
use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};
use unicode_width::UnicodeWidthStr as _;

use super::super::{
    model::Model,
    theme::Theme,
    wrap::{cut, wrap},
};
use crate::{
    mention::{MARK, marked},
    output::{ticks, when},
    text::line,
};

/// Draws as many lines as fit, from the bottom, less what is scrolled.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: &Theme) {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let (mut lines, mut chosen) = (Vec::new(), None);
    let mut day = String::new();
    for entry in model.shown() {
        let at = when(entry.sent_at, &model.zone);
        let (date, time) = at.split_once(' ').unwrap_or((&at, ""));
        if date != day {
            date.clone_into(&mut day);
            lines.push(Line::styled(format!("── {date} ──"), theme.dim).centered());
        }
        let first = lines.len();
        message(&mut lines, entry, time, width, model, theme);
        if model.chosen == Some(entry.id) {
            for one in lines.iter_mut().skip(first) {
                *one = std::mem::take(one).patch_style(theme.selected);
            }
            chosen = Some((first, lines.len()));
        }
    }
    // Scrolling ends at the first line.
    let mut end = lines.len() - model.scrolled.min(lines.len().saturating_sub(height));
    // What is chosen stays in sight.
    if let Some((first, last)) = chosen {
        end = end.min(first + height).max(last.min(first + height)).min(lines.len());
    }
    let shown: Vec<_> = lines.drain(end.saturating_sub(height)..end).collect();
    frame.render_widget(Paragraph::new(shown), area);
}

fn message(
    lines: &mut Vec<Line<'static>>,
    entry: &Entry,
    time: &str,
    width: usize,
    model: &Model,
    theme: &Theme,
) {
    let own = entry.from == model.own;
    let name = if own { "you".to_owned() } else { cut(&line(&model.names.title(&entry.from)), 16) };
    let style = if own { theme.own } else { theme.other };
    let indent = time.width() + name.width() + 3;
    // A narrow screen puts the text below the name.
    let (hang, below) = if width < indent + 20 { (2, true) } else { (indent, false) };
    if let Said::Reply { to, .. } = &entry.said
        && let Some(quoted) = model.timeline.iter().find(|one| one.id == *to)
    {
        let text = cut(&line(&words(quoted)), width.saturating_sub(hang + 2));
        lines.push(Line::styled(format!("{}│ {text}", " ".repeat(hang)), theme.dim));
    }
    let head =
        vec![Span::styled(format!("{time} "), theme.dim), Span::styled(format!("{name}: "), style)];
    let mut head = Some(head);
    if below {
        lines.push(Line::from(head.take().unwrap_or_default()));
    }
    // How many mentions have begun, and whether one has not ended.
    let (mut begun, mut inside) = (0, false);
    let plain = if entry.said.text().is_some() { Style::new() } else { theme.dim };
    for text in wrap(&marked(entry, &words(entry)), width.saturating_sub(hang + 1)) {
        let mut spans = head.take().unwrap_or_else(|| vec![Span::raw(" ".repeat(hang))]);
        for (at, piece) in text.split(MARK).enumerate() {
            if at > 0 {
                inside = !inside;
                begun += usize::from(inside);
            }
            let meant = entry.mentions.get(begun.wrapping_sub(1)).filter(|_| inside);
            let style = match meant {
                Some(one) if one.account == model.own => theme.unread,
                Some(_) => theme.other,
                None => plain,
            };
            spans.push(Span::styled(piece.to_owned(), style));
        }
        lines.push(Line::from(spans));
    }
    let behind = behind(entry, own, model, theme);
    let Some(last) = lines.last_mut().filter(|_| !behind.is_empty()) else { return };
    let extra: usize = behind.iter().map(Span::width).sum();
    if last.width() + extra <= width {
        last.spans.extend(behind);
    } else {
        let mut spans = vec![Span::raw(" ".repeat(hang.saturating_sub(2)))];
        spans.extend(behind);
        lines.push(Line::from(spans));
    }
}

/// What a message says, in words.
pub(super) fn words(entry: &Entry) -> String {
    match &entry.said {
        Said::Text(text) | Said::Reply { text, .. } => text.clone(),
        Said::Gone => "taken back, or its time is over".to_owned(),
        _ => "something that this version cannot show".to_owned(),
    }
}

/// What stands behind a message: whether it was edited, reactions, and how far it has come.
fn behind(entry: &Entry, own: bool, model: &Model, theme: &Theme) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
    if entry.edited && entry.said.text().is_some() {
        spans.push(Span::styled("  edited", theme.dim));
    }
    for (_, reaction) in &entry.reactions {
        spans.push(Span::raw(format!("  {}", cut(&line(reaction), 8))));
    }
    if own {
        let style = match entry.status {
            Some(Status::Read) => theme.read,
            Some(Status::Failed) => theme.warning,
            _ => theme.dim,
        };
        let mut text = format!("  {}", ticks(entry.status));
        if entry.group.is_some() && entry.audience > 0 && entry.status != Some(Status::Delivered) {
            text = format!("{text} {}/{}", entry.delivered, entry.audience);
        }
        if let Some(reason) = model.reasons.get(&entry.id) {
            text.push_str(": ");
            text.push_str(&line(reason));
        }
        spans.push(Span::styled(text, style));
    }
    spans
}
