//! What a query that looks back reads: its scans, and the rows that are kept for them. A query that names a part of itself
//! twice scans everything below it twice; scans that let the same rows of a table through share one stock of them.

use std::collections::hash_map::Entry;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use hexwatch_contract::Topic;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::feed::{Feed, Passed, Sieve, Source};
use crate::kept::Kept;
use crate::shard::{Part, Shard, ShardKey};

/// The scans of a query, and their rows.
#[derive(Debug)]
pub(crate) struct Lanes {
    scans: Vec<Scan>,
    stocks: Vec<Stock>,
}

/// A scan, and where its rows are.
#[derive(Debug)]
pub(crate) struct Scan {
    feed: Feed,
    stock: usize,
    /// Where its columns stand in the stock.
    pub(crate) places: Vec<usize>,
    /// The part of the query that it feeds.
    pub(crate) part: Option<usize>,
}

/// Rows that some scans let through.
#[derive(Debug)]
struct Stock {
    source: Source,
    sieve: Sieve,
    /// By what they fall apart, where the scans belong to parts that do.
    key: Option<ShardKey>,
    kept: Kept,
}

impl Stock {
    fn rows(&self, from: i64, to: i64, among: Option<&FxHashSet<Shard>>) -> Result<Vec<RecordBatch>> {
        match among {
            Some(among) => self.kept.among(from, to, among),
            None => self.kept.between(from, to),
        }
    }
}

impl Scan {
    /// Which scan of the plan it is.
    pub(crate) fn number(&self) -> usize {
        self.feed.number
    }
}

impl Lanes {
    /// For the scans of a query with these `parts`, whose rows are kept for `span`, in microseconds.
    pub(crate) fn new(feeds: Vec<Feed>, parts: &[Part], span: i64) -> Self {
        let mut stocks: Vec<Stock> = Vec::new();
        let mut scans: Vec<Scan> = Vec::new();
        for feed in feeds {
            let part = parts.iter().position(|part| part.scans.contains(&feed.number));
            let key = part.map(|part| &parts[part].key);
            let is_its = |stock: &Stock| {
                stock.source == feed.source && stock.sieve.passes_as(&feed.sieve) && stock.key.as_ref() == key
            };
            let stock = stocks.iter().position(is_its).unwrap_or_else(|| {
                let (sieve, key) = (feed.sieve.clone(), key.cloned());
                stocks.push(Stock { source: feed.source, sieve, key, kept: Kept::new(span) });
                stocks.len() - 1
            });
            stocks[stock].sieve.widen(&feed.sieve);
            scans.push(Scan { feed, stock, places: Vec::new(), part });
        }
        for scan in &mut scans {
            scan.places = stocks[scan.stock].sieve.places_of(&scan.feed.sieve);
        }
        Self { scans, stocks }
    }

    /// The same before the first row.
    pub(crate) fn renewed(self, span: i64) -> Self {
        let stocks = self.stocks.into_iter().map(|stock| Stock { kept: Kept::new(span), ..stock });
        Self { stocks: stocks.collect(), ..self }
    }

    /// How many stocks there are.
    pub(crate) fn stocks(&self) -> usize {
        self.stocks.len()
    }

    /// The scans that share a stock.
    pub(crate) fn of_stock(&self, stock: usize) -> impl Iterator<Item = &Scan> {
        self.scans.iter().filter(move |scan| scan.stock == stock)
    }

    /// Whether a scan reads `source`.
    pub(crate) fn read(&self, source: Source) -> bool {
        self.stocks.iter().any(|stock| stock.source == source)
    }

    /// What of `records` belongs into a stock.
    pub(crate) fn sift(&self, stock: usize, topic: Topic, records: &RecordBatch) -> Result<Option<Passed>> {
        let Stock { source, sieve, key, .. } = &self.stocks[stock];
        if *source == Source::Events(topic) { sieve.pass(records, key.as_ref()) } else { Ok(None) }
    }

    /// Keeps in a stock what was sifted for it.
    pub(crate) fn keep(&mut self, stock: usize, passed: Passed) -> Result<()> {
        self.stocks[stock].kept.push(passed)
    }

    /// Fills the slots of all scans with the rows of the times `[from, to]`, in microseconds: where a scan feeds a part,
    /// of the shards `among` gives for it. `silent` gives silences. Returns the numbers of the scans with rows.
    pub(crate) fn fill<'a>(
        &self,
        (from, to): (i64, i64),
        among: impl Fn(usize) -> Option<&'a FxHashSet<Shard>>,
        silent: impl Fn(Topic) -> Result<Option<RecordBatch>>,
    ) -> Result<FxHashSet<usize>> {
        let mut filled = FxHashSet::default();
        let mut found: FxHashMap<(usize, Option<usize>), Vec<RecordBatch>> = FxHashMap::default();
        for Scan { feed, stock, places, part } in &self.scans {
            let rows = match feed.source {
                Source::Absence(topic) => {
                    let passed = silent(topic)?.map(|rows| feed.pass(&rows)).transpose()?.flatten();
                    passed.map(|passed| passed.rows).into_iter().collect()
                }
                Source::Events(_) => {
                    let stored = match found.entry((*stock, *part)) {
                        Entry::Occupied(stored) => stored.into_mut(),
                        Entry::Vacant(none) => {
                            none.insert(self.stocks[*stock].rows(from, to, part.and_then(&among))?)
                        }
                    };
                    stored.iter().map(|rows| Ok(rows.project(places)?)).collect::<Result<Vec<_>>>()?
                }
            };
            if !rows.is_empty() {
                filled.insert(feed.number);
            }
            feed.slot.fill(rows);
        }
        Ok(filled)
    }

    /// Lets go of what the slots hold.
    pub(crate) fn empty_slots(&self) {
        self.scans.iter().for_each(|scan| scan.feed.slot.fill(Vec::new()));
    }

    /// Drops rows before `floor`, in microseconds.
    pub(crate) fn drop_before(&mut self, floor: i64) {
        self.stocks.iter_mut().for_each(|stock| stock.kept.drop_before(floor));
    }

    #[cfg(test)]
    pub(crate) fn rows_in_slots(&self) -> usize {
        self.scans.iter().map(|scan| scan.feed.slot.rows()).sum()
    }

    #[cfg(test)]
    pub(crate) fn scans(&self) -> usize {
        self.scans.len()
    }
}
