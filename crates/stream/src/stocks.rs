//! The rows that the queries of a group keep. A query that names a part of itself twice scans everything below it twice,
//! and the files of a rule begin alike: scans that let the same rows of a table through share one stock of them.

use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use hexwatch_contract::Topic;
use rustc_hash::FxHashSet;

use crate::apart::Apart;
use crate::feed::{Feed, Passed, Sieve, Source};
use crate::kept::{Kept, Stored};
use crate::lookback::LookbackQuery;
use crate::possible::{FAR, Sights};
use crate::shard::{Shard, ShardKey};

/// Before every row, in microseconds.
const START: i64 = i64::MIN / 4;
/// What is out of reach is dropped in steps of this width, in microseconds.
const DROP_STEP: i64 = 5_000_000;

/// The stocks of a group.
#[derive(Debug, Default)]
pub(crate) struct Stocks(Vec<Stock>);

/// Rows that some scans let through, and what was seen of them.
#[derive(Debug)]
pub(crate) struct Stock {
    source: Source,
    pub(crate) sieve: Sieve,
    /// By what they fall apart, where the scans belong to parts that do.
    key: Option<ShardKey>,
    terms: Terms,
    kept: Kept,
    pub(crate) sights: Sights,
    /// Rows before this come too late to correct anything.
    frozen: i64,
    dropped: i64,
    /// How much was kept when something was last dropped.
    stored: Stored,
}

/// For how long the rows of a query are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The lateness that the query declares.
    pub(crate) lateness: Option<Duration>,
    /// For how long its results are corrected, in microseconds.
    pub(crate) horizon: i64,
    /// How far the rows behind one result can lie apart, in microseconds.
    pub(crate) span: i64,
}

/// Rows that came into a stock.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stock: usize,
    /// Those that came in time, if any.
    pub(crate) passed: Option<Passed>,
    /// How many came too late.
    pub(crate) too_late: u64,
    /// The shards of which something was seen that had not been seen before.
    pub(crate) news: FxHashSet<Shard>,
}

