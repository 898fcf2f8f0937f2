//! Joins, sequences and absences by bounded lookback: when rows come or the watermark moves, the query
//! runs again over the rows that can still matter, and what it gives for the result times in question
//! replaces what was given before. Duplicates and corrections come out right because nothing is patched.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use hexwatch_contract::Topic;
use rustc_hash::FxHashSet;

use crate::absence::Silences;
use crate::feed::{Feed, Kept, Source};
use crate::pane::Telling;
use crate::reach::Reach;
use crate::rows::{Changes, Emitted, joined};
use crate::run::Run;
use crate::shard::{Shard, ShardKey};

/// Result times are completed in steps of this width, in microseconds: a run has a price of its own.
const STEP: i64 = 250_000;
/// What is out of reach is dropped in steps of this width, in microseconds.
const DROP_STEP: i64 = 5_000_000;

/// A query whose rows look back a bounded time.
#[derive(Debug)]
pub(crate) struct LookbackQuery {
    run: Run,
    feeds: Vec<(Feed, Kept)>,
    telling: Telling,
    reach: Reach,
    /// The column of the result time.
    at: usize,
    emitted: Emitted,
    /// Result times up to here have been given.
    closed: i64,
    /// Result times whose rows may have changed, both included.
    dirty: Option<(i64, i64)>,
    /// By what its rows fall apart. A query that waits for the watermark does not ask: time passes for all of them.
    shard_key: Option<ShardKey>,
    /// The shards in which rows came since the last run.
    touched: FxHashSet<Shard>,
    /// Rows before this come too late to correct anything.
    frozen: i64,
    dropped: i64,
    /// Rows that did.
    pub(crate) uncorrected: u64,
}

impl LookbackQuery {
    pub(crate) fn new(
        run: Run,
        feeds: Vec<Feed>,
        telling: Telling,
        reach: Reach,
        at: usize,
        shard_key: Option<ShardKey>,
    ) -> Self {
        let shard_key = shard_key.filter(|_| telling.immediate);
        let feeds = feeds.into_iter().map(|feed| (feed, Kept::default())).collect();
        let start = i64::MIN / 4;
        Self {
            run,
            feeds,
            telling,
            reach,
            at,
            emitted: Emitted::default(),
            closed: start,
            dirty: None,
            shard_key,
            touched: FxHashSet::default(),
            frozen: start,
            dropped: start,
            uncorrected: 0,
        }
    }

    /// The same query before its first row.
    pub(crate) fn renewed(self) -> Self {
        let feeds = self.feeds.into_iter().map(|(feed, _)| feed).collect();
        Self::new(self.run, feeds, self.telling, self.reach, self.at, self.shard_key)
    }

    /// How far the rows behind one result can lie apart, in microseconds.
    pub(crate) fn span(&self) -> i64 {
        self.reach.back.saturating_add(self.reach.ahead)
    }

    /// Takes admitted rows.
    pub(crate) fn take(&mut self, topic: Topic, records: &RecordBatch) -> Result<()> {
        for index in 0..self.feeds.len() {
            let (feed, _) = &self.feeds[index];
            if feed.source != Source::Events(topic) {
                continue;
            }
            let Some(passed) = feed.pass_apart(records, self.shard_key.as_ref())? else { continue };
            let rows = passed.rows().num_rows();
            let Some(passed) = passed.between(self.frozen, i64::MAX)? else {
                self.uncorrected += rows as u64;
                continue;
            };
            self.uncorrected += (rows - passed.rows().num_rows()) as u64;
            self.touch(passed.earliest, passed.latest);
            self.touched.extend(passed.shards.iter().flat_map(|shards| shards.iter()));
            self.feeds[index].1.push(passed);
        }
        Ok(())
    }

    /// Notes that the silences at `times` came, went or moved.
    pub(crate) fn touch_silences(&mut self, topic: Topic, times: &[i64]) {
        if self.feeds.iter().any(|(feed, _)| feed.source == Source::Absence(topic)) {
            let frozen = self.frozen;
            for time in times.iter().filter(|time| **time >= frozen) {
                self.touch(*time, *time);
            }
        }
    }

    /// Rows within `[from, to]` can change the results that see them.
    fn touch(&mut self, from: i64, to: i64) {
        let from = from.saturating_sub(self.reach.ahead);
        let seen_until = to.saturating_add(self.reach.back);
        let to = if self.telling.immediate { seen_until } else { seen_until.min(self.closed) };
        if from <= to {
            self.dirty = Some(self.dirty.map_or((from, to), |(first, last)| (first.min(from), last.max(to))));
        }
    }

    /// Gives what `watermark` completes, and what late rows correct. Silences are seen up to `known`.
    pub(crate) fn advance(
        &mut self,
        watermark: i64,
        silences: &BTreeMap<Topic, Silences>,
        known: i64,
    ) -> Result<Option<Changes>> {
        let mut range = self.dirty.take();
        if !self.telling.immediate {
            let complete = watermark.div_euclid(STEP) * STEP;
            if complete > self.closed {
                let first = self.closed + 1;
                range = Some(range.map_or((first, complete), |(from, _)| (from.min(first), complete)));
                self.closed = complete;
            }
        }
        let told = range.map(|range| self.evaluate(range, silences, known)).transpose()?.flatten();
        self.drop_before(watermark)?;
        Ok(told.filter(|told| !told.is_empty()))
    }

    fn evaluate(
        &mut self,
        (from, to): (i64, i64),
        silences: &BTreeMap<Topic, Silences>,
        known: i64,
    ) -> Result<Option<Changes>> {
        let (back, ahead) = (from.saturating_sub(self.reach.back), to.saturating_add(self.reach.ahead));
        let touched = std::mem::take(&mut self.touched);
        let mut any = false;
        for (feed, kept) in &self.feeds {
            let batches = match feed.source {
                Source::Events(_) if self.shard_key.is_some() => kept.among(back, ahead, &touched)?,
                Source::Events(_) => kept.between(back, ahead)?,
                Source::Absence(topic) => match silences.get(&topic) {
                    Some(silences) => {
                        let rows = silences.between(back, ahead.min(known))?;
                        feed.pass(&rows)?.map(|passed| passed.rows().clone()).into_iter().collect()
                    }
                    None => Vec::new(),
                },
            };
            any |= !batches.is_empty();
            feed.slot.fill(batches);
        }
        if !any && !self.emitted.any(from, to) {
            return Ok(None);
        }
        let batches = if any { self.run.collect()? } else { Vec::<RecordBatch>::new() };
        for (feed, _) in &self.feeds {
            feed.slot.fill(Vec::new());
        }
        let rows = joined(&self.run.plan().schema(), &batches)?;
        let shards = self.shard_key.as_ref().map(|key| key.of_given(&rows)).transpose()?;
        let among = shards.as_deref().map(|shards| (shards, &touched));
        Ok(Some(self.emitted.replace(&rows, self.at, &self.telling.key, (from, to), among)?))
    }

    fn drop_before(&mut self, watermark: i64) -> Result<()> {
        self.frozen = self.frozen.max(watermark.saturating_sub(self.telling.horizon));
        if self.frozen.saturating_sub(self.dropped) < DROP_STEP {
            return Ok(());
        }
        self.dropped = self.frozen;
        let first = self.frozen.saturating_sub(self.reach.ahead);
        self.emitted.drop_before(first);
        let floor = first.saturating_sub(self.reach.back);
        self.feeds.iter_mut().try_for_each(|(_, kept)| kept.drop_before(floor))
    }
}
