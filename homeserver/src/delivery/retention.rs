//! Trimming, in the background and in small pieces.

use std::{sync::Arc, time::Duration};

use posthouse_protocol::{limits, time::Clock};
use posthouse_storage::{message_store::MessageStore, retention::Cutoffs, sessions::Sessions};
use tokio_util::sync::CancellationToken;

/// How often trimming starts, if nothing is left over.
const INTERVAL: Duration = Duration::from_mins(10);

/// The pause between two pieces, so that messages go first.
const PAUSE: Duration = Duration::from_millis(200);

/// Entries of one piece.
const PIECE: u32 = 500;

/// Forgets ended sessions until `shutdown`.
pub async fn run_sessions(
    store: Arc<dyn Sessions>,
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
