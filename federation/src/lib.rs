//! The edge between two Posthouse homeservers: discovery, mutual TLS, inbound, outbox.
