//! Deterministic CBOR (RFC 8949 §4.2.1), the subset that the federation uses: unsigned integers,
//! byte strings, text strings, arrays, maps with unsigned keys, booleans and null.
//!
//! The reader accepts exactly what the writer makes: shortest heads, definite lengths, keys in
//! rising order and once each, nothing after the value. It allocates nothing before it has seen the
//! bytes that pay for it, and every length has a bound.
//!
//! Fields that a reader does not know: a key below [`FIRST_OPTIONAL_KEY`] is an error, since its
//! meaning might matter; from there up the value is checked for its form and skipped.

use minicbor::{Decoder, Encoder, data::Type};

use super::limits;

/// The first key of fields that a reader may skip when it does not know them.
pub const FIRST_OPTIONAL_KEY: u64 = 128;

/// Why bytes are not the value that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {fault}")]
pub struct CborError {
    /// Where in the value, in bytes from its start.
    pub at: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What can be wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A field's value breaks a rule of its own.
    #[error("{0}")]
    Invalid(&'static str),
    /// Keys do not rise, or one comes twice (RFC 8949 §4.2.1).
    #[error("map keys do not rise")]
    KeyOrder,
    /// A required field is absent.
    #[error("the field {0:?} is missing")]
    Missing(&'static str),
    /// A longer head than needed, or an indefinite length (RFC 8949 §4.2.1).
    #[error("not the shortest encoding")]
    NotCanonical,
    /// More than the limit allows.
    #[error("longer than the limit")]
    TooLong,
    /// Bytes follow the value.
    #[error("bytes follow the value")]
    Trailing,
    /// The bytes end within the value.
    #[error("the bytes end early")]
    Truncated,
    /// A field that this version does not know and may not skip.
    #[error("the field {0} is unknown")]
    UnknownField(u64),
    /// A value of another version of the protocol than is spoken here.
    #[error("version {0} is not spoken here")]
    Version(u8),
    /// Another type than the expected one.
    #[error("another type is expected")]
    WrongType,
}

/// Writes values. Writing to memory has no way to fail.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An unsigned integer.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.with(|to| drop(to.u64(value)))
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.with(|to| drop(to.bytes(value)))
    }

    /// A text string.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.with(|to| drop(to.str(value)))
    }

    /// A boolean.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.with(|to| drop(to.bool(value)))
    }

    /// Null.
    pub fn null(&mut self) -> &mut Self {
        self.with(|to| drop(to.null()))
    }

    /// The head of an array; `len` values follow.
    pub fn array(&mut self, len: usize) -> &mut Self {
        self.with(|to| drop(to.array(len as u64)))
    }

    /// A map of `fields`.
    pub fn map(&mut self, fields: &Fields) -> &mut Self {
        self.with(|to| drop(to.map(fields.count)));
        self.0.extend_from_slice(&fields.body.0);
        self
    }

    /// The bytes written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn with(&mut self, write: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> &mut Self {
        write(&mut Encoder::new(&mut self.0));
        self
    }
}

/// The fields of a map, to be written in the order of their keys.
#[derive(Default)]
pub struct Fields {
    body: Writer,
    count: u64,
    last: Option<u64>,
}

impl Fields {
    /// Starts a field; exactly one value must be written to the answer.
    pub fn key(&mut self, key: u64) -> &mut Writer {
        debug_assert!(self.last < Some(key), "fields are written in the order of their keys");
        self.last = Some(key);
        self.count += 1;
        self.body.uint(key)
    }

    /// A map of these fields alone, as bytes.
    pub fn finish(self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.map(&self);
        writer.finish()
    }
}

