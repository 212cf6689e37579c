//! One message of the post-quantum ratchet: where it stands and which part of the key exchange
//! it carries.

use super::erasure::{CHUNK_LEN, Chunk};
use crate::e2ee::wire::protobuf::{put_varint, take_varint};

/// The version of the ratchet, its first byte.
const VERSION: u8 = 1;

/// Which part of a key exchange a message carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// Nothing.
    None,
    /// Of the header of the key and its MAC.
    Header(Chunk),
    /// Of the rest of the key.
    Key(Chunk),
    /// Of the rest of the key; the first ciphertext has arrived.
    KeyAndAck(Chunk),
    /// The first ciphertext has arrived.
    Ack,
    /// Of the first ciphertext.
    Ciphertext1(Chunk),
    /// Of the second ciphertext and the MAC over both.
    Ciphertext2(Chunk),
}

impl Part {
    fn kind(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::Header(_) => 1,
            Self::Key(_) => 2,
            Self::KeyAndAck(_) => 3,
            Self::Ack => 4,
            Self::Ciphertext1(_) => 5,
            Self::Ciphertext2(_) => 6,
        }
    }

    fn chunk(&self) -> Option<&Chunk> {
        match self {
            Self::None | Self::Ack => None,
            Self::Header(chunk)
            | Self::Key(chunk)
            | Self::KeyAndAck(chunk)
            | Self::Ciphertext1(chunk)
            | Self::Ciphertext2(chunk) => Some(chunk),
        }
    }
}

/// A message of the ratchet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Message {
    /// The key exchange it belongs to, from 1.
    pub(super) epoch: u64,
    /// Its place in the sender's chain, from 1.
    pub(super) index: u32,
    pub(super) part: Part,
}

impl Message {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48);
        out.push(VERSION);
        put_varint(&mut out, self.epoch);
        put_varint(&mut out, u64::from(self.index));
        out.push(self.part.kind());
        if let Some(chunk) = self.part.chunk() {
            put_varint(&mut out, u64::from(chunk.x));
            out.extend_from_slice(&chunk.data);
        }
        out
    }

    /// Parses a message; bytes that follow it are left for later versions. `None` also for
    /// another version and for index 0, which means 'no key': a peer that may do without the
    /// ratchet is not a peer of this profile.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (epoch, index, mut rest) = position(bytes)?;
        let (kind, after) = rest.split_first()?;
        rest = after;
        let part = match kind {
            0 => Part::None,
            1 => Part::Header(chunk(&mut rest)?),
            2 => Part::Key(chunk(&mut rest)?),
            3 => Part::KeyAndAck(chunk(&mut rest)?),
            4 => Part::Ack,
            5 => Part::Ciphertext1(chunk(&mut rest)?),
            6 => Part::Ciphertext2(chunk(&mut rest)?),
            _ => return None,
        };
        (index != 0).then_some(Self { epoch, index, part })
    }
}

/// Whether the bytes are those of a peer that could ratchet, but encrypted without its keys as
/// long as it does not know whether we can: epoch 1, index 0.
pub(crate) fn announces_no_key(bytes: &[u8]) -> bool {
    position(bytes).is_some_and(|(epoch, index, _)| epoch == 1 && index == 0)
}

/// Epoch (never 0), index, and what follows.
fn position(bytes: &[u8]) -> Option<(u64, u32, &[u8])> {
    let (version, mut rest) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let epoch = take_varint(&mut rest).filter(|epoch| *epoch != 0)?;
    let index = u32::try_from(take_varint(&mut rest)?).ok()?;
    Some((epoch, index, rest))
}

fn chunk(rest: &mut &[u8]) -> Option<Chunk> {
    let x = u16::try_from(take_varint(rest)?).ok()?;
    let (data, after) = rest.split_first_chunk::<CHUNK_LEN>()?;
    *rest = after;
    Some(Chunk { x, data: *data })
}
