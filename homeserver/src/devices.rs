//! Devices, and the keys that other people's devices encrypt for.
//!
//! The server holds public keys only and signs nothing for anybody. It refuses what a client of
//! somebody else would refuse, so that a mistake shows at the device that made it.

mod abroad;
mod book;
mod check;
mod foreign;
mod limits;
mod links;
mod notices;
mod service;
mod silent;

pub use abroad::{Addressable, ForeignKeys, ForeignParts};
pub use book::{BundleRequest, KeyBook};
pub use limits::KeyLimits;
pub use links::LinkService;
pub use notices::Notices;
pub use service::KeysService;
pub use silent::SilentDevices;
