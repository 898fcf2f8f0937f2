//! What was seen of each shard's rows, and so which shards can give a row.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Columns, Known, Outline, Words};
use crate::possible::known::Values;
use crate::shard::{Shard, Shards};

/// Which shards can give a row, as the rows come and go.
///
/// What was seen is forgotten in two steps, so that nothing is remembered of each row: what is forgotten is out of
/// reach, and what is remembered may be so too.
#[derive(Clone, Debug)]
pub(crate) struct Sights {
    outline: Outline,
    /// The columns that matter: the number of the scan, and which of its columns.
    columns: Vec<(usize, usize)>,
    scans: Vec<usize>,
    older: Generation,
    newer: Generation,
    /// Shards of which more was seen since they were last judged.
    unjudged: FxHashSet<Shard>,
    possible: FxHashSet<Shard>,
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

/// What was seen of one shard.
#[derive(Clone, PartialEq, Debug)]
struct Sight {
    /// Which scans had a row of it, by their place in [`Sights::scans`].
    scans: u64,
    /// By the place in [`Sights::columns`].
    columns: Box<[Known]>,
}

impl Sight {
    fn none(columns: usize) -> Self {
        Self { scans: 0, columns: vec![Known::NO_ROW; columns].into() }
    }

    fn or(&self, other: &Self) -> Self {
        let columns = self.columns.iter().zip(&other.columns);
        Self {
            scans: self.scans | other.scans,
            columns: columns.map(|(known, more)| known.or(*more)).collect(),
        }
    }
}

impl Sights {
    /// Of the rows of `scans`, which are all that `outline` reads.
    pub(crate) fn new(outline: Outline, scans: Vec<usize>) -> Self {
        Self {
            columns: outline.looks_at().into_iter().collect(),
            outline,
            scans,
            older: Generation::default(),
            newer: Generation::default(),
            unjudged: FxHashSet::default(),
            possible: FxHashSet::default(),
        }
    }

    /// The same before the first row.
    pub(crate) fn renewed(self) -> Self {
        Self {
            older: Generation::default(),
            newer: Generation::default(),
            unjudged: FxHashSet::default(),
            possible: FxHashSet::default(),
            ..self
        }
    }

    /// Takes note of rows of the scan with this number, the latest being of `latest`.
    pub(crate) fn note(&mut self, scan: usize, shards: &Shards, rows: &RecordBatch, latest: i64) {
        let Some(place) = self.scans.iter().position(|number| *number == scan) else { return };
        let own: Vec<(usize, Vec<Known>)> = (0..)
            .zip(&self.columns)
            .filter(|(_, (number, _))| *number == scan)
            .map(|(at, (_, column))| (at, known(rows.column(*column), &self.outline.words)))
            .collect();
        self.newer.latest = self.newer.latest.max(latest);
        for group in shards.groups() {
            let shard = group[0].0;
            let count = self.columns.len();
            let sight = self.newer.sights.entry(shard).or_insert_with(|| Sight::none(count));
            let mut is_news = sight.scans & bit(place) == 0;
            sight.scans |= bit(place);
            for (at, column) in &own {
                let before = sight.columns[*at];
                let now = group.iter().fold(before, |known, (_, row)| known.or(column[*row as usize]));
                is_news |= now != before;
                sight.columns[*at] = now;
            }
            if is_news && !self.possible.contains(&shard) {
                self.unjudged.insert(shard);
            }
        }
    }

    /// The shards that can give a row; `None` where they are most of them, and looking for them is not worth it.
    pub(crate) fn possible(&mut self) -> Option<&FxHashSet<Shard>> {
        let unjudged = std::mem::take(&mut self.unjudged);
        let found: Vec<Shard> = unjudged.into_iter().filter(|shard| self.may_give(*shard)).collect();
        self.possible.extend(found);
        let seen = self.newer.sights.len().max(self.older.sights.len());
        (self.possible.len() < 8 || self.possible.len() * 2 < seen).then_some(&self.possible)
    }

    /// Forgets what is out of reach: rows before `floor`, in microseconds.
    pub(crate) fn forget_before(&mut self, floor: i64) {
        if self.older.latest >= floor {
            return;
        }
        self.older = std::mem::take(&mut self.newer);
        // Less is known to have been there: what could give a row may not any more, and nothing else changes.
        let before = std::mem::take(&mut self.possible);
        self.possible = before.into_iter().filter(|shard| self.may_give(*shard)).collect();
    }

    fn may_give(&self, shard: Shard) -> bool {
        let sights = [&self.older, &self.newer].map(|generation| generation.sights.get(&shard));
        let seen = match sights {
            [Some(older), Some(newer)] => older.or(newer),
            [Some(only), None] | [None, Some(only)] => only.clone(),
            [None, None] => return false,
        };
        self.outline.may_give(&|scan, width| self.of_scan(&seen, scan, width))
    }

    fn of_scan(&self, seen: &Sight, scan: usize, width: usize) -> Columns {
        let place = self.scans.iter().position(|number| *number == scan)?;
        if seen.scans & bit(place) == 0 {
            return None;
        }
        let mut columns = vec![Known::ANYTHING; width];
        for ((number, column), known) in self.columns.iter().zip(&seen.columns) {
            if *number == scan {
                columns[*column] = *known;
            }
        }
        Some(columns)
    }
}

/// Scans beyond the 64th share a bit: then a shard counts as seen by all of them.
fn bit(place: usize) -> u64 {
    1 << place.min(63)
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
