//! The full screen: what `posthouse-chat` without a command shows.

mod editor;

mod keys;

mod model;

mod theme;

mod view;

mod wrap;

use std::{io, ops::ControlFlow, time::Duration};

use jiff::tz::TimeZone;
use posthouse_client::{ClientError, Update};
use posthouse_protocol::id::AccountId;
use ratatui::{
    DefaultTerminal,
    crossterm::{
        event::{self, DisableBracketedPaste, EnableBracketedPaste, Event, KeyEvent},
        execute,
    },
    layout::Rect,
};
use tokio::{sync::mpsc, time::Instant};

pub(crate) use theme::{Colours, Theme};

use crate::{
    failure::{Exit, Failure},
    qr,
    session::{Session, replaced},
};
use keys::Action;
use model::{Dialog, Model, Safety};

/// Messages of a conversation that are at hand; `history` prints older ones.
const AT_HAND: usize = 500;
/// People whose presence is watched.
const WATCHED: usize = 1_024;
/// Events that wait for the loop, before the terminal is read no further.
const EVENTS: usize = 64;
/// How often the other one is told that somebody types, at most.
const TYPING_EVERY: Duration = Duration::from_secs(3);

/// Shows the conversations until the person leaves.
pub(crate) async fn run(session: Session, theme: Theme) -> Result<(), Failure> {
    let own = session.client.account().clone();
    let model = Model::new(own, session.names.clone(), TimeZone::system());
    let mut screen = Screen { session, model, theme, typed: None, anew: false };
    let mut terminal = ratatui::try_init().map_err(|err| no_terminal(&err))?;
    let pasting = execute!(io::stdout(), EnableBracketedPaste);
    let ended = match pasting {
        Ok(()) => screen.run(&mut terminal).await,
        Err(err) => Err(no_terminal(&err)),
    };
    // The terminal is given back whatever happened.
    _ = execute!(io::stdout(), DisableBracketedPaste);
    ratatui::restore();
    screen.session.close().await;
    ended
}

/// Clears the screen and forgets what is on it. The terminal's own way to do that asks for the
/// cursor, too: the answer would go to the thread that reads keys.
fn draw_anew(terminal: &mut DefaultTerminal) -> io::Result<()> {
    let size = terminal.size()?;
    terminal.resize(Rect::new(0, 0, size.width, size.height))
}

fn no_terminal(err: &io::Error) -> Failure {
    let advice = "Run it in a terminal, or use a command: posthouse-chat --help.";
    Failure::new(Exit::Usage, format!("The terminal cannot be used: {err}."), advice)
}

/// A running screen.
struct Screen {
    session: Session,
    model: Model,
    theme: Theme,
    /// When the open conversation was last told that something is written.
    typed: Option<Instant>,
    /// Everything is to be drawn anew: terminals and this program can disagree about how wide a
    /// character is, and what was too wide would stay.
    anew: bool,
}

impl Screen {
    async fn run(&mut self, terminal: &mut DefaultTerminal) -> Result<(), Failure> {
        let mut events = read_events();
        self.reload().await?;
        loop {
            if std::mem::take(&mut self.anew) {
                draw_anew(terminal).map_err(|err| no_terminal(&err))?;
            }
            let drawn = terminal.draw(|frame| view::draw(frame, &self.model, &self.theme));
            drawn.map_err(|err| no_terminal(&err))?;
            tokio::select! {
                event = events.recv() => {
                    let Some(event) = event else { return Ok(()) };
                    if self.happened(event).await?.is_break() {
                        return Ok(());
                    }
                }
                next = self.session.updates.next_numbered() => {
                    let Some(next) = next else { return Err(ClientError::Stopped.into()) };
                    self.told(&next.update).await?;
                    if let Some(number) = next.number {
                        self.session.updates.taken(number).await?;
                    }
                }
            }
        }
    }

    async fn happened(&mut self, event: Event) -> Result<ControlFlow<()>, Failure> {
        let action = match event {
            Event::Key(key) => self.press(key),
            Event::Paste(text) => keys::paste(&mut self.model, &text),
            // A new size is drawn at once, as everything is.
            _ => Action::Nothing,
        };
        self.anew |= matches!(action, Action::Anew | Action::Beside { .. } | Action::Send);
        match action {
            Action::Quit => return Ok(ControlFlow::Break(())),
            Action::Nothing | Action::Anew => {}
            Action::Beside { down } => {
                if let Some(with) = self.model.beside(down) {
                    self.open(with).await?;
                }
            }
            Action::Find => self.find().await?,
            Action::Safety => self.safety().await?,
            Action::Send => self.send().await?,
            Action::Wrote => self.wrote().await?,
            Action::Verify | Action::Accept => self.trust(action).await?,
        }
        Ok(ControlFlow::Continue(()))
    }

    fn press(&mut self, key: KeyEvent) -> Action {
        keys::press(&mut self.model, key)
    }

    /// Something happened elsewhere: the store has it already.
    async fn told(&mut self, update: &Update) -> Result<(), Failure> {
        match update {
            Update::Replaced => return Err(replaced()),
            Update::SessionEnded => return Err(ClientError::SessionEnded.into()),
            Update::Message(entry) => self.session.learn(&entry.from).await?,
            Update::Connected => self.watch().await?,
            _ => {}
        }
        self.model.names = self.session.names.clone();
        self.model.told(update);
        self.reload().await
    }

