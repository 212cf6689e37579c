//! Why a socket ends, and with which close code.

use crate::{counters::Counters, mailbox::Close};

/// Why a socket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The homeserver, or the edge itself, orders it.
    Ordered(Close),
    /// The device closed, with this code if it gave one.
    ByPeer(Option<u16>),
    /// What came is no WebSocket traffic. 1002.
    Protocol(&'static str),
    /// A text was no UTF-8. 1007.
    NotUtf8,
    /// A frame was larger than anything worth skipping. 1009.
    TooBig,
    /// The device ignores its limits. 1008.
    Policy(&'static str),
    /// The inbox cannot be read. 1011.
    Failed,
    /// The device answers no ping, or the connection broke: there is nobody to tell.
    Gone(Gone),
}

/// How a connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// It broke, or was cut without a close frame.
    Broken,
    /// Two pings went unanswered.
    Silent,
}

impl End {
    /// The close frame's code and reason; `None` if none is sent, an absent code if it has none.
    pub(super) fn close_frame(self) -> Option<(Option<u16>, &'static str)> {
        Some(match self {
            Self::Ordered(close) => (Some(close.code()), close.reason()),
            // RFC 6455 §5.5.1: the answer usually echoes the code.
            Self::ByPeer(code) => (code, ""),
            Self::Protocol(reason) => (Some(1002), reason),
            Self::NotUtf8 => (Some(1007), "a text is no UTF-8"),
            Self::TooBig => (Some(1009), "a frame is far larger than the limit"),
            Self::Policy(reason) => (Some(1008), reason),
            Self::Failed => (Some(1011), "the inbox cannot be read now, reconnect later"),
            Self::Gone(_) => return None,
        })
    }

    pub(super) fn count(self, counters: &Counters) {
        match self {
            Self::Ordered(Close::TooSlow) => counters.slow_sockets.add(1),
            Self::Gone(Gone::Silent) => counters.dead_sockets.add(1),
            _ => {}
        }
    }
}
