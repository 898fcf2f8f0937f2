//! What a query that looks back reads: its scans, and where the rows are that each of them lets through.

use std::collections::hash_map::Entry;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use hexwatch_contract::Topic;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::apart::Apart;
use crate::feed::{Feed, Source};
use crate::shard::Shard;
use crate::stocks::{Stocks, Terms};

/// The scans of a query.
#[derive(Debug)]
pub(crate) struct Lanes(Vec<Scan>);

/// A scan, and where its rows are.
#[derive(Debug)]
pub(crate) struct Scan {
    feed: Feed,
    /// The number of the stock.
    pub(crate) stock: usize,
    /// Where its columns stand in the stock.
    pub(crate) places: Vec<usize>,
    /// The part of the query that it feeds.
    part: Option<usize>,
}

impl Scan {
    /// Which scan of the plan it is.
    pub(crate) fn number(&self) -> usize {
        self.feed.number
    }
}

impl Lanes {
    /// The scans of a query with these `parts`.
    pub(crate) fn new(feeds: Vec<Feed>, parts: &[Apart]) -> Self {
        let scans = feeds.into_iter().map(|feed| {
            let part = parts.iter().position(|part| part.reads(feed.number));
            Scan { feed, stock: 0, places: Vec::new(), part }
        });
        Self(scans.collect())
    }

    /// Chooses the stock of each scan, or lays one in.
    pub(crate) fn choose_stocks(&mut self, stocks: &mut Stocks, parts: &[Apart], terms: Terms) {
        for scan in &mut self.0 {
            let key = scan.part.map(|part| parts[part].key());
            scan.stock = stocks.choose(&scan.feed, key, terms);
        }
    }

    /// Finds the columns of each scan in its stock.
    pub(crate) fn find_places(&mut self, stocks: &Stocks) {
        for scan in &mut self.0 {
            scan.places = stocks.get(scan.stock).sieve.places_of(&scan.feed.sieve);
        }
    }

    pub(crate) fn scans(&self) -> impl Iterator<Item = &Scan> {
        self.0.iter()
    }

    /// The scan with this number.
    pub(crate) fn scan(&self, number: usize) -> Option<&Scan> {
        self.0.iter().find(|scan| scan.number() == number)
    }

    /// Whether a scan reads a stock.
    pub(crate) fn read_stock(&self, stock: usize) -> bool {
        self.0.iter().any(|scan| scan.stock == stock)
    }

    /// Whether a scan reads `source`.
    pub(crate) fn read(&self, source: Source) -> bool {
        self.0.iter().any(|scan| scan.feed.source == source)
    }

    /// Fills the slots of all scans with the rows of the times `[from, to]`, in microseconds: where a scan feeds a part,
    /// of the shards `among` gives for it. `silent` gives silences. Returns the numbers of the scans with rows.
    pub(crate) fn fill<'a>(
        &self,
        stocks: &Stocks,
        (from, to): (i64, i64),
        among: impl Fn(usize) -> Option<&'a FxHashSet<Shard>>,
        silent: impl Fn(Topic) -> Result<Option<RecordBatch>>,
    ) -> Result<FxHashSet<usize>> {
        let mut filled = FxHashSet::default();
        let mut found: FxHashMap<(usize, Option<usize>), Vec<RecordBatch>> = FxHashMap::default();
        for Scan { feed, stock, places, part } in &self.0 {
            let rows = match feed.source {
                Source::Absence(topic) => {
                    let passed = silent(topic)?.map(|rows| feed.pass(&rows)).transpose()?.flatten();
                    passed.map(|passed| passed.rows).into_iter().collect()
                }
                Source::Events(_) => {
                    let stored = match found.entry((*stock, *part)) {
                        Entry::Occupied(stored) => stored.into_mut(),
                        Entry::Vacant(none) => {
                            none.insert(stocks.get(*stock).rows(from, to, part.and_then(&among))?)
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
        self.0.iter().for_each(|scan| scan.feed.slot.fill(Vec::new()));
    }

    /// How many rows the slots hold.
    pub(crate) fn rows_in_slots(&self) -> usize {
        self.0.iter().map(|scan| scan.feed.slot.rows()).sum()
    }
}
