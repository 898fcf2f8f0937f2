//! The rows that a query may still look at.

use std::iter::Sum;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use rustc_hash::FxHashSet;

use crate::feed::Passed;
use crate::shard::Shard;

/// So many small batches in a row are joined to one: a batch has a price of its own whenever rows are looked for.
const MANY: usize = 32;
/// Batches with so many rows are not joined any more.
const LARGE: usize = 65_536;
/// Nor are batches whose rows would lie further apart than such a share of what is kept: a batch is dropped as a whole.
const SHARE: i64 = 16;
/// Unless there are so many.
const TOO_MANY: usize = 512;

/// How much queries keep.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stored {
    /// How many rows.
    pub rows: u64,
    /// Their size in memory.
    pub bytes: u64,
}

impl Sum for Stored {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self { rows: sum.rows + one.rows, bytes: sum.bytes + one.bytes })
    }
}

/// The rows of one stock, in batches about as they came.
#[derive(Debug)]
pub(crate) struct Kept {
    fresh: Batches,
    /// Rows that came late. Among the others they would make batches wide, and every run would look for its rows in them.
    late: Batches,
    /// What is left of older ones.
    rest: Batches,
}

#[derive(Debug)]
struct Batches {
    batches: Vec<(Passed, Size)>,
    /// How far the times of a batch may lie apart, in microseconds.
    width: i64,
}

/// How often the rows of a batch were joined with others: each is copied so often at most.
type Size = u8;
const LARGEST: Size = 3;

impl Kept {
    /// For rows that are kept for `span`, in microseconds.
    pub(crate) fn new(span: i64) -> Self {
        let none = || Batches { batches: Vec::new(), width: (span / SHARE).max(1) };
        Self { fresh: none(), late: Batches { batches: Vec::new(), width: i64::MAX }, rest: none() }
    }

    pub(crate) fn push(&mut self, passed: Passed) -> Result<()> {
        let from = passed.latest.saturating_sub(self.fresh.width);
        if passed.earliest >= from {
            return self.fresh.push(passed);
        }
        if let Some(late) = passed.between(i64::MIN, from.saturating_sub(1))? {
            self.late.push(late)?;
        }
        passed.between(from, i64::MAX)?.map_or(Ok(()), |rest| self.fresh.push(rest))
    }

    fn all(&self) -> impl Iterator<Item = &Passed> {
        let batches = [&self.rest, &self.late, &self.fresh].map(|batches| &batches.batches);
        batches.into_iter().flatten().map(|(batch, _)| batch)
    }

    /// The kept rows with `from <= time <= to`, in microseconds.
    pub(crate) fn between(&self, from: i64, to: i64) -> Result<Vec<RecordBatch>> {
        self.all().map(|batch| batch.rows_between(from, to)).filter_map(Result::transpose).collect()
    }

    /// Those of them that belong to the shards in `among`.
    pub(crate) fn among(&self, from: i64, to: i64, among: &FxHashSet<Shard>) -> Result<Vec<RecordBatch>> {
        if among.is_empty() {
            return Ok(Vec::new());
        }
        self.all().map(|batch| batch.among(from, to, among)).filter_map(Result::transpose).collect()
    }

    /// How much that is.
    pub(crate) fn stored(&self) -> Stored {
        self.all().map(Passed::stored).sum()
    }

    /// The time of the earliest row, in microseconds.
    pub(crate) fn earliest(&self) -> Option<i64> {
        self.all().map(|batch| batch.earliest).min()
    }

    /// Drops what lies before `floor`, in microseconds.
    pub(crate) fn drop_before(&mut self, floor: i64) {
        for batches in [&mut self.rest, &mut self.late, &mut self.fresh] {
            batches.batches.retain(|(batch, _)| batch.latest >= floor);
        }
    }

    /// Drops of what lies before `floor`, in microseconds, and was not asked about before, the rows of the shards that
    /// are not `needed`.
    pub(crate) fn thin(&mut self, floor: i64, needed: impl Fn(Shard) -> bool) -> Result<()> {
        for batches in [&mut self.late, &mut self.fresh] {
            for (batch, _) in batches.batches.extract_if(.., |(batch, _)| batch.latest < floor) {
                if let Some(rest) = batch.of_shards(&needed)? {
                    self.rest.push(rest)?;
                }
            }
        }
        Ok(())
    }
}

impl Batches {
    fn push(&mut self, passed: Passed) -> Result<()> {
        let size = size_of(&passed, 0);
        self.batches.push((passed, size));
        self.join_small()
    }

    /// Joins the last batches while there are many of one size.
    fn join_small(&mut self) -> Result<()> {
        while let Some((_, size)) = self.batches.last().filter(|(_, size)| *size < LARGEST) {
            let size = *size;
            let count = self.batches.iter().rev().take_while(|(_, other)| *other == size).count();
            let first = self.batches.len() - count;
            if count < MANY || (count < TOO_MANY && self.spread_from(first) > self.width) {
                break;
            }
            let parts: Vec<Passed> = self.batches.drain(first..).map(|(batch, _)| batch).collect();
            if let Some(joined) = Passed::concat(&parts)? {
                let size = size_of(&joined, size + 1);
                self.batches.push((joined, size));
            }
        }
        Ok(())
    }

    /// How far the times of the batches from `first` on lie apart.
    fn spread_from(&self, first: usize) -> i64 {
        let batches = || self.batches[first..].iter().map(|(batch, _)| batch);
        let earliest = batches().map(|batch| batch.earliest).min().unwrap_or(0);
        batches().map(|batch| batch.latest).max().unwrap_or(0).saturating_sub(earliest)
    }
}

fn size_of(batch: &Passed, joined: Size) -> Size {
    if batch.rows().num_rows() >= LARGE { LARGEST } else { joined }
}
