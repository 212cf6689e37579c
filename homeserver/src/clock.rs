//! The system's clock and the system's randomness: the only place where they are read.

use std::time::{SystemTime, UNIX_EPOCH};

use posthouse_protocol::time::{Clock, Timestamp};

use crate::failure::{Exit, Failure};

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else is given"
    )]
    fn now(&self) -> Timestamp {
        // A clock before 1970 reads as 1970: certificates and tokens then fail with a clear reason.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Random bytes of the system, to seed generators and keys.
///
/// # Errors
/// The system has none, which is not expected anywhere.
pub fn system_random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|err| {
        Failure::new(
            Exit::Other,
            format!("The system gave no random numbers: {err}."),
            "Check that the process may read /dev/urandom or use the getrandom system call.",
        )
    })?;
    Ok(bytes)
}
