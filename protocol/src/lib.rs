//! The vocabulary of Posthouse on the wire: ids, frames, problem types, limits.
