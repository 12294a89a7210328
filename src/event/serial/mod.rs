//! An event on its way through a queue or a log: `Serialize` and `Deserialize`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::GeminiEvent;
use crate::json::{members, string};

/// The only member of what stands for a body that cannot go as JSON: the body, in base64.
const BASE64: &str = "$gemini_webhooks::base64";

/// By this name serde_json is asked for the very text of a value. Were it another one day, then
/// values would be read without it, like those that come from elsewhere.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// With its feature `arbitrary_precision`, which another crate of the app may turn on, serde_json
/// hands a number over as an object with a member of this name.
const NUMBER: &str = "$serde_json::private::Number";

/// How deep a body that goes as JSON may be nested. `serde_json::Value` and what serde buffers are
/// read to a depth of 128; the rest is for what is around it.
const MAX_DEPTH: u8 = 64;

impl Serialize for GeminiEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(self.raw());
        }
        match self.text().and_then(plain) {
            Some(json) => json.serialize(serializer),
            None => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(BASE64, &STANDARD.encode(self.raw()))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for GeminiEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_newtype_struct(RAW_VALUE, Body)
        } else {
            Bytes::deserialize(deserializer)
        }
        .map(Self::parse)
    }
}

/// A body that every reader of JSON takes for what it is, also where a `serde_json::Value` or serde
/// keeps it in between; and not for something else that is read here.
fn plain(body: &str) -> Option<&RawValue> {
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let plain = Plain {
        depth: 0,
        // So that the name is serde_json's own, and no member's.
        numbers_have_names: !body.contains("$serde_json") && !body.contains("\\u"),
    };
    plain.deserialize(&mut deserializer).ok()?;
    let json: &RawValue = serde_json::from_str(body).ok()?;
    // An `Option` of an event would be `None`.
    (json.get() != "null").then_some(json)
}

/// Looks through a value: texts that are text, numbers that are finite, and names that mean nothing
/// here.
#[derive(Clone, Copy)]
struct Plain {
    depth: u8,
    numbers_have_names: bool,
}

impl Plain {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.depth {
            MAX_DEPTH => Err(E::custom("too deep")),
            depth => Ok(Self {
                depth: depth + 1,
                ..self
            }),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Plain {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Plain {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let item = self.deeper()?;
        while let Some(()) = list.next_element_seed(item)? {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let value = self.deeper()?;
        while let Some(()) = map.next_key_seed(PlainName(self.numbers_have_names))? {
            map.next_value_seed(value)?;
        }
        Ok(())
    }
}

/// A member's name, or that of a number if there may be one.
struct PlainName(bool);

impl<'de> DeserializeSeed<'de> for PlainName {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for PlainName {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        match name {
            NUMBER if self.0 => Ok(()),
            BASE64 | RAW_VALUE | NUMBER => Err(E::custom("a name with a meaning")),
            _ => Ok(()),
        }
    }
}

/// Reads a body: the text of a value where that can be had, else the value, which serde has buffered
/// for an outer type or which another format has. It is bytes if a binary format had them.
struct Body;

impl<'de> Visitor<'de> for Body {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event, as JSON or as bytes")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<Bytes, D::Error> {
        value.deserialize_any(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bytes, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == RAW_VALUE {
                return body_of(map.next_value()?);
            }
            members.insert(name, map.next_value()?);
        }
        body_of(Value::Object(members).to_string())
    }

    fn visit_bytes<E>(self, body: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes::copy_from_slice(body))
    }

    fn visit_byte_buf<E>(self, body: Vec<u8>) -> Result<Bytes, E> {
        Ok(body.into())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Bytes, E> {
        body_of(Value::from(value).to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Bytes, E> {
        body_of(Value::from(value).to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Bytes, E> {
        body_of(Value::from(value).to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Bytes, E> {
        body_of(Value::from(value).to_string())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Bytes, E> {
        body_of(Value::from(value).to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Bytes, A::Error> {
        let value = Value::deserialize(SeqAccessDeserializer::new(list))?;
        body_of(value.to_string())
    }
}

fn body_of<E: Error>(json: String) -> Result<Bytes, E> {
    let Some([Some(encoded)]) = members(&json, &[BASE64]) else {
        return Ok(json.into());
    };
    let decoded = string(encoded).and_then(|encoded| STANDARD.decode(&*encoded).ok());
    decoded.map(Bytes::from).ok_or_else(|| {
        E::custom(
            "`$gemini_webhooks::base64` must hold the body of an event as base64, and it does not",
        )
    })
}

#[cfg(test)]
mod tests;
