//! The edge as a device sees it: the real server on loopback sockets, with the homeserver behind
//! its ports replaced by one in memory.

mod socket;
mod support;
