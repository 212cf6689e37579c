//! Whom a certificate makes its holder: the rules, apart from the handshake.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, RwLock},
};

use posthouse_protocol::id::ServerName;
use rustls::{
    CertificateError, RootCertStore,
    pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime},
};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::parse_x509_certificate;

/// Most names of a certificate that are looked at.
pub(super) const MAX_NAMES: usize = 64;

/// Whose certificates are believed.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Authorities that may vouch for any name, such as those of the Web.
    pub public: RootCertStore,
    /// Authorities of a federation of its own.
    pub private: Vec<PrivateAuthority>,
    /// For these names only certificates with one of these keys count (SHA-256 of the
    /// SubjectPublicKeyInfo), whoever signed them: also self-signed ones.
    pub pins: BTreeMap<ServerName, Vec<[u8; 32]>>,
}

impl Default for Trust {
    /// Nobody.
    fn default() -> Self {
        Self { public: RootCertStore::empty(), private: Vec::new(), pins: BTreeMap::new() }
    }
}

/// An authority of a federation of its own.
#[derive(Debug, Clone)]
pub struct PrivateAuthority {
    /// Its certificates.
    pub roots: RootCertStore,
    /// The names that it may vouch for; `None` for any.
    pub names: Option<BTreeSet<ServerName>>,
}

/// The names that a certificate proves; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerNames(Vec<ServerName>);

impl PeerNames {
    /// Names without a certificate, for tests of what comes after TLS.
    #[cfg(test)]
    pub(crate) fn proved(names: Vec<ServerName>) -> Self {
        Self(names)
    }

    /// Whether the peer has proved to be `name`.
    pub fn contains(&self, name: &ServerName) -> bool {
        self.0.contains(name)
    }

    /// Those of the names that `keep` wants; `None` if there is none.
    pub(crate) fn only(&self, keep: impl Fn(&ServerName) -> bool) -> Option<Self> {
        let names: Vec<_> = self.0.iter().filter(|name| keep(name)).cloned().collect();
        (!names.is_empty()).then_some(Self(names))
    }

    /// The names.
    pub fn as_slice(&self) -> &[ServerName] {
        &self.0
    }
}

/// Why a certificate proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    BadEncoding,
    /// Its time is over.
    #[error("the certificate has expired")]
    Expired,
    /// The authority that signed it may not vouch for its names.
    #[error("the authority may not vouch for the names of the certificate")]
    NameNotPermitted,
    /// It names no server: only exact DNS names count, wildcards do not.
    #[error("the certificate names no server")]
    NoName,
    /// Its time has not come.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// Another key is pinned for its names.
    #[error("another key is pinned for the names of the certificate")]
    OtherPin,
    /// It does not lead to a trusted authority.
    #[error("the certificate is not signed by a trusted authority")]
    Untrusted,
}

impl From<TrustError> for rustls::Error {
    fn from(err: TrustError) -> Self {
        Self::InvalidCertificate(match err {
            TrustError::BadEncoding => CertificateError::BadEncoding,
            TrustError::Expired => CertificateError::Expired,
            TrustError::NotYetValid => CertificateError::NotValidYet,
            TrustError::NoName | TrustError::NameNotPermitted => CertificateError::NotValidForName,
            TrustError::OtherPin => CertificateError::ApplicationVerificationFailure,
            TrustError::Untrusted => CertificateError::UnknownIssuer,
        })
    }
}

