//! How serde walks over a record: the fields of the topic into slots, everything else only looked at.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::body::{Body, Shape, Slot};
use super::layout::{Layout, bit};
use super::parser::{Name, Parser};

/// The outermost value.
pub(super) struct Root<'p, 'l, 'b, 'a> {
    pub(super) parser: &'p mut Parser,
    pub(super) layout: &'l Layout,
    pub(super) body: &'b mut Body<'a>,
}

impl<'a> Visitor<'a> for Root<'_, '_, '_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { parser, layout, body } = self;
        body.shape = Shape::Empty;
        let mut after = 0;
        // A key given twice, once as null, is given twice.
        let mut seen = 0;
        while let Some(name) = map.next_key_seed(RootKey { parser: &mut *parser, layout, after })? {
            body.shape = Shape::Object;
            match name {
                Name::Field(number) => {
                    after = number + 1;
                    let slot = map.next_value_seed(Value { parser: &mut *parser })?;
                    if seen & bit(number) != 0 {
                        parser.found.duplicate.get_or_insert_with(|| layout.name(number).to_owned());
                    } else if slot != Slot::Absent {
                        body.set(number, slot);
                    }
                    seen |= bit(number);
                }
                Name::Forbidden(what) => {
                    parser.found.forbidden.get_or_insert(what);
                    map.next_value_seed(Other { parser: &mut *parser })?;
                }
                Name::SpecVersion => {
                    parser.found.spec_version = true;
                    map.next_value_seed(Other { parser: &mut *parser })?;
                }
                Name::Data => {
                    parser.found.data = true;
                    map.next_value_seed(Other { parser: &mut *parser })?;
                }
                Name::Other => map.next_value_seed(Other { parser: &mut *parser })?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<(), A::Error> {
        Other { parser: self.parser }.visit_seq(seq)
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
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
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key of the outermost object.
struct RootKey<'p, 'l> {
    parser: &'p mut Parser,
    layout: &'l Layout,
    /// See [`Parser::name`].
    after: usize,
}

impl<'de> DeserializeSeed<'de> for RootKey<'_, '_> {
    type Value = Name;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for RootKey<'_, '_> {
    type Value = Name;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Name, E> {
        let name = self.parser.name(key, self.layout, self.after);
        if !matches!(name, Name::Field(_)) {
            self.parser.note_key(0, key);
        }
        Ok(name)
    }
}

/// A key below the outermost object.
struct OtherKey<'p> {
    parser: &'p mut Parser,
    object: u32,
}

impl<'de> DeserializeSeed<'de> for OtherKey<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for OtherKey<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        self.parser.note_key(self.object, key);
        if let Name::Forbidden(what) = self.parser.look_up(key) {
            self.parser.found.forbidden.get_or_insert(what);
        }
        Ok(())
    }
}

/// The value of a field.
struct Value<'p> {
    parser: &'p mut Parser,
}

impl<'a> DeserializeSeed<'a> for Value<'_> {
    type Value = Slot<'a>;
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Slot<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Value<'_> {
    type Value = Slot<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Slot<'a>, E> {
        Ok(Slot::Text(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Slot<'a>, E> {
        let start = self.parser.unescaped.len();
        self.parser.unescaped.push_str(text);
        let end = self.parser.unescaped.len();
        Ok(Slot::Unescaped(start, end))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Slot<'a>, E> {
        Ok(Slot::Whole(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Slot<'a>, E> {
        Ok(i64::try_from(number).map_or(Slot::Number(number as f64), Slot::Whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Slot<'a>, E> {
        Ok(Slot::Number(number))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Slot<'a>, E> {
        Ok(if value { Slot::True } else { Slot::False })
    }

    fn visit_unit<E>(self) -> Result<Slot<'a>, E> {
        Ok(Slot::Absent)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<Slot<'a>, A::Error> {
        Other { parser: self.parser }.visit_seq(seq).map(|()| Slot::Nested)
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Slot<'a>, A::Error> {
        Other { parser: self.parser }.visit_map(map).map(|()| Slot::Nested)
    }
}

/// A value that is not kept.
struct Other<'p> {
    parser: &'p mut Parser,
}

impl<'de> DeserializeSeed<'de> for Other<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Other<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let parser = self.parser;
        let object = parser.keys.next_object();
        while map.next_key_seed(OtherKey { parser: &mut *parser, object })?.is_some() {
            map.next_value_seed(Other { parser: &mut *parser })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Other { parser: &mut *self.parser })?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.parser.note_text(text);
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
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
