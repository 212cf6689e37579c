//! The socket's write side: many frames, one write.
//!
//! Frames wait as shared bytes; a batch is put together in a buffer that all connections of a
//! thread share and handed to the kernel at once. Only what the kernel does not take is kept.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{io::AsyncWrite, time::Instant};

use crate::{counters::Counters, mailbox::Frame, server::Stream};

/// A batch is closed once it has this many bytes.
const BATCH: usize = 64 * 1024;
/// The shared buffer is cut back to this capacity when a large frame has grown it.
const MAX_SCRATCH: usize = 1024 * 1024;
/// Most frames that wait before no more are taken in.
const MAX_WAITING: usize = 256;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Frames on their way out.
#[derive(Default)]
pub(super) struct Writer {
    waiting: VecDeque<Outgoing>,
    /// Bytes that the kernel did not take yet; those before `sent` it did.
    rest: Vec<u8>,
    sent: usize,
    /// Whether the stream has to be flushed.
    unflushed: bool,
    /// Since when nothing could be written.
    stalled: Option<Instant>,
}

enum Outgoing {
    Text(Frame),
    Control(u8, Bytes),
}

impl Writer {
    /// Puts a text frame in.
    pub(super) fn text(&mut self, frame: Frame) {
        self.waiting.push_back(Outgoing::Text(frame));
    }

    /// Puts a ping in.
    pub(super) fn ping(&mut self) {
        self.waiting.push_back(Outgoing::Control(PING, Bytes::new()));
    }

    /// Puts the answer to a ping in.
    pub(super) fn pong(&mut self, payload: Bytes) {
        self.waiting.push_back(Outgoing::Control(PONG, payload));
    }

    /// Puts a close frame in and drops every frame that has not begun to be written.
    pub(super) fn close(&mut self, code: Option<u16>, reason: &str) {
        let mut payload = Vec::new();
        if let Some(code) = code {
            payload.extend_from_slice(&code.to_be_bytes());
            payload.extend_from_slice(reason.as_bytes());
        }
        self.waiting.clear();
        self.waiting.push_back(Outgoing::Control(CLOSE, payload.into()));
    }

    /// Whether there is room for more frames.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING && self.rest.is_empty()
    }

    /// Whether everything was handed to the kernel.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.rest.is_empty() && !self.unflushed
    }

    /// Since when the peer has taken nothing of what waits for it.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        self.stalled
    }

    /// Writes what waits. Ready when everything was handed to the kernel.
    pub(super) fn poll_flush(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        counters: &Counters,
    ) -> Poll<io::Result<()>> {
        let result = self.poll_write_all(stream, cx, counters);
        if result.is_pending() {
            self.stalled.get_or_insert_with(Instant::now);
        } else {
            self.stalled = None;
        }
        result
    }

    fn poll_write_all(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        counters: &Counters,
    ) -> Poll<io::Result<()>> {
        loop {
            while let Some(bytes) = self.rest.get(self.sent..).filter(|b| !b.is_empty()) {
                let written = ready!(Pin::new(&mut *stream).poll_write(cx, bytes))?;
                self.progress(written, counters)?;
            }
            self.rest = Vec::new();
            self.sent = 0;
            if self.waiting.is_empty() {
                break;
            }
            self.write_batch(stream, cx, counters)?;
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes one batch; what the kernel does not take becomes the rest.
    fn write_batch(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        counters: &Counters,
    ) -> io::Result<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            let mut texts = 0;
            while scratch.len() < BATCH {
                match self.waiting.pop_front() {
                    Some(Outgoing::Text(frame)) => {
                        texts += 1;
                        append(scratch, TEXT, &frame.into_bytes());
                    }
                    Some(Outgoing::Control(opcode, payload)) => append(scratch, opcode, &payload),
                    None => break,
                }
            }
            if self.waiting.is_empty() {
                self.waiting = VecDeque::new();
            }
            counters.frames_out.add(texts);
            self.unflushed = true;
            let written = match Pin::new(stream).poll_write(cx, scratch) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            if written > 0 {
                self.progress(written, counters)?;
                self.sent = 0;
            }
            self.rest = scratch.get(written..).unwrap_or_default().to_vec();
            scratch.shrink_to(MAX_SCRATCH);
            Ok(())
        })
    }

    fn progress(&mut self, written: usize, counters: &Counters) -> io::Result<()> {
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        counters.writes.add(1);
        self.sent += written;
        self.stalled = None;
        Ok(())
    }
}

/// A frame as it goes out (RFC 6455 §5.2): final, unmasked.
fn append(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ 0..=125), _) => out.push(len),
        (_, Ok(len)) => {
            out.push(126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_takes_the_fewest_bytes() {
        for (len, head) in [
            (0, vec![TEXT, 0]),
            (125, vec![TEXT, 125]),
            (126, vec![TEXT, 126, 0, 126]),
            (65_535, vec![TEXT, 126, 255, 255]),
            (65_536, vec![TEXT, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            append(&mut out, TEXT, &vec![b'x'; len]);
            assert_eq!(out.len(), head.len() + len);
            assert!(out.starts_with(&head));
        }
    }
}
