//! Reading a request's body: bounded in bytes, in time, and in what all bodies hold together.

use std::{sync::Arc, time::Duration};

use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};
use posthouse_protocol::federation::refusal::{Refusal, RefusalCode};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// How long a body may take before its rate counts.
const GRACE: Duration = Duration::from_secs(5);
/// The least rate at which a body must come after the grace, in bytes a second.
const LEAST_RATE: u32 = 16 * 1024;

/// A body with its share of what all bodies may hold.
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    share: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Takes what more the bytes hold from `all`.
    fn grow(&mut self, all: &Arc<Semaphore>) -> Result<(), Refusal> {
        let held = self.share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(self.bytes.capacity().saturating_sub(held)).unwrap_or(u32::MAX);
        if more == 0 {
            return Ok(());
        }
        let more = Arc::clone(all).try_acquire_many_owned(more).map_err(|_| {
            let mut refusal =
                Refusal::new(RefusalCode::Overloaded, "too many bodies are on their way");
            refusal.retry_after = Some(1);
            refusal
        })?;
        match &mut self.share {
            Some(share) => share.merge(more),
            None => self.share = Some(more),
        }
        Ok(())
    }
}

/// Reads a body of at most `most` bytes; memory is held only for what has come.
///
/// # Errors
/// `TooLarge`, before anything is read if the length is declared; `Overloaded` if all bodies
/// together hold too much, or this one comes too slowly; `Malformed` if it breaks off.
pub(super) async fn read(
    mut body: Incoming,
    most: usize,
    all: &Arc<Semaphore>,
) -> Result<Held, Refusal> {
    let too_large = || Refusal::new(RefusalCode::TooLarge, format!("at most {most} bytes"));
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let started = Instant::now();
    let mut held = Held { bytes: Vec::new(), share: None };
    loop {
        let earned = u32::try_from(held.bytes.len()).unwrap_or(u32::MAX) / LEAST_RATE;
        let deadline = started + GRACE + Duration::from_secs(earned.into());
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| too_slow())?;
        let Some(frame) = frame else { return Ok(held) };
        let frame = frame.map_err(|err| Refusal::new(RefusalCode::Malformed, err.to_string()))?;
        let Some(data) = frame.data_ref() else { continue };
        if held.bytes.len().saturating_add(data.len()) > most {
            return Err(too_large());
        }
        held.bytes.reserve(data.len());
        held.grow(all)?;
        held.bytes.extend_from_slice(data);
    }
}

/// Not the peer's fault for certain: it may come again.
pub(super) fn too_slow() -> Refusal {
    Refusal::new(RefusalCode::Overloaded, "the request took too long")
}
