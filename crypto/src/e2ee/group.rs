//! Group messages: one ciphertext for all, under a key that each sender hands to the members'
//! devices one by one.

pub mod distribution;
pub mod receiving;
pub mod sending;
pub mod waiting;

mod chain;
