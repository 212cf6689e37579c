//! A CBOR map with small numbers as keys, whose unknown entries are kept.

use core::fmt;
use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{CborError, Reader, Writer};

/// The most entries of a map.
const MAX_FIELDS: usize = 64;

/// Entries of a map that have not been understood yet, each still encoded.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(BTreeMap<u64, Zeroizing<Vec<u8>>>);

/// Shows which entries there are; what is in them may be secret.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Fields {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        let len = reader.map()?;
        if len > MAX_FIELDS {
            return Err(CborError);
        }
        let mut fields = BTreeMap::new();
        for _ in 0..len {
            let key = reader.uint()?;
            if fields.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(CborError);
            }
            fields.insert(key, Zeroizing::new(reader.skip()?.to_vec()));
        }
        Ok(Self(fields))
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.map(self.0.len());
        for (key, value) in &self.0 {
            writer.uint(*key);
            writer.raw(value);
        }
    }

    /// Takes out an entry that must be there.
    pub(crate) fn take<T>(
        &mut self,
        key: u64,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, CborError>,
    ) -> Result<T, CborError> {
        self.take_optional(key, read)?.ok_or(CborError)
    }

    /// Takes out an entry if it is there.
    pub(crate) fn take_optional<T>(
        &mut self,
        key: u64,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, CborError>,
    ) -> Result<Option<T>, CborError> {
        let Some(value) = self.0.remove(&key) else { return Ok(None) };
        let mut reader = Reader::new(&value);
        let found = read(&mut reader)?;
        reader.end()?;
        Ok(Some(found))
    }

    /// A number that must be there.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is not general")]
    pub(crate) fn uint(&mut self, key: u64) -> Result<u64, CborError> {
        self.take(key, |r| r.uint())
    }

    /// A number of 32 bits if it is there.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is not general")]
    pub(crate) fn optional_u32(&mut self, key: u64) -> Result<Option<u32>, CborError> {
        self.take_optional(key, |r| r.u32())
    }

    /// A boolean that must be there.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is not general")]
    pub(crate) fn bool(&mut self, key: u64) -> Result<bool, CborError> {
        self.take(key, |r| r.bool())
    }

    /// `N` bytes that must be there.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is not general")]
    pub(crate) fn exact<const N: usize>(&mut self, key: u64) -> Result<[u8; N], CborError> {
        self.take(key, |r| r.exact())
    }

    /// `N` bytes if they are there.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is not general")]
    pub(crate) fn optional_exact<const N: usize>(
        &mut self,
        key: u64,
    ) -> Result<Option<[u8; N]>, CborError> {
        self.take_optional(key, |r| r.exact())
    }

    /// Puts in an entry of ours; one that was kept from elsewhere gives way.
    pub(crate) fn put(&mut self, key: u64, write: impl FnOnce(&mut Writer)) {
        let mut writer = Writer::new();
        write(&mut writer);
        self.0.insert(key, writer.finish());
    }
}
