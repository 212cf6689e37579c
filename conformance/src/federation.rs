//! The federation, judged by a peer that was written from the specification alone.

pub mod caller;
pub mod cbor;
pub mod checks;
pub mod expect;
pub mod formats;
pub mod keys;
pub mod lanes;
pub mod peer;
pub mod receiving;
pub mod refusals;
pub mod run;
pub mod seal;
pub mod site;
pub mod stage;
pub mod tls;
