//! What was seen of the rows of each shard.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Known, Words};
use crate::feed::Passed;
use crate::possible::known::Values;
use crate::shard::Shard;

/// What was seen of the rows of each shard, as they come and go.
///
/// What was seen is forgotten in two steps, so that nothing is remembered of each row: what is forgotten is out of
/// reach, and what is remembered may be so too.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sights {
    /// The words that somebody names who looks at them.
    words: Words,
    /// The columns that somebody looks at, in order.
    columns: Vec<usize>,
    older: Generation,
    newer: Generation,
    /// How often something was forgotten.
    forgotten: u64,
}

#[derive(Clone, Debug)]
struct Generation {
    sights: FxHashMap<Shard, Sight>,
    /// The latest time of a row, in microseconds.
    latest: i64,
}

impl Default for Generation {
    fn default() -> Self {
        Self { sights: FxHashMap::default(), latest: i64::MIN }
    }
}

/// What was seen of one shard, by the place in [`Sights::columns`].
type Sight = Box<[Known]>;

impl Sights {
    /// Looks at `column` from now on, for somebody who names these words.
    pub(crate) fn watch(&mut self, column: usize, words: &Words) {
        self.words.learn_all(words);
        if let Err(place) = self.columns.binary_search(&column) {
            self.columns.insert(place, column);
        }
    }

    /// The same before the first row.
    pub(crate) fn renewed(self) -> Self {
        Self { words: self.words, columns: self.columns, ..Self::default() }
    }

    /// Takes note of rows; returns the shards of which something was seen that had not been seen before.
    pub(crate) fn note(&mut self, passed: &Passed) -> FxHashSet<Shard> {
        let mut news = FxHashSet::default();
        let Some(shards) = &passed.shards else { return news };
        let columns: Vec<Vec<Known>> =
            self.columns.iter().map(|column| known(passed.rows().column(*column), &self.words)).collect();
        self.newer.latest = self.newer.latest.max(passed.latest);
        for group in shards.groups() {
            let shard = group[0].0;
            let sight = self.newer.sights.entry(shard).or_insert_with(|| {
                news.insert(shard);
                vec![Known::NO_ROW; columns.len()].into()
            });
            for (seen, column) in sight.iter_mut().zip(&columns) {
                let now = group.iter().fold(*seen, |known, (_, row)| known.or(column[*row as usize]));
                if now != *seen {
                    *seen = now;
                    news.insert(shard);
                }
            }
        }
        news
    }

    /// Forgets what is out of reach: rows before `floor`, in microseconds.
    pub(crate) fn forget_before(&mut self, floor: i64) {
        if self.older.latest < floor {
            self.older = std::mem::take(&mut self.newer);
            self.forgotten += 1;
        }
    }

    /// How often something was forgotten.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many shards were seen, at least.
    pub(crate) fn shards(&self) -> usize {
        self.newer.sights.len().max(self.older.sights.len())
    }

    /// What is known of the columns at `places` in the rows of `shard`, in the `words` of who asks; `None` where there
    /// are no rows.
    pub(crate) fn of(&self, shard: Shard, places: &[usize], words: &Words) -> Option<Vec<Known>> {
        let sights = [&self.older, &self.newer].map(|generation| generation.sights.get(&shard));
        let seen = |column: usize| match sights {
            [Some(older), Some(newer)] => older[column].or(newer[column]),
            [Some(only), None] | [None, Some(only)] => only[column],
            [None, None] => Known::NO_ROW,
        };
        let known = |place: &usize| match self.columns.binary_search(place) {
            Ok(column) => words.reworded(seen(column), &self.words),
            Err(_) => Known::ANYTHING,
        };
        sights.iter().any(Option::is_some).then(|| places.iter().map(known).collect())
    }
}

/// What is known of each row of a column.
fn known(column: &ArrayRef, words: &Words) -> Vec<Known> {
    let each = |value: &dyn Fn(usize) -> Known| {
        (0..column.len()).map(|row| if column.is_null(row) { Known::NULL } else { value(row) }).collect()
    };
    match column.data_type() {
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            each(&|row| Known::of(Values::OneOf(words.bit(texts.value(row)))))
        }
        DataType::Float64 => {
            let numbers = column.as_primitive::<Float64Type>();
            each(&|row| Known::between(numbers.value(row), numbers.value(row)))
        }
        DataType::Int32 => {
            let numbers = column.as_primitive::<Int32Type>();
            each(&|row| Known::between(numbers.value(row).into(), numbers.value(row).into()))
        }
        DataType::Int64 => {
            let numbers = column.as_primitive::<Int64Type>();
            #[allow(clippy::cast_precision_loss, reason = "rounding keeps the order")]
            each(&|row| Known::between(numbers.value(row) as f64, numbers.value(row) as f64))
        }
        DataType::Boolean => {
            let truths = column.as_boolean();
            each(&|row| Known::truth(truths.value(row), !truths.value(row), false))
        }
        _ => vec![Known::ANYTHING; column.len()],
    }
}
