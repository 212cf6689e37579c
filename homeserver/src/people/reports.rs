//! Filing a report: checked, bounded, and kept for the operator.

use posthouse_protocol::{
    id::AccountId,
    limits,
    problem::{Code, Rejection},
    rest::FileReport,
    time::Timestamp,
};
use posthouse_storage::reports::Report;
use uuid::Uuid;

/// The report as it is kept.
///
/// # Errors
/// [`Code::BadRequest`] for too many messages, or messages that are neither the reported user's nor
/// the reporter's.
pub(super) fn report(
    id: Uuid,
    (reporter, about): (&AccountId, AccountId),
    request: FileReport,
    now: Timestamp,
) -> Result<Report, Rejection> {
    if request.messages.len() > limits::MAX_REPORT_MESSAGES {
        let detail = format!("a report shows at most {} messages", limits::MAX_REPORT_MESSAGES);
        return Err(Rejection::new(Code::BadRequest, detail));
    }
    if about == *reporter {
        return Err(Rejection::new(Code::BadRequest, "nobody reports themselves"));
    }
    let is_theirs = |from: &AccountId| *from == about || from == reporter;
    if request.messages.iter().any(|message| !is_theirs(&message.from)) {
        let detail = "the messages are the reported user's, or the answers to them";
        return Err(Rejection::new(Code::BadRequest, detail));
    }
    let evidence = serde_json::to_string(&request.messages)
        .map_err(|err| Rejection::new(Code::Internal, err.to_string()))?;
    Ok(Report {
        id,
        reporter: reporter.uuid,
        reported: about,
        reason: request.reason,
        comment: request.comment.map(|comment| comment.as_str().to_owned()),
        evidence,
        at: now,
        resolved_at: None,
        note: None,
    })
}
