//! Reads JSON strictly: where an object is expected, only an object is taken.
//!
//! serde takes an array of the members in their order for a struct, at any depth. That is a second
//! spelling which no document describes and no other server understands.

use core::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, Visitor},
};

/// Reads a whole text as a `T`.
///
/// # Errors
/// As [`serde_json::from_str`], and for an array in the place of an object.
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = T::deserialize(Strict(&mut reader))?;
    reader.end()?;
    Ok(value)
}

/// Passes everything on, but for arrays in the place of objects.
struct Strict<T>(T);

macro_rules! pass_on {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(Strict(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    pass_on! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32
        deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_option deserialize_unit deserialize_seq deserialize_map
        deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Strict(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, Strict(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Strict(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, Strict(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, Strict(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, Strict(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident $type:ty;)*) => {$(
        fn $method<E: serde::de::Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool bool; visit_i64 i64; visit_i128 i128; visit_u64 u64; visit_u128 u128;
        visit_f64 f64; visit_char char; visit_str &str; visit_borrowed_str &'de str;
        visit_string String; visit_bytes &[u8]; visit_borrowed_bytes &'de [u8];
        visit_byte_buf Vec<u8>;
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Strict(from))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Strict(from))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Strict(access))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Strict(access))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(access)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Strict(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Strict(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Strict(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(from))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::rest::{Evidence, LogIn, Register};

    #[derive(Debug, Deserialize)]
    struct Outer<'a> {
        one: Inner,
        #[serde(default)]
        many: Vec<Inner>,
        #[serde(default)]
        maybe: Option<Inner>,
        #[serde(borrow, default)]
        raw: Option<&'a RawValue>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        n: u8,
    }

    #[test]
    fn objects_are_objects_at_any_depth() {
        let good =
            r#"{"one":{"n":1},"many":[{"n":2},{"n":3}],"maybe":null,"raw":[{"a":[]}],"x":[[]]}"#;
        let read: Outer<'_> = from_str(good).unwrap();
        assert_eq!((read.one.n, read.many.len(), &read.maybe), (1, 2, &None));
        assert_eq!(read.raw.unwrap().get(), r#"[{"a":[]}]"#);
        for bad in [
            r#"[{"n":1}]"#,
            r#"{"one":[1]}"#,
            r#"{"one":{"n":1},"many":[[2]]}"#,
            r#"{"one":{"n":1},"maybe":[2]}"#,
            r#"{"one":{"n":1}} {}"#,
            r#"{"one":{"n":1},"one":{"n":1}}"#,
        ] {
            assert!(from_str::<Outer<'_>>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn devices_and_evidence_are_objects() {
        let log_in = r#"{"user":"alice","password":"x","device":[null,null]}"#;
        assert!(from_str::<LogIn>(log_in).is_err());
        assert!(serde_json::from_str::<LogIn>(log_in).is_ok(), "what this module is for");
        let register = r#"{"handle":"alice","password":"x","device":{"name":"phone"}}"#;
        assert_eq!(from_str::<Register>(register).unwrap().device.name.unwrap(), "phone");
        let evidence = r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","content":[{"any":"thing"}],
            "from":"01890a5d-0000-774b-bcce-b302099a8057@eu.example"}"#;
        let evidence: Evidence = from_str(evidence).unwrap();
        assert_eq!(evidence.content.get(), r#"[{"any":"thing"}]"#);
    }
}
