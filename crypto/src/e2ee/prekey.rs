//! Prekeys: what a device publishes so that others can write to it while it is away.

pub mod bundle;
pub mod store;
