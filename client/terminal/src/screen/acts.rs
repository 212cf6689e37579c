//! What the person does to groups, strangers and single messages. What asks the homeserver runs
//! beside the screen; refusals are told and change nothing.

use posthouse_client::{Client, ClientError};
use posthouse_protocol::{
    id::{AccountId, GroupId},
    rest::{Secret, groups::EpochStatus},
};

use super::{
    Screen,
    dialog::{Dialog, Question},
    keys::{Action, ask},
    work::{Landing, told},
};
use crate::{
    failure::Failure,
    session::{Found, Whose},
    talk::Talk,
};

impl Screen {
    /// The line of text that was asked for is there. The dialog stays until it has done.
    pub(super) async fn answer(&mut self) -> Result<(), Failure> {
        let Some(Dialog::Ask(question, text)) = self.model.dialog.clone() else { return Ok(()) };
        let text = text.text().trim().to_owned();
        if text.is_empty() && !question.takes_nothing() {
            return Ok(());
        }
        let done = match question {
            Question::To => self.write_to(&text),
            Question::GroupTitle => {
                ask(&mut self.model, Question::GroupPeople(text));
                Ok(())
            }
            Question::GroupPeople(title) => self.make_group(title, &text),
            Question::Invite => self.invite(&text),
            Question::Rename => self.rename(text),
            Question::Code => {
                self.approve(text, None);
                Ok(())
            }
            Question::CodePin(code) => {
                self.approve(code, Some(Secret(text)));
                Ok(())
            }
            Question::Remove(device) => {
                self.remove_device(&device, &text);
                Ok(())
            }
            Question::NewPin => {
                self.new_pin(text);
                Ok(())
            }
            Question::PinPassword(pin) => {
                self.set_pin(pin, Secret(text));
                Ok(())
            }
            Question::Disappear => self.disappear(&text).await,
            Question::Reaction => self.react(&text).await,
            Question::Name => self.set_name(text).await,
        };
        self.tell_failure(done)
    }

    /// The rest of what keys ask for.
    pub(super) async fn act(&mut self, action: Action) -> Result<(), Failure> {
        let done = match action {
            Action::Block | Action::Hear(_) => {
                self.decide(action);
                Ok(())
            }
            Action::Devices => {
                self.devices();
                Ok(())
            }
            Action::Name => self.ask_name().await,
            Action::Person => {
                self.person();
                Ok(())
            }
            Action::SetContact(_) | Action::SetBlocked(_) => {
                self.set_person(action);
                Ok(())
            }
            Action::Leave | Action::Remove | Action::Role(_) => self.change(action),
            Action::TakeBack => self.take_back().await,
            _ => Ok(()),
        };
        self.tell_failure(done)
    }

    /// Opens the conversation with somebody.
    fn write_to(&mut self, name: &str) -> Result<(), Failure> {
        let (whose, client) = (self.session.whose(name)?, self.session.client.clone());
        self.begin("looking for them", async move {
            let found = whose.find(&client).await?;
            if found.0 == *client.account() {
                return Err(ClientError::Oneself.into());
            }
            let landing: Landing =
                Box::new(|screen| Ok(Some(Talk::Person(screen.session.found(found)?))));
            Ok(landing)
        });
        Ok(())
    }

    /// Whom names mean, with spaces in between.
    fn people(&self, names: &str) -> Result<Vec<Whose>, Failure> {
        let names = names.split_whitespace();
        names.map(|name| self.session.whose(name.trim_end_matches(','))).collect()
    }

    fn make_group(&mut self, title: String, people: &str) -> Result<(), Failure> {
        let (people, client) = (self.people(people)?, self.session.client.clone());
        self.begin("making the group", async move {
            let found = find(&client, people).await?;
            let accounts: Vec<AccountId> = found.iter().map(|(user, _)| user.clone()).collect();
            let group = client.create_group(&title, &accounts).await?;
            let landing: Landing = Box::new(|screen| {
                screen.found(found)?;
                Ok(Some(Talk::Group(group)))
            });
            Ok(landing)
        });
        Ok(())
    }

