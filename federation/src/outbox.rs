//! Delivery to other servers: one worker per destination.

mod worker;

pub use worker::{Worker, WorkerError, WorkerParts};
