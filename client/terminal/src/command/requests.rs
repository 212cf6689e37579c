//! `requests`: strangers who have written, and whether they are heard.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::{failure::Failure, output::Output, session::Session};

/// How long what goes with a decision is waited for; else it goes with the next command.
const SOON: Duration = Duration::from_secs(5);

pub(super) async fn run(
    mut session: Session,
    accept: Option<String>,
    decline: Option<String>,
    output: Output,
) -> Result<(), Failure> {
    if let Some(name) = accept {
        let user = session.find(&name).await?;
        session.client.accept_request(&user).await?;
        // The key of the own profile goes to them.
        session.flush(Instant::now() + SOON).await?;
        let object = json!({ "event": "accepted", "user": user });
        output.print(&object, format!("You hear {}.", session.names.of(&user)));
    } else if let Some(name) = decline {
        let user = session.find(&name).await?;
        session.client.decline_request(&user).await?;
        let object = json!({ "event": "declined", "user": user });
        output.print(&object, format!("You do not hear {}.", session.names.of(&user)));
    } else {
        let all = session.client.requests().await?;
        if all.is_empty() {
            output.remark("Nobody asks to be heard.");
        }
        for request in all {
            session.learn_all(&request.account_id).await?;
            let said = session.names.said(&request.account_id);
            let name = session.names.of(&request.account_id);
            let object = json!({
                "event": "request", "user": request.account_id, "name": name,
                "profile": said, "since": request.requested_at,
            });
            // In full, so that it can be given to --accept.
            let shown = said.map_or_else(|| name.clone(), |said| format!("{said} ({name})"));
            if !output.print(&object, shown) {
                break;
            }
        }
    }
    session.close().await;
    Ok(())
}
