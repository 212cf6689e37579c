//! Envelopes from peers, stage by stage. Each stage is a type that only the stage before can make,
//! so that a check that was skipped does not compile:
//!
//! ```text
//! Envelope ── authenticate ──▶ AuthenticatedEnvelope ── verify ──▶ VerifiedEnvelope ── open ──▶ OpenedEnvelope
//!   form         certificate = origin      destination, version, signature      seal, records
//! ```

mod authenticate;
mod keys;
mod open;
mod receive;
mod shared;
mod verify;

pub use authenticate::AuthenticatedEnvelope;
pub(crate) use keys::without_keys;
pub use open::{OpenedBody, OpenedEnvelope, SealingKeys};
pub use receive::{Inbound, Own, Parts};
pub use verify::VerifiedEnvelope;

#[cfg(test)]
mod tests;
