//! What a Posthouse homeserver must keep durable: the ports and their contract suite.
