//! The full screen: what `posthouse-chat` without a command shows.

mod acts;

mod dialog;

mod editor;

mod first;

mod keys;

mod model;

mod own;

mod person;

mod theme;

mod view;

mod work;

mod wrap;

use std::{collections::BTreeSet, io, ops::ControlFlow, time::Duration};

use jiff::tz::TimeZone;
use posthouse_client::{ClientError, Update};
use posthouse_protocol::id::AccountId;
use ratatui::{
    DefaultTerminal,
    crossterm::{
        event::{
            self, DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste,
            EnableFocusChange, Event, KeyEvent,
        },
        execute,
    },
    layout::Rect,
};
use tokio::{sync::mpsc, time::Instant};

pub(crate) use theme::{Colours, Theme};

use crate::{
    failure::{Exit, Failure},
    mention,
    profile::Profile,
    qr,
    session::{Session, replaced},
    talk::Talk,
};
use dialog::{Dialog, Safety};
use keys::Action;
use model::{Group, Member, Model, Talked};
use work::{Curiosity, Work, answered};

/// Messages of a conversation that are at hand; `history` prints older ones.
const AT_HAND: usize = 500;
/// People whose presence is watched.
const WATCHED: usize = 1_024;
/// Events that wait for the loop, before the terminal is read no further.
const EVENTS: usize = 64;
/// How often the other one is told that somebody types, at most.
const TYPING_EVERY: Duration = Duration::from_secs(3);

/// Shows the conversations of a profile until the person leaves. A profile that is no device yet is
/// linked first.
pub(crate) async fn run(profile: &Profile, theme: Theme) -> Result<(), Failure> {
    if let Some(ended) = profile.ended()?.filter(|ended| ended.is_final()) {
        return Err(ended.failure());
    }
    let session = match Session::open(profile.clone()).await {
        Err(failure) if failure == Failure::from(ClientError::NoDevice) => None,
        opened => Some(opened?),
    };
    let mut terminal = ratatui::try_init().map_err(|err| no_terminal(&err))?;
    let pasting = execute!(io::stdout(), EnableBracketedPaste, EnableFocusChange);
    let mut screen = None;
    let ended = match pasting {
        Ok(()) => Box::pin(show(&mut terminal, profile, (session, &mut screen), theme)).await,
        Err(err) => Err(no_terminal(&err)),
    };
    // The terminal is given back whatever happened.
    _ = execute!(io::stdout(), DisableFocusChange, DisableBracketedPaste);
    ratatui::restore();
    if let Some(Screen { session, work, curiosity, .. }) = screen {
        // What goes on holds the device.
        drop((work, curiosity));
        session.close().await;
    }
    ended
}

async fn show(
    terminal: &mut DefaultTerminal,
    profile: &Profile,
    (session, screen): (Option<Session>, &mut Option<Screen>),
    theme: Theme,
) -> Result<(), Failure> {
    let mut events = read_events();
    let session = match session {
        Some(session) => session,
        None => match first::run(terminal, &mut events, profile, &theme).await? {
            Some(session) => session,
            None => return Ok(()),
        },
    };
    let own = session.client.account().clone();
    let model = Model::new(own, session.names.clone(), TimeZone::system());
    let new = Screen {
        session,
        model,
        theme,
        typed: None,
        work: None,
        curiosity: Curiosity::default(),
        anew: true,
    };
    screen.insert(new).run(terminal, &mut events).await
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
    /// A call that goes on.
    work: Option<Work>,
    /// What is asked for without being waited for.
    curiosity: Curiosity,
    /// Everything is to be drawn anew: terminals and this program can disagree about how wide a
    /// character is, and what was too wide would stay.
    anew: bool,
}

