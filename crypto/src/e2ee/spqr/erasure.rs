//! The erasure code of the key exchange: a block of k times 32 bytes becomes as many chunks as
//! needed, and any k different ones of them give the block back.
//!
//! The block is read as big-endian 16-bit words. Word `i` is the value of polynomial `i % 16` at
//! `x = i / 16`, so the first k chunks are the block itself. Chunk `x` holds the values of all
//! 16 polynomials at `x`.

use core::fmt;

use super::field::Gf;
use crate::e2ee::cbor::{CborError, Reader, Writer};

/// Length of a chunk, in bytes: one word of each of 16 polynomials.
pub(super) const CHUNK_LEN: usize = 32;
/// The largest block, in chunks: the key of ML-KEM-768.
const MAX_CHUNKS: usize = 36;
/// Words in a chunk.
const WORDS: usize = CHUNK_LEN / 2;

/// The values of the polynomials at one point.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) x: u16,
    pub(super) data: [u8; CHUNK_LEN],
}

impl Chunk {
    fn write(&self, writer: &mut Writer) {
        writer.array(2);
        writer.uint(u64::from(self.x));
        writer.bytes(&self.data);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed_array(2)?;
        let x = u16::try_from(reader.u32()?).map_err(|_| CborError)?;
        Ok(Self { x, data: reader.exact()? })
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({})", self.x)
    }
}

/// Gives one chunk after the other. After 65,536 it starts again.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    block: Vec<Chunk>,
    next: u16,
}

impl Encoder {
    /// An encoder of `block`, whose length is a multiple of 32 bytes.
    pub(super) fn new(block: &[u8]) -> Self {
        let (chunks, rest) = block.as_chunks::<CHUNK_LEN>();
        debug_assert!(rest.is_empty() && chunks.len() <= MAX_CHUNKS, "no block of the protocol");
        let block = (0..).zip(chunks).map(|(x, data)| Chunk { x, data: *data }).collect();
        Self { block, next: 0 }
    }

    pub(super) fn next_chunk(&mut self) -> Chunk {
        let x = self.next;
        self.next = self.next.wrapping_add(1);
        match self.block.get(usize::from(x)) {
            Some(chunk) => chunk.clone(),
            None => interpolate(&self.block, x),
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.array(2);
        writer.uint(u64::from(self.next));
        writer.bytes(&join(&self.block));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed_array(2)?;
        let next = u16::try_from(reader.u32()?).map_err(|_| CborError)?;
        let block = reader.bytes()?;
        let whole = block.len().is_multiple_of(CHUNK_LEN) && !block.is_empty();
        if !whole || block.len() > MAX_CHUNKS * CHUNK_LEN {
            return Err(CborError);
        }
        Ok(Self { next, ..Self::new(block) })
    }
}

/// Collects different chunks until they give a block of `N` bytes.
#[derive(Clone, Debug)]
pub(super) struct Decoder<const N: usize> {
    chunks: Vec<Chunk>,
}

impl<const N: usize> Decoder<N> {
    /// How many chunks a block takes.
    const NEEDED: usize = N / CHUNK_LEN;

    pub(super) fn new() -> Self {
        Self { chunks: Vec::with_capacity(Self::NEEDED) }
    }

    /// Takes a chunk in; gives the block with the last one that was missing.
    pub(super) fn add(&mut self, chunk: &Chunk) -> Option<[u8; N]> {
        if self.chunks.len() < Self::NEEDED && self.chunks.iter().all(|had| had.x != chunk.x) {
            self.chunks.push(chunk.clone());
        }
        if self.chunks.len() < Self::NEEDED {
            return None;
        }
        let block: Vec<Chunk> = (0..)
            .take(Self::NEEDED)
            .map(|x| match self.chunks.iter().find(|chunk| chunk.x == x) {
                Some(chunk) => chunk.clone(),
                None => interpolate(&self.chunks, x),
            })
            .collect();
        join(&block).try_into().ok()
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.array(self.chunks.len());
        self.chunks.iter().for_each(|chunk| chunk.write(writer));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        let chunks: Vec<Chunk> = reader.sequence(Self::NEEDED, Chunk::read)?;
        let different = chunks
            .iter()
            .enumerate()
            .all(|(at, one)| chunks.iter().skip(at + 1).all(|other| other.x != one.x));
        if different { Ok(Self { chunks }) } else { Err(CborError) }
    }
}

fn join(chunks: &[Chunk]) -> Vec<u8> {
    chunks.iter().flat_map(|chunk| chunk.data).collect()
}

/// The chunk at `x` of the polynomials through `points` (Lagrange).
fn interpolate(points: &[Chunk], x: u16) -> Chunk {
    let mut words = [Gf::ZERO; WORDS];
    for point in points {
        let (mut above, mut below) = (Gf::ONE, Gf::ONE);
        for other in points.iter().filter(|other| other.x != point.x) {
            above = above.mul(Gf(x).add(Gf(other.x)));
            below = below.mul(Gf(point.x).add(Gf(other.x)));
        }
        let weight = above.mul(below.invert());
        for (word, bytes) in words.iter_mut().zip(point.data.as_chunks::<2>().0) {
            *word = word.add(weight.mul(Gf(u16::from_be_bytes(*bytes))));
        }
    }
    let mut data = [0; CHUNK_LEN];
    for (bytes, word) in data.as_chunks_mut::<2>().0.iter_mut().zip(words) {
        *bytes = word.0.to_be_bytes();
    }
    Chunk { x, data }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stored_blocks_have_the_length_of_blocks() {
        let stored = |len| {
            let mut writer = Writer::new();
            writer.array(2);
            writer.uint(0);
            writer.bytes(&vec![0; len]);
            Encoder::read(&mut Reader::new(&writer.finish()))
        };
        for len in [CHUNK_LEN, MAX_CHUNKS * CHUNK_LEN] {
            assert!(stored(len).is_ok(), "{len}");
        }
        for len in [0, 1, CHUNK_LEN + 1, (MAX_CHUNKS + 1) * CHUNK_LEN] {
            assert!(stored(len).is_err(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_k_different_chunks_give_the_block(
            block in proptest::collection::vec(any::<u8>(), 160..=160),
            picks in proptest::collection::btree_set(0_usize..200, 5),
            doubled in 0_usize..4,
        ) {
            let mut encoder = Encoder::new(&block);
            let all: Vec<Chunk> = (0..200).map(|_| encoder.next_chunk()).collect();
            let mut chunks: Vec<&Chunk> = picks.iter().map(|x| &all[*x]).collect();
            let last = chunks.pop().unwrap();
            let mut decoder = Decoder::<160>::new();
            for chunk in &chunks {
                prop_assert_eq!(decoder.add(chunk), None);
            }
            prop_assert_eq!(decoder.add(chunks[doubled]), None, "one counts once");
            let found = decoder.add(last);
            prop_assert_eq!(found.map(|found| found.to_vec()), Some(block));
        }
    }
}