impl Stocks {
    /// For all the scans of `queries`, each given with the lateness that it declares.
    pub(crate) fn of<'a>(queries: impl Iterator<Item = (&'a mut LookbackQuery, Option<Duration>)>) -> Self {
        let mut stocks = Self::default();
        let mut queries: Vec<_> = queries.collect();
        for (query, lateness) in &mut queries {
            query.choose_stocks(&mut stocks, *lateness);
        }
        // Only now each stock has all the columns that it will have.
        for (query, _) in queries {
            query.find_places(&mut stocks);
        }
        stocks
    }

    /// The number of the stock for the scan that `feed` stands before, in a part of the query that falls apart by `key`.
    pub(crate) fn choose(&mut self, feed: &Feed, key: Option<&ShardKey>, terms: Terms) -> usize {
        let chosen = self.0.iter().position(|stock| stock.is_for(feed, key, terms)).unwrap_or_else(|| {
            self.0.push(Stock::new(feed, key, terms));
            self.0.len() - 1
        });
        let stock = &mut self.0[chosen];
        stock.sieve.widen(&feed.sieve);
        stock.terms.span = stock.terms.span.max(terms.span);
        stock.kept = Kept::new(stock.terms.span.saturating_add(terms.horizon));
        chosen
    }

    pub(crate) fn get(&self, stock: usize) -> &Stock {
        &self.0[stock]
    }

    pub(crate) fn get_mut(&mut self, stock: usize) -> &mut Stock {
        &mut self.0[stock]
    }

    /// The same before the first row.
    pub(crate) fn renewed(self) -> Self {
        Self(self.0.into_iter().map(Stock::renewed).collect())
    }

    /// Keeps what of `records` belongs into each stock, and says what that is.
    pub(crate) fn take(&mut self, topic: Topic, records: &RecordBatch) -> Result<Vec<Arrival>> {
        let mut arrivals = Vec::new();
        for (number, stock) in self.0.iter_mut().enumerate() {
            if stock.source == Source::Events(topic) {
                arrivals.extend(stock.take(number, records)?);
            }
        }
        Ok(arrivals)
    }

    /// Drops what no result can need any more at the watermarks, in microseconds, that `watermark` gives by the lateness
    /// that a query declares; `parts` are all of the queries.
    pub(crate) fn drop_before(
        &mut self,
        watermark: impl Fn(Option<Duration>) -> i64,
        parts: &[&Apart],
    ) -> Result<()> {
        for (number, stock) in self.0.iter_mut().enumerate() {
            if stock.drop_before(watermark(stock.terms.lateness)) {
                stock.thin(parts.iter().copied().filter(|part| part.reads_stock(number)))?;
                stock.stored = stock.kept.stored();
            }
        }
        Ok(())
    }

    /// How much was kept when something was last dropped.
    pub(crate) fn stored(&self) -> Stored {
        self.0.iter().map(|stock| stock.stored).sum()
    }

    /// The time of the earliest row of `topic`, in microseconds.
    pub(crate) fn earliest(&self, topic: Topic) -> Option<i64> {
        let own = self.0.iter().filter(|stock| stock.source == Source::Events(topic));
        own.filter_map(|stock| stock.kept.earliest()).min()
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

impl Stock {
    fn new(feed: &Feed, key: Option<&ShardKey>, terms: Terms) -> Self {
        Self {
            source: feed.source,
            sieve: feed.sieve.clone(),
            key: key.cloned(),
            terms,
            kept: Kept::new(0),
            sights: Sights::default(),
            frozen: START,
            dropped: START,
            stored: Stored::default(),
        }
    }

    fn renewed(self) -> Self {
        Self {
            kept: Kept::new(self.terms.span.saturating_add(self.terms.horizon)),
            sights: self.sights.renewed(),
            frozen: START,
            dropped: START,
            stored: Stored::default(),
            ..self
        }
    }

    /// Whether it is what the scan behind `feed` reads. Queries that wait for their rows for different times let go of
    /// them at different times, and count different rows as too late.
    fn is_for(&self, feed: &Feed, key: Option<&ShardKey>, terms: Terms) -> bool {
        self.source == feed.source
            && self.sieve.passes_as(&feed.sieve)
            && self.key.as_ref().map(|key| &key.scanned) == key.map(|key| &key.scanned)
            && (self.terms.lateness, self.terms.horizon) == (terms.lateness, terms.horizon)
    }

    fn take(&mut self, stock: usize, records: &RecordBatch) -> Result<Option<Arrival>> {
        let Some(passed) = self.sieve.pass(records, self.key.as_ref())? else { return Ok(None) };
        let all = passed.rows().num_rows();
        let passed = passed.between(self.frozen, i64::MAX)?;
        let in_time = passed.as_ref().map_or(0, |passed| passed.rows().num_rows());
        let news = passed.as_ref().map(|passed| self.sights.note(passed)).unwrap_or_default();
        if let Some(passed) = &passed {
            self.kept.push(passed.clone())?;
        }
        Ok(Some(Arrival { stock, passed, too_late: (all - in_time) as u64, news }))
    }

    /// The kept rows with `from <= time <= to`, in microseconds, of the shards in `among` where that is given.
    pub(crate) fn rows(
        &self,
        from: i64,
        to: i64,
        among: Option<&FxHashSet<Shard>>,
    ) -> Result<Vec<RecordBatch>> {
        match among {
            Some(among) => self.kept.among(from, to, among),
            None => self.kept.between(from, to),
        }
    }

    /// Returns whether something may have been dropped: that is done in steps.
    fn drop_before(&mut self, watermark: i64) -> bool {
        self.frozen = self.frozen.max(watermark.saturating_sub(self.terms.horizon));
        if self.frozen.saturating_sub(self.dropped) < DROP_STEP {
            return false;
        }
        self.dropped = self.frozen;
        let floor = self.frozen.saturating_sub(self.terms.span);
        self.kept.drop_before(floor);
        self.sights.forget_before(floor);
        true
    }

    /// Drops the rows that can change nothing any more of `parts`, which are all that read it.
    fn thin<'a>(&mut self, parts: impl Iterator<Item = &'a Apart>) -> Result<()> {
        let parts: Vec<&Apart> = parts.collect();
        let Some(lasting) = parts.iter().map(|part| part.lasting()).max() else { return Ok(()) };
        if self.key.is_none() || lasting >= FAR {
            return Ok(());
        }
        let floor = self.frozen.saturating_sub(lasting);
        self.kept.thin(floor, |shard| parts.iter().any(|part| part.needs(shard)))
    }
}
