//! One pass over a record's JSON into slots, without an intermediate value. What is not a field of the
//! topic is walked over all the same: a key that occurs twice and a field that must not be stored count
//! at any depth.

use std::borrow::Cow;
use std::hash::Hasher;

use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use super::body::{Body, Slot};
use super::json::{self, Mistake};
use super::layout::{Layout, WIDTH};
use super::privacy;
use super::scan::scan;

/// What a key means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name {
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
    /// The field that last followed each field: devices send their keys in one order, though not all of them the
    /// same keys.
    order: Vec<usize>,
    pub(super) unescaped: String,
    pub(super) keys: Keys,
    pub(super) found: Found,
}

/// What was met on the way that decides the record's fate.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Found {
    pub(super) forbidden: Option<&'static str>,
    pub(super) duplicate: Option<Twice>,
    pub(super) spec_version: bool,
    pub(super) data: bool,
}

/// A key that occurs twice, where it may be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Twice(pub(super) Option<Cow<'static, str>>);

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
            order: vec![0; WIDTH + 1],
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
    ) -> Result<(), Mistake> {
        self.forget();
        if let Some(mistake) = json::cut_off(text) {
            return Err(mistake);
        }
        if scan(self, layout, text, body).is_some() {
            return Ok(());
        }
        self.parse_any(layout, text, body)
    }

    /// The same for JSON of every shape.
    pub(super) fn parse_any<'a>(
        &mut self,
        layout: &Layout,
        text: &'a str,
        body: &mut Body<'a>,
    ) -> Result<(), Mistake> {
        self.forget();
        *body = Body::new();
        json::read(self, layout, text, body)
    }

    /// Forgets what belongs to one record.
    fn forget(&mut self) {
        self.unescaped.clear();
        self.keys.clear();
        self.found = Found::default();
    }

    /// The text of a slot; `None` where it holds none.
    pub(super) fn text<'b>(&'b self, slot: Slot<'b>) -> Option<&'b str> {
        match slot {
            Slot::Text(text) => Some(text),
            Slot::Unescaped(start, end) => self.unescaped.get(start..end),
            _ => None,
        }
    }

    /// The field that followed the one before it last time; `after` as in [`Parser::name`].
    pub(super) fn expected(&self, after: usize) -> Option<usize> {
        self.order.get(after).copied()
    }

    /// What `key` means. `after` is one more than the number of the field before it, and 0 where there is none.
    pub(super) fn name(&mut self, key: &str, layout: &Layout, after: usize) -> Name {
        if let Some(&number) = self.order.get(after)
            && layout.columns[number].name == key
        {
            return Name::Field(number);
        }
        let name = self.look_up(key);
        if let (Name::Field(number), Some(next)) = (name, self.order.get_mut(after)) {
            *next = number;
        }
        name
    }

    pub(super) fn look_up(&mut self, key: &str) -> Name {
        if let Some(&name) = self.names.get(key) {
            return name;
        }
        let name = privacy::forbidden_name(key).map_or(Name::Other, Name::Forbidden);
        if self.names.len() < self.known + NAMES_MAX && key.len() <= 64 {
            self.names.insert(key.into(), name);
        }
        name
    }

    /// Notes a key of the record's object number `object`; false where it was given before.
    pub(super) fn note_key(&mut self, object: u32, key: &str) -> bool {
        let is_new = self.keys.insert(object, key);
        if !is_new {
            self.found
                .duplicate
                .get_or_insert_with(|| Twice(privacy::is_tellable(key).then(|| Cow::Owned(key.to_owned()))));
        }
        is_new
    }

    /// Notes that a field was given twice.
    pub(super) fn note_twice(&mut self, field: &'static str) {
        self.found.duplicate.get_or_insert(Twice(Some(Cow::Borrowed(field))));
    }

    /// Notes what a key means that is no field.
    pub(super) fn note_name(&mut self, name: Name) {
        match name {
            Name::Forbidden(what) => {
                self.found.forbidden.get_or_insert(what);
            }
            Name::SpecVersion => self.found.spec_version = true,
            Name::Data => self.found.data = true,
            Name::Field(_) | Name::Other => {}
        }
    }

    pub(super) fn note_text(&mut self, text: &str) {
        if privacy::is_image_address_with_token(text) {
            self.found.forbidden.get_or_insert("image_url");
        }
    }

    /// The same for a text that held escapes and is not kept: what follows `start` of [`Parser::unescaped`].
    pub(super) fn note_unescaped(&mut self, start: usize) {
        if privacy::is_image_address_with_token(&self.unescaped[start..]) {
            self.found.forbidden.get_or_insert("image_url");
        }
        self.unescaped.truncate(start);
    }
}

/// The keys met in a record that are no fields: few as a rule, so a list does; a record with thousands
/// must not cost their square.
#[derive(Default)]
pub(super) struct Keys {
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

    pub(super) fn next_object(&mut self) -> u32 {
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
