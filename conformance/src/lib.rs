//! Black-box conformance suite for Posthouse servers.
//!
//! It judges a server by the specification (`docs/spec/`) alone: it links no package of the server,
//! has its own HTTP and WebSocket client and its own implementation of identifiers and stamps, and
//! talks to the server like any stranger. Every check names the section that it checks.

pub mod identifiers;

pub mod stamps;

pub mod verdict;

pub mod http;

pub mod socket;

pub mod server;

pub mod person;

pub mod check;

pub mod client_api;

pub mod federation;

pub mod report;
