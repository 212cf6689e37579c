//! The first start: a profile that is no device yet shows a code, and becomes a device of the
//! account whose other device takes it.

use posthouse_client::{Client, ClientError, Updates};
use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    layout::{Position, Rect},
    style::{Color, Style},
    text::Line,
    widgets::Paragraph,
};
use tokio::{sync::mpsc, task::JoinHandle};
use unicode_width::UnicodeWidthStr as _;

use super::{editor::Editor, keys::edit, no_terminal, theme::Theme, wrap::wrap};
use crate::{
    args::Server,
    failure::Failure,
    profile::{Chosen, Profile},
    qr,
    session::Session,
    text::line,
};

/// What the new device is called in the account's list.
const DEVICE_NAME: &str = "terminal";

/// What the first screen shows.
#[derive(Debug, Default)]
pub(super) struct First {
    server: Editor,
    /// The code to show, once there is one.
    code: Option<String>,
    /// What goes on, or went wrong.
    notice: Option<String>,
}

/// A link that was begun.
struct Linking {
    chosen: Chosen,
    code: mpsc::Receiver<String>,
    task: JoinHandle<Result<(Client, Updates), Failure>>,
}

impl Drop for Linking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Links the profile. `None` if the person leaves before.
pub(super) async fn run(
    terminal: &mut DefaultTerminal,
    events: &mut mpsc::Receiver<Event>,
    profile: &Profile,
    theme: &Theme,
) -> Result<Option<Session>, Failure> {
    let (mut first, mut linking) = (First::default(), None::<Linking>);
    loop {
        let drawn = terminal.draw(|frame| draw(frame, &first, theme));
        drawn.map_err(|err| no_terminal(&err))?;
        tokio::select! {
            event = events.recv() => {
                let Some(event) = event else { return Ok(None) };
                match first.happened(&event) {
                    Wish::Nothing => {}
                    Wish::Leave => return Ok(None),
                    Wish::Stop => linking = None,
                    // One after the other: a store has one user.
                    Wish::Link if linking.is_some() => {}
                    Wish::Link => match begin(profile, first.server.text()).await {
                        Ok(begun) => linking = Some(begun),
                        Err(failure) => first.notice = Some(failure.to_string()),
                    },
                }
            }
            told = next(&mut linking) => match told {
                Told::Code(code) => first.code = Some(code),
                Told::Ended(ended) => {
                    let link = linking.take();
                    match *ended {
                        Ok(opened) => {
                            link.map_or(Ok(()), |link| link.chosen.remember(profile))?;
                            return Ok(Some(Session::of(profile.clone(), opened)?));
                        }
                        Err(failure) => {
                            (first.code, first.notice) = (None, Some(failure.to_string()));
                        }
                    }
                }
            }
        }
    }
}

/// What became of a link.
enum Told {
    Code(String),
    Ended(Box<Result<(Client, Updates), Failure>>),
}

/// What becomes of it next.
async fn next(linking: &mut Option<Linking>) -> Told {
    let Some(link) = linking else { return std::future::pending().await };
    tokio::select! {
        biased;
        Some(code) = link.code.recv() => Told::Code(code),
        ended = &mut link.task => {
            let ended = ended.unwrap_or_else(|_| Err(ClientError::Stopped.into()));
            Told::Ended(Box::new(ended))
        }
    }
}

/// Begins to link, beside the screen: the homeserver may take its time.
async fn begin(profile: &Profile, url: &str) -> Result<Linking, Failure> {
    let server = Server {
        url: Some(url.trim().to_owned()),
        ca: None,
        at: None,
        forget: false,
        device_name: DEVICE_NAME.to_owned(),
    };
    let (chosen, store) = (Chosen::new(&server, profile)?, profile.store().await?);
    let (home, (show, code)) = (chosen.home.clone(), mpsc::channel(1));
    let task = tokio::spawn(async move {
        let linking = home.link(store, DEVICE_NAME).await?;
        _ = show.send(linking.code()).await;
        Ok(linking.finish().await?)
    });
    Ok(Linking { chosen, code, task })
}

#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Nothing,
    Link,
    Stop,
    Leave,
}

impl First {
    fn happened(&mut self, event: &Event) -> Wish {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.press(*key),
            Event::Paste(text) if self.code.is_none() => {
                self.server.insert(text.trim());
                Wish::Nothing
            }
            _ => Wish::Nothing,
        }
    }

    fn press(&mut self, key: KeyEvent) -> Wish {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'q') if control => Wish::Leave,
            KeyCode::Esc if self.code.take().is_some() => Wish::Stop,
            KeyCode::Esc => Wish::Leave,
            KeyCode::Enter if self.code.is_none() && !self.server.text().trim().is_empty() => {
                self.notice = Some("working …".to_owned());
                Wish::Link
            }
            code if self.code.is_none() => {
                edit(&mut self.server, code, key.modifiers);
                Wish::Nothing
            }
            _ => Wish::Nothing,
        }
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, first: &First, theme: &Theme) {
    let area = frame.area();
    let inner = Rect { x: area.x + 2.min(area.width), width: area.width.saturating_sub(4), ..area };
    let Some(code) = &first.code else {
        let notice = first.notice.as_deref().unwrap_or_default();
        let lines = vec![
            Line::raw("Welcome to Posthouse."),
            Line::styled(
                "This profile is no device yet. It can become one of your account:",
                theme.dim,
            ),
            Line::styled(
                "name the homeserver, such as https://chat.eu.example, and Enter.",
                theme.dim,
            ),
            Line::styled(
                "Without an account: posthouse-chat register NAME --server URL (Esc)",
                theme.dim,
            ),
            Line::default(),
            Line::raw(format!("> {}", line(first.server.text()))),
            Line::default(),
            Line::styled(line(notice), theme.warning),
        ];
        frame.render_widget(Paragraph::new(lines), inner);
        let column = u16::try_from(line(first.server.before()).width() + 2).unwrap_or(0);
        let x = (inner.x + column).min(area.right().saturating_sub(1));
        frame.set_cursor_position(Position::new(
            x,
            (inner.y + 5).min(area.bottom().saturating_sub(1)),
        ));
        return;
    };
    let mut lines = vec![
        Line::raw("On another device of yours: F5, then l, or posthouse-chat approve CODE (Esc)"),
        Line::default(),
    ];
    lines.extend(wrap(code, usize::from(inner.width)).into_iter().map(Line::raw));
    let picture = qr::lines(code.as_bytes()).unwrap_or_default();
    let width = picture.first().map_or(0, |row| row.width());
    let room = usize::from(area.height).saturating_sub(lines.len() + 1);
    if picture.len() <= room && width <= usize::from(inner.width) {
        // Black on white on every terminal: scanners want it so.
        let colours = Style::new().fg(Color::White).bg(Color::Black);
        lines.push(Line::default());
        lines.extend(picture.into_iter().map(|row| Line::styled(row, colours)));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}
