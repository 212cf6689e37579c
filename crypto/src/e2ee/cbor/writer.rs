//! Writes deterministic CBOR into memory that is zeroized, also when it grows.

use zeroize::{Zeroize, Zeroizing};

use super::{ARRAY, BYTES, FALSE, MAP, NULL, TEXT, TRUE, UNSIGNED};

/// The first allocation, in bytes: most states and messages fit without growing.
const FIRST_CAPACITY: usize = 1024;

/// Builds one CBOR item after the other. Keeping map keys in order is the caller's duty.
pub(crate) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(FIRST_CAPACITY)))
    }

    pub(crate) fn uint(&mut self, value: u64) {
        self.head(UNSIGNED, value);
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.head(BYTES, value.len() as u64);
        self.raw(value);
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.head(TEXT, value.len() as u64);
        self.raw(value.as_bytes());
    }

    /// Opens an array; `len` items must follow.
    pub(crate) fn array(&mut self, len: usize) {
        self.head(ARRAY, len as u64);
    }

    /// Opens a map; `len` pairs of key and value must follow, keys in ascending order.
    pub(crate) fn map(&mut self, len: usize) {
        self.head(MAP, len as u64);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.raw(&[if value { TRUE } else { FALSE }]);
    }

    /// Writes `value` with `write`, or null.
    pub(crate) fn optional<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        match value {
            Some(value) => write(self, value),
            None => self.raw(&[NULL]),
        }
    }

    /// Appends bytes that are already CBOR.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    /// The shortest head of a value (RFC 8949 §3).
    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        let [.., b6, b7] = value.to_be_bytes();
        if value < 24 {
            self.raw(&[major + b7]);
        } else if value <= 0xff {
            self.raw(&[major + 24, b7]);
        } else if value <= 0xffff {
            self.raw(&[major + 25, b6, b7]);
        } else if let Ok(value) = u32::try_from(value) {
            self.raw(&[major + 26]);
            self.raw(&value.to_be_bytes());
        } else {
            self.raw(&[major + 27]);
            self.raw(&value.to_be_bytes());
        }
    }

    /// Makes room without letting the allocator copy secrets to a place we cannot wipe.
    fn reserve(&mut self, more: usize) {
        let need = self.0.len() + more;
        if need > self.0.capacity() {
            let mut larger = Vec::with_capacity(need.max(2 * self.0.capacity()));
            larger.extend_from_slice(&self.0);
            core::mem::swap(&mut *self.0, &mut larger);
            larger.zeroize();
        }
    }
}
