//! WebSocket frames from a client (RFC 6455 §5), without I/O.
//!
//! Why not a library: the kept ones hold a read buffer for every connection, keep it at the size
//! of the largest message ever seen, and end a connection whose frame is too large. Here an idle
//! connection holds nothing, and an oversize frame is skipped as it arrives. Tests compare this
//! decoder with tungstenite's.

use super::end::End;

/// Largest frame, in bytes, that is skipped rather than closed on: a device whose message is too
/// large learns so and stays connected.
pub(super) const MAX_SKIPPED: u64 = 16 * 1024 * 1024;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message; its content does not matter.
    Binary,
    /// A message beyond the limit; its bytes are skipped.
    Oversize,
    /// A ping, to be answered with its payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// A part of a message.
    Fragment,
    /// The client closes, with this code if it gave one.
    Close(Option<u16>),
}

/// Finds frames in a stream of bytes.
pub(super) struct Decoder {
    /// Largest message, in bytes.
    max: usize,
    /// Bytes that were received; those before `at` are done with.
    received: Vec<u8>,
    at: usize,
    /// Bytes to come that belong to an oversize frame.
    skip: u64,
    /// A message of several frames.
    parts: Option<Parts>,
}

/// A message that has begun and not ended.
enum Parts {
    /// What has come of it, and up to where it is known to be UTF-8.
    Text(Vec<u8>, usize),
    /// How many bytes have come, none of which is kept.
    Binary(u64),
    Oversize,
}

/// A frame's head (RFC 6455 §5.2).
struct Head {
    is_final: bool,
    opcode: u8,
    mask: [u8; 4],
    len: u64,
    /// Bytes of the head itself.
    size: usize,
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

impl Decoder {
    /// Decodes messages of at most `max` bytes, from what has been `received` already on.
    pub(super) fn new(max: usize, received: Vec<u8>) -> Self {
        Self { max, received, at: 0, skip: 0, parts: None }
    }