impl Screen {
    async fn run(
        &mut self,
        terminal: &mut DefaultTerminal,
        events: &mut mpsc::Receiver<Event>,
    ) -> Result<(), Failure> {
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
                done = answered(&mut self.work) => self.landed(done).await?,
                news = self.curiosity.news(&self.session.client) => self.heard(news).await?,
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
            Event::FocusLost => self.away(true).await?,
            Event::FocusGained => self.away(false).await?,
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
            Action::Answer => Box::pin(self.answer()).await?,
            Action::Info => self.info().await?,
            Action::Send => self.send().await?,
            Action::Wrote => self.wrote().await?,
            Action::Verify | Action::Accept => self.trust(action).await?,
            other => Box::pin(self.act(other)).await?,
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The terminal is looked at, or is not.
    async fn away(&self, away: bool) -> Result<Action, Failure> {
        self.session.client.set_away(away).await?;
        Ok(Action::Nothing)
    }

    fn press(&mut self, key: KeyEvent) -> Action {
        keys::press(&mut self.model, key)
    }

    /// Something happened elsewhere: the store has it already.
    async fn told(&mut self, update: &Update) -> Result<(), Failure> {
        match update {
            Update::Replaced => return Err(replaced()),
            Update::SessionEnded => return Err(ClientError::SessionEnded.into()),
            Update::Message(entry) => {
                self.wants(&entry.from);
                let talk = Talk::of(entry);
                if talk.person().is_some() && !self.model.rows.iter().any(|row| row.talk == talk) {
                    self.ask_who_asks();
                }
            }
            Update::Profile { user } if *user == self.model.own => {
                let name = self.session.client.own_profile().await?.name;
                self.model.notice = Some(match name {
                    Some(name) => format!("you are called {name}"),
                    None => "nobody is told what you are called".to_owned(),
                });
            }
            Update::Profile { user } => self.session.learn_profile(user).await?,
            Update::Connected => {
                self.watch().await?;
                self.ask_who_asks();
            }
            _ => {}
        }
        self.model.names = self.session.names.clone();
        self.model.told(update);
        self.reload().await
    }

    /// Strangers may have written: until the homeserver says who they are, nobody is told anything whom
    /// this account has not answered.
    fn ask_who_asks(&mut self) {
        self.curiosity.requests = true;
        self.model.knows_requests = false;
    }

    /// Shows what the store has. What is open was seen.
    async fn reload(&mut self) -> Result<(), Failure> {
        let client = &self.session.client;
        let mut groups: Vec<Group> = client.groups().await?.into_iter().map(Group::from).collect();
        if let Some(open) = self.model.open.clone() {
            self.model.timeline = open.timeline(client, None, AT_HAND).await?;
            self.model.trust = match &open {
                Talk::Person(person) => client.key_trust(person).await?,
                Talk::Group(_) => posthouse_client::KeyTrust::Unknown,
            };
            self.model.group = groups.iter().find(|one| Some(&one.id) == open.group()).cloned();
            self.model.members = match &self.model.group {
                Some(group) => {
                    let all = client.members(&group.id).await?.into_iter();
                    all.map(|one| Member { account: one.account, standing: one.standing }).collect()
                }
                None => Vec::new(),
            };
            let own = &self.model.own;
            let unread = self.model.timeline.iter().any(|one| one.from != *own && !one.read);
            // Strangers are not told before they are heard.
            if unread && self.model.scrolled == 0 && self.model.may_tell() {
                open.mark_read(client).await?;
                // They were read before that.
                for group in groups.iter_mut().filter(|one| Some(&one.id) == open.group()) {
                    (group.unread, group.mentioned) = (0, 0);
                }
            }
        }
        let people = client.conversations().await?;
        self.model.disappears = match &self.model.open {
            Some(Talk::Person(open)) => {
                people.iter().find(|one| one.with == *open).and_then(|one| one.disappears)
            }
            Some(Talk::Group(_)) => self.model.group.as_ref().and_then(|one| one.disappears),
            None => None,
        };
        let people = people.into_iter().map(|one| Talked {
            with: one.with,
            active: one.active,
            unread: one.unread,
            mentioned: one.mentioned,
        });
        let people: Vec<Talked> = people.collect();
        let mut shown: BTreeSet<AccountId> = people.iter().map(|one| one.with.clone()).collect();
        shown.extend(self.model.members.iter().map(|one| one.account.clone()));
        shown.extend(self.model.inviter().cloned());
        shown.extend(self.model.timeline.iter().map(|one| one.from.clone()));
        for user in shown {
            if !self.session.names.asked(&user) {
                self.session.learn_profile(&user).await?;
            }
        }
        self.model.names = self.session.names.clone();
        self.model.list(people, &groups);
        Ok(())
    }

    async fn open(&mut self, with: Talk) -> Result<(), Failure> {
        self.stop_typing().await?;
        self.model.open = Some(with);
        self.model.scrolled = 0;
        (self.model.about, self.model.chosen) = (None, None);
        self.reload().await?;
        // Members of a group are shown by name, where their region tells it.
        for member in self.model.members.clone() {
            self.wants(&member.account);
        }
        // Who invites may not be a member any more.
        if let Some(inviter) = self.model.inviter().cloned() {
            self.wants(&inviter);
        }
        Ok(())
    }

    /// Somebody is shown: their name is of interest.
    fn wants(&mut self, user: &AccountId) {
        if !self.session.names.knows(user) {
            self.curiosity.wants(user);
        }
    }

    async fn watch(&mut self) -> Result<(), Failure> {
        let users: Vec<_> =
            self.model.rows.iter().filter_map(|row| row.talk.person().cloned()).collect();
        let users = users.get(..WATCHED).unwrap_or(&users);
        Ok(self.session.client.watch_presence(users).await?)
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
        let (client, about) = (&self.session.client, self.model.about);
        let is_new = about.is_none();
        let said = mention::read(text.trim_end(), &self.model.nameable());
        let sent = open.say(client, about, said).await;
        match sent {
            Ok(_) => {
                self.model.about = None;
                self.model.draft().map(editor::Editor::take);
                // Who writes back has heard.
                if let Some(person) = open.person() {
                    self.model.requests.remove(person);
                }
            }
            Err(ClientError::Stopped) => return Err(ClientError::Stopped.into()),
            Err(err) => self.model.notice = Some(Failure::from(err).to_string()),
        }
        if is_new {
            // Who gets a message knows that its writer has stopped.
            self.typed = None;
        } else {
            self.stop_typing().await?;
        }
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
            && let Some(Talk::Person(open)) = &self.model.open
            && !self.model.asks()
        {
            self.session.client.set_typing(open, true).await?;
            self.typed = Some(Instant::now());
        }
        Ok(())
    }

    async fn stop_typing(&mut self) -> Result<(), Failure> {
        if self.typed.take().is_some()
            && let Some(Talk::Person(open)) = &self.model.open
        {
            self.session.client.set_typing(open, false).await?;
        }
        Ok(())
    }

    /// Shows the safety number of the open conversation, or who is in the group.
    async fn info(&mut self) -> Result<(), Failure> {
        let open = match &self.model.open {
            Some(Talk::Person(person)) => person.clone(),
            Some(Talk::Group(_)) => {
                self.show_members(0);
                return Ok(());
            }
            None => return Ok(()),
        };
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
        let (Some(Talk::Person(open)), Some(Dialog::Safety(shown))) =
            (&self.model.open, &self.model.dialog)
        else {
            return Ok(());
        };
        let (client, open) = (&self.session.client, open.clone());
        // Only what was shown is decided about: it may have changed since.
        if client.safety_number(&open).await?.digits() != shown.digits {
            self.model.notice = Some("the number has changed just now: compare again".to_owned());
            return self.info().await;
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
        self.info().await?;
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
