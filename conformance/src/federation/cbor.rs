//! CBOR in the one form that servers speak (federation-envelopes.md §Encoding), written from the
//! specification: a value is a tree, and every tree has one encoding.

/// Deepest nesting that is read. Nothing that the specification defines is deeper than 12.
const MAX_DEPTH: u8 = 16;
/// Deepest nesting of a value under a map key that is not known (§Encoding).
const MAX_UNKNOWN_DEPTH: u8 = 8;
/// The first map key whose meaning may be ignored (§Encoding).
const FIRST_EXTENSION: u64 = 128;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An unsigned integer.
    Uint(u64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A text string.
    Text(String),
    /// An array.
    Array(Vec<Self>),
    /// A map; a well-formed one has its keys in rising order.
    Map(Vec<(u64, Self)>),
    /// A boolean.
    Bool(bool),
    /// Null.
    Null,
}

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// What reading gives.
pub type Reading<T> = Result<T, Malformed>;

impl Value {
    /// A byte string.
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bytes(bytes.as_ref().to_vec())
    }

    /// A text string.
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// The encoding. Maps are written in the order in which they are held.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Reads exactly one value.
    ///
    /// # Errors
    /// [`Malformed`] for everything but the one encoding of a value.
    pub fn decode(bytes: &[u8]) -> Reading<Self> {
        let mut reader = Reader { rest: bytes };
        let value = reader.value(MAX_DEPTH)?;
        if reader.rest.is_empty() { Ok(value) } else { Err(Malformed("bytes after the value")) }
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn uint(self) -> Reading<u64> {
        if let Self::Uint(n) = self { Ok(n) } else { Err(Malformed("an integer is missing")) }
    }

    /// A byte string.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn byte_string(self) -> Reading<Vec<u8>> {
        if let Self::Bytes(b) = self { Ok(b) } else { Err(Malformed("a byte string is missing")) }
    }

    /// A byte string of a fixed size.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn fixed<const N: usize>(self) -> Reading<[u8; N]> {
        self.byte_string()?.try_into().map_err(|_| Malformed("a byte string of the wrong size"))
    }

    /// A text.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn string(self) -> Reading<String> {
        if let Self::Text(t) = self { Ok(t) } else { Err(Malformed("a text is missing")) }
    }

    /// An array.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn array(self) -> Reading<Vec<Self>> {
        if let Self::Array(a) = self { Ok(a) } else { Err(Malformed("an array is missing")) }
    }

    /// An array of `N` values.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn tuple<const N: usize>(self) -> Reading<[Self; N]> {
        self.array()?.try_into().map_err(|_| Malformed("an array of the wrong size"))
    }

    /// A boolean.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn boolean(self) -> Reading<bool> {
        if let Self::Bool(b) = self { Ok(b) } else { Err(Malformed("a boolean is missing")) }
    }

    /// An array whose elements are read with `read`.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else or an element is.
    pub fn each<T>(self, read: impl Fn(Self) -> Reading<T>) -> Reading<Vec<T>> {
        self.array()?.into_iter().map(read).collect()
    }

    fn depth(&self) -> u8 {
        let inner = match self {
            Self::Array(values) => values.iter().map(Self::depth).max(),
            Self::Map(pairs) => pairs.iter().map(|(_, value)| value.depth()).max(),
            _ => return 1,
        };
        inner.unwrap_or_default().saturating_add(1)
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Uint(n) => head(out, 0, *n),
            Self::Bytes(bytes) => {
                head(out, 2, length(bytes));
                out.extend_from_slice(bytes);
            }
            Self::Text(text) => {
                head(out, 3, length(text.as_bytes()));
                out.extend_from_slice(text.as_bytes());
            }
            Self::Array(values) => {
                head(out, 4, length(values));
                for value in values {
                    value.write(out);
                }
            }
            Self::Map(pairs) => {
                head(out, 5, length(pairs));
                for (key, value) in pairs {
                    head(out, 0, *key);
                    value.write(out);
                }
            }
            Self::Bool(false) => out.push(0xf4),
            Self::Bool(true) => out.push(0xf5),
            Self::Null => out.push(0xf6),
        }
    }
}

/// Appends the shortest head of a major type and number.
pub fn head(out: &mut Vec<u8>, major: u8, n: u64) {
    let major = major << 5;
    let [.., b4, b5, b6, b7] = n.to_be_bytes();
    match n {
        0..=23 => out.push(major | b7),
        24..=0xff => out.extend([major | 0x18, b7]),
        0x100..=0xffff => out.extend([major | 0x19, b6, b7]),
        0x1_0000..=0xffff_ffff => out.extend([major | 0x1a, b4, b5, b6, b7]),
        _ => {
            out.push(major | 0x1b);
            out.extend(n.to_be_bytes());
        }
    }
}

