//! What `serde_json` finds wrong with a text, in its words and with its position.
//!
//! A text that was refused is read once more, by visitors that take what the decoder takes: numbers in any size, and all
//! else strictly. A value's first byte is found from where its borrowed key lies in the text; numbers and arrays are then
//! taken as `RawValue`.
//!
//! Invariants
//! * It reads the same fields as the decoder: the tests hold one against the other.
use super::json::{Fields, Scalar, compact, what};
use logyard_storage::limits::RECORD_DEPTH_MAX;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// What is wrong with a text that the decoder refused.
#[cold]
pub(super) fn about(text: &str) -> serde_json::Error {
    match read_object(text, &mut Nowhere) {
        Err(error) => error,
        Ok(()) => serde_json::Error::custom("BUG: refused for no reason"),
    }
}

/// Takes no fields.
struct Nowhere;

impl Fields for Nowhere {
    fn enter(&mut self, _: &str) {}
    fn leave(&mut self) {}
    fn value(&mut self, _: &str, _: Scalar<'_>) {}
}

/// Reads `text`, which has to be one JSON object.
pub(super) fn read_object(text: &str, fields: &mut impl Fields) -> Result<(), serde_json::Error> {
    let mut input = serde_json::Deserializer::from_str(text);
    input.deserialize_map(ObjectVisitor { text, depth: 1, name: None, fields })?;
    input.end()
}

/// The first byte of the value that follows a key which borrows from `text`; 0 where there is none.
fn first_byte(text: &str, key: &str) -> u8 {
    let key_end = (key.as_ptr() as usize - text.as_ptr() as usize) + key.len();
    let after_quote = text.as_bytes().get(key_end + 1..).unwrap_or_default();
    let mut not_between = after_quote.iter().filter(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b':'));
    // More than one colon is for the parser to refuse.
    not_between.next().copied().unwrap_or(0)
}

/// A key, borrowed unless it has escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// Visits an object, or a field's value that is no number and no array.
struct ObjectVisitor<'t, 's, F> {
    /// What is parsed; borrowed keys lie in it.
    text: &'t str,
    /// Nesting of the object, or of the one that the value would be.
    depth: usize,
    /// Its name; the record itself has none.
    name: Option<&'s str>,
    fields: &'s mut F,
}

impl<'de: 't, 't, F: Fields> ObjectVisitor<'t, '_, F> {
    fn put(self, value: Scalar<'_>) {
        if let Some(name) = self.name {
            self.fields.value(name, value);
        }
    }

    /// One field, whose value `object` is about to give.
    fn field<A: MapAccess<'de>>(&mut self, key: &Cow<'de, str>, object: &mut A) -> Result<(), A::Error> {
        // Behind a key with escapes the value's place is not known: it is read as a whole and parsed on its own.
        let first = match key {
            Cow::Borrowed(key) => first_byte(self.text, key),
            Cow::Owned(_) => return self.raw_field(key, object.next_value::<&'de RawValue>()?.get()),
        };
        match first {
            b'-' | b'0'..=b'9' | b'[' => self.raw_field(key, object.next_value::<&'de RawValue>()?.get()),
            b'{' if self.depth == RECORD_DEPTH_MAX => self.raw_field(key, object.next_value::<&'de RawValue>()?.get()),
            _ => object.next_value_seed(ObjectVisitor {
                text: self.text,
                depth: self.depth + 1,
                name: Some(key),
                fields: &mut *self.fields,
            }),
        }
    }

    fn raw_field<E: Error>(&mut self, key: &str, raw: &'de str) -> Result<(), E> {
        match raw.as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => self.fields.value(key, Scalar::Number(raw)),
            Some(b'[') => self.fields.value(key, Scalar::Json(&compact(raw))),
            Some(b'{') if self.depth == RECORD_DEPTH_MAX => self.fields.value(key, Scalar::Json(&compact(raw))),
            _ => {
                let visitor =
                    ObjectVisitor { text: raw, depth: self.depth + 1, name: Some(key), fields: &mut *self.fields };
                let mut input = serde_json::Deserializer::from_str(raw);
                return input.deserialize_any(visitor).map_err(|e| E::custom(what(&e)));
            }
        }
        Ok(())
    }
}

impl<'de: 't, 't, F: Fields> DeserializeSeed<'de> for ObjectVisitor<'t, '_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de: 't, 't, F: Fields> Visitor<'de> for ObjectVisitor<'t, '_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.put(Scalar::String(value));
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.put(Scalar::Bool(value));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.put(Scalar::Null);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        let mut is_empty = true;
        while let Some(key) = object.next_key_seed(Key)? {
            if let (true, Some(name)) = (is_empty, self.name) {
                self.fields.enter(name);
            }
            is_empty = false;
            self.field(&key, &mut object)?;
        }
        match self.name {
            Some(name) if is_empty => self.fields.value(name, Scalar::Json("{}")),
            Some(_) => self.fields.leave(),
            None => {}
        }
        Ok(())
    }
}
