//! Whom people know, whom they do not hear, who asks to write to them, and what they show of
//! themselves.

mod profiles;
mod relations;
mod reports;
mod service;

pub use profiles::{LocalProfiles, RemoteProfiles};
pub use relations::{Judgement, Relations};
pub use service::{PeopleService, PeopleStores};
