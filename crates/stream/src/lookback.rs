//! Joins, sequences and absences by bounded lookback: when rows come or the watermark moves, the query
//! runs again over the rows that can still matter, and what it gives for the result times in question
//! replaces what was given before. Duplicates and corrections come out right because nothing is patched.
//!
//! Rows are kept once for all scans of a group that let the same ones through ([`Stocks`]). Those that can matter are fewer
//! than those within the lookback: where a part of the query falls apart by [shards](crate::shard), those that [can give no
//! row](crate::possible) are left out, and a query that speaks at once looks only at those in which rows came.

#[cfg(test)]
mod tests;

use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use hexwatch_contract::Topic;

use crate::apart::{Apart, Stretch};
use crate::dirty::Dirty;
use crate::feed::{Feed, Source};
use crate::lanes::Lanes;
use crate::pane::Telling;
use crate::possible::{Known, Outline};
use crate::query::Grounds;
use crate::reach::Reach;
use crate::rows::{Changes, Emitted, joined, within};
use crate::run::Run;
use crate::shard::{Part, ShardKey};
use crate::stocks::{Arrival, Stocks, Terms};

/// Result times are completed in steps of this width, in microseconds: a run has a price of its own.
const STEP: i64 = 250_000;
/// What may still be corrected falls into so many stretches of time at most.
const STRETCHES: i64 = 16;
/// A run has a price of its own, as if it looked at so many rows more.
const RUN: u64 = 10_000;
/// What is out of reach is dropped in steps of this width, in microseconds.
const DROP_STEP: i64 = 5_000_000;

/// A query whose rows look back a bounded time.
#[derive(Debug)]
pub(crate) struct LookbackQuery {
    run: Run,
    outline: Outline,
    lanes: Lanes,
    parts: Vec<Apart>,
    telling: Telling,
    reach: Reach,
    /// The column of the result time.
    at: usize,
    emitted: Emitted,
    /// Result times up to here have been given.
    closed: i64,
    /// Result times whose rows may have changed.
    dirty: Dirty,
    /// By what all its rows fall apart, and then its only part is the whole.
    shard_key: Option<ShardKey>,
    /// Rows before this come too late to correct anything.
    frozen: i64,
    dropped: i64,
    /// Rows that did.
    pub(crate) uncorrected: u64,
    /// How many rows its runs have looked at, each counting for some more.
    pub(crate) looked_at: u64,
}

/// A lookback query in planning.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) run: Run,
    pub(crate) outline: Outline,
    pub(crate) feeds: Vec<Feed>,
    pub(crate) parts: Vec<Part>,
    pub(crate) shard_key: Option<ShardKey>,
    pub(crate) telling: Telling,
    pub(crate) reach: Reach,
    /// The column of the result time.
    pub(crate) at: usize,
}

/// Before every result time, in microseconds.
const START: i64 = i64::MIN / 4;

impl LookbackQuery {
    pub(crate) fn new(plan: Plan) -> Self {
        let parts: Vec<Apart> = plan.parts.into_iter().map(Apart::of).collect();
        Self {
            lanes: Lanes::new(plan.feeds, &parts),
            parts,
            run: plan.run,
            outline: plan.outline,
            shard_key: plan.shard_key,
            dirty: Dirty::new(plan.reach.back.saturating_add(plan.reach.ahead)),
            telling: plan.telling,
            reach: plan.reach,
            at: plan.at,
            emitted: Emitted::default(),
            closed: START,
            frozen: START,
            dropped: START,
            uncorrected: 0,
            looked_at: 0,
        }
    }

    /// The same query before its first row.
    pub(crate) fn renewed(self) -> Self {
        let dirty = Dirty::new(self.span());
        let parts = self.parts.into_iter().map(Apart::renewed);
        Self {
            parts: parts.collect(),
            emitted: Emitted::default(),
            closed: START,
            dirty,
            frozen: START,
            dropped: START,
            uncorrected: 0,
            looked_at: 0,
            ..self
        }
    }

    /// How far the rows behind one result can lie apart, in microseconds.
    pub(crate) fn span(&self) -> i64 {
        self.reach.back.saturating_add(self.reach.ahead)
    }

    /// Chooses the stocks in which its rows are kept, for a query that declares this `lateness`.
    pub(crate) fn choose_stocks(&mut self, stocks: &mut Stocks, lateness: Option<Duration>) {
        let terms = Terms { lateness, horizon: self.telling.horizon, span: self.span() };
        self.lanes.choose_stocks(stocks, &self.parts, terms);
    }

    /// Finds its columns in them, and has them watched for what it looks for.
    pub(crate) fn find_places(&mut self, stocks: &mut Stocks) {
        self.lanes.find_places(stocks);
        self.parts.iter_mut().for_each(|part| part.watch(&self.lanes, stocks));
    }

    pub(crate) fn parts(&self) -> &[Apart] {
        &self.parts
    }

    /// Takes note of rows that came into a stock, which may be another query's.
    pub(crate) fn note(&mut self, arrival: &Arrival) {
        if !self.lanes.read_stock(arrival.stock) {
            return;
        }
        self.uncorrected += arrival.too_late;
        if let Some(passed) = arrival.passed.as_ref().filter(|passed| passed.shards.is_none()) {
            self.touch(passed.earliest, passed.latest);
        }
        self.parts.iter_mut().for_each(|part| part.note(arrival));
    }

