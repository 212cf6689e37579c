//! The way of a message, in the order of its steps (ARCHITECTURE.md): accept → route → commit →
//! local, and back: window → progress.

pub mod accept;

pub mod route;

mod commit;

mod local;

mod entry;

mod window;

mod feed;

mod group;

mod lists;

mod progress;

mod receipts;

mod recent;

mod retention;

mod service;

mod supplement;

mod sync;

pub(crate) use commit::queued_frame;
pub use commit::{CommitConfig, CommitCounters, Committer, Told};
pub use group::{AdmittedToGroup, GroupGate};
pub use local::{Attendance, Connections};
pub use progress::Progress;
pub(crate) use progress::announce;
pub use recent::Recent;
pub use retention::{run as run_retention, run_sessions as run_session_retention};
pub use service::MessagingService;
pub use supplement::AdmittedSupplement;
