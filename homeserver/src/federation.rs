//! How this region meets others: the ports of `posthouse_federation`, and what delivery needs of
//! other regions.
//!
//! ```text
//!            delivery ──wake, resolve──▶ gateway ──▶ supervisor, peer client   (federation)
//!            delivery ◀──arrivals────── receive ◀── inbound                    (federation)
//!   connected devices ◀──statuses────── observer ◀── workers                   (federation)
//! ```

mod advice;
mod ephemerals;
mod gateway;
mod handles;
mod judge;
mod keys;
mod observer;
mod receive;

pub use advice::{Advice, AdviceParts};
pub use ephemerals::Ephemerals;
pub use gateway::{Gateway, GatewayParts};
pub use handles::LocalHandles;
pub use keys::LocalKeys;
pub use observer::{Observer, ObserverCounters, Unreachable};
pub use receive::{Reception, ReceptionParts};
