//! Delivery to other servers: one worker per destination, started and ended by the supervisor.

mod hints;
mod seeking;
mod supervisor;
mod worker;

pub use hints::{Hints, Told};
pub use supervisor::{Randomness, Supervisor, SupervisorConfig, SupervisorParts};
pub use worker::{Ended, Worker, WorkerError, WorkerParts};

#[cfg(test)]
mod testing;
