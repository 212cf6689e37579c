//! Orders and their answers, as they are between the command line and a running server.

use posthouse_protocol::{
    id::{AccountId, DeviceNumber, GroupId, HandleName, ServerName},
    problem::{Code, Rejection},
    rest::{ReportReason, Secret},
    time::Timestamp,
};
use posthouse_storage::{
    accounts::{Account, AccountState, Device},
    invites::Invite,
    reports::Report,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most accounts or invitations of one answer.
pub const MAX_LIST: usize = 1_000;

/// Most reports of one answer.
pub const MAX_REPORTS: usize = 200;

/// Longest note on a report, in bytes.
pub const MAX_NOTE: usize = 2_000;

/// Most uses of an invitation.
pub const MAX_USES: u32 = 100_000;

/// Longest life of an invitation, in milliseconds (a year).
pub const MAX_LIFE_MS: u64 = 366 * 24 * 3_600_000;

/// What the operator wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Make an invitation.
    InviteCreate {
        /// Accounts that may be registered with it.
        uses: u32,
        /// How long it is good for, in milliseconds.
        expires_in_ms: u64,
    },
    /// List invitations, the newest first.
    InviteList,
    /// Withdraw an invitation.
    InviteWithdraw {
        /// Its code, or the first group of it.
        id: String,
    },
    /// Keep an account out.
    AccountSuspend {
        /// Its handle or id.
        user: String,
    },
    /// Let it in again.
    AccountResume {
        /// Its handle or id.
        user: String,
    },
    /// Show an account.
    AccountShow {
        /// Its handle or id.
        user: String,
    },
    /// List accounts by handle.
    AccountList {
        /// Those after this handle.
        after: Option<HandleName>,
    },
    /// List reports about users that wait, the oldest first.
    ReportList,
    /// Show a report with its evidence.
    ReportShow {
        /// Its id.
        id: Uuid,
    },
    /// Be done with a report.
    ReportResolve {
        /// Its id.
        id: Uuid,
        /// What was done about it.
        note: Option<String>,
    },
    /// Sequence a group whose region is gone for good.
    GroupTakeOver {
        /// Which.
        group: GroupId,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// A new invitation's code, shown this once.
    Code {
        /// The code.
        code: Secret,
        /// Accounts that may be registered with it.
        uses: u32,
        /// From when on it is worth nothing.
        expires_at: Timestamp,
    },
    /// Invitations.
    Invites {
        /// The newest first.
        invites: Vec<InviteShown>,
    },
    /// An account.
    Account {
        /// The account.
        account: AccountShown,
        /// Its devices.
        devices: Vec<DeviceShown>,
    },
    /// Accounts.
    Accounts {
        /// By handle.
        accounts: Vec<AccountShown>,
    },
    /// An account that was deleted.
    Gone {
        /// Its id.
        account_id: AccountId,
        /// When.
        deleted_at: Timestamp,
    },
    /// Reports that wait.
    Reports {
        /// The oldest first, without their evidence.
        reports: Vec<ReportShown>,
    },
    /// A report.
    Report {
        /// The report.
        report: ReportShown,
        /// In the reporter's words.
        comment: Option<String>,
        /// Messages that the reporter shows, as its client sent them: JSON.
        evidence: String,
        /// What was noted when it was resolved.
        note: Option<String>,
    },
}

/// A report, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportShown {
    /// Its id.
    pub id: Uuid,
    /// Who reports.
    pub reporter: AccountId,
    /// Who is reported.
    pub reported: AccountId,
    /// What it is about.
    pub reason: ReportReason,
    /// When.
    pub at: Timestamp,
    /// When the operator was done with it.
    pub resolved_at: Option<Timestamp>,
}

impl ReportShown {
    pub(super) fn of(report: &Report, server: &ServerName) -> Self {
        Self {
            id: report.id,
            reporter: AccountId { uuid: report.reporter, server: server.clone() },
            reported: report.reported.clone(),
            reason: report.reason,
            at: report.at,
            resolved_at: report.resolved_at,
        }
    }
}

/// An invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in `posthouse_storage::invites::Invite`")]
pub struct InviteShown {
    pub id: String,
    pub uses: u32,
    pub used: u32,
    pub expires_at: Timestamp,
    /// Whether somebody can still register with it.
    pub usable: bool,
}

impl InviteShown {
    pub(super) fn of(invite: Invite, now: Timestamp) -> Self {
        let usable = invite.used < invite.uses && now < invite.expires_at;
        let Invite { id, uses, used, expires_at, .. } = invite;
        Self { id, uses, used, expires_at, usable }
    }
}

/// An account, without what is its person's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountShown {
    /// Its id.
    pub account_id: AccountId,
    /// Its handle.
    pub handle: HandleName,
    /// Whether the operator suspended it.
    pub suspended: bool,
    /// When it was registered.
    pub created_at: Timestamp,
}

impl AccountShown {
    pub(super) fn of(account: Account, server: &ServerName) -> Self {
        Self {
            account_id: AccountId { uuid: account.id, server: server.clone() },
            handle: account.handle,
            suspended: account.state == AccountState::Suspended,
            created_at: account.created_at,
        }
    }
}

/// A device of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceShown {
    /// Its number.
    pub number: DeviceNumber,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last connected.
    pub active_at: Timestamp,
}

impl From<Device> for DeviceShown {
    fn from(device: Device) -> Self {
        let Device { number, created_at, active_at, .. } = device;
        Self { number, created_at, active_at }
    }
}

/// Whether an invitation may be like this.
///
/// # Errors
/// [`Code::BadRequest`].
pub fn check_invite(uses: u32, expires_in_ms: u64) -> Result<(), Rejection> {
    if !(1..=MAX_USES).contains(&uses) {
        let detail = format!("an invitation has 1 to {MAX_USES} uses");
        return Err(Rejection::new(Code::BadRequest, detail));
    }
    if !(1..=MAX_LIFE_MS).contains(&expires_in_ms) {
        let detail = format!("an invitation is good for at most {} days", MAX_LIFE_MS / 86_400_000);
        return Err(Rejection::new(Code::BadRequest, detail));
    }
    Ok(())
}
