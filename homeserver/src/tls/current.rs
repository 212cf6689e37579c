//! The certificate in use, and its replacement while the server runs. A replacement that does not
//! pass the checks of [`super::load`] changes nothing.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use posthouse_protocol::{id::ServerName, time::Timestamp};
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::check::{Certificate, load};
use crate::{config::TlsFiles, failure::Failure};

/// What a look at the files came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Reload {
    /// The files have not changed.
    Unchanged,
    /// The new certificate is in use.
    Replaced,
}

/// The certificate in use.
#[derive(Debug)]
pub struct CurrentCertificate {
    files: TlsFiles,
    domain: ServerName,
    state: Mutex<State>,
    key: RwLock<Arc<CertifiedKey>>,
}

#[derive(Debug)]
struct State {
    seen: Marks,
    expires: Timestamp,
}

/// What tells that a file has changed: inode, size, time of change in seconds and nanoseconds.
type Mark = Option<(u64, u64, i64, i64)>;
type Marks = [Mark; 2];

impl CurrentCertificate {
    /// Reads the certificate for the first time.
    ///
    /// # Errors
    /// As [`super::load`].
    pub fn open(files: TlsFiles, domain: ServerName, now: Timestamp) -> Result<Self, Failure> {
        let seen = marks(&files);
        let Certificate { key, expires } = load(&files, &domain, now)?;
        let state = Mutex::new(State { seen, expires });
        Ok(Self { files, domain, state, key: RwLock::new(key) })
    }

    /// The certificate in use, with its key.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// When the certificate in use expires.
    pub fn expires(&self) -> Timestamp {
        self.state().expires
    }

    /// Reads the files again if they have changed, or in any case if `always`. Blocks on the disk.
    ///
    /// # Errors
    /// The new certificate does not do; the old one stays in use. The same files fail once only,
    /// unless `always`.
    pub fn reload(&self, always: bool, now: Timestamp) -> Result<Reload, Failure> {
        // The marks are taken before the files are read: a change in between is seen next time.
        let found = marks(&self.files);
        let mut state = self.state();
        if found == state.seen && !always {
            return Ok(Reload::Unchanged);
        }
        state.seen = found;
        let Certificate { key, expires } = load(&self.files, &self.domain, now)?;
        state.expires = expires;
        drop(state);
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(Reload::Replaced)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each field is replaced as a whole, so a poisoned lock still holds good data.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Clients that ask for another name get the certificate too: their own check tells them.
        Some(self.certified())
    }
}

fn marks(files: &TlsFiles) -> Marks {
    [&files.certificate, &files.private_key].map(|path| {
        let found = fs::metadata(path).ok()?;
        Some((found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
    })
}
