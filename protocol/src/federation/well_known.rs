//! `https://<domain>/.well-known/posthouse`: where a domain's servers are
//! (docs/spec/federation-discovery.md).

use serde::{Deserialize, Serialize};

use super::limits;

/// The well-known document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WellKnown {
    /// `host:port` of the federation listener; a host alone means port 7443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federation: Option<String>,
    /// The base address of the client API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// Why a well-known document is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WellKnownError {
    /// It is not JSON of the expected form.
    #[error("the well-known document is not the expected JSON")]
    BadJson,
    /// It names no federation host, or one that is no host and port.
    #[error("the well-known document names no usable federation host")]
    NoHost,
    /// It is larger than the limit.
    #[error("the well-known document is too large")]
    TooLarge,
}

impl WellKnown {
    /// Parses a document.
    ///
    /// # Errors
    /// [`WellKnownError::TooLarge`] or [`WellKnownError::BadJson`].
    pub fn parse(json: &[u8]) -> Result<Self, WellKnownError> {
        if json.len() > limits::MAX_WELL_KNOWN {
            return Err(WellKnownError::TooLarge);
        }
        serde_json::from_slice(json).map_err(|_| WellKnownError::BadJson)
    }

    /// The federation listener's host and port.
    ///
    /// # Errors
    /// [`WellKnownError::NoHost`].
    pub fn federation(&self) -> Result<(String, u16), WellKnownError> {
        let text = self.federation.as_deref().ok_or(WellKnownError::NoHost)?;
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| WellKnownError::NoHost)?),
            None => (text, DEFAULT_PORT),
        };
        let allowed =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        if host.is_empty() || host.len() > 253 || port == 0 || !host.bytes().all(allowed) {
            return Err(WellKnownError::NoHost);
        }
        Ok((host.to_owned(), port))
    }
}

/// The port of a federation listener that nothing else names.
pub const DEFAULT_PORT: u16 = 7443;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_host_and_port() {
        let host = |text: &str| {
            let json = format!("{{\"federation\":\"{text}\",\"more\":1}}");
            WellKnown::parse(json.as_bytes()).unwrap().federation()
        };
        assert_eq!(host("fed.eu.example:8448"), Ok(("fed.eu.example".to_owned(), 8448)));
        assert_eq!(host("fed.eu.example"), Ok(("fed.eu.example".to_owned(), 7443)));
        for bad in ["", ":1", "a:0", "a:x", "a:70000", "a/b", "a@b:1", "[::1]:7443"] {
            assert_eq!(host(bad), Err(WellKnownError::NoHost), "{bad}");
        }
    }

    #[test]
    fn refuses_other_documents() {
        assert_eq!(WellKnown::parse(b"{\"federation\":7}"), Err(WellKnownError::BadJson));
        let large = [b' '; limits::MAX_WELL_KNOWN + 1];
        assert_eq!(WellKnown::parse(&large), Err(WellKnownError::TooLarge));
        let empty = WellKnown::parse(b"{}").unwrap();
        assert_eq!(empty.federation(), Err(WellKnownError::NoHost));
    }
}
