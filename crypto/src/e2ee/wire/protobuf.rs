//! Protocol Buffers, as far as Signal messages need them: varints and byte strings. Unknown
//! fields are passed over, and of a repeated field the last one counts.

use super::MessageError;

/// Appends a varint field.
pub(crate) fn put_uint(out: &mut Vec<u8>, field: u32, value: u32) {
    put_varint(out, u64::from(field) << 3);
    put_varint(out, u64::from(value));
}

/// Appends a field of bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a base-128 varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Takes a base-128 varint off the front, or `None` if it is cut off or longer than 64 bits.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The value of one field.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Uint(u64),
    Bytes(&'a [u8]),
    /// A fixed-width number, which no Signal message holds.
    Other,
}

impl<'a> Value<'a> {
    pub(crate) fn u32(self) -> Result<u32, MessageError> {
        match self {
            Self::Uint(value) => u32::try_from(value).map_err(|_| MessageError::Malformed),
            _ => Err(MessageError::Malformed),
        }
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], MessageError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(MessageError::Malformed),
        }
    }

    pub(crate) fn exact<const N: usize>(self) -> Result<[u8; N], MessageError> {
        self.bytes()?.try_into().map_err(|_| MessageError::Malformed)
    }
}

/// The fields of a message, in the order of the wire.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = take_varint(&mut self.0)?;
        let value = match tag & 7 {
            0 => Value::Uint(take_varint(&mut self.0)?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let len = take_varint(&mut self.0)?;
                Value::Bytes(self.take(usize::try_from(len).ok()?)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((tag >> 3, value)).filter(|(number, _)| *number != 0)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), MessageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or(MessageError::Malformed);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}
