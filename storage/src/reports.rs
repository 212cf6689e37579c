//! Reports about users, for the operator.

use async_trait::async_trait;
use posthouse_protocol::{id::AccountId, rest::ReportReason, time::Timestamp};
use uuid::Uuid;

use crate::{error::StoreError, people::Added};

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its id.
    pub id: Uuid,
    /// Who reports.
    pub reporter: Uuid,
    /// Who is reported, of whatever region.
    pub reported: AccountId,
    /// What it is about.
    pub reason: ReportReason,
    /// In the reporter's words.
    pub comment: Option<String>,
    /// Messages that the reporter shows: a JSON list of what the client sent.
    pub evidence: String,
    /// When.
    pub at: Timestamp,
    /// When the operator was done with it.
    pub resolved_at: Option<Timestamp>,
    /// What the operator noted then.
    pub note: Option<String>,
}

/// Reports. Every method is atomic.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Files a report, unless `most` of its reporter wait already.
    async fn file_report(&self, report: &Report, most: usize) -> Result<Added, StoreError>;

    /// Reports that wait, the oldest first, after (`at`, id) of `after`, at most `limit`.
    async fn waiting_reports(
        &self,
        after: Option<(Timestamp, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Report>, StoreError>;

    /// A report; `None` if there is none.
    async fn report(&self, id: Uuid) -> Result<Option<Report>, StoreError>;

    /// The operator is done with a report. `false` if none of this id waits.
    async fn resolve_report(
        &self,
        id: Uuid,
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Deletes reports that were resolved before `before`, at most `limit`; returns how many.
    async fn forget_reports(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