/// Reads values strictly.
pub struct Reader<'a>(Decoder<'a>);

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Decoder::new(bytes))
    }

    /// An error at the present position.
    pub fn fault(&self, fault: Fault) -> CborError {
        CborError { at: self.0.position(), fault }
    }

    /// An error at the present position that names the rule a value breaks.
    pub fn invalid(&self, rule: &'static str) -> CborError {
        self.fault(Fault::Invalid(rule))
    }

    /// `value`, or an error that names the field which is missing.
    ///
    /// # Errors
    /// [`Fault::Missing`].
    pub fn require<T>(&self, value: Option<T>, field: &'static str) -> Result<T, CborError> {
        value.ok_or_else(|| self.fault(Fault::Missing(field)))
    }

    /// Nothing may follow.
    ///
    /// # Errors
    /// [`Fault::Trailing`].
    pub fn finish(self) -> Result<(), CborError> {
        if self.0.position() == self.0.input().len() {
            Ok(())
        } else {
            Err(self.fault(Fault::Trailing))
        }
    }

    /// An unsigned integer.
    pub fn uint(&mut self) -> Result<u64, CborError> {
        let at = self.0.position();
        let value = self.0.u64().map_err(|err| Self::convert(at, &err))?;
        Self::check_head(at, value, self.0.position() - at)?;
        Ok(value)
    }

    /// An unsigned integer of at most `max`.
    pub fn uint_up_to(&mut self, max: u64) -> Result<u64, CborError> {
        let at = self.0.position();
        let value = self.uint()?;
        if value > max { Err(CborError { at, fault: Fault::TooLong }) } else { Ok(value) }
    }

    /// A byte string of at most `max` bytes.
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8], CborError> {
        let at = self.0.position();
        let value = self.0.bytes().map_err(|err| Self::convert(at, &err))?;
        self.check_string(at, value.len(), max)?;
        Ok(value)
    }

    /// A byte string of exactly `N` bytes.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        let at = self.0.position();
        let wrong = CborError { at, fault: Fault::Invalid("a byte string of another length") };
        self.bytes(N)?.try_into().map_err(|_| wrong)
    }

    /// A text string of at most `max` bytes.
    pub fn text(&mut self, max: usize) -> Result<&'a str, CborError> {
        let at = self.0.position();
        let value = self.0.str().map_err(|err| Self::convert(at, &err))?;
        self.check_string(at, value.len(), max)?;
        Ok(value)
    }

    /// A boolean.
    pub fn bool(&mut self) -> Result<bool, CborError> {
        let at = self.0.position();
        self.0.bool().map_err(|err| Self::convert(at, &err))
    }

    /// Null, or else `read`.
    pub fn nullable<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, CborError>,
    ) -> Result<Option<T>, CborError> {
        if matches!(self.0.datatype(), Ok(Type::Null)) {
            let at = self.0.position();
            self.0.null().map_err(|err| Self::convert(at, &err))?;
            return Ok(None);
        }
        read(self).map(Some)
    }

    /// The head of an array with at most `max` elements; gives their number.
    pub fn array(&mut self, max: usize) -> Result<usize, CborError> {
        let at = self.0.position();
        let len = self.0.array().map_err(|err| Self::convert(at, &err))?;
        self.check_count(at, len, max)
    }

    /// The head of an array of exactly `len` elements.
    pub fn array_of(&mut self, len: usize) -> Result<(), CborError> {
        let at = self.0.position();
        if self.array(len)? == len {
            Ok(())
        } else {
            Err(CborError { at, fault: Fault::Invalid("an array of another length") })
        }
    }

    /// An array of at most `max` elements, each read by `read`.
    pub fn list<T>(
        &mut self,
        max: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, CborError>,
    ) -> Result<Vec<T>, CborError> {
        let len = self.array(max)?;
        // A count is only a claim: room is made as elements really come.
        let mut list = Vec::with_capacity(len.min(16));
        for _ in 0..len {
            list.push(read(self)?);
        }
        Ok(list)
    }

    /// Reads a map: `field` gets each key and reads its value; for keys that it does not know it
    /// calls [`Reader::unknown`].
    pub fn map(
        &mut self,
        mut field: impl FnMut(&mut Self, u64) -> Result<(), CborError>,
    ) -> Result<(), CborError> {
        let at = self.0.position();
        let len = self.0.map().map_err(|err| Self::convert(at, &err))?;
        // Each field takes at least two bytes, which bounds the loop by the input.
        let len = self.check_count(at, len, self.0.input().len())?;
        let mut last = None;
        for _ in 0..len {
            let at = self.0.position();
            let key = self.uint()?;
            if last >= Some(key) {
                return Err(CborError { at, fault: Fault::KeyOrder });
            }
            last = Some(key);
            field(self, key)?;
        }
        Ok(())
    }

    /// Skips the value of a field that the caller does not know, if its key allows that.
    ///
    /// # Errors
    /// [`Fault::UnknownField`], or what is wrong with the value's form.
    pub fn unknown(&mut self, key: u64) -> Result<(), CborError> {
        if key < FIRST_OPTIONAL_KEY {
            return Err(self.fault(Fault::UnknownField(key)));
        }
        self.skip(limits::MAX_SKIP_DEPTH)
    }

    fn skip(&mut self, depth: usize) -> Result<(), CborError> {
        let rest = self.0.input().len() - self.0.position();
        let Some(depth) = depth.checked_sub(1) else { return Err(self.fault(Fault::TooLong)) };
        let at = self.0.position();
        match self.0.datatype().map_err(|err| Self::convert(at, &err))? {
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => self.uint().map(drop),
            Type::Bytes => self.bytes(rest).map(drop),
            Type::String => self.text(rest).map(drop),
            Type::Bool => self.bool().map(drop),
            Type::Null => {
                self.nullable(|reader| Err::<(), _>(reader.fault(Fault::WrongType))).map(drop)
            }
            Type::Array => {
                let len = self.array(rest)?;
                (0..len).try_for_each(|_| self.skip(depth))
            }
            Type::Map => self.map(|reader, _| reader.skip(depth)),
            _ => Err(self.fault(Fault::WrongType)),
        }
    }

    fn check_string(&self, at: usize, len: usize, max: usize) -> Result<(), CborError> {
        Self::check_head(at, len as u64, self.0.position() - at - len)?;
        if len > max { Err(CborError { at, fault: Fault::TooLong }) } else { Ok(()) }
    }

    fn check_count(&self, at: usize, len: Option<u64>, max: usize) -> Result<usize, CborError> {
        let len = len.ok_or(CborError { at, fault: Fault::NotCanonical })?;
        Self::check_head(at, len, self.0.position() - at)?;
        match usize::try_from(len) {
            Ok(len) if len <= max => Ok(len),
            _ => Err(CborError { at, fault: Fault::TooLong }),
        }
    }

    /// The head that stood at `at` had `taken` bytes: is that the shortest for its argument?
    fn check_head(at: usize, argument: u64, taken: usize) -> Result<(), CborError> {
        let shortest = match argument {
            0..=23 => 1,
            24..=0xff => 2,
            0x100..=0xffff => 3,
            0x1_0000..=0xffff_ffff => 5,
            _ => 9,
        };
        if taken == shortest { Ok(()) } else { Err(CborError { at, fault: Fault::NotCanonical }) }
    }

    fn convert(at: usize, err: &minicbor::decode::Error) -> CborError {
        let fault = if err.is_end_of_input() { Fault::Truncated } else { Fault::WrongType };
        CborError { at, fault }
    }
}

#[cfg(test)]
mod tests;
