//! What takes its time: calls of the homeserver run beside the screen, which says so and goes on.

use std::collections::BTreeSet;

use posthouse_client::{Client, ClientError};
use posthouse_protocol::{
    id::{AccountId, GroupId},
    rest::groups::Unacknowledged,
};
use tokio::task::JoinHandle;

use super::{Screen, dialog::Dialog};
use crate::{failure::Failure, names::called, talk::Talk};

/// Names that are asked for together.
const NAMES: usize = 32;
/// Accounts that were asked about while the program runs, at most.
const MAX_ASKED: usize = 10_000;

/// What changes on the screen once there is an answer; a conversation to open.
pub(super) type Landing = Box<dyn FnOnce(&mut Screen) -> Result<Option<Talk>, Failure> + Send>;

/// A call that goes on. What is dropped is given up.
pub(super) struct Work {
    task: JoinHandle<Result<Landing, Failure>>,
    /// The dialog that asked for it, which ends with it.
    asked: Option<Dialog>,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer, once there is one.
pub(super) async fn answered(work: &mut Option<Work>) -> Result<Landing, Failure> {
    match work {
        Some(work) => (&mut work.task).await.unwrap_or_else(|_| Err(ClientError::Stopped.into())),
        None => std::future::pending().await,
    }
}

/// A landing that changes nothing by itself.
pub(super) fn told(what: impl FnOnce(&mut Screen) + Send + 'static) -> Landing {
    Box::new(|screen| {
        what(screen);
        Ok(None)
    })
}

impl Screen {
    /// Begins something that takes its time; one thing after the other.
    pub(super) fn begin(
        &mut self,
        what: &str,
        job: impl Future<Output = Result<Landing, Failure>> + Send + 'static,
    ) {
        if self.work.is_some() {
            return;
        }
        self.model.working = Some(what.to_owned());
        let asked = self.model.dialog.clone();
        self.work = Some(Work { task: tokio::spawn(job), asked });
    }

    /// What was begun has ended. A refusal is told, and the dialog stays.
    pub(super) async fn landed(&mut self, done: Result<Landing, Failure>) -> Result<(), Failure> {
        self.model.working = None;
        let asked = self.work.take().and_then(|mut work| work.asked.take());
        let landed = match done {
            Ok(landing) => {
                if self.model.dialog == asked {
                    self.model.dialog = None;
                }
                landing(self)
            }
            Err(failure) => Err(failure),
        };
        self.model.names = self.session.names.clone();
        match landed {
            Ok(Some(talk)) => {
                self.open(talk).await?;
                self.watch().await
            }
            Ok(None) => self.reload().await,
            failed => self.tell_failure(failed.map(drop)),
        }
    }

    /// A refusal is told in the last line; only a device that has stopped ends the program.
    pub(super) fn tell_failure(&mut self, done: Result<(), Failure>) -> Result<(), Failure> {
        let Err(failure) = done else { return Ok(()) };
        if failure == Failure::from(ClientError::Stopped) {
            return Err(failure);
        }
        self.model.notice = Some(failure.to_string());
        Ok(())
    }
}

/// What the screen would like to know, and does without until it does.
#[derive(Default)]
pub(super) struct Curiosity {
    /// Whose names are wanted.
    wanted: BTreeSet<AccountId>,
    asked: BTreeSet<AccountId>,
    /// Whether it is to be asked who wants to be heard.
    pub(super) requests: bool,
    /// The group of which it is to be asked which regions may not know its newest changes.
    pub(super) behind: Option<GroupId>,
    task: Option<JoinHandle<News>>,
}

/// What came of it.
#[derive(Default)]
pub(super) struct News {
    names: Vec<(AccountId, String)>,
    /// Whose could not be asked for: another time.
    failed: Vec<AccountId>,
    requests: Option<BTreeSet<AccountId>>,
    behind: Option<(GroupId, Vec<Unacknowledged>)>,
}

impl Drop for Curiosity {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Curiosity {
    /// Somebody is shown without a name.
    pub(super) fn wants(&mut self, user: &AccountId) {
        if self.asked.len() < MAX_ASKED && self.asked.insert(user.clone()) {
            self.wanted.insert(user.clone());
        }
    }

    /// What is known next.
    pub(super) async fn news(&mut self, client: &Client) -> News {
        let any = self.requests || self.behind.is_some() || !self.wanted.is_empty();
        if self.task.is_none() && any {
            let mut users = Vec::new();
            while users.len() < NAMES
                && let Some(user) = self.wanted.pop_first()
            {
                users.push(user);
            }
            let requests = std::mem::take(&mut self.requests);
            let behind = self.behind.take();
            self.task = Some(tokio::spawn(ask(client.clone(), users, (requests, behind))));
        }
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let news = task.await.unwrap_or_default();
        self.task = None;
        news
    }
}

/// What fails is asked again another time.
async fn ask(
    client: Client,
    users: Vec<AccountId>,
    (requests, behind): (bool, Option<GroupId>),
) -> News {
    let mut news = News::default();
    if let Some(group) = behind
        && let Ok(Some(regions)) = client.regions_behind(&group).await
    {
        news.behind = Some((group, regions));
    }
    if requests && let Ok(all) = client.requests().await {
        news.requests = Some(all.into_iter().map(|one| one.account_id).collect());
    }
    for user in users {
        match client.handle_of(&user).await {
            Ok(Some(handle)) => {
                let name = called(&user, &handle, &client.account().server);
                news.names.push((user, name));
            }
            Ok(None) => {}
            Err(_) => news.failed.push(user),
        }
    }
    news
}

impl Screen {
    /// Shows who is in the open group, and asks anew which regions may not know its newest changes.
    pub(super) fn show_members(&mut self, at: usize) {
        self.model.dialog = Some(Dialog::Members(at));
        self.model.behind = None;
        if let Some(Talk::Group(group)) = &self.model.open {
            self.curiosity.behind = Some(group.clone());
        }
    }

    /// Shows what has become known.
    pub(super) async fn heard(&mut self, news: News) -> Result<(), Failure> {
        if let Some(requests) = news.requests {
            self.model.requests = requests;
            self.model.knows_requests = !self.curiosity.requests;
        }
        if news.behind.is_some() {
            self.model.behind = news.behind;
        }
        for user in news.failed {
            self.curiosity.asked.remove(&user);
        }
        for (user, name) in news.names {
            self.session.call(&user, &name)?;
        }
        self.model.names = self.session.names.clone();
        self.reload().await
    }
}
