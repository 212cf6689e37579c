//! Trimming, in the background and in small pieces.

use std::{sync::Arc, time::Duration};

use posthouse_protocol::{limits, time::Clock};
use posthouse_storage::{
    groups::Groups, invites::Invites, message_store::MessageStore, retention::Cutoffs,
    sessions::Sessions,
};
use tokio_util::sync::CancellationToken;

use crate::people::PeopleStores;

/// How often trimming starts, if nothing is left over.
const INTERVAL: Duration = Duration::from_mins(10);

/// The pause between two pieces, so that messages go first.
const PAUSE: Duration = Duration::from_millis(200);

/// Entries of one piece.
const PIECE: u32 = 500;

/// How long an invitation that has expired is shown to the operator, in milliseconds (30 days).
const EXPIRED_INVITES_MS: u64 = 30 * 24 * 3_600_000;

/// How long a report that the operator is done with is kept, in milliseconds (90 days).
const RESOLVED_REPORTS_MS: u64 = 90 * 24 * 3_600_000;

/// What holds things that are to be forgotten.
pub(crate) type Kept = (Arc<dyn Sessions>, Arc<dyn Invites>, PeopleStores, Arc<dyn Groups>);

/// Forgets ended sessions, tokens that were used long ago, expired invitations, declined requests,
/// resolved reports, and what is over in groups until `shutdown`.
pub async fn run_sessions(
    (store, invites, people, groups): Kept,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        // Until the last access token of a session has expired, its end must be known.
        let before = clock.now().minus_millis(limits::ACCESS_TOKEN_SECONDS * 1000);
        if let Err(err) = store.forget_sessions(before, PIECE).await {
            tracing::warn!(error = %err, "ended sessions could not be forgotten");
        }
        let before = clock.now().minus_millis(limits::USED_TOKEN_MS);
        if let Err(err) = store.forget_used_tokens(before, PIECE).await {
            tracing::warn!(error = %err, "used tokens could not be forgotten");
        }
        let before = clock.now().minus_millis(EXPIRED_INVITES_MS);
        if let Err(err) = invites.forget_invites(before, PIECE).await {
            tracing::warn!(error = %err, "expired invitations could not be forgotten");
        }
        let before = clock.now().minus_millis(limits::DECLINED_MS);
        if let Err(err) = people.people.forget_declined(before, PIECE).await {
            tracing::warn!(error = %err, "declined requests could not be forgotten");
        }
        let before = clock.now().minus_millis(RESOLVED_REPORTS_MS);
        if let Err(err) = people.reports.forget_reports(before, PIECE).await {
            tracing::warn!(error = %err, "resolved reports could not be forgotten");
        }
        let now = clock.now();
        let before = (
            now,
            now.minus_millis(limits::JOIN_REQUEST_MS),
            now.minus_millis(limits::LEFT_GROUP_MS),
        );
        if let Err(err) = groups.forget_in_groups(before, PIECE).await {
            tracing::warn!(error = %err, "what is over in groups could not be forgotten");
        }
    }
}

/// Trims until `shutdown`.
pub async fn run(store: MessageStore, clock: Arc<dyn Clock>, shutdown: CancellationToken) {
    let mut wait = PAUSE;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = match store.trim(&Cutoffs::at(clock.now()), PIECE).await {
            Ok(trimmed) if trimmed.more => PAUSE,
            Ok(_) => INTERVAL,
            Err(err) => {
                tracing::warn!(error = %err, "trimming failed; it goes on later");
                INTERVAL
            }
        };
    }
}
