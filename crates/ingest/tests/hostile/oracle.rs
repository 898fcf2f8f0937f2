//! What a plain JSON reader, with nothing of the decoder's in it, says of a record.

use std::fmt;

use hexwatch_contract::Topic;
use hexwatch_contract::event::{COMMON, Column, Kind, columns};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::corpus::{ADDRESSES, FORBIDDEN};

/// Any JSON value; an object keeps every key, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Json {
    Null,
    Bool(bool),
    Whole(i64),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The value of `key`, null where there is none; of two the first.
    pub fn get(&self, key: &str) -> &Json {
        let Self::Object(members) = self else { return &Json::Null };
        members.iter().find(|(name, _)| name == key).map_or(&Json::Null, |(_, value)| value)
    }

    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Whether something is true of this value or of one within it.
    fn any(&self, is: &impl Fn(&Json) -> bool) -> bool {
        is(self)
            || match self {
                Self::List(items) => items.iter().any(|item| item.any(is)),
                Self::Object(members) => members.iter().any(|(_, value)| value.any(is)),
                _ => false,
            }
    }

    pub fn has_duplicate_key(&self) -> bool {
        self.any(&|value| {
            let Self::Object(members) = value else { return false };
            let mut keys: Vec<&str> = members.iter().map(|(key, _)| key.as_str()).collect();
            keys.sort_unstable();
            keys.windows(2).any(|pair| pair[0] == pair[1])
        })
    }

    pub fn has_forbidden_key(&self) -> bool {
        self.any(&|value| match value {
            Self::Object(members) => members.iter().any(|(key, _)| FORBIDDEN.contains(&key.as_str())),
            _ => false,
        })
    }

    pub fn has_address(&self) -> bool {
        self.any(&|value| value.text().is_some_and(|text| ADDRESSES.contains(&text)))
    }

    /// Whether a text in it may be an address, damaged or not.
    pub fn may_have_address(&self) -> bool {
        let is_like = |text: &str| text.contains("//") || text.contains("data:image");
        self.any(&|value| value.text().is_some_and(is_like))
    }

    /// Whether it may be taken for a CloudEvents envelope.
    pub fn is_like_an_envelope(&self) -> bool {
        let Self::Object(members) = self else { return false };
        let has = |name: &str| members.iter().any(|(key, _)| key == name);
        has("specversion") && (has("data") || has("data_base64"))
    }
}

/// The bytes as one JSON value in UTF-8; `None` where they are not.
pub fn read(bytes: &[u8]) -> Option<Json> {
    let text = std::str::from_utf8(bytes).ok()?;
    serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)).ok()
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Whole(number))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(i64::try_from(number).map_or(Json::Number(number as f64), Json::Whole))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }
    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

/// The field `name` of `topic`'s records.
pub fn field(topic: Topic, name: &str) -> Option<&'static Column> {
    COMMON.iter().chain(columns(topic)).find(|column| column.name == name)
}

/// Whether `value` is of the JSON type that `kind` is written in.
pub fn is_of_type(kind: Kind, value: &Json) -> bool {
    match kind {
        Kind::Text | Kind::Member(_) => matches!(value, Json::Text(_)),
        Kind::Bool => matches!(value, Json::Bool(_)),
        Kind::Float | Kind::FloatIn(..) => matches!(value, Json::Whole(_) | Json::Number(_)),
        Kind::IntIn(..) => match value {
            Json::Whole(_) => true,
            Json::Number(number) => number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0,
            _ => false,
        },
        Kind::Time => match value {
            Json::Whole(_) | Json::Number(_) => true,
            Json::Text(text) => hexwatch_contract::EventTime::parse_rfc3339(text).is_some(),
            _ => false,
        },
    }
}