    /// Takes in bytes from the connection.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        if self.skip > 0 {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= skipped as u64;
            bytes = bytes.get(skipped..).unwrap_or_default();
        }
        self.received.extend_from_slice(bytes);
    }

    /// Whether a message has begun to arrive and not ended.
    pub(super) fn is_amid(&self) -> bool {
        self.at < self.received.len() || self.skip > 0 || self.parts.is_some()
    }

    /// The next event; `None` if more bytes are needed. An error ends the connection.
    pub(super) fn next(&mut self) -> Result<Option<Event<'_>>, End> {
        let Some(head) = self.head()? else {
            self.tidy();
            return Ok(None);
        };
        match head.opcode {
            CLOSE | PING | PONG => self.control(&head),
            CONTINUATION | TEXT | BINARY => self.data(&head),
            _ => Err(End::Protocol("a frame has an unknown opcode")),
        }
    }

    /// Gives memory back: all of it between messages, what is done with amid one.
    fn tidy(&mut self) {
        self.received.drain(..self.at.min(self.received.len()));
        self.at = 0;
        if self.received.is_empty() {
            self.received = Vec::new();
        }
    }

    fn head(&self) -> Result<Option<Head>, End> {
        let bytes = self.received.get(self.at..).unwrap_or_default();
        let [first, second, ..] = *bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(End::Protocol("a reserved bit is set"));
        }
        if second & 0x80 == 0 {
            return Err(End::Protocol("a frame is not masked"));
        }
        let long = |range| bytes.get::<core::ops::Range<usize>>(range);
        let (len, size) = match second & 0x7f {
            126 => match long(2..4).map(<[u8; 2]>::try_from) {
                Some(Ok(len)) => (u64::from(u16::from_be_bytes(len)), 4),
                _ => return Ok(None),
            },
            127 => match long(2..10).map(<[u8; 8]>::try_from) {
                Some(Ok(len)) => (u64::from_be_bytes(len), 10),
                _ => return Ok(None),
            },
            len => (u64::from(len), 2),
        };
        let Some(Ok(mask)) = long(size..size + 4).map(<[u8; 4]>::try_from) else {
            return Ok(None);
        };
        Ok(Some(Head {
            is_final: first & 0x80 != 0,
            opcode: first & 0x0f,
            mask,
            len,
            size: size + 4,
        }))
    }

    fn control(&mut self, head: &Head) -> Result<Option<Event<'_>>, End> {
        if head.len > 125 || !head.is_final {
            return Err(End::Protocol("a control frame is fragmented or too long"));
        }
        let opcode = head.opcode;
        let Some(payload) = self.payload(head) else { return Ok(None) };
        match opcode {
            PING => Ok(Some(Event::Ping(payload))),
            PONG => Ok(Some(Event::Pong)),
            _ => close(payload).map(|code| Some(Event::Close(code))),
        }
    }

    fn data(&mut self, head: &Head) -> Result<Option<Event<'_>>, End> {
        match (head.opcode, &self.parts) {
            (CONTINUATION, None) => return Err(End::Protocol("nothing is to be continued")),
            (TEXT | BINARY, Some(_)) => return Err(End::Protocol("a message is not finished")),
            _ => {}
        }
        let before = match &self.parts {
            Some(Parts::Text(text, _)) => text.len() as u64,
            Some(Parts::Binary(len)) => *len,
            _ => 0,
        };
        if before.saturating_add(head.len) > self.max as u64 {
            return self.oversize(head);
        }
        let (opcode, is_final) = (head.opcode, head.is_final);
        if opcode == TEXT && is_final {
            let Some(payload) = self.payload(head) else { return Ok(None) };
            return core::str::from_utf8(payload)
                .map(|t| Some(Event::Text(t)))
                .or(Err(End::NotUtf8));
        }
        let mut parts = match (opcode, self.parts.take()) {
            (CONTINUATION, Some(parts)) => parts,
            (TEXT, _) => Parts::Text(Vec::new(), 0),
            _ => Parts::Binary(0),
        };
        let fresh = opcode != CONTINUATION;
        let Some(payload) = self.payload(head) else {
            self.parts = (!fresh).then_some(parts);
            return Ok(None);
        };
        match &mut parts {
            Parts::Text(text, valid) => {
                text.extend_from_slice(payload);
                *valid += valid_prefix(text.get(*valid..).unwrap_or_default())?;
            }
            Parts::Binary(len) => *len += payload.len() as u64,
            Parts::Oversize => {}
        }
        if !is_final {
            self.parts = Some(parts);
            return Ok(Some(Event::Fragment));
        }
        match parts {
            Parts::Text(text, _) => self.whole(text).map(Some),
            Parts::Binary(_) => Ok(Some(Event::Binary)),
            Parts::Oversize => Ok(Some(Event::Fragment)),
        }
    }

    /// A text that came in parts. It takes the place of the bytes that were received before what
    /// is still to be decoded.
    fn whole(&mut self, text: Vec<u8>) -> Result<Event<'_>, End> {
        let rest = self.received.split_off(self.at.min(self.received.len()));
        self.at = text.len();
        self.received = text;
        self.received.extend_from_slice(&rest);
        let text = self.received.get(..self.at).unwrap_or_default();
        core::str::from_utf8(text).map(Event::Text).map_err(|_| End::NotUtf8)
    }

    /// Drops the head and as much of the payload as is there; the rest is skipped as it comes. Told
    /// once for a message.
    fn oversize(&mut self, head: &Head) -> Result<Option<Event<'_>>, End> {
        if head.len > MAX_SKIPPED {
            return Err(End::TooBig);
        }
        self.at += head.size;
        let here = (self.received.len().saturating_sub(self.at) as u64).min(head.len);
        self.at += usize::try_from(here).unwrap_or_default();
        self.skip = head.len - here;
        let told = matches!(self.parts, Some(Parts::Oversize));
        self.parts = (!head.is_final).then_some(Parts::Oversize);
        Ok(Some(if told { Event::Fragment } else { Event::Oversize }))
    }

    /// Takes a frame's payload and unmasks it, if all of it is there.
    fn payload(&mut self, head: &Head) -> Option<&[u8]> {
        let start = self.at + head.size;
        let end = start.checked_add(usize::try_from(head.len).ok()?)?;
        let payload = self.received.get_mut(start..end)?;
        unmask(payload, head.mask);
        self.at = end;
        Some(payload)
    }
}

/// RFC 6455 §5.3, eight bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= mask;
    }
}

/// How many bytes are UTF-8 for certain. A character that is not complete may still become one.
fn valid_prefix(bytes: &[u8]) -> Result<usize, End> {
    match core::str::from_utf8(bytes) {
        Ok(_) => Ok(bytes.len()),
        Err(err) if err.error_len().is_none() => Ok(err.valid_up_to()),
        Err(_) => Err(End::NotUtf8),
    }
}

/// A close frame's code (RFC 6455 §5.5.1, §7.4).
fn close(payload: &[u8]) -> Result<Option<u16>, End> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(End::Protocol("a close frame has one byte"))
        };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(End::Protocol("a close code may not be sent"));
    }
    core::str::from_utf8(reason).map_err(|_| End::NotUtf8)?;
    Ok(Some(code))
}

#[cfg(test)]
mod tests;
