//! The examples of the specification, checked against the code.
