//! Time in a browser. Timers of a page in the background may be late by a minute.

use std::time::Duration;

use gloo_timers::future::TimeoutFuture;
use posthouse_protocol::time::Timestamp;
pub(crate) use web_time::Instant;

use super::local;

/// A browser's timers take no longer delays, in milliseconds.
const LONGEST: u32 = i32::MAX.unsigned_abs();

/// A future that did not end in time.
#[derive(Debug)]
pub(crate) struct Elapsed;

/// The browser's time.
pub(crate) fn now() -> Timestamp {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole milliseconds since 1970, far below 2^53"
    )]
    Timestamp(js_sys::Date::now() as u64)
}

/// Ends after so long.
pub(crate) async fn sleep(duration: Duration) {
    match Instant::now().checked_add(duration) {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Ends at this instant.
pub(crate) async fn sleep_until(at: Instant) {
    loop {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        // Up to the next millisecond: a timer that fires too early is set again.
        let millis = left.as_micros().div_ceil(1_000);
        let millis = u32::try_from(millis).unwrap_or(LONGEST).min(LONGEST);
        local(async move { TimeoutFuture::new(millis).await }).await;
    }
}

/// What the future gives, if it does so within this time.
pub(crate) async fn timeout<T>(
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    tokio::select! {
        biased;
        value = work => Ok(value),
        () = sleep(limit) => Err(Elapsed),
    }
}

/// What the future gives, if it does so until this instant.
pub(crate) async fn timeout_at<T>(
    at: Instant,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    tokio::select! {
        biased;
        value = work => Ok(value),
        () = sleep_until(at) => Err(Elapsed),
    }
}
