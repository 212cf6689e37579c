//! What the person does to groups, devices and single messages: calls of the homeserver, whose
//! refusals are told and change nothing.

use posthouse_client::ClientError;
use posthouse_protocol::{
    id::GroupId,
    rest::{Secret, groups::EpochStatus},
};

use super::{
    Screen,
    dialog::{Dialog, Question},
    keys::Action,
};
use crate::{failure::Failure, talk::Talk};

impl Screen {
    /// The line of text that was asked for is there. The dialog stays if it does not do.
    pub(super) async fn answer(&mut self) -> Result<(), Failure> {
        let Some(Dialog::Ask(question, text)) = self.model.dialog.clone() else { return Ok(()) };
        let text = text.text().trim().to_owned();
        if text.is_empty() && !question.takes_nothing() {
            return Ok(());
        }
        let done = match question {
            Question::To => self.write_to(&text).await,
            Question::GroupTitle => {
                self.model.dialog = Some(Dialog::Ask(
                    Question::GroupPeople(text),
                    super::editor::Editor::default(),
                ));
                return Ok(());
            }
            Question::GroupPeople(title) => self.make_group(&title, &text).await,
            Question::Invite => self.invite(&text).await,
            Question::Rename => self.rename(&text).await,
            Question::Code => self.approve(&text, None).await,
            Question::CodePin(code) => self.approve(&code, Some(Secret(text))).await,
            Question::Remove(device) => self.remove_device(&device, &text).await,
            Question::NewPin => {
                self.new_pin(text);
                return Ok(());
            }
            Question::PinPassword(pin) => self.set_pin(pin, Secret(text)).await,
            Question::Disappear => self.disappear(&text).await,
            Question::Reaction => self.react(&text).await,
        };
        self.tell_failure(done)
    }

    /// The rest of what keys ask for.
    pub(super) async fn act(&mut self, action: Action) -> Result<(), Failure> {
        let done = match action {
            Action::Block | Action::Hear(_) => self.decide(action).await,
            Action::Devices => self.devices().await,
            Action::Leave | Action::Remove | Action::Role(_) => self.change(action).await,
            Action::TakeBack => self.take_back().await,
            _ => Ok(()),
        };
        self.tell_failure(done)
    }

    /// A refusal is told in the last line; only a device that has stopped ends the program.
    fn tell_failure(&mut self, done: Result<(), Failure>) -> Result<(), Failure> {
        let Err(failure) = done else { return Ok(()) };
        if failure == Failure::from(ClientError::Stopped) {
            return Err(failure);
        }
        self.model.notice = Some(failure.to_string());
        Ok(())
    }

    /// Opens the conversation with somebody.
    async fn write_to(&mut self, name: &str) -> Result<(), Failure> {
        let user = self.session.find(name).await?;
        if user == *self.session.client.account() {
            return Err(ClientError::Oneself.into());
        }
        self.model.dialog = None;
        self.model.names = self.session.names.clone();
        self.open(Talk::Person(user)).await?;
        self.watch().await
    }

    async fn make_group(&mut self, title: &str, people: &str) -> Result<(), Failure> {
        let mut accounts = Vec::new();
        for name in people.split_whitespace() {
            accounts.push(self.session.find(name.trim_end_matches(',')).await?);
        }
        self.model.dialog = None;
        let group = self.session.client.create_group(title, &accounts).await?;
        self.model.names = self.session.names.clone();
        self.open(Talk::Group(group)).await
    }

    fn open_group(&self) -> Result<GroupId, Failure> {
        let open = self.model.open.as_ref().and_then(Talk::group);
        Ok(open.ok_or(ClientError::UnknownGroup)?.clone())
    }

    async fn invite(&mut self, people: &str) -> Result<(), Failure> {
        let group = self.open_group()?;
        for name in people.split_whitespace() {
            let person = self.session.find(name.trim_end_matches(',')).await?;
            let status = self.session.client.invite(&group, &person).await?;
            self.changed(status).await?;
        }
        self.model.dialog = Some(Dialog::Members(0));
        Ok(())
    }

    async fn rename(&mut self, title: &str) -> Result<(), Failure> {
        let group = self.open_group()?;
        let status = self.session.client.rename(&group, title).await?;
        self.model.dialog = None;
        self.changed(status).await
    }

    /// A change of the open group, to the member that is chosen in its list.
    async fn change(&mut self, action: Action) -> Result<(), Failure> {
        let group = self.open_group()?;
        let Some(Dialog::Members(at)) = self.model.dialog else { return Ok(()) };
        let Some(member) = self.model.members.get(at).map(|one| one.account.clone()) else {
            return Ok(());
        };
        let client = &self.session.client;
        let status = match action {
            Action::Leave => client.leave(&group).await?,
            Action::Remove if member == self.model.own => {
                self.model.notice = Some("that is you: l leaves the group".to_owned());
                return Ok(());
            }
            Action::Remove => client.remove(&group, &member).await?,
            Action::Role(role) => client.set_role(&group, &member, role).await?,
            _ => return Ok(()),
        };
        if action == Action::Leave {
            self.model.dialog = None;
        }
        self.changed(status).await
    }

    async fn changed(&mut self, status: EpochStatus) -> Result<(), Failure> {
        if status == EpochStatus::Queued {
            let notice = "the group's region is away: the change is signed and waits for it";
            self.model.notice = Some(notice.to_owned());
        }
        self.model.names = self.session.names.clone();
        self.reload().await
    }

    /// The person has decided about a stranger, or about an invitation.
    async fn decide(&mut self, action: Action) -> Result<(), Failure> {
        let client = &self.session.client;
        match (self.model.open.clone(), action) {
            (Some(Talk::Group(group)), Action::Hear(true)) => {
                let status = client.accept_invitation(&group).await?;
                return self.changed(status).await;
            }
            (Some(Talk::Group(group)), Action::Hear(false)) => {
                let status = client.leave(&group).await?;
                return self.changed(status).await;
            }
            (Some(Talk::Person(user)), action) => {
                match action {
                    Action::Hear(true) => client.accept_request(&user).await?,
                    Action::Hear(false) => client.decline_request(&user).await?,
                    _ => client.block(&user).await?,
                }
                self.model.requests.remove(&user);
                let what = match action {
                    Action::Hear(true) => "heard from now on",
                    Action::Hear(false) => "not heard for 30 days",
                    _ => "blocked",
                };
                self.model.notice = Some(format!("{}: {what}", self.model.names.short(&user)));
            }
            _ => {}
        }
        self.reload().await
    }

    async fn react(&mut self, emoji: &str) -> Result<(), Failure> {
        self.model.dialog = None;
        let (Some(open), Some(id)) = (self.model.open.clone(), self.model.chosen.take()) else {
            return Ok(());
        };
        open.react(&self.session.client, id, emoji).await?;
        self.reload().await
    }

    async fn take_back(&mut self) -> Result<(), Failure> {
        let (Some(open), Some(id)) = (self.model.open.clone(), self.model.chosen.take()) else {
            return Ok(());
        };
        open.delete(&self.session.client, id).await?;
        self.reload().await
    }
}
