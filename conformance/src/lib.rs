//! Black-box conformance suite for Posthouse servers; links no server crate.
