//! The decisions of the federation, without I/O (docs/spec/federation-streams.md): state machines
//! that take events and the time, and give actions.
//!
//! A thin shell runs them on sockets and a database; the simulator runs the same code on a virtual
//! clock and network. None of them reads a clock, draws from a system's rng or blocks.

pub mod backoff;

pub mod outbound;

pub mod sender;

pub mod receiver;

pub mod ephemeral;
