//! Why a call to the homeserver did not succeed.

use std::{io, time::Duration};

use posthouse_protocol::problem::Problem;

use crate::{Closed, Endpoint};

/// A failed call. [`Error::is_transient`] tells whether the same call may succeed later.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection has ended.
    #[error("the connection ended: {0}")]
    Closed(Closed),
    /// The server refused the call and says why.
    #[error("refused: {} ({})", .0.detail, .0.code)]
    Refused(Box<Problem>),
    /// No answer came in time. Whether the server acted is unknown.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The certificates to trust cannot be used.
    #[error("the trusted certificates cannot be used: {0}")]
    Trust(String),
    /// The server answered something that the client API does not know.
    #[error("an unexpected answer: {0}")]
    Unexpected(String),
    /// The server cannot be reached, or the connection broke. Whether it acted is unknown.
    #[error("{endpoint} cannot be reached: {source}")]
    Unreachable {
        /// Which server.
        endpoint: Endpoint,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later without a change: the server was away, slow or
    /// overloaded. A repeated submission under the same message id is harmless.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Closed(closed) => closed.may_reconnect(),
            Self::Refused(problem) => problem.status == 429 || problem.status >= 500,
            Self::TimedOut(_) | Self::Unreachable { .. } => true,
            Self::Trust(_) | Self::Unexpected(_) => false,
        }
    }

    /// The stable code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(problem) => Some(&problem.code),
            _ => None,
        }
    }
}
