//! Telling the operator of the own region what somebody writes.

use posthouse_protocol::{
    id::AccountId,
    rest::{Evidence, FileReport, Opaque, ReportReason},
};
use serde_json::{json, value::RawValue};

use super::Client;
use crate::{ClientError, Entry, Error, Said};

impl Client {
    /// Reports somebody to the operator of the own region, who is shown these messages in the clear:
    /// theirs, and the answers to them, at most 20. The operator cannot check them, and the reported
    /// person is not told. The report's id, by which the operator knows it.
    ///
    /// # Errors
    /// [`ClientError::TooLong`] for a comment of more than 2,000 bytes; [`ClientError::Transport`], with
    /// codes such as `bad_request` for messages of somebody else and `too_many`.
    pub async fn report(
        &self,
        user: &AccountId,
        reason: ReportReason,
        comment: Option<&str>,
        messages: &[Entry],
    ) -> Result<String, ClientError> {
        let comment = match comment {
            Some(text) => Some(Opaque::new(text.to_owned()).ok_or(ClientError::TooLong)?),
            None => None,
        };
        let messages = messages.iter().map(evidence).collect::<Result<_, _>>()?;
        let request = &FileReport { user: user.to_string(), reason, comment, messages };
        let file = |api: crate::Api, token| async move { api.report(&token, request).await };
        Ok(self.access.call(file).await?.report_id)
    }
}

/// What the operator is shown of a message.
fn evidence(entry: &Entry) -> Result<Evidence, Error> {
    let reply_to = match &entry.said {
        Said::Reply { to, .. } => Some(to),
        _ => None,
    };
    let shown = json!({
        "text": entry.said.text(), "reply_to": reply_to, "group": entry.group,
        "sent_at": entry.sent_at, "edited": entry.edited,
    });
    let content = RawValue::from_string(shown.to_string());
    let content = content.map_err(|err| Error::Unexpected(err.to_string()))?;
    Ok(Evidence { id: entry.id, from: entry.from.clone(), content, stamp: entry.stamp })
}
