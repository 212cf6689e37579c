//! What the operator may order: invitations, the state of accounts, reports about users, and taking
//! over groups. The command line carries an
//! order out on the database itself, or hands it to the server that has it open
//! ([`crate::operator::seal`] shows that it comes from the operator).

pub mod order;
pub mod seal;

use std::sync::Arc;

use posthouse_protocol::{
    id::{Address, HandleName, ServerName},
    problem::{Code, Rejection},
    time::Clock,
};
use posthouse_storage::{
    accounts::{Account, AccountState, Accounts},
    erasure::Erasure,
    error::StoreError,
    groups::Groups,
    invites::{Invites, NewInvite},
    reports::{Report, Reports},
    wakes::Wakes,
};
use uuid::Uuid;

use crate::{
    accounts::{AccountsService, codes, store_failed},
    groups,
    random::Random,
};
use order::{
    AccountShown, Answer, DeviceShown, InviteShown, MAX_LIST, MAX_NOTE, MAX_REPORTS, Order,
    ReportShown,
};

/// Carries orders out.
pub struct Operator {
    /// The region.
    server: ServerName,
    /// Accounts.
    accounts: Arc<dyn Accounts>,
    /// Invitations.
    invites: Arc<dyn Invites>,
    /// The memory of deleted accounts.
    erasure: Arc<dyn Erasure>,
    /// Reports about users.
    reports: Arc<dyn Reports>,
    /// Groups.
    groups: Arc<dyn Groups>,
    /// To tell running servers.
    wakes: Arc<dyn Wakes>,
    /// In a running server: what it remembers, and its connections.
    running: Option<Arc<AccountsService>>,
    /// The time.
    clock: Arc<dyn Clock>,
    /// Random numbers.
    random: Arc<Random>,
}

/// Times that an invitation's code is drawn again, if its beginning is taken.
const DRAWS: usize = 16;

impl Operator {
    /// Carries orders out on `store`; `running` is there in a running server.
    pub fn on<S>(
        store: &Arc<S>,
        server: ServerName,
        running: Option<Arc<AccountsService>>,
        (clock, random): (Arc<dyn Clock>, Arc<Random>),
    ) -> Self
    where
        S: Accounts + Invites + Erasure + Reports + Groups + Wakes + 'static,
    {
        Self {
            server,
            accounts: Arc::<S>::clone(store),
            invites: Arc::<S>::clone(store),
            erasure: Arc::<S>::clone(store),
            reports: Arc::<S>::clone(store),
            groups: Arc::<S>::clone(store),
            wakes: Arc::<S>::clone(store),
            running,
            clock,
            random,
        }
    }

    /// Carries an order out.
    ///
    /// # Errors
    /// [`Rejection`], for the operator.
    pub async fn carry_out(&self, order: Order) -> Result<Answer, Rejection> {
        match order {
            Order::InviteCreate { uses, expires_in_ms } => self.invite(uses, expires_in_ms).await,
            Order::InviteList => {
                let found = self.invites.invites(MAX_LIST).await.map_err(failed)?;
                let now = self.clock.now();
                let shown = found.into_iter().map(|invite| InviteShown::of(invite, now));
                Ok(Answer::Invites { invites: shown.collect() })
            }
            Order::InviteWithdraw { id } => {
                if self.invites.withdraw_invite(&named(&id)).await.map_err(failed)? {
                    return Ok(Answer::Done);
                }
                Err(Rejection::new(Code::NotFound, format!("there is no invitation {id}")))
            }
            Order::AccountSuspend { user } => self.set_state(&user, AccountState::Suspended).await,
            Order::AccountResume { user } => self.set_state(&user, AccountState::Active).await,
            Order::AccountShow { user } => self.show(&user).await,
            Order::AccountList { after } => self.list(after).await,
            Order::ReportList => {
                let found = self.reports.waiting_reports(None, MAX_REPORTS).await;
                let found = found.map_err(failed)?;
                let shown = found.iter().map(|report| ReportShown::of(report, &self.server));
                Ok(Answer::Reports { reports: shown.collect() })
            }
            Order::ReportShow { id } => self.show_report(id).await,
            Order::ReportResolve { id, note } => self.resolve_report(id, note).await,
            Order::GroupTakeOver { group } => {
                let (store, now) = (Arc::clone(&self.groups), self.clock.now());
                let arrivals = groups::take_over(store, &self.server, &group, now).await?;
                if let Some(running) = &self.running {
                    for arrival in arrivals {
                        running.connections.inbox_grew(arrival.account);
                    }
                }
                Ok(Answer::Done)
            }
        }
    }