    /// Notes that the silences at `times` came, went or moved.
    pub(crate) fn touch_silences(&mut self, topic: Topic, times: &[i64]) {
        if self.lanes.read(Source::Absence(topic)) {
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
            self.dirty.add(from, to);
        }
    }

    /// Gives what `watermark` completes, and what late rows correct.
    pub(crate) fn advance(&mut self, watermark: i64, grounds: Grounds<'_>) -> Result<Option<Changes>> {
        // Where time passes it does so for all shards.
        let only_came = self.choose(self.telling.immediate, grounds);
        if !self.telling.immediate {
            let complete = watermark.div_euclid(STEP) * STEP;
            if complete > self.closed {
                self.dirty.add(self.closed + 1, complete);
                self.closed = complete;
            }
        }
        let told = self.evaluate(only_came, grounds)?;
        let held = grounds.held.map_or(i64::MAX, |held| held.micros().saturating_add(self.telling.horizon));
        self.drop_before(watermark.min(held));
        Ok(told)
    }

    /// Gives what late rows correct, and nothing beyond what was given. Where it falls apart, shards in which they came at
    /// about the same time are looked at together: about each moment there are few.
    pub(crate) fn correct(&mut self, grounds: Grounds<'_>) -> Result<Option<Changes>> {
        if !self.falls_apart() {
            self.choose(false, grounds);
            return self.evaluate(false, grounds);
        }
        let width = self.span().max(self.telling.horizon / STRETCHES);
        let stretches = self.parts[0].stretches(width, &self.lanes, grounds.stocks);
        let mut told = Vec::new();
        for Stretch { from, to, shards } in stretches {
            self.touch(from, to);
            self.parts[0].look_among(shards);
            told.extend(self.evaluate(true, grounds)?);
        }
        Ok(Changes::joined(&told)?)
    }

    /// Whether it can look at some shards alone when rows came in them.
    fn falls_apart(&self) -> bool {
        self.shard_key.is_some()
    }

    /// Chooses the shards that are looked at, and notes when the rows were that came. Returns whether they are only those in
    /// which rows came, as is `wanted`.
    fn choose(&mut self, wanted: bool, grounds: Grounds<'_>) -> bool {
        let only_came = wanted && self.falls_apart();
        for index in 0..self.parts.len() {
            if let Some((from, to)) = self.parts[index].choose(only_came, &self.lanes, grounds.stocks) {
                self.touch(from, to);
            }
        }
        only_came
    }

    /// Looks anew at the result times whose rows may have changed, all of them or those of the chosen shards alone.
    fn evaluate(&mut self, only_chosen: bool, grounds: Grounds<'_>) -> Result<Option<Changes>> {
        let ranges = self.dirty.take();
        let mut batches = Vec::new();
        let mut may_give = false;
        for range in &ranges {
            if self.fill(*range, grounds)? {
                may_give = true;
                for batch in self.run.collect()? {
                    // What lies outside the range did not have all its rows to look at.
                    batches.push(within(&batch, self.at, *range)?);
                }
            }
            self.looked_at += RUN + self.lanes.rows_in_slots() as u64;
        }
        self.lanes.empty_slots();
        if !may_give && !ranges.iter().any(|(from, to)| self.emitted.any(*from, *to)) {
            return Ok(None);
        }
        let rows = joined(&self.run.plan().schema(), &batches)?;
        let shards = self.shard_key.as_ref().map(|key| key.of_given(&rows)).transpose()?;
        let looked_at = self.parts.first().and_then(Apart::among).filter(|_| only_chosen);
        let changed = self.emitted.replace(
            &rows,
            self.at,
            &self.telling.key,
            &ranges,
            (shards.as_deref(), looked_at),
        )?;
        Ok(Some(changed).filter(|changed| !changed.is_empty()))
    }

    /// Fills the slots for results within `[from, to]`; returns whether there can be any.
    fn fill(&self, (from, to): (i64, i64), grounds: Grounds<'_>) -> Result<bool> {
        let (back, ahead) = (from.saturating_sub(self.reach.back), to.saturating_add(self.reach.ahead));
        let among = |part: usize| self.parts[part].among();
        let until = ahead.min(grounds.known.micros());
        let silent = |topic: Topic| -> Result<Option<RecordBatch>> {
            let silences = grounds.silences.get(&topic);
            Ok(silences.map(|silences| silences.between(back, until)).transpose()?)
        };
        let filled = self.lanes.fill(grounds.stocks, (back, ahead), among, silent)?;
        let scanned = |number, width| filled.contains(&number).then(|| vec![Known::ANYTHING; width]);
        Ok(!filled.is_empty() && self.outline.may_give(&scanned))
    }

    fn drop_before(&mut self, watermark: i64) {
        self.frozen = self.frozen.max(watermark.saturating_sub(self.telling.horizon));
        if self.frozen.saturating_sub(self.dropped) < DROP_STEP {
            return;
        }
        self.dropped = self.frozen;
        self.emitted.drop_before(self.frozen.saturating_sub(self.reach.ahead));
    }
}
