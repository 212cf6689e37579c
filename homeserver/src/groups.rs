//! Groups: who may change what, in which order, and who is told.
//!
//! A chain of epochs, each signed by whoever made the change, is all there is to a group's
//! membership (docs/spec/groups.md). This region checks an epoch as every client will, adds what
//! clients cannot see (consent, blocks, limits), and appends it: of two that race, the store takes
//! one.

mod abroad;
mod book;
mod change;
mod consent;
mod deputy;
mod limits;
mod links;
mod service;
mod worker;

pub use abroad::LocalGroups;
pub(crate) use book::no_such_group;
pub use book::{Audience, Derived, GroupBook, Known, LocalPerson};
pub(crate) use change::stale_epoch;
pub use consent::Consent;
pub(crate) use deputy::take_over;
pub use limits::GroupLimits;
pub use service::GroupsService;
