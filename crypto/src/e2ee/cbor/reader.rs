//! Reads deterministic CBOR: every length is checked against what is left of the input.

use super::{
    ARRAY, BYTES, CborError, FALSE, MAP, MAX_DEPTH, NEGATIVE, NULL, SIMPLE, TEXT, TRUE, UNSIGNED,
};

/// A position in borrowed bytes.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn uint(&mut self) -> Result<u64, CborError> {
        self.head(UNSIGNED)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CborError> {
        u32::try_from(self.uint()?).map_err(|_| CborError)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let len = self.head(BYTES)?;
        self.take(len)
    }

    /// A byte string of exactly `N` bytes.
    pub(crate) fn exact<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        self.bytes()?.try_into().map_err(|_| CborError)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, CborError> {
        let len = self.head(TEXT)?;
        core::str::from_utf8(self.take(len)?).map_err(|_| CborError)
    }

    /// The number of items that follow; never more than there are bytes left.
    pub(crate) fn array(&mut self) -> Result<usize, CborError> {
        let len = self.head(ARRAY)?;
        self.count(len)
    }

    /// Reads an array of at most `max` items.
    pub(crate) fn sequence<T, E: From<CborError>>(
        &mut self,
        max: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        let len = self.array()?;
        if len > max {
            return Err(CborError.into());
        }
        let mut items = Vec::with_capacity(len);
        for _ in 0..len {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Checks that an array of exactly `len` items opens here.
    pub(crate) fn fixed_array(&mut self, len: usize) -> Result<(), CborError> {
        if self.array()? == len { Ok(()) } else { Err(CborError) }
    }

    /// The number of pairs that follow.
    pub(crate) fn map(&mut self) -> Result<usize, CborError> {
        let len = self.head(MAP)?;
        self.count(len)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, CborError> {
        match self.take(1)? {
            [FALSE] => Ok(false),
            [TRUE] => Ok(true),
            _ => Err(CborError),
        }
    }

    /// Null, or what `read` finds.
    pub(crate) fn optional<T, E: From<CborError>>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        if self.0.first() == Some(&NULL) {
            self.take(1)?;
            Ok(None)
        } else {
            read(self).map(Some)
        }
    }

    /// Passes one whole value, checked to be deterministic, and gives its bytes.
    pub(crate) fn skip(&mut self) -> Result<&'a [u8], CborError> {
        let before = self.0;
        self.skip_nested(0)?;
        before.get(..before.len() - self.0.len()).ok_or(CborError)
    }

    /// Checks that nothing is left.
    pub(crate) fn end(&self) -> Result<(), CborError> {
        if self.0.is_empty() { Ok(()) } else { Err(CborError) }
    }

    fn skip_nested(&mut self, depth: u8) -> Result<(), CborError> {
        let first = *self.0.first().ok_or(CborError)?;
        if depth > MAX_DEPTH {
            return Err(CborError);
        }
        match first >> 5 {
            major @ (UNSIGNED | NEGATIVE) => self.head(major).map(drop),
            BYTES => self.bytes().map(drop),
            TEXT => self.text().map(drop),
            ARRAY => {
                for _ in 0..self.array()? {
                    self.skip_nested(depth + 1)?;
                }
                Ok(())
            }
            MAP => self.skip_map(depth),
            SIMPLE if matches!(first, FALSE | TRUE | NULL) => self.take(1).map(drop),
            _ => Err(CborError),
        }
    }

    fn skip_map(&mut self, depth: u8) -> Result<(), CborError> {
        let mut last: &[u8] = &[];
        for _ in 0..self.map()? {
            let start = self.0;
            self.skip_nested(depth + 1)?;
            let key = start.get(..start.len() - self.0.len()).ok_or(CborError)?;
            if key <= last {
                return Err(CborError);
            }
            last = key;
            self.skip_nested(depth + 1)?;
        }
        Ok(())
    }

    fn head(&mut self, major: u8) -> Result<u64, CborError> {
        let first = *self.take(1)?.first().ok_or(CborError)?;
        if first >> 5 != major {
            return Err(CborError);
        }
        let (len, least) = match first & 0x1f {
            small @ 0..24 => return Ok(u64::from(small)),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            _ => return Err(CborError),
        };
        let value = self.take(len)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        if value < least { Err(CborError) } else { Ok(value) }
    }

    fn count(&self, len: u64) -> Result<usize, CborError> {
        usize::try_from(len).ok().filter(|len| *len <= self.0.len()).ok_or(CborError)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], CborError> {
        let len = self.count(len)?;
        let (taken, rest) = self.0.split_at_checked(len).ok_or(CborError)?;
        self.0 = rest;
        Ok(taken)
    }
}