fn length<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Reading<&'a [u8]> {
        let count = usize::try_from(count).map_err(|_| Malformed("cut short"))?;
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed("cut short"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Reading<u8> {
        self.take(1)?.first().copied().ok_or(Malformed("cut short"))
    }

    /// The major type, the low five bits, and the number.
    fn head(&mut self) -> Reading<(u8, u8, u64)> {
        let first = self.byte()?;
        let (major, low) = (first >> 5, first & 0x1f);
        let (size, least) = match low {
            0..=23 => return Ok((major, low, low.into())),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            _ => return Err(Malformed("an indefinite or reserved length")),
        };
        let n = self.take(size)?.iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
        if n < least {
            return Err(Malformed("a longer head than needed"));
        }
        Ok((major, low, n))
    }

    fn value(&mut self, depth: u8) -> Reading<Value> {
        let deeper = || depth.checked_sub(1).ok_or(Malformed("nested too deep"));
        let (major, low, n) = self.head()?;
        match (major, low) {
            (0, _) => Ok(Value::Uint(n)),
            (2, _) => self.take(n).map(Value::bytes),
            (3, _) => {
                let text = core::str::from_utf8(self.take(n)?);
                text.map(Value::text).map_err(|_| Malformed("a text that is no UTF-8"))
            }
            // Vectors grow as values are read, so a claimed count reserves nothing.
            (4, _) => {
                let mut values = Vec::new();
                for _ in 0..n {
                    values.push(self.value(deeper()?)?);
                }
                Ok(Value::Array(values))
            }
            (5, _) => {
                let mut pairs: Vec<(u64, Value)> = Vec::new();
                for _ in 0..n {
                    let (0, _, key) = self.head()? else {
                        return Err(Malformed("a map key that is no unsigned integer"));
                    };
                    if pairs.last().is_some_and(|(last, _)| *last >= key) {
                        return Err(Malformed("map keys out of order, or one twice"));
                    }
                    pairs.push((key, self.value(deeper()?)?));
                }
                Ok(Value::Map(pairs))
            }
            (7, 20) => Ok(Value::Bool(false)),
            (7, 21) => Ok(Value::Bool(true)),
            (7, 22) => Ok(Value::Null),
            _ => Err(Malformed("a negative number, tag, float or simple value")),
        }
    }
}

/// The fields of a map that is being read.
#[derive(Debug)]
pub struct Fields(Vec<(u64, Value)>);

impl Fields {
    /// The fields of a map.
    ///
    /// # Errors
    /// [`Malformed`] if the value is no map.
    pub fn of(value: Value) -> Reading<Self> {
        if let Value::Map(pairs) = value { Ok(Self(pairs)) } else { Err(Malformed("no map")) }
    }

    /// Reads a map from bytes.
    ///
    /// # Errors
    /// [`Malformed`] if they are none.
    pub fn parse(bytes: &[u8]) -> Reading<Self> {
        Self::of(Value::decode(bytes)?)
    }

    /// A field that may be absent.
    ///
    /// # Errors
    /// What `read` says.
    pub fn optional<T>(
        &mut self,
        key: u64,
        read: impl FnOnce(Value) -> Reading<T>,
    ) -> Reading<Option<T>> {
        match self.0.iter().position(|(present, _)| *present == key) {
            Some(place) => read(self.0.remove(place).1).map(Some),
            None => Ok(None),
        }
    }

    /// A field that must be there.
    ///
    /// # Errors
    /// [`Malformed`] if it is absent, and what `read` says.
    pub fn required<T>(&mut self, key: u64, read: impl FnOnce(Value) -> Reading<T>) -> Reading<T> {
        self.optional(key, read)?.ok_or(Malformed("a required field is missing"))
    }

    /// Nothing may be left but extensions in a sound form.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn end(self) -> Reading<()> {
        for (key, value) in self.0 {
            if key < FIRST_EXTENSION {
                return Err(Malformed("an unknown field below 128"));
            }
            if value.depth() > MAX_UNKNOWN_DEPTH {
                return Err(Malformed("an extension that is nested too deep"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(Value::Uint),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
            ".{0,12}".prop_map(Value::Text),
            any::<bool>().prop_map(Value::Bool),
            Just(Value::Null),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::btree_map(any::<u64>(), inner, 0..6)
                    .prop_map(|map| Value::Map(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in values()) {
            prop_assert_eq!(Value::decode(&value.encode()), Ok(value));
        }

        #[test]
        fn whatever_is_read_has_no_other_encoding(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = Value::decode(&bytes) {
                prop_assert_eq!(value.encode(), bytes);
            }
        }
    }

    #[test]
    fn claims_and_depth_cost_nothing() {
        for claim in [vec![0x9b; 1], vec![0x9b, 255, 255, 255, 255, 255, 255, 255, 255]] {
            assert!(Value::decode(&claim).is_err());
        }
        assert_eq!(Value::decode(&vec![0x81; 100_000]), Err(Malformed("nested too deep")));
    }
}