    /// Shows what the store has. What is open was seen.
    async fn reload(&mut self) -> Result<(), Failure> {
        let client = &self.session.client;
        if let Some(open) = self.model.open.clone() {
            self.model.timeline = client.timeline(&open, None, AT_HAND).await?;
            self.model.trust = client.key_trust(&open).await?;
            let unread = self.model.timeline.iter().any(|one| one.from == open && !one.read);
            if unread && self.model.scrolled == 0 {
                client.mark_read(&open).await?;
            }
        }
        let all = client.conversations().await?;
        self.model.list(all);
        Ok(())
    }

    async fn open(&mut self, with: AccountId) -> Result<(), Failure> {
        self.stop_typing().await?;
        self.model.open = Some(with);
        self.model.scrolled = 0;
        self.reload().await
    }

    async fn watch(&mut self) -> Result<(), Failure> {
        let users: Vec<_> =
            self.model.rows.iter().take(WATCHED).map(|row| row.with.clone()).collect();
        Ok(self.session.client.watch_presence(&users).await?)
    }

    /// Opens the conversation with whom the dialog names.
    async fn find(&mut self) -> Result<(), Failure> {
        let Some(Dialog::To(name)) = &self.model.dialog else { return Ok(()) };
        let name = name.text().trim().to_owned();
        match self.session.find(&name).await {
            Ok(user) if user == *self.session.client.account() => {
                self.model.notice = Some("that is you: name somebody else".to_owned());
            }
            Ok(user) => {
                self.model.dialog = None;
                self.model.names = self.session.names.clone();
                self.open(user).await?;
                self.watch().await?;
            }
            Err(failure) => self.model.notice = Some(failure.to_string()),
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Failure> {
        let Some(open) = self.model.open.clone() else { return Ok(()) };
        let Some(text) = self.model.draft().map(|draft| draft.text().to_owned()) else {
            return Ok(());
        };
        if text.trim().is_empty() {
            return Ok(());
        }
        // What cannot be sent stays to be changed.
        match self.session.client.send_text(&open, text.trim_end()).await {
            Ok(_) => _ = self.model.draft().map(editor::Editor::take),
            Err(ClientError::Stopped) => return Err(ClientError::Stopped.into()),
            Err(err) => self.model.notice = Some(Failure::from(err).to_string()),
        }
        // Who gets a message knows that its writer has stopped.
        self.typed = None;
        self.model.scrolled = 0;
        self.reload().await
    }

    /// Tells the other one that something is written, now and then.
    async fn wrote(&mut self) -> Result<(), Failure> {
        let is_empty = self.model.draft().is_none_or(|draft| draft.is_empty());
        if is_empty {
            return self.stop_typing().await;
        }
        if self.typed.is_none_or(|at| at.elapsed() >= TYPING_EVERY)
            && let Some(open) = &self.model.open
        {
            self.session.client.set_typing(open, true).await?;
            self.typed = Some(Instant::now());
        }
        Ok(())
    }

    async fn stop_typing(&mut self) -> Result<(), Failure> {
        if self.typed.take().is_some()
            && let Some(open) = &self.model.open
        {
            self.session.client.set_typing(open, false).await?;
        }
        Ok(())
    }

    /// Shows the safety number of the open conversation.
    async fn safety(&mut self) -> Result<(), Failure> {
        let Some(open) = self.model.open.clone() else { return Ok(()) };
        match self.session.client.safety_number(&open).await {
            Ok(number) => {
                let trust = self.session.client.key_trust(&open).await?;
                let code = qr::lines(&number.scannable()).unwrap_or_default();
                let safety = Safety { digits: number.digits(), trust, code };
                self.model.dialog = Some(Dialog::Safety(safety));
            }
            Err(ClientError::UnknownKeys) => {
                let notice = "the number exists once a message went there or came from there";
                self.model.notice = Some(notice.to_owned());
            }
            Err(err) => return Err(err.into()),
        }
        Ok(())
    }

    /// The person has decided about the key that the dialog shows.
    async fn trust(&mut self, action: Action) -> Result<(), Failure> {
        let (Some(open), Some(Dialog::Safety(shown))) = (&self.model.open, &self.model.dialog)
        else {
            return Ok(());
        };
        let (client, open) = (&self.session.client, open.clone());
        // Only what was shown is decided about: it may have changed since.
        if client.safety_number(&open).await?.digits() != shown.digits {
            self.model.notice = Some("the number has changed just now: compare again".to_owned());
            return self.safety().await;
        }
        let trust = client.key_trust(&open).await?;
        let changed = trust == posthouse_client::KeyTrust::Changed;
        match (action, changed) {
            (Action::Accept, true) => client.accept_key(&open).await?,
            (Action::Verify, false) => client.mark_verified(&open).await?,
            (Action::Verify, true) => {
                self.model.notice = Some("first accept the key with `a`".to_owned());
            }
            _ => {}
        }
        self.safety().await?;
        self.reload().await
    }
}

/// What the terminal tells, read by a thread: it ends with the program, or when nobody listens.
fn read_events() -> mpsc::Receiver<Event> {
    let (sender, events) = mpsc::channel(EVENTS);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                break;
            }
        }
    });
    events
}