impl Trust {
    /// The names that a certificate proves at `now`.
    ///
    /// # Errors
    /// [`TrustError`] if it proves none.
    pub fn names(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        now: UnixTime,
    ) -> Result<PeerNames, TrustError> {
        let named = names_of(leaf)?;
        check_time(leaf, now)?;
        let (pinned, open): (Vec<_>, Vec<_>) =
            named.into_iter().partition(|name| self.pins.contains_key(name));
        let key = spki_digest(leaf)?;
        let mut problem = TrustError::Untrusted;
        let mut proved = Vec::new();
        for name in pinned {
            if self.pins.get(&name).is_some_and(|pins| pins.contains(&key)) {
                proved.push(name);
            } else {
                problem = TrustError::OtherPin;
            }
        }
        let chains = |roots: &RootCertStore| {
            let chain = Chain { leaf, intermediates, algorithms, now };
            !open.is_empty() && chain.leads_to(&roots.roots)
        };
        if chains(&self.public) {
            proved.extend(open.iter().cloned());
        }
        for authority in self.private.iter().filter(|authority| chains(&authority.roots)) {
            let permitted = |name: &&ServerName| {
                authority.names.as_ref().is_none_or(|names| names.contains(*name))
            };
            let before = proved.len();
            proved.extend(open.iter().filter(permitted).cloned());
            if proved.len() == before && problem == TrustError::Untrusted {
                problem = TrustError::NameNotPermitted;
            }
        }
        proved.sort();
        proved.dedup();
        if proved.is_empty() { Err(problem) } else { Ok(PeerNames(proved)) }
    }
}

/// The rules in force, which can be exchanged while the server runs.
#[derive(Debug, Default)]
pub struct TrustStore(RwLock<Arc<Trust>>);

impl TrustStore {
    /// Starts with `trust`.
    pub fn new(trust: Trust) -> Self {
        Self(RwLock::new(Arc::new(trust)))
    }

    /// Uses `trust` from the next handshake on.
    pub fn replace(&self, trust: Trust) {
        // A poisoned lock holds a whole value: writers only exchange it.
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(trust);
    }

    /// The rules in force.
    pub fn current(&self) -> Arc<Trust> {
        Arc::clone(&self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

struct Chain<'a> {
    leaf: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
    algorithms: &'a [&'a dyn SignatureVerificationAlgorithm],
    now: UnixTime,
}

impl Chain<'_> {
    /// Public authorities issue certificates for servers only, and a homeserver shows its one
    /// certificate in both directions: so the purpose "server" counts for both, as does "client".
    fn leads_to(&self, anchors: &[TrustAnchor<'_>]) -> bool {
        let Ok(leaf) = EndEntityCert::try_from(self.leaf) else { return false };
        let (algorithms, chain) = (self.algorithms, self.intermediates);
        [KeyUsage::server_auth(), KeyUsage::client_auth()].into_iter().any(|usage| {
            let path =
                leaf.verify_for_usage(algorithms, anchors, chain, self.now, usage, None, None);
            path.is_ok()
        })
    }
}

/// The servers that a certificate names, exactly: a wildcard would make its holder every server of
/// a domain.
pub(super) fn names_of(leaf: &CertificateDer<'_>) -> Result<Vec<ServerName>, TrustError> {
    let parsed = EndEntityCert::try_from(leaf).map_err(|_| TrustError::BadEncoding)?;
    let names = parsed.valid_dns_names().take(MAX_NAMES);
    let names: Vec<ServerName> =
        names.filter_map(|name| ServerName::parse(&name.to_ascii_lowercase()).ok()).collect();
    if names.is_empty() { Err(TrustError::NoName) } else { Ok(names) }
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo: what a pin holds.
///
/// # Errors
/// [`TrustError::BadEncoding`].
pub fn spki_digest(leaf: &CertificateDer<'_>) -> Result<[u8; 32], TrustError> {
    let parsed = EndEntityCert::try_from(leaf).map_err(|_| TrustError::BadEncoding)?;
    Ok(Sha256::digest(parsed.subject_public_key_info().as_ref()).into())
}

fn check_time(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), TrustError> {
    let parsed = parse_x509_certificate(leaf).map_err(|_| TrustError::BadEncoding)?.1;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < parsed.validity().not_before.timestamp() {
        Err(TrustError::NotYetValid)
    } else if now > parsed.validity().not_after.timestamp() {
        Err(TrustError::Expired)
    } else {
        Ok(())
    }
}
