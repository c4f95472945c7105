//! Reads the merged tree into types, taking its direction from the type: a text of the environment becomes a number only
//! where the field is a number. `<key>_file` stands for `<key>` and is read here, once.

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::value::SeqDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

/// One value of the tree.
#[derive(Debug)]
pub(super) struct Node(pub(super) Value);

/// Where and what; the path is filled while the error travels up.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Error {
    path: Vec<String>,
    pub(super) message: String,
}

impl Error {
    fn under(mut self, key: &str) -> Self {
        self.path.insert(0, key.to_owned());
        self
    }

    /// The dotted path.
    pub(super) fn path(&self) -> String {
        self.path.join(".")
    }
}

impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self {
            path: Vec::new(),
            message: message.to_string(),
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let expected: Vec<String> = expected.iter().map(|key| key.to_uppercase()).collect();
        Self {
            path: vec![field.to_owned()],
            message: format!("unknown key; this section has {}", expected.join(", ")),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            path: vec![field.to_owned()],
            message: "is required".into(),
        }
    }
}

macro_rules! from_text {
    ($($method:ident => $type:ty, $visit:ident, $what:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match &self.0 {
                Value::String(text) => visitor.$visit(parse::<$type>(text, $what)?),
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

fn parse<T: FromStr>(text: &str, what: &str) -> Result<T, Error> {
    text.trim()
        .parse()
        .map_err(|_| serde::de::Error::custom(format!("{text:?} is not {what}")))
}

impl<'de> Deserializer<'de> for Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => visitor.visit_map(Entries {
                entries: map.into_iter(),
                current: None,
            }),
            Value::Array(list) => {
                visitor.visit_seq(SeqDeserializer::new(list.into_iter().map(Node)))
            }
            scalar => scalar
                .deserialize_any(visitor)
                .map_err(serde::de::Error::custom),
        }
    }

    from_text! {
        deserialize_bool => bool, visit_bool, "true or false";
        deserialize_i8 => i8, visit_i8, "a whole number between -128 and 127";
        deserialize_i16 => i16, visit_i16, "a whole number between -32768 and 32767";
        deserialize_i32 => i32, visit_i32, "a whole number";
        deserialize_i64 => i64, visit_i64, "a whole number";
        deserialize_u8 => u8, visit_u8, "a whole number between 0 and 255";
        deserialize_u16 => u16, visit_u16, "a whole number between 0 and 65535";
        deserialize_u32 => u32, visit_u32, "a whole number, 0 or more";
        deserialize_u64 => u64, visit_u64, "a whole number, 0 or more";
        deserialize_f32 => f32, visit_f32, "a number";
        deserialize_f64 => f64, visit_f64, "a number";
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0 {
            Value::Null => visitor.visit_none(),
            Value::String(text) if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0 {
            Value::String(text) => {
                let items = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty());
                visitor.visit_seq(SeqDeserializer::new(
                    items.map(|item| Node(Value::from(item))),
                ))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Value::Object(mut map) = self.0 else {
            return Err(serde::de::Error::custom("is a section, not a value"));
        };
        for field in fields {
            let key = format!("{field}_file");
            if fields.contains(&key.as_str()) {
                continue;
            }
            let Some(path) = map.remove(&key) else {
                continue;
            };
            let Some(path) = path.as_str().filter(|path| !path.is_empty()) else {
                continue;
            };
            if map
                .get(*field)
                .is_some_and(|value| value.as_str() != Some(""))
            {
                let message = "is set both directly and by its _FILE variant; keep one";
                return Err(Error {
                    path: vec![key],
                    message: message.into(),
                });
            }
            let content = read_file(path).map_err(|message| Error {
                path: vec![key],
                message,
            })?;
            map.insert((*field).to_owned(), Value::from(content));
        }
        Node(Value::Object(map)).deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::String(text) if variants.contains(&text.as_str()) => {
                visitor.visit_enum(text.into_deserializer())
            }
            other => Err(serde::de::Error::custom(format!(
                "{other} is not one of {}",
                variants.join(", ")
            ))),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct map identifier ignored_any
    }
}

impl IntoDeserializer<'_, Error> for Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The file's text without one trailing newline (editors and `echo` add one; a secret may well end in a space).
fn read_file(path: &str) -> Result<String, String> {
    let mut text =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        Err(format!("{path} is empty"))
    } else {
        Ok(text)
    }
}

struct Entries {
    entries: serde_json::map::IntoIter,
    current: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.current = self.entries.next();
        match &self.current {
            Some((key, _)) => seed.deserialize(key.as_str().into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, value) = self
            .current
            .take()
            .expect("serde asks for a value after its key");
        seed.deserialize(Node(value))
            .map_err(|error| error.under(&key))
    }
}

/// The field names of a derived struct, learnt by asking it to deserialize and noting what it asks for.
pub(super) fn fields_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    let _ = T::deserialize(FieldNames(&mut fields));
    fields
}

struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("a configuration is a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
