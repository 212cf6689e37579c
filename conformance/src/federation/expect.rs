//! What the specification lets a server answer, as values: the expectations of the checks are
//! tables of these.

use super::{
    caller::{Answer, Cut},
    formats::{Refusal, envelope::Envelope},
    peer::Peer,
    refusals::Code,
    stage::{Posted, Stage, shown},
};
use crate::verdict::{Verdict, differs, must_be};

/// What has to come of posting.
#[derive(Debug, Clone, Copy)]
pub enum Expect {
    /// One of these refusals: where the order of the tests is free, more than one is right.
    Refused(&'static [Code]),
    /// A refusal with any code of the specification.
    AnyRefusal,
    /// No answer: the connection is refused or ended.
    Cut,
    /// One of these refusals, or the connection is ended.
    RefusedOrCut(&'static [Code]),
    /// A signed receipt with this outcome.
    Outcome(u64),
    /// A signed receipt that says `accepted` and rejects its only event for this reason.
    Rejected(u64),
    /// The same, for any reason.
    RejectedSomehow,
}

impl Expect {
    /// Whether it came so.
    ///
    /// # Errors
    /// [`crate::verdict::Failure::Differs`] if not.
    pub fn holds(
        self,
        stage: &Stage,
        peer: &Peer,
        envelope: Option<&Envelope>,
        posted: Posted,
    ) -> Verdict {
        match (self, posted) {
            (Self::Refused(codes) | Self::RefusedOrCut(codes), Ok(answer)) => {
                is_refusal(&answer, Some(codes))
            }
            (Self::AnyRefusal, Ok(answer)) => is_refusal(&answer, None),
            (Self::Cut | Self::RefusedOrCut(_), Err(Cut::Tls(_) | Cut::Ended(_))) => Ok(()),
            (Self::Cut, Ok(answer)) => {
                differs(format!("it is answered {}, and should be cut off", shown(&answer)))
            }
            (Self::Outcome(outcome), posted) => {
                let Some(envelope) = envelope else { return differs("no envelope was sent") };
                let receipt = stage.receipt(peer, envelope, posted)?;
                must_be("the outcome", &receipt.outcome, &outcome)
            }
            (Self::Rejected(_) | Self::RejectedSomehow, posted) => {
                let Some(envelope) = envelope else { return differs("no envelope was sent") };
                let receipt = stage.receipt(peer, envelope, posted)?;
                must_be("the outcome", &receipt.outcome, &0)?;
                let reasons: Vec<_> = receipt.rejections.iter().map(|one| one.reason).collect();
                match self {
                    Self::Rejected(reason) => must_be("the reasons", &reasons, &vec![reason]),
                    _ => must_be("the number of rejections", &reasons.len(), &1),
                }
            }
            (_, Err(cut)) => differs(cut.to_string()),
        }
    }
}

/// The answer must be a refusal in the right form, with one of these codes if any are named.
///
/// # Errors
/// [`crate::verdict::Failure::Differs`] if not.
pub fn is_refusal(answer: &Answer, codes: Option<&[Code]>) -> Verdict {
    let Ok(refusal) = Refusal::read(&answer.body) else {
        return differs(format!("it is answered {}, which is no refusal", shown(answer)));
    };
    must_be("the media type", &answer.media_type.as_str(), &"application/cbor")?;
    let known = super::refusals::ALL;
    let right = |code: &&Code| code.code == refusal.code && code.status == answer.status;
    if !known.iter().any(|code| right(&code)) {
        return differs(format!("the refusal {} is not of the specification", shown(answer)));
    }
    match codes {
        Some(codes) if !codes.iter().any(|code| right(&code)) => {
            let wanted: Vec<_> = codes.iter().map(|code| code.code).collect();
            differs(format!("it is answered {}, not {}", shown(answer), wanted.join(" or ")))
        }
        _ => Ok(()),
    }
}
