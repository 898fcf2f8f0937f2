//! What one record's body holds, field by field.

use super::layout::{Fields, WIDTH, bit};

/// A field's value as the body spells it. Every payload is of whole words: a narrower one would be copied in
/// overlapping pieces, which costs more than reading the JSON does.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) enum Slot<'a> {
    /// Not given, or null.
    #[default]
    Absent,
    Text(&'a str),
    /// Text that held escapes: a stretch of `Parser::unescaped`.
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
