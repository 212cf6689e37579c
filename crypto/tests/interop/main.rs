//! Our end-to-end encryption with the official library as the other party, in both roles.
//! `crypto/interop/run` installs it and runs this.
#![cfg(test)]

mod groups;
mod oracle;
mod party;
mod refusals;
mod sessions;
