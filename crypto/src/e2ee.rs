//! End-to-end encryption of clients: the Signal protocol, wire-compatible with the official
//! library, and what Posthouse puts around it.

pub mod address;
pub mod attachment;
pub mod backup;
pub mod content;
pub mod device;
pub mod group;
pub mod identity;
pub mod padding;
pub mod prekey;
pub mod primitives;
pub mod profile;
pub mod resend;
pub mod safety_number;
pub mod secret;
pub mod session;
pub mod signed;
pub mod spqr;
pub mod time;
pub mod user_profile;
pub mod wire;

pub(crate) mod cbor;

#[cfg(test)]
mod testing;
