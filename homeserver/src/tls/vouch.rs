//! Whether what a private authority has issued will be believed: looked at as a client will, before
//! it is put in its place.

use std::{sync::Arc, time::Duration};

use posthouse_protocol::{id::ServerName, time::Timestamp};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
};
use x509_parser::{
    extensions::{GeneralName, GeneralSubtree},
    prelude::X509Certificate,
};

use super::provider;
use crate::failure::{Exit, Failure};

/// Checks that whoever trusts `authority` believes `issued` to be `domain`; both as PEM.
///
/// # Errors
/// The authority is over, may not vouch for the name, has another key than the one that signed, or
/// is no authority.
pub(super) fn check(
    authority: &str,
    issued: &str,
    domain: &ServerName,
    now: Timestamp,
) -> Result<(), Failure> {
    let der = CertificateDer::from_pem_slice(authority.as_bytes())
        .map_err(|err| unusable(&err.to_string()))?;
    let (_, parsed) =
        x509_parser::parse_x509_certificate(&der).map_err(|err| unusable(&err.to_string()))?;
    let over = parsed.validity().not_after;
    if over.timestamp() < i64::try_from(now.0 / 1000).unwrap_or(i64::MAX) {
        return Err(failure(
            format!(
                "The private authority expired on {over}: nobody would believe what it issues."
            ),
            "Make a new one with `posthouse certificate authority`, and give its ca.pem to everybody \
             who is to believe it.",
        ));
    }
    let Err(err) = believed(&der, issued, domain, now) else { return Ok(()) };
    match permitted(&parsed) {
        Some(names) if !names.iter().any(|name| covers(name, domain)) => Err(failure(
            format!(
                "The private authority may vouch for {} only, not for {domain}: nobody would believe \
                 the certificate.",
                shown(&names)
            ),
            format!(
                "Use an authority that may, or make one with `posthouse certificate authority \
                 --dir DIR --for {domain}`; several --for make one for several regions."
            ),
        )),
        _ => Err(unusable(&err)),
    }
}

/// As a client verifies it.
fn believed(
    authority: &CertificateDer<'_>,
    issued: &str,
    domain: &ServerName,
    now: Timestamp,
) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(|err| err.to_string())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|err| err.to_string())?;
    let leaf = CertificateDer::from_pem_slice(issued.as_bytes()).map_err(|err| err.to_string())?;
    let name = rustls::pki_types::ServerName::try_from(domain.as_str().to_owned())
        .map_err(|err| err.to_string())?;
    let now = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
    verifier.verify_server_cert(&leaf, &[], &name, &[], now).map_err(|err| err.to_string())?;
    Ok(())
}

/// The DNS names that an authority is limited to; `None` if it is limited to none.
fn permitted<'a>(authority: &'a X509Certificate<'a>) -> Option<Vec<&'a str>> {
    let constraints = authority.name_constraints().ok().flatten()?;
    let subtrees = constraints.value.permitted_subtrees.as_ref()?;
    let name = |tree: &GeneralSubtree<'a>| match tree.base {
        GeneralName::DNSName(name) => Some(name),
        _ => None,
    };
    Some(subtrees.iter().filter_map(name).collect())
}

/// Whether a name is that of a subtree, or below it (RFC 5280 §4.2.1.10).
fn covers(tree: &str, domain: &ServerName) -> bool {
    let above = domain.as_str().strip_suffix(tree);
    above.is_some_and(|rest| rest.is_empty() || tree.starts_with('.') || rest.ends_with('.'))
}

/// At most ten names, for people.
fn shown(names: &[&str]) -> String {
    match names {
        [] => "no DNS name".into(),
        many => many.iter().take(10).copied().collect::<Vec<_>>().join(", "),
    }
}

fn unusable(fact: &str) -> Failure {
    failure(
        format!("What the private authority issues would not be believed: {fact}."),
        "Its ca.pem and ca.key must be those that were made together: restore them from a copy.",
    )
}

fn failure(fact: String, advice: impl Into<String>) -> Failure {
    Failure::new(Exit::Keys, fact, advice)
}
