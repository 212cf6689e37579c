//! Keys of messages that have not arrived yet, kept within bounds.

use std::collections::VecDeque;

use crate::e2ee::{
    cbor::{CborError, Reader, Writer},
    secret::Secret,
};

/// How far ahead of the last message of its chain a message may be.
pub(crate) const MAX_JUMP: u32 = 25_000;
/// How many skipped keys a chain keeps; the oldest go first.
pub(crate) const MAX_SKIPPED: usize = 2_000;

/// Skipped keys by their place in the chain, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct SkippedKeys(VecDeque<(u32, Secret<32>)>);

impl SkippedKeys {
    pub(crate) fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(crate) fn push(&mut self, index: u32, key: Secret<32>) {
        if self.0.len() >= MAX_SKIPPED {
            self.0.pop_front();
        }
        self.0.push_back((index, key));
    }

    /// Takes a key out: a second message of the same place finds none.
    pub(crate) fn take(&mut self, index: u32) -> Option<Secret<32>> {
        let at = self.0.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        self.0.remove(at).map(|(_, key)| key)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.array(self.0.len());
        for (index, key) in &self.0 {
            writer.array(2);
            writer.uint(u64::from(*index));
            writer.bytes(key.expose());
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        let keys = reader.sequence(MAX_SKIPPED, |r| {
            r.fixed_array(2)?;
            Ok::<_, CborError>((r.u32()?, Secret::new(r.exact()?)))
        })?;
        let ascending = keys.iter().zip(keys.iter().skip(1)).all(|(one, next)| one.0 < next.0);
        if ascending { Ok(Self(keys.into())) } else { Err(CborError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(indices: &[u32]) -> Result<SkippedKeys, CborError> {
        let keys = indices.iter().map(|index| (*index, Secret::new([1; 32]))).collect();
        let mut writer = Writer::new();
        SkippedKeys(keys).write(&mut writer);
        SkippedKeys::read(&mut Reader::new(&writer.finish()))
    }

    #[test]
    fn stored_keys_ascend() {
        assert!(stored(&[1, 2, 9]).is_ok());
        assert!(stored(&[1, 2, 2]).is_err(), "one place twice");
        assert!(stored(&[2, 1]).is_err());
    }
}
