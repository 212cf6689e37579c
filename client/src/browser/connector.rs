//! Which homeserver the browser is to speak with.

use core::fmt;
use std::io;

use crate::{Endpoint, Error, Trust};

/// Makes connections to one homeserver, by the browser's fetch and WebSocket. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    endpoint: Endpoint,
}

impl Connector {
    /// A connector to `endpoint`. Whose certificates are believed is the browser's business.
    ///
    /// # Errors
    /// [`Error::Trust`] for anything but [`Trust::System`] to an `https://` endpoint.
    pub fn new(endpoint: Endpoint, trust: Trust<'_>) -> Result<Self, Error> {
        match trust {
            Trust::Pem(_) if endpoint.is_tls() => {
                Err(Error::Trust("a browser has its own authorities".into()))
            }
            _ => Ok(Self { endpoint }),
        }
    }

    /// Where it connects to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The error that tells that the connection could not be made, or broke.
    pub(crate) fn unreachable(&self, source: io::Error) -> Error {
        Error::Unreachable { endpoint: self.endpoint.clone(), source }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
