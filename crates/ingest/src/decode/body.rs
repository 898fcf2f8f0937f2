//! One pass over a record's JSON into slots, without an intermediate value. What is not a field of the
//! topic is walked over all the same: a key that occurs twice and a field that must not be stored count
//! at any depth.

use std::fmt;
use std::hash::Hasher;

use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::layout::{Fields, Layout, WIDTH, bit};
use super::privacy;

/// A field's value as the body spells it. Every payload is of whole words: a narrower one would be copied in
/// overlapping pieces, which costs more than reading the JSON does.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) enum Slot<'a> {
    /// Not given, or null.
    #[default]
    Absent,
    Text(&'a str),
    /// Text that held escapes: a stretch of [`Parser::unescaped`].
    Unescaped(usize, usize),
    Whole(i64),
    Number(f64),
    True,
    False,
    /// An object or an array.
    Nested,
}

/// The fields of one record.
#[derive(Debug)]
pub(super) struct Body<'a> {
    pub(super) slots: [Slot<'a>; WIDTH],
    /// Which slots hold something.
    pub(super) given: Fields,
    pub(super) shape: Shape,
}

/// What the body's outermost value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    NotAnObject,
    Empty,
    Object,
}

impl<'a> Body<'a> {
    pub(super) const fn new() -> Self {
        Self { slots: [Slot::Absent; WIDTH], given: 0, shape: Shape::NotAnObject }
    }

    pub(super) fn set(&mut self, field: usize, slot: Slot<'a>) {
        self.slots[field] = slot;
        self.given |= bit(field);
    }

    pub(super) fn clear(&mut self, field: usize) {
        self.slots[field] = Slot::Absent;
        self.given &= !bit(field);
    }
}

/// What a key means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Name {
    Field(usize),
    /// Unknown to the topic: accepted, and not kept.
    Other,
    /// Must not be stored.
    Forbidden(&'static str),
    /// Marks a CloudEvents envelope where it stands at the top.
    SpecVersion,
    Data,
}

/// Unknown names that are remembered; a source that invents new ones all the time must not fill the memory.
const NAMES_MAX: usize = 4096;

/// What one topic's parser knows and has found; reused from record to record.
pub(super) struct Parser {
    names: FxHashMap<Box<str>, Name>,
    known: usize,
    /// The field that stood at this place in the last record: devices of a kind send their keys in one order.
    order: Vec<usize>,
    pub(super) unescaped: String,
    keys: Keys,
    pub(super) found: Found,
}

/// What was met on the way that decides the record's fate.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) forbidden: Option<&'static str>,
    pub(super) duplicate: Option<String>,
    pub(super) spec_version: bool,
    pub(super) data: bool,
}

impl Parser {
    pub(super) fn new(layout: &Layout) -> Self {
        let mut names = FxHashMap::default();
        for (number, column) in layout.columns.iter().enumerate() {
            names.insert(column.name.into(), Name::Field(number));
        }
        names.insert("specversion".into(), Name::SpecVersion);
        names.insert("data".into(), Name::Data);
        names.insert("data_base64".into(), Name::Data);
        let known = names.len();
        Self {
            names,
            known,
            order: vec![0; WIDTH],
            unescaped: String::new(),
            keys: Keys::default(),
            found: Found::default(),
        }
    }

    /// Reads `text` whole; what it found beside the fields stands in [`Parser::found`], whether or not the
    /// text is JSON to its end.
    pub(super) fn parse<'a>(
        &mut self,
        layout: &Layout,
        text: &'a str,
        body: &mut Body<'a>,
    ) -> Result<(), serde_json::Error> {
        self.unescaped.clear();
        self.keys.clear();
        self.found = Found::default();
        let mut json = serde_json::Deserializer::from_str(text);
        json.deserialize_any(Root { parser: self, layout, body })?;
        json.end()
    }

    /// The text of a slot; `None` where it holds none.
    pub(super) fn text<'b>(&'b self, slot: Slot<'b>) -> Option<&'b str> {
        match slot {
            Slot::Text(text) => Some(text),
            Slot::Unescaped(start, end) => self.unescaped.get(start..end),
            _ => None,
        }
    }

    fn name(&mut self, key: &str, layout: &Layout, place: usize) -> Name {
        if let Some(&number) = self.order.get(place)
            && layout.columns[number].name == key
        {
            return Name::Field(number);
        }
        let name = self.look_up(key);
        if let (Name::Field(number), Some(place)) = (name, self.order.get_mut(place)) {
            *place = number;
        }
        name
    }

    fn look_up(&mut self, key: &str) -> Name {
        if let Some(&name) = self.names.get(key) {
            return name;
        }
        let name = privacy::forbidden_name(key).map_or(Name::Other, Name::Forbidden);
        if self.names.len() < self.known + NAMES_MAX && key.len() <= 64 {
            self.names.insert(key.into(), name);
        }
        name
    }

    /// Notes a key of the record's object number `object`.
    fn note_key(&mut self, object: u32, key: &str) {
        if !self.keys.insert(object, key) {
            self.found.duplicate.get_or_insert_with(|| key.to_owned());
        }
    }

    fn note_text(&mut self, text: &str) {
        if privacy::is_image_address_with_token(text) {
            self.found.forbidden.get_or_insert("image_url");
        }
    }
}

/// The keys met in a record that are no fields: few as a rule, so a list does; a record with thousands
/// must not cost their square.
#[derive(Default)]
struct Keys {
    few: Vec<u64>,
    many: FxHashSet<u64>,
    objects: u32,
}

impl Keys {
    const FEW: usize = 32;

    fn clear(&mut self) {
        self.few.clear();
        self.many.clear();
        self.objects = 0;
    }

    fn next_object(&mut self) -> u32 {
        self.objects += 1;
        self.objects
    }

    /// Whether `key` is new to the object.
    fn insert(&mut self, object: u32, key: &str) -> bool {
        let mut hasher = FxHasher::default();
        hasher.write_u32(object);
        hasher.write(key.as_bytes());
        let hash = hasher.finish();
        if self.few.contains(&hash) {
            return false;
        }
        if self.few.len() < Self::FEW {
            self.few.push(hash);
            return true;
        }
        self.many.insert(hash)
    }
}

/// The outermost value.
struct Root<'p, 'l, 'b, 'a> {
    parser: &'p mut Parser,
    layout: &'l Layout,
    body: &'b mut Body<'a>,
}

impl<'a> Visitor<'a> for Root<'_, '_, '_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { parser, layout, body } = self;
        body.shape = Shape::Empty;
        let mut place = 0;
        // A key given twice, once as null, is given twice.
        let mut seen = 0;
        while let Some(name) = map.next_key_seed(RootKey { parser: &mut *parser, layout, place })? {
            body.shape = Shape::Object;
            place += 1;
            match name {
                Name::Field(number) => {
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
    place: usize,
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
        let name = self.parser.name(key, self.layout, self.place);
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
