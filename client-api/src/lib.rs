//! The edge between a user's device and a Posthouse homeserver: REST and WebSocket.
