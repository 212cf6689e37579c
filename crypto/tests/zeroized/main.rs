//! Secrets leave no copy on the heap once they are dropped.
//!
//! The process looks for them in its own memory, through `/proc/self/mem`: in all of it that can
//! be written, but not on the stack of the thread that used them, where moving a value leaves a
//! copy that no destructor can reach. What is looked for stands in memory only masked.
//!
//! Random numbers are remembered as they are drawn. What is derived from them is read out of the
//! stored form of a state, or derived here a second time, on the stack.
#![cfg(test)]
#![cfg(target_os = "linux")]

mod backups;
mod derive;
mod keys;
mod messages;
mod party;
mod search;
mod sessions;
mod stored;
