//! Watches the certificate's files while the server runs.

use std::{sync::Arc, time::Duration};

use posthouse_protocol::time::Clock;
use tokio::{signal::unix::Signal, task::spawn_blocking, time::interval};
use tokio_util::sync::CancellationToken;

use crate::tls::{CurrentCertificate, Reload, WARN_BEFORE};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_mins(1);
/// How many looks lie between two warnings: about a day.
const LOOKS_BETWEEN_WARNINGS: u32 = 24 * 60;

/// Reads the certificate again on a hang-up, and when its files have changed; tells `replaced`.
pub(super) async fn watch(
    certificate: Arc<CurrentCertificate>,
    clock: Arc<dyn Clock>,
    mut hang_ups: Signal,
    stop: CancellationToken,
    replaced: impl Fn(&CurrentCertificate) + Send,
) {
    let mut looks = interval(LOOK);
    let mut until_warning = 0;
    loop {
        let asked = tokio::select! {
            () = stop.cancelled() => return,
            _ = hang_ups.recv() => true,
            _ = looks.tick() => false,
        };
        let (reading, now) = (Arc::clone(&certificate), clock.now());
        match spawn_blocking(move || reading.reload(asked, now)).await {
            Ok(Ok(Reload::Unchanged)) => {}
            Ok(Ok(Reload::Replaced)) => {
                until_warning = 0;
                replaced(&certificate);
                tracing::info!("the certificate was read again and is in use");
            }
            Ok(Err(failure)) => tracing::error!(
                reason = failure.fact(),
                advice = failure.advice(),
                "the new certificate does not do; the old one stays in use"
            ),
            Err(err) => tracing::error!(error = %err, "reading the certificate failed"),
        }
        let left = certificate.expires().0.saturating_sub(now.0);
        if u128::from(left) < WARN_BEFORE.as_millis() && until_warning == 0 {
            let days = left / (24 * 3_600_000);
            tracing::warn!(days, "the certificate expires soon: renew it");
            until_warning = LOOKS_BETWEEN_WARNINGS;
        }
        until_warning = until_warning.saturating_sub(1);
    }
}
