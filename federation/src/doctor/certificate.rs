//! What a certificate says, believed or not.

use posthouse_protocol::time::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use super::Notes;

/// Most names that are told.
const MAX_NAMES: usize = 16;
/// From how many days before its end a certificate is warned of.
pub(super) const WARN_DAYS: i64 = 14;
const DAY_MS: i64 = 24 * 3_600_000;

/// Days until `end`; negative once it is over.
pub(super) fn days_until(end: Timestamp, now: Timestamp) -> i64 {
    let signed = |at: Timestamp| i64::try_from(at.0).unwrap_or(i64::MAX);
    signed(end).saturating_sub(signed(now)).div_euclid(DAY_MS)
}

/// Notes the certificate's facts; gives the days until it expires, if it can be read.
pub(super) fn note(notes: &mut Notes, leaf: &CertificateDer<'_>, now: Timestamp) -> Option<i64> {
    let Ok((_, parsed)) = parse_x509_certificate(leaf) else {
        notes.fact("certificate", "it cannot be read");
        return None;
    };
    let names: Vec<String> = match parsed.subject_alternative_name() {
        Ok(Some(found)) => {
            let dns = found.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            });
            dns.take(MAX_NAMES).collect()
        }
        _ => Vec::new(),
    };
    notes.fact("certificate_names", names.join(", "));
    notes.fact("certificate_issuer", parsed.issuer());
    let ends = parsed.validity().not_after;
    notes.fact("certificate_expires", ends);
    let ends = u64::try_from(ends.timestamp()).unwrap_or(0).saturating_mul(1_000);
    let days = days_until(Timestamp(ends), now);
    notes.fact("certificate_days_left", days);
    Some(days)
}
