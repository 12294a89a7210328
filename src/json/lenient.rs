//! Deserializing a type of the app's from JSON that has odd members.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde_json::Error;
use serde_json::value::RawValue;

use super::string;

/// How deep lists and objects may lie in each other. `serde_json` goes to 128; but here each level is
/// looked through anew, and the depth is the sender's.
const MAX_DEPTH: u8 = 64;

/// Reads a `T`. A member that `T` does not ask for does not matter, whatever its name and its value
/// are, and of a repeated name the last one counts, down to a depth of 64.
///
/// # Errors
///
/// What `T` asks for is not there, or is of another type.
pub(crate) fn deserialize<'de, T: Deserialize<'de>>(json: &'de RawValue) -> Result<T, Error> {
    // Nearly always serde_json can, and its error tells the place. Where it cannot, that may be for
    // a name that is no text or comes twice.
    serde_json::from_str(json.get())
        .or_else(|error| T::deserialize(Lenient { json, depth: 0 }).map_err(|_| error))
}

/// As serde_json's deserializer, but for objects: what [`deserialize`] says of members.
#[derive(Clone, Copy)]
struct Lenient<'de> {
    json: &'de RawValue,
    depth: u8,
}

impl<'de> Lenient<'de> {
    /// `json`, which is a part of this.
    fn part(self, json: &'de RawValue) -> Self {
        let depth = self.depth.saturating_add(1);
        Self { json, depth }
    }

    /// Every way down leads through here.
    fn check_depth(self) -> Result<(), Error> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::custom("recursion limit exceeded"));
        }
        Ok(())
    }

    fn members(self) -> Result<impl ExactSizeIterator<Item = (Cow<'de, str>, Self)>, Error> {
        self.check_depth()?;
        let Members(members) = serde_json::from_str(self.json.get())?;
        let members = members.into_iter();
        Ok(members.map(move |(name, value)| (name, self.part(value))))
    }

    fn items(self) -> Result<impl Iterator<Item = Self>, Error> {
        self.check_depth()?;
        let items: Vec<&RawValue> = serde_json::from_str(self.json.get())?;
        Ok(items.into_iter().map(move |item| self.part(item)))
    }

    fn first_byte(self) -> Option<u8> {
        self.json.get().bytes().next()
    }
}

/// The scalars, which serde_json reads.
macro_rules! scalars {
    ($($method:ident)+) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
                self.json.$method(visitor)
            }
        )+
    };
}

impl<'de> Deserializer<'de> for Lenient<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.first_byte() {
            Some(b'{') => visitor.visit_map(MapDeserializer::new(self.members()?)),
            Some(b'[') => visitor.visit_seq(SeqDeserializer::new(self.items()?)),
            _ => self.json.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.json.get() {
            "null" => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let inner = self;
        self.json
            .deserialize_newtype_struct(name, Newtype { visitor, inner })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.first_byte() {
            Some(b'{') => {
                let members = self.members()?;
                // Of several, none is the variant, as in `serde_json`.
                if members.len() != 1 {
                    return Err(Error::custom("not one variant"));
                }
                let members = MapDeserializer::new(members);
                visitor.visit_enum(MapAccessDeserializer::new(members))
            }
            _ => self.json.deserialize_enum(name, variants, visitor),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.json.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    scalars! {
        deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_identifier
        deserialize_bytes deserialize_byte_buf
        deserialize_unit
    }

    serde::forward_to_deserialize_any! { seq tuple tuple_struct map struct }
}

impl<'de> IntoDeserializer<'de, Error> for Lenient<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A newtype's visitor, for which serde_json decides whether it is a `RawValue`'s.
struct Newtype<'de, V> {
    visitor: V,
    inner: Lenient<'de>,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Newtype<'de, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, raw: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(raw)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<V::Value, D::Error> {
        let read = self.visitor.visit_newtype_struct(self.inner);
        read.map_err(D::Error::custom)
    }
}

/// The members of an object whose names are text.
struct Members<'de>(BTreeMap<Cow<'de, str>, &'de RawValue>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            if let Some(name) = string(name) {
                members.insert(name, value);
            }
        }
        Ok(Members(members))
    }
}
