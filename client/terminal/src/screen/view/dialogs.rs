//! What lies over the conversation: help, questions, the safety number, members, devices.

use posthouse_client::KeyTrust;
use posthouse_protocol::id::AccountId;
use ratatui::{
    Frame,
    layout::{Position, Rect},
    style::{Color, Style},
    text::Line,
    widgets::{Block, Clear, Paragraph},
};
use unicode_width::UnicodeWidthStr as _;

use super::{
    super::{
        dialog::{Devices, Dialog, Question, Relation, Safety},
        model::Model,
        theme::Theme,
        wrap::wrap,
    },
    counted,
};
use crate::{
    command::{grouped, role},
    talk::Talk,
    text::line,
};

/// Columns and lines of what somebody says about themselves.
const ABOUT: usize = 54;
const MAX_ABOUT: usize = 4;

/// The keys, as the help shows them.
const KEYS: &[(&str, &str)] = &[
    ("Enter", "send"),
    ("Alt-Enter, Ctrl-J", "a new line"),
    ("Tab, Shift-Tab", "next conversation, the one before"),
    ("Ctrl-T, Ctrl-G", "write to bob, or bob@us.example; a new group"),
    ("Ctrl-R", "choose a message: reply, react, edit, take back"),
    ("PageUp, PageDown", "scroll"),
    ("Ctrl-F", "search in the conversation"),
    ("F2", "safety number; in a group, who is in it"),
    ("F3", "what you are called"),
    ("F4", "answer a stranger ( ? ); who it is, contact, block"),
    ("F5", "your devices: let one in, remove one, PIN"),
    ("F6", "disappearing messages"),
    ("Tab after @ben", "complete the name; who is named is told"),
    ("Ctrl-A -E -W -U", "start, end, delete word, delete all"),
    ("Ctrl-L", "draw the screen anew"),
    ("F1, ?", "this help (? while nothing is written)"),
    ("Ctrl-Q, Ctrl-C", "quit; what is sent is kept"),
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
        Dialog::Ask(question, text) => {
            let (title, what) = question.words();
            let secret = question.is_secret();
            let hidden = |text: &str| {
                if secret { "•".repeat(text.chars().count()) } else { line(text) }
            };
            let about = match question {
                Question::Remove(device) => {
                    Line::raw(format!("{}  {}", device.number, line(&device.name)))
                }
                _ => Line::raw(""),
            };
            let mut lines = vec![Line::raw(what), Line::raw(format!("> {}", hidden(text.text())))];
            if about.width() > 0 {
                lines.push(about);
            }
            let inner = boxed(frame, area, title, lines, theme);
            let column = u16::try_from(hidden(text.before()).width() + 2).unwrap_or(0);
            let x = (inner.x + column).min(inner.right().saturating_sub(1));
            frame.set_cursor_position(Position::new(x, inner.y + 1));
        }
        Dialog::Safety(safety) => safety_number(frame, area, safety, model, theme),
        Dialog::Members(at) => members(frame, area, *at, model, theme),
        Dialog::Decide => decide(frame, area, model, theme),
        Dialog::Person(relation) => person(frame, area, *relation, model, theme),
        Dialog::Devices(devices) => own_devices(frame, area, devices, theme),
    }
}

fn own_devices(frame: &mut Frame<'_>, area: Rect, devices: &Devices, theme: &Theme) {
    let mut lines: Vec<_> = devices
        .all
        .iter()
        .enumerate()
        .map(|(at, one)| {
            let this = if one.current { "  (this one)" } else { "" };
            let style = if at == devices.at { theme.selected } else { Style::new() };
            Line::styled(format!("{}  {}{this} ", one.number, line(&one.name)), style)
        })
        .collect();
    let pin = if devices.pin {
        "p  another PIN for new devices, or none"
    } else {
        "p  ask for a PIN before a new device is let in"
    };
    lines.push(Line::default());
    let keys = [
        "Up, Down choose   r  remove it",
        "l  let a new device in, by the code that it shows",
        "   (there: posthouse-chat link --server URL)",
        pin,
    ];
    lines.extend(keys.into_iter().map(|text| Line::styled(text, theme.dim)));
    boxed(frame, area, " Your devices (Esc) ", lines, theme);
}

