//! The edge as a device sees it: the real server on loopback sockets, with the homeserver behind
//! its ports replaced by one in memory.

mod bounds;
mod closing;
mod flow;
mod frames;
mod garbage;
mod limits;
mod requests;
mod routes;
mod slow;
mod spec;
mod support;
mod tickets;
mod tls;
