//! Columns of text. Sites, sources and states are the same row after row as a rule.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, StringArray, StringBuilder};
use arrow::buffer::{Buffer, OffsetBuffer};

/// A column of text in the making. As long as every row says the same, rows are only counted.
#[derive(Default)]
pub(super) struct Texts {
    same: Repeated,
    /// How many rows said the same.
    times: usize,
    /// Whether they do no longer, and the builder holds them.
    vary: bool,
    builder: StringBuilder,
}

impl Texts {
    pub(super) fn append_value(&mut self, text: &str) {
        if !self.vary {
            if self.times == 0 {
                self.same.say(text);
            }
            if self.same.text == text {
                self.times += 1;
                return;
            }
            self.spell_out();
        }
        self.builder.append_value(text);
    }

    pub(super) fn append_nulls(&mut self, nulls: usize) {
        self.spell_out();
        self.builder.append_nulls(nulls);
    }

    /// From here on the builder holds the rows.
    fn spell_out(&mut self) {
        self.vary = true;
        for _ in 0..std::mem::take(&mut self.times) {
            self.builder.append_value(&self.same.text);
        }
    }

    /// The column, and a builder with room for so many rows again, an eighth longer on the whole: one letter more than
    /// there is room for, and all of them are copied.
    pub(super) fn finish(&mut self, room: usize) -> ArrayRef {
        if !std::mem::take(&mut self.vary) {
            return self.same.said(std::mem::take(&mut self.times));
        }
        let letters = self.builder.values_slice().len();
        let next = StringBuilder::with_capacity(room, letters + letters / 8);
        Arc::new(std::mem::replace(&mut self.builder, next).finish())
    }
}

/// One text in every row. Chunks are of about the same length, so that a column is cut from that of one before.
#[derive(Default)]
pub(super) struct Repeated {
    text: String,
    column: Option<StringArray>,
}

impl Repeated {
    /// `text` in so many rows.
    pub(super) fn array(&mut self, text: &str, rows: usize) -> ArrayRef {
        self.say(text);
        self.said(rows)
    }

    fn say(&mut self, text: &str) {
        if self.text != text {
            text.clone_into(&mut self.text);
            self.column = None;
        }
    }

    fn said(&mut self, rows: usize) -> ArrayRef {
        let column = self.column.take().filter(|column| column.len() >= rows);
        let column = column.unwrap_or_else(|| constant(&self.text, rows));
        Arc::new(self.column.insert(column).slice(0, rows))
    }
}

/// `text` in every row.
fn constant(text: &str, rows: usize) -> StringArray {
    let offsets = OffsetBuffer::from_repeated_length(text.len(), rows);
    StringArray::new(offsets, Buffer::from_vec(text.repeat(rows).into_bytes()), None)
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray as _;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_column_holds_what_was_given_whether_it_varies_or_not(
            chunks in prop::collection::vec(prop::collection::vec(prop::option::of("[ab]{0,1}"), 0..6), 0..12)
        ) {
            let mut texts = Texts::default();
            for chunk in chunks {
                for text in &chunk {
                    match text {
                        Some(text) => texts.append_value(text),
                        None => texts.append_nulls(1),
                    }
                }
                let column = texts.finish(chunk.len());
                let held: Vec<_> = column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect();
                prop_assert_eq!(held, chunk);
            }
        }
    }
}