fn members(frame: &mut Frame<'_>, area: Rect, at: usize, model: &Model, theme: &Theme) {
    let behind = behind(model, theme);
    // Room for the frame, and for what can be done.
    let room = usize::from(area.height).saturating_sub(6 + behind.len()).max(1);
    let first = (at + 1).saturating_sub(room);
    let mut lines: Vec<Line<'_>> = model
        .members
        .iter()
        .enumerate()
        .skip(first)
        .take(room)
        .map(|(place, member)| {
            let own = if member.account == model.own { "  (you)" } else { "" };
            let name = line(&model.names.full(&member.account));
            let style = if place == at { theme.selected } else { Style::new() };
            Line::styled(format!("{:8} {name}{own} ", role(member.standing)), style)
        })
        .collect();
    lines.extend(behind);
    lines.push(Line::default());
    lines.push(Line::styled("Up, Down choose   i invite   n rename   l leave", theme.dim));
    lines.push(Line::styled("r remove   make it: o owner  a admin  m member", theme.dim));
    let title = model.open.as_ref().map(|open| line(&model.title(open))).unwrap_or_default();
    boxed(frame, area, &format!(" {} in {title} (Esc) ", model.members.len()), lines, theme);
}

/// Regions that may not know who is in the open group by now; at most three are named.
fn behind<'a>(model: &Model, theme: &Theme) -> Vec<Line<'a>> {
    const NAMED: usize = 3;
    let Some((group, regions)) = &model.behind else { return Vec::new() };
    if regions.is_empty() || model.open != Some(Talk::Group(group.clone())) {
        return Vec::new();
    }
    let mut lines =
        vec![Line::default(), Line::styled("Not told of the newest changes yet:", theme.dim)];
    let named = regions.iter().take(NAMED);
    lines.extend(named.map(|one| Line::raw(format!("  {} (from epoch {})", one.region, one.from))));
    if let Some(more) = regions.len().checked_sub(NAMED).filter(|more| *more > 0) {
        lines.push(Line::raw(format!("  and {more} more")));
    }
    lines
}

fn decide(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: &Theme) {
    let (title, ways) = match &model.open {
        Some(Talk::Group(_)) => (" You are invited (Esc) ", ["a  join", "d  do not join", "", ""]),
        _ => (
            " A stranger writes to you (Esc) ",
            [
                "a  hear them: they may write to you",
                "d  do not hear them for 30 days",
                "b  block them for good",
                "They cannot tell what you choose.",
            ],
        ),
    };
    let mut lines: Vec<_> = ways.into_iter().take(3).map(Line::raw).collect();
    if let Some(Talk::Person(user)) = &model.open {
        lines.push(Line::styled(ways[3], theme.dim));
        lines.push(Line::default());
        lines.extend(who(user, model, theme));
    } else {
        lines.pop();
        lines.extend(invitation(model, theme));
    }
    boxed(frame, area, title, lines, theme);
}

/// Who invites to the open group, as they have signed it, and how many are in it.
fn invitation(model: &Model, theme: &Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(inviter) = model.inviter() {
        lines.extend([Line::default(), Line::raw("Who invites you:")]);
        lines.extend(who(inviter, model, theme));
    }
    if let Some(group) = &model.group {
        let has = format!("It has {}.", counted(group.members));
        lines.extend([Line::default(), Line::styled(has, theme.dim)]);
    }
    lines
}

/// Who somebody is, whatever they call themselves: the account is theirs alone.
fn who(user: &AccountId, model: &Model, theme: &Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(name) = model.names.said(user) {
        lines.push(Line::raw(format!("They call themselves {}.", line(name))));
    }
    if let Some(about) = model.names.about(user) {
        lines.extend(wrap(&line(about), ABOUT).into_iter().take(MAX_ABOUT).map(Line::raw));
    }
    if model.names.knows(user) {
        lines.push(Line::styled(format!("Handle   {}", line(&model.names.of(user))), theme.dim));
    }
    lines.push(Line::styled(format!("Account  {user}"), theme.dim));
    lines
}

fn person(frame: &mut Frame<'_>, area: Rect, relation: Relation, model: &Model, theme: &Theme) {
    let Some(Talk::Person(user)) = &model.open else { return };
    let name = line(&model.names.full(user));
    let (is, contact) = if relation.contact {
        ("They are one of your contacts.", "c  no contact any more")
    } else {
        ("They are none of your contacts.", "c  make them a contact")
    };
    let (hears, block) = if relation.blocked {
        ("They are blocked: you hear nothing of them.", "b  hear them again")
    } else {
        ("", "b  block them: you hear nothing, and they cannot tell")
    };
    let mut lines = who(user, model, theme);
    lines.extend([Line::default(), Line::raw(is)]);
    if !hears.is_empty() {
        lines.push(Line::styled(hears, theme.warning));
    }
    lines.push(Line::default());
    lines.extend([contact, block].map(|text| Line::styled(text, theme.dim)));
    boxed(frame, area, &format!(" {name} (Esc) "), lines, theme);
}

fn safety_number(frame: &mut Frame<'_>, area: Rect, safety: &Safety, model: &Model, theme: &Theme) {
    let open = model.open.as_ref().and_then(Talk::person);
    let name = open.map(|user| line(&model.names.full(user))).unwrap_or_default();
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
