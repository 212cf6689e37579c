//! The port `Reports`.

use async_trait::async_trait;
use posthouse_protocol::{id::AccountId, rest::ReportReason, time::Timestamp};
use posthouse_storage::{
    error::StoreError,
    people::Added,
    reports::{Report, Reports},
};
use uuid::Uuid;

use crate::{
    db::Row,
    failure::{Failure, Tries},
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    /// Reports of one account are filed one after the other.
    LOCK = Statement::new("SELECT 1 FROM accounts WHERE id = ? AND state < 2 /*pg:FOR UPDATE*/");
    COUNT = Statement::new(
        "SELECT COUNT(*) FROM reports WHERE reporter = ? AND resolved_at IS NULL",
    );
    FILE = Statement::new(
        "INSERT INTO reports (id, reporter, reported, reason, comment, evidence, at)
        VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
    WAITING = Statement::new(
        "SELECT id, reporter, reported, reason, comment, evidence, at, resolved_at, note
        FROM reports WHERE resolved_at IS NULL AND (at, id) > (?, ?)
        ORDER BY at, id LIMIT 0 + ?",
    );
    REPORT = Statement::new(
        "SELECT id, reporter, reported, reason, comment, evidence, at, resolved_at, note
        FROM reports WHERE id = ?",
    );
    RESOLVE = Statement::new(
        "UPDATE reports SET resolved_at = ?, note = ? WHERE id = ? AND resolved_at IS NULL",
    );
    FORGET = Statement::new(
        "DELETE FROM reports WHERE id IN (
            SELECT id FROM reports WHERE resolved_at < ? ORDER BY resolved_at LIMIT 0 + ?)",
    );
}

#[async_trait]
impl Reports for SqlStore {
    async fn file_report(&self, report: &Report, most: usize) -> Result<Added, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_file(report, most).await {
                Ok(added) => return Ok(added),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn waiting_reports(
        &self,
        after: Option<(Timestamp, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Report>, StoreError> {
        let (at, id) = after.unwrap_or_default();
        let rows = self.db().rows(&WAITING, |args| {
            args.number(at.0).uuid(id).limit(limit);
        });
        rows.await?.iter().map(read).collect()
    }

    async fn report(&self, id: Uuid) -> Result<Option<Report>, StoreError> {
        let rows = self.db().rows(&REPORT, |args| {
            args.uuid(id);
        });
        rows.await?.first().map(read).transpose()
    }

    async fn resolve_report(
        &self,
        id: Uuid,
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let resolved = self.change(&RESOLVE, |args| {
            args.number(now.0).maybe_text(note).uuid(id);
        });
        Ok(resolved.await? == 1)
    }

    async fn forget_reports(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let forgotten = self.change(&FORGET, |args| {
            args.number(before.0).number(limit.into());
        });
        Ok(forgotten.await?)
    }
}

impl SqlStore {
    async fn try_file(&self, report: &Report, most: usize) -> Result<Added, Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let exists = script.one(&LOCK, |args| {
            args.uuid(report.reporter);
        });
        let waiting = script.one(&COUNT, |args| {
            args.uuid(report.reporter);
        });
        let mut answers = tx.run(script).await?;
        if answers.take(exists).is_empty() {
            tx.cancel().await?;
            return Ok(Added::NoAccount);
        }
        let waiting = answers.take(waiting);
        let waiting = waiting.first().map(|row| row.fields("reports").number("count"));
        if waiting.transpose()?.unwrap_or_default() >= most as u64 {
            tx.cancel().await?;
            return Ok(Added::TooMany);
        }
        let mut script = tx.script();
        script.one(&FILE, |args| {
            args.uuid(report.id)
                .uuid(report.reporter)
                .text(&report.reported.to_string())
                .integer(code(report.reason))
                .maybe_text(report.comment.as_deref())
                .text(&report.evidence)
                .number(report.at.0);
        });
        tx.finish(script).await?;
        Ok(Added::Done)
    }
}

fn read(row: &Row) -> Result<Report, StoreError> {
    let mut fields = row.fields("reports");
    let (id, by) = (fields.uuid("id")?, fields.uuid("reporter")?);
    let about = fields.text("reported")?;
    let about = fields.parse("reported", about, AccountId::parse)?;
    Ok(Report {
        id,
        reporter: by,
        reported: about,
        reason: match fields.integer("reason")? {
            0 => ReportReason::Spam,
            1 => ReportReason::Harassment,
            2 => ReportReason::Impersonation,
            3 => ReportReason::Illegal,
            4 => ReportReason::Other,
            other => return Err(fields.corrupt("reason", other)),
        },
        comment: fields.maybe_text("comment")?.map(str::to_owned),
        evidence: fields.text("evidence")?.to_owned(),
        at: fields.time("at")?,
        resolved_at: fields.maybe_number("resolved_at")?.map(Timestamp),
        note: fields.maybe_text("note")?.map(str::to_owned),
    })
}

fn code(reason: ReportReason) -> i64 {
    match reason {
        ReportReason::Spam => 0,
        ReportReason::Harassment => 1,
        ReportReason::Impersonation => 2,
        ReportReason::Illegal => 3,
        ReportReason::Other => 4,
    }
}