    fn found(&mut self, found: Vec<Found>) -> Result<(), Failure> {
        found.into_iter().try_for_each(|one| self.session.found(one).map(drop))
    }

    fn open_group(&self) -> Result<GroupId, Failure> {
        let open = self.model.open.as_ref().and_then(Talk::group);
        Ok(open.ok_or(ClientError::UnknownGroup)?.clone())
    }

    fn invite(&mut self, people: &str) -> Result<(), Failure> {
        let (group, people) = (self.open_group()?, self.people(people)?);
        let client = self.session.client.clone();
        self.begin("inviting", async move {
            let found = find(&client, people).await?;
            let mut status = EpochStatus::Taken;
            for (person, _) in &found {
                status = client.invite(&group, person).await?;
            }
            let landing: Landing = Box::new(move |screen| {
                screen.found(found)?;
                screen.changed(status);
                screen.show_members(0);
                Ok(None)
            });
            Ok(landing)
        });
        Ok(())
    }

    fn rename(&mut self, title: String) -> Result<(), Failure> {
        let (group, client) = (self.open_group()?, self.session.client.clone());
        self.begin("renaming the group", async move {
            let status = client.rename(&group, &title).await?;
            Ok(told(move |screen| screen.changed(status)))
        });
        Ok(())
    }

    /// A change of the open group, to the member that is chosen in its list.
    fn change(&mut self, action: Action) -> Result<(), Failure> {
        let group = self.open_group()?;
        let Some(Dialog::Members(at)) = self.model.dialog else { return Ok(()) };
        let Some(member) = self.model.members.get(at).map(|one| one.account.clone()) else {
            return Ok(());
        };
        if action == Action::Remove && member == self.model.own {
            self.model.notice = Some("that is you: l leaves the group".to_owned());
            return Ok(());
        }
        let client = self.session.client.clone();
        self.begin("changing the group", async move {
            let status = match action {
                Action::Leave => client.leave(&group).await?,
                Action::Remove => client.remove(&group, &member).await?,
                Action::Role(role) => client.set_role(&group, &member, role).await?,
                _ => return Ok(told(|_| ())),
            };
            Ok(told(move |screen| {
                if action != Action::Leave && screen.model.dialog.is_none() {
                    screen.show_members(at);
                }
                screen.changed(status);
            }))
        });
        Ok(())
    }

    fn changed(&mut self, status: EpochStatus) {
        if status == EpochStatus::Queued {
            let notice = "the group's region cannot be reached now: the change waits";
            self.model.notice = Some(notice.to_owned());
        }
    }

    /// The person has decided about a stranger, or about an invitation.
    fn decide(&mut self, action: Action) {
        let client = self.session.client.clone();
        match self.model.open.clone() {
            Some(Talk::Group(group)) if action != Action::Block => {
                self.begin("answering the invitation", async move {
                    let status = match action {
                        Action::Hear(true) => client.accept_invitation(&group).await?,
                        _ => client.leave(&group).await?,
                    };
                    Ok(told(move |screen| screen.changed(status)))
                });
            }
            Some(Talk::Person(user)) => self.begin("answering", async move {
                let what = match action {
                    Action::Hear(true) => {
                        client.accept_request(&user).await?;
                        "heard from now on"
                    }
                    Action::Hear(false) => {
                        client.decline_request(&user).await?;
                        "not heard for 30 days"
                    }
                    _ => {
                        client.block(&user).await?;
                        "blocked"
                    }
                };
                Ok(told(move |screen| {
                    screen.model.requests.remove(&user);
                    let name = screen.model.names.title(&user);
                    screen.model.notice = Some(format!("{name}: {what}"));
                }))
            }),
            _ => {}
        }
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

/// Whom names mean, one after the other.
async fn find(client: &Client, people: Vec<Whose>) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::with_capacity(people.len());
    for one in people {
        found.push(one.find(client).await?);
    }
    Ok(found)
}