    async fn invite(&self, uses: u32, expires_in_ms: u64) -> Result<Answer, Rejection> {
        order::check_invite(uses, expires_in_ms)?;
        let created_at = self.clock.now();
        let expires_at = created_at.plus_millis(expires_in_ms);
        for _ in 0..DRAWS {
            let (code, hash) = codes::new(codes::Purpose::Invite, self.random.bytes());
            let id = named(&code.0);
            let new = NewInvite { id, hash, uses, created_at, expires_at };
            if self.invites.create_invite(&new).await.map_err(failed)? {
                return Ok(Answer::Code { code, uses, expires_at });
            }
        }
        let detail = "there are too many invitations: withdraw some first";
        Err(Rejection::new(Code::TooMany, detail))
    }

    async fn set_state(&self, user: &str, state: AccountState) -> Result<Answer, Rejection> {
        let account = self.find(user).await?;
        let changed = self.accounts.set_state(account.id, state, self.clock.now()).await;
        let ended = changed.map_err(failed)?.ok_or_else(|| unknown(user))?;
        match &self.running {
            Some(service) => service.cut(&ended).await,
            None => self.wakes.ended(&ended).await.map_err(failed)?,
        }
        self.show(user).await
    }

    async fn show(&self, user: &str) -> Result<Answer, Rejection> {
        let account = match self.find(user).await {
            Ok(account) => account,
            Err(rejection) => return self.gone(user).await?.ok_or(rejection),
        };
        let devices = self.accounts.devices(account.id).await.map_err(failed)?;
        let devices = devices.into_iter().map(DeviceShown::from).collect();
        Ok(Answer::Account { account: AccountShown::of(account, &self.server), devices })
    }

    async fn gone(&self, user: &str) -> Result<Option<Answer>, Rejection> {
        let Ok(Address::Account(id)) = Address::parse(user, &self.server) else { return Ok(None) };
        let gone = self.erasure.gone_since(id.uuid).await.map_err(failed)?;
        Ok(gone.map(|deleted_at| Answer::Gone { account_id: id, deleted_at }))
    }

    async fn list(&self, after: Option<HandleName>) -> Result<Answer, Rejection> {
        let found = self.accounts.accounts(after.as_ref(), MAX_LIST).await.map_err(failed)?;
        let shown = found.into_iter().map(|account| AccountShown::of(account, &self.server));
        Ok(Answer::Accounts { accounts: shown.collect() })
    }

    async fn show_report(&self, id: Uuid) -> Result<Answer, Rejection> {
        let found = self.reports.report(id).await.map_err(failed)?;
        let report = found.ok_or_else(|| no_report(id))?;
        let shown = ReportShown::of(&report, &self.server);
        let Report { comment, evidence, note, .. } = report;
        Ok(Answer::Report { report: shown, comment, evidence, note })
    }

    async fn resolve_report(&self, id: Uuid, note: Option<String>) -> Result<Answer, Rejection> {
        if note.as_ref().is_some_and(|note| note.len() > MAX_NOTE) {
            let detail = format!("a note has at most {MAX_NOTE} bytes");
            return Err(Rejection::new(Code::BadRequest, detail));
        }
        let resolved = self.reports.resolve_report(id, note.as_deref(), self.clock.now()).await;
        if resolved.map_err(failed)? { Ok(Answer::Done) } else { Err(no_report(id)) }
    }

    async fn find(&self, user: &str) -> Result<Account, Rejection> {
        let found = match Address::parse(user, &self.server)? {
            Address::Account(id) if id.server == self.server => {
                self.accounts.account(id.uuid).await
            }
            Address::Handle(handle) if handle.server == self.server => {
                self.accounts.account_by_handle(&handle.name).await
            }
            _ => Ok(None),
        };
        found.map_err(failed)?.ok_or_else(|| unknown(user))
    }
}

/// The name of an invitation: the first group of its code, however that is written.
fn named(code: &str) -> String {
    let code = code.trim().to_ascii_lowercase();
    code.chars().take(codes::GROUP).collect()
}

fn no_report(id: Uuid) -> Rejection {
    Rejection::new(Code::NotFound, format!("no report {id} waits"))
}

fn unknown(user: &str) -> Rejection {
    Rejection::new(Code::UnknownUser, format!("this region has no account {user}"))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(err: StoreError) -> Rejection {
    store_failed(&err)
}
