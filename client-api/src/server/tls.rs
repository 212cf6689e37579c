//! The TLS side of a listener, exchangeable while it runs.

use std::sync::{Arc, PoisonError, RwLock};

/// The TLS settings of a listener. New connections take what was put in last, so that a renewed
/// certificate needs no restart.
#[derive(Debug)]
pub struct Tls(RwLock<Arc<rustls::ServerConfig>>);

impl Tls {
    /// Starts with these settings.
    pub fn new(config: Arc<rustls::ServerConfig>) -> Self {
        Self(RwLock::new(config))
    }

    /// Takes other settings for the connections to come.
    pub fn replace(&self, config: Arc<rustls::ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(crate) fn current(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
